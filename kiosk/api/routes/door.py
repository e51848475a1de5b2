"""The running kiosk over the API: the door, the camera's still, guided enrolment, what its screen needs to know.

Without a running kiosk, under `kiosk serve`, these answer 409.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import segno
from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, busy, field_errors, not_found, read_moment
from kiosk.api.routes.people import LONGEST_TEXT, MOMENT, SHORT, TEXTS, UNSEEN
from kiosk.api.schema import ANSWER_400, BOOLEAN, NUMBER, STRING, TEXT, array, closed, named, opened, or_null
from kiosk.api.setup_code import address_of, shown_code
from kiosk.didit.contract import timestamp
from kiosk.entrance.news import Consent
from kiosk.errors import StoreError
from kiosk.rules.lockdown import Lockdown
from kiosk.rules.text import objection
from kiosk.settings.languages import LANGUAGES
from kiosk.store.accounts import Role, name_of
from kiosk.store.factors.pins import LONGEST
from kiosk.store.subjects import Details

SPOKEN = ("turn_left", "turn_right", "mouth", "flash", "wrong_way")  # what the screen may ask
AUDIO = {".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav"}
MOST_AUDIO_BYTES = 5 * 1024 * 1024
DAY_S = 86400.0
LOCKDOWN = "/device/door/lockdown"
LONGEST_REASON = 200
BY_LANGUAGE = {"type": "object", "additionalProperties": STRING}
MOST_ATTEMPTS = 20  # at challenges in one presentation; a person has far fewer


async def claim_turn(call: Call) -> Response:
    """Say who steps up next, in mode verify."""
    code = (await call.json()).get("code")
    if not isinstance(code, str) or not 0 < len(code) <= LONGEST_TEXT:
        raise field_errors({"code": [f"Want a text of 1 to {LONGEST_TEXT} characters."]})
    kiosk = call.context.running()
    return answer({"within_s": await call.run(lambda: kiosk.claim(code, actor=call.actor))})


async def release_door(call: Call) -> Response:
    """Open the door for one pulse."""
    kiosk = call.context.running()
    await call.run(lambda: kiosk.release(actor=call.actor))
    return answer({"is_released": True})


async def set_alarm(call: Call) -> Response:
    """Set the state of the alarm system: while it is armed, nobody is judged."""
    is_armed = (await call.json()).get("is_armed")
    if not isinstance(is_armed, bool):
        raise field_errors({"is_armed": ["Must be a valid boolean."]})
    kiosk = call.context.running()
    await call.run(lambda: kiosk.set_alarm(is_armed=is_armed, actor=call.actor))
    return answer({"is_armed": is_armed})


def _lockdown(call: Call, acts: tuple[Lockdown, ...]) -> dict[str, Any]:
    kiosk, accounts = call.context.running(), call.context.access.accounts
    names = {one.by: name_of(accounts, one.by) or kiosk.lockdown_name(one.by) for one in acts}
    told = [{**one.as_dict(), "at": timestamp(one.at), "by_name": names[one.by]} for one in acts]
    return {"is_locked_down": bool(acts), "acts": told}


async def show_lockdown(call: Call) -> Response:
    """Return the lockdowns that hold."""
    kiosk = call.context.running()
    return answer(await call.run(lambda: _lockdown(call, kiosk.lockdowns())))


async def lock_down(call: Call) -> Response:
    """Lock the door down, or every door of the fleet."""
    body = await call.json()
    reason, is_fleet_wide = body.get("reason", ""), body.get("is_fleet_wide", False)
    errors: dict[str, list[str]] = {}
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON or objection(reason.strip()):
        errors["reason"] = [f"Want a text of at most {LONGEST_REASON} characters."]
    if not isinstance(is_fleet_wide, bool):
        errors["is_fleet_wide"] = ["Must be a valid boolean."]
    if errors:
        raise field_errors(errors)
    kiosk = call.context.running()

    def work() -> dict[str, Any]:
        kiosk.lock_down(actor=call.actor, reason=reason.strip(), is_fleet_wide=is_fleet_wide)
        return _lockdown(call, kiosk.lockdowns())

    return answer(await call.run(work), 201)


async def lift_lockdown(call: Call) -> Response:
    """Lift every lockdown that holds here."""
    kiosk = call.context.running()

    def work() -> dict[str, Any]:
        kiosk.lift_lockdown(actor=call.actor)
        return _lockdown(call, kiosk.lockdowns())

    return answer(await call.run(work))


async def note_colours(call: Call) -> Response:
    """Take the screen's word that it shows the first colour of a challenge now."""
    attempt = (await call.json()).get("attempt")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or not 1 <= attempt <= MOST_ATTEMPTS:
        raise field_errors({"attempt": [f"Want a number from 1 to {MOST_ATTEMPTS}."]})
    call.context.running().note_shown(attempt)
    return Response(status_code=204)


