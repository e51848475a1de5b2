"""Facts about the crops that a reviewer is shown: sealed until they decide, and gone after."""

from __future__ import annotations

import pytest

from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Enrolment
from kiosk.store.upkeep import retention
from kiosk.store.upkeep.rekey import rekey

JPEG = b"\xff\xd8 a face that nobody else may see \xff\xd9" * 20


def waiting(store, **more):
    return store.record_decision(NewDecision(Kind.IDENTIFY, "In Review", images={"probe": JPEG}, **more))


def on_disk(store):
    return [path.name for path in store.directory.rglob("*") if path.is_file() and JPEG[:30] in path.read_bytes()]


def test_a_crop_is_given_to_its_reviewer_and_lies_sealed_on_the_disk(store):
    entry = waiting(store)

    assert store.review_images.names(entry.seq) == ("probe",)
    assert store.review_images.read(entry.seq, "probe") == JPEG
    assert on_disk(store) == []


@pytest.mark.parametrize("verdict", ["Approved", "Declined"])
def test_the_reviewers_word_erases_it(store, verdict):
    entry, other = waiting(store), waiting(store)

    store.record_decision(NewDecision(Kind.REVIEW, verdict, details={"of": entry.request_id}))

    assert store.review_images.read(entry.seq, "probe") is None
    assert store.review_images.read(other.seq, "probe") == JPEG


def test_forgetting_a_person_erases_the_crops_of_decisions_about_them(store):
    number = store.people.enrol(Enrolment(templates=())).session_number
    entry = waiting(store, session_number=number, subjects=(number,))

    receipt = store.people.forget(number)

    assert receipt.is_complete
    assert store.review_images.read(entry.seq, "probe") is None


def test_a_crop_that_nobody_reviews_goes_by_its_age(store, clock):
    old = waiting(store)
    clock.now += 3600.0
    young = waiting(store)

    retention.prune(store, now=clock.now, log_s=None, outbox_s=1e9, images_s=1800.0, rest=lambda: None)

    assert store.review_images.read(old.seq, "probe") is None
    assert store.review_images.read(young.seq, "probe") == JPEG
    assert store.log.waiting(limit=5, offset=0).total == 2  # the decision itself still waits


def test_a_new_key_opens_it_as_the_old_one_did(store, directory, clock):
    entry = waiting(store)
    store.close()

    rekey(directory, read_keys(directory), now=clock)

    with open_store(directory, read_keys(directory), now=clock) as opened:
        assert opened.review_images.read(entry.seq, "probe") == JPEG
