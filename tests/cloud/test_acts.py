"""Facts about what operators did, sent to Didit: each once, whatever the network does, and visible in the outbox."""

from dataclasses import replace

import numpy as np
import pytest

from kiosk.cli import main
from kiosk.device.reviews import block_person, review_call
from kiosk.settings.network import CloudSettings
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.outbox import OutboxState
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fake_cloud import FakeCloud
from kiosk.types import Template
from tests.cloud.cloudy import PACK, decide, device, drain, settings, sync

LIST = "5b3720ed-d429-42ef-b67f-37ea805f48ee"
FAULTS = [
    "reset", "half", "html", "wrong", "429", "500", "redirect", "done-reset", "done-html", "done-wrong", "done-500",
]  # fmt: skip
PHOTOGRAPH = b"\xff\xd8 Person A"


@pytest.fixture
def fake():
    with FakeCloud() as cloud:
        cloud.put_list(LIST, {})
        yield cloud


@pytest.fixture
def opened(tmp_path, fake):
    """Give a function that opens a kiosk with settings."""
    made = []

    def open_kiosk(**more):
        chosen = {"send_reviews": True, "block_list": LIST, "consent_versions": ("cloud-1",), **more}
        made.append(device(tmp_path / "state", settings(fake, **chosen)))
        return made[-1]

    yield open_kiosk
    for kiosk in made:
        kiosk.store.close()


def send(kiosk, fake):
    syncing = sync(kiosk, fake)
    drain(syncing)
    syncing.close()


def reviewed(kiosk, request_id, status="Approved", reason="Known to me"):
    (first,) = kiosk.store.decisions(DecisionFilter(request_id=request_id)).decisions
    review_call(kiosk, first, status, reason=reason, actor="anna")


def enrolled(kiosk, consent="cloud-1", images=(PHOTOGRAPH,), **more):
    template = Template(np.eye(1, 128, dtype=np.float32)[0], PACK.template_model)
    details = Details(name="Person A", consent_version=consent)
    return kiosk.store.people.enrol(Enrolment([template], details, images=images, **more)).session_number


def states(kiosk, policy):
    return [row.state for row in kiosk.store.outbox.rows() if row.policy == policy]


# ---- reviews


def test_a_review_arrives_at_the_session_that_its_call_became(opened, fake):
    kiosk = opened()
    request_id = decide(kiosk)

    reviewed(kiosk, request_id)
    send(kiosk, fake)

    (session,) = fake.sessions
    assert fake.reviews == ((session.id, "Approved", "Known to me"),)
    assert session.status == "Approved"
    (row,) = [row for row in kiosk.store.outbox.rows() if row.policy == "review"]
    assert (row.state, row.remote_request_id, row.payload) == (OutboxState.SENT, session.id, None)


def test_a_review_of_a_call_that_arrived_long_ago_is_sent_too(opened, fake):
    kiosk = opened()
    request_id = decide(kiosk)
    send(kiosk, fake)

    reviewed(kiosk, request_id)
    send(kiosk, fake)

    assert len(fake.sessions) == len(fake.reviews) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_to_a_review_it_changes_the_session_once(opened, fake, fault):
    kiosk = opened()
    fake.retry_after = "0"
    fake.fail(fault, path="/v3/session/")

    reviewed(kiosk, decide(kiosk))
    send(kiosk, fake)

    assert len(fake.reviews) == 1
    assert states(kiosk, "review") == [OutboxState.SENT]


def test_two_reviews_of_a_call_arrive_in_their_order(opened, fake):
    kiosk = opened()
    request_id = decide(kiosk)

    reviewed(kiosk, request_id, "Approved")
    reviewed(kiosk, request_id, "Resubmitted", None)
    send(kiosk, fake)

    assert [(status, comment) for _, status, comment in fake.reviews] == [
        ("Approved", "Known to me"),
        ("Resubmitted", None),
    ]


def test_a_review_that_says_what_didit_says_is_settled_and_changes_nothing(opened, fake):
    kiosk = opened()

    reviewed(kiosk, decide(kiosk, status="In Review"), "Declined")
    send(kiosk, fake)

    assert fake.reviews == ()
    assert states(kiosk, "review") == [OutboxState.SENT]


def test_a_review_of_a_call_that_never_leaves_stays_here(opened):
    kiosk = opened(api_consent="call")

    reviewed(kiosk, decide(kiosk))

    assert kiosk.store.outbox.rows() == ()


def test_reviews_stay_here_by_default(opened):
    kiosk = opened(send_reviews=False)

    reviewed(kiosk, decide(kiosk))

    assert states(kiosk, "review") == []


