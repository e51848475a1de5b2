"""The decision log as a chain: one record's canonical bytes, its hash, its signature, and the walk.

Each record is JSON text with sorted keys and no spaces. It holds the hash of the record before it;
its own hash is SHA-256 of the text; the device signs that hash with Ed25519 (RFC 8032). So one
signature covers everything before it, and an edit, a gap or another order shows at that place.

What a chain alone cannot show is that its end was cut off: the shorter chain is a good chain. The
store therefore keeps the newest (seq, hash) in a second file as a `Head`. Somebody who can put back
an older head file *and* the older database at once is found only by comparing with a head that left
the device: an anchor (see anchor.py), an export, a receipt, a backup.

The log holds no personal data. `vendor_data` enters as a commitment, SHA-256 of a random salt and
the text; salt and text lie encrypted elsewhere, and once they are erased the commitment says nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.types import ClockState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FORMAT = 1
NO_HASH = "0" * 64  # stands before the first record
FAULTS_SHOWN = 20  # one bad page can spoil thousands; a person reads the first few
_RECORD_DOMAIN = b"kiosk-log-1\0"  # a signature of one kind of thing is none of another
_RECEIPT_DOMAIN = b"kiosk-receipt-1\0"


class Kind(str, Enum):
    """What a record of the log is about."""

    FACE_MATCH = "FACE_MATCH"
    FACE_SEARCH = "FACE_SEARCH"
    PASSIVE_LIVENESS = "PASSIVE_LIVENESS"  # one photograph, at the API
    VERIFY = "VERIFY"  # 1:1 at the door, against a claimed subject
    IDENTIFY = "IDENTIFY"  # 1:N at the door
    REVISION = "REVISION"  # a second opinion; details.of is the first one's request_id
    REVIEW = "REVIEW"  # an operator approved or declined
    ENROL = "ENROL"
    REFERENCE = "REFERENCE"  # one more reference of someone enrolled
    PATCH = "PATCH"
    BLOCK = "BLOCK"
    UNBLOCK = "UNBLOCK"
    ALLOW = "ALLOW"
    DISALLOW = "DISALLOW"
    FORGET = "FORGET"
    SETTINGS = "SETTINGS"
    RELEASE = "RELEASE"  # an operator opened the door
    DOOR = "DOOR"  # what the door did: relay, contact, exit button
    POLICY = "POLICY"  # an alarm system switched the kiosk off or on
    KEY = "KEY"  # a key of the API was made or revoked
    INIT = "INIT"
    MIGRATE = "MIGRATE"
    REKEY = "REKEY"
    RESTORE = "RESTORE"
    CLOCK = "CLOCK"  # an operator confirmed what time it is; details.confirmed_at, s UTC
    LOSS = "LOSS"  # the log ended before its signed head: records were lost or cut off


DECISION_KINDS = frozenset(
    {Kind.FACE_MATCH, Kind.FACE_SEARCH, Kind.PASSIVE_LIVENESS, Kind.VERIFY, Kind.IDENTIFY, Kind.REVISION}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log. `None` and empty fields are left out of its text."""

    seq: int
    at: float  # seconds UTC, to the millisecond
    kind: Kind
    request_id: str
    prev_hash: str  # hexadecimal SHA-256 of the record before
    clock: ClockState
    status: str | None = None
    score: float | None = None
    session_number: int | None = None
    warnings: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    gallery_size: int | None = None
    vendor: str | None = None  # commitment to vendor_data
    actor: str = ""  # who asked: a key's id, "cli", "sweep"
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signed:
    """A record as it is stored and exported."""

    seq: int
    record: str
    hash: bytes
    signature: bytes

    @property
    def entry(self) -> Entry:
        """The record, read."""
        return parse(self.record)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record that was acknowledged, and the highest session_number ever given out."""

    seq: int
    hash: str
    session_number: int


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What a walk over the log found."""

    records: int
    last_seq: int
    last_hash: str
    faults: tuple[str, ...]  # at most FAULTS_SHOWN, in log order
    fault_count: int
    notes: tuple[str, ...]  # gaps that a restore declared, changes of key

    @property
    def is_intact(self) -> bool:
        """Nothing was edited, removed, put in or reordered."""
        return not self.fault_count


