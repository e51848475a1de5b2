"""The acceptance of the kiosk, led from a phone by hand: how far it is, one note after the other, and the report.

The same trial as `kiosk accept` in a terminal; what is noted survives either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, answer, field_errors, not_found, refusal
from kiosk.api.schema import ANSWER_400, ANY_OBJECT, BOOLEAN, INTEGER, NUMBER, TEXT, named, opened
from kiosk.entrance.news import RunningKiosk, Topic
from kiosk.errors import ImageError, RefusedError
from kiosk.evaluation.acceptance.findings import as_dict
from kiosk.evaluation.acceptance.plan import HIGHEST_RATE, LOWEST_RATE, PRESENTED, Goal, Step
from kiosk.evaluation.acceptance.signature import SUFFIX
from kiosk.evaluation.acceptance.trial import Trial
from kiosk.evaluation.acceptance.wizard import LONGEST, Wizard, brightness_of, write_report
from kiosk.evaluation.acceptance.wording import LANGUAGES
from kiosk.store.accounts import Role
from kiosk.types import RgbImage

MEASURED_S, POLL_S = 2.0, 0.03
SAME_S = 0.012  # two pictures taken closer together than that are one
STALE_S = 1.0
REPORT = "acceptance-report.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STEPS = tuple(step.value for step in Step)
ACTS = (
    "begin",
    "restart",
    "camera",
    "light",
    "present",
    "end",
    "unseen",
    "drop",
    "withdraw",
    "stopwatch",
    "try",
    "word",
    "skip",
)


def _held_s(kiosk: RunningKiosk | None) -> float | None:
    """Return how long the kiosk judges nobody after declines in a row; None where it does."""
    shown = kiosk.news.latest(Topic.SCREEN) if kiosk is not None else None
    return shown.data.get("held_s") if shown is not None else None


def _told(call: Call, trial: Trial) -> dict[str, Any]:
    wizard = call.context.wizard
    found = as_dict(trial, round(wizard.threshold(), 1))
    seen = [] if trial.under_way is None else wizard.decisions(trial)
    return {
        **found,
        "key": wizard.key,
        "held_s": _held_s(call.context.kiosk),
        "decided": [
            {"status": one.status, "score": one.score, "session_number": one.session_number, "at_seq": one.seq}
            for one in seen
        ],
    }


async def show_acceptance(call: Call) -> Response:
    """Return how far the acceptance is."""
    wizard = call.context.wizard
    return answer(await call.run(lambda: _told(call, wizard.trial())))


async def note_acceptance(call: Call) -> Response:
    """Note one thing more, and return how far the acceptance is with it."""
    body = await call.json()
    act = body.get("act")
    if not isinstance(act, str) or act not in ACTS:
        raise field_errors({"act": [f"Want one of {', '.join(ACTS)}."]})
    if act in {"begin", "restart"} and (call.caller is None or call.caller.role < Role.ADMIN):
        raise refusal(403, "Only an administrator begins an acceptance.")
    wizard = call.context.wizard
    if act == "light":
        image = await call.run(lambda: _picture(call))
        trial = await call.recognise(lambda: wizard.note_light(image))
    elif act == "camera":
        trial = await call.run(lambda: _measure(call.context.running(), call, wizard))
    else:
        change = _NOTES[act](wizard, body)
        trial = await call.run(change)
    return answer(await call.run(lambda: _told(call, trial)))


async def show_report(call: Call) -> Response:
    """Return the report as it is now; its signature is made with it and waits beside it."""
    path = call.context.device.store.directory / REPORT
    language = call.choice("language", LANGUAGES) or LANGUAGES[0]
    try:
        page = await call.run(lambda: write_report(call.context.wizard, path, language))
    except OSError as error:
        raise refusal(503, f"The report cannot be kept: {error.strerror}.") from None
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return Response(page, media_type="text/html", headers=headers)


async def download_report(call: Call) -> Response:
    """Return the report that was shown last, or its signature, as a file."""
    name = str(call.request.path_params["file"])
    path = call.context.device.store.directory / name
    if name not in {REPORT, REPORT + SUFFIX} or not path.is_file():
        raise not_found()
    content = await call.run(path.read_bytes)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type="application/octet-stream", headers=headers)


# ---- what a note is made of


def _picture(call: Call) -> RgbImage:
    still = call.context.running().still()
    if still is None or still.age_s > STALE_S:
        raise RefusedError("the camera gives no picture now; the start page says how it is")
    try:
        return call.context.device.decoder(still.jpeg)
    except ImageError as error:
        raise RefusedError(f"the camera's picture cannot be read: {error}") from None


def _measure(kiosk: RunningKiosk, call: Call, wizard: Wizard) -> Trial:
    """Count the pictures that the running kiosk judges in two seconds."""
    taken: list[float] = []
    began = time.monotonic()
    size = (0, 0)
    while time.monotonic() - began < MEASURED_S:
        still = kiosk.still()
        if still is not None and still.age_s < STALE_S:
            at, size = time.monotonic() - still.age_s, still.size_wh
            if not taken or at - taken[-1] > SAME_S:
                taken.append(at)
        time.sleep(POLL_S)  # two seconds of looking, in a thread of its own
    image = _picture(call)
    fps = (len(taken) - 1) / max(MEASURED_S, taken[-1] - taken[0]) if taken else 0.0
    source = str(call.context.config.camera.source).split("?")[0]
    return wizard.note_camera("network camera" if "@" in source else source, size, max(0.0, fps), brightness_of(image))


Body = Mapping[str, Any]


def _text(body: Body, name: str, *, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST:
        raise field_errors({name: [f"Want a text of at most {LONGEST} characters."]})
    return value


def _number(body: Body, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise field_errors({name: ["Want a number."]})
    return float(value)


def _step(body: Body) -> Step:
    try:
        return Step(_text(body, "step"))
    except ValueError:
        raise field_errors({"step": [f"Want one of {', '.join(STEPS)}."]}) from None


def _goals(body: Body) -> dict[Step, Goal]:
    told = body.get("goals", {})
    try:
        found = {Step(name): Goal(float(rate)) for name, rate in dict(told).items()}
    except (TypeError, ValueError):
        found = {Step.CAMERA: Goal(HIGHEST_RATE)}  # which has no rate: refused below
    if not set(found) <= set(PRESENTED):
        names = ", ".join(step.value for step in PRESENTED)
        raise field_errors({"goals": [f"Want rates from {LOWEST_RATE} to {HIGHEST_RATE} for {names}."]})
    return found


def _present(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    step, who, species = _step(body), _text(body, "who"), _text(body, "species", default="")
    return lambda: wizard.begin_presentation(step, who, species)


def _word(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    step, worked, text = _step(body), body.get("worked"), _text(body, "text", default="")
    if not isinstance(worked, bool):
        raise field_errors({"worked": ["Must be a valid boolean."]})
    return lambda: wizard.note_word(step, worked=worked, text=text)


def _skip(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    step, reason = _step(body), _text(body, "reason")
    return lambda: wizard.skip(step, reason)


def _begin(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    goals = _goals(body)
    return lambda: wizard.begin(goals)


def _restart(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    goals = _goals(body)
    return lambda: wizard.restart(goals)


def _withdraw(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    number = _number(body, "number")
    return lambda: wizard.withdraw(int(number))


def _stopwatch(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    seconds = _number(body, "seconds")
    return lambda: wizard.note_stopwatch(seconds)


def _try(wizard: Wizard, body: Body) -> Callable[[], Trial]:
    step = _step(body)
    return lambda: wizard.begin_asked(step)


_NOTES: Mapping[str, Callable[[Wizard, Body], Callable[[], Trial]]] = MappingProxyType(
    {
        "begin": _begin,
        "restart": _restart,
        "present": _present,
        "end": lambda wizard, _: wizard.end_presentation,
        "unseen": lambda wizard, _: lambda: wizard.end_presentation(is_unseen=True),
        "drop": lambda wizard, _: wizard.drop_presentation,
        "withdraw": _withdraw,
        "stopwatch": _stopwatch,
        "try": _try,
        "word": _word,
        "skip": _skip,
    }
)
STATE = named("Acceptance", ANY_OBJECT)
_SHORT = {"type": "string", "maxLength": LONGEST}

OPERATIONS = (
    Operation(
        "GET",
        "/device/acceptance",
        show_acceptance,
        "Return how far the acceptance of this kiosk is, and what it found.",
        {200: STATE, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/acceptance",
        note_acceptance,
        "Note one thing more of the acceptance: begin, a measurement, a presentation, the installer's word, a step "
        "left out. Only an administrator begins.",
        {200: STATE, 400: ANSWER_400, 403: TEXT, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        json=opened(
            {"act": {"type": "string", "enum": list(ACTS)}},
            step={"type": "string", "enum": list(STEPS)},
            who=_SHORT,
            species=_SHORT,
            number=INTEGER,
            seconds=NUMBER,
            worked=BOOLEAN,
            text=_SHORT,
            reason=_SHORT,
            goals={"type": "object", "additionalProperties": NUMBER},
        ),
    ),
    Operation(
        "GET",
        "/device/acceptance/report",
        show_report,
        "Return the report of the acceptance as it is now, in English or German; it prints.",
        {200: None, 400: ANSWER_400, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        query=(Parameter("language", "Of the report; en when left out.", {"type": "string", "enum": list(LANGUAGES)}),),
        media_type="text/html",
    ),
    Operation(
        "GET",
        "/device/acceptance/files/{file}",
        download_report,
        f"Return {REPORT} as it was shown last, or {REPORT}{SUFFIX}, its signature.",
        {200: None, 404: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        media_type="application/octet-stream",
    ),
)