async def enter_pin(call: Call) -> Response:
    """Take a PIN from whoever is asked for one; what it was is on the screen, and no answer tells it."""
    digits = (await call.json()).get("digits")
    if not (isinstance(digits, str) and digits.isascii() and digits.isdigit() and len(digits) <= LONGEST):
        raise field_errors({"digits": [f"Want 1 to {LONGEST} digits."]})
    kiosk = call.context.running()
    await call.run(lambda: kiosk.enter_pin(digits))
    return Response(status_code=204)


async def show_duress(call: Call) -> Response:
    """List the entries under duress."""
    notes = await call.run(call.context.device.store.factors.notes)
    rows = [
        {"request_id": one.request_id, "session_number": one.session_number, "at": timestamp(one.at)} for one in notes
    ]
    return answer({"entries": rows})


async def take_still(call: Call) -> Response:
    """Return the camera's newest picture, with the faces of the same look in a header."""
    found = await call.run(call.context.running().still)
    if found is None:
        raise busy("The camera gives no picture now.")
    width, height = found.size_wh
    edges = (width, height, width, height)
    places = [[round(at / edge, 4) for at, edge in zip(box, edges, strict=True)] for box in found.faces]
    headers = {"X-Kiosk-Age": f"{found.age_s:.2f}", "X-Kiosk-Faces": json.dumps(places, separators=(",", ":"))}
    return Response(found.jpeg, media_type="image/jpeg", headers=headers)


