"""People as a table or a sealed archive for whoever may take them away: administrators, and the log says who did."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from kiosk.api.operation import Call, Operation, Parameter, field_errors, refusal
from kiosk.api.routes.people import LONGEST_TEXT, NARROWED, SHORT, filter_of
from kiosk.api.routes.proven import OWN_FIELDS, prove
from kiosk.api.schema import ANSWER_400, TEXT, opened
from kiosk.device.people_table import ARCHIVE, archived, as_csv, rows
from kiosk.device.sealed_file import SHORTEST_PASSPHRASE, Sealer
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind


async def export_people(call: Call) -> Response:
    """Return everybody who is asked for as a table, to a key; recorded before the first line leaves."""
    if call.caller is not None and call.caller.csrf is not None:
        raise refusal(403, "POST /device/people.csv gives a session the table: it asks for the password first.")
    return await _table(call)


async def take_people(call: Call) -> Response:
    """Return everybody who is asked for as a table, as `export_people` does, to whoever proves who they are."""
    await prove(call, await call.json())
    return await _table(call)


async def _table(call: Call) -> Response:
    asked, wanted, device = call.word("q"), filter_of(call), call.context.device
    await call.run(lambda: device.store.record_act(Kind.EXPORT, details={"form": "csv"}, actor=call.actor))
    headers = {"Content-Disposition": 'attachment; filename="people.csv"'}
    lines = as_csv(rows(device.store.people, device.finder, asked, wanted, group=call.word("group")))
    return StreamingResponse(lines, media_type="text/csv", headers=headers)


async def archive_people(call: Call) -> Response:
    """Return everybody who is asked for, with the photographs that are kept, sealed with a passphrase."""
    body, device = await call.json(), call.context.device
    asked, wanted, passphrase = call.word("q"), filter_of(call), body.get("passphrase")
    if not isinstance(passphrase, str) or not SHORTEST_PASSPHRASE <= len(passphrase) <= LONGEST_TEXT:
        raise field_errors({"passphrase": [f"Want a passphrase of {SHORTEST_PASSPHRASE} characters or more."]})
    await prove(call, body)
    sealer = await call.check_password(lambda: Sealer(passphrase, ARCHIVE))
    await call.run(lambda: device.store.record_act(Kind.EXPORT, details={"form": "archive"}, actor=call.actor))
    people = device.store.people
    found = rows(people, device.finder, asked, wanted, group=call.word("group"))
    pieces = sealer.seal(archived(people, found))
    headers = {"Content-Disposition": 'attachment; filename="people.kiosk"'}
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


OPERATIONS = (
    Operation(
        "GET",
        "/device/people.csv",
        export_people,
        "Return everybody, or the people whom the query selects, as a table: names and documents in "
        "full, no faces. Goes into the log. For keys; sessions take it by POST.",
        {200: None, 400: ANSWER_400, 403: TEXT, 503: TEXT},
        role=Role.ADMIN,
        query=(Parameter("q", "As in /device/subjects.", SHORT), *NARROWED),
        media_type="text/csv",
    ),
    Operation(
        "POST",
        "/device/people.csv",
        take_people,
        "As GET, for a session too, which gives its own password and code.",
        {200: None, 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        query=(Parameter("q", "As in /device/subjects.", SHORT), *NARROWED),
        json=opened({}, **OWN_FIELDS),
        media_type="text/csv",
    ),
    Operation(
        "POST",
        "/device/people/archive",
        archive_people,
        "As /device/people.csv, with the photographs that are kept, sealed: `kiosk gallery unseal` opens it anywhere. "
        "A session gives its own password and code.",
        {200: None, 400: ANSWER_400, 408: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        query=(Parameter("q", "As in /device/subjects.", SHORT), *NARROWED),
        json=opened(
            {"passphrase": {"type": "string", "minLength": SHORTEST_PASSPHRASE, "maxLength": LONGEST_TEXT}},
            **OWN_FIELDS,
        ),
        media_type="application/octet-stream",
    ),
)
