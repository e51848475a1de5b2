"""From the cells of a zone to its text: what each field may hold, and one doubtful character that check digits decide.

A check digit finds any one wrong character that counts differently. So a doubtful character is put right where exactly
one likely way of doing it satisfies all of them; with two, or none, the field is not read. Names, nationality and sex
have no check digit: there a doubtful character makes its field unread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from math import prod

import numpy as np

from kiosk.documents.alphabet import ALPHABET, DIGITS, FILLER, LETTERS
from kiosk.documents.mrz import Layout, failed_checks, holds
from kiosk.documents.reading import ZoneReading
from kiosk.types import Floats

LOOKALIKES = ("0OQD", "1IL", "2Z", "5S", "6G", "8B")
"""Groups that readers take for one another."""

TWINS: Mapping[str, str] = {"0": "O", "O": "0"}
LEAST_TWIN = 0.0003
"""Between digits the network reads 0 whatever the print, so an O is never less likely than this; see reading.py."""

LEAST_LIKELY = 0.0003  # from which another character is tried
LEAST_TEXT = 1e-4  # next to the text as read; of one less likely the check digits hold by chance
RATIO = 50.0  # another text that satisfies the check digits is so many times less likely, or the field is not read
MOST_OTHERS, MOST_OPTIONS = 16, 5  # of one check digit: characters that may be others, and ways to satisfy it
COMPOSITE = "final"
LEAST_SURE = 0.8  # of a character that no check digit covers
_Changed = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class ResolvedZone:
    """The lines of a zone, and what of them is not certain."""

    lines: tuple[str, ...] = field(repr=False)
    repaired: int  # characters put right by check digits, at most one for each
    is_ambiguous: bool  # several likely texts satisfy the check digits; the fields where they differ are doubtful
    doubtful: frozenset[str]  # fields of which a character is not certain


def resolve(reading: ZoneReading) -> ResolvedZone:
    """Return the text of a zone; its check digits hold unless nothing, or more than one thing, would make them."""
    layout = reading.layout
    allowed = _allowed(layout)
    cells = np.stack([_folded(reading.cells[line], allowed[line]) for line in range(layout.lines)])
    lines = tuple("".join(ALPHABET[int(at)] for at in row.argmax(axis=1)) for row in cells)
    doubtful = frozenset(_doubtful(layout, lines, cells))
    found = _readings(layout, lines, cells, allowed)
    if not found:
        return ResolvedZone(lines, 0, is_ambiguous=False, doubtful=doubtful)
    best, likeliest = found[0]
    near = [text for text, likelihood in found if likelihood * RATIO > likeliest]
    changes = sum(a != b for row, other in zip(best, lines, strict=True) for a, b in zip(row, other, strict=True))
    undecided = {name for name, span in layout.fields.items() if len({span.of(text) for text in near}) > 1}
    return ResolvedZone(best, changes, is_ambiguous=len(near) > 1, doubtful=doubtful | undecided)


def _allowed(layout: Layout) -> list[list[str]]:
    """Return the characters that each cell may hold."""
    signs = [[ALPHABET] * layout.length for _ in range(layout.lines)]
    words, digits, sexes = LETTERS + FILLER, DIGITS, "MFX" + FILLER
    by_field = {
        "document_type": words,
        "country": words,
        "nationality": words,
        "names": words,
        "birth_date": digits + FILLER,  # a month or day that is not known
        "expiry_date": digits,
        "sex": sexes,
    }
    for name, span in layout.fields.items():
        for at in range(span.start, span.end):
            signs[span.line][at] = by_field.get(name, ALPHABET)
    for check in layout.checks:
        may_be_filler = check.may_be_filler or check.name == "document_number"
        signs[check.digit.line][check.digit.start] = DIGITS + FILLER if may_be_filler else DIGITS
    signs[0][0] = LETTERS
    return signs


def _folded(cells: Floats, allowed: list[str]) -> Floats:
    """Give what a cell may not hold to its lookalike that it may hold, and drop the rest.

    Args:
        cells: (N, 37).
        allowed: the characters of each cell.
    """
    found = np.zeros_like(cells)
    for row, into, signs in zip(cells, found, allowed, strict=True):
        for at, sign in enumerate(ALPHABET):
            if sign in signs:
                into[at] += row[at]
                continue
            twin = _twin(sign, signs)
            if twin is not None:
                into[ALPHABET.index(twin)] += row[at]
    return found


def _twin(sign: str, signs: str) -> str | None:
    if len(signs) == len(ALPHABET):
        return None
    for group in LOOKALIKES:
        if sign in group:
            # the group's first two are the pair proper; a digit is taken for the first letter behind it
            return next((one for one in group if one in signs), None)
    return None


def _doubtful(layout: Layout, lines: tuple[str, ...], cells: Floats) -> Iterator[str]:
    """Yield the fields without a check digit that hold a character that is not certain."""
    covered = {(span.line, at) for check in layout.checks for span in check.spans for at in range(span.start, span.end)}
    for name, span in layout.fields.items():
        for at in range(span.start, span.end):
            if (span.line, at) in covered:
                continue
            sign = lines[span.line][at]
            is_free = name.startswith("optional_data")  # letters and digits: nothing tells O from 0 here
            if cells[span.line, at].max() < LEAST_SURE or (is_free and any(sign in group for group in LOOKALIKES[:2])):
                yield name
                break


def _readings(
    layout: Layout, lines: tuple[str, ...], cells: Floats, allowed: list[list[str]]
) -> list[tuple[tuple[str, ...], float]]:
    """Return texts that satisfy all check digits, likeliest first, each with its likelihood next to the one as read.

    In what each check digit covers, at most two characters are others than those read.
    """
    options: list[list[tuple[_Changed, float]]] = []
    taken: set[tuple[int, int]] = set()
    for check in sorted(layout.checks, key=lambda one: one.name == COMPOSITE):
        covered = {(span.line, at) for span in (*check.spans, check.digit) for at in range(span.start, span.end)}
        places = covered - taken  # what another digit covers is decided there
        taken |= covered
        possible = [
            (changes, likelihood)
            for changes, likelihood in _changes(lines, cells, allowed, places)
            if check.name == COMPOSITE or holds(layout, check, _put(lines, changes))
        ]
        options.append(sorted(possible, key=lambda one: -one[1])[:MOST_OPTIONS])
    found: dict[tuple[str, ...], float] = {}
    for chosen in product(*options):
        text = _put(lines, tuple(chain.from_iterable(changes for changes, _ in chosen)))
        likelihood = prod(each for _, each in chosen)
        if likelihood >= LEAST_TEXT and not failed_checks(layout, text):
            found[text] = likelihood
    return sorted(found.items(), key=lambda one: -one[1])


def _changes(
    lines: tuple[str, ...], cells: Floats, allowed: list[list[str]], places: set[tuple[int, int]]
) -> Iterator[tuple[_Changed, float]]:
    """Yield what may be otherwise at these places, and how likely that is: nothing, one character, or two."""
    others: list[tuple[tuple[int, int, str], float]] = []
    for line, at in sorted(places):
        sign, signs, cell = lines[line][at], allowed[line][at], cells[line, at]
        floors = {TWINS[sign]: LEAST_TWIN} if sign in TWINS else {}
        for place, other in enumerate(ALPHABET):
            likelihood = max(float(cell[place]), floors.get(other, 0.0))
            if other in signs and other != sign and likelihood >= LEAST_LIKELY:
                others.append(((line, at, other), likelihood / max(float(cell.max()), 0.1)))
    others = sorted(others, key=lambda one: -one[1])[:MOST_OTHERS]
    yield (), 1.0
    for one, likelihood in others:
        yield (one,), likelihood
    for (first, likelihood), (second, also) in combinations(others, 2):
        if first[:2] != second[:2]:
            yield (first, second), likelihood * also


def _put(lines: tuple[str, ...], changes: _Changed) -> tuple[str, ...]:
    texts = list(lines)
    for line, at, sign in changes:
        texts[line] = texts[line][:at] + sign + texts[line][at + 1 :]
    return tuple(texts)
