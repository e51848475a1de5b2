"""Facts about Didit's answers: both generations, every error body, nothing trusted."""

import json
from decimal import Decimal
from typing import Any

import pytest

from kiosk.cloud.client import BusyError, CallRefusedError, Cloud, KeyRefusedError, NoCreditsError, NotThereError
from kiosk.cloud.wire import NoAnswerError, Reply
from kiosk.didit import answers
from kiosk.didit.answers import Service
from kiosk.errors import CloudError
from kiosk.settings.network import CloudSettings
from kiosk.types import Status

SEED_MATCH = {
    "request_id": "a1b2c3d4-...",
    "face_match": {
        "status": "Approved",
        "score": 80,
        "user_image": {
            "entities": [{"age": 27.63, "bbox": [40, 40, 100, 100], "confidence": 0.717, "gender": "male"}],
            "best_angle": 0,
        },
        "ref_image": {
            "entities": [{"age": 22.16, "bbox": [156, 234, 679, 898], "confidence": 0.717, "gender": "male"}],
            "best_angle": 0,
        },
        "warnings": [],
    },
    "created_at": "2025-05-01T13:11:07.977806Z",
}
SEED_SEARCH = {
    "request_id": "a1b2c3d4-...",
    "face_search": {
        "status": "Approved",
        "total_matches": 1,
        "matches": [
            {
                "session_id": "uuid-...",
                "session_number": 1234,
                "similarity_percentage": 95.2,
                "vendor_data": "user-456",
                "verification_date": "2025-06-10T10:30:00Z",
                "user_details": {
                    "name": "Elena Martinez",
                    "document_type": "Identity Card",
                    "document_number": "***456",
                },
                "match_image_url": "https://example.com/match.jpg",
                "status": "Approved",
                "is_blocklisted": False,
            }
        ],
        "user_image": {"entities": [], "best_angle": 0},
        "warnings": [],
    },
}


def changed(body, path, value):
    made = json.loads(json.dumps(body))
    at = made
    for name in path[:-1]:
        at = at[name]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


def test_the_seeds_match_is_read():
    found = answers.read_opinion(Service.FACE_MATCH, SEED_MATCH)

    assert (found.request_id, found.status, found.score, found.warnings) == ("a1b2c3d4-...", Status.APPROVED, 80, ())


def test_the_seeds_search_is_read():
    (match,) = answers.read_opinion(Service.FACE_SEARCH, SEED_SEARCH).matches

    assert (match.session_id, match.session_number, match.similarity_percentage) == ("uuid-...", 1234, 95.2)
    assert (match.name, match.vendor_data, match.is_blocklisted) == ("Elena Martinez", "user-456", False)
    assert match.as_row()["user_details"]["document_type"] == "Identity Card"


@pytest.mark.parametrize(
    ("score", "read"),
    [
        pytest.param(80, 80.0, id="the seeds' integer"),
        pytest.param(80.25, 80.25, id="the newer float"),
        pytest.param(None, None, id="null without a face"),
        pytest.param(0, 0.0, id="0 without a face"),
        pytest.param(100, 100.0, id="the highest"),
    ],
)
def test_every_generations_score_is_read(score, read):
    body = changed(SEED_MATCH, ["face_match", "score"], score)

    assert answers.read_opinion(Service.FACE_MATCH, body).score == read


def test_newer_fields_and_warnings_are_taken_or_passed_over():
    body = changed(SEED_SEARCH, ["face_search", "matches", 0, "user_details"], {"full_name": "Person A"})
    body = changed(
        body, ["face_search", "warnings"], [{"risk": "POSSIBLE_FACE_IN_BLOCKLIST", "feature": "X", "new": 1}]
    )
    body |= {"vendor_data": "v", "metadata": {"a": 1}, "something": ["new"]}

    found = answers.read_opinion(Service.FACE_SEARCH, body)

    assert found.matches[0].name == "Person A"
    assert found.warnings == ("POSSIBLE_FACE_IN_BLOCKLIST",)


