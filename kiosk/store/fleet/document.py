"""What the kiosks of one owner share of a person, and how two versions of it become one. Pure.

Each kiosk writes one document for each person, of what it did itself; the person is the `join` of all of them. No clock
decides, and order, repetition and loss of documents cannot change the result: `join` is commutative, associative and
idempotent.

    references   a union, known by their content
    blocks       a union of ids; an unblock lifts the ids it has seen, so that a block made elsewhere meanwhile holds
    registers    name, status, dates, …: the one of the highest (revision, kiosk)
    apart        a union of ids of people who look alike and are others, as an operator said
    forgotten    wins, and leaves nothing else but whose record took its place, where it was a duplicate
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

LONGEST = 4 << 20  # bytes of a document: hundreds of references
REGISTERS = ("details", "plan", "status", "dates", "allow", "made", "groups")
PAD_BYTES = 128  # a document is padded to a multiple: its length says little about a name
HIGHEST = 1 << 53  # a revision, which JSON readers elsewhere must hold too
DEEPEST = 20  # levels of JSON in a register: whoever writes it again may have less room than who read it


@dataclass(frozen=True, slots=True)
class SharedReference:
    """One reference of a person, of whatever model."""

    model: str  # digest
    vector: bytes = field(repr=False)  # float32 little-endian
    quality: float | None
    created_at: float

    @property
    def id(self) -> str:
        """What tells it from others: the same face data has the same id wherever it arrives."""
        return hashlib.sha256(self.model.encode() + b"\0" + self.vector).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Register:
    """A value with its revision; the highest (revision, kiosk) holds."""

    revision: int
    kiosk: str
    value: Any = field(repr=False)  # JSON

    @property
    def rank(self) -> tuple[int, str, str]:
        """By which two are compared; the value itself ends every tie."""
        return self.revision, self.kiosk, _canonical(self.value)


@dataclass(frozen=True, slots=True)
class Document:
    """What one kiosk says of a person, or what all of them say together."""

    registers: Mapping[str, Register] = field(default_factory=dict)
    references: Mapping[str, SharedReference] = field(default_factory=dict, repr=False)
    blocks: Mapping[str, str] = field(default_factory=dict, repr=False)  # id → reason, "" for none
    lifted: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    forgotten: int | None = None  # the roster's number as the person was forgotten; None: they were not
    into: frozenset[str] = frozenset()  # of somebody forgotten as a duplicate: whose record a block on them belongs to

    @property
    def is_blocked(self) -> bool:
        """Whether a block holds."""
        return bool(self.blocks.keys() - self.lifted)

    @property
    def block_reason(self) -> str | None:
        """The reason of one of the blocks that hold, the same on every kiosk."""
        reasons = [self.blocks[one] for one in sorted(self.blocks.keys() - self.lifted) if self.blocks[one]]
        return reasons[0] if reasons else None

    @property
    def is_person(self) -> bool:
        """Whether this is enough to know a person by; a block alone may arrive first."""
        return self.forgotten is None and {"made", "status", "dates"} <= self.registers.keys()

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the person."""
        return tuple(self.value("groups") or ())

    def value(self, name: str) -> Any:
        """Return what a register holds; None where it was never written."""
        found = self.registers.get(name)
        return None if found is None else found.value


EMPTY = Document()


def forgotten_document(roster: int, into: Iterable[str] = ()) -> Document:
    """Return the tombstone of a person: that they were forgotten, as of which roster, and who took their place."""
    return Document(forgotten=roster, into=frozenset(into))


def join(one: Document, other: Document) -> Document:
    """Return what two documents say together."""
    numbers = [each.forgotten for each in (one, other) if each.forgotten is not None]
    if numbers:
        return Document(forgotten=min(numbers), into=one.into | other.into)
    registers = dict(one.registers)
    for name, register in other.registers.items():
        if name not in registers or registers[name].rank < register.rank:
            registers[name] = register
    references = dict(one.references)
    for key, reference in other.references.items():
        if key not in references or _rank(references[key]) < _rank(reference):
            references[key] = reference
    blocks = dict(one.blocks)
    for key, reason in other.blocks.items():
        blocks[key] = max(reason, blocks.get(key, ""))
    return Document(registers, references, blocks, one.lifted | other.lifted, one.apart | other.apart)


def join_all(documents: Iterable[Document]) -> Document:
    """Return what documents say together."""
    return reduce(join, documents, EMPTY)


def carry(own: Document, whole: Document, gone: Document) -> Document:
    """Return this kiosk's document with the blocks of a duplicate that is gone; equal to `own` where none is missing.

    They keep their ids: whoever carries them, and however often, an unblock that has seen one lifts it for good.

    Args:
        own: this kiosk's document of who stays.
        whole: what all documents known here say of who stays.
        gone: what was said of the duplicate.
    """
    if not gone.is_blocked or not gone.blocks.keys() - gone.lifted - whole.blocks.keys():
        return own
    return replace(own, blocks={**own.blocks, **gone.blocks}, lifted=own.lifted | gone.lifted)


