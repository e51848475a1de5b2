"""The people enrolled tell how alike strangers are at this site; who is forgotten tells nothing any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kiosk.device.site import as_dict, measure_here
from kiosk.types import Template
from tests.entrance.staged import PACK, D, Stage
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
