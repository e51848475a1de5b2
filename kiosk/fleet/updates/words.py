"""What kiosks say of an update: in their health by a hub, and signed by itself so that a stick can carry it on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.fleet.identity import bytes_of, text_of
from kiosk.fleet.member import UPDATE_WORDS, Member
from kiosk.fleet.orders import UPDATE
from kiosk.fleet.updates.rollout import Word, word_of
from kiosk.fleet.updates.shelf import Shelf
from kiosk.fleet.updates.staging import standing_of

_DOMAIN = b"kiosk fleet update word\0"
_SIGNATURE_BYTES = 64

log = logging.getLogger("kiosk.fleet")


def signed(member: Member, said: Mapping[str, object] | None) -> str | None:
    """Return a word as a stick carries it."""
    if said is None:
        return None
    text = json.dumps({name: said[name] for name in ("revision", "stage", "count")}, sort_keys=True).encode()
    return text_of(member.identity.sign.sign(_DOMAIN + text) + text)


def read(member: Member, kiosk: str, text: object) -> Word | None:
    """Return what a member signed; None where it did not, or where nobody of that id belongs."""
    belongs = None if member.roster is None else member.roster.members.get(kiosk)
    if belongs is None or not isinstance(text, str):
        return None
    try:
        raw = bytes_of(text)
        key = Ed25519PublicKey.from_public_bytes(belongs.card.sign)
        key.verify(raw[:_SIGNATURE_BYTES], _DOMAIN + raw[_SIGNATURE_BYTES:])
        return word_of(json.loads(raw[_SIGNATURE_BYTES:]))
    except (InvalidSignature, ValueError, TypeError, RecursionError):
        log.warning("fleet update word refused kiosk=%s", kiosk)
        return None


def all_signed(member: Member) -> dict[str, str]:
    """Return what every kiosk last said, this one's own word among them, as a stick carries it."""
    found = dict(_by_stick(member).get("words", {}))
    standing = standing_of(Shelf(member.store.directory))
    if standing.revision:
        own = {"revision": standing.revision, "stage": standing.stage.value, "count": standing.count}
        found[member.id] = str(signed(member, own))
    for kiosk, (_, text) in member.shared.hubs.health().items():
        said = json.loads(text).get("update")
        word = said.get("signed") if isinstance(said, dict) else None
        if isinstance(word, str) and _is_later(read(member, kiosk, word), read(member, kiosk, found.get(kiosk))):
            found[kiosk] = word
    return found


def hear_stick(member: Member, told: Mapping[str, str]) -> None:
    """Keep what a stick says the others said, and that it was for the order of now."""
    kept = dict(_by_stick(member).get("words", {}))
    for kiosk, text in told.items():
        if _is_later(read(member, kiosk, text), read(member, kiosk, kept.get(kiosk))):
            kept[kiosk] = text
    order = member.order(UPDATE)
    revision = 0 if order is None else order.revision
    member.store.secrets.write(UPDATE_WORDS, json.dumps({"revision": revision, "words": kept}))


def known(member: Member) -> tuple[dict[str, Word], int]:
    """Return the last word of each kiosk, and for which order a stick brought them; 0: none."""
    stick = _by_stick(member)
    found: dict[str, Word] = {}
    for kiosk, text in stick.get("words", {}).items():
        if (word := read(member, kiosk, text)) is not None:
            found[kiosk] = word
    for kiosk, (_, text) in member.shared.hubs.health().items():
        word = word_of(json.loads(text).get("update"))
        if _is_later(word, found.get(kiosk)):
            assert word is not None
            found[kiosk] = word
    return found, int(stick.get("revision", 0))


def _by_stick(member: Member) -> dict[str, Any]:
    kept = member.store.secrets.read(UPDATE_WORDS)
    return {} if kept is None else dict(json.loads(kept))


def _is_later(word: Word | None, other: Word | None) -> bool:
    return word is not None and (other is None or (word.revision, word.count) > (other.revision, other.count))