def contribute(
    own: Document,
    whole: Document,
    *,
    kiosk: str,
    values: Mapping[str, Any],
    references: Iterable[SharedReference],
    block: tuple[str, str] | None,
) -> Document:
    """Return this kiosk's document after an act here; equal to `own` where all of it is said already.

    Args:
        own: this kiosk's document so far.
        whole: what all documents known here say together.
        kiosk: this one.
        values: of the registers, as they are here now.
        references: as they are here now.
        block: where the person is blocked here now, an id never used before and the reason; else None.
    """
    registers = dict(own.registers)
    for name, value in values.items():
        known = whole.registers.get(name)
        if known is None and value == []:  # an older program never wrote it, and it says nothing yet
            continue
        if known is None or known.value != value:
            revision = 1 if known is None else min(known.revision + 1, HIGHEST - 1)  # one above is read by nobody
            registers[name] = Register(revision, kiosk, value)
    added = {one.id: one for one in references if one.id not in whole.references}
    blocks, lifted = dict(own.blocks), own.lifted
    if block is not None and not whole.is_blocked:
        blocks[block[0]] = block[1]
    elif block is None and whole.is_blocked:
        lifted |= whole.blocks.keys() - whole.lifted
    return Document(registers, {**own.references, **added}, blocks, lifted, own.apart)


def pack(document: Document) -> bytes:
    """Return a document as bytes, padded; the same document gives the same bytes everywhere."""
    text = _canonical(plain(document)).encode()
    return text.ljust(-(-len(text) // PAD_BYTES) * PAD_BYTES)  # JSON ignores blanks at its end


def plain(document: Document) -> dict[str, Any]:
    """Return a document as JSON has it."""
    if document.forgotten is not None:
        return {"forgotten": document.forgotten, **({"into": sorted(document.into)} if document.into else {})}
    return {
        "registers": {name: [one.revision, one.kiosk, one.value] for name, one in document.registers.items()},
        "references": [
            [one.model, base64.b64encode(one.vector).decode(), one.quality, one.created_at]
            for _, one in sorted(document.references.items())
        ],
        "blocks": dict(document.blocks),
        "lifted": sorted(document.lifted),
        **({"apart": sorted(document.apart)} if document.apart else {}),
    }


def unpack(content: bytes) -> Document:
    """Read what `pack` wrote, wherever.

    Raises:
        ValueError: it is no document, or none that can be written here.
    """
    if len(content) > LONGEST:
        raise ValueError("a document is larger than any that a kiosk writes")
    found = unpack_own(content)
    try:
        pack(found)  # one that is taken and cannot be kept stops the transaction, and all that came with it
    except RecursionError:
        raise ValueError("a document is nested too deep") from None
    return found


def unpack_own(content: bytes) -> Document:
    """Read what `pack` wrote here: what was joined may be larger than what travels.

    Raises:
        ValueError: it is no document.
    """
    try:
        whole = json.loads(content, parse_constant=_refuse)
        if not isinstance(whole, dict):
            raise TypeError("want an object")
        return _document(whole)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"a document is not in form ({type(error).__name__})") from None


def _document(whole: Mapping[str, Any]) -> Document:
    if "forgotten" in whole:
        return forgotten_document(_count(whole["forgotten"]), map(_text, whole.get("into", ())))
    registers = {
        name: Register(_count(revision), _text(kiosk), _shallow(value))
        for name, (revision, kiosk, value) in whole["registers"].items()
    }
    references = [
        SharedReference(_text(model), base64.b64decode(vector, validate=True), _number(quality), _time(created))
        for model, vector, quality, created in whole["references"]
    ]
    blocks = {_text(key): _text(reason) for key, reason in whole["blocks"].items()}
    lifted, apart = (frozenset(map(_text, found)) for found in (whole["lifted"], whole.get("apart", ())))
    return Document(registers, {one.id: one for one in references}, blocks, lifted, apart)


def digest(document: Document) -> bytes:
    """Return what two kiosks compare to know that they hold the same."""
    return hashlib.sha256(_canonical(plain(document)).encode()).digest()


def fingerprint(key: bytes, person: str, version: int, document: Document) -> bytes:
    """Return what names a kiosk's word on a person in a roster, however often it was sealed; keyed: it tells nobody."""
    said = f"{person}\0{version}\0{_canonical(plain(document))}".encode()
    return hashlib.blake2b(said, key=key[:32], digest_size=16, person=b"kiosk fleet word").digest()


def _rank(reference: SharedReference) -> tuple[float, float]:
    return -1.0 if reference.quality is None else reference.quality, reference.created_at


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _refuse(text: str) -> None:
    raise ValueError(f"a document holds {text}, which is no number")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("want a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < HIGHEST:
        raise TypeError("want a count")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError("want a number")
    return float(value)


def _time(value: object) -> float:
    found = _number(value)
    if found is None:
        raise TypeError("want a time")
    return found


def _shallow(value: Any, levels: int = DEEPEST) -> Any:
    """Return a value of JSON that is not nested deeper than any that a kiosk writes."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not levels:
        raise TypeError("nested too deep")
    for one in inside:
        _shallow(one, levels - 1)
    return value
