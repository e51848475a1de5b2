"""Cards and PINs of people, and what was entered with a decision; sealed, and found by a keyed hash of the card.

What an entry was (a PIN, or one under duress) is kept beside the decision, sealed and of one size, for every entry: the
log, its export, a list of decisions and the size of the file say the same of both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kiosk.errors import RefusedError, StoreError
from kiosk.rules.cards import Card, read_card
from kiosk.store.chain import Kind
from kiosk.store.factors.pins import Entered, Pins, read_pins
from kiosk.store.schema import row_context
from kiosk.store.subject_rows import damaged, next_id, nobody, unseal
from kiosk.store.vault import InvalidTag

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from kiosk.store.database import Database
    from kiosk.store.decision_log import Transaction
    from kiosk.store.vault import Vault
    from kiosk.types import SubjectId

TABLE, NOTES = "factor", "factor_note"
SEALED_BYTES = 512  # of every person's row, whatever they have
NOTE_BYTES = 64  # of every note


@dataclass(frozen=True, slots=True)
class Factors:
    """What one person has and knows."""

    card: Card | None = field(default=None, repr=False)
    pins: Pins | None = field(default=None, repr=False)
    suspended_until: float | None = None  # s UTC; stays outside until then
    wrong: int = 0  # PINs entered for this person since their right one, or since they were given another

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not self.names

    @property
    def names(self) -> list[str]:
        """What of it there is."""
        kept = {"card": self.card, "pin": self.pins, "suspended_until": self.suspended_until}
        return [name for name, one in kept.items() if one is not None]


@dataclass(frozen=True, slots=True)
class Note:
    """What was entered with a decision; for those alone who may know."""

    request_id: str
    at: float  # s UTC
    session_number: SubjectId | None
    entered: Entered


class FactorStore:
    """The cards and PINs of one store; `Store.factors` is it."""

    def __init__(
        self, database: Database, vault: Vault, transaction: Callable[[], AbstractContextManager[Transaction]]
    ) -> None:
        self._database, self._vault, self._transaction = database, vault, transaction

    def read(self, number: SubjectId) -> Factors:
        """Return what a person has; nothing for somebody who has none.

        Raises:
            StoreError: the row was changed or damaged.
        """
        with self._database.read() as connection:
            return read_factors(connection, self._vault, number)

    def whose(self, card: Card) -> SubjectId | None:
        """Return whose card it is; None where it is nobody's.

        Raises:
            StoreError: the row was changed or damaged.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT subject, id, sealed FROM factor WHERE card_lookup = ?", (self._lookup(card),)
            ).fetchone()
        if found is None:
            return None
        number = int(found[0])
        return number if _opened(self._vault, found[1], number, found[2]).card == card else None  # what is sealed says

    def give(
        self, number: SubjectId, *, card: Card | None = None, pins: Pins | None = None, actor: str = ""
    ) -> Factors:
        """Give a person a card, PINs or both; what is not given stays.

        Raises:
            RefusedError: somebody else has this card.
            StoreError: nobody has this number.
        """
        changed = [name for name, one in (("card", card), ("pin", pins)) if one is not None]
        return self._change(number, lambda known: _given(known, card, pins), changed, actor)

    def take(self, number: SubjectId, *, card: bool = False, pins: bool = False, actor: str = "") -> Factors:
        """Take a card, the PINs or both from a person."""
        changed = [name for name, one in (("card", card), ("pin", pins)) if one]

        def without(known: Factors) -> Factors:
            return _taken(known, card=card, pins=pins)

        return self._change(number, without, changed, actor)

    def suspend(self, number: SubjectId, until: float | None, *, actor: str = "") -> Factors:
        """Keep a person outside until a time, s UTC, without forgetting anything of them; None lets them in again."""
        return self._change(number, lambda known: replace(known, suspended_until=until), ["suspended_until"], actor)

    def count(self, number: SubjectId, *, is_wrong: bool) -> None:
        """Keep that a PIN was entered for a person: one wrong more, or the right one, after which none counts.

        Whoever has no PIN has nothing to guess, and nothing is kept.

        Raises:
            StoreError: the row was changed or damaged, or the store takes nothing.
        """
        with self._transaction() as transaction:
            connection = transaction.connection
            row = connection.execute("SELECT id, sealed FROM factor WHERE subject = ?", (number,)).fetchone()
            known = Factors() if row is None else _opened(self._vault, row[0], number, row[1])
            wrong = known.wrong + 1 if is_wrong else 0
            if known.pins is not None and wrong != known.wrong:
                sealed = self._vault.seal(_pack(replace(known, wrong=wrong)), _context(row[0], number))
                connection.execute("UPDATE factor SET sealed = ? WHERE id = ?", (sealed, row[0]))

    def _change(
        self, number: SubjectId, change: Callable[[Factors], Factors], changed: list[str], actor: str
    ) -> Factors:
        with self._transaction() as transaction:
            connection = transaction.connection
            if connection.execute("SELECT 1 FROM subject WHERE session_number = ?", (number,)).fetchone() is None:
                raise nobody(number)
            new = change(read_factors(connection, self._vault, number))
            if new.card is not None:
                found = connection.execute(
                    "SELECT subject FROM factor WHERE card_lookup = ?", (self._lookup(new.card),)
                ).fetchone()
                if found is not None and found[0] != number:
                    raise RefusedError("this card belongs to somebody else already")
            connection.execute("DELETE FROM factor WHERE subject = ?", (number,))
            if not new.is_empty:
                _insert(connection, self._vault, number, new, self._lookup(new.card) if new.card else None)
            details = {"changed": changed, "has": new.names}
            transaction.record(Kind.PATCH, session_number=number, details=details, actor=actor)
        return new

    def _lookup(self, card: Card) -> bytes:
        return self._vault.lookup("card", card.text)

    def notes(self, *, limit: int = 100, since: float = 0.0) -> tuple[Note, ...]:
        """Return the entries under duress since a time, s UTC, newest first; the caller sees to who may know."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT factor_note.id, factor_note.seq, sealed, log.request_id, log.at, log.session_number"
                " FROM factor_note JOIN log USING (seq) WHERE log.at >= ? ORDER BY factor_note.id DESC",
                (since,),
            )
            return tuple(_duress(rows, self._vault, limit))


def read_factors(connection: sqlite3.Connection, vault: Vault, number: SubjectId) -> Factors:
    """Return what a person has, within the caller's transaction; raises StoreError for a damaged row."""
    row = connection.execute("SELECT id, sealed FROM factor WHERE subject = ?", (number,)).fetchone()
    return Factors() if row is None else _opened(vault, row[0], number, row[1])


