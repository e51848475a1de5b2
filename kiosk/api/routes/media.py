"""Links to photographs that were kept: signed by the device, good for an hour, for whoever holds them."""

from __future__ import annotations

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, not_found
from kiosk.api.schema import TEXT
from kiosk.errors import StoreError
from kiosk.store.store import MAC_BYTES, Store

LIFETIME_S = 3600.0  # the contract's
_TOKEN = struct.Struct(">qq")  # session_number, seconds UTC of its end
_KINDS = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))


def link(store: Store, number: int, now: float) -> str:
    """Return the path of a person's newest photograph."""
    plain = _TOKEN.pack(number, int(now + LIFETIME_S))
    return "/media/" + urlsafe_b64encode(plain + _check(store, plain)).decode().rstrip("=")


def with_links(store: Store, answer: dict[str, Any], base_url: str, now: float) -> dict[str, Any]:
    """Fill `match_image_url` of a search's answer, as it is given out; a saved answer has none."""
    found = answer.get("face_search")
    if found is None:
        return answer
    rows = [
        {**row, "match_image_url": base_url + link(store, row["session_number"], now)}
        if _has_image(store, row)
        else row
        for row in found["matches"]
    ]
    return {**answer, "face_search": {**found, "matches": rows}}


def _has_image(store: Store, row: dict[str, Any]) -> bool:
    """Whether a row is about a person of this device, which a cloud's answer in its place is not."""
    number = row.get("session_number")
    try:
        subject = store.people.subject(number) if isinstance(number, int) else None
    except StoreError:  # a damaged person has no link, and the answer stays readable
        return False
    return subject is not None and subject.images > 0 and subject.session_id == row.get("session_id")


def _check(store: Store, plain: bytes) -> bytes:
    return store.mac(b"media|" + plain)


async def read_photograph(call: Call) -> Response:
    """Return a photograph."""
    store = call.context.device.store
    token = str(call.request.path_params["token"])
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        plain, check = sealed[: _TOKEN.size], sealed[_TOKEN.size :]
        number, ends = _TOKEN.unpack(plain)
    except (ValueError, struct.error):
        raise not_found() from None
    is_ours = len(check) == MAC_BYTES and hmac.compare_digest(check, _check(store, plain))
    if not is_ours or call.context.now() >= ends:
        raise not_found()
    images = await call.run(lambda: store.people.images(number))
    if not images:
        raise not_found()
    kind = next((kind for signature, kind in _KINDS if images[-1].startswith(signature)), "image/tiff")
    return Response(images[-1], media_type=kind)


OPERATIONS = (
    Operation(
        "GET",
        "/media/{token}",
        read_photograph,
        "Return a photograph by a link that a search gave, for an hour.",
        {200: None, 404: TEXT},
        media_type="image/*",
    ),
)
