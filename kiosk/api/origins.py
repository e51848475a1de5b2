"""Pages of other sites that may call with a key: the origins that `[api] allowed_origins` names (CORS).

A call from such a page counts by its key alone. Its cookies, and that it comes from this machine, count for nothing: a
page could otherwise use the session of an operator who looks at it, or the kiosk's own browser.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

PREFLIGHT_S = 600  # for which a browser remembers an answer
TAKEN = "Authorization, Content-Type, X-Api-Key"  # headers that a page may send
TOLD = "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"


def other_site(headers: Headers) -> str | None:
    """Return the origin of the page that makes a call, where it is another than the kiosk; programs send none."""
    origin = headers.get("origin")
    is_ours = origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    return None if is_ours else origin


def is_of_other_page(headers: Headers) -> bool:
    """Say whether a page of another site or port makes a call: of a GET the browser tells no origin, but this.

    A link that is followed is none: what it opens the other page cannot read.
    """
    is_elsewhere = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return other_site(headers) is not None or (is_elsewhere and headers.get("sec-fetch-mode") != "navigate")


def is_allowed(origin: str | None, allowed: Collection[str]) -> bool:
    """Say whether a page of this origin may call with a key."""
    return origin is not None and origin.lower() in {one.lower() for one in allowed}


def preflight(headers: Headers, methods: Iterable[str], allowed: Collection[str]) -> Response | None:
    """Return the answer to a browser that asks what a page may send; None where it does not ask, or may not."""
    if "access-control-request-method" not in headers or not is_allowed(other_site(headers), allowed):
        return None
    told = {
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": TAKEN,
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    if headers.get("access-control-request-private-network") == "true":  # of a page from the internet
        told["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=told)


def cors_headers(headers: Headers, allowed: Collection[str]) -> Mapping[str, str]:
    """Return the headers of every answer by which a browser lets the page read it; none for other pages."""
    if not allowed:
        return {}
    origin = other_site(headers)
    if origin is None or not is_allowed(origin, allowed):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": TOLD,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }
