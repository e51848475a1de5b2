"""Facts about the device: one store, several processes, and a gallery that follows."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from kiosk.device.calls import answer_match, answer_search
from kiosk.device.device import Device
from kiosk.device.enrol import Reference, admit, enrol_person
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.settings.sections import EnrolmentSettings, MatchSettings, SearchSettings
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Entity, Sample, Template
from tests.conftest import GOLDEN

PACK = read_pack(standard_pack())
SCALE = PACK.scale
D = 128
NOW = 1_800_000_000.0


def template(seed, *, like=None, cosine=1.0):
    """A unit vector; with `like`, one at this cosine to that seed's."""
    made = np.random.default_rng(seed).standard_normal(D)
    if like is not None:
        base = template(like).vector.astype(np.float64)
        across = made - (made @ base) * base
        made = cosine * base + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    return Template((made / np.linalg.norm(made)).astype(np.float32), PACK.template_model)


def sample(found, faces=1):
    entity = Entity((0, 0, 10, 10), 0.9, 30.0, "female")
    return Sample((entity,) * faces, 0, found if faces else None)


def enrolment(seed, **more):
    return Enrolment([template(seed)], Details(name=f"Person {seed}"), **more)


@pytest.fixture
def directory(tmp_path):
    initialise(tmp_path / "state", now=lambda: NOW).close()
    return tmp_path / "state"


def opened(directory, config=None):
    networks = fixed_recogniser(template(0), SCALE)
    store = open_store(directory, read_keys(directory), now=lambda: NOW)
    return Device(networks, store, config or Config(), now=lambda: NOW)


@pytest.fixture
def device(directory):
    with opened(directory) as device:
        yield device


def numbers(answer):
    return [row["session_number"] for row in answer["face_search"]["matches"]]


def test_what_another_process_changes_is_seen_by_the_next_search(device, directory):
    probe = sample(template(1))
    before = numbers(answer_search(device, probe))
    other: Store = open_store(directory, read_keys(directory), now=lambda: NOW)

    with other:
        number = other.people.enrol(enrolment(1)).session_number
        enrolled = answer_search(device, probe)["face_search"]["status"]
        other.people.block(number)
        blocked = answer_search(device, probe)["face_search"]["status"]
        other.people.unblock(number)
        other.people.patch(number, lambda one: replace(one, valid_until=NOW - 1))
        expired = numbers(answer_search(device, probe))
        other.people.patch(number, lambda one: replace(one, valid_until=None))
        other.people.add_reference(number, template(2))
        second = numbers(answer_search(device, sample(template(2))))
        other.people.forget(number)
        gone = numbers(answer_search(device, probe)) + numbers(answer_search(device, sample(template(2))))

    assert before == []
    assert (enrolled, blocked, expired, second, gone) == ("In Review", "Declined", [], [number], [])


def test_a_person_is_one_row_with_the_best_of_their_references(device):
    device.store.people.enrol(Enrolment([template(1), template(5, like=1, cosine=0.8)], Details()))

    (row,) = answer_search(device, sample(template(1)))["face_search"]["matches"]

    assert row["similarity_percentage"] == 100.0


def test_at_most_five_people_are_listed_best_first_and_ties_in_order_of_enrolment(device):
    for cosine in (0.6, 0.7, 0.7, 0.8, 0.9, 0.5, 0.95):
        device.store.people.enrol(Enrolment([template(9, like=1, cosine=cosine)], Details()))

    assert numbers(answer_search(device, sample(template(1)))) == [7, 5, 4, 2, 3]


def test_a_blocked_person_is_named_however_many_look_more_alike(device):
    device.store.people.enrol(Enrolment([template(9, like=1, cosine=0.5)], Details(), is_blocklisted=True))
    for cosine in (0.9, 0.91, 0.92, 0.93, 0.94, 0.95):
        device.store.people.enrol(Enrolment([template(9, like=1, cosine=cosine)], Details()))

    answer = answer_search(device, sample(template(1)))

    assert answer["face_search"]["status"] == "Declined"
    assert len(numbers(answer)) == 5
    assert numbers(answer)[-1] == 1