def canonical(value: Mapping[str, Any]) -> str:
    """Return the one JSON text of a mapping.

    >>> canonical({"b": 1.5, "a": "é"})
    '{"a":"é","b":1.5}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def to_record(entry: Entry) -> str:
    """Return the text that is hashed and signed."""
    fields: dict[str, Any] = {
        "v": FORMAT,
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind.value,
        "request_id": entry.request_id,
        "prev_hash": entry.prev_hash,
        "clock": entry.clock.value,
        "status": entry.status,
        "score": entry.score,
        "session_number": entry.session_number,
        "warnings": list(entry.warnings) or None,
        "thresholds": dict(entry.thresholds) or None,
        "model": entry.model,
        "gallery_size": entry.gallery_size,
        "vendor": entry.vendor,
        "actor": entry.actor or None,
        "details": dict(entry.details) or None,
    }
    return canonical({name: value for name, value in fields.items() if value is not None})


def parse(record: str) -> Entry:
    """Read a record's text.

    Raises:
        ValueError: not a record of this format.
    """
    try:
        fields = json.loads(record)
        if fields.pop("v") != FORMAT:
            raise ValueError("a record of another format")
        fields["kind"] = Kind(fields["kind"])
        fields["clock"] = ClockState(fields["clock"])
        fields["warnings"] = tuple(fields.get("warnings", ()))
        entry = Entry(**fields)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a record of the log") from error
    if type(entry.seq) is not int or not isinstance(entry.at, (int, float)) or not isinstance(entry.details, dict):
        raise ValueError("a record whose fields are of another kind")
    return entry


def sign_entry(entry: Entry, sign: Callable[[bytes], bytes]) -> Signed:
    """Hash and sign a record."""
    record = to_record(entry)
    digest = hashlib.sha256(record.encode()).digest()
    return Signed(entry.seq, record, digest, sign(_RECORD_DOMAIN + digest))


def sign_receipt(body: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a receipt's text: the body and the device's signature over it."""
    signature = sign(_RECEIPT_DOMAIN + canonical(body).encode())
    return canonical({"receipt": dict(body), "signature": signature.hex()})


def receipt_holds(text: str, public_key: bytes) -> bool:
    """Say whether a receipt was signed by the device with this public key, and is unchanged."""
    try:
        fields = json.loads(text)
        signature = bytes.fromhex(fields["signature"])
        body = canonical(fields["receipt"]).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return is_signature(public_key, signature, _RECEIPT_DOMAIN + body)


def is_signed(signed: Signed, public_key: bytes) -> bool:
    """Say whether one record is unchanged and signed by the device with this public key."""
    return _digest(signed.record) == signed.hash and is_signature(
        public_key, signed.signature, _RECORD_DOMAIN + signed.hash
    )


def _digest(record: str) -> bytes:
    """Return the hash of any text; of half a character too, as one that was changed may hold."""
    return hashlib.sha256(record.encode("utf-8", "surrogatepass")).digest()


def commit(salt: bytes, text: str) -> str:
    """Return a commitment to a text, meaningless to whoever lacks the salt."""
    return hashlib.sha256(salt + text.encode()).hexdigest()


def verify(log: Iterable[Signed], *, public_key: bytes | None = None, every_signature: bool = True) -> LogCheck:
    """Walk the log from its first record and name everything that does not fit.

    Args:
        log: all records, in the order of the table.
        public_key: the device's, 32 bytes; the last signature must be by it. The walk itself starts
            from the key in the first record and follows each REKEY.
        every_signature: False checks only the last signature of each key, which by the chain covers
            for all before it, and takes a twentieth of the time.

    Returns:
        The verdict; an empty log is not intact, since `init` writes the first record.
    """
    walk = _Walk(every_signature=every_signature)
    for signed in log:
        walk.step(signed)
    return walk.finish(public_key)


