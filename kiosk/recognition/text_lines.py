"""Long straight lines of small dark print in a photograph, each drawn out flat: where a document's zone may stand.

Beside image.py the one module of the core that uses cv2. Nothing is known of size and direction: letters of several
heights are tried, and lines are followed along their own axis, so a card may lie askew or upside down. A page that
bends and perspective that makes letters shrink are straightened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kiosk.recognition.image import grey, shrink
from kiosk.types import RgbImage

Floats: TypeAlias = NDArray[np.float64]
Grey: TypeAlias = NDArray[np.uint8]

STRIP_HEIGHT = 48  # px, what readers of text lines take
LETTER_HEIGHT = 30.0  # px of a capital in a strip
MARGIN = 1.3  # letter heights added at both ends of a strip
MOST_EDGE = 2000  # px; more than a letter needs
SEARCH_EDGE = 960  # px of the picture in which lines are looked for
LETTER_HEIGHTS = (6.0, 7.7, 9.9, 12.7, 16.3, 21.0, 27.0)  # px in that picture: a visa held away, a card that fills it
JOIN = 0.52  # of a letter's height: joins letters (gap 0.36), not lines (gap 0.69)
BRIDGE = 2.4  # letter heights that a gap in a line may span along it
LEAST_CONTRAST = 9.0  # grey levels that print is darker than its ground
LOCAL_SHARE = 0.38  # of the strongest print nearby that counts as print
LEAST_ELONGATION = 13.0  # length by height; a TD1's line has 30, a printed name 10
LEAST_LENGTH = 0.22  # of the picture's longer edge
BINS = 48  # along a line, to follow its bend
MOST_LINES = 12  # of one picture; the longest
PRINT_FILTER = 1.4  # letter heights that the filter for dark print spans


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """A line of print. Lengths are px of the picture it was found in, after `MOST_EDGE`."""

    middle: Floats  # (2,) xy
    direction: Floats  # (2,) unit length, along the line, never leftwards
    length: float
    height: float  # of a capital
    bend: Floats = field(repr=False)  # (3,) quadratic: offset across, by px along from the middle
    heights: Floats = field(repr=False)  # (2,) linear: half a capital, by px along

    @property
    def across(self) -> Floats:
        """Return the unit vector downwards of the line."""
        return np.array([-self.direction[1], self.direction[0]])


def find_lines(image: RgbImage) -> tuple[RgbImage, list[TextLine]]:
    """Return the picture in which they were found, and lines of small print, longest for their height first.

    Args:
        image: (H, W, 3) uint8; made smaller where its longer edge is over `MOST_EDGE`.
    """
    image = shrink(image, MOST_EDGE)[0] if max(image.shape[:2]) > MOST_EDGE else image
    luma = grey(image)
    scale = min(1.0, SEARCH_EDGE / max(luma.shape))
    small = luma
    if scale < 1:
        small = np.asarray(cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    found: list[TextLine] = []
    for height in LETTER_HEIGHTS:
        found += (_enlarged(line, 1 / scale) for line in _lines_of_height(small, height))
    found.sort(key=lambda line: -line.length / line.height)
    kept: list[TextLine] = []
    for line in found:
        if not any(_is_same(line, other) for other in kept):
            kept.append(line)
    return image, kept[:MOST_LINES]


def _lines_of_height(luma: Grey, height: float) -> Iterator[TextLine]:
    """Yield lines whose letters have about this height."""
    side = _odd(PRINT_FILTER * height)
    dark = cv2.morphologyEx(luma, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    dark = cv2.GaussianBlur(dark, (3, 3), 0)
    near = _odd(6 * height)
    strongest = cv2.blur(cv2.dilate(dark, np.ones((_odd(2 * height),) * 2, np.uint8)), (near, near))
    is_print = (dark > np.maximum(LEAST_CONTRAST, LOCAL_SHARE * strongest.astype(np.float32))).astype(np.uint8)
    is_print = _without_edges(is_print, height)
    join = _odd(JOIN * height)
    joined = cv2.dilate(is_print, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (join, join)))
    for angle in _directions(np.asarray(joined, np.uint8), height):
        bar = _bar(BRIDGE * height, angle)
        bridged = cv2.morphologyEx(joined, cv2.MORPH_CLOSE, bar)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(bridged, connectivity=8)
        least = LEAST_LENGTH * max(luma.shape)
        for label in range(1, count):
            left, top, width, tall, area = (int(value) for value in stats[label])
            length = float(np.hypot(width, tall))
            if length < least or area > 2.5 * height * length or area < 0.5 * height * length:
                continue
            window = np.s_[top : top + tall, left : left + width]
            y, x = np.nonzero((labels[window] == label) & (is_print[window] > 0))
            line = _followed(np.column_stack([x + left, y + top]).astype(np.float64))
            if line is not None and 0.55 * height <= line.height <= 1.6 * height and line.length >= least:
                yield line


def _without_edges(is_print: Grey, height: float) -> Grey:
    """Take out what is long and thin, as a card's edge is and letters that touch are not, and mere specks."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_print, connectivity=8)
    width, tall, area = stats[:, 2], stats[:, 3], stats[:, 4]
    is_kept = area >= 0.06 * height * height
    is_kept[0] = False
    for label in np.flatnonzero(is_kept & (np.hypot(width, tall) > 1.9 * height)):
        left, top, w, h = (int(value) for value in stats[label, :4])
        y, x = np.nonzero(labels[top : top + h, left : left + w] == label)
        spread = np.linalg.eigvalsh(np.cov(np.stack([x, y]).astype(np.float64)))
        thickness, length = np.sqrt(12 * np.maximum(spread, 1e-3))
        is_kept[label] = thickness > 0.5 * height or length < 1.9 * height
    return np.asarray(is_kept[labels], np.uint8)


