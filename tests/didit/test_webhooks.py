"""Facts about signed webhooks: made as Didit makes its own, and believed only then."""

import hashlib
import hmac
import json

import pytest
from didit.webhooks import parse_webhook_payload, verify_webhook_signature

from kiosk.didit import webhooks
from kiosk.errors import RefusedError

NOW = 1_800_000_000
BODY = {"session_id": "s-1", "status": "Approved", "score": 88.0, "name": "Müller", "b": [1.5, {"z": 1, "a": 2.0}]}


def by_hand(secret, content):
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def told(**more):
    given = {
        "event_id": "e-1",
        "session_id": "s-1",
        "status": "Declined",
        "created_at": NOW - 7.5,
        "application_id": "kiosk-1",
        "vendor_data": "Müller",
        "metadata": {"door": 2},
        "decision": {"face_matches": [{"status": "Declined", "score": 12.5, "warnings": []}]},
    }
    return webhooks.envelope(**{**given, **more})


def test_each_of_the_three_signatures_is_right_by_itself():
    body, headers = webhooks.signed(told(), "secret", at=NOW)

    said = json.loads(body)
    again = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert headers["x-signature"] == by_hand("secret", body)
    assert headers["x-signature-v2"] == by_hand("secret", again.encode())
    assert headers["x-signature-simple"] == by_hand("secret", f"{NOW}:s-1:Declined:status.updated".encode())
    assert headers["x-timestamp"] == str(said["timestamp"]) == str(NOW)


@pytest.mark.parametrize("kept", ["x-signature-v2", "x-signature"])
def test_the_sdk_parses_the_envelope_by_either_signature_that_it_knows(kept):
    body, headers = webhooks.signed(told(), "secret", at=NOW)
    dropped = {"x-signature-v2", "x-signature"} - {kept}

    read = parse_webhook_payload(
        body, {name: text for name, text in headers.items() if name not in dropped}, "secret", verify_freshness=False
    )

    assert (read.event_id, read.session_id, read.status.value) == ("e-1", "s-1", "Declined")
    assert (read.webhook_type, read.vendor_data, read.metadata) == ("status.updated", "Müller", {"door": 2})
    assert (read.created_at, read.environment, read.workflow_id) == (NOW - 8, "live", None)
    assert read.decision is not None
    assert read.decision.face_matches[0].score == 12.5


def test_the_envelope_has_every_field_of_didits():
    body, _ = webhooks.signed(told(vendor_data=None, metadata=None), "secret", at=NOW)

    assert set(json.loads(body)) == {
        "event_id", "webhook_type", "timestamp", "created_at", "application_id", "environment", "session_id", "status",
        "workflow_id", "vendor_data", "metadata", "decision",
    }  # fmt: skip


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
