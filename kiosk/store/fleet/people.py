"""What the documents say together becomes the people of this store, with records of the log."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kiosk.errors import KioskError
from kiosk.store import subject_rows
from kiosk.store.chain import Kind
from kiosk.store.fleet import document_rows
from kiosk.store.fleet.document import Document, Register, SharedReference
from kiosk.store.subjects import Details, Enrolment, Subject
from kiosk.types import Status, Template

if TYPE_CHECKING:
    from kiosk.store.decision_log import Transaction
    from kiosk.store.store import Store

ORIGIN = "fleet"  # in the change table
LONGEST_ORIGIN = 4000  # characters; the check of a person's row counts them, see subject_rows.py


class ForgedError(KioskError):
    """Something that a member signed cannot be put into the store."""


class SharedPeople:
    """Makes people of documents, within a transaction of the caller's. Safe in any thread."""

    def __init__(self, store: Store) -> None:
        self._vault, self._erasures = store.vault, store.people.erasures

    def show(self, transaction: Transaction, person: str, before: Document, after: Document, origin: str) -> str | None:
        """Make the person of the store what the documents say together; return what was done, None for nothing."""
        actor, known = f"fleet:{origin}", self.known(transaction, person)
        if not after.is_person:
            if known is not None and before.is_person:  # only a former kiosk knew them
                self._erasures.erase_within(
                    transaction, known.session_number, actor=actor, origin=ORIGIN, is_for_good=False
                )
            return "gone" if known is not None else None
        if known is None:
            self._enrol(transaction, person, after, actor)
            return "enrolled"
        return self._change(transaction, known, before, after, actor)

    def known(self, transaction: Transaction, person: str) -> Subject | None:
        """Return the person as the store has them; None where it does not."""
        connection = transaction.connection
        found = connection.execute("SELECT session_number FROM subject WHERE session_id = ?", (person,)).fetchone()
        return subject_rows.read(connection, self._vault, found[0]) if found else None

    def _enrol(self, transaction: Transaction, person: str, document: Document, actor: str) -> None:
        subject = _described(document)
        references = list(document.references.values())
        enrolment = Enrolment(
            [template_of(one) for one in references],
            subject.details,
            status=subject.status,
            source=subject.source,
            external_id=subject.external_id,
            is_blocklisted=subject.is_blocklisted,
            is_allowlisted=subject.is_allowlisted,
            verification_date=subject.verification_date,
            valid_from=subject.valid_from,
            valid_until=subject.valid_until,
        )
        made = subject_rows.insert(
            transaction.connection,
            self._vault,
            enrolment,
            session_id=person,
            now=subject.verification_date,
            retention_until=subject.retention_until,
            origin=ORIGIN,
        )
        transaction.record(
            Kind.ENROL,
            session_number=made.session_number,
            details={
                "references": len(references),
                "source": subject.source,
                "status": subject.status.value,
                "is_blocklisted": subject.is_blocklisted,
                "is_allowlisted": subject.is_allowlisted,
            },
            actor=actor,
        )

    def _change(
        self, transaction: Transaction, known: Subject, before: Document, after: Document, actor: str
    ) -> str | None:
        connection, number, done = transaction.connection, known.session_number, None
        described = _described(after)
        new = replace(
            described,
            details=_with_language(described.details, known.details),
            session_number=number,
            session_id=known.session_id,
            references=known.references,
            images=known.images,
        )
        if new != known:
            subject_rows.update(connection, self._vault, new, ORIGIN)
            kinds = [Kind.PATCH]
            if new.is_blocklisted != known.is_blocklisted:
                kinds = [Kind.BLOCK if new.is_blocklisted else Kind.UNBLOCK]
            for kind in kinds:
                transaction.record(kind, session_number=number, actor=actor)
            done = kinds[0].value
        for key in after.references.keys() - before.references.keys():
            one = after.references[key]
            row = subject_rows.insert_reference(
                connection, self._vault, number, template_of(one), quality=one.quality, now=one.created_at
            )
            transaction.record(
                Kind.REFERENCE, session_number=number, details={"reference": row, "model": one.model}, actor=actor
            )
            done = done or "reference"
        for key in before.references.keys() - after.references.keys():  # of a former kiosk
            self._drop_reference(transaction, number, before.references[key])
            done = done or "reference"
        if done is not None:
            subject_rows.touch(connection, number, ORIGIN)
        return done

    def _drop_reference(self, transaction: Transaction, number: int, gone: SharedReference) -> None:
        connection = transaction.connection
        rows = connection.execute("SELECT id FROM reference WHERE subject = ? ORDER BY id", (number,)).fetchall()
        found = document_rows.references_of(connection, self._vault, number)
        for (row,), one in zip(rows, found, strict=True):
            if one.id == gone.id:
                connection.execute("DELETE FROM reference WHERE id = ?", (row,))


