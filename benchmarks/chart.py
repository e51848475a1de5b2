"""Draws how long a whole match takes against how often the same person is missed, for the kiosk and each peer.

From results/match-*.json and results/peers.json; readme_tables.py writes it to benchmarks/latency_error.svg.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 430, 80, 46, 40, 78
MS_TICKS = (20, 50, 100, 200, 500, 1000)
ERROR_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
OURS = "kiosk"


def points(match: dict[str, Any], peers: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return (name, ms, FNMR) of every pipeline that both results have."""
    rates = peers["pipelines"]
    found = []
    for name, steps in match["two_photographs"].items():
        if "side by side" in name or "threads" in name:
            continue
        of = next((known for known in sorted(rates, key=len, reverse=True) if name.startswith(known)), None)
        if of is not None:
            found.append((name, float(steps["whole match"]["p50_ms"]), float(rates[of]["fnmr"])))
    return found


def as_svg(match: dict[str, Any], peers: dict[str, Any]) -> str:
    """Return the drawing: both axes logarithmic, better is further down and to the left."""
    shown = points(match, peers)
    low_ms, high_ms = min(ms for _, ms, _ in shown) / 1.6, max(ms for _, ms, _ in shown) * 1.9
    low, high = (
        min(0.005, *(error / 1.5 for _, _, error in shown if error)),
        max(error for _, _, error in shown) * 1.7,
    )

    def x(ms: float) -> float:
        return LEFT + math.log(ms / low_ms) / math.log(high_ms / low_ms) * (WIDTH - LEFT - RIGHT)

    def y(error: float) -> float:
        share = math.log(max(error, low) / low) / math.log(high / low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    foot = HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">A match of two photographs on one thread: time and error</text>',
    ]
    for tick in MS_TICKS:
        if low_ms <= tick <= high_ms:
            parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{foot}" stroke="#ddd"/>')
            parts.append(f'<text x="{x(tick):.1f}" y="{foot + 18}" text-anchor="middle">{tick} ms</text>')
    for error in ERROR_TICKS:
        if low <= error <= high:
            at = f"{y(error):.1f}"
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" stroke="#ddd"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y(error) + 4:.1f}" text-anchor="end">{error:.1%}</text>')
    above: list[tuple[float, float]] = []  # where words stand already
    for name, ms, error in sorted(shown, key=lambda point: point[1]):
        colour = "#0a5" if name.startswith(OURS) else "#555"
        parts.append(f'<circle cx="{x(ms):.1f}" cy="{y(error):.1f}" r="6" fill="{colour}"/>')
        line = y(error) - 12
        while any(abs(line - other) < 16 and abs(x(ms) - at) < 260 for at, other in above):
            line -= 17
        above.append((x(ms), line))
        side = "end" if x(ms) > WIDTH * 0.6 else "start"
        parts.append(
            f'<text x="{x(ms):.1f}" y="{line:.1f}" text-anchor="{side}" fill="{colour}">'
            f"{escape(name)}: {ms:.0f} ms, {error:.1%}</text>"
        )
    notes = (
        (
            f"FNMR at FMR {peers['pipelines'][OURS]['fmr']:g} over {peers['people']} people in {peers['photographs']} "
            "photographs. Better: lower, further left."
        ),
        f"Times: {match['device']}, commit {match['git_commit'][:7]}.",
    )
    for number, note in enumerate(notes):
        parts.append(f'<text x="{LEFT}" y="{foot + 42 + 20 * number}" fill="#555">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])