def _directions(joined: Grey, height: float) -> list[float]:
    """Return in which directions words run, radians: the most common, and a second one where many do."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    angles, weights = [], []
    for label in range(1, count):
        left, top, width, tall, area = (int(value) for value in stats[label])
        if not 3 * height < np.hypot(width, tall) or area < 4 * height * height:
            continue
        moments = cv2.moments(
            (labels[top : top + tall, left : left + width] == label).astype(np.uint8), binaryImage=True
        )
        mu20, mu02, mu11 = (moments[name] / moments["m00"] for name in ("mu20", "mu02", "mu11"))
        spread = float(np.hypot(mu20 - mu02, 2 * mu11))
        long, short = (float(np.sqrt(max(12 * (mu20 + mu02 + sign * spread) / 2, 1e-6))) for sign in (1, -1))
        if long >= 3 * short and short < 2.2 * height:
            angles.append(0.5 * float(np.arctan2(2 * mu11, mu20 - mu02)))
            weights.append(long)
    if not angles:
        return []
    turned, weight = np.exp(2j * np.array(angles)), np.array(weights)  # a direction and its opposite are one
    found: list[float] = []
    most = 0.0
    for _ in range(2):
        near = np.abs(np.angle(turned[:, np.newaxis] / turned[np.newaxis])) < np.deg2rad(2 * 5)
        support = near @ weight
        best = int(support.argmax())
        if found and support[best] < 0.5 * most:
            break
        most = max(most, float(support[best]))
        found.append(float(np.angle((turned * weight * near[best]).sum()) / 2))
        weight = weight * ~near[best]
    return found


def _bar(length: float, angle: float) -> Grey:
    side = _odd(length)
    bar = np.zeros((side, side), np.uint8)
    middle = side // 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(int(value) for value in np.rint(middle + sign * reach)) for sign in (-1, 1))
    return np.asarray(cv2.line(bar, start, end, 1, 1), np.uint8)


def _followed(points: Floats) -> TextLine | None:
    """Return the line that pixels of print lie on; None where they lie on none.

    Args:
        points: (N, 2) xy.
    """
    if len(points) < 4 * BINS:
        return None
    middle = points.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((points - middle).T))
    direction = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    along = (points - middle) @ direction
    across = (points - middle) @ np.array([-direction[1], direction[0]])
    first, last = float(along.min()), float(along.max())
    bins = np.minimum(((along - first) / (last - first) * BINS).astype(int), BINS - 1)
    order = np.argsort(bins, kind="stable")
    parts = np.split(across[order], np.searchsorted(bins[order], np.arange(1, BINS)))
    at = first + (np.arange(BINS) + 0.5) * (last - first) / BINS
    ends = np.array([np.percentile(part, [2, 98]) if len(part) > 3 else [np.nan, np.nan] for part in parts])  # noqa: PLR2004
    is_there = np.isfinite(ends[:, 0])
    if is_there.mean() < 0.7:  # noqa: PLR2004  more gaps than a line of print has
        return None
    at, ends = at[is_there], ends[is_there]
    halves = (ends[:, 1] - ends[:, 0]) / 2 + 0.5
    bend = _fit(at, ends.mean(axis=1), 2)
    heights = _fit(at, halves, 1)
    height = 2 * float(np.median(halves))
    length = last - first
    if height <= 0 or length / height < LEAST_ELONGATION or np.polyval(heights, [first, last]).min() < height / 6:
        return None
    centre = (first + last) / 2
    shifted = np.array(
        [bend[0], 2 * bend[0] * centre + bend[1], np.polyval(bend, centre)]
    )  # the same curves, counted from the line's own middle
    return TextLine(
        middle + centre * direction,
        direction,
        length,
        height,
        shifted,
        np.array([heights[0], np.polyval(heights, centre)]),
    )


def _fit(x: Floats, y: Floats, degree: int) -> Floats:
    """Fit a polynomial, then again without what lies far from it."""
    found = np.polyfit(x, y, degree)
    off = np.abs(np.polyval(found, x) - y)
    near = off <= max(1.0, 2 * float(np.median(off)))
    return np.asarray(np.polyfit(x[near], y[near], degree)) if near.sum() > degree + 4 else np.asarray(found)


def _enlarged(line: TextLine, factor: float) -> TextLine:
    return TextLine(
        line.middle * factor + (factor - 1) / 2,
        line.direction,
        line.length * factor,
        line.height * factor,
        line.bend * [1 / factor, 1, factor],
        line.heights * [1, factor],
    )


def _is_same(line: TextLine, other: TextLine) -> bool:
    """Whether a line was found before, with letters of another height, or as a part of it."""
    offset = line.middle - other.middle
    is_near = abs(float(offset @ other.across)) < 0.7 * max(line.height, other.height)
    is_within = abs(float(offset @ other.direction)) < (line.length + other.length) / 2
    return is_near and is_within and abs(float(line.direction @ other.direction)) > 0.9  # noqa: PLR2004  25 degrees


def _odd(size: float) -> int:
    return max(3, 2 * round((size - 1) / 2) + 1)


def blocks(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Return lines that stand under one another, as two or three of a zone do, each block top to bottom.

    A block begins with each line in turn, longest for its height first; of more than three under one another the
    nearest to it belong.
    """
    found: list[list[TextLine]] = []
    for line in lines:
        beside = [line]
        for other in lines:
            offset = other.middle - line.middle
            gap = float(offset @ line.across) / line.height
            is_parallel = abs(float(other.direction @ line.direction)) > 0.97  # noqa: PLR2004  14 degrees
            if (
                other is not line
                and is_parallel
                and 1.0 < abs(gap) < 4.6  # noqa: PLR2004  two lines of a TD1 away
                and 0.6 < other.height / line.height < 1.6  # noqa: PLR2004
                and 0.55 < other.length / line.length < 1.8  # noqa: PLR2004
                and abs(float(offset @ line.direction)) < 0.3 * line.length
            ):
                beside.append(other if float(other.direction @ line.direction) > 0 else _reversed(other))
        beside.sort(key=lambda other: float((other.middle - line.middle) @ line.across))
        places = {tuple(one.middle) for one in beside}
        if not any(places <= {tuple(one.middle) for one in block} for block in found):
            found.append(beside)
    return found