def _duress(rows: Any, vault: Vault, limit: int) -> Iterator[Note]:
    for row, seq, sealed, request_id, at, number in rows:
        entered = _noted(vault, row, seq, sealed)
        if entered is Entered.DURESS:
            yield Note(request_id, at, number, entered)
            limit -= 1
        if limit <= 0:
            return


def _noted(vault: Vault, row: int, seq: int, sealed: bytes) -> Entered:
    """Open a note; one that was put beside another decision is damaged."""
    kept = json.loads(unseal(vault, sealed, NOTES, row))
    if kept["seq"] != seq:
        raise damaged(f"{NOTES} {row}")
    return Entered(kept["entered"])


def _given(known: Factors, card: Card | None, pins: Pins | None) -> Factors:
    return replace(known, card=card or known.card, pins=pins or known.pins, wrong=known.wrong if pins is None else 0)


def _taken(known: Factors, *, card: bool, pins: bool) -> Factors:
    left = replace(known, card=None) if card else known
    return replace(left, pins=None, wrong=0) if pins else left


def _insert(
    connection: sqlite3.Connection, vault: Vault, number: SubjectId, factors: Factors, lookup: bytes | None
) -> None:
    row = next_id(connection, TABLE)
    connection.execute(
        "INSERT INTO factor (id, subject, card_lookup, sealed) VALUES (?, ?, ?, ?)",
        (row, number, lookup, vault.seal(_pack(factors), _context(row, number))),
    )


def move(transaction: Transaction, vault: Vault, goes: SubjectId, stays: SubjectId, *, actor: str) -> None:
    """Give what somebody has to whoever turned out to be the same person; who has their own card or PIN keeps that.

    Of two suspensions the longer holds.

    Raises:
        StoreError: a row was changed or damaged.
    """
    connection = transaction.connection
    given, own = (read_factors(connection, vault, number) for number in (goes, stays))
    ends = [one.suspended_until for one in (given, own) if one.suspended_until is not None]
    new = Factors(
        own.card or given.card,
        own.pins or given.pins,
        max(ends, default=None),
        given.wrong if own.pins is None else own.wrong,
    )
    if new == own:
        return
    connection.execute("DELETE FROM factor WHERE subject IN (?, ?)", (goes, stays))
    _insert(connection, vault, stays, new, None if new.card is None else vault.lookup("card", new.card.text))
    changed = [name for name in new.names if _named(new, name) != _named(own, name)]
    transaction.record(Kind.PATCH, session_number=stays, details={"changed": changed, "has": new.names}, actor=actor)


