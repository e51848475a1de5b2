"""Machine-readable zones: their layouts, their check digits, and what their lines say.

Layouts TD1, TD2 and TD3 of travel documents, MRV-A and MRV-B of visas. Lines are taken as they are read; `reading.py`
repairs them first. Source: ICAO Doc 9303, eighth edition, parts 3 (4.9, check digits), 4, 5, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from kiosk.documents.alphabet import ALPHABET, DIGITS, FILLER, LETTERS

WEIGHTS = (7, 3, 1)
LONG_NUMBER_AT = 9  # a document number of more than nine characters has a filler for its check digit, and goes on
CENTURY = 100
LATEST_EXPIRY_YEARS = 50  # an expiry further ahead belongs to the century before


class MrzType(str, Enum):
    """The five layouts. MRV-A and MRV-B are those of visas."""

    TD1 = "TD1"
    TD2 = "TD2"
    TD3 = "TD3"
    MRV_A = "MRV-A"
    MRV_B = "MRV-B"


@dataclass(frozen=True, slots=True)
class Span:
    """Where a field lies: line and columns."""

    line: int
    start: int
    end: int

    def of(self, lines: Sequence[str]) -> str:
        """Return the characters."""
        return lines[self.line][self.start : self.end]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check digit speaks of, and where it stands."""

    name: str
    spans: tuple[Span, ...]
    digit: Span
    may_be_filler: bool = False  # where the field is empty


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout: how many lines of which length, and where each field is."""

    kind: MrzType
    lines: int
    length: int
    fields: dict[str, Span]
    checks: tuple[Checked, ...]


def _two_lines(
    kind: MrzType, length: int, optional: Span, personal: Checked | None, composite: Checked | None
) -> Layout:
    fields = {
        "document_type": Span(0, 0, 2),
        "country": Span(0, 2, 5),
        "names": Span(0, 5, length),
        "document_number": Span(1, 0, 9),
        "nationality": Span(1, 10, 13),
        "birth_date": Span(1, 13, 19),
        "sex": Span(1, 20, 21),
        "expiry_date": Span(1, 21, 27),
        "optional_data": optional,
    }
    checks = [
        Checked("document_number", (fields["document_number"],), Span(1, 9, 10)),
        Checked("birth_date", (fields["birth_date"],), Span(1, 19, 20)),
        Checked("expiry_date", (fields["expiry_date"],), Span(1, 27, 28)),
    ]
    checks += [one for one in (personal, composite) if one is not None]
    return Layout(kind, 2, length, fields, tuple(checks))


_UPPER = (Span(1, 0, 10), Span(1, 13, 20))  # number and birth date, each with its digit: the composite begins so

LAYOUTS = {
    MrzType.TD1: Layout(
        MrzType.TD1,
        3,
        30,
        {
            "document_type": Span(0, 0, 2),
            "country": Span(0, 2, 5),
            "document_number": Span(0, 5, 14),
            "optional_data": Span(0, 15, 30),
            "birth_date": Span(1, 0, 6),
            "sex": Span(1, 7, 8),
            "expiry_date": Span(1, 8, 14),
            "nationality": Span(1, 15, 18),
            "optional_data_2": Span(1, 18, 29),
            "names": Span(2, 0, 30),
        },
        (
            Checked("document_number", (Span(0, 5, 14),), Span(0, 14, 15)),
            Checked("birth_date", (Span(1, 0, 6),), Span(1, 6, 7)),
            Checked("expiry_date", (Span(1, 8, 14),), Span(1, 14, 15)),
            Checked("final", (Span(0, 5, 30), Span(1, 0, 7), Span(1, 8, 15), Span(1, 18, 29)), Span(1, 29, 30)),
        ),
    ),
    MrzType.TD2: _two_lines(
        MrzType.TD2, 36, Span(1, 28, 35), None, Checked("final", (*_UPPER, Span(1, 21, 35)), Span(1, 35, 36))
    ),
    MrzType.TD3: _two_lines(
        MrzType.TD3,
        44,
        Span(1, 28, 42),
        Checked("optional_data", (Span(1, 28, 42),), Span(1, 42, 43), may_be_filler=True),
        Checked("final", (*_UPPER, Span(1, 21, 43)), Span(1, 43, 44)),
    ),
    MrzType.MRV_A: _two_lines(MrzType.MRV_A, 44, Span(1, 28, 44), None, None),
    MrzType.MRV_B: _two_lines(MrzType.MRV_B, 36, Span(1, 28, 36), None, None),
}


def check_digit(text: str) -> str:
    """Return the check digit of a text: weights 7, 3, 1 from the left, modulo ten.

    >>> check_digit("D23145890"), check_digit("740812"), check_digit("<<<<<<<<<<<<<<")
    ('7', '2', '0')
    """
    return str(sum(WEIGHTS[at % 3] * value(sign) for at, sign in enumerate(text)) % 10)


def value(sign: str) -> int:
    """Return the number that a character counts as.

    >>> [value(sign) for sign in "0A9Z<"]
    [0, 10, 9, 35, 0]
    """
    if sign in DIGITS:
        return int(sign)
    return 0 if sign == FILLER else 10 + LETTERS.index(sign)


def layout_of(lines: Sequence[str]) -> Layout | None:
    """Return the layout that lines of this number and length have; None where there is none.

    A visa begins with V and has the length of a TD3 or a TD2.
    """
    for layout in LAYOUTS.values():
        is_visa = layout.kind in {MrzType.MRV_A, MrzType.MRV_B}
        if (
            len(lines) == layout.lines
            and all(len(line) == layout.length for line in lines)
            and (lines[0][:1] == "V") == is_visa
        ):
            return layout
    return None


@dataclass(frozen=True, slots=True)
class Mrz:
    """What a machine-readable zone says. Texts are without fillers; None: the field is empty or is no such thing."""

    kind: MrzType
    lines: tuple[str, ...] = field(repr=False)
    document_type: str
    country: str
    nationality: str
    surname: str | None = field(repr=False)
    given_names: str | None = field(repr=False)
    document_number: str | None = field(repr=False)
    birth_date: date | None = field(repr=False)
    expiry_date: date | None
    sex: str | None  # "M", "F" or "X"; None where it cannot be one of them
    optional_data: str | None = field(repr=False)
    optional_data_2: str | None = field(repr=False)
    failed: tuple[str, ...]  # names of the check digits that do not hold
    hashes: dict[str, str] = field(repr=False)  # each check digit as printed, by its name

    @property
    def is_valid(self) -> bool:
        """Whether every check digit holds."""
        return not self.failed

    @property
    def full_name(self) -> str | None:
        """Return given names and surname."""
        return " ".join(name for name in (self.given_names, self.surname) if name) or None

    def layout_text(self, name: str) -> str:
        """Return a field's characters as they are printed, fillers included."""
        return LAYOUTS[self.kind].fields[name].of(self.lines)

    @property
    def text(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines)


