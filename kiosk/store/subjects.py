"""The people of the store, as values: what enrolment needs, what is known, what a search needs.

Every field that may name a person is kept out of `repr`, so that a log line or a traceback shows
numbers only. Times are seconds since 1970 UTC.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.types import Status, SubjectId, Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kiosk.gallery.codes import Coded
    from kiosk.store.vault import Vault

SESSION = "session"  # the source of whoever an approved call made known; lets nobody in at a door
PAD_BYTES = 64  # sealed details are padded to a multiple: their length says little about a name


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a person; all of it sealed at rest."""

    name: str | None = field(default=None, repr=False)
    document_type: str | None = field(default=None, repr=False)
    document_number: str | None = field(default=None, repr=False)
    vendor_data: str | None = field(default=None, repr=False)
    block_reason: str | None = field(default=None, repr=False)
    plan: str | None = None  # of the hours in which the person may enter, see schedule.py; None: everybody's
    consent_version: str | None = None  # of the text the person agreed to
    consent_at: float | None = None  # when, seconds UTC
    groups: tuple[str, ...] = ()  # of the owner's, see rules/doors.py; they say through which doors of a fleet
    consent_language: str | None = None  # in which the text was read, such as de; None: as it was written first


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person to be stored."""

    templates: Sequence[Template] = field(repr=False)
    details: Details = field(default_factory=Details)
    qualities: Sequence[float] = ()  # one per template, or none
    images: Sequence[bytes] = field(default=(), repr=False)  # JPEG; only where a setting keeps them
    status: Status = Status.APPROVED
    source: str = "enrolment"  # or "list_entry", "import", SESSION
    session_id: str | None = None  # None: the store makes one
    external_id: str | None = None  # the entry of a remote list; not personal
    is_blocklisted: bool = False
    is_allowlisted: bool = False
    verification_date: float | None = None  # None: now
    valid_from: float | None = None
    valid_until: float | None = None
    retention_until: float | None = None  # None: now and the store's retention
    liveness: Mapping[str, Any] | None = None  # for the log: how the person was told from a picture; not personal

    def __post_init__(self) -> None:
        """A quality belongs to a template."""
        if self.qualities and len(self.qualities) != len(self.templates):
            raise ValueError(
                f"{len(self.qualities)} qualities for {len(self.templates)} templates; give one each, or none"
            )


@dataclass(frozen=True, slots=True)
class Subject:
    """A person of the store."""

    session_number: SubjectId
    session_id: str
    verification_date: float
    status: Status
    is_blocklisted: bool
    is_allowlisted: bool
    source: str
    external_id: str | None
    valid_from: float | None
    valid_until: float | None
    retention_until: float
    references: int  # how many
    images: int
    details: Details = field(repr=False)

    def is_valid_at(self, now: float) -> bool:
        """Whether the dates of the person include a time, s UTC; the last moment is not part of them."""
        has_begun = self.valid_from is None or self.valid_from <= now
        return has_begun and (self.valid_until is None or now < self.valid_until)


@dataclass(frozen=True, slots=True)
class SubjectPage:
    """One page of people in the order of enrolment, and how many there are in all."""

    total: int
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class SubjectFilter:
    """Which people are wanted; `None` asks for nothing in particular."""

    is_blocklisted: bool | None = None
    is_allowlisted: bool | None = None
    status: Status | None = None
    source: str | None = None
    external_id: str | None = None
    vendor_data: str | None = field(default=None, repr=False)
    document_number: str | None = field(default=None, repr=False)
    ends_by: float | None = None  # seconds UTC: who is not valid any more by then, or will be forgotten


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """A run of references, in the order of enrolment."""

    ids: NDArray[np.int64]  # (K,)
    subjects: NDArray[np.int64]  # (K,) session_numbers
    vectors: NDArray[np.float32] = field(repr=False)  # (K, D), rows of unit length; read-only


@dataclass(frozen=True, slots=True, eq=False)
class CodedReferences:
    """A run of references as the gallery's search has them, in the order of enrolment."""

    ids: NDArray[np.int64]  # (K,)
    subjects: NDArray[np.int64]  # (K,) session_numbers
    coded: Coded = field(repr=False)  # of the K vectors


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What a search must know of each person beside the vectors; rows by rising session_number."""

    session_numbers: NDArray[np.int64]  # (S,)
    is_blocklisted: NDArray[np.bool_]
    is_allowlisted: NDArray[np.bool_]
    status: NDArray[np.uint8]  # place in list(Status)
    valid_from: NDArray[np.float64]  # seconds UTC; -inf where open
    valid_until: NDArray[np.float64]  # seconds UTC; +inf where open


@dataclass(frozen=True, slots=True)
class Changes:
    """Who was enrolled, changed or forgotten since a version."""

    version: int  # ask from here next time
    subjects: tuple[SubjectId, ...]  # each once; whoever `members` then leaves out is gone
    is_whole: bool = True  # False: lines since that version were removed for their age, so everything is loaded anew


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a person who was forgotten is given."""

    session_number: SubjectId
    session_id: str
    is_complete: bool  # False: a reader still held old pages; they go at the next start or sweep
    text: str  # JSON, signed by the device; `ledger.receipt_holds` checks it


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file of an import run, so that the run can go on where it stopped."""

    run: int
    path: str = field(repr=False)  # may hold a name: only its keyed hash is stored
    modified_ns: int
    outcome: str


_DECODER = json.JSONDecoder()


def pack_details(details: Details) -> bytes:
    """Return the bytes to seal."""
    fields = {name: value for name, value in asdict(details).items() if value not in {None, ()}}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return text.ljust(-(-len(text) // PAD_BYTES) * PAD_BYTES)  # JSON ignores blanks at its end


def unpack_details(content: bytes) -> Details:
    """Read what `pack_details` wrote."""
    fields, _ = _DECODER.raw_decode(content.decode())  # its end is padding; json.loads costs thrice
    if "groups" in fields:
        fields["groups"] = tuple(fields["groups"])
    return Details(**fields)


def document_key(number: str) -> str:
    """Return a document number as it is compared: letters and digits only, in capitals.

    >>> document_key("ab-123 456")
    'AB123456'
    """
    return "".join(filter(str.isalnum, number)).upper()


def vendor_lookup(vault: Vault, vendor_data: str | None) -> bytes | None:
    """Return the keyed hash by which a person is found by vendor_data."""
    return None if vendor_data is None else vault.lookup("vendor_data", vendor_data)


def document_lookup(vault: Vault, number: str | None) -> bytes | None:
    """Return the keyed hash by which a person is found by document number."""
    return None if number is None else vault.lookup("document", document_key(number))
