"""The running kiosk over the API: the door, the camera's still, guided enrolment, what its screen needs to know.

Without a running kiosk, under `kiosk serve`, these answer 409.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, answer, busy, field_errors
from kiosk.api.routes.people import LONGEST_TEXT, SHORT, TEXTS
from kiosk.api.schema import ANSWER_400, BOOLEAN, NUMBER, STRING, TEXT, array, closed, opened, or_null
from kiosk.entrance.news import Consent
from kiosk.store.accounts import Role
from kiosk.store.subjects import Details

LANGUAGES = ("en", "de")
DAY_S = 86400.0


async def claim(call: Call) -> Response:
    """Say who steps up next, in mode verify."""
    code = (await call.json()).get("code")
    if not isinstance(code, str) or not 0 < len(code) <= LONGEST_TEXT:
        raise field_errors({"code": [f"Want a text of 1 to {LONGEST_TEXT} characters."]})
    kiosk = call.context.running()
    return answer({"within_s": await call.run(lambda: kiosk.claim(code, actor=call.actor))})


async def release(call: Call) -> Response:
    """Open the door for one pulse."""
    kiosk = call.context.running()
    await call.run(lambda: kiosk.release(actor=call.actor))
    return answer({"is_released": True})


async def alarm(call: Call) -> Response:
    """Take an alarm system's word: while it is armed nobody is judged."""
    is_armed = (await call.json()).get("is_armed")
    if not isinstance(is_armed, bool):
        raise field_errors({"is_armed": ["Must be a valid boolean."]})
    kiosk = call.context.running()
    await call.run(lambda: kiosk.set_alarm(is_armed=is_armed, actor=call.actor))
    return answer({"is_armed": is_armed})


async def still(call: Call) -> Response:
    """Return the camera's newest picture."""
    found = await call.run(call.context.running().still)
    if found is None:
        raise busy("The camera gives no picture now.")
    return Response(found.jpeg, media_type="image/jpeg", headers={"X-Kiosk-Age": f"{found.age_s:.2f}"})


async def begin_enrolment(call: Call) -> Response:
    """Enrol whoever stands in front of the camera."""
    body = await call.json()
    errors: dict[str, list[str]] = {}
    said: dict[str, Any] = {}
    for name in TEXTS:
        value = body.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST_TEXT):
            errors[name] = [f"Want a text of at most {LONGEST_TEXT} characters."]
        elif value and value.strip():
            said[name] = value.strip()
    consent = body.get("consent")
    version = consent.get("version") if isinstance(consent, dict) else None
    if not isinstance(version, str) or not version:
        errors["consent"] = ["Want the version of the text that was agreed to."]
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
        Consent(str(version), call.context.now()),
        is_allowlisted=is_allowlisted,
        actor=call.actor,
    )
    return answer({"id": await call.run(begin)}, 201)


async def cancel_enrolment(call: Call) -> Response:
    """End a guided enrolment without storing anything."""
    kiosk = call.context.running()
    name = str(call.request.path_params["id"])
    await call.run(lambda: kiosk.cancel_enrolment(name))
    return Response(status_code=204)


async def screen(call: Call) -> Response:
    """Return what the kiosk's screen needs to know."""
    config = call.context.config
    enrolment = config.enrolment
    consent = {"version": enrolment.consent_version, "text": enrolment.consent_text}
    return answer(
        {
            "mode": config.entrance.mode if call.context.kiosk is not None else "serve",
            "language": config.api.language,
            "languages": list(LANGUAGES),
            "consent": consent if enrolment.consent_version else None,
            "privacy": None,
            "keeps_images": config.store.keep_images,
            "retention_days": config.store.retention_days,
            "leaves_device": config.cloud.policy,
            "time_zone": config.schedule.time_zone,
        }
    )


_SENT = {400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT}

OPERATIONS = (
    Operation(
        "POST",
        "/device/door/claim",
        claim,
        "Say who steps up next, in mode verify: by session_number, session_id, vendor_data or document number.",
        {200: closed(within_s=NUMBER), **_SENT},
        role=Role.DEVICE,
        json=closed(code={**SHORT, "minLength": 1}),
    ),
    Operation(
        "POST",
        "/device/door/release",
        release,
        "Open the door for one pulse.",
        {200: closed(is_released=BOOLEAN), 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "POST",
        "/device/door/alarm",
        alarm,
        "Take an alarm system's word: while it is armed nobody is judged. Keys with the scope alarm may call it too.",
        {200: closed(is_armed=BOOLEAN), **_SENT},
        role=Role.OPERATOR,
        scope="alarm",
        json=closed(is_armed=BOOLEAN),
    ),
    Operation(
        "GET",
        "/device/camera/still.jpg",
        still,
        "Return the camera's newest picture.",
        {200: None, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        media_type="image/jpeg",
    ),
    Operation(
        "POST",
        "/device/enrolments",
        begin_enrolment,
        "Enrol whoever stands in front of the camera, in mode enrol; the kiosk's own screen needs no key.",
        {201: closed(id=STRING), **_SENT},
        role=Role.OPERATOR,
        is_for_screen=True,
        json=opened(
            {"consent": closed(version={**SHORT, "minLength": 1})},
            **dict.fromkeys(TEXTS, SHORT),
            allowlist=BOOLEAN,
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
        "GET",
        "/device/screen",
        screen,
        "Return what the kiosk's screen needs to know; the kiosk's own screen needs no key.",
        {
            200: closed(
                mode=STRING,
                language=STRING,
                languages=array(STRING),
                consent=or_null(closed(version=STRING, text=STRING)),
                privacy=or_null(STRING),
                keeps_images=BOOLEAN,
                retention_days=NUMBER,
                leaves_device=STRING,
                time_zone=STRING,
            )
        },
        role=Role.DEVICE,
        is_for_screen=True,
    ),
)
