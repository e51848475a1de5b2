"""Facts about sending: once, in order, within limits, whatever the network does."""

import threading
import time
from functools import partial

import pytest

from kiosk.cloud.connection import Breaker
from kiosk.didit.answers import Service
from kiosk.errors import StoreError
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.outbox import OutboxState
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fake_cloud import FakeCloud
from tests.cloud.cloudy import QUICK, decide, device, drain, sent, settings, sync
from tests.patience import BUSY_S, LIMIT_S, until
from tests.store.stored import refusing


@pytest.fixture
def fake():
    with FakeCloud() as cloud:
        cloud.late_s = 0.05
        yield cloud


@pytest.fixture
def kiosk(tmp_path, fake):
    with device(tmp_path / "state", settings(fake)) as opened:
        yield opened


@pytest.fixture
def syncing(kiosk, fake):
    made = sync(kiosk, fake)
    yield made
    made.close()


def turn(seconds):
    """Return whether that time has passed since now, to be asked."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_a_decision_arrives_with_its_fields_and_photographs_and_is_erased_here(kiosk, fake, syncing):
    request_id = decide(kiosk, vendor_data="visitor-7")

    drain(syncing)

    (session,) = fake.sessions
    (row,) = kiosk.store.outbox.rows()
    assert (row.state, row.remote_request_id, row.payload) == (OutboxState.SENT, session.id, None)
    assert kiosk.store.outbox.photograph_bytes() == 0
    assert (session.vendor_data, session.service) == ("visitor-7", "FACE_MATCH")
    assert session.fields["face_match_score_decline_threshold"] == "30"
    told = session.metadata
    assert (told["request_id"], told["status"], told["score"]) == (request_id, "Declined", 12)
    assert told["device"] == kiosk.store.identity
    assert told["captured_at"].endswith("Z")


def test_a_call_without_vendor_data_is_given_one_that_finds_it(kiosk, fake, syncing):
    request_id = decide(kiosk)

    drain(syncing)

    assert fake.sessions[0].vendor_data == f"kiosk:{request_id}"


@pytest.mark.parametrize(
    "fault",
    [
        "reset", "half", "html", "wrong", "429", "500", "redirect", "late",
        "done-reset", "done-html", "done-wrong", "done-500",
    ],
)  # fmt: skip
def test_whatever_happens_to_a_call_it_is_made_once(kiosk, fake, syncing, fault):
    fake.retry_after = "0"
    fake.fail(fault, path="/v3/face-match/")
    request_id = decide(kiosk, vendor_data="visitor-7")

    drain(syncing)

    assert sent(fake) == [request_id]
    assert len(fake.billed) == 1
    assert kiosk.store.outbox.rows()[0].remote_request_id == fake.sessions[0].id


def test_a_session_that_shows_late_is_waited_for(kiosk, fake, syncing):
    fake.late_s = 0.08  # later than the first two searches
    fake.fail("late", path="/v3/face-match/")
    decide(kiosk)
    syncing.cloud.probe()
    row = kiosk.store.outbox.claim(time.time())
    kiosk.store.outbox.begin(row.id, now=time.time(), server_now=time.time(), writes_per_minute=60)
    syncing.cloud.judge(Service.FACE_MATCH, kiosk.store.outbox.photographs(row.id), row.payload["fields"])
    kiosk.store.outbox.postpone(row.id, time.time() + 0.02, "lost", looks=0)

    drain(syncing)

    assert len(fake.sessions) == 1


def test_the_right_one_of_many_calls_of_a_person_is_found_over_pages_that_overlap(kiosk, fake, syncing):
    for number in range(120):
        syncing.cloud.judge(
            Service.FACE_MATCH,
            {"user_image": b"a", "ref_image": b"b"},
            {"vendor_data": "visitor-7", "metadata": f'{{"request_id": "other-{number}"}}'},
        )
        if number == 60:
            fake.fail("done-reset", path="/v3/face-match/")
            request_id = decide(kiosk, vendor_data="visitor-7")
            syncing.sender.step()
            while fake.sessions[-1].metadata["request_id"] != request_id:
                syncing.sender.step()
    fake.fail("duplicate", path="/v3/sessions/", times=2)

    drain(syncing)

    assert sent(fake).count(request_id) == 1
    assert kiosk.store.outbox.counts()[OutboxState.SENT] == 1


def test_what_a_crash_left_being_sent_is_looked_for_first(kiosk, fake, syncing):
    request_id = decide(kiosk)
    syncing.cloud.probe()
    row = kiosk.store.outbox.claim(time.time())
    kiosk.store.outbox.begin(row.id, now=time.time(), server_now=time.time(), writes_per_minute=60)
    syncing.cloud.judge(Service.FACE_MATCH, kiosk.store.outbox.photographs(row.id), row.payload["fields"])
    # here the plug was pulled: the call arrived, and nobody noted it

    drain(syncing)

    assert sent(fake) == [request_id]
    assert kiosk.store.outbox.counts()[OutboxState.SENT] == 1


def test_a_call_that_is_refused_is_parked_and_the_next_one_goes_on(kiosk, fake, syncing):
    kiosk.save(
        NewDecision(Kind.FACE_MATCH, "Declined", request_id="r-1"), {"user_image": bytes(6_000_000), "ref_image": b"b"}
    )
    good = decide(kiosk)

    drain(syncing)

    parked, after = kiosk.store.outbox.rows()
    assert (parked.state, after.state) == (OutboxState.REJECTED, OutboxState.SENT)
    assert parked.last_error == "HTTP 400: user_image: File size should not exceed 5 MB"
    assert sent(fake) == [good]


def test_a_refused_key_stops_everything_and_another_one_starts_it_again(kiosk, fake, syncing):
    good = set(fake.keys)
    fake.keys = {"another"}
    decide(kiosk)
    decide(kiosk)
    syncing.run_once(lambda: syncing.sender.connection.breaker is Breaker.STOPPED)
    posts = [call for call in fake.calls if call[1] == "POST"]

    assert "kiosk cloud login" in syncing.alarm
    assert syncing.view.status()["breaker"] == "stopped"
    assert len(posts) == 1

    fake.keys = good
    drain(syncing)

    assert syncing.alarm is None
    assert len(fake.sessions) == 2


def test_an_empty_account_stops_everything_until_somebody_pays(kiosk, fake, syncing):
    fake.credits = fake.credits * 0
    decide(kiosk)
    syncing.run_once(lambda: syncing.sender.connection.breaker is Breaker.STOPPED)

    assert "top-up" in syncing.alarm

    fake.credits += 10
    drain(syncing)

    assert len(fake.sessions) == 1


def test_a_minutes_writes_are_not_exceeded_not_even_over_a_restart(tmp_path, fake):
    began = time.time()

    def slowly():  # a machine that runs other tests must not come into the next minute
        return began + (time.time() - began) / 100.0

    with device(tmp_path / "state", settings(fake, writes_per_minute=5), now=slowly) as kiosk:
        for number in range(12):
            decide(kiosk, number)

        def has_sent_five(syncing):
            syncing.run_once(turn(0.4))
            return len(fake.sessions) >= 5

        for _ in range(3):
            syncing = sync(kiosk, fake, now=slowly)
            until(partial(has_sent_five, syncing))
            syncing.close()

    assert len(fake.sessions) == 5


def test_the_breaker_opens_and_only_the_free_call_is_made(kiosk, fake, syncing):
    fake.fail("500", times=50)
    for number in range(8):
        decide(kiosk, number)
    syncing.run_once(lambda: syncing.sender.connection.breaker is Breaker.OPEN)
    before = len(fake.calls)
    syncing.run_once(lambda: len(fake.calls) > before)

    assert fake.calls[before][2] == "/system/healthcheck/"


def test_retry_after_is_the_least_pause(kiosk, fake, syncing):
    fake.retry_after = "1"
    fake.fail("429", path="/v3/face-match/")
    decide(kiosk)

    drain(syncing)

    first, second = [at for at, method, _ in fake.calls if method == "POST"]
    assert second - first >= 1.0


def test_rows_of_one_person_keep_their_order_whatever_fails(kiosk, fake, syncing):
    fake.chance, fake.chance_of = 0.3, ("reset", "done-reset", "500", "done-500", "half", "late")
    wanted = {person: [decide(kiosk, vendor_data=person) for _ in range(6)] for person in ("a", "b", "c")}

    drain(syncing, within_s=4 * LIMIT_S)
    fake.heal()
    drain(syncing)

    for person, requests in wanted.items():
        assert [one.metadata["request_id"] for one in fake.sessions if one.vendor_data == person] == requests


def test_a_row_that_the_store_failed_half_way_is_looked_for_and_holds_up_nobody(kiosk, fake, syncing):
    requests = [decide(kiosk, vendor_data="a") for _ in range(2)]
    arrives = "UPDATE ON outbox WHEN NEW.state = 'sent'"
    with refusing(kiosk.store.directory, arrives), pytest.raises(StoreError, match="disk full"):
        drain(syncing)
    assert sent(fake) == requests[:1]

    drain(syncing)

    assert sent(fake) == requests
    assert kiosk.store.outbox.counts()[OutboxState.SENT] == 2


def test_whoever_sends_is_woken_once_the_row_is_there(kiosk):
    seen = []
    kiosk.outgoing.connect(lambda: seen.append(kiosk.store.outbox.counts()[OutboxState.WAITING]), None)

    decide(kiosk)

    assert seen == [1]


def test_a_forgotten_person_is_never_sent(kiosk, fake, syncing):
    subject = kiosk.store.people.enrol(Enrolment([], Details(vendor_data="visitor-7")))
    decide(kiosk, vendor_data="visitor-7")
    kiosk.store.people.forget(subject.session_number)
    other = decide(kiosk, vendor_data="visitor-8")

    drain(syncing)

    assert sent(fake) == [other]
    assert kiosk.store.outbox.rows()[0].state is OutboxState.SUPERSEDED


def test_an_unreachable_server_costs_nothing_and_all_arrives_when_it_is_back(kiosk, fake, syncing):
    fake.go_away()
    requests = [decide(kiosk, number) for number in range(3)]
    syncing.run_once(turn(0.5))
    waiting = kiosk.store.outbox.counts()[OutboxState.WAITING]
    fake.come_back()

    drain(syncing)

    assert waiting == 3
    assert sent(fake) == requests


def test_the_thread_ends_within_two_seconds_while_the_server_hangs(kiosk, fake):
    fake.fail("hang", path="/v3/face-match/")
    decide(kiosk)
    syncing = sync(kiosk, fake)
    syncing.start()
    until(lambda: any(path == "/v3/face-match/" for _, _, path in fake.calls))
    before = time.monotonic()

    syncing.close()

    assert time.monotonic() - before < BUSY_S


def test_a_second_opinion_is_a_record_beside_the_first_decision(tmp_path, fake):
    fake.score_of = lambda *_: 88.4
    with device(tmp_path / "state", settings(fake, policy="none", second_opinion=True)) as kiosk:
        decided = decide(kiosk, status="In Review")
        decide(kiosk, status="Approved")
        syncing = sync(kiosk, fake)
        drain(syncing)
        syncing.close()

        revisions = kiosk.store.decisions(DecisionFilter(kinds=(Kind.REVISION,))).decisions
        first = kiosk.store.decisions(DecisionFilter(request_id=decided)).decisions

    assert sent(fake) == [decided]
    assert [one.entry.status for one in first] == ["In Review"]
    (revision,) = revisions
    assert revision.entry.status == "Approved"
    assert revision.entry.details["of"] == decided
    assert revision.entry.details["decided_by"] == "cloud"


def test_a_restored_backup_sends_nothing_twice(kiosk, fake, syncing):
    from kiosk.store.outbox import doubt_all

    decide(kiosk)
    with kiosk.store.database.write() as connection:
        doubt_all(connection, time.time())
    row = kiosk.store.outbox.rows()[0]
    syncing.cloud.judge(Service.FACE_MATCH, kiosk.store.outbox.photographs(row.id), row.payload["fields"])

    drain(syncing)

    assert len(fake.sessions) == 1


def test_what_waits_too_long_is_dropped(tmp_path, fake):
    clock = [time.time() - 100 * 86400]
    with device(tmp_path / "state", settings(fake), now=lambda: clock[0]) as kiosk:
        decide(kiosk)
        clock[0] += 91 * 86400
        fresh = decide(kiosk)
        syncing = sync(kiosk, fake, now=lambda: clock[0])
        syncing.sender.step()

        old, new = kiosk.store.outbox.rows()
        syncing.close()

    assert (old.state, old.last_error, old.payload) == (OutboxState.SUPERSEDED, "too old", None)
    assert new.request_id == fresh


def test_the_pace_of_tests_is_the_products_but_shorter():
    from kiosk.cloud.connection import Pace

    assert len(QUICK.look_after_s) == len(Pace().look_after_s)


def test_a_fault_of_ours_ends_no_thread_and_is_told_in_health_until_it_is_over(kiosk, fake, caplog):
    name, is_broken = "Person A", threading.Event()

    def now():
        if is_broken.is_set():
            raise ZeroDivisionError(name)
        return time.time()

    syncing = sync(kiosk, fake, now=now)
    request_id = decide(kiosk)
    is_broken.set()
    syncing.start()
    until(lambda: "ZeroDivisionError" in (syncing.alarm or ""))
    is_broken.clear()
    until(lambda: sent(fake) == [request_id])
    until(lambda: syncing.alarm is None)
    syncing.close()

    assert "cloud turn failed error=ZeroDivisionError" in caplog.text
    assert "Person A" not in caplog.text
