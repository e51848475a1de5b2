"""What an evaluation of presentation-attack detection found: as text, and as a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from kiosk.rules.text import counted

STYLE = """
:root{color-scheme:light dark;--ink:#16202b;--soft:#55626f;--line:#c9d1d9;--bar:#b3261e;--good:#1b6e3c;--paper:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e7edf3;--soft:#a3afbb;--line:#3a4550;--bar:#ff8a80;--good:#7fd6a0;
--paper:#12181f}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);
background:var(--paper)}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}
.headline{font-size:1.25rem;border-left:.4rem solid var(--bar);padding:.3rem 1rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .8rem .35rem 0;text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}
th:first-child,td:first-child{text-align:left}thead th,thead td{border-bottom:2px solid var(--line)}
tbody tr{border-bottom:1px solid var(--line)}
.soft{color:var(--soft)}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
svg{width:11rem;height:1.2rem;vertical-align:middle}
"""
ATTACK_COLUMNS = ("Species", "Presented", "Accepted", "APCER", "95 % bound", "No response", "IAPAR", "")
PERSON_COLUMNS = ("Person", "Presented", "Accepted", "BPCER", "95 % bound", "No response", "")
LEGEND = (
    "The red bar is the rate, the line reaches to its bound. Bounds are one-sided, after Clopper and Pearson; "
    "presentations without a response stay in every denominator."
)
CLAIM = (
    "Rates of these recordings: these people, instruments, lights and this camera. No certified rates; nothing is said "
    "of masks in three dimensions or of pictures fed past the camera."
)


def headline(report: Mapping[str, Any]) -> str:
    """Return the worst species in a sentence."""
    worst, everybody = report["headline"], report["bona_fide_all"]
    attacks = (
        f"Worst species {worst['worst_species']}: {worst['accepted']} of "
        f"{counted(worst['presentations'], 'attack', 'attacks')} accepted, "
        f"APCER {_percent(worst['apcer'])}, at most {_percent(worst['apcer_upper_95'])} with 95 % confidence."
        if worst
        else "No attacks were presented."
    )
    people = (
        f" Of {counted(everybody['presentations'], 'bona fide presentation', 'bona fide presentations')} "
        f"of {counted(everybody['people'], 'person', 'people')} "
        f"{everybody['accepted']} were accepted, {everybody['denied']} denied (BPCER {_percent(everybody['bpcer'])}, "
        f"at most {_percent(everybody['bpcer_upper_95'])})."
        if everybody["presentations"]
        else " No bona fide presentations were judged."
    )
    return attacks + people


def as_text(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal."""
    lines = [f"Level {report['level']}. {headline(report)}", ""]
    lines += [f"{'attack':<16} {'presented':>9} {'accepted':>8} {'APCER':>8} {'bound':>8} {'no resp.':>8} {'IAPAR':>8}"]
    for name, row in report["species"].items():
        lines.append(
            f"{name:<16} {row['presentations']:>9} {row['accepted']:>8} {_percent(row['apcer']):>8} "
            f"{_percent(row['apcer_upper_95']):>8} {_percent(row['non_response']):>8} {_percent(row['iapar']):>8}"
        )
    lines += ["", f"{'person':<16} {'presented':>9} {'accepted':>8} {'BPCER':>8} {'bound':>8} {'no resp.':>8}"]
    for name, row in report["bona_fide"].items():
        lines.append(
            f"{name:<16} {row['presentations']:>9} {row['accepted']:>8} {_percent(row['bpcer']):>8} "
            f"{_percent(row['bpcer_upper_95']):>8} {_percent(row['non_response']):>8}"
        )
    if report["refused_by"]:
        causes = ", ".join(f"{name} {count}" for name, count in report["refused_by"].items())
        lines += ["", f"Bona fide presentations not accepted: {causes}"]
    lines += ["", *report["notes"], CLAIM]
    return "\n".join(lines)


def as_html(report: Mapping[str, Any]) -> str:
    """Return the report as a page."""
    facts = {
        "Level": report["level"],
        "Camera": ", ".join(report["cameras"]) or "not told",
        "Light": ", ".join(report["lights"]) or "not told",
        "Days": ", ".join(report["days"]) or "not told",
        "Network": report["model"],
        "Denies below": report["network_low"],
    }
    everybody = report["bona_fide_all"]
    interval = everybody["bpcer_bootstrap_95"]
    over_people = (
        f"Over samples of the people, BPCER lies between {_percent(interval[0])} and {_percent(interval[1])} (95 %)."
        if interval
        else "An interval over people needs two or more of them."
    )
    causes = "".join(f"<li>{escape(name)}: {count}</li>" for name, count in report["refused_by"].items())
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Presentation attacks, level {escape(report['level'])}</title><style>{STYLE}</style></head><body>",
            "<h1>Presentation-attack detection</h1>",
            f'<p class="headline">{escape(headline(report))}</p>',
            *(f"<p>{escape(note)}</p>" for note in report["notes"]),
            "<h2>Attacks</h2>",
            _table(ATTACK_COLUMNS, [_attack_cells(name, row) for name, row in report["species"].items()]),
            "<h2>Bona fide presentations</h2>",
            _table(PERSON_COLUMNS, [_person_cells(name, row) for name, row in report["bona_fide"].items()]),
            f'<p class="soft">{over_people}</p>' if everybody["presentations"] else "",
            f"<h2>Not accepted though bona fide</h2><ul>{causes}</ul>" if causes else "",
            "<h2>Recordings</h2><dl>",
            *(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items()),
            f'</dl><p class="soft">{escape(LEGEND)} {escape(CLAIM)}</p></body></html>',
        ]
    )


def _attack_cells(name: str, row: Mapping[str, Any]) -> list[str]:
    rates = [_percent(row[key]) for key in ("apcer", "apcer_upper_95", "non_response", "iapar")]
    return [
        escape(name),
        str(row["presentations"]),
        str(row["accepted"]),
        *rates,
        _bar(row["apcer"], row["apcer_upper_95"]),
    ]


def _person_cells(name: str, row: Mapping[str, Any]) -> list[str]:
    rates = [_percent(row[key]) for key in ("bpcer", "bpcer_upper_95", "non_response")]
    return [
        escape(name),
        str(row["presentations"]),
        str(row["accepted"]),
        *rates,
        _bar(row["bpcer"], row["bpcer_upper_95"]),
    ]


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    if not rows:
        return '<p class="soft">None were recorded.</p>'
    head = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _bar(rate: float, bound: float) -> str:
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="100" height="10" fill="none" stroke="var(--line)" stroke-width=".6"/>'
        f'<rect y="2" width="{100 * rate:.1f}" height="6" fill="var(--bar)"/>'
        f'<line x1="{100 * rate:.1f}" x2="{100 * bound:.1f}" y1="5" y2="5" stroke="var(--bar)" stroke-width="1"/></svg>'
    )


def _percent(share: float) -> str:
    """Write a rate.

    >>> _percent(0.0487), _percent(1.0)
    ('4.9 %', '100.0 %')
    """
    return f"{100 * share:.1f} %"
