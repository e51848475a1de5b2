"""From a photograph to the characters of its zone: lines found, read by the network, laid into cells.

The zone's print has one pitch, so what the network saw is laid into cells of equal width: a run of fillers has neither
too many nor too few, and each cell keeps how likely every character is. `resolve.py` makes a text of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kiosk.documents.alphabet import ALPHABET
from kiosk.documents.mrz import LAYOUTS, Layout, MrzType
from kiosk.recognition.text_lines import TextLine, blocks, draw_out, find_lines
from kiosk.types import RgbImage, Session

Floats: TypeAlias = NDArray[np.floating[Any]]

LENGTHS = {30: 3, 36: 2, 44: 2}  # characters of a line: lines of the zone
LINE_PITCH = 1.69  # letter heights from line to line: 4.23 mm and 2.5 mm
MOST_BLOCKS = 4  # of a picture are read
LEAST_SURE = 0.6  # mean probability of a line that is read at all
UPRIGHT = 0.97  # a line read so surely is not tried from its other end
LEAST_SPIKES = 14
MOST_SPARE = 3  # characters more than a line has, at its ends: an edge or a word that it was joined with
COPIES, GAP = 5, 20  # of a letter that is looked at alone, and px of ground at both ends
GROUND = 240  # grey level of a strip's ground
VISA, ZERO, LETTER_O = (ALPHABET.index(sign) for sign in "V0O")
FREE = ("document_number", "optional_data", "optional_data_2")  # letters and digits


@dataclass(frozen=True, slots=True, eq=False)
class ZoneReading:
    """The cells of a zone, as one picture shows them."""

    layout: Layout = field(repr=False)
    cells: Floats = field(repr=False)  # (lines, length, 37) probabilities, in the order of ALPHABET
    pictures: int = 1  # that were read together


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    cells: Floats  # (N, 37)
    sureness: float
    middles: NDArray[Any]  # (N,) of the cells, in steps of the network
    pitch: float  # the same
    strip: RgbImage = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    step: float = 1.0  # px of the strip for one step

    def glyph(self, place: int) -> RgbImage:
        """Return a cell's picture, (48, W, 3)."""
        middle = (self.middles[place] + 0.5) * self.step
        half = self.pitch * self.step / 2
        return self.strip[:, max(0, round(middle - half)) : round(middle + half)]


def read_zone(image: RgbImage, network: Session) -> ZoneReading | None:
    """Return what the network reads in a photograph's zone; None where it finds none.

    Args:
        image: (H, W, 3) uint8, turned in any way.
        network: reads lines of print.
    """
    small, lines = find_lines(image)
    best: tuple[float, ZoneReading] | None = None
    for block in sorted(blocks(lines), key=_likely, reverse=True)[:MOST_BLOCKS]:
        for sureness, reading in _read_block(small, block, network):
            if best is None or sureness > best[0]:
                best = sureness, reading
        if best is not None and best[0] > UPRIGHT - 0.07:
            break
    return None if best is None else best[1]


def _likely(block: Sequence[TextLine]) -> float:
    """Return how much a block looks like a zone: two or three lines, long for their height."""
    longest = max(line.length / line.height for line in block)
    return longest * (1.0 if len(block) in {2, 3} else 0.5)


def _read_block(image: RgbImage, block: list[TextLine], network: Session) -> Iterator[tuple[float, ZoneReading]]:
    """Yield what a block may be, with how sure the network is of it."""
    longest = max(block, key=lambda line: line.length / line.height)
    tried: list[tuple[bool, _Row]] = []
    for turned in (False, True):
        row = read_line(image, longest, network, turned=turned)
        if row is not None and len(row.cells) in LENGTHS:
            tried.append((turned, row))
            if row.sureness >= UPRIGHT:
                break
    turned, first = max(tried, key=lambda one: one[1].sureness, default=(False, None))
    if first is None or first.sureness < LEAST_SURE:
        return
    length = len(first.cells)
    ordered = _with_neighbours(block, longest, LENGTHS[length])
    rows = [
        first if line is longest else read_line(image, line, network, turned=turned, length=length)
        for line in (ordered[::-1] if turned else ordered)
    ]
    for start in range(len(rows) - LENGTHS[length] + 1):
        part = [one for one in rows[start : start + LENGTHS[length]] if one is not None and one.sureness >= LEAST_SURE]
        if len(part) == LENGTHS[length]:
            cells = np.stack([one.cells for one in part])
            layout = _layout(length, cells)
            sureness = float(np.mean([one.sureness for one in part]))
            yield sureness, ZoneReading(layout, _with_zeros_alone(layout, cells, part, network))