def test_a_review_whose_call_was_refused_is_dropped_with_the_reason(opened, fake):
    kiosk = opened()
    fake.most_image_bytes = 1

    reviewed(kiosk, decide(kiosk))
    send(kiosk, fake)

    (row,) = [row for row in kiosk.store.outbox.rows() if row.policy == "review"]
    assert (row.state, row.last_error) == (OutboxState.SUPERSEDED, "its call never arrived")


def test_a_review_of_a_session_that_was_deleted_there_is_parked(opened, fake):
    kiosk = opened()
    request_id = decide(kiosk)
    send(kiosk, fake)
    with fake._lock:
        fake._state.sessions.clear()

    reviewed(kiosk, request_id)
    send(kiosk, fake)

    (row,) = [row for row in kiosk.store.outbox.rows() if row.policy == "review"]
    assert row.state is OutboxState.REJECTED
    assert "no such session" in row.last_error


# ---- blocks


def test_a_person_blocked_here_becomes_an_entry_of_the_list_without_a_name(opened, fake):
    kiosk = opened()
    number = enrolled(kiosk)

    subject = block_person(kiosk.store, kiosk.outgoing, number, reason="Theft", actor="anna")
    again = block_person(kiosk.store, kiosk.outgoing, number, reason="Theft", actor="anna")
    send(kiosk, fake)

    assert fake.entries(LIST) == ((PHOTOGRAPH, f"kiosk:{kiosk.store.identity}:{subject.session_id}"),)
    assert subject.is_blocklisted
    assert again.is_blocklisted
    assert states(kiosk, "block") == [OutboxState.SENT]
    assert kiosk.store.outbox.photograph_bytes() == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_to_a_block_it_adds_one_entry(opened, fake, fault):
    kiosk = opened()
    fake.retry_after = "0"
    fake.fail(fault, path=f"/v3/lists/{LIST}/entries/face-upload/")

    block_person(kiosk.store, kiosk.outgoing, enrolled(kiosk))
    send(kiosk, fake)

    assert len(fake.entries(LIST)) == 1
    assert states(kiosk, "block") == [OutboxState.SENT]


@pytest.mark.parametrize(
    "more", [{"consent": None}, {"consent": "local-1"}, {"source": "list_entry", "external_id": "e"}], ids=str
)
def test_without_consent_or_from_a_list_nothing_of_a_blocked_person_leaves(opened, more):
    kiosk = opened()

    block_person(kiosk.store, kiosk.outgoing, enrolled(kiosk, **more))

    assert kiosk.store.outbox.rows() == ()


def test_a_block_without_a_kept_photograph_is_parked_and_says_so(opened):
    kiosk = opened()

    block_person(kiosk.store, kiosk.outgoing, enrolled(kiosk, images=()))

    (row,) = kiosk.store.outbox.rows()
    assert row.state is OutboxState.REJECTED
    assert "keep_images" in row.last_error


def test_a_person_unblocked_before_it_was_sent_never_gets_there(opened, fake):
    kiosk = opened()
    number = enrolled(kiosk)
    block_person(kiosk.store, kiosk.outgoing, number)

    kiosk.store.people.unblock(number)
    send(kiosk, fake)

    assert fake.entries(LIST) == ()
    assert states(kiosk, "block") == [OutboxState.SUPERSEDED]
    assert kiosk.store.outbox.photograph_bytes() == 0


def test_whoever_is_forgotten_is_not_sent(opened, fake):
    kiosk = opened()
    number = enrolled(kiosk)
    block_person(kiosk.store, kiosk.outgoing, number)

    kiosk.store.people.forget(number)
    send(kiosk, fake)

    assert fake.entries(LIST) == ()
    assert kiosk.store.outbox.photograph_bytes() == 0


def test_the_command_that_blocks_puts_the_entry_into_the_outbox(opened, fake, monkeypatch, capsys):
    kiosk = opened()
    number = enrolled(kiosk)
    for name, value in (("BASE_URL", fake.url), ("BLOCK_LIST", LIST), ("CONSENT_VERSIONS", "cloud-1")):
        monkeypatch.setenv(f"KIOSK_CLOUD_{name}", value)
    monkeypatch.setenv("KIOSK_STATE", str(kiosk.store.directory))

    assert main.main(["blocklist", "add", str(number)]) == 0
    assert states(kiosk, "block") == [OutboxState.WAITING]
    capsys.readouterr()

    assert main.main(["cloud", "outbox"]) == 0
    assert "block" in capsys.readouterr().out


def test_a_kiosk_that_only_sends_reviews_or_blocks_counts_as_one_that_uses_the_cloud():
    none = CloudSettings()

    assert not none.is_used
    assert replace(none, send_reviews=True).is_used
    assert replace(none, block_list=LIST).is_used
