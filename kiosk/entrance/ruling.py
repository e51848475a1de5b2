"""Whose a probe is, and whether they may come in: by likeness, lists, dates, hours, age, and what else is asked.

Nothing is saved here; decide.py saves what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from kiosk.device.device import Device, Found
from kiosk.device.thresholds import listing_threshold
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Among
from kiosk.recognition.match import compare
from kiosk.rules.admission import DoorReason, hold_for_age, weigh, weigh_claim
from kiosk.rules.doors import is_for
from kiosk.rules.factors import Factor, FactorRule
from kiosk.rules.presentation import Ready
from kiosk.rules.schedule import EVERYBODY, Closure, Schedule
from kiosk.settings.sections import EntranceSettings, SearchSettings
from kiosk.store.factors.pins import Entered
from kiosk.store.subjects import SESSION, Subject
from kiosk.types import Status, SubjectId, Template

Age = Callable[[], float | None]
"""Estimates the age in years on the best frame; called only where it can change the decision."""

SLACK = 1e-5  # of a cosine: a floor surely under the shown score, which is then looked at
LISTED = 2  # the most alike person and the next
NOTHING_MORE = FactorRule(MappingProxyType({}))
"""The face is enough."""


def unknown_age() -> None:
    """Return no age."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a person gave beside their face."""

    number: SubjectId  # who was asked
    factors: frozenset[Factor]
    failed: DoorReason | None  # why it is not enough
    entered: Entered | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sought:
    """What the search says about a probe."""

    ranked: tuple[Found, ...]  # who may be listed now, best first; at most two
    blocked: Found | None  # the most alike of the blocklist, where alike enough for the alarm
    threshold: float
    references: int


@dataclass(frozen=True, slots=True)
class Ruled:
    """A decision before it is saved."""

    status: Status
    why: DoorReason
    score: float | None
    subject: Subject | None = field(repr=False)
    thresholds: Mapping[str, float]
    gallery_size: int | None
    others: tuple[Found, ...] = ()  # who else was nearly as alike; for whoever reviews it