def check(document: Document, sizes: dict[str, int]) -> None:
    """Refuse a document that no store can hold, whatever it is joined with.

    Args:
        document: opened.
        sizes: of the templates of each model so far; a model that is new is added.

    Raises:
        ForgedError: a register holds what no person has, or a reference is no template.
    """
    stand_in: dict[str, Register] = {
        name: Register(0, "", value)
        for name, value in (("status", Status.APPROVED.value), ("dates", [None, None, 0.0]), ("made", [0.0, "", None]))
    }
    _described(Document({**stand_in, **document.registers}))
    for one in document.references.values():
        size = template_of(one).vector.size
        if sizes.setdefault(one.model, size) != size:
            raise ForgedError(f"templates of model {one.model} have {sizes[one.model]} numbers, one has {size}")


def _with_language(new: Details, known: Details) -> Details:
    """Return details with the language in which a person agreed here, which the fleet's documents do not tell."""
    is_same = (new.consent_version, new.consent_at) == (known.consent_version, known.consent_at)
    return replace(new, consent_language=known.consent_language) if is_same else new


def _described(document: Document) -> Subject:
    """Return the person that documents describe; number, session_id and counts are to be filled in.

    Raises:
        ForgedError: a register holds what no person has.
    """
    try:
        name, kind, number, vendor, consent, consent_at = document.value("details") or [None] * 6
        valid_from, valid_until, retention_until = document.value("dates")
        date, source, external = document.value("made")
        if not isinstance(document.value("groups") or [], list):
            raise TypeError("groups")
        groups = document.groups
        for text in (name, kind, number, vendor, consent, external, document.value("plan"), *groups):
            if text is not None and not isinstance(text, str):
                raise TypeError(text)
        if max(len(str(source)), len(external or "")) > LONGEST_ORIGIN:
            raise ValueError("origin")
        return Subject(
            session_number=0,
            session_id="",
            verification_date=_time(date),
            status=Status(document.value("status")),
            is_blocklisted=document.is_blocked,
            is_allowlisted=bool(document.value("allow")),
            source=str(source),
            external_id=external,
            valid_from=None if valid_from is None else _time(valid_from),
            valid_until=None if valid_until is None else _time(valid_until),
            retention_until=_time(retention_until),
            references=0,
            images=0,
            details=Details(
                name,
                kind,
                number,
                vendor,
                document.block_reason,
                document.value("plan"),
                consent,
                None if consent_at is None else _time(consent_at),
                groups,
            ),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ForgedError(f"a document describes no person ({type(error).__name__})") from None


def _time(value: Any) -> float:
    """Return a time as a store takes it; a NaN is none in SQLite, and no JSON has an infinite one."""
    if isinstance(value, (str, bool)) or not math.isfinite(found := float(value)):
        raise TypeError("want a time")
    return found


def template_of(one: SharedReference) -> Template:
    """Return a reference as a store takes it.

    Raises:
        ForgedError: it is no template.
    """
    try:
        vector = np.frombuffer(one.vector, "<f4").astype(np.float32)
        return Template(vector, one.model, one.quality)
    except ValueError as error:
        raise ForgedError(f"a document holds no template ({error})") from None