def _named(factors: Factors, name: str) -> object:
    return {"card": factors.card, "pin": factors.pins, "suspended_until": factors.suspended_until}[name]


def _context(row: int, number: SubjectId) -> bytes:
    """Return what a person's row is bound to: a row that is put beside another person does not open."""
    return row_context(f"{TABLE}|{number}", row)


def _opened(vault: Vault, row: int, number: SubjectId, sealed: bytes) -> Factors:
    try:
        return _unpack(vault.open(sealed, _context(row, number)))
    except InvalidTag as error:
        raise damaged(f"{TABLE} {row}") from error


def faults(connection: sqlite3.Connection, vault: Vault) -> Iterator[str]:
    """Yield which rows do not open, are found by another card, or are not what the log says is there."""
    for row, seq, sealed in connection.execute("SELECT id, seq, sealed FROM factor_note"):
        try:
            _noted(vault, row, seq, sealed)
        except StoreError:
            yield f"{NOTES} {row} was changed or damaged"
    logged: Any = connection.execute(
        "SELECT session_number, json_extract(record, '$.details.has') FROM log WHERE seq IN (SELECT max(seq) FROM log"
        " WHERE kind = 'PATCH' AND json_extract(record, '$.details.has') IS NOT NULL GROUP BY session_number)"
        " AND session_number IN (SELECT session_number FROM subject)"
    )
    said = {number: json.loads(names) for number, names in logged}
    for row, number, lookup, sealed in connection.execute("SELECT id, subject, card_lookup, sealed FROM factor"):
        names = said.pop(number, None)
        try:
            found = _opened(vault, row, number, sealed)
        except StoreError:
            yield f"factor {row} was changed or damaged"
            continue
        if lookup != (None if found.card is None else vault.lookup("card", found.card.text)):
            yield f"factor {row} is found by another card than its own"
        if names is not None and names != found.names:
            yield f"factor {row} is not what the decision log says of it"
    yield from (
        f"the factor of subject {number} is gone, but was never taken" for number, names in said.items() if names
    )


def note(connection: sqlite3.Connection, vault: Vault, seq: int, entered: Entered) -> None:
    """Keep what was entered with a decision, in the transaction that records it."""
    row = next_id(connection, NOTES)
    text = json.dumps({"entered": entered.value, "seq": seq}).encode().ljust(NOTE_BYTES)
    connection.execute(
        "INSERT INTO factor_note (id, seq, sealed) VALUES (?, ?, ?)",
        (row, seq, vault.seal(text, row_context(NOTES, row))),
    )


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    """Write the people's rows anew for another key; raises InvalidTag where one is damaged."""
    for row, number, sealed in connection.execute("SELECT id, subject, sealed FROM factor").fetchall():
        content = old.open(sealed, _context(row, number))
        card = _unpack(content).card
        connection.execute(
            "UPDATE factor SET sealed = ?, card_lookup = ? WHERE id = ?",
            (
                new.seal(content, _context(row, number)),
                None if card is None else new.lookup("card", card.text),
                row,
            ),
        )


def _pack(factors: Factors) -> bytes:
    fields = {
        **({} if factors.card is None else {"card": factors.card.text}),
        **({} if factors.pins is None else {"pins": factors.pins.as_dict()}),
        **({} if factors.suspended_until is None else {"suspended_until": factors.suspended_until}),
        **({"wrong": factors.wrong} if factors.wrong else {}),
    }
    return json.dumps(fields, separators=(",", ":")).encode().ljust(SEALED_BYTES)


def _unpack(content: bytes) -> Factors:
    try:
        kept = json.loads(content)
        card = read_card(kept["card"]) if "card" in kept else None
        pins = read_pins(kept["pins"]) if "pins" in kept else None
        return Factors(card, pins, kept.get("suspended_until"), kept.get("wrong", 0))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError("a person's card or PIN cannot be read; give it to them again") from error