class Ruling:
    """Rules on probes; saves nothing. `apply` may come between two presentations."""

    def __init__(
        self,
        device: Device,
        settings: EntranceSettings,
        schedule: Schedule,
        factors: FactorRule,
        *,
        now: Callable[[], float],
        is_clock_trusted: Callable[[], bool],
    ) -> None:
        """Take the parts; arguments as `Entrance` takes them."""
        self.device, self._settings, self._schedule, self._factors = device, settings, schedule, factors
        self._now, self._is_clock_trusted = now, is_clock_trusted

    def apply(self, settings: EntranceSettings, schedule: Schedule, factors: FactorRule) -> None:
        """Rule by other settings from now on."""
        self._settings, self._schedule, self._factors = settings, schedule, factors

    def asks(self, ready: Ready, claimed: SubjectId | None) -> tuple[SubjectId, frozenset[Factor]] | None:
        """Return who would be let in and what they are asked for first; None where that is nobody or nothing."""
        if not self._factors.hours:
            return None
        ruled = self.who(ready, unknown_age) if claimed is None else self.whether(ready, claimed, unknown_age)
        if ruled.status is not Status.APPROVED or ruled.subject is None:
            return None
        wanted = self.wanted(ruled.subject)
        return (ruled.subject.session_number, wanted) if wanted else None

    def who(self, ready: Ready, age: Age) -> Ruled:
        """Find out who it is, 1:N, and whether they may come in; `age` is asked only where they may."""
        settings, store, seen = self._settings, self.device.store, self.search(ready.probe)
        best = seen.ranked[0] if seen.ranked else None
        score = best.similarity if best is not None else None
        second = seen.ranked[1].similarity if len(seen.ranked) > 1 else None
        threshold = seen.threshold
        if best is not None:
            threshold = self.device.held_for(ready.probe, best.subject, threshold)
        status, why = weigh(
            score, second, threshold=threshold, review_margin=settings.review_margin, lead=settings.lead
        )
        subject = store.people.subject(best.subject) if best is not None and why is not DoorReason.UNKNOWN else None
        if subject is None:  # also where the person was forgotten since the search
            is_past = _is_out_of_date(self.device, ready.probe, seen.threshold, self._now())
            status, why = Status.DECLINED, DoorReason.NOT_VALID if is_past else DoorReason.UNKNOWN
        status, why = _of_age(settings.age_low, age, *self.held_against(subject, seen, status, why))
        if why is DoorReason.BLOCKLISTED and seen.blocked is not None:
            score, subject = seen.blocked.similarity, store.people.subject(seen.blocked.subject)
        others = seen.ranked[1:] if status is Status.IN_REVIEW else ()
        return Ruled(status, why, score, subject, {"identify": threshold}, seen.references, others)

    def whether(self, ready: Ready, claimed: SubjectId, age: Age) -> Ruled:
        """Find out whether it is the person who was claimed, 1:1; somebody on the blocklist is found all the same."""
        settings, seen = self._settings, self.search(ready.probe)
        subject = self.device.store.people.subject(claimed)
        likeness = _likeness(self.device, ready.probe, claimed) if subject is not None else None
        threshold = self.device.held_for(ready.probe, claimed, self.device.held_here(settings.verify_threshold))
        status, why = weigh_claim(likeness, threshold=threshold, review_margin=settings.review_margin)
        status, why = _of_age(settings.age_low, age, *self.held_against(subject, seen, status, why))
        return Ruled(status, why, likeness, subject, {"verify": threshold}, None)

    def search(self, probe: Template) -> Sought:
        """Look for the most alike people, and for somebody of the blocklist who is alike enough for the alarm."""
        device, settings, scale = self.device, self._settings, self.device.scale
        held = device.gallery
        wanted = SearchSettings(similarity_threshold=settings.identify_threshold, hold_fpir=settings.hold_fpir)
        threshold = self.device.held_here(listing_threshold(wanted, scale, held.references))
        floor = threshold - max(settings.review_margin, settings.lead)
        queries = [
            Query(scale.cosine(settings.blocklist_threshold) - SLACK, 1, Among.BLOCKLISTED),
            Query(scale.cosine(floor) - SLACK, LISTED, Among.EVERYBODY),
        ]
        blocked, listed = (
            [device.found(candidate, held) for candidate in candidates]
            for candidates in held.search_all(probe, queries, now=self._now())
        )
        alarm = next((one for one in blocked if one.similarity >= settings.blocklist_threshold), None)
        return Sought(tuple(listed), alarm, threshold, held.references)

    def held_against(
        self, subject: Subject | None, seen: Sought, status: Status, why: DoorReason
    ) -> tuple[Status, DoorReason]:
        """Return the strictest of what speaks against letting somebody in, beside the likeness itself."""
        if seen.blocked is not None or (subject is not None and subject.is_blocklisted):
            return Status.DECLINED, DoorReason.BLOCKLISTED
        if status is Status.DECLINED or subject is None:
            return status, why
        if subject.status is not Status.APPROVED or subject.source == SESSION:
            # Whoever is a session was made known by whoever holds a key, not by an operator.
            own = Status.IN_REVIEW if subject.status is Status.APPROVED else subject.status
            return own, DoorReason.NOT_APPROVED
        if not subject.is_valid_at(self._now()):
            return Status.DECLINED, DoorReason.NOT_VALID
        is_trusted, door = self._is_clock_trusted(), self.device.store.door_groups()
        barred = _barred(subject, door, self._schedule, self._now(), is_clock_trusted=is_trusted)
        return (status, why) if barred is None else (Status.DECLINED, barred)

    def closure(self) -> Closure | None:
        """Say why the door is closed now for whoever has no plan of their own; None where it is not."""
        return self._schedule.closure(self._now(), EVERYBODY, is_clock_trusted=self._is_clock_trusted())

    def wanted(self, subject: Subject) -> frozenset[Factor]:
        """Return what a person is asked for beside their face now."""
        return self._factors.wanted(self._now(), subject.details.plan, is_clock_trusted=self._is_clock_trusted())

    def with_factors(self, ruled: Ruled, given: Given | None) -> Ruled:
        """Decline whoever would be let in and did not give what is asked for; what was asked of another counts not."""
        if ruled.status is not Status.APPROVED or ruled.subject is None:
            return ruled
        wanted = self.wanted(ruled.subject)
        if given is not None and given.number == ruled.subject.session_number:
            failed = given.failed or (None if wanted <= given.factors else DoorReason.FACTOR_MISSING)
        else:
            failed = DoorReason.FACTOR_MISSING if wanted or given is not None else None
        return ruled if failed is None else replace(ruled, status=Status.DECLINED, why=failed)


def _barred(
    subject: Subject, door: Collection[str] | None, schedule: Schedule, now: float, *, is_clock_trusted: bool
) -> DoorReason | None:
    """Return why an approved person may not come in by this door now; None where they may."""
    if not is_for(subject.details.groups, door):
        return DoorReason.NOT_THIS_DOOR
    if not is_clock_trusted and (subject.valid_from is not None or subject.valid_until is not None):
        return DoorReason.CLOCK_UNTRUSTED
    closure = schedule.closure(now, subject.details.plan or EVERYBODY, is_clock_trusted=is_clock_trusted)
    return None if closure is None else DoorReason(closure.value)


def _is_out_of_date(device: Device, probe: Template, threshold: float, now: float) -> bool:
    """Say whether somebody whose days are over, or not come, would have been let in otherwise."""
    held, scale = device.gallery, device.scale
    (found,) = held.search_all(probe, [Query(scale.cosine(threshold) - SLACK, 1, Among.EVER)], now=now)
    return any(scale.similarity_percentage(candidate.cosine) >= threshold for candidate in found)


def _likeness(device: Device, probe: Template, claimed: SubjectId) -> float | None:
    """Return the similarity with the most alike reference of a person; None where there is none of this model."""
    model, scale = device.recogniser.model, device.scale
    blocks = device.store.references.chunks(model, [claimed])
    cosines = [compare(probe, Template(vector.copy(), model)) for block in blocks for vector in block.vectors]
    return scale.similarity_percentage(max(cosines)) if cosines else None


def _of_age(age_low: float, age: Age, status: Status, why: DoorReason) -> tuple[Status, DoorReason]:
    """Hold somebody for their age; where the cloud could still say yes, it is not asked."""
    may_enter = status is Status.APPROVED or why is DoorReason.BORDERLINE
    return hold_for_age(status, why, age(), age_low=age_low) if may_enter and age_low > 0.0 else (status, why)
