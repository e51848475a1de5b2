"""Facts about what leaves, with whose consent, and about asking the cloud at once."""

import json
import time
from dataclasses import replace

import pytest
from didit.webhooks import parse_webhook_payload

from kiosk.cloud.credentials import WEBHOOK_SECRET, Credentials
from kiosk.cloud.policy import Policy
from kiosk.device.device import Device
from kiosk.device.reviews import review_call
from kiosk.device.sessions.content import Asked
from kiosk.device.sessions.runner import Sessions
from kiosk.didit import webhooks
from kiosk.errors import RefusedError
from kiosk.recognition.cues import CueLimits
from kiosk.rules.workflow import Step
from kiosk.settings.config import Config
from kiosk.settings.network import CloudSettings
from kiosk.settings.workflows import SessionSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import initialise
from kiosk.store.outbox import OutboxState
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fake_cloud import FakeCloud
from kiosk.testing.scripted_liveness import ScriptedDetector
from kiosk.types import Origin
from tests.cloud.cloudy import decide, device, drain, sent, settings, sync
from tests.conftest import GOLDEN, networks
from tests.patience import BUSY_S

IMAGES = {"user_image": b"user", "ref_image": b"reference"}


@pytest.fixture
def fake():
    with FakeCloud(score_of=lambda *_: 91.5) as cloud:
        yield cloud


@pytest.fixture
def opened(tmp_path, fake):
    """Give a function that opens a kiosk with settings."""
    made = []

    def open_kiosk(**more):
        kiosk = device(tmp_path / "state", settings(fake, **more))
        made.append(kiosk)
        return kiosk

    yield open_kiosk
    for kiosk in made:
        kiosk.store.close()


def match(status="Declined", metadata=None, **more):
    answer = {"face_match": {"status": status, "score": 55, "warnings": []}}
    if metadata is not None:
        answer["metadata"] = metadata
    return NewDecision(Kind.FACE_MATCH, status, score=55, answer=answer, request_id="r-1", **more)


def policies(kiosk):
    return [row.policy for row in kiosk.store.outbox.rows()]


@pytest.mark.parametrize(
    ("consent", "metadata", "leaves"),
    [
        ("call", None, False),
        ("call", {}, False),
        ("call", {"consent": "yes"}, False),
        ("call", {"consent": 1}, False),
        ("call", {"consent": True}, True),
        ("owner", None, True),
    ],
)
def test_photographs_of_a_call_leave_with_consent_only(opened, consent, metadata, leaves):
    kiosk = opened(api_consent=consent)
    kiosk.save(match(metadata=metadata), IMAGES)

    assert policies(kiosk) == (["replay"] if leaves else [])


@pytest.mark.parametrize(
    ("version", "agreed", "leaves"),
    [
        ("2026-11", ("2026-11",), True),
        ("2025-01", ("2026-11",), False),
        (None, ("2026-11",), False),
        ("2026-11", (), False),
    ],
)
def test_photographs_from_the_door_leave_only_if_the_person_agreed_to_it(opened, version, agreed, leaves):
    kiosk = opened(consent_versions=agreed)
    subject = kiosk.store.people.enrol(Enrolment([], Details(consent_version=version)))
    decision = NewDecision(Kind.IDENTIFY, "Approved", session_number=subject.session_number, actor="door")

    wanted = kiosk.outgoing.wants_photographs(decision)
    kiosk.save(decision, {"user_image": b"user"})

    assert wanted is leaves
    assert policies(kiosk) == (["replay"] if leaves else [])


def test_a_stranger_at_the_door_is_never_sent_not_even_in_mode_screen(opened):
    kiosk = opened(consent_versions=("2026-11",))
    kiosk.save(NewDecision(Kind.IDENTIFY, "Declined", actor="door"), {"user_image": b"user"})
    kiosk.save(NewDecision(Kind.FACE_SEARCH, "Approved", actor="door"), {"user_image": b"user"})

    assert policies(kiosk) == []


def test_a_full_outbox_parks_the_row_and_keeps_no_photograph(opened):
    kiosk = opened(outbox_mb=1.0)
    kiosk.save(match(), {"user_image": bytes(900_000), "ref_image": b""})
    kiosk.save(replace(match(), request_id="r-2"), {"user_image": bytes(900_000), "ref_image": b""})

    first, second = kiosk.store.outbox.rows()
    assert (first.state, second.state) == (OutboxState.WAITING, OutboxState.REJECTED)
    assert "outbox_mb" in second.last_error
    assert kiosk.store.outbox.photographs(second.id) == {}