def test_the_blocklist_may_ask_for_less(directory):
    config = Config(search=SearchSettings(similarity_threshold=90.0, blocklist_threshold=60.0))
    with opened(directory, config) as device:
        near = template(9, like=1, cosine=SCALE.cosine(65))
        device.store.people.enrol(Enrolment([near], Details(), is_blocklisted=True))
        device.store.people.enrol(Enrolment([near], Details()))

        answer = answer_search(device, sample(template(1)))

    assert answer["face_search"]["status"] == "Declined"
    assert numbers(answer) == [1]


def test_a_person_exactly_at_the_threshold_is_listed(device):
    for score in (70.1, 69.8):
        device.store.people.enrol(Enrolment([template(9, like=1, cosine=SCALE.cosine(score))], Details()))

    assert numbers(answer_search(device, sample(template(1)))) == [1]


def test_references_of_another_model_are_never_searched(device):
    other = Template(template(1).vector, "f" * 64)
    device.store.people.enrol(Enrolment([other], Details()))

    answer = answer_search(device, sample(template(1)))

    assert numbers(answer) == []
    assert answer["device"]["gallery_size"] == 0


def test_an_answer_is_saved_with_its_thresholds_and_the_size_of_the_gallery(device):
    device.store.people.enrol(enrolment(1))
    answer = answer_search(
        device, sample(template(1), faces=2), vendor_data="visit", metadata={"gate": 3}, actor="test"
    )

    (logged,) = device.store.decisions().decisions

    assert logged.entry.request_id == answer["request_id"]
    assert dict(logged.entry.thresholds) == {"similarity": 70.0, "blocklist": 70.0}
    assert (logged.entry.gallery_size, logged.entry.model, logged.entry.status) == (1, PACK.template_model, "In Review")
    assert logged.entry.warnings == ("MULTIPLE_FACES_DETECTED",)
    assert (logged.vendor_data, logged.answer["metadata"]) == ("visit", {"gate": 3})
    assert device.store.verify_log().is_intact


def test_nothing_is_saved_when_the_request_says_so(device):
    answer_search(device, sample(template(1)), save=False)
    answer_match(device, sample(template(1)), sample(template(2)), save=False)

    assert device.store.decisions().total == 0


def test_a_match_in_the_review_band_waits_for_a_person(directory):
    with opened(directory, Config(match=MatchSettings(review_threshold=60))) as device:
        near = sample(template(9, like=1, cosine=SCALE.cosine(55)))

        found = answer_match(device, sample(template(1)), near)["face_match"]

    assert (found["status"], found["score"]) == ("In Review", 55)


def test_two_enrolments_of_one_face_at_once_store_one(device):
    outcomes = []

    def enrol():
        outcomes.append(admit(device, [Reference(template(1), 1.0)], Enrolment([], Details())).kind)

    threads = [threading.Thread(target=enrol) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["added"] + ["duplicate"] * 7
    assert device.store.people.subjects(limit=10).total == 1


def test_searches_go_on_while_people_come_and_go(device):
    device.store.people.enrol(enrolment(1))
    stop, failures = threading.Event(), []

    def look():
        while not stop.is_set():
            found = device.find(template(1))
            if [one.subject for one in found] != [1]:
                failures.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seed in range(2, 40):
        number = device.store.people.enrol(enrolment(seed)).session_number
        if seed % 2:
            device.store.people.forget(number)
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_reference_averaged_with_its_mirror_image_serves_like_any_other(directory):
    networks, photograph = load_recogniser(PACK), (GOLDEN / "person_a_1.jpg").read_bytes()
    store = open_store(directory, read_keys(directory), now=lambda: NOW)
    with Device(networks, store, Config(enrolment=EnrolmentSettings(mirrored=True)), now=lambda: NOW) as device:
        probe = device.analyse(photograph)
        assert probe.template is not None
        assert enrol_person(device, [photograph], Enrolment(templates=())).is_stored

        (block,) = store.references.chunks(networks.model)
        answer = answer_search(device, probe, save=False)["face_search"]
        other = answer_match(device, probe, device.analyse((GOLDEN / "person_a_2.jpg").read_bytes()), save=False)

        assert 0.95 < float(block.vectors[0] @ probe.template.vector) < 0.9999  # not the photograph's own template
        assert answer["matches"][0]["similarity_percentage"] >= 99.0
        device.apply(Config())
        again = answer_match(device, probe, device.analyse((GOLDEN / "person_a_2.jpg").read_bytes()), save=False)
        assert again["face_match"] == other["face_match"]  # a comparison of two photographs knows no such setting