def _reversed(line: TextLine) -> TextLine:
    """Return a line as it is counted from its other end; upright lines may have been found either way."""
    return replace(line, direction=-line.direction, bend=line.bend * [-1, 1, -1], heights=line.heights * [-1, 1])


def draw_out(image: RgbImage, line: TextLine, *, turned: bool = False) -> RgbImage:
    """Return a line drawn out flat, (48, W, 3) uint8 grey in three channels; W follows from its length.

    Args:
        image: the picture of `find_lines`.
        line: from there.
        turned: read from the other end, for a picture that stands on its head.
    """
    scale = LETTER_HEIGHT / line.height
    reach = line.length / 2 + MARGIN * line.height
    width = max(STRIP_HEIGHT, round(2 * reach * scale))
    along = (np.arange(width) + 0.5) / scale - reach
    across = (np.arange(STRIP_HEIGHT) + 0.5 - STRIP_HEIGHT / 2) / scale
    if turned:
        along, across = along[::-1], across[::-1]
    within = np.clip(along, -line.length / 2, line.length / 2)  # a curve says nothing beyond the line's ends
    slope = 2 * line.bend[0] * within + line.bend[1]
    centre = np.polyval(line.bend, within) + slope * (along - within)
    swell = 2 * np.polyval(line.heights, within) / line.height
    v = centre[np.newaxis] + across[:, np.newaxis] * swell[np.newaxis]
    u = np.broadcast_to(along, v.shape)
    x = line.middle[0] + u * line.direction[0] + v * line.across[0]
    y = line.middle[1] + u * line.direction[1] + v * line.across[1]
    luma = grey(image)
    strip = cv2.remap(
        luma, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.repeat(_stretched(np.asarray(strip, np.uint8))[..., np.newaxis], 3, axis=2)


def _stretched(strip: Grey) -> Grey:
    """Even out light and shadow along a strip, so that print is dark and its ground is bright."""
    values = strip.astype(np.float32)
    bright = cv2.blur(cv2.dilate(values, np.ones((9, 41), np.uint8)), (61, 61), borderType=cv2.BORDER_REPLICATE)
    dark = cv2.blur(cv2.erode(values, np.ones((41, 61), np.uint8)), (121, 61), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(235 * (values - dark) / np.maximum(bright - dark, 25.0) + 10, 0, 255), np.uint8)
