"""Visitor passes: what stands in one, its text, and what speaks against it at a door. Pure; who signed is not here.

    FKP1:      5 characters, then base32 without padding of
    head       issuer 10 B, number 8 B, issued at, valid from, valid until (u32, s UTC), uses u16 (0: any number)
    person     1 B 0 or 1; then the 16 B of a person's session_id, where it is 1
    doors      1 B how many, 10 B each; none: every door of the issuer's fleet
    signature  64 B, Ed25519 over `SIGNED` and all of the above

Upper case and digits alone, so that a QR code has it in its denser mode. A pass is a bearer token: whoever shows the
picture is its holder, and a photograph of it is as good as the pass.
"""

from __future__ import annotations

import base64
import struct
import uuid
from dataclasses import dataclass
from enum import Enum

from kiosk.setting import setting

PREFIX = "FKP1:"
SIGNED = b"kiosk visitor pass 1\0"  # a signature of one kind of thing is none of another
ID_BYTES, NUMBER_BYTES, SIGNATURE_BYTES = 10, 8, 64
MOST_DOORS = 8
MOST_USES = 0xFFFF
LATEST = 0xFFFFFFFF  # s UTC; 2106
LONGEST_TEXT = 400  # characters; the longest pass has 326
_HEAD = struct.Struct(f">{ID_BYTES}s{NUMBER_BYTES}sIIIH")
_PERSON_BYTES = 16


@dataclass(frozen=True, slots=True)
class PassRule:
    """[passes]: visitor passes, QR codes that the camera reads; by default it does not look for any."""

    enabled: bool = setting(False, "Look for visitor passes in the camera's picture, in mode identify and verify.")
    ask: str = setting(
        "face",
        "What is asked for in addition to a pass: the face of the visitor it names (face), staff who open (staff), or "
        "nothing: then whoever shows a photograph of the pass comes in (nothing).",
        choices=("face", "staff", "nothing"),
    )
    looks_per_s: float = setting(2.0, "How often the picture is searched for a pass.", low=0.5, high=5.0, unit="1/s")
    longest_days: float = setting(
        31.0, "For how many days a pass may be valid; a longer one is neither issued nor taken.", low=0.1, high=366.0
    )


class PassRefusal(str, Enum):
    """Why a pass opens nothing."""

    DAMAGED = "pass_damaged"  # it begins as a pass does, and is none
    FORGED = "pass_forged"  # not signed by this kiosk or one of its fleet
    CLOCK = "pass_clock"  # its dates cannot be told from this clock
    NOT_YET = "pass_not_yet"
    EXPIRED = "pass_expired"
    TOO_LONG = "pass_too_long"  # valid for longer than the setting allows
    WRONG_DOOR = "pass_wrong_door"
    REVOKED = "pass_revoked"  # or it was never issued as it stands there
    RESTORED = "pass_restored"  # issued before a backup was put back, so nobody knows its uses
    USED_UP = "pass_used_up"
    UNREADABLE = "pass_unreadable"  # the store, so nobody knows whether it was used
    NO_PERSON = "pass_no_person"  # a face is asked for, and it names nobody who is known here
    OUTSIDE_HOURS = "pass_outside_hours"
    NOT_COUNTED = "pass_not_counted"  # the door counts people, and a pass without a face is nobody in particular


