"""The report of an acceptance: one page that prints, in the words of ISO/IEC 19795-2 and -5 and 30107-3. Pure.

It says what was measured and by whom, what the thresholds of this site should be, and what nobody may read into it, in
one of the pages' languages. What an installer wrote, and names of settings, stand as they are.
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
    faults_of,
    rate_of,
    recommend,
    times_of,
    undetected_of,
    weakness_of,
)
from kiosk.evaluation.acceptance.plan import MOST_ERRORS, Look, Step, Verdict, looks, rule_of_three
from kiosk.evaluation.acceptance.trial import LEAST_READINGS, SPAN_H, Presentation, State, Trial
from kiosk.evaluation.acceptance.wording import Wording, words_of
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
MARKS = {
    State.DONE: ("good", "✓"),
    State.MISSED: ("bad", "✗"),
    State.UNDER_WAY: ("maybe", "…"),
    State.OPEN: ("maybe", "○"),
    State.SKIPPED: ("maybe", "○"),
}
NOT_CLAIMED = 5  # sentences


@dataclass(frozen=True, slots=True)
class Issue:
    """What a report says of itself."""

    at: float  # seconds UTC
    key: str  # the kiosk's public key, as minisign writes it
    setup: Mapping[str, Any]  # what the figures depend on, as it is now
    threshold: float  # in force at the door, a score
    site: Sequence[Mapping[str, Any]] = ()  # rows of `device.site.scores_here`; none where too few are enrolled
    language: str = "en"


def as_html(trial: Trial, issue: Issue) -> str:
    """Return the report as a page that needs nothing else."""
    say = words_of(issue.language)
    about = say(
        "about",
        store=issue.setup.get("store", ""),
        begun=moment(trial.begun_at),
        newest=moment(trial.newest_at),
        at=moment(issue.at),
    )
    claims = [say(f"not_claimed_{number}") for number in range(1, NOT_CLAIMED + 1)]
    parts = [
        f'<!doctype html><html lang="{say.language}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(say('page', at=moment(issue.at)))}</title><style>{STYLE}</style></head><body><main>",
        f'<h1>{escape(say("title"))}</h1><p class="soft">{escape(about)}</p>',
        _summary(trial, say),
        _recommended(trial, issue, say),
        _people(trial, say),
        _attacks(trial, issue, say),
        _timing(trial, say),
        _light(trial, say),
        _camera(trial, say),
        _asked(trial, say),
        _setup(trial, issue, say),
        _method(trial, say),
        _section(say("not_claimed"), _list(claims)),
        _signed(issue, say),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def moment(at: float | None) -> str:
    """Write a time, UTC, to the minute.

    >>> moment(1_800_000_000.0), moment(None)
    ('2027-01-15 08:00', '-')
    """
    return NONE if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M")


def said(look: Look, goal: float, what: str, say: Wording) -> str:
    """Say in a sentence what a trial shows."""
    counts = {"errors": look.errors, "presented": look.presented, "what": what, "goal": say.percent(goal)}
    if look.verdict is Verdict.ENOUGH:
        return say("enough", **counts)
    if look.verdict is Verdict.MISSED:
        return say("not_shown", **counts)
    return say("more", **counts, missing=look.missing)


# ---- parts, in the order of the page


def mark(trial: Trial, step: Step, say: Wording) -> tuple[str, str]:
    """Return how good a step's state is, and its sign with a word."""
    state = trial.state(step)
    kind, sign = MARKS[state]
    word = state
    if step in trial.words and state in (State.DONE, State.MISSED):
        word = "word_good" if state == State.DONE else "word_bad"
    elif state == State.DONE and step in (Step.CAMERA, Step.LIGHT, Step.TIMING):
        word = "measured"
    return kind, f"{sign} {say(word)}"


def _summary(trial: Trial, say: Wording) -> str:
    rows = []
    for step in Step:
        kind, words = mark(trial, step, say)
        rows.append(
            f'<li><span class="mark {kind}">{escape(words)}</span><span><b>{escape(say.step(step.value))}.</b> '
            f"{escape(sentence(trial, step, say))}</span></li>"
        )
    return f'<ul class="sum">{"".join(rows)}</ul>'


def sentence(trial: Trial, step: Step, say: Wording) -> str:
    """Say in a sentence or two what a step showed."""
    if step in trial.skipped:
        return say("left_out", reason=trial.skipped[step])
    return _SENTENCES[step](trial, say)


