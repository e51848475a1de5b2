"""The kiosks of a fleet keep each other's newest record of the decision log, against a store that is put back.

Each signs its head (number and hash of the newest record) into its health. Whoever holds a newer one of a kiosk than it
says says so, and that kiosk, which knows its own signature, opens nothing until an operator has looked; see
`store/upkeep/rollback.py`. A hub that shows nobody the newer one changes nothing: every other kiosk remembers it.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.fleet.identity import Identity, bytes_of, text_of
from kiosk.store.fleet.document import HIGHEST
from kiosk.store.upkeep import rollback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiosk.fleet.roster import Roster
    from kiosk.store.chain import Signed
    from kiosk.store.fleet.shared import Shared
    from kiosk.store.store import Store

MOST = 20  # heads of others in one message
_HEAD = b"kiosk fleet head\0"
_SIGNATURE_BYTES = 64

log = logging.getLogger("kiosk.fleet")


class Heads:
    """The heads that one kiosk knows; `Member.heads` is it. Safe in any thread."""

    def __init__(self, store: Store, shared: Shared, identity: Identity) -> None:
        self._store, self._shared, self._identity = store, shared, identity

    def own(self) -> str | None:
        """Return the head of this kiosk's log, signed; None where there is no log."""
        return self.signed(self._store.log.tail())

    def signed(self, tail: Signed | None) -> str | None:
        """Return a newest record as `own` does: with it, what else is said of that record is said of the same."""
        if tail is None:
            return None
        text = json.dumps([tail.seq, tail.hash.hex()]).encode()
        return text_of(self._identity.sign.sign(_HEAD + text) + text)

    def hear(self, kiosk: str, head: str, roster: Roster | None) -> None:
        """Keep the head of another kiosk, or hold this kiosk's log against its own; one that is forged is left."""
        if (found := self.read(kiosk, head, roster)) is not None:
            self._shared.hubs.hear_healths((), [found])

    def read(self, kiosk: str, head: str, roster: Roster | None) -> tuple[str, int, bytes] | None:
        """Return the head of another kiosk as `Hubs.hear_healths` keeps it; hold this kiosk's log against its own."""
        if kiosk == self._identity.card.id:
            sign = self._identity.card.sign
        elif roster is not None and kiosk in roster.members:
            sign = roster.members[kiosk].card.sign
        else:
            return None
        try:
            raw = bytes_of(head)
            Ed25519PublicKey.from_public_bytes(sign).verify(raw[:_SIGNATURE_BYTES], _HEAD + raw[_SIGNATURE_BYTES:])
            seq, digest = json.loads(raw[_SIGNATURE_BYTES:])
            if not isinstance(seq, int) or isinstance(seq, bool) or not 0 < seq < HIGHEST:
                raise TypeError("want the number of a record")
        except (InvalidSignature, ValueError, TypeError, RecursionError):
            log.warning("fleet head refused kiosk=%s", kiosk)
            return None
        if kiosk != self._identity.card.id:
            return kiosk, seq, raw
        if rollback.hold_against(self._store, seq, str(digest)) is not None:
            log.error("fleet head missing seq=%d", seq)
        return None

    def newer(self, kiosk: str | None = None) -> dict[str, str]:
        """Return the heads of kiosks whose own last word names an older one; of all, or of one."""
        said = {name: _seq_of(text) for name, (_, text) in self._shared.hubs.health(kiosk).items()}
        held = self._shared.hubs.heads(kiosk).items()
        found = {name: text_of(raw) for name, (seq, raw) in held if name in said and said[name] < seq}
        return dict(list(found.items())[:MOST])

    def all(self) -> Mapping[str, str]:
        """Return every head that is known here, this kiosk's among them."""
        own = self.own()
        others = {kiosk: text_of(raw) for kiosk, (_, raw) in self._shared.hubs.heads().items()}
        return others if own is None else {**others, self._identity.card.id: own}


def _seq_of(text: str) -> int:
    """Return the number of the head that a kiosk's health names; 0 for none."""
    try:
        return int(json.loads(text)["log"][0])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return 0