class _Walk:
    """The state of one walk over the log."""

    def __init__(self, *, every_signature: bool) -> None:
        self._every_signature = every_signature
        self._records = 0
        self._seq = 0
        self._hash = NO_HASH
        self._key = b""
        self._unchecked: Signed | None = None
        self._faults: list[str] = []
        self._fault_count = 0
        self._notes: list[str] = []

    def step(self, signed: Signed) -> None:
        """Hold one record against the one before."""
        seq = signed.seq
        self._records += 1
        digest = _digest(signed.record)
        if digest != signed.hash:
            self._fault(f"record {seq} was edited")
        try:
            entry = parse(signed.record)
        except ValueError:
            self._fault(f"record {seq} cannot be read")
            self._seq, self._hash = seq, signed.hash.hex()
            return
        if entry.seq != seq:
            self._fault(f"record {entry.seq} stands in the place of record {seq}")
        self._follow(entry, seq)
        if self._records == 1:
            self._key = _key_in(entry, "public_key")
        self._check_signature(signed, last=entry.kind is Kind.REKEY)
        if entry.kind is Kind.REKEY:
            self._key = _key_in(entry, "next_public_key")
            self._notes.append(f"record {seq} changed the device's key")
        self._seq, self._hash = seq, digest.hex()

    def _follow(self, entry: Entry, seq: int) -> None:
        if seq <= self._seq:
            self._fault(f"record {seq} comes after record {self._seq}")
        elif seq > self._seq + 1:
            gap = f"records {self._seq + 1} to {seq - 1} are missing"
            if entry.kind is Kind.RESTORE and entry.details.get("replaces") == [
                self._seq + 1,
                seq - 1,
            ]:
                self._notes.append(f"{gap}: given up by the restore in record {seq}")
            else:
                self._fault(gap)
                if entry.kind is not Kind.LOSS:
                    return  # its prev_hash names a missing record: one fault, told once
        if entry.prev_hash != self._hash:
            self._fault(f"record {seq} does not follow the record before it")
        if entry.kind is Kind.LOSS and entry.details.get("head") == "missing":
            self._fault(f"the head file was missing at record {seq}: a log cut off before it would not have shown")

    def _check_signature(self, signed: Signed, *, last: bool) -> None:
        self._unchecked = signed
        if self._every_signature or last:
            if not is_signature(self._key, signed.signature, _RECORD_DOMAIN + signed.hash):
                self._fault(f"record {signed.seq} is not signed by this device")
            self._unchecked = None

    def finish(self, public_key: bytes | None) -> LogCheck:
        """Check what only the end can show."""
        if self._unchecked is not None:
            self._check_signature(self._unchecked, last=True)
        if not self._records:
            self._fault("the log is empty")
        elif public_key is not None and self._key != public_key:
            self._fault("the log was signed with another device's key")
        return LogCheck(
            self._records,
            self._seq,
            self._hash,
            tuple(self._faults),
            self._fault_count,
            tuple(self._notes),
        )

    def _fault(self, text: str) -> None:
        self._fault_count += 1
        if len(self._faults) < FAULTS_SHOWN:
            self._faults.append(text)


def keys_in(entry: Entry) -> tuple[bytes, ...]:
    """Return the public keys that an INIT or REKEY record names."""
    return tuple(_key_in(entry, name) for name in ("public_key", "next_public_key") if name in entry.details)


def _key_in(entry: Entry, name: str) -> bytes:
    try:
        return bytes.fromhex(entry.details[name])
    except (KeyError, TypeError, ValueError):
        return b""  # no key verifies nothing, so every signature after it is a fault


def is_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether the holder of an Ed25519 key signed a message; False where it is no key at all."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


SLOT_BYTES = 256
SLOTS = 2  # written in turn: a torn write leaves the other


def encode_head(head: Head, mac: Callable[[bytes], bytes]) -> bytes:
    """Return one slot of the head file: text, its check, padding to SLOT_BYTES."""
    text = canonical({"seq": head.seq, "hash": head.hash, "session_number": head.session_number}).encode()
    slot = mac(b"head|" + text).hex().encode() + b" " + text
    return slot.ljust(SLOT_BYTES - 1) + b"\n"


def decode_head(content: bytes, mac: Callable[[bytes], bytes]) -> Head | None:
    """Return the newest good head of a head file; None when no slot is whole."""
    heads = []
    for start in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES):
        check, _, text = content[start : start + SLOT_BYTES].strip().partition(b" ")
        if text and check == mac(b"head|" + text).hex().encode():
            heads.append(Head(**json.loads(text)))
    return max(heads, key=lambda head: head.seq, default=None)