def _with_zeros_alone(layout: Layout, cells: Floats, rows: Sequence[_Row], network: Session) -> Floats:
    """Look at each O and 0 of a field of letters and digits once more, by itself.

    Between digits the network reads 0 whatever the print. Of a row of one letter's copies it tells them apart: of 89
    O of 20 shots 95 % came out at .002 or more, of 50 zeros 95 % at .009 or less.
    """
    places = [
        (span.line, at)
        for name, span in layout.fields.items()
        if name in FREE
        for at in range(span.start, span.end)
        if cells[span.line, at, ZERO] + cells[span.line, at, LETTER_O] > 0.5  # noqa: PLR2004
    ]
    glyphs = [rows[line].glyph(at) for line, at in places]
    width = max((glyph.shape[1] for glyph in glyphs), default=0)
    if width == 0 or any(glyph.shape[1] < width - 2 for glyph in glyphs):
        return cells
    strips = np.full((len(glyphs), rows[0].strip.shape[0], 2 * GAP + COPIES * width, 3), GROUND, np.uint8)
    for strip, glyph in zip(strips, glyphs, strict=True):
        row = np.concatenate([glyph] * COPIES, axis=1)
        strip[:, GAP : GAP + row.shape[1]] = row
    (found,) = network.run(strips)
    seen = np.asarray(found)[..., 1:].sum(axis=1)
    cells = cells.copy()
    for (line, at), one in zip(places, seen, strict=True):
        both = cells[line, at, ZERO] + cells[line, at, LETTER_O]
        odds = one[LETTER_O] / (one[ZERO] + 1e-9)
        share = 1 - 1 / (1 + (odds**0.5 if odds < 1 else odds))  # at .02 an O is not so rare as the network says
        cells[line, at, LETTER_O], cells[line, at, ZERO] = both * share, both * (1 - share)
    return cells


def _layout(length: int, cells: Floats) -> Layout:
    if length == 30:  # noqa: PLR2004
        return LAYOUTS[MrzType.TD1]
    is_visa = int(cells[0, 0].argmax()) == VISA
    if length == 36:  # noqa: PLR2004
        return LAYOUTS[MrzType.MRV_B if is_visa else MrzType.TD2]
    return LAYOUTS[MrzType.MRV_A if is_visa else MrzType.TD3]


def _with_neighbours(block: list[TextLine], longest: TextLine, count: int) -> list[TextLine]:
    """Return a block's lines top to bottom, with places where lines must be that were not found, or in part only."""
    kept: list[tuple[float, TextLine]] = []
    for line in block:
        place = float((line.middle - longest.middle) @ longest.across) / longest.height / LINE_PITCH
        if line is longest or line.length > 0.8 * longest.length:
            kept.append((place, line))
    for step in range(1 - count, count) if len(kept) < count else ():
        if all(abs(step - place) > 0.5 for place, _ in kept):  # noqa: PLR2004
            shift = step * LINE_PITCH * longest.height
            kept.append((float(step), replace(longest, middle=longest.middle + shift * longest.across)))
    return [line for _, line in sorted(kept, key=lambda one: one[0])]


def read_line(
    image: RgbImage, line: TextLine, network: Session, *, turned: bool = False, length: int = 0
) -> _Row | None:
    """Return the cells of a line; None where it is no line of a zone.

    Args:
        image: the picture that the line was found in.
        line: where.
        network: reads lines of print.
        turned: from its other end.
        length: how many cells are wanted, where that is known.
    """
    strip = draw_out(image, line, turned=turned)
    (found,) = network.run(strip[np.newaxis])
    row = lay_into_cells(np.asarray(found[0]), length)
    return None if row is None else replace(row, strip=strip, step=strip.shape[1] / found.shape[1])


