"""The false-match rate among the people enrolled here: measured from the store, told beside the shipped scale."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.device.device import Device
from kiosk.errors import KioskError, StoreError
from kiosk.gallery.cohort import draw_cohort, make_cohort
from kiosk.gallery.site_curve import LEAST_PEOPLE, SiteCurve, draw_people, measure_site, stricter_score
from kiosk.recognition.match import ScoreScale
from kiosk.store.store import Store
from kiosk.types import Floats

log = logging.getLogger("kiosk.site")

SUSPECT_SCORE = 90.0  # pairs from here on are taken out: one person enrolled twice looks like that
LOOK_S = 60.0  # between two looks whether somebody came or went
SCORES = (50.0, 70.0, 80.0, 90.0)


@dataclass(frozen=True, slots=True)
class ScoreHere:
    """What a score stands for at this site."""

    score: float
    stated: float  # false-match rate by the shipped scale
    here: float  # among the people of this site
    bound: float  # its upper 95 % bound
    holds_from: float  # the score from which the stated rate holds here too; never a lower one


def measure_here(device: Device, *, least_people: int = LEAST_PEOPLE) -> SiteCurve | None:
    """Compare the people enrolled with one another, one reference each; None where they are too few.

    Of a large gallery some thousands are drawn, the same ones each time. People forgotten are in no later curve, and no
    curve holds anything of one person.
    """
    return measure_stored(device.store, device.recogniser.model, device.scale, least_people=least_people)


def measure_stored(
    store: Store, model: str, scale: ScoreScale, *, least_people: int = LEAST_PEOPLE
) -> SiteCurve | None:
    """Do what `measure_here` does where no network is loaded; `model` is the digest of the recogniser's file."""
    return _curve(_people_here(store, model), scale, least_people)


def know_people_here(device: Device, *, least_people: int = LEAST_PEOPLE) -> None:
    """Give a device the curve of the people enrolled, and some of them as the cohort of its door; none if too few."""
    people = _people_here(device.store, device.recogniser.model)
    site = _curve(people, device.scale, least_people)
    device.site_curve = site
    if site is None or people is None:
        device.take_cohort(None)
        return
    chosen = draw_cohort(len(people.subjects), np.random.default_rng(0))
    columns = (people.subjects[chosen], people.references[chosen], people.vectors[chosen])
    device.take_cohort(make_cohort(*columns, same_from=device.scale.cosine(SUSPECT_SCORE)))


@dataclass(frozen=True, slots=True, eq=False)
class _PeopleHere:
    """One reference of each person."""

    subjects: NDArray[np.int64]
    references: NDArray[np.int64]
    vectors: Floats = field(repr=False)


def _people_here(store: Store, model: str) -> _PeopleHere | None:
    people = draw_people(store.references.session_numbers(), np.random.default_rng(0))
    firsts: dict[int, tuple[int, Floats]] = {}
    for block in store.references.chunks(model, people):
        for subject, reference, vector in zip(block.subjects.tolist(), block.ids.tolist(), block.vectors, strict=True):
            firsts.setdefault(subject, (reference, vector))
    if not firsts:
        return None
    references, vectors = zip(*firsts.values(), strict=True)
    stacked = np.stack([np.asarray(vector, np.float32) for vector in vectors])
    return _PeopleHere(np.array(list(firsts), np.int64), np.array(references, np.int64), stacked)


def _curve(people: _PeopleHere | None, scale: ScoreScale, least_people: int) -> SiteCurve | None:
    if people is None:
        return None
    return measure_site(people.vectors, suspect_cosine=scale.cosine(SUSPECT_SCORE), least_people=least_people)


class SiteWatch:
    """Measures a device's people anew where somebody came or went, in a thread of its own."""

    def __init__(
        self,
        device: Device,
        *,
        least_people: int = LEAST_PEOPLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the device whose `site_curve` and cohort are kept up to date; `clock` says when `look` is due."""
        self._device, self._least_people, self._clock = device, least_people, clock
        self._looked_at = float("-inf")
        self._version = -1
        self._running: threading.Thread | None = None

    def refresh(self) -> None:
        """Begin to measure if the people changed since the last time; returns at once.

        Raises:
            StoreError: the store cannot be read.
        """
        references = self._device.store.references
        version = references.version()
        if version == self._version or (self._running is not None and self._running.is_alive()):
            return
        self._version = version
        if references.people() < self._least_people:
            self._device.site_curve = None
            self._device.take_cohort(None)
            return
        self._running = threading.Thread(target=self._measure, name="site", daemon=True)
        self._running.start()

    def look(self) -> None:
        """Do what `refresh` does where the last look was long ago; a store that cannot be read is looked at later."""
        if self._clock() - self._looked_at < LOOK_S:
            return
        self._looked_at = self._clock()
        try:
            self.refresh()
        except StoreError as error:
            log.warning("site_curve result=failed reason=%r", str(error))

    def wait(self, timeout_s: float) -> None:
        """Wait until a measurement that runs has ended."""
        if self._running is not None:
            self._running.join(timeout_s)

    def _measure(self) -> None:
        try:
            know_people_here(self._device, least_people=self._least_people)
        except KioskError as error:  # the earlier curve stays, and the next round tries again
            self._version = -1
            log.warning("site_curve result=failed reason=%r", str(error))
            return
        site = self._device.site_curve
        log.info("site_curve people=%s pairs=%s", *((site.people, site.pairs) if site is not None else (0, 0)))


def scores_here(scale: ScoreScale, site: SiteCurve) -> list[ScoreHere]:
    """Return what the usual scores stand for at a site."""
    rows = []
    for score in SCORES:
        cosine = scale.cosine(score)
        holds_from = round(stricter_score(scale, site, score), 1)
        rows.append(ScoreHere(score, scale.fmr(cosine), site.fmr(cosine), site.bound(cosine), holds_from))
    return rows


def as_dict(scale: ScoreScale, site: SiteCurve) -> dict[str, Any]:
    """Return a site's curve for JSON."""
    return {
        "people": site.people,
        "pairs": site.pairs,
        "taken_out": site.taken_out,
        "least_rate": site.reach,
        "scores": [asdict(row) for row in scores_here(scale, site)],
    }