def parse(lines: Sequence[str], today: date) -> Mrz | None:
    """Return what lines say; None where they have no known layout or hold other characters.

    Args:
        lines: top to bottom.
        today: decides the century of two-digit years.
    """
    layout = layout_of(lines)
    if layout is None or any(sign not in ALPHABET for line in lines for sign in line):
        return None
    told = {name: span.of(lines) for name, span in layout.fields.items()}
    number, optional = _document_number(layout, lines)
    surname, _, given = told["names"].strip(FILLER).partition(FILLER * 2)
    sex = told["sex"]
    return Mrz(
        kind=layout.kind,
        lines=tuple(lines),
        document_type=told["document_type"].strip(FILLER),
        country=told["country"].strip(FILLER),
        nationality=told["nationality"].strip(FILLER),
        surname=_words(surname),
        given_names=_words(given),
        document_number=number or None,
        birth_date=birth_date(told["birth_date"], today),
        expiry_date=expiry_date(told["expiry_date"], today),
        sex="X" if sex == FILLER else sex if sex in "MFX" else None,
        optional_data=_words(optional),
        optional_data_2=_words(told.get("optional_data_2", "")),
        failed=failed_checks(layout, lines),
        hashes={check.name: check.digit.of(lines) for check in layout.checks},
    )


def _words(text: str) -> str | None:
    return " ".join(text.replace(FILLER, " ").split()) or None


def _long_number(layout: Layout, lines: Sequence[str]) -> tuple[str, str] | None:
    """Return a number of more than nine characters with its check digit, and the optional data behind it.

    Its tenth place has a filler; the number goes on in the optional data, and its check digit is the last before the
    next filler. Sources: Doc 9303 part 5, 4.2.2, note j; part 6, note j.
    """
    if layout.kind not in {MrzType.TD1, MrzType.TD2}:
        return None
    (check,) = [one for one in layout.checks if one.name == "document_number"]
    if check.digit.of(lines) != FILLER:
        return None
    start = layout.fields["document_number"].of(lines)
    more, _, rest = layout.fields["optional_data"].of(lines).partition(FILLER)
    return (start + more, rest) if more and FILLER not in start else None


def _document_number(layout: Layout, lines: Sequence[str]) -> tuple[str, str]:
    """Return the number, and what is left of the optional data."""
    if (long := _long_number(layout, lines)) is not None:
        return long[0][:-1], long[1]
    number = layout.fields["document_number"].of(lines)
    return number.strip(FILLER).replace(FILLER, ""), layout.fields["optional_data"].of(lines)


def failed_checks(layout: Layout, lines: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the check digits that do not hold."""
    return tuple(check.name for check in layout.checks if not holds(layout, check, lines))


def holds(layout: Layout, check: Checked, lines: Sequence[str]) -> bool:
    """Whether a check digit is the one that its field asks for."""
    if check.name == "document_number" and (long := _long_number(layout, lines)) is not None:
        return check_digit(long[0][:-1]) == long[0][-1]
    told = "".join(span.of(lines) for span in check.spans)
    digit = check.digit.of(lines)
    if digit == FILLER:
        return check.may_be_filler and not told.strip(FILLER)
    return digit == check_digit(told)


def birth_date(text: str, today: date) -> date | None:
    """Return a birth date: never one in the future, so its century is the last in which it has been.

    >>> birth_date("740812", date(2026, 1, 1)), birth_date("300101", date(2026, 1, 1))
    (datetime.date(1974, 8, 12), datetime.date(1930, 1, 1))
    """
    found = _date(text, today.year // CENTURY * CENTURY)
    return _date(text, (today.year // CENTURY - 1) * CENTURY) if found is None or found > today else found


def expiry_date(text: str, today: date) -> date | None:
    """Return an expiry date: in this century, unless that were more than fifty years ahead.

    >>> expiry_date("120415", date(2026, 1, 1)), expiry_date("991231", date(2026, 1, 1))
    (datetime.date(2012, 4, 15), datetime.date(1999, 12, 31))
    """
    found = _date(text, today.year // CENTURY * CENTURY)
    if found is not None and found.year > today.year + LATEST_EXPIRY_YEARS:
        return _date(text, (today.year // CENTURY - 1) * CENTURY)
    if found is not None and found.year < today.year - LATEST_EXPIRY_YEARS:
        return _date(text, (today.year // CENTURY + 1) * CENTURY)
    return found


def _date(text: str, century: int) -> date | None:
    if any(sign not in DIGITS for sign in text):
        return None
    try:
        return date(century + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError:
        return None