@pytest.mark.parametrize(
    ("service", "body"),
    [
        (Service.FACE_MATCH, []),
        (Service.FACE_MATCH, {}),
        (Service.FACE_MATCH, SEED_SEARCH),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["request_id"], ...)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["request_id"], 7)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["request_id"], "x" * 1000)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "status"], ...)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "status"], "APPROVED!")),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "score"], ...)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "score"], "80")),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "score"], True)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "score"], 1e9)),
        (Service.FACE_MATCH, changed(SEED_MATCH, ["face_match", "warnings"], "none")),
        (Service.FACE_SEARCH, changed(SEED_SEARCH, ["face_search", "matches"], ...)),
        (Service.FACE_SEARCH, changed(SEED_SEARCH, ["face_search", "matches", 0, "session_id"], None)),
        (Service.FACE_SEARCH, changed(SEED_SEARCH, ["face_search", "matches", 0, "similarity_percentage"], -1)),
    ],
)
def test_an_answer_that_lacks_something_is_no_answer(service, body):
    with pytest.raises(CloudError, match="not Didit's"):
        answers.read_opinion(service, body)


class Scripted:
    """A wire that answers what it is told to."""

    def __init__(self, status, body, **headers):
        self.reply = Reply(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())

    def ask(self, *_, **__):
        return self.reply


def judged(status, body, **headers):
    wire: Any = Scripted(status, body, **headers)
    made = Cloud(wire, CloudSettings(), lambda: "k3y", now=lambda: 0.0, monotonic=lambda: 0.0)
    return made.judge(Service.FACE_MATCH, {}, {"vendor_data": "visitor-7"})


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, {"ref_image": ["No file was submitted."]}, CallRefusedError, "ref_image: No file was submitted."),
        (400, {"error": "No face detected in the image"}, CallRefusedError, "No face detected in the image"),
        (400, ["One", "Two"], CallRefusedError, "One; Two"),
        (400, b"", CallRefusedError, "HTTP 400"),
        (401, {"detail": "Invalid API Key."}, KeyRefusedError, "Invalid API Key."),
        (403, {"detail": "You do not have permission to perform this action."}, KeyRefusedError, "permission"),
        (403, {"error": "You don't have enough credits to do that"}, NoCreditsError, "credits"),
        (403, {"error": "Pay first"}, NoCreditsError, "Pay first"),
        (403, {"error": "Invalid API key"}, KeyRefusedError, "Invalid API key"),
        (403, {"detail": "Insufficient balance"}, NoCreditsError, "balance"),
        (403, b"<html>blocked</html>", NoAnswerError, "captive portal"),
        (404, {"detail": "Not found."}, NotThereError, "Not found."),
        (413, b"too large", CallRefusedError, "too large"),
        (429, {"detail": "throttled"}, BusyError, "throttled"),
        (500, b"", NoAnswerError, "HTTP 500"),
        (503, {"detail": "starting"}, NoAnswerError, "starting"),
        (302, b"", NoAnswerError, "HTTP 302"),
        (200, b"<html>Welcome</html>", NoAnswerError, "captive portal"),
        (200, b"[" * 100_000, NoAnswerError, "no JSON"),
        (200, b'{"request_id": NaN}', NoAnswerError, "no JSON"),
    ],
)
def test_every_error_says_what_may_be_done(status, body, error, says):
    with pytest.raises(error, match=says) as caught:
        judged(status, body)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "may_have_arrived"), [(200, True), (500, True), (502, True), (408, True), (302, False), (404, False)]
)
def test_only_what_surely_did_not_arrive_is_sent_again_at_once(status, may_have_arrived):
    with pytest.raises(NoAnswerError) as caught:
        judged(status, b"")

    assert caught.value.may_have_arrived is may_have_arrived


def test_an_error_repeats_neither_the_key_nor_whom_it_is_about():
    with pytest.raises(CallRefusedError) as caught:
        judged(400, {"vendor_data": ["visitor-7 with key k3y is odd"]})

    assert "k3y" not in str(caught.value)
    assert "visitor-7" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1.0),
        ("99999999999", 86400.0),
        ("soon", 1.0),
        ("-5", 1.0),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date_and_is_bounded(text, seconds):
    with pytest.raises(BusyError) as caught:
        judged(429, {}, **{"retry-after": text, "date": "Thu, 01 Jan 1970 00:01:40 GMT"})

    assert caught.value.retry_after_s == seconds


def test_balances_are_decimal_texts():
    assert answers.read_balance({"balance": "1234.5600"}) == Decimal("1234.56")
    wrongs: list[dict[str, Any]] = [{}, {"balance": "NaN"}, {"balance": None}, {"balance": []}]
    for wrong in wrongs:
        with pytest.raises(CloudError):
            answers.read_balance(wrong)


def test_a_checkout_link_is_https_only():
    assert answers.read_checkout({"checkout_session_url": "https://pay"}) == "https://pay"
    with pytest.raises(CloudError):
        answers.read_checkout({"checkout_session_url": "javascript:alert(1)"})