def _texts(body: Mapping[str, Any], errors: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is said of a person; what is wrong with it is noted in `errors`."""
    said: dict[str, Any] = {}
    for name in TEXTS:
        value = body.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST_TEXT):
            errors[name] = [f"Want a text of at most {LONGEST_TEXT} characters."]
        elif value and objection(value.strip()):
            errors[name] = [UNSEEN]
        elif value and value.strip():
            said[name] = value.strip()
    return said


async def begin_enrolment(call: Call) -> Response:
    """Enrol whoever stands in front of the camera."""
    body = await call.json()
    errors: dict[str, list[str]] = {}
    said = _texts(body, errors)
    until, fault = _until(body.get("valid_until"), call.context.now())
    if fault:
        errors["valid_until"] = [fault]
    portrait = None
    if (shown := body.get("portrait_id")) is not None:
        portrait = call.context.shown_portrait.find(shown, call.context.now())
        if portrait is None:  # enrolled without it, nobody would have compared it
            errors["portrait_id"] = ["The document was shown too long ago. Show it again."]
    consent = body.get("consent")
    version = consent.get("version") if isinstance(consent, dict) else None
    if not isinstance(version, str) or not version:
        errors["consent"] = ["Want the version of the text that was agreed to."]
    language = consent.get("language") if isinstance(consent, dict) else None
    if language is not None and language not in call.context.config.enrolment.text_by_language:
        errors["consent"] = ["There is no consent text in this language; leave language out for the text itself."]
    is_operator = call.caller is not None and call.caller.role >= Role.OPERATOR
    is_allowlisted = body.get("allowlist", False)
    if not isinstance(is_allowlisted, bool):
        errors["allowlist"] = ["Must be a valid boolean."]
    elif is_allowlisted and not is_operator:
        errors["allowlist"] = ["Only operators put people on the allowlist."]
    if said.get("plan") and not is_operator:  # nobody chooses their own hours
        errors["plan"] = ["Only operators choose when somebody may enter."]
    if errors:
        raise field_errors(errors)
    kiosk = call.context.running()
    begin = partial(
        kiosk.begin_enrolment,
        Details(**said),
        Consent(str(version), call.context.now(), language),
        is_allowlisted=is_allowlisted,
        is_attended=is_operator,
        actor=call.actor,
        valid_until=until,
        portrait=portrait,
    )
    begun = await call.run(begin)
    call.context.shown_portrait.drop()
    return answer({"id": begun}, 201)


def _until(text: object, now: float) -> tuple[float | None, str]:
    """Read until when somebody may enter; return what is wrong with it, too."""
    if text is None:
        return None, ""
    try:
        until = read_moment(text) if isinstance(text, str) else 0.0
    except ValueError as error:
        return None, str(error)
    return (until, "") if until > now else (None, "Want a time to come.")


async def cancel_enrolment(call: Call) -> Response:
    """End a guided enrolment without storing anything."""
    kiosk = call.context.running()
    name = str(call.request.path_params["id"])
    await call.run(lambda: kiosk.cancel_enrolment(name))
    return Response(status_code=204)


async def show_screen(call: Call) -> Response:
    """Return what the kiosk's screen needs to know."""
    config = call.context.config
    enrolment = config.enrolment
    consent = {
        "version": enrolment.consent_version,
        "text": enrolment.consent_text,
        "texts": enrolment.text_by_language,
    }
    return answer(
        {
            "mode": config.entrance.mode if call.context.kiosk is not None else "serve",
            "language": config.api.language,
            "languages": list(LANGUAGES),
            "consent": consent if enrolment.consent_version else None,
            "privacy": None,
            "keeps_images": config.store.keep_images,
            "keeps_probes": config.review.keep_probe,
            "retention_days": config.store.retention_days,
            "leaves_device": config.cloud.policy,
            "time_zone": config.schedule.time_zone,
            "spoken": config.pad.spoken,
            "setup": await call.run(lambda: _setup(call)) if call.is_screen else None,
        }
    )


def _setup(call: Call) -> dict[str, str | None] | None:
    """Return what the kiosk's own screen shows while nobody owns the kiosk; a code only where that was asked for."""
    context = call.context
    try:
        if not context.access.accounts.is_unclaimed():
            return None
    except StoreError:  # the screen has more to say than this
        return None
    code = shown_code(context.device.store.directory, context.now())
    if code is None:
        return {"code": None, "address": None, "qr": None}
    page, _ = address_of(context.config.api, call.request.url.port or context.config.api.port)
    drawn = io.BytesIO()
    segno.make(f"{page}/#/setup?code={code}", micro=False).save(
        drawn, kind="svg", scale=6, border=3, dark="#000", light="#fff", xmldecl=False
    )
    return {"code": code, "address": page, "qr": drawn.getvalue().decode()}


async def read_spoken(call: Call) -> Response:
    """Return the audio file of a challenge in a language, from the folder of the settings."""
    language, name = (str(call.request.path_params[key]) for key in ("language", "name"))
    settings = call.context.config.pad
    if settings.spoken != "files" or language not in LANGUAGES or name not in SPOKEN:
        raise not_found()

    def find() -> Response:
        for suffix, kind in AUDIO.items():
            path = Path(settings.spoken_folder, language, f"{name}{suffix}")
            try:
                if path.stat().st_size <= MOST_AUDIO_BYTES:
                    return Response(path.read_bytes(), media_type=kind)
            except OSError:
                continue
        raise not_found()

    return await call.run(find)


_FIRST_RUN = named("ShownFirstRun", closed(**{name: or_null(STRING) for name in ("code", "address", "qr")}))
_LOCKDOWNS = named(
    "Lockdowns",
    closed(
        is_locked_down=BOOLEAN,
        acts=array(
            named(
                "Lockdown",
                closed(
                    id=STRING,
                    by=STRING,
                    by_name=or_null(STRING),
                    at=STRING,
                    kiosk=STRING,
                    is_fleet_wide=BOOLEAN,
                    reason=STRING,
                ),
            )
        ),
    ),
)
_SENT = {400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT}

OPERATIONS = (
    Operation(
        "POST",
        "/device/door/claim",
        claim_turn,
        "Announce who steps up next, in mode verify: by session_number, session_id, vendor_data or document number.",
        {200: named("ClaimedTurn", closed(within_s=NUMBER)), **_SENT},
        role=Role.DEVICE,
        json=closed(code={**SHORT, "minLength": 1}),
    ),
    Operation(
        "POST",
        "/device/door/release",
        release_door,
        "Open the door for one pulse.",
        {200: named("ReleasedDoor", closed(is_released=BOOLEAN)), 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/door/alarm",
        set_alarm,
        "Set the state of the alarm system: while it is armed, nobody is judged. Keys with the scope alarm may too.",
        {200: named("AlarmState", closed(is_armed=BOOLEAN)), **_SENT},
        role=Role.OPERATOR,
        scope="alarm",
        json=closed(is_armed=BOOLEAN),
    ),
    Operation(
        "GET",
        LOCKDOWN,
        show_lockdown,
        "Show the lockdowns of the door that hold, and who began them.",
        {200: _LOCKDOWNS, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        LOCKDOWN,
        lock_down,
        "Lock the door down until an operator lifts that, or with is_fleet_wide every door of the fleet: nobody enters "
        "but the groups that the settings name, or by a release. Keys with the scope alarm may too.",
        {201: _LOCKDOWNS, **_SENT},
        role=Role.OPERATOR,
        scope="alarm",
        json=opened({}, reason={"type": "string", "maxLength": LONGEST_REASON}, is_fleet_wide=BOOLEAN),
    ),
    Operation(
        "DELETE",
        LOCKDOWN,
        lift_lockdown,
        "Lift every lockdown that holds here; those of the fleet end at every kiosk.",
        {200: _LOCKDOWNS, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/device/camera/still.jpg",
        take_still,
        "Return the camera's newest picture; X-Kiosk-Faces has its faces, largest first, in shares of the picture.",
        {200: None, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        media_type="image/jpeg",
    ),
    Operation(
        "POST",
        "/device/enrolments",
        begin_enrolment,
        "Enrol whoever stands in front of the camera, in mode enrol; the kiosk's own screen needs no key.",
        {201: named("StartedEnrolment", closed(id=STRING)), **_SENT},
        role=Role.OPERATOR,
        is_for_screen=True,
        json=opened(
            {"consent": opened({"version": {**SHORT, "minLength": 1}}, language=STRING)},
            **dict.fromkeys(TEXTS, SHORT),
            allowlist=BOOLEAN,
            valid_until=MOMENT,
            portrait_id=SHORT,
        ),
    ),
    Operation(
        "DELETE",
        "/device/enrolments/{id}",
        cancel_enrolment,
        "End a guided enrolment without storing anything; the kiosk's own screen needs no key.",
        {204: None, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        is_for_screen=True,
    ),
    Operation(
        "POST",
        "/device/screen/colours",
        note_colours,
        "Say that the first colour of a challenge is shown now; the kiosk's own screen needs no key.",
        {204: None, **_SENT},
        role=Role.OPERATOR,
        is_for_screen=True,
        json=closed(attempt={"type": "integer", "minimum": 1, "maximum": MOST_ATTEMPTS}),
    ),
    Operation(
        "POST",
        "/device/screen/pin",
        enter_pin,
        "Enter a PIN, where one is asked for in addition to a face; the kiosk's own screen needs no key.",
        {204: None, **_SENT},
        role=Role.OPERATOR,
        is_for_screen=True,
        json=closed(digits={"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[0-9]+$"}),
    ),
    Operation(
        "GET",
        "/device/duress",
        show_duress,
        "List the newest entries under duress, for administrators alone.",
        {
            200: named(
                "DuressEntries",
                closed(
                    entries=array(
                        named(
                            "DuressEntry",
                            closed(request_id=STRING, session_number=or_null({"type": "integer"}), at=STRING),
                        )
                    )
                ),
            ),
            503: TEXT,
        },
        role=Role.ADMIN,
    ),
    Operation(
        "GET",
        "/device/screen",
        show_screen,
        "Return what the kiosk's screen needs to know; the kiosk's own screen needs no key.",
        {
            200: named(
                "ScreenSettings",
                closed(
                    mode=STRING,
                    language=STRING,
                    languages=array(STRING),
                    consent=or_null(named("ConsentText", closed(version=STRING, text=STRING, texts=BY_LANGUAGE))),
                    privacy=or_null(STRING),
                    keeps_images=BOOLEAN,
                    keeps_probes=BOOLEAN,
                    retention_days=NUMBER,
                    leaves_device=STRING,
                    time_zone=STRING,
                    spoken=STRING,
                    setup=or_null(_FIRST_RUN),
                ),
            )
        },
        role=Role.DEVICE,
        is_for_screen=True,
    ),
    Operation(
        "GET",
        "/device/screen/spoken/{language}/{name}",
        read_spoken,
        "Return what a challenge sounds like, where audio files are set; the kiosk's own screen needs no key.",
        {200: None, 404: TEXT},
        role=Role.DEVICE,
        is_for_screen=True,
        media_type="audio/*",
    ),
)
