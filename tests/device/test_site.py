"""The people enrolled tell how alike strangers are at this site; who is forgotten tells nothing any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.device.calls import answer_match, answer_search
from kiosk.device.lookalikes import audit
from kiosk.device.site import LOOK_S, SiteWatch, as_dict, know_people_here, measure_here, measure_stored
from kiosk.gallery.cohort import make_cohort
from kiosk.store.chain import Kind
from kiosk.testing.fakes import ManualClock
from kiosk.types import Entity, Floats, Sample, Template
from tests.entrance.staged import PACK, D, Stage, ready
from tests.gallery.test_site_curve import strangers


@pytest.fixture
def stage(tmp_path: Path):
    made = Stage(tmp_path)
    yield made
    made.close()


def enrol(stage: Stage, count: int, *, seed: int = 0) -> list[int]:
    vectors = strangers(count, alike=0.6, seed=seed, depth=D)
    return [
        stage.enrol(Template(vector, PACK.template_model), name=f"Person {at}").session_number
        for at, vector in enumerate(vectors)
    ]


def test_too_few_people_cannot_tell(stage: Stage) -> None:
    enrol(stage, 5)

    assert measure_here(stage.device) is None


def test_the_people_enrolled_tell_their_own_rates(stage: Stage) -> None:
    enrol(stage, 60)

    site = measure_here(stage.device, least_people=50)

    assert site is not None
    told = as_dict(stage.device.scale, site)
    assert (told["people"], told["pairs"]) == (60, 60 * 59 // 2)
    for row in told["scores"]:
        assert row["bound"] >= row["here"]
        assert row["holds_from"] >= row["score"]


def test_somebody_forgotten_is_in_no_later_curve(stage: Stage) -> None:
    first, *_ = enrol(stage, 60)
    before = measure_here(stage.device, least_people=50)

    stage.store.people.forget(first)
    after = measure_here(stage.device, least_people=50)

    assert before is not None
    assert after is not None
    assert (before.people, after.people) == (60, 59)
    assert not np.array_equal(before.rates, after.rates)


def test_several_references_of_a_person_count_once(stage: Stage) -> None:
    vectors = strangers(50, alike=0.6, depth=D)
    for vector in vectors:
        stage.enrol(Template(vector, PACK.template_model), Template(vector, PACK.template_model))

    site = measure_here(stage.device, least_people=50)

    assert site is not None
    assert (site.people, site.taken_out) == (50, 0)


def test_a_door_takes_the_stricter_of_the_shipped_scale_and_its_own_people(stage: Stage) -> None:
    first, *_ = enrol(stage, 60)
    device = stage.device
    before = device.held_here(76.0)

    watch = SiteWatch(device, least_people=50)
    watch.refresh()
    watch.wait(60.0)

    raised = device.held_here(76.0)
    probe = Template(strangers(1, alike=0.6, depth=D)[0], PACK.template_model)
    assert before == 76.0
    assert raised > 76.0
    decided = stage.entrance.verify(ready(probe), first)
    (logged,) = stage.store.decisions(limit=1).decisions
    assert decided.kind is Kind.VERIFY
    assert logged.entry.thresholds["verify"] == device.held_for(probe, first, raised) >= raised


def test_the_shipped_scale_alone_counts_where_the_setting_says_so(stage: Stage) -> None:
    enrol(stage, 60)
    stage.device.site_curve = measure_here(stage.device, least_people=50)

    entrance = replace(stage.device.config.entrance, scale="shipped")
    stage.device.apply(replace(stage.device.config, entrance=entrance))

    assert stage.device.held_here(76.0) == 76.0


def test_a_site_of_too_few_people_keeps_no_curve(stage: Stage) -> None:
    enrol(stage, 60)
    stage.device.site_curve = measure_here(stage.device, least_people=50)

    SiteWatch(stage.device).refresh()

    assert stage.device.site_curve is None
    assert stage.device.held_here(76.0) == 76.0


def test_no_threshold_is_lowered_by_people_less_alike_than_the_scale_states(stage: Stage) -> None:
    vectors = strangers(60, depth=D)
    for vector in vectors:
        stage.enrol(Template(vector, PACK.template_model))
    stage.device.site_curve = measure_here(stage.device, least_people=50)

    assert all(stage.device.held_here(score) >= score for score in (30.0, 70.0, 76.0, 80.0, 95.0, 100.0))


def crowd_and_others() -> Floats:
    """Return 60 people who resemble one another, then 60 who resemble nobody."""
    return np.concatenate([strangers(60, alike=0.6, depth=D), strangers(60, seed=1, depth=D)])


def enrol_crowd(stage: Stage) -> list[int]:
    return [stage.enrol(Template(one, PACK.template_model)).session_number for one in crowd_and_others()]


def near(vector: Floats, similarity: float, seed: int = 5) -> Template:
    """Return a probe of this similarity to a reference."""
    cosine = PACK.scale.cosine(similarity) + 1e-6
    across = np.random.default_rng(seed).standard_normal(D)
    across -= (across @ vector) * vector
    made = cosine * vector + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    return Template(made.astype(np.float32), PACK.template_model)


def like_many(vectors: Floats) -> Template:
    """Return a probe of the first person that looks even more like the crowd than they do."""
    made = vectors[0] + 0.6 * vectors[1:60].mean(axis=0)
    return Template((made / np.linalg.norm(made)).astype(np.float32), PACK.template_model)


def test_the_door_asks_more_of_a_face_that_resembles_many(stage: Stage) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    know_people_here(stage.device, least_people=50)

    assert stage.device.held_for(like_many(vectors), numbers[0], 76.0) > 76.0
    assert stage.device.held_for(near(vectors[70], 80.0), numbers[70], 76.0) == 76.0


@pytest.mark.parametrize("threshold", [30.0, 70.0, 76.0, 80.0, 95.0, 100.0])
def test_no_door_accepts_less_because_of_the_cohort(stage: Stage, threshold: float) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    know_people_here(stage.device, least_people=50)

    for at in range(0, 120, 7):
        assert 100.0 >= stage.device.held_for(near(vectors[at], 85.0), numbers[at], threshold) >= threshold


def test_a_decision_tells_the_threshold_that_its_pair_had_to_reach(stage: Stage) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    entrance = replace(stage.device.config.entrance, hold_fpir=0.0)
    stage.device.apply(replace(stage.device.config, entrance=entrance))
    stage.entrance.apply(entrance, stage.schedule(stage.device.config))
    know_people_here(stage.device, least_people=50)
    stage.device.site_curve = None  # the cohort alone
    probe = like_many(vectors)

    stage.entrance.verify(ready(probe), numbers[0])
    stage.entrance.identify(ready(probe))

    identified, verified = (row.entry for row in stage.store.decisions(limit=2).decisions)
    assert verified.thresholds["verify"] == stage.device.held_for(probe, numbers[0], 76.0) > 76.0
    assert identified.thresholds["identify"] == stage.device.held_for(probe, numbers[0], 80.0) > 80.0


def test_answers_of_the_api_are_the_same_with_a_cohort_as_without(stage: Stage) -> None:
    enrol_crowd(stage)
    vectors = crowd_and_others()
    entity = Entity((0, 0, 100, 100), 0.9, 40.0, "female")
    user, reference = (Sample((entity,), 0, Template(vectors[at], PACK.template_model)) for at in (0, 1))

    def answers() -> list[object]:
        matched = answer_match(stage.device, user, reference, save=False)
        searched = answer_search(stage.device, user, save=False)
        return [matched["face_match"], searched["face_search"]]

    before = answers()
    know_people_here(stage.device, least_people=50)

    assert stage.device.cohort is not None
    assert answers() == before


def test_the_cohort_is_not_asked_where_the_shipped_scale_alone_counts(stage: Stage) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    know_people_here(stage.device, least_people=50)
    probe = Template(vectors[1], PACK.template_model)
    assert stage.device.held_for(probe, numbers[0], 76.0) > 76.0

    entrance = replace(stage.device.config.entrance, scale="shipped")
    stage.device.apply(replace(stage.device.config, entrance=entrance))

    assert stage.device.held_for(probe, numbers[0], 76.0) == 76.0


def test_somebody_forgotten_leaves_the_cohort_at_once(stage: Stage) -> None:
    numbers = enrol_crowd(stage)
    know_people_here(stage.device, least_people=50)
    before = stage.device.cohort
    assert before is not None
    assert numbers[3] in before.subjects

    stage.store.people.forget(numbers[3])
    after = stage.device.cohort

    assert after is not None
    assert numbers[3] not in after.subjects
    assert len(after.subjects) == len(before.subjects) - 1
    assert not before.vectors[before.subjects == numbers[3]].any()  # nor do their features stay in memory


def test_somebody_forgotten_while_the_cohort_was_drawn_is_not_in_it(stage: Stage) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    people = np.array(numbers, np.int64)
    references = np.array([stage.device.gallery.references_of(one)[0] for one in numbers], np.int64)
    drawn = make_cohort(people, references, vectors)

    stage.store.people.forget(numbers[3])
    assert stage.device.gallery.person(numbers[3]) is None
    stage.device.take_cohort(drawn)

    taken = stage.device.cohort
    assert taken is not None
    assert numbers[3] not in taken.subjects


def test_a_site_of_too_few_people_has_no_cohort(stage: Stage) -> None:
    numbers, vectors = enrol_crowd(stage), crowd_and_others()
    know_people_here(stage.device, least_people=50)

    know_people_here(stage.device)

    assert stage.device.cohort is None
    assert stage.device.held_for(Template(vectors[1], PACK.template_model), numbers[0], 76.0) == 76.0


def hold_fpir(stage: Stage, share: float) -> None:
    search = replace(stage.device.config.search, hold_fpir=share)
    stage.device.apply(replace(stage.device.config, search=search))


def test_what_a_search_expects_is_told_by_the_people_of_the_site(stage: Stage) -> None:
    enrol(stage, 60)
    before = stage.device.gallery_figures(60, 50.0)

    know_people_here(stage.device, least_people=50)

    told, site = stage.device.gallery_figures(60, 50.0), stage.device.site_curve
    assert site is not None
    assert told["fmr_at_threshold"] == pytest.approx(site.bound(stage.device.scale.cosine(50.0)), rel=0.01)
    assert told["expected_false_positives"] == pytest.approx(60 * told["fmr_at_threshold"], rel=0.01)
    assert told["fpir"] > before["fpir"]


def test_a_chance_that_is_held_holds_for_the_people_of_the_site(stage: Stage) -> None:
    enrol(stage, 60)
    hold_fpir(stage, 0.01)
    _, shipped = stage.device.thresholds(60)

    know_people_here(stage.device, least_people=50)

    _, raised = stage.device.thresholds(60)
    assert raised > shipped
    assert stage.device.gallery_figures(60, raised)["fpir"] <= 0.01


def test_a_search_whose_chance_is_not_held_keeps_its_threshold(stage: Stage) -> None:
    enrol(stage, 60)

    know_people_here(stage.device, least_people=50)

    assert stage.device.thresholds(60) == (70.0, 70.0)


def test_the_shipped_scale_alone_tells_what_a_search_expects_where_the_setting_says_so(stage: Stage) -> None:
    enrol(stage, 60)
    hold_fpir(stage, 0.01)
    before = stage.device.thresholds(60), stage.device.gallery_figures(60, 70.0)
    know_people_here(stage.device, least_people=50)

    entrance = replace(stage.device.config.entrance, scale="shipped")
    stage.device.apply(replace(stage.device.config, entrance=entrance))

    assert (stage.device.thresholds(60), stage.device.gallery_figures(60, 70.0)) == before


def test_the_audit_tells_what_scores_stand_for_here(stage: Stage) -> None:
    enrol(stage, 199)
    assert audit(stage.device, 5).figures["site"] is None

    stage.enrol(Template(strangers(1, alike=0.6, seed=9, depth=D)[0], PACK.template_model))

    site = measure_stored(stage.store, PACK.template_model, PACK.scale)
    assert site is not None
    told = audit(stage.device, 5).figures["site"]
    assert told == as_dict(PACK.scale, site)
    assert (told["people"], [row["score"] for row in told["scores"]]) == (200, [50.0, 70.0, 80.0, 90.0])


def test_a_server_without_a_door_looks_again_now_and_then(stage: Stage) -> None:
    clock = ManualClock()
    watch = SiteWatch(stage.device, least_people=50, clock=clock)
    watch.look()
    enrol(stage, 60)

    watch.look()
    too_soon = stage.device.site_curve
    clock.advance(LOOK_S)
    watch.look()
    watch.wait(60.0)

    assert too_soon is None
    assert stage.device.site_curve is not None
    assert stage.device.site_curve.people == 60


def test_a_store_that_cannot_be_read_is_looked_at_later(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    watch = SiteWatch(stage.device, least_people=50, clock=clock)
    stage.store.close()

    watch.look()

    assert "site_curve result=failed" in caplog.text
