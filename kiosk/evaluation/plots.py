"""The plots of an evaluation as SVG: detection error trade-off, and the scale checked against what was counted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kiosk.evaluation.match import MatchReport
from kiosk.evaluation.pairs import Spread, edges, upper_bound
from kiosk.recognition.match import ScoreScale

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 24, 20, 54
LEAST_FNMR = 1e-3
BLUE, RED, GREY = "#0b5cad", "#b3261e", "#5a6874"
MARKED = (30, 50, 70, 90)  # scores with a line of their own
MOST_POINTS = 400  # of a curve: more cannot be seen


def det_plot(report: MatchReport) -> str:
    """Draw FNMR over FMR, both logarithmic, with the scores where they lie."""
    if not report.mated or not report.non_mated:
        return '<p class="none">There are no pairs of one person, or none of strangers.</p>'
    fmr, fnmr = report.spread.det()
    decades = max(1, math.ceil(math.log10(max(10, report.non_mated))))
    least_fnmr = min(LEAST_FNMR, 10.0 ** -math.ceil(math.log10(max(10, report.mated))))

    def x(rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (1 + math.log10(max(rate, 10.0**-decades)) / decades)

    def y(rate: float) -> float:
        share = math.log10(max(rate, least_fnmr)) / math.log10(least_fnmr)
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    parts = [_open("FNMR over FMR")]
    for decade in range(decades + 1):
        parts.append(_line(x(10.0**-decade), TOP, x(10.0**-decade), HEIGHT - BOTTOM))
        parts.append(_text(x(10.0**-decade), HEIGHT - BOTTOM + 18, f"1e-{decade}" if decade else "1"))
    for decade in range(-round(math.log10(least_fnmr)) + 1):
        parts.append(_line(LEFT, y(10.0**-decade), WIDTH - RIGHT, y(10.0**-decade)))
        parts.append(_text(LEFT - 8, y(10.0**-decade) + 4, f"{10.0**-decade:.3g}", anchor="end"))
    shown = (fmr > 0) & (fnmr > 0)
    points = _thinned([(x(float(a)), y(float(b))) for a, b in zip(fmr[shown], fnmr[shown], strict=True)])
    parts.append(_curve(points, BLUE))
    for score, rates in report.scores.items():
        if rates.fmr and rates.fnmr:
            at = x(rates.fmr), y(rates.fnmr)
            parts.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="4.5" fill="{RED}"/>')
            parts.append(_text(at[0] + 8, at[1] - 7, str(score), anchor="start", colour=RED))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "false-match rate; red dots are scores", colour=GREY))
    parts.append(_upright("false-non-match rate"))
    return "".join([*parts, "</svg>"])


def calibration_plot(report: MatchReport, scale: ScoreScale) -> str:
    """Draw the FMR counted and the one the scale states, over the cosine."""
    return rate_plot(report.spread, scale)


def rate_plot(spread: Spread, scale: ScoreScale) -> str:
    """Draw how often strangers reach a cosine: stated by the scale, counted here, and its 95 % bound."""
    total = int(spread.non_mated.sum())
    above = np.cumsum(spread.non_mated[::-1])[::-1]
    cosines = edges()[:-1]
    decades = max(2, math.ceil(math.log10(max(10, total))))
    low, high = scale.cosines[0], min(1.0, scale.cosine_at_rarity(6.0) + 0.08)

    def x(cosine: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (cosine - low) / (high - low)

    def y(rate: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * -math.log10(max(rate, 10.0**-decades)) / decades

    parts = [_open("False-match rate over cosine: stated and counted")]
    for decade in range(decades + 1):
        parts.append(_line(LEFT, y(10.0**-decade), WIDTH - RIGHT, y(10.0**-decade)))
        parts.append(_text(LEFT - 8, y(10.0**-decade) + 4, f"1e-{decade}" if decade else "1", anchor="end"))
    for score in MARKED:
        at = x(scale.cosine(score))
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM, dash="2 3"))
        parts.append(_text(at, HEIGHT - BOTTOM + 18, str(score)))
    stated = [(x(float(c)), y(scale.fmr(float(c)))) for c in np.linspace(low, high, 200)]
    shown = (cosines >= low) & (cosines <= high) & (above > 0)
    counted = [(x(float(c)), y(n / total)) for c, n in zip(cosines[shown], above[shown], strict=True)] if total else []
    bound = [
        (x(float(cosines[at])), y(upper_bound(int(above[at]), total)))
        for at in np.flatnonzero(shown)[:: max(1, int(shown.sum()) // 60)]
    ]
    parts += [
        _curve(stated, GREY, dash="7 5"),
        _curve(_thinned(bound), RED, dash="3 4"),
        _curve(_thinned(counted), BLUE),
    ]
    for row, (name, colour) in enumerate((("stated by the scale", GREY), ("counted here", BLUE), ("95 % bound", RED))):
        parts.append(_text(WIDTH - RIGHT - 6, TOP + 18 + 18 * row, name, anchor="end", colour=colour))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "score", colour=GREY))
    parts.append(_upright("false-match rate"))
    return "".join([*parts, "</svg>"])


def discard_plot(report: MatchReport) -> str:
    """Draw FNMR at score 70 over the share of photographs left out for poor quality."""
    rows = [(share, fnmr) for share, fnmr in report.discard if fnmr is not None]
    if not rows:
        return '<p class="none">No pair of one person.</p>'
    most = max(max(fnmr for _, fnmr in rows) * 1.15, 1e-6)
    furthest = max(share for share, _ in rows) or 1.0
    height = 240

    def x(share: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * share / furthest

    def y(rate: float) -> float:
        return TOP + (height - TOP - BOTTOM) * (1 - rate / most)

    parts = [_open("FNMR over photographs left out", height)]
    for share, fnmr in rows:
        parts.append(f'<circle cx="{x(share):.1f}" cy="{y(fnmr):.1f}" r="4" fill="{BLUE}"/>')
        parts.append(_text(x(share), y(fnmr) - 9, f"{100 * fnmr:.2f} %"))
        parts.append(_text(x(share), height - BOTTOM + 18, f"{share:.0%}" if share else "0"))
    parts.append(_curve([(x(share), y(fnmr)) for share, fnmr in rows], BLUE))
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, height - 12, "photographs left out, the poorest templates first", colour=GREY)
    )
    return "".join([*parts, "</svg>"])


def _open(label: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}" font-size="13" '
        'font-family="system-ui,sans-serif">'
    )


def _line(x1: float, y1: float, x2: float, y2: float, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#d5dbe1"{dashes}/>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle", colour: str = "#1b2733") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _upright(words: str) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return f'<text transform="translate(16,{middle}) rotate(-90)" text-anchor="middle" fill="{GREY}">{words}</text>'


def _curve(points: Sequence[tuple[float, float]], colour: str, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"{dashes}/>'


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    step = max(1, len(points) // MOST_POINTS)
    return [*points[::step], *points[-1:]]