def _counted_sentence(trial: Trial, step: Step, say: Wording) -> str:
    return said(trial.look(step), trial.goals[step].rate, say(f"what_{step.value}"), say)


def _worst_attack(trial: Trial, say: Wording) -> str:
    if not trial.species:
        return say("no_attack")
    worst = max(trial.species, key=lambda one: (rate_of(trial.of(Step.ATTACKS, one)).rate or 0.0, one))
    look = trial.look(Step.ATTACKS, worst)
    return say("worst", species=worst, said=said(look, trial.goals[Step.ATTACKS].rate, say("what_attacks"), say))


def _recommended(trial: Trial, issue: Issue, say: Wording) -> str:
    lines = _advice(trial, issue, say)
    table = ""
    if issue.site:
        rows = [
            [
                say.number(one["score"]),
                _one_in(one["stated"], say),
                _one_in(one["bound"], say),
                say.number(one["holds_from"]),
            ]
            for one in issue.site
        ]
        head = [say(name) for name in ("score", "stated", "here_bound", "holds_from")]
        table = _table(head, rows, say("site"))
    return _section(say("recommended"), f'<div class="box">{_list(lines)}</div>{table}')


def _advice(trial: Trial, issue: Issue, say: Wording) -> list[str]:
    found = recommend(trial, issue.threshold)
    setting = {
        "name": "verify_threshold" if issue.setup.get("mode") == "verify" else "identify_threshold",
        "now": say.number(found.in_force),
    }
    lines = []
    if found.is_beyond:
        lines.append(say("beyond"))
    elif found.is_raised:
        highest, to = say.number(found.highest_stranger or 0.0), say.number(found.threshold)
        lines.append(say("raise", **setting, to=to, highest=highest, mated=found.mated, turned=found.turned_away))
    elif trial.of(Step.STRANGERS):
        near = found.highest_stranger
        highest = say("none_near") if near is None else say("highest_was", n=say.number(near))
        lines.append(say("keep", **setting, highest=highest))
    else:
        lines.append(say("keep_untried", **setting))
    if found.narrow:
        lines.append(say("narrow", people=", ".join(map(str, found.narrow))))
    if any(one.is_other for one in trial.of(Step.PEOPLE)):
        lines.append(say("other"))
    if issue.setup.get("pad_level") == "off":
        lines.append(say("pad_off"))
    if (years := issue.setup.get("holds_from_age")) is not None:
        is_held = float(issue.setup.get("age_low", 0.0)) >= float(years)
        told = say.number(float(years))
        lines.append(f"{say('holds', years=told)} {say('age_held') if is_held else say('age_set', years=told)}")
    return lines