@dataclass(frozen=True, slots=True)
class VisitorPass:
    """What a pass says."""

    issuer: bytes  # of the key that signed it, see `issuer_of`
    number: bytes
    issued_at: int  # s UTC
    valid_from: int  # s UTC
    valid_until: int  # s UTC, exclusive
    uses: int = 0  # how often it opens; 0 for any number
    person: str | None = None  # session_id of the visitor, who is enrolled
    doors: tuple[bytes, ...] = ()  # ids; none: every door of the issuer's fleet

    def __post_init__(self) -> None:
        """Refuse what could not be written, or not be counted."""
        if len(self.issuer) != ID_BYTES or len(self.number) != NUMBER_BYTES:
            raise ValueError(f"an issuer has {ID_BYTES} bytes, a number {NUMBER_BYTES}")
        if any(len(door) != ID_BYTES for door in self.doors) or len(set(self.doors)) < len(self.doors):
            raise ValueError(f"a door's id has {ID_BYTES} bytes, and stands in a pass once")
        if len(self.doors) > MOST_DOORS:
            raise ValueError(f"a pass names at most {MOST_DOORS} doors")
        if not 0 <= self.uses <= MOST_USES:
            raise ValueError(f"want 0 to {MOST_USES} uses")
        if not 0 <= self.issued_at <= LATEST or not 0 <= self.valid_from < self.valid_until <= LATEST:
            raise ValueError("a pass ends after it begins, and before 2106")
        if self.uses and len(self.doors) != 1:
            raise ValueError("a pass whose uses are counted names one door: they are counted there, and nowhere else")
        if self.person is not None and str(uuid.UUID(self.person)) != self.person:
            raise ValueError("want a person's session_id")

    @property
    def name(self) -> str:
        """What people and commands call it."""
        return self.number.hex()

    @property
    def body(self) -> bytes:
        """What is signed, without `SIGNED`."""
        head = _HEAD.pack(self.issuer, self.number, self.issued_at, self.valid_from, self.valid_until, self.uses)
        person = b"\0" if self.person is None else b"\1" + uuid.UUID(self.person).bytes
        return head + person + bytes([len(self.doors)]) + b"".join(self.doors)

    def text(self, signature: bytes) -> str:
        """Return what the QR code has."""
        return PREFIX + base64.b32encode(self.body + signature).rstrip(b"=").decode()


def read_pass(text: str) -> tuple[VisitorPass, bytes]:
    """Read a pass and its signature, which is not looked at; one pass has one text.

    Raises:
        ValueError: it is none.
    """
    code = text.removeprefix(PREFIX)
    if code == text or len(text) > LONGEST_TEXT or not code.isascii():
        raise ValueError("no pass")
    try:
        content = base64.b32decode(code + "=" * (-len(code) % 8))
        issuer, number, issued_at, valid_from, valid_until, uses = _HEAD.unpack_from(content)
        at = _HEAD.size
        has_person = content[at]
        person = str(uuid.UUID(bytes=content[at + 1 : at + 1 + _PERSON_BYTES])) if has_person else None
        at += 1 + _PERSON_BYTES * has_person
        doors_at = at + 1
        end = doors_at + content[at] * ID_BYTES
        doors = tuple(content[place : place + ID_BYTES] for place in range(doors_at, end, ID_BYTES))
        shown = VisitorPass(issuer, number, issued_at, valid_from, valid_until, uses, person, doors)
    except (ValueError, struct.error, IndexError) as error:
        raise ValueError("no pass") from error
    signature = content[end:]
    if len(signature) != SIGNATURE_BYTES or shown.text(signature) != text:
        raise ValueError("no pass")
    return shown, signature


@dataclass(frozen=True, slots=True)
class Known:
    """What is known as a pass is shown; a signature that is wrong never comes this far."""

    now: float  # s UTC
    is_clock_trusted: bool
    here: frozenset[bytes]  # the ids by which this door is known
    is_fleets: bool  # whether whoever issued it belongs to this kiosk's fleet, as this kiosk does
    is_ours: bool  # whether this kiosk issued it, and so has a list of its passes
    is_listed: bool = True  # whether it stands in that list, as it is shown
    is_revoked: bool = False
    used: int = 0
    restored_at: float | None = None  # s UTC; when a backup was put back last


def objection(shown: VisitorPass, known: Known, rule: PassRule) -> PassRefusal | None:
    """Say what speaks against a pass that is signed well; None where nothing does."""
    is_here = bool(known.here.intersection(shown.doors)) if shown.doors else known.is_fleets or known.is_ours
    is_unlisted = known.is_ours and not known.is_listed
    against = (  # the first one is told; a comparison with a NaN is false, and so speaks against it
        (PassRefusal.CLOCK, not known.is_clock_trusted),
        (PassRefusal.WRONG_DOOR, not is_here),
        (PassRefusal.REVOKED, known.is_revoked),
        (PassRefusal.NOT_YET, not known.now >= shown.valid_from),
        (PassRefusal.EXPIRED, not known.now < shown.valid_until),
        (PassRefusal.REVOKED, is_unlisted),  # ended ones are dropped from the list after a while
        (PassRefusal.TOO_LONG, shown.valid_until - shown.valid_from > rule.longest_days * 86400.0),
        (PassRefusal.RESTORED, known.restored_at is not None and not shown.issued_at > known.restored_at),
        (PassRefusal.USED_UP, bool(shown.uses) and known.used >= shown.uses),
    )
    return next((why for why, speaks in against if speaks), None)
