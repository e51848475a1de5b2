"""The report of an acceptance: one page that prints, in the words of ISO/IEC 19795-2 and -5 and 30107-3. Pure.

It says what was measured and by whom, what the thresholds of this site should be, and what nobody may read into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from types import MappingProxyType
from typing import Any

from kiosk.evaluation.acceptance.findings import (
    LONG_S,
    Rate,
    Times,
    door_times,
    rate_of,
    recommend,
    times_of,
    undetected_of,
)
from kiosk.evaluation.acceptance.plan import MOST_ERRORS, Look, Step, Verdict, looks, rule_of_three
from kiosk.evaluation.acceptance.trial import LEAST_READINGS, SPAN_H, Presentation, State, Trial
from kiosk.evaluation.pad_rates import upper_bound

STYLE = """
:root{color-scheme:light dark;--ink:#16202b;--soft:#4b5a68;--line:#c9d1d9;--paper:#fff;--tint:#f2f5f8;
--good:#00694f;--maybe:#7d4e00;--bad:#ad2310}
@media(prefers-color-scheme:dark){:root{--ink:#e7edf3;--soft:#a8b6c2;--line:#3a4550;--paper:#12181f;--tint:#1b242d;
--good:#53cfa9;--maybe:#f0b84b;--bad:#ff9a83}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,"Liberation Sans",sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem;
color:var(--ink);background:var(--paper);overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;break-after:avoid}
p,ul{margin:.4rem 0}ul{padding-left:1.3rem}.soft{color:var(--soft)}li{margin:.2rem 0}
.sum{list-style:none;padding:0!important;margin:1rem 0;border-top:1px solid var(--line)}
.sum li{display:grid;grid-template-columns:9.5rem 1fr;gap:.2rem 1rem;padding:.45rem 0;
border-bottom:1px solid var(--line);margin:0;break-inside:avoid}
.mark{font-weight:600}.good{color:var(--good)}.maybe{color:var(--maybe)}.bad{color:var(--bad)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{padding:.3rem .7rem .3rem 0;text-align:right;font-variant-numeric:tabular-nums;vertical-align:top}
td{white-space:nowrap}td:first-child,td:last-child{white-space:normal}
th:first-child,td:first-child,.text{text-align:left!important}thead th{border-bottom:2px solid var(--line)}
tbody tr{border-bottom:1px solid var(--line);break-inside:avoid}
.box{background:var(--tint);border-left:.35rem solid var(--line);padding:.6rem 1rem;break-inside:avoid}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.15rem 1rem;margin:.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font-size:.9em;overflow-wrap:anywhere}
.hands{display:grid;grid-template-columns:1fr 1fr;gap:2rem;margin-top:3.5rem;break-inside:avoid}
.hands p{border-top:1px solid var(--ink);padding-top:.3rem;margin:0}
@media(max-width:40rem){.sum li{grid-template-columns:1fr}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}
td,th{padding-right:.5rem;font-size:.9rem}.hands{grid-template-columns:1fr;gap:3.5rem}}
@media print{:root{--ink:#000;--soft:#333;--line:#999;--paper:#fff;--tint:#fff;--good:#000;--maybe:#000;--bad:#000}
body{font-size:10.5pt;max-width:none;padding:0}@page{margin:18mm 15mm}.wide{overflow:visible}}
"""
NONE = "-"  # in a table, where nothing was measured
NAMES = {
    Step.CAMERA: "Camera",
    Step.LIGHT: "Light at the face",
    Step.PEOPLE: "Own people",
    Step.STRANGERS: "Strangers",
    Step.TIMING: "Time at the door",
    Step.ATTACKS: "Attacks",
    Step.WATCHDOG: "Watchdog",
    Step.POWER: "Power cut",
}
MARKS = {
    State.DONE: ("good", "✓ shown"),
    State.MISSED: ("bad", "✗ not met"),
    State.UNDER_WAY: ("maybe", "… not enough"),
    State.OPEN: ("maybe", "○ not measured"),
    State.SKIPPED: ("maybe", "○ not measured"),
}
NOT_CLAIMED = (
    "Nothing is certified. These are the figures of one trial: this kiosk, these people, this light, these days.",
    (
        "The presentations of one person resemble each other more than those of many, so bounds that count "
        "presentations are narrower than they should be where few people took part; the "
        "intervals over people are the wider ones."
    ),
    "People who took part knew of the trial. Whoever wants to get in, and has time, was not part of it.",
    (
        "Nothing is said of twins and siblings, of kinds of attack that are not in the table, of masks in three "
        "dimensions, or of pictures fed past the camera."
    ),
    (
        "A trial of some tens of people says nothing of rates of one in thousands. For those the scale of the model "
        "pack stands, with what its manifest says of it, and kiosk evaluate site where some 200 people are enrolled."
    ),
)


@dataclass(frozen=True, slots=True)
class Issue:
    """What a report says of itself."""

    at: float  # seconds UTC
    key: str  # the kiosk's public key, as minisign writes it
    setup: Mapping[str, Any]  # what the figures depend on, as it is now
    threshold: float  # in force at the door, a score
    site: Sequence[Mapping[str, Any]] = ()  # rows of `device.site.scores_here`; none where too few are enrolled


def as_html(trial: Trial, issue: Issue) -> str:
    """Return the report as a page that needs nothing else."""
    begun, newest = moment(trial.begun_at), moment(trial.newest_at)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>Acceptance report, {escape(moment(issue.at))}</title><style>{STYLE}</style></head><body><main>",
        "<h1>Acceptance report of a face-verification kiosk</h1>",
        (
            f'<p class="soft">Kiosk <code>{escape(str(issue.setup.get("store", "")))}</code>. Begun {begun}, newest '
            f"note {newest}, report of {moment(issue.at)} (UTC, by the kiosk's clock).</p>"
        ),
        _summary(trial),
        _recommended(trial, issue),
        _people(trial),
        _attacks(trial, issue),
        _timing(trial),
        _light(trial),
        _camera(trial),
        _asked(trial),
        _setup(trial, issue),
        _method(trial),
        f"<h2>Not claimed</h2>{_list(NOT_CLAIMED)}",
        _signed(issue),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def moment(at: float | None) -> str:
    """Write a time, UTC, to the minute.

    >>> moment(1_800_000_000.0), moment(None)
    ('2027-01-15 08:00', '-')
    """
    return NONE if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M")


def percent(share: float | None) -> str:
    """Write a rate.

    >>> percent(0.0487), percent(0.00512), percent(None)
    ('4.9 %', '0.51 %', '-')
    """
    if share is None:
        return NONE
    return f"{100 * share:.2f} %" if 0.0 < share < 0.01 else f"{100 * share:.1f} %"  # noqa: PLR2004  one digit would be 0


def said(look: Look, goal: float, what: str) -> str:
    """Say in a sentence what a trial shows."""
    counted = f"{look.errors} of {look.presented} presentations {what}"
    if look.verdict is Verdict.ENOUGH:
        return f"{counted}: a rate of at most {percent(goal)} is shown with 95 % confidence."
    if look.verdict is Verdict.MISSED:
        return f"{counted}: a rate of at most {percent(goal)} is not shown. Mend what went wrong, then begin anew."
    return (
        f"{counted}: {look.missing} more without an error would show a rate of at most {percent(goal)}. "
        "It is not shown yet."
    )


# ---- parts, in the order of the page


def _summary(trial: Trial) -> str:
    rows = []
    for step in Step:
        state = trial.state(step)
        kind, mark = MARKS[state]
        if step in trial.words and state != State.SKIPPED:
            mark = "✓ by word" if state == State.DONE else "✗ by word"
        elif state == State.DONE and step in (Step.CAMERA, Step.LIGHT, Step.TIMING):
            mark = "✓ measured"
        rows.append(
            f'<li><span class="mark {kind}">{escape(mark)}</span><span><b>{NAMES[step]}.</b> '
            f"{escape(sentence(trial, step))}</span></li>"
        )
    return f'<ul class="sum">{"".join(rows)}</ul>'


def sentence(trial: Trial, step: Step) -> str:
    """Say in a sentence or two what a step showed."""
    if step in trial.skipped:
        return f"Left out: {trial.skipped[step]}"
    return _SENTENCES[step](trial)


def _people_sentence(trial: Trial) -> str:
    goal = trial.goals[Step.PEOPLE].rate
    return said(trial.look(Step.PEOPLE), goal, "of people enrolled were wrongly turned away")


def _strangers_sentence(trial: Trial) -> str:
    return said(trial.look(Step.STRANGERS), trial.goals[Step.STRANGERS].rate, "of strangers were let in")


def _worst_attack(trial: Trial) -> str:
    if not trial.species:
        return "No attack was presented."
    worst = max(trial.species, key=lambda one: (rate_of(trial.of(Step.ATTACKS, one)).rate or 0.0, one))
    look = trial.look(Step.ATTACKS, worst)
    return f"Worst kind, {worst}: {said(look, trial.goals[Step.ATTACKS].rate, 'were let in')}"


def _recommended(trial: Trial, issue: Issue) -> str:
    found = recommend(trial, issue.threshold)
    name = "verify_threshold" if issue.setup.get("mode") == "verify" else "identify_threshold"
    lines = []
    if found.is_beyond:
        lines.append(
            "A stranger reached the highest score there is: no threshold helps. Look whether that person is enrolled "
            "after all, or looks like somebody who is (kiosk gallery audit), before the door is used."
        )
    elif found.is_raised:
        lines.append(
            f"Raise [entrance] {name} from {found.in_force:g} to {found.threshold:g}: a stranger reached "
            f"{found.highest_stranger:g}. Of {found.mated} presentations of people enrolled, {found.turned_away} "
            "scored lower and would be turned away."
        )
    elif trial.of(Step.STRANGERS):
        highest = "none came near" if found.highest_stranger is None else f"the highest was {found.highest_stranger:g}"
        lines.append(
            f"Keep [entrance] {name} at {found.in_force:g}: no stranger's score reached it ({highest}). "
            "A lower one is never recommended: a trial of this size is too small for that."
        )
    else:
        lines.append(
            f"Keep [entrance] {name} at {found.in_force:g}: no strangers presented, so nothing speaks for more."
        )
    if found.narrow:
        people = ", ".join(map(str, found.narrow))
        lines.append(f"Enrol anew in the light of this door: people {people}, whose scores lie close to the threshold.")
    if any(one.is_other for one in trial.of(Step.PEOPLE)):
        lines.append("Somebody was let in as somebody else: run kiosk gallery audit, and look at the two.")
    if issue.setup.get("pad_level") == "off":
        lines.append(
            "Turn on the detection of presentation attacks ([pad] level): here a photograph of somebody opens."
        )
    if (years := issue.setup.get("holds_from_age")) is not None:
        is_held = float(issue.setup.get("age_low", 0.0)) >= float(years)
        lines.append(
            f"Scores hold from about {float(years):g} years on; children reach them far more often. "
            + ("The door sends younger people to review." if is_held else f"Set [entrance] age_low = {float(years):g}.")
        )
    table = ""
    if issue.site:
        rows = [
            [f"{one['score']:g}", _one_in(one["stated"]), _one_in(one["bound"]), f"{one['holds_from']:g}"]
            for one in issue.site
        ]
        head = ("Score", "Stated rate", "Here, 95 % bound", "Holds here from score")
        table = _table(head, rows, "Of the people enrolled, each a stranger to all others (kiosk evaluate site)")
    return f'<h2>Thresholds recommended for this site</h2><div class="box">{_list(lines)}</div>{table}'


def _people(trial: Trial) -> str:
    rows = []
    for step, what in ((Step.PEOPLE, "mated: FRR, wrongly turned away"), (Step.STRANGERS, "non-mated: FAR, let in")):
        rows.append([what, *_cells(rate_of(trial.of(step)))])
    others = sum(one.is_other for one in trial.of(Step.PEOPLE))
    scores = sorted(
        one.seen[0].score for one in trial.of(Step.PEOPLE) if one.is_right and one.seen[0].score is not None
    )
    notes = [f"Enrolled people let in as somebody else: {others}."]
    if scores:
        middle = scores[len(scores) // 2]
        notes.append(f"Scores of people let in as themselves: {scores[0]:g} the lowest, {middle:g} the middle one.")
    head = ("Presentations", "Count", "Errors", "Rate", "95 % at most", "Not seen", "People", "Over people")
    return (
        "<h2>People and strangers at the door</h2>"
        + _table(head, rows, "Rates of the whole door (ISO/IEC 19795-2, scenario; -5, access control)")
        + _list(notes)
    )


def _attacks(trial: Trial, issue: Issue) -> str:
    if not trial.species:
        return ""
    rows = []
    is_on = issue.setup.get("pad_level") != "off"
    for species in trial.species:
        found = trial.of(Step.ATTACKS, species)
        rate = rate_of(found)
        missed, bound = undetected_of(found)
        detected = [percent(missed / len(found)), percent(bound)] if is_on else [NONE, NONE]
        cells = [species, str(rate.presented), str(rate.people), percent(rate.rate), percent(rate.upper)]
        rows.append([*cells, *detected, str(rate.unseen)])
    head = ("Kind", "Count", "Instruments", "IAPAR", "95 % at most", "APCER", "95 % at most", "No response")
    return "<h2>Presentation attacks</h2>" + _table(
        head, rows, "IAPAR: let in; APCER: not recognised as an attack (ISO/IEC 30107-3). The worst kind counts"
    )


def _timing_sentence(trial: Trial) -> str:
    decision, relay = door_times(trial)
    told = times_of(trial.stopwatch)
    found = []
    if decision is not None:
        found.append(f"{decision.median_s:.1f} s from the first sight to the decision, {decision.most_s:.1f} s at most")
    if relay is not None:
        found.append(f"{relay.median_s:.2f} s from there to the relay")
    if told is not None:
        found.append(f"{told.median_s:.1f} s by the installer's stopwatch, from stepping up to the open door")
    slow = max((one.median_s for one in (decision, told) if one is not None), default=0.0) > LONG_S
    return ("; ".join(found) + (". People will take that for broken." if slow else ".")) if found else "Nothing timed."


def _timing(trial: Trial) -> str:
    decision, relay = door_times(trial)
    named = (
        ("First sight to decision, measured by the kiosk", decision),
        ("Decision to relay, measured by the kiosk", relay),
        ("Stepping up to open door, the installer's word", times_of(trial.stopwatch)),
    )
    rows = [_time_cells(name, one) for name, one in named if one is not None]
    return "<h2>Time at the door</h2>" + _table(("What", "Count", "Median", "Longest"), rows) if rows else ""


def _light_sentence(trial: Trial) -> str:
    if not trial.light:
        return "Nothing was measured."
    poor = [one for one in trial.light if one["objection"]]
    times = [one["at"] for one in trial.light]
    span_h = (max(times) - min(times)) / 3600.0
    few = (
        ""
        if trial.state(Step.LIGHT) != State.UNDER_WAY
        else (f" Too little for a day: {LEAST_READINGS} readings over {SPAN_H:g} hours are asked for.")
    )
    found = f"{len(trial.light)} readings over {span_h:.1f} hours, {len(poor)} of them too poor for a reference."
    return found + few


def _light(trial: Trial) -> str:
    rows = [
        [
            moment(one["at"]),
            f"{one['luminance']:.0f}",
            f"{one['contrast']:.0f}",
            f"{one['sharpness']:.0f}",
            f"{one['eye_distance_px']:.0f} px",
            NONE if one["template_quality"] is None else f"{one['template_quality']:.0f}",
            one["objection"] or "good",
        ]
        for one in trial.light
    ]
    head = ("Time (UTC)", "Luma, 0 to 255", "Contrast", "Sharpness", "Between eyes", "Quality, 0 to 100", "Verdict")
    return "<h2>Light at the face</h2>" + _table(head, rows) if rows else ""


def _camera_sentence(trial: Trial) -> str:
    camera = trial.camera
    if camera is None:
        return "Nothing was measured."
    what = f"{camera['width']} by {camera['height']}, {camera['fps']:g} pictures a second."
    return what + "".join(f" {fault}." for fault in camera["faults"])


def _camera(trial: Trial) -> str:
    camera = trial.camera
    if camera is None:
        return ""
    facts = {
        "Source": camera["source"],
        "Picture": f"{camera['width']} by {camera['height']} px",
        "Pictures judged a second": f"{camera['fps']:g}",
        "Mean brightness": f"{camera['brightness']:.0f} of 255",
    }
    return f"<h2>Camera</h2>{_facts(facts)}"


def _word_sentence(trial: Trial, step: Step) -> str:
    word = trial.words.get(step)
    if word is None:
        return "Not tried."
    seen = {
        Step.WATCHDOG: ("is_new_process", "the kiosk's process is another one", "the kiosk's process is the same one"),
        Step.POWER: ("is_new_boot", "the machine started anew", "the machine did not start anew"),
    }
    log = ("is_log_intact", "the decision log is unbroken", "the decision log is damaged")
    looked = [(getattr(word, name), good, bad) for name, good, bad in (seen[step], log)]
    facts = [good if found else bad for found, good, bad in looked if found is not None]
    told = "it came back by itself" if word.worked else "it did not come back by itself"
    more = f" ({word.text})" if word.text else ""
    sees = f" The kiosk sees: {', '.join(facts)}." if facts else " The kiosk saw nothing of it."
    doubt = " So the word is not borne out." if word.worked and not word.holds_for(step) else ""
    return f"The installer's word of {moment(word.at)}: {told}{more}.{sees}{doubt}"


def _asked(trial: Trial) -> str:
    told = [step for step in (Step.WATCHDOG, Step.POWER) if step in trial.words]
    if not told:
        return ""
    return f"<h2>Watchdog and power</h2>{_list(f'{NAMES[step]}. {_word_sentence(trial, step)}' for step in told)}"


def _setup(trial: Trial, issue: Issue) -> str:
    now, before = issue.setup, trial.setup
    facts = {
        "Kiosk": f"version {now.get('version')}",
        "Recogniser (sha256)": now.get("model"),
        "Mode": now.get("mode"),
        "Threshold at the door": now.get("threshold"),
        "Threshold of the blocklist": now.get("blocklist_threshold"),
        "Detection of attacks": now.get("pad_level"),
        "People enrolled": now.get("people"),
        "Presentations taken back": trial.withdrawn,
    }
    watched = ("version", "model", "mode", "threshold", "blocklist_threshold", "pad_level", "age_low")
    changed = [name for name in watched if before.get(name) != now.get(name)]
    warning = ""
    if changed:
        was = ", ".join(f"{name} {before.get(name)} → {now.get(name)}" for name in changed)
        warning = f'<p class="box bad">Changed since the trial began, so that the figures mix both: {escape(was)}</p>'
    return f"<h2>What the figures depend on</h2>{_facts(facts)}{warning}"


def _method(trial: Trial) -> str:
    plans = [
        f"{NAMES[step]}: at most {percent(goal.rate)}; looks after "
        + ", ".join(map(str, looks(goal)))
        + f" presentations with at most 0 to {MOST_ERRORS} errors (rule of three: {rule_of_three(goal.rate)})."
        for step, goal in trial.goals.items()
    ]
    lines = [
        (
            "Of people enrolled the first decision of each presentation counts; of strangers and attacks any decision "
            "that let somebody in. Presentations without a decision stay in the denominators."
        ),
        (
            "Looks were planned beforehand and share the 5 % between them, so that stopping early does not flatter. "
            "Bounds are one-sided, 95 %, after Clopper and Pearson, for the presentations counted; intervals over "
            "people draw people anew with all of their presentations; without an error, they are the bound of so many "
            "people with one presentation each."
        ),
        *plans,
        "Every decision counted here is in the kiosk's signed log by its number; what an installer told is marked so.",
    ]
    return f"<h2>How it was measured</h2>{_list(lines)}"


def _signed(issue: Issue) -> str:
    return (
        "<h2>Signature</h2><p>The file beside this one, of the same name with .minisig, is the kiosk's signature. "
        "<code>kiosk accept --verify REPORT</code> checks it on the kiosk, and anywhere else:</p>"
        f"<p><code>minisign -Vm REPORT -P {escape(issue.key)}</code></p>"
        '<div class="hands"><p>Installer, place, date</p><p>Owner, place, date</p></div>'
    )


# ---- pieces


def _cells(rate: Rate) -> list[str]:
    interval = NONE
    if rate.presented and not rate.errors:  # nothing to draw anew from: what so many people show, one each
        interval = f"at most {percent(upper_bound(0, rate.people))}"
    elif rate.interval is not None:
        interval = f"{percent(rate.interval[0])} to {percent(rate.interval[1])}"
    bound = percent(rate.upper) if rate.presented else NONE
    return [
        str(rate.presented),
        str(rate.errors),
        percent(rate.rate),
        bound,
        str(rate.unseen),
        str(rate.people),
        interval,
    ]


def _time_cells(name: str, times: Times) -> list[str]:
    return [name, str(times.count), f"{times.median_s:.2f} s", f"{times.most_s:.2f} s"]


def _one_in(rate: float) -> str:
    return f"1 in {1 / rate:,.0f}" if rate > 0.0 else "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    cells = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    about = f'<p class="soft">{escape(caption)}</p>' if caption else ""
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f'{about}<div class="wide" tabindex="0">{table}</div>'


def _facts(facts: Mapping[str, object]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


_SENTENCES: Mapping[Step, Callable[[Trial], str]] = MappingProxyType(
    {
        Step.CAMERA: _camera_sentence,
        Step.LIGHT: _light_sentence,
        Step.PEOPLE: _people_sentence,
        Step.STRANGERS: _strangers_sentence,
        Step.TIMING: _timing_sentence,
        Step.ATTACKS: _worst_attack,
        Step.WATCHDOG: lambda trial: _word_sentence(trial, Step.WATCHDOG),
        Step.POWER: lambda trial: _word_sentence(trial, Step.POWER),
    }
)


def presented_as(one: Presentation) -> str:
    """Say what became of a presentation, in a few words."""
    if not one.seen:
        return "the kiosk did not respond"
    if one.step is Step.PEOPLE:
        return "let in" if one.is_right else "let in as somebody else" if one.is_other else "turned away"
    return "LET IN" if one.is_error else "turned away"
