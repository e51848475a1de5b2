"""What the owner orders for every kiosk: signed by the owner's key, sealed with the epoch's, as `sealed.py` has it.

Only the last revision counts, and it only rises: whoever carries an older one changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.errors import RefusedError
from kiosk.fleet.identity import id_of
from kiosk.fleet.sealed import Form, Sealed

POLICY, SETTINGS, UPDATE = "policy", "settings", "update"
KINDS = (POLICY, SETTINGS, UPDATE)
LONGEST = 1 << 20  # bytes
_FORM = Form(b"KFO1", b"kiosk fleet order\0")


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    kind: str  # of KINDS
    revision: int  # from 1 on
    body: Mapping[str, Any] = field(repr=False)  # JSON


def seal_order(order: Order, *, epoch: int, key: bytes, signer: Ed25519PrivateKey) -> bytes:
    """Return an order as it travels; `signer` is the owner's key."""
    about = _about(signer.public_key().public_bytes_raw(), order.kind)
    text = json.dumps(order.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _FORM.seal(text.encode(), about, epoch=epoch, number=order.revision, key=key, signer=signer)


def revision_of(envelope: bytes, kind: str, admin: bytes) -> int:
    """Return the revision of an order that the owner signed, whether it can be opened or not.

    Args:
        envelope: as `seal_order` returned it.
        kind: which one it is said to be.
        admin: the owner's public key.

    Raises:
        RefusedError: the owner did not sign it, or not as that.
    """
    return _read(envelope, kind, admin).number


def open_order(envelope: bytes, kind: str, admin: bytes, keys: Mapping[int, bytes]) -> Order | None:
    """Return what an order holds; None while its key has not arrived.

    Args:
        envelope: as `seal_order` returned it.
        kind: which one it is said to be.
        admin: the owner's public key.
        keys: of the epochs.

    Raises:
        RefusedError: the owner did not sign it, or not as that.
    """
    sealed = _read(envelope, kind, admin)
    if sealed.epoch not in keys:
        return None
    try:
        found = json.loads(sealed.open(keys[sealed.epoch]))
        if not isinstance(found, dict):
            raise TypeError("want an object")
    except (ValueError, TypeError):
        raise RefusedError(f"the fleet's {kind} {sealed.number} is damaged; it was not taken") from None
    return Order(kind, sealed.number, found)


def _read(envelope: bytes, kind: str, admin: bytes) -> Sealed:
    try:
        if kind not in KINDS or len(envelope) > LONGEST:
            raise ValueError("no order")
        found = _FORM.read(envelope, _about(admin, kind), admin)
        if not found.is_known or found.number < 1:
            raise ValueError("no order")
    except ValueError:
        raise RefusedError(f"the fleet's {kind} was not signed by its owner; it was not taken") from None
    return found


def _about(admin: bytes, kind: str) -> str:
    return f"{id_of(admin)}\0{kind}"
