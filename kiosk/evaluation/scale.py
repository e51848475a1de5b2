"""From the counts of an evaluation to a score scale, and into a pack's manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ConfigError
from kiosk.evaluation.match import MatchReport
from kiosk.evaluation.pairs import Spread, edges, upper_bound
from kiosk.recognition.match import ScoreScale

FMRS = (0.99, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01, 5e-3, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
BEYOND = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)  # -log10 FMR of the knots where counts do not reach
LEAST_PAIRS = 10_000  # of strangers, for a scale: fewer say nothing about score 50
TAIL_FROM = 2e-2  # FMR from which the tail is fitted, down to the reach of the counts
NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class MeasuredScale:
    """A curve of FMR over cosine."""

    cosines: Sequence[float]  # rising
    rarities: Sequence[float]  # -log10 FMR, rising
    measured_rarity: float  # up to here it is counted; beyond, the fit goes on


def measured_scale(spread: Spread) -> MeasuredScale:
    """Return the curve of the upper 95 % bounds of the FMR, and beyond the counts a normal distribution's tail.

    The bound and not the rate itself: a scale states what holds, and a few pairs more or less must not loosen it.

    Raises:
        ConfigError: there are too few pairs of strangers, or they are too alike for this model to tell apart.
    """
    total = int(spread.non_mated.sum())
    if total < LEAST_PAIRS:
        raise ConfigError(
            f"{total:,} pairs of strangers are too few for a scale; {LEAST_PAIRS:,} are needed, some 150 people"
        )
    cosines = edges()[:-1]
    above = np.cumsum(spread.non_mated[::-1])[::-1]
    knots: list[tuple[float, float]] = []
    for fmr in FMRS:
        most = _most_errors(fmr, total)
        fits = np.flatnonzero(above <= most) if most is not None else np.zeros(0, np.intp)
        if len(fits) and (not knots or cosines[fits[0]] > knots[-1][0] + 1e-4):
            knots.append((float(cosines[fits[0]]), float(-np.log10(fmr))))
    reach = knots[-1][1]
    slope, offset = _tail(cosines, above / total, 10.0**-reach)
    for rarity in BEYOND:
        cosine = (NORMAL.inv_cdf(1.0 - 10.0**-rarity) - offset) / slope
        if rarity > reach and cosine > knots[-1][0] + 1e-4:
            knots.append((cosine, rarity))
    found = MeasuredScale([cosine for cosine, _ in knots], [rarity for _, rarity in knots], reach)
    try:
        ScoreScale(tuple(found.cosines), tuple(found.rarities))
    except ValueError as error:
        raise ConfigError(f"no scale can be made of these photographs: {error}") from error
    return found


def write_scale(manifest: Path, found: MeasuredScale, report: MatchReport) -> None:
    """Replace the [scale] of a pack's manifest, by way of a file beside it.

    Raises:
        ConfigError: it cannot be written.
    """
    sentences = (
        (
            f"Measured by kiosk evaluate match on {report.non_mated:,} comparisons of strangers and {report.mated:,} "
            f"of one person, {report.people:,} people in {report.photographs:,} photographs. Each point is "
            "an upper 95 % bound."
        ),
        (
            f"Down to FMR {10.0**-found.measured_rarity:.0e} the curve is what was counted. Rarer false matches were "
            "too few to count; there it goes on as the tail of a normal distribution."
        ),
        "Holds for people, cameras and light like those of these photographs.",
    )
    block = "\n".join(
        [
            "[scale]",
            f"cosine = {[round(value, 4) for value in found.cosines]}",
            f"rarity = {[round(value, 4) for value in found.rarities]}",
            f"measured_rarity = {found.measured_rarity:.4f}",
            f"mated = {report.mated}",
            f"non_mated = {report.non_mated}",
            'result = "kiosk evaluate match"',
            "sentences = [",
            *(f"  {json.dumps(sentence)}," for sentence in sentences),
            "]",
            "",
        ]
    )
    try:
        text = manifest.read_text(encoding="utf-8")
        # The section with the tables below it, such as [scale.groups], which told of other photographs.
        kept = re.sub(r"(?ms)^\[+scale[\].].*?(?=^\[+(?!scale[\].])|\Z)", "", text).rstrip()
        beside = manifest.with_suffix(".part")
        beside.write_text(f"{kept}\n\n{block}", encoding="utf-8")
        beside.replace(manifest)
    except OSError as error:
        raise ConfigError(f"{manifest}: {error.strerror}") from error


def _most_errors(fmr: float, total: int) -> int | None:
    """Return the most false matches of which the 95 % bound is at most `fmr`; None where not even none is enough."""
    if upper_bound(0, total) > fmr:
        return None
    low, high = 0, int(fmr * total)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if upper_bound(middle, total) <= fmr else (low, middle - 1)
    return low


def _tail(cosines: NDArray[np.float64], fmr: NDArray[np.float64], least: float) -> tuple[float, float]:
    """Return slope and offset of the straight line that a normal distribution's quantiles make of the tail."""
    inside = np.flatnonzero((fmr <= TAIL_FROM) & (fmr >= least))
    inside = inside[:: max(1, len(inside) // 500)]
    quantiles = [NORMAL.inv_cdf(1.0 - float(fmr[at])) for at in inside]
    slope, offset = np.polyfit(cosines[inside], quantiles, 1)
    return float(slope), float(offset)
