"""The people enrolled tell how alike strangers are at this site; who is forgotten tells nothing any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.device.site import SiteWatch, as_dict, measure_here
from kiosk.store.chain import Kind
from kiosk.types import Template
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
    assert logged.entry.thresholds["verify"] == raised


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
