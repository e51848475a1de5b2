"""A document sealed with the epoch's key and signed by the kiosk that wrote it, as `sealed.py` has it.

Whoever carries it sees person ids, kiosks, sizes and times; never a name or a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.fleet.roster import Former, Roster
from kiosk.fleet.sealed import Form
from kiosk.store.fleet.document import HIGHEST, Document, fingerprint, pack, unpack
from kiosk.store.fleet.taking import Arrived

_FORM = Form(b"KFD1", b"kiosk fleet document\0")


@dataclass(frozen=True, slots=True)
class Message:
    """A sealed document on its way."""

    person: str
    origin: str
    envelope: bytes


class Not(Enum):
    """Why a document was not opened."""

    YET_KEY = "its key has not arrived"
    YET_SIGNER = "its kiosk is not known"
    EVER = "it is forged, damaged, or of a kiosk that was taken off"

    @property
    def is_to_wait(self) -> bool:
        """Whether a later roster may open it."""
        return self is not Not.EVER


def seal(
    document: Document,
    *,
    fleet: str,
    person: str,
    origin: str,
    epoch: int,
    version: int,
    key: bytes,
    signer: Ed25519PrivateKey,
) -> bytes:
    """Return a document as it travels."""
    about = _about(fleet, person, origin)
    return _FORM.seal(pack(document), about, epoch=epoch, number=version, key=key, signer=signer)


def open_envelope(
    envelope: bytes, person: str, origin: str, roster: Roster, keys: Mapping[int, bytes]
) -> Arrived | Not:
    """Return what an envelope holds, or why it is not opened; one of a newer program or of a newer epoch waits."""
    place = roster.members.get(origin) or roster.former.get(origin)
    if place is None:
        return Not.YET_SIGNER
    try:
        found = _FORM.read(envelope, _about(roster.fleet, person, origin), place.card.sign)
        if not found.is_known or found.epoch not in keys:
            return Not.YET_KEY
        document = unpack(found.open(keys[found.epoch]))
        if found.number >= HIGHEST:  # the store counts on from it
            raise ValueError("no version")
    except ValueError:
        return Not.EVER
    if isinstance(place, Former):
        if place.accepted is None:
            return Not.YET_SIGNER
        if fingerprint(word_key(keys), person, found.number, document) not in place.accepted:
            return Not.EVER
    return Arrived(person, origin, found.number, document, envelope)


def word_key(keys: Mapping[int, bytes]) -> bytes:
    """Return the key of the fingerprints in a roster: every member has it, and no hub."""
    return keys.get(1, b"")


def _about(fleet: str, person: str, origin: str) -> str:
    return f"{fleet}\0{person}\0{origin}"
