"""Facts about signed webhooks: made as Didit makes its own, and believed only then."""

import json

import pytest
from didit.webhooks import verify_webhook_signature

from kiosk.didit import webhooks
from kiosk.errors import RefusedError

NOW = 1_800_000_000
BODY = {"session_id": "s-1", "status": "Approved", "score": 88.0, "name": "Müller", "b": [1.5, {"z": 1, "a": 2.0}]}


def test_an_independent_implementation_believes_what_we_sign():
    body, headers = webhooks.signed(BODY, "secret", at=NOW)

    assert verify_webhook_signature(body, headers, "secret", verify_freshness=False)


def test_what_was_signed_is_read():
    body, headers = webhooks.signed(BODY, "secret", at=NOW)

    assert webhooks.verified(body, headers, "secret", now=NOW + 300)["status"] == "Approved"


def test_a_body_written_otherwise_keeps_its_signature():
    body, headers = webhooks.signed(BODY, "secret", at=NOW)
    written = json.dumps(json.loads(body), indent=2).encode()

    assert (
        webhooks.verified(written, {k.upper(): v for k, v in headers.items()}, "secret", now=NOW)["session_id"] == "s-1"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b, h: (b.replace(b"Approved", b"Declined"), h), "signature is wrong"),
        (lambda b, h: (b, {**h, "x-signature-v2": "0" * 64}), "signature is wrong"),
        (lambda b, h: (b, {**h, "x-signature-v2": "é" * 64}), "not signed"),
        (lambda b, _: (b, {}), "not signed"),
        (lambda b, h: (b, {**h, "x-timestamp": str(NOW + 1)}), "X-Timestamp"),
        (lambda _, h: (b"[]", h), "not signed"),
        (lambda _, h: (b"<html>", h), "not JSON"),
    ],
)
def test_whatever_else_comes_is_refused(change, says):
    body, headers = change(*webhooks.signed(BODY, "secret", at=NOW))

    with pytest.raises(RefusedError, match=says):
        webhooks.verified(body, headers, "secret", now=NOW)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301])
def test_a_webhook_of_another_time_is_refused(now):
    body, headers = webhooks.signed(BODY, "secret", at=NOW)

    with pytest.raises(RefusedError, match="another time"):
        webhooks.verified(body, headers, "secret", now=now)
