"""The score scale as a picture: for a terminal, and as SVG for people who would rather look."""

from __future__ import annotations

import math
from html import escape

from kiosk.networks.inference import Pack

SCORES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
BAR = 48  # characters of the longest bar
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 70, 40, 30, 60
MOST_DECADES = 7.0
RIM = 0.04  # of cosine, right of the curve


def as_text(pack: Pack) -> str:
    """Return the scale as a table with bars, and what stands behind it."""
    lines = ["Score   cosine   strangers who reach it (FMR)"]
    reach = float(pack.measured["measured_rarity"])
    for score in SCORES:
        cosine = pack.scale.cosine(score)
        fmr = pack.scale.fmr(cosine)
        how = "" if pack.scale.cosine_at_rarity(reach) >= cosine else "  extrapolated"
        share = f"1 in {1 / fmr:,.0f}" if fmr < 0.5 else f"{fmr:.0%}"  # noqa: PLR2004  "1 in 1" says nothing
        bar = "#" * max(1, round(BAR * (cosine + 0.2) / 1.2))
        lines.append(f"{score:>5}   {cosine:6.3f}   {share:<16} {bar}{how}")
    return "\n".join([*lines, *_groups_as_text(pack), *_missed_as_text(pack), "", *_sentences(pack)])


def as_svg(pack: Pack) -> str:
    """Return a drawing of FMR over cosine, with the scores where they lie."""
    low, high = pack.scale.cosines[0], min(1.0, pack.scale.cosine_at_rarity(MOST_DECADES) + RIM)

    def x(cosine: float) -> float:
        return LEFT + (cosine - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(rarity: float) -> float:
        return TOP + min(rarity, MOST_DECADES) / MOST_DECADES * (HEIGHT - TOP - BOTTOM)

    reach = float(pack.measured["measured_rarity"])
    knots = [(c, r) for c, r in zip(pack.scale.cosines, pack.scale.rarities, strict=True) if r <= MOST_DECADES]
    measured = [(c, r) for c, r in knots if r <= reach]
    beyond = measured[-1:] + [(c, r) for c, r in knots if r > reach]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">False-match rate over cosine, pack {pack.name}</text>',
    ]
    for decade in range(int(MOST_DECADES) + 1):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(decade):.1f}" y2="{y(decade):.1f}" stroke="#ddd"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y(decade) + 4:.1f}" text-anchor="end">1e-{decade}</text>')
    foot = HEIGHT - BOTTOM
    for score in (30, 50, 70, 90):
        cosine = pack.scale.cosine(score)
        at = f"{x(cosine):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{foot}" stroke="#888" stroke-dasharray="2 3"/>')
        parts.append(f'<text x="{at}" y="{foot + 18}" text-anchor="middle" font-weight="bold">{score}</text>')
        parts.append(f'<text x="{at}" y="{foot + 34}" text-anchor="middle" fill="#555">{cosine:.3f}</text>')
    parts.append(f'<text x="{LEFT - 8}" y="{foot + 18}" text-anchor="end" font-weight="bold">score</text>')
    parts.append(f'<text x="{LEFT - 8}" y="{foot + 34}" text-anchor="end" fill="#555">cosine</text>')
    for points, dash in ((measured, ""), (beyond, ' stroke-dasharray="7 5"')):
        path = " ".join(f"{x(cosine):.1f},{y(rarity):.1f}" for cosine, rarity in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="#0b5cad" stroke-width="2.5"{dash}/>')
    parts += [
        f'<circle cx="{x(pack.scale.cosine(70)):.1f}" r="4" '
        f'cy="{y(-math.log10(max(float(group["fmr_70"]), 1e-7))):.1f}" '
        f'fill="#b3261e"><title>{escape(group["name"])}</title></circle>'
        for group in pack.measured.get("group", [])
    ]
    if pack.measured.get("group"):
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{TOP + 34}" text-anchor="end" fill="#b3261e">'
            "dots: strangers of one group at 70</text>"
        )
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{TOP + 16}" text-anchor="end">solid: measured, dashed: extrapolated</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _groups_as_text(pack: Pack) -> list[str]:
    """Return the rates within groups of people, where the pack says them."""
    groups = pack.measured.get("group", [])
    if not groups:
        return []
    lines = ["", "Strangers of one group who reach a score (FMR; in brackets the 95 % bound at 70)"]
    lines.append(f"{'':<30}{'pairs':>10}{'at 50':>11}{'at 70':>11}{'':>12}{'at 90':>11}")
    for group in groups:
        at_50, at_70, at_90 = (float(group[f"fmr_{score}"]) for score in (50, 70, 90))
        lines.append(
            f"{group['name']:<30}{group['non_mated']:>10,}{at_50:>11.2g}{at_70:>11.2g}"
            f"{'(' + format(float(group['bound_70']), '.2g') + ')':>12}{at_90:>11.2g}"
        )
    return [
        *lines,
        "Those at 90 are mostly one person under two names: mistakes of the collection.",
    ]


def _missed_as_text(pack: Pack) -> list[str]:
    """Return how often one person misses 70 within groups, where the pack says it."""
    groups = pack.measured.get("missed", [])
    if not groups:
        return []
    lines = ["", "Photographs of one person that stay below 70 (FNMR; in brackets 95 % over people)"]
    lines.append(f"{'':<38}{'people':>8}{'pairs':>8}{'below 70':>10}")
    return lines + [
        f"{group['name'] + ' (' + group['origin'] + ')':<38}{group['people']:>8,}{group['mated']:>8,}"
        f"{float(group['fnmr_70']):>10.1%} ({float(group['low_70']):.1%} to {float(group['high_70']):.1%})"
        for group in groups
    ]


def _sentences(pack: Pack) -> list[str]:
    return list(pack.measured.get("sentences", []))