def lay_into_cells(probabilities: Floats, length: int = 0) -> _Row | None:
    """Lay what a network saw step by step into cells of one pitch.

    Args:
        probabilities: (T, 38), the blank first.
        length: as in `read_line`.
    """
    best = probabilities.argmax(axis=1)
    starts = np.flatnonzero((best != 0) & (np.r_[0, best[:-1]] != best))
    if len(starts) < LEAST_SPIKES:
        return None
    ends = [int(start + np.argmax(np.r_[best[start:] != best[start], True])) for start in starts]
    rows = [probabilities[start:end] for start, end in zip(starts, ends, strict=True)]
    weights = [row[:, best[start]] for row, start in zip(rows, starts, strict=True)]
    at = np.array(
        [start + float(np.average(np.arange(len(w)), weights=w)) for start, w in zip(starts, weights, strict=True)]
    )
    places = _places(at)
    if places is None:
        return None
    count = int(places[-1]) + 1
    cells = np.full((count, len(ALPHABET)), 1e-6)
    sure = np.zeros(count)
    for place, row, weight in zip(places, rows, weights, strict=True):
        peak = float(weight.max())
        if peak > sure[place]:
            sure[place] = peak
            cells[place] = row[int(weight.argmax()), 1:]
    empty = np.flatnonzero(sure == 0)
    if len(empty):
        curve = np.polyfit(places, at, 2)
        for place in empty:
            middle = round(float(np.polyval(curve, place)))
            cells[place] = probabilities[max(0, middle - 1) : middle + 2, 1:].max(axis=0, initial=0.0)
    wanted = length or max((one for one in LENGTHS if one <= count), default=count)
    if count < wanted or count > wanted + MOST_SPARE:
        return None
    start = max(range(count - wanted + 1), key=lambda at: float(sure[at : at + wanted].sum()))
    kept = np.s_[start : start + wanted]
    cells = np.maximum(cells[kept], 1e-6)
    curve = np.polyfit(places, at, 2)
    return _Row(
        cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-3),
        float(sure[kept].mean()),
        np.polyval(curve, np.arange(count)[kept]),
        float(np.median(np.diff(np.polyval(curve, np.arange(count))))),
    )


def _places(at: Floats) -> NDArray[np.int64] | None:
    """Return which cell each character stands in, (N,) int from 0 on; None where they have no common pitch."""
    steps = np.diff(at)
    pitch = float(np.median(steps))
    if pitch < 1.5:  # noqa: PLR2004  steps of the network
        return None
    whole = np.round(steps / pitch)
    pitch = float(np.median((steps / np.maximum(whole, 1))[whole >= 1]))
    places = np.concatenate([[0], np.cumsum(np.round(steps / pitch))]).astype(int)
    for _ in range(2):
        curve = np.polyfit(places, at, 2)
        pitches = np.polyval(np.polyder(curve), places)
        if (pitches < 1).any():
            return None
        off = (at - np.polyval(curve, places)) / pitches
        places = places + np.round(off).astype(int)
        places -= places[0]
    return places if (np.diff(places) >= 0).all() else None


def vote(readings: Sequence[ZoneReading]) -> ZoneReading | None:
    """Return several pictures' readings of one document as one; of different layouts, the one that most have.

    Each cell's probabilities are multiplied, so a doubtful picture says little.
    """
    if not readings:
        return None
    kinds: dict[MrzType, list[ZoneReading]] = {}
    for reading in readings:
        kinds.setdefault(reading.layout.kind, []).append(reading)
    most = max(kinds.values(), key=len)
    mean = np.mean([np.log(np.maximum(one.cells, 1e-6)) for one in most], axis=0)
    cells = np.exp(mean)
    return ZoneReading(most[0].layout, cells / cells.sum(axis=-1, keepdims=True), len(most))


Reader = Callable[[RgbImage], "ZoneReading | None"]
"""Reads a photograph's zone."""