def test_a_summary_holds_ids_and_verdict_and_is_signed(tmp_path, fake):
    chosen = settings(fake, policy="summary", webhook_url=f"{fake.url}/hook")
    with device(tmp_path / "state", chosen) as kiosk:
        Credentials(kiosk.store).write(WEBHOOK_SECRET, "s3cret")
        request_id = decide(kiosk, vendor_data="visitor-7")
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()
        (row,) = kiosk.store.outbox.rows()

    ((headers, body),) = fake.webhooks
    said = webhooks.verified(body, headers, "s3cret", now=time.time())
    assert row.state is OutboxState.SENT
    assert (said["request_id"], said["status"], said["score"]) == (request_id, "Declined", 12)
    assert headers["idempotency-key"] == request_id
    assert (said["session_id"], said["event_id"], said["webhook_type"]) == (request_id, request_id, "status.updated")
    assert type(said["created_at"]) is int
    assert "answer" not in said
    assert fake.sessions == ()


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        (Kind.FACE_MATCH, "face_matches"),
        (Kind.VERIFY, "face_matches"),
        (Kind.FACE_SEARCH, "liveness_checks"),
        (Kind.PASSIVE_LIVENESS, "liveness_checks"),
    ],
)
def test_the_sdk_reads_a_summary_and_the_review_after_it_as_webhooks_of_one_session(tmp_path, fake, kind, block):
    chosen = settings(fake, policy="summary", webhook_url=f"{fake.url}/hook")
    with device(tmp_path / "state", chosen) as kiosk:
        Credentials(kiosk.store).write(WEBHOOK_SECRET, "s3cret")
        answer = {"metadata": {"door": 2}, "name": "Person A"}
        kiosk.save(
            NewDecision(
                kind, "Declined", score=12.0, warnings=("NO_FACE_DETECTED",), vendor_data="visitor-7", answer=answer
            )
        )
        (first,) = kiosk.store.decisions().decisions
        review_call(kiosk, first, "Approved", reason="Person A, known to me", actor="anna")
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()

    sent_first, sent_then = (
        parse_webhook_payload(body, headers, "s3cret") for headers, body in fake.webhooks
    )  # also the time
    assert [sent_first.status.value, sent_then.status.value] == ["Declined", "Approved"]
    assert sent_first.session_id == sent_then.session_id == first.entry.request_id
    assert sent_first.event_id != sent_then.event_id
    assert (sent_then.vendor_data, sent_then.metadata) == ("visitor-7", {"door": 2})
    assert getattr(sent_first.decision, block)[0].score == 12.0
    assert sent_first.decision is not None
    assert sent_first.decision.has_warning("NO_FACE_DETECTED")
    assert not any(b"Person A" in body for _, body in fake.webhooks)


def test_the_sdk_reads_each_status_of_a_session_of_several_steps(tmp_path, fake):
    chosen = settings(fake, policy="summary", webhook_url=f"{fake.url}/hook")
    store = initialise(tmp_path / "state", now=time.time)
    config = Config(cloud=chosen, sessions=SessionSettings(workflows=("w-1: liveness",), attempts=1))
    policy = Policy(store, chosen, now=time.time)
    with Device(networks(), store, config, now=time.time, outgoing=policy) as kiosk:
        Credentials(kiosk.store).write(WEBHOOK_SECRET, "s3cret")
        sessions = Sessions(kiosk, network=ScriptedDetector().tested, limits=CueLimits)
        asked = Asked("w-1", (Step.LIVENESS,), vendor_data="visitor-7", metadata={"door": 2})
        made, _ = sessions.create(asked, None, actor="key")
        over = sessions.take_selfie(sessions.begin(made), (GOLDEN / "person_a_1.jpg").read_bytes())
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()

    told = [parse_webhook_payload(body, headers, "s3cret") for headers, body in fake.webhooks]
    assert [one.status.value for one in told] == ["Not Started", "In Progress", over.content["status"]]
    assert over.content["status"] in {"Approved", "Declined"}
    assert {(one.session_id, one.workflow_id, one.vendor_data) for one in told} == {
        (made.session_id, "w-1", "visitor-7")
    }
    assert all(one.metadata == {"door": 2} for one in told)
    assert len({one.event_id for one in told}) == 3
    assert told[-1].decision is not None
    (check,) = told[-1].decision.liveness_checks
    assert (check.node_id, check.status) == ("feature_liveness", over.content["status"])
    assert "user_image" not in (check.model_extra or {})


def test_a_webhook_that_was_lost_comes_again_as_the_same_event(tmp_path, fake):
    chosen = settings(fake, policy="summary", webhook_url=f"{fake.url}/hook")
    with device(tmp_path / "state", chosen) as kiosk:
        Credentials(kiosk.store).write(WEBHOOK_SECRET, "s3cret")
        decide(kiosk)
        fake.fail("done-reset", path="/hook")
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()

    first, again = (parse_webhook_payload(body, headers, "s3cret") for headers, body in fake.webhooks)
    assert first.event_id == again.event_id
    assert len({headers["idempotency-key"] for headers, _ in fake.webhooks}) == 1