def _people(trial: Trial, say: Wording) -> str:
    rows = [
        [say(what), *_cells(rate_of(trial.of(step)), say)]
        for step, what in ((Step.PEOPLE, "mated"), (Step.STRANGERS, "non_mated"))
    ]
    scores = sorted(
        one.seen[0].score for one in trial.of(Step.PEOPLE) if one.is_right and one.seen[0].score is not None
    )
    notes = [say("others", n=sum(one.is_other for one in trial.of(Step.PEOPLE)))]
    if scores:
        notes.append(say("scores", low=say.number(scores[0]), middle=say.number(scores[len(scores) // 2])))
    names = ("presentations", "count", "errors", "rate", "bound", "unseen", "persons", "over_people")
    return _section(say("people"), _table([say(name) for name in names], rows, say("scenario")) + _list(notes))


def _attacks(trial: Trial, issue: Issue, say: Wording) -> str:
    if not trial.species:
        return ""
    rows = []
    is_on = issue.setup.get("pad_level") != "off"
    for species in trial.species:
        found = trial.of(Step.ATTACKS, species)
        rate = rate_of(found)
        missed, bound = undetected_of(found)
        detected = [say.percent(missed / len(found)), say.percent(bound)] if is_on else [NONE, NONE]
        cells = [species, str(rate.presented), str(rate.people), say.percent(rate.rate), say.percent(rate.upper)]
        rows.append([*cells, *detected, str(rate.unseen)])
    kind, count, instruments = (say(name) for name in ("kind", "count", "instruments"))
    head = (kind, count, instruments, "IAPAR", say("bound"), "APCER", say("bound"), say("no_response"))
    return _section(say("attacks"), _table(head, rows, say("attacks_text")))


def _timing_sentence(trial: Trial, say: Wording) -> str:
    decision, relay = door_times(trial)
    told = times_of(trial.stopwatch)
    found = []
    if decision is not None:
        median, most = say.number(decision.median_s, 1), say.number(decision.most_s, 1)
        found.append(say("time_decision", n=median, most=most))
    if relay is not None:
        found.append(say("time_relay", n=say.number(relay.median_s, 2)))
    if told is not None:
        found.append(say("time_stopwatch", n=say.number(told.median_s, 1)))
    if not found:
        return say("nothing_timed")
    slow = max((one.median_s for one in (decision, told) if one is not None), default=0.0) > LONG_S
    return "; ".join(found) + (f". {say('slow')}" if slow else ".")


def _timing(trial: Trial, say: Wording) -> str:
    decision, relay = door_times(trial)
    named = (("row_decision", decision), ("row_relay", relay), ("row_stopwatch", times_of(trial.stopwatch)))
    rows = [_time_cells(say(name), one, say) for name, one in named if one is not None]
    head = [say(name) for name in ("what", "count", "median", "longest")]
    return _section(say("timing"), _table(head, rows)) if rows else ""


def _light_sentence(trial: Trial, say: Wording) -> str:
    if not trial.light:
        return say("nothing")
    poor = sum(bool(one["objection"]) for one in trial.light)
    times = [one["at"] for one in trial.light]
    hours = say.number((max(times) - min(times)) / 3600.0, 1)
    found = say("readings", n=len(trial.light), hours=hours, poor=poor)
    if trial.state(Step.LIGHT) != State.UNDER_WAY:
        return found
    return f"{found} {say('readings_few', least=LEAST_READINGS, hours=say.number(SPAN_H))}"


def _light(trial: Trial, say: Wording) -> str:
    rows = [
        [
            moment(one["at"]),
            say.number(one["luminance"], 0),
            say.number(one["contrast"], 0),
            say.number(one["sharpness"], 0),
            f"{say.number(one['eye_distance_px'], 0)} px",
            NONE if one["template_quality"] is None else say.number(one["template_quality"], 0),
            say("good") if weak is None else say(f"poor_{weak}", n=say.number(one["eye_distance_px"], 0)),
        ]
        for one, weak in ((one, weakness_of(one)) for one in trial.light)
    ]
    names = ("time", "luma", "contrast", "sharpness", "eyes", "quality", "verdict")
    return _section(say("light"), _table([say(name) for name in names], rows)) if rows else ""


def _camera_sentence(trial: Trial, say: Wording) -> str:
    camera = trial.camera
    if camera is None:
        return say("nothing")
    what = say("camera_is", width=camera["width"], height=camera["height"], fps=say.number(camera["fps"]))
    faults = [say(f"fault_{one.kind}", n=say.number(one.n), least=say.number(one.least)) for one in faults_of(camera)]
    return " ".join([what, *faults])


def _camera(trial: Trial, say: Wording) -> str:
    camera = trial.camera
    if camera is None:
        return ""
    facts = {
        say("source"): camera["source"],
        say("picture"): say("pixels", width=camera["width"], height=camera["height"]),
        say("fps"): say.number(camera["fps"]),
        say("brightness"): say("of_255", n=say.number(camera["brightness"], 0)),
    }
    return _section(say("camera"), _facts(facts))


def _word_sentence(trial: Trial, step: Step, say: Wording) -> str:
    word = trial.words.get(step)
    if word is None:
        return say("not_tried")
    seen = {
        Step.WATCHDOG: (word.is_new_process, "new_process", "same_process"),
        Step.POWER: (word.is_new_boot, "new_boot", "same_boot"),
    }
    looked = (seen[step], (word.is_log_intact, "log_good", "log_bad"))
    facts = [say(good if found else bad) for found, good, bad in looked if found is not None]
    told = say("came_back" if word.worked else "stayed_away") + (f" ({word.text})" if word.text else "")
    parts = [say("word", at=moment(word.at), told=told)]
    parts.append(say("sees", facts=", ".join(facts)) if facts else say("saw_nothing"))
    if word.worked and not word.holds_for(step):
        parts.append(say("doubt"))
    return " ".join(parts)


def _asked(trial: Trial, say: Wording) -> str:
    told = [step for step in (Step.WATCHDOG, Step.POWER) if step in trial.words]
    if not told:
        return ""
    lines = (f"{say.step(step.value)}. {_word_sentence(trial, step, say)}" for step in told)
    return _section(say("asked"), _list(lines))


def _setup(trial: Trial, issue: Issue, say: Wording) -> str:
    now, before = issue.setup, trial.setup
    facts = {
        say("setup_kiosk"): say("version", n=now.get("version")),
        say("setup_model"): now.get("model"),
        say("setup_mode"): now.get("mode"),
        say("setup_threshold"): _score(now.get("threshold"), say),
        say("setup_blocklist"): _score(now.get("blocklist_threshold"), say),
        say("setup_pad"): now.get("pad_level"),
        say("setup_people"): now.get("people"),
        say("setup_withdrawn"): trial.withdrawn,
    }
    watched = ("version", "model", "mode", "threshold", "blocklist_threshold", "pad_level", "age_low")
    changed = [name for name in watched if before.get(name) != now.get(name)]
    warning = ""
    if changed:
        was = ", ".join(f"{name} {before.get(name)} → {now.get(name)}" for name in changed)
        warning = f'<p class="box bad">{escape(say("changed", was=was))}</p>'
    return _section(say("setup"), _facts(facts) + warning)


def _method(trial: Trial, say: Wording) -> str:
    plans = [
        say(
            "method_plan",
            name=say.step(step.value),
            goal=say.percent(goal.rate),
            looks=", ".join(map(str, looks(goal))),
            most=MOST_ERRORS,
            three=rule_of_three(goal.rate),
        )
        for step, goal in trial.goals.items()
    ]
    return _section(say("method"), _list([say("method_first"), say("method_looks"), *plans, say("method_log")]))


def _signed(issue: Issue, say: Wording) -> str:
    return _section(
        say("signature"),
        f"<p>{escape(say('signature_text'))}</p>"
        f"<p><code>minisign -Vm REPORT -P {escape(issue.key)}</code></p>"
        f'<div class="hands"><p>{escape(say("installer"))}</p><p>{escape(say("owner"))}</p></div>',
    )


# ---- pieces


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _cells(rate: Rate, say: Wording) -> list[str]:
    interval = NONE
    if rate.presented and not rate.errors:  # nothing to draw anew from: what so many people show, one each
        interval = say("at_most", rate=say.percent(upper_bound(0, rate.people)))
    elif rate.interval is not None:
        interval = say("from_to", low=say.percent(rate.interval[0]), high=say.percent(rate.interval[1]))
    return [
        str(rate.presented),
        str(rate.errors),
        say.percent(rate.rate),
        say.percent(rate.upper) if rate.presented else NONE,
        str(rate.unseen),
        str(rate.people),
        interval,
    ]


def _time_cells(name: str, times: Times, say: Wording) -> list[str]:
    return [name, str(times.count), f"{say.number(times.median_s, 2)} s", f"{say.number(times.most_s, 2)} s"]


def _score(value: float | None, say: Wording) -> str:
    return NONE if value is None else say.number(value)


def _one_in(rate: float, say: Wording) -> str:
    return say("one_in", n=say.number(1 / rate, 0)) if rate > 0.0 else say("none")


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


_SENTENCES: Mapping[Step, Callable[[Trial, Wording], str]] = MappingProxyType(
    {
        Step.CAMERA: _camera_sentence,
        Step.LIGHT: _light_sentence,
        Step.PEOPLE: lambda trial, say: _counted_sentence(trial, Step.PEOPLE, say),
        Step.STRANGERS: lambda trial, say: _counted_sentence(trial, Step.STRANGERS, say),
        Step.TIMING: _timing_sentence,
        Step.ATTACKS: _worst_attack,
        Step.WATCHDOG: lambda trial, say: _word_sentence(trial, Step.WATCHDOG, say),
        Step.POWER: lambda trial, say: _word_sentence(trial, Step.POWER, say),
    }
)


def presented_as(one: Presentation) -> str:
    """Say what became of a presentation, in a few words."""
    if not one.seen:
        return "the kiosk did not respond"
    if one.step is Step.PEOPLE:
        return "let in" if one.is_right else "let in as somebody else" if one.is_other else "turned away"
    return "LET IN" if one.is_error else "turned away"
