"""What an evaluation found, for a terminal and as one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from kiosk.errors import ImageError
from kiosk.evaluation.match import MatchReport, NamedPair, bounds, bounds_of_misses
from kiosk.evaluation.pairs import Rates
from kiosk.evaluation.photographs import read_picture
from kiosk.evaluation.plots import calibration_plot, det_plot, discard_plot
from kiosk.evaluation.search import SearchReport
from kiosk.recognition.match import ScoreScale
from kiosk.rules.text import counted, shown

THUMBNAIL_PX = 120
STYLE = (
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
    "table{border-collapse:collapse;margin:.5rem 0 2rem;font-variant-numeric:tabular-nums}"
    "td,th{padding:.25rem 1rem .25rem 0;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}"
    "th{border-bottom:1px solid #9aa7b3}svg{max-width:100%;height:auto}.none,small{color:#5a6874}"
    ".pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:1rem}"
    "figure{margin:0}figure img{width:120px;height:120px;object-fit:cover;margin-right:6px;background:#e6eaee}"
    "figcaption{font-size:12px;overflow-wrap:anywhere;color:#5a6874}.wide{overflow-x:auto}"
    "@media print{figure{break-inside:avoid}}</style>"
)
HEAD = ("score", "cosine", "false matches", "FMR", "95 %", "false non-matches", "FNMR", "95 %")
GROUP_HEAD = ("group", "people", "pairs", "FMR@50", "FMR@70", "FMR@90", "let in", "FMR@70 below", "FNMR@70")


def match_as_text(report: MatchReport) -> str:
    """Return tables for a terminal."""
    lines = [_summary(report), ""]
    lines += _aligned([HEAD, *(_cells(str(score), rates) for score, rates in report.scores.items())])
    if report.fixed:
        head = ("at FMR", *HEAD[1:])
        lines += ["", *_aligned([head, *(_cells(f"{fmr:g}", rates) for fmr, rates in report.fixed.items())])]
    if report.groups:
        lines += ["", "Within each group", *_aligned([GROUP_HEAD, *_group_rows(report)])]
    lines += ["", "Strangers most alike: one person under two names, twins, or an error of the truth? Look."]
    lines += [f"  {pair.score:5.1f}  {shown(pair.one)}  {shown(pair.other)}" for pair in report.highest[:10]] or [
        "  none"
    ]
    lines += ["", "One person least alike"]
    lines += [f"  {pair.score:5.1f}  {shown(pair.one)}  {shown(pair.other)}" for pair in report.lowest[:10]] or [
        "  none"
    ]
    if report.not_acquired:
        lines += ["", "No template (failures to acquire)"]
        lines += [f"  {shown(file)}: {shown(why)}" for file, why in report.not_acquired[:10]]
    return "\n".join(lines)


def match_as_html(report: MatchReport, scale: ScoreScale, pack: str) -> str:
    """Return the page. It shows the pairs to look at, so it holds photographs: whoever has it has these."""
    parts = [
        '<!doctype html><html lang="en-GB"><meta charset="utf-8"><title>Evaluation of 1:1 comparison</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        STYLE,
        f"<h1>Evaluation of 1:1 comparison</h1><p>{escape(_summary(report))} Model pack {escape(pack)}.</p>",
        (
            "<p><small>Over pairs of photographs that gave a template (ISO/IEC 19795-1). Intervals: 95 %, "
            "bootstrap over people; above, never tighter than so few errors allow. This page holds photographs of the "
            "people compared.</small></p>"
        ),
        _table(HEAD, [_cells(str(score), rates) for score, rates in report.scores.items()]),
    ]
    if report.fixed:
        rows = [_cells(f"{fmr:g}", rates) for fmr, rates in report.fixed.items()]
        parts += ["<h2>At fixed false-match rates</h2>", _table(("FMR", *HEAD[1:]), rows)]
    if report.groups:
        parts += [
            (
                "<h2>Within each group</h2><p>Both photographs of a pair are of the group. “Let in”: strangers at or "
                "above the door's threshold after its gates of quality and age.</p>"
            ),
            _table(GROUP_HEAD, _group_rows(report)),
        ]
    parts += [
        "<h2>Detection error trade-off</h2>",
        det_plot(report),
        "<h2>Is a score the rate it states?</h2>",
        calibration_plot(report, scale),
        "<h2>Error versus discard</h2>",
        discard_plot(report),
        (
            "<h2>Strangers most alike</h2><p>One person under two names, twins, a neighbour's face, or a true false "
            "match: only a look tells.</p>"
        ),
        _pairs(report.highest),
        "<h2>One person least alike</h2>",
        _pairs(report.lowest),
    ]
    if report.not_acquired:
        rows = [(shown(Path(file).name), shown(why)) for file, why in report.not_acquired]
        parts += ["<h2>No template</h2>", _table(("file", "why"), rows)]
    return "\n".join(parts) + "</html>\n"


def search_as_text(report: SearchReport) -> str:
    """Return the table for a terminal."""
    head = ("score", "cosine", "false positives", "FPIR", "95 %", "by the scale", "misses", "FNIR", "95 %")
    lines = [
        (
            f"{counted(report.gallery, 'person', 'people')} enrolled, "
            f"{counted(report.mated_searches, 'search', 'searches')} of them, {report.non_mated_searches:,} of others; "
            f"{counted(report.not_acquired, 'photograph', 'photographs')} gave no template."
        ),
        "",
    ]
    rows = [
        (
            str(score),
            f"{rates.cosine:.3f}",
            f"{rates.false_positives:,}",
            _rate(rates.fpir),
            _interval(rates.fpir_interval),
            _rate(rates.expected_fpir),
            f"{rates.misses:,}",
            _rate(rates.fnir),
            _interval(rates.fnir_interval),
        )
        for score, rates in report.scores.items()
    ]
    return "\n".join([*lines, *_aligned([head, *rows])])


def _summary(report: MatchReport) -> str:
    return (
        f"{counted(report.people, 'person', 'people')} in "
        f"{counted(report.photographs, 'photograph', 'photographs')}, {len(report.not_acquired):,} without a template; "
        f"{counted(report.mated, 'comparison', 'comparisons')} of one person, {report.non_mated:,} of strangers. "
        f"At the door's threshold {report.granted.false:,} of the latter would be let in, 1:1."
    )


def _cells(name: str, rates: Rates) -> tuple[str, ...]:
    return (
        name,
        f"{rates.cosine:.3f}",
        f"{rates.false_matches:,}",
        _rate(rates.fmr),
        _interval(bounds(rates)),
        f"{rates.false_non_matches:,}",
        _rate(rates.fnmr),
        _interval(bounds_of_misses(rates)),
    )


def _group_rows(report: MatchReport) -> list[tuple[str, ...]]:
    rows = []
    for name, group in report.groups.items():
        interval = bounds(group.scores[70])
        rows.append(
            (
                shown(name),
                f"{group.people:,}",
                f"{group.granted.non_mated:,}",
                *(_rate(group.scores[score].fmr) for score in (50, 70, 90)),
                _rate(group.granted.rate),
                "-" if interval is None else _rate(interval[1]),
                _rate(group.scores[70].fnmr),
            )
        )
    return rows


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return "0" if rate == 0.0 else f"{rate:.2e}" if rate < 1e-3 else f"{rate:.4f}"  # noqa: PLR2004  four places end there


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{_rate(interval[0])} to {_rate(interval[1])}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: names to the left, figures to the right, columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _pairs(pairs: Sequence[NamedPair]) -> str:
    if not pairs:
        return '<p class="none">None.</p>'
    figures = [
        f"<figure>{_thumbnail(pair.one)}{_thumbnail(pair.other)}<figcaption>{pair.score:.1f}: "
        f"{escape(_short(pair.one))}, {escape(_short(pair.other))}</figcaption></figure>"
        for pair in pairs
    ]
    return f'<div class="pairs">{"".join(figures)}</div>'


def _short(path: str) -> str:
    return shown("/".join(Path(path).parts[-2:]))


def _thumbnail(path: str) -> str:
    try:
        picture = Image.fromarray(read_picture(Path(path)))
    except ImageError:
        return '<img alt="cannot be read any more">'
    picture.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return (
        f'<img alt="{escape(_short(path))}" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
    )