def test_a_borderline_match_is_decided_by_the_cloud_where_that_is_set(opened, fake):
    kiosk = opened(fallback=True, fallback_s=30.0)
    syncing = sync(kiosk, fake)

    final = kiosk.outgoing.second(match("In Review", vendor_data="visitor-7"), IMAGES)
    kiosk.save(final, IMAGES)
    syncing.close()

    assert final.status == "Approved"
    assert final.origin is Origin.CLOUD
    assert final.details["offline"] == {"status": "In Review", "score": 55}
    assert final.answer["face_match"] == {"status": "Approved", "score": 91, "warnings": []}
    assert policies(kiosk) == []  # it is in the cloud already
    assert fake.sessions[0].vendor_data == "visitor-7"


@pytest.mark.parametrize("fault", ["reset", "done-reset", "half", "html", "wrong", "500", "429", "hang"])
def test_no_answer_is_never_a_yes_and_costs_no_more_than_its_time(opened, fake, fault):
    kiosk = opened(fallback=True, fallback_s=0.5)
    syncing = sync(kiosk, fake)
    fake.fail(fault, path="/v3/face-match/")
    before = time.monotonic()

    final = kiosk.outgoing.second(match("In Review"), IMAGES)
    took_s = time.monotonic() - before
    syncing.close()

    assert (final.status, final.origin, final.details) == ("In Review", Origin.DEVICE_ASKED, {})
    assert took_s < BUSY_S  # a server that hangs does so for an hour


def test_a_call_that_the_fallback_made_in_vain_is_not_billed_again(opened, fake):
    kiosk = opened(fallback=True, fallback_s=30.0)
    syncing = sync(kiosk, fake)
    fake.fail("done-reset", path="/v3/face-match/")

    kiosk.save(kiosk.outgoing.second(match("In Review"), IMAGES), IMAGES)
    drain(syncing)
    syncing.close()

    assert len(fake.billed) == 1
    assert sent(fake) == ["r-1"]
    assert kiosk.store.outbox.rows()[0].state is OutboxState.SENT


@pytest.mark.parametrize("status", ["Approved", "Declined"])
def test_what_the_device_can_judge_is_not_asked(opened, fake, status):
    kiosk = opened(fallback=True)
    syncing = sync(kiosk, fake)

    assert kiosk.outgoing.second(match(status), IMAGES).status == status
    assert fake.calls == ()
    syncing.close()


def test_without_consent_nobody_is_asked(opened, fake):
    kiosk = opened(fallback=True, api_consent="call")
    syncing = sync(kiosk, fake)

    assert kiosk.outgoing.second(match("In Review"), IMAGES).status == "In Review"
    assert fake.calls == ()
    syncing.close()


def test_a_relayed_webhook_becomes_a_revision_once(opened, fake):
    kiosk = opened()
    Credentials(kiosk.store).write(WEBHOOK_SECRET, "s3cret")
    request_id = decide(kiosk)
    syncing = sync(kiosk, fake)
    drain(syncing)
    told = {"session_id": fake.sessions[0].id, "status": "In Review", "webhook_type": "status.updated"}
    body, headers = webhooks.signed(told, "s3cret", at=int(time.time()))

    first, again = syncing.view.receive_webhook(body, headers), syncing.view.receive_webhook(body, headers)
    with pytest.raises(RefusedError):
        syncing.view.receive_webhook(body.replace(b"In Review", b"Approved"), headers)
    syncing.close()

    (revision,) = kiosk.store.decisions(DecisionFilter(kinds=(Kind.REVISION,))).decisions
    assert (first, again) == (True, False)
    assert (revision.entry.status, revision.entry.details["of"]) == ("In Review", request_id)


def test_a_rekey_keeps_rows_photographs_and_secrets_readable(tmp_path, fake):
    from kiosk.store.keys import read_keys
    from kiosk.store.upkeep.rekey import rekey

    with device(tmp_path / "state", settings(fake)) as kiosk:
        sync(kiosk, fake).close()
        request_id = decide(kiosk, vendor_data="visitor-7")
    rekey(tmp_path / "state", read_keys(tmp_path / "state"), now=time.time)

    with device(tmp_path / "state", settings(fake)) as kiosk:
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()

    assert sent(fake) == [request_id]


def test_no_secret_shows_in_what_operators_see(opened, fake):
    kiosk = opened()
    syncing = sync(kiosk, fake)
    fake.keys = {"other"}
    decide(kiosk, vendor_data="visitor-7")
    syncing.run_once(lambda: syncing.alarm is not None)
    shown = json.dumps([syncing.view.status(), syncing.view.rows(None, 10, 0)])
    syncing.close()

    assert str(Credentials(kiosk.store).read("didit_api_key")) not in shown
    assert "visitor-7" not in shown


def test_a_key_is_never_sent_in_clear_to_another_machine():
    from kiosk.errors import ConfigError

    for url in ("http://example.org", "ftp://example.org", "https://user:pw@example.org", "https://", "http://[::1"):
        with pytest.raises(ConfigError, match="base_url"):
            CloudSettings(base_url=url)
    assert CloudSettings(base_url="https://[2001:db8::1]:8443").base_url
