"""The decision log as a chain: one record's canonical bytes, its hash, its signature, and the walk.

Each record is JSON text with sorted keys and no spaces. It holds the hash of the record before it;
its own hash is SHA-256 of the text; the device signs that hash with Ed25519 (RFC 8032). So one
signature covers everything before it, and an edit, a gap or another order shows at that place.

What a chain alone cannot show is that its end was cut off: the shorter chain is a good chain. The
store therefore keeps the newest (seq, hash) in a second file as a `Head`. Somebody who can put back
an older head file *and* the older database at once is found only by comparing with a head that left
the device: an anchor (see upkeep/anchor.py), an export, a receipt, a backup.

Old records may be removed (see upkeep/retention.py). A PRUNE record then vouches for what stood before them: the walk
goes on from there, and holds what was kept of the older ones against it (see checkpoint.py).

The log holds no personal data. `vendor_data` enters as a commitment, SHA-256 of a random salt and
the text; salt and text lie encrypted elsewhere, and once they are erased the commitment says nothing.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kiosk.store.checkpoint import Checkpoint, KeptRecords, read_checkpoint
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
    AGE_ESTIMATION = "AGE_ESTIMATION"  # one photograph, at the API
    ID_VERIFICATION = "ID_VERIFICATION"  # photographs of a document, at the API
    SESSION = "SESSION"  # a session of several steps has ended, see device/sessions
    SESSION_STATUS = "SESSION_STATUS"  # such a session was made, or has begun; details.of is its id
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
    EXPORT = "EXPORT"  # an operator took people away as a table or an archive
    RELEASE = "RELEASE"  # an operator opened the door
    DOOR = "DOOR"  # what the door did: relay, contact, exit button
    POLICY = "POLICY"  # an alarm system switched the kiosk off or on
    KEY = "KEY"  # a key of the API was made or revoked
    INIT = "INIT"
    MIGRATE = "MIGRATE"
    REKEY = "REKEY"
    RESTORE = "RESTORE"
    CLOCK = "CLOCK"  # an operator confirmed what time it is; details.confirmed_at, s UTC
    PRUNE = "PRUNE"  # old records were removed; the details are a checkpoint, see checkpoint.py
    LOSS = "LOSS"  # the log ended before its signed head: records were lost or cut off


DECISION_KINDS = frozenset(
    {
        *(Kind.FACE_MATCH, Kind.FACE_SEARCH, Kind.PASSIVE_LIVENESS, Kind.AGE_ESTIMATION, Kind.SESSION),
        *(Kind.ID_VERIFICATION, Kind.VERIFY, Kind.IDENTIFY, Kind.REVISION),
    }
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
    notes: tuple[str, ...]  # gaps that a restore declared, changes of key, what was removed for its age
    checkpoint: Checkpoint | None = None  # None: the log reaches back to its first record

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


def verify(
    log: Iterable[Signed],
    *,
    public_key: bytes | None = None,
    every_signature: bool = True,
    checkpoint: Checkpoint | None = None,
    takes_losses: bool = False,
) -> LogCheck:
    """Walk the log from its first record and name everything that does not fit.

    Args:
        log: all records, in the order of the table.
        checkpoint: of the log's newest PRUNE record, as `newest_checkpoint` finds it; None where there is none.
        public_key: the device's, 32 bytes; the last signature must be by it. The walk itself starts
            from the key in the first record and follows each REKEY.
        every_signature: False checks only the last signature of each key, which by the chain covers
            for all before it, and takes a twentieth of the time.
        takes_losses: what a LOSS record declares is a note, no fault.

    Returns:
        The verdict; an empty log is not intact, since `init` writes the first record.
    """
    walk = Walk(every_signature=every_signature, checkpoint=checkpoint, takes_losses=takes_losses)
    for signed in log:
        walk.step(signed)
    return walk.finish(public_key)


def newest_checkpoint(log: Iterable[Signed]) -> Checkpoint | None:
    """Return the checkpoint in force in a log; None where nothing of it was removed, or its record is damaged."""
    found = None
    for signed in log:
        with suppress(ValueError):
            if (entry := signed.entry).kind is Kind.PRUNE:
                found = read_checkpoint(entry.details)
    return found


class Walk:
    """The state of one walk over a log, or over a part of it."""

    def __init__(
        self,
        *,
        every_signature: bool,
        checkpoint: Checkpoint | None = None,
        after: tuple[int, str] = (0, NO_HASH),
        key: bytes = b"",
        takes_losses: bool = False,
    ) -> None:
        """Begin.

        Args:
            every_signature: see `verify`.
            checkpoint: of the whole log.
            after: seq and hash of the record before the first of a part.
            key: public, by which a part's first records are signed; empty: the first record names it.
            takes_losses: what a LOSS record declares is a note, no fault.
        """
        self._every_signature = every_signature
        self._faults: list[str] = []
        self._fault_count = 0
        self._notes: list[str] = []
        self._checkpoint, self._kept, self._told = checkpoint, KeptRecords(), checkpoint is None
        self._pruned: Checkpoint | None = None  # by the newest PRUNE record met
        self._records = 0
        self._seq, self._hash = after
        self._lose = self._notes.append if takes_losses else self._fault
        self._key = key
        self._unchecked: Signed | None = None

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
        if self._checkpoint is not None and seq <= self._checkpoint.through:
            self._keep(signed, entry)
        else:
            self._cross()
            self._follow(entry, seq)
        if self._records == 1 and not self._key:
            self._key = _key_in(entry, "public_key")
        self._check_signature(signed, last=entry.kind is Kind.REKEY)
        if entry.kind is Kind.REKEY:
            self._key = _key_in(entry, "next_public_key")
            self._notes.append(f"record {seq} changed the device's key")
        elif entry.kind is Kind.PRUNE:
            self._note_pruning(entry)
        self._seq, self._hash = seq, digest.hex()

    def _keep(self, signed: Signed, entry: Entry) -> None:
        """Take a record from before the checkpoint, whose neighbours may be gone."""
        if signed.seq <= self._seq:
            self._fault(f"record {signed.seq} comes after record {self._seq}")
        self._kept.add(signed)
        if entry.kind is Kind.LOSS:  # what it tells stays a fault when its neighbours are gone
            self._tell_missing_head(entry)
            lost = entry.details.get("lost")
            if isinstance(lost, list) and len(lost) == len(("first", "last")):
                self._lose(f"records {lost[0]} to {lost[1]} are missing")

    def _cross(self) -> None:
        """Leave the part before the checkpoint, once: what was kept of it must be what the checkpoint names."""
        if self._told or self._checkpoint is None:
            return
        self._told = True
        found = self._checkpoint
        at = datetime.fromtimestamp(found.at, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._notes.append(
            f"records up to {found.through} were removed for their age, but for {found.kept} that are still needed; "
            f"the log is whole from {at} on"
        )
        if not found.names(self._kept):
            self._fault(
                f"of the records up to {found.through}, {found.kept} were kept; the {self._kept.count} that are there "
                "are not those"
            )
        self._seq, self._hash = found.through, found.hash

    def _note_pruning(self, entry: Entry) -> None:
        try:
            self._pruned = read_checkpoint(entry.details)
        except ValueError:
            self._fault(f"record {entry.seq} cannot be read")

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
            elif entry.kind is Kind.LOSS:
                self._lose(gap)
            else:
                self._fault(gap)
                return  # its prev_hash names a missing record: one fault, told once
        if entry.prev_hash != self._hash:
            self._fault(f"record {seq} does not follow the record before it")
        if entry.kind is Kind.LOSS:
            self._tell_missing_head(entry)

    def _tell_missing_head(self, entry: Entry) -> None:
        if entry.details.get("head") == "missing":
            self._lose(f"the head file was missing at record {entry.seq}: a log cut off before it would not have shown")

    def _check_signature(self, signed: Signed, *, last: bool) -> None:
        self._unchecked = signed
        if self._every_signature or last:
            if not is_signature(self._key, signed.signature, _RECORD_DOMAIN + signed.hash):
                self._fault(f"record {signed.seq} is not signed by this device")
            self._unchecked = None

    def finish(self, public_key: bytes | None) -> LogCheck:
        """Check what only the end can show."""
        self._cross()
        if self._checkpoint is not None and self._pruned != self._checkpoint:
            self._fault("the newest checkpoint of the log is not the one that stands in it")
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
            self._checkpoint,
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
