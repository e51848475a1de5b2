"""The pages people look at: files of web/, given out as they are, with a policy that runs no script but theirs."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Parameter, not_found, refusal
from kiosk.api.page_scripts import SCRIPTS, WEB, joined
from kiosk.api.routes.people import SHORT
from kiosk.api.schema import ANSWER_400, TEXT
from kiosk.api.screen_token import COOKIE, is_screen
from kiosk.settings.languages import ENGLISH, WORDS, languages_in

LANGUAGES_FILE = "common/languages.json"  # made from the files of words
ICONS_FILE = "common/icons.svg"
ICONS_S = 60  # a page that draws icons asks for their file each time, four times as it is opened
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
COOKIE_S = 400 * 86400  # the longest that browsers keep one
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)


def languages_of(folder: Path) -> dict[str, dict[str, object]]:
    """Return the languages of a folder of words: name, direction, region, and how many keys English has beside them."""
    english = json.loads((folder / f"{ENGLISH}.json").read_text(encoding="utf-8"))
    found = {}
    for code in languages_in(folder):
        words = json.loads((folder / f"{code}.json").read_text(encoding="utf-8"))
        about = {name: words.get(f"language.{name}") for name in ("name", "direction", "region")}
        found[code] = {**about, "missing": len(english.keys() - words.keys())}
    return found


@functools.cache
def page_files() -> Mapping[str, Path]:
    """Return the files of web/ by name, as they were at the first call; a page asks for a score of them."""
    return MappingProxyType({path.relative_to(WEB).as_posix(): path for path in WEB.rglob("*") if path.suffix in KINDS})


@functools.cache
def languages_file() -> bytes:
    """Return the languages of the pages as JSON, as they were at the first call: they are counted over all words."""
    return json.dumps(languages_of(WORDS)).encode()


def page_file(call: Call, name: str) -> Response:
    """Return a file of web/; only what is there is looked up, so no path leads elsewhere."""
    if name == LANGUAGES_FILE:
        return _tagged(call, languages_file(), "application/json")
    path = page_files().get(name)
    if path is None:
        raise not_found()
    content = joined(name) if name in SCRIPTS else path.read_bytes()
    return _tagged(call, content, KINDS[path.suffix], f"max-age={ICONS_S}" if name == ICONS_FILE else "no-cache")


def _tagged(call: Call, content: bytes, media_type: str, caching: str = "no-cache") -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": caching, "ETag": tag}
    if call.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


async def show_operator_page(call: Call) -> Response:
    """Return the operator's page."""
    return await call.run(lambda: page_file(call, "operator/index.html"))


async def show_kiosk_page(call: Call) -> Response:
    """Return the kiosk's screen; an address with the screen's token becomes a cookie and leaves the address bar."""
    token = call.word("screen")
    if token is None:
        return await call.run(lambda: page_file(call, "screen/index.html"))
    if not is_screen(call.context.screen_token, token):
        raise refusal(403, "This is not the token of the kiosk's screen. `kiosk screen` prints the right address.")
    response = Response(status_code=303, headers={"Location": "/kiosk"})
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=call.context.is_secure,
    )
    return response


async def show_docs_page(call: Call) -> Response:
    """Return the page that shows the OpenAPI document to people."""
    return await call.run(lambda: page_file(call, "docs/index.html"))


async def read_web_file(call: Call) -> Response:
    """Return what a page needs."""
    name = str(call.request.path_params["file"])
    return await call.run(lambda: page_file(call, name))


OPERATIONS = (
    Operation(
        "GET",
        "/",
        show_operator_page,
        "The operator's page.",
        {200: None, 304: None, 404: TEXT},
        media_type="text/html",
    ),
    Operation(
        "GET",
        "/kiosk",
        show_kiosk_page,
        "The kiosk's screen. `kiosk screen` prints the address by which a browser on the device becomes it.",
        {200: None, 303: None, 304: None, 400: ANSWER_400, 403: TEXT, 404: TEXT},
        query=(Parameter("screen", "The token of the kiosk's screen.", SHORT),),
        media_type="text/html",
    ),
    Operation(
        "GET",
        "/docs",
        show_docs_page,
        "What can be called here, for people: this document as a page.",
        {200: None, 304: None, 404: TEXT},
        media_type="text/html",
    ),
    Operation(
        "GET",
        "/web/{file:path}",
        read_web_file,
        "What a page needs: style, script, language.",
        {200: None, 304: None, 404: TEXT},
        media_type="*/*",
    ),
)
