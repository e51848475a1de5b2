"""What an audit of the gallery found: as text, as JSON, as a page with a picture. Numbers of people, never names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

BAR = 40  # characters
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 720, 260, 60, 20, 40, 20


STYLE = (
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
    "table{border-collapse:collapse;margin:.5rem 0 2rem}td,th{padding:.25rem 1rem .25rem 0;text-align:right}"
    "th{border-bottom:1px solid #9aa7b3}svg{max-width:100%;height:auto}.none{color:#5a6874}</style>"
)


@dataclass(frozen=True, slots=True)
class Confusable:
    """A person whom others look like."""

    subject: int
    count: int  # references of others at score 50 or more
    highest: float


@dataclass(frozen=True, slots=True)
class Report:
    """All of an audit."""

    people: int
    references: int
    threshold: float
    figures: Mapping[str, Any]
    duplicates: Sequence[tuple[float, int, int]]  # similarity, two session_numbers
    outliers: Sequence[tuple[float, int, int]]  # best similarity to the person's others, session_number, reference
    confusable: Sequence[Confusable]
    pairs_by_score: Mapping[int, int]  # pairs of different people by whole score, from 50 on

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def _tables(report: Report) -> list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
    return [
        (
            f"Likely duplicates: different people at or above {report.threshold}",
            ("similarity", "number", "number"),
            list(report.duplicates),
        ),
        (
            "References unlike their own person",
            ("best similarity", "number", "reference"),
            list(report.outliers),
        ),
        (
            "Most confusable people: references of others at score 50 or more",
            ("number", "references", "highest"),
            [(one.subject, one.count, one.highest) for one in report.confusable],
        ),
    ]


def _summary(report: Report) -> str:
    figures = report.figures
    return (
        f"{report.people} people, {report.references} references. At {report.threshold} a stranger's search is "
        f"expected to list {figures['expected_false_positives']:g} people (FPIR {figures['fpir']:g})."
    )


def as_text(report: Report) -> str:
    """Return tables for a terminal."""
    lines = [_summary(report)]
    for title, columns, rows in _tables(report):
        lines += ["", title]
        if not rows:
            lines.append("  none")
            continue
        lines.append("  " + "".join(f"{column:>17}" for column in columns))
        lines += ["  " + "".join(f"{value:>17}" for value in row) for row in rows]
    if report.pairs_by_score:
        most = max(report.pairs_by_score.values())
        lines += ["", "Pairs of different people by score"]
        for score, count in report.pairs_by_score.items():
            lines.append(f"  {score:>3} {'#' * max(1, round(BAR * count / most)):<{BAR}} {count}")
    return "\n".join(lines)


def as_html(report: Report) -> str:
    """Return one page that needs nothing else."""
    parts = [
        '<!doctype html><html lang="en-GB"><meta charset="utf-8"><title>Gallery audit</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        STYLE,
        f"<h1>Gallery audit</h1><p>{escape(_summary(report))}</p>",
        "<h2>Pairs of different people by score</h2>",
        _histogram(report),
    ]
    for title, columns, rows in _tables(report):
        parts.append(f"<h2>{escape(title)}</h2>")
        if not rows:
            parts.append('<p class="none">None.</p>')
            continue
        head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>" for row in rows)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return "\n".join(parts) + "</html>\n"


def _histogram(report: Report) -> str:
    if not report.pairs_by_score:
        return '<p class="none">No pair of different people reaches score 50.</p>'
    most = max(report.pairs_by_score.values())
    step = (WIDTH - LEFT - RIGHT) / 51  # scores 50 to 100
    plot = HEIGHT - BOTTOM - TOP
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Histogram of scores between different people">'
    ]
    for score, count in report.pairs_by_score.items():
        tall = max(1.0, plot * count / most)
        colour = "#b3261e" if score >= report.threshold else "#0b5cad"
        parts.append(
            f'<rect x="{LEFT + (score - 50) * step:.1f}" y="{TOP + plot - tall:.1f}" width="{step - 1:.1f}" '
            f'height="{tall:.1f}" fill="{colour}"><title>{score}: {count}</title></rect>'
        )
    ticks = ((score, LEFT + (score - 49.5) * step) for score in range(50, 101, 10))
    parts += [
        f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle" font-size="13">{score}</text>' for score, x in ticks
    ]
    parts.append(f'<text x="{LEFT - 8}" y="{TOP + 5}" text-anchor="end" font-size="13">{most:,}</text>')
    parts.append(f'<text x="{LEFT - 8}" y="{TOP + plot}" text-anchor="end" font-size="13">0</text>')
    at = LEFT + (report.threshold - 50) * step
    parts.append(
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + plot}" stroke="#b3261e" stroke-dasharray="4 3"/>'
    )
    parts.append(
        f'<text x="{at + 5:.1f}" y="{TOP + 12}" font-size="13" fill="#b3261e">threshold {report.threshold}</text></svg>'
    )
    return "".join(parts)
