"""One decision at the door: from a probe to a status with its reasons, saved before anybody hears of it.

Each method takes a presentation that is ready, decides by admission.py, and records the decision; only then does it
return. What a decision may open is not decided here but at the relay, by the age of its newest frame.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from kiosk.device.calls import answer_search, row_of
from kiosk.device.device import Device, Found
from kiosk.device.review_crops import PROBE
from kiosk.didit.contract import MatchRow, match_row, timestamp
from kiosk.entrance.ruling import NOTHING_MORE, Age, Given, Ruled, Ruling, Sought, unknown_age
from kiosk.rules.admission import DoorReason
from kiosk.rules.factors import FactorRule
from kiosk.rules.grant import Refusal
from kiosk.rules.presentation import Ready
from kiosk.rules.schedule import Schedule
from kiosk.settings.sections import EntranceSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NOT_OPENED, NewDecision
from kiosk.store.store import Store
from kiosk.store.subjects import Subject
from kiosk.types import Entity, Origin, Risk, Sample, Status, SubjectId

ACTOR = "door"
Photograph = Callable[[], bytes]
"""Makes a JPEG of the best frame; called only where it is wanted."""

RISKS = MappingProxyType(
    {DoorReason.BLOCKLISTED: Risk.FACE_IN_BLOCKLIST, DoorReason.OTHER_PERSON: Risk.LOW_FACE_MATCH_SIMILARITY}
)
"""What Didit's contract has a word for."""


def nothing() -> bytes:
    """Return no photograph."""
    return b""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A borderline decision about which the cloud may be asked: is it the person the device is nearly sure of?"""

    decision: NewDecision = field(repr=False)  # as a 1:1 comparison
    photographs: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DoorDecision:
    """A decision at the door, as it was saved."""

    request_id: str
    kind: Kind
    status: Status
    reasons: tuple[str, ...]  # of admission.DoorReason, or Didit's warnings in mode screen
    captured_at: float  # monotonic s, of the newest frame
    at: float  # seconds UTC, as the log has it
    score: float | None = None
    subject: Subject | None = field(default=None, repr=False)
    question: Question | None = field(default=None, repr=False)  # where the cloud may be asked

    @property
    def may_open(self) -> bool:
        """Whether the door is to be asked: an approval that is about letting somebody in."""
        return self.status is Status.APPROVED and self.kind is not Kind.FACE_SEARCH

    @property
    def is_alarm(self) -> bool:
        """Whether somebody on the blocklist stands there."""
        return DoorReason.BLOCKLISTED.value in self.reasons or Risk.FACE_IN_BLOCKLIST.value in self.reasons


class Entrance:
    """Decides and records. `apply` may come between two presentations."""

    def __init__(
        self,
        device: Device,
        settings: EntranceSettings,
        schedule: Schedule,
        *,
        now: Callable[[], float],
        is_clock_trusted: Callable[[], bool],
        states: Callable[[], Sequence[str]] = tuple,
        factors: FactorRule = NOTHING_MORE,
    ) -> None:
        """Put the parts together.

        Args:
            device: recogniser, store and gallery.
            settings: section [entrance].
            schedule: who may enter when.
            now: seconds UTC.
            is_clock_trusted: whether `now` can be believed.
            states: the degraded states of now; each decision names them.
            factors: what is asked beside the face, and when.
        """
        self.ruling = Ruling(device, settings, schedule, factors, now=now, is_clock_trusted=is_clock_trusted)
        """Who somebody is, and whether they may come in."""

        self.device, self._settings = device, settings
        self._now, self._is_clock_trusted, self._states = now, is_clock_trusted, states

    @property
    def now(self) -> float:
        """The time, s UTC."""
        return self._now()

    @property
    def is_clock_trusted(self) -> bool:
        """Whether it can be believed."""
        return self._is_clock_trusted()

    @property
    def states(self) -> Sequence[str]:
        """The degraded states of now."""
        return self._states()

    def apply(self, settings: EntranceSettings, schedule: Schedule, factors: FactorRule = NOTHING_MORE) -> None:
        """Decide by other settings from now on."""
        self._settings = settings
        self.ruling.apply(settings, schedule, factors)

    def identify(
        self,
        ready: Ready,
        photograph: Photograph = nothing,
        age: Age = unknown_age,
        crop: Photograph = nothing,
        *,
        given: Given | None = None,
    ) -> DoorDecision:
        """Find out who it is, 1:N, and whether they may come in; `age` is asked only where they may."""
        return self._save(Kind.IDENTIFY, ready, self.ruling.who(ready, age), photograph, crop, given=given)

    def verify(
        self,
        ready: Ready,
        claimed: SubjectId,
        photograph: Photograph = nothing,
        age: Age = unknown_age,
        crop: Photograph = nothing,
        *,
        given: Given | None = None,
    ) -> DoorDecision:
        """Find out whether it is the person who was claimed, 1:1; somebody on the blocklist is found all the same."""
        return self._save(Kind.VERIFY, ready, self.ruling.whether(ready, claimed, age), photograph, crop, given=given)

    def screen(
        self, ready: Ready, entity: Entity, photograph: Photograph = nothing, crop: Photograph = nothing
    ) -> DoorDecision:
        """Look for duplicates and blocked people, by the rules of Didit's Face Search; nothing opens."""
        sample = Sample((entity,), 0, ready.probe)
        decision = NewDecision(Kind.FACE_SEARCH, "", actor=ACTOR)  # not made yet; whether it may leave is known before
        wanted = _wanted(self.device, decision, photograph)
        images = _images(self.device, crop)
        answer = answer_search(
            self.device, sample, photographs=wanted, actor=ACTOR, details=_judged(ready), images=images
        )
        found = answer["face_search"]
        return DoorDecision(
            answer["request_id"],
            Kind.FACE_SEARCH,
            Status(found["status"]),
            tuple(warning["risk"] for warning in found["warnings"]),
            ready.captured_at,
            self._now(),
            found["matches"][0]["similarity_percentage"] if found["matches"] else None,
        )

    def revise(
        self, verdict: DoorDecision, ready: Ready, answered: NewDecision, captured_at: float
    ) -> DoorDecision | None:
        """Save what the cloud made of a borderline decision, beside the decision itself; None where it said nothing.

        Args:
            verdict: the decision, which stays as it is.
            ready: the presentation it was about.
            answered: the question's decision as `Outgoing.second` returned it.
            captured_at: monotonic s, of a frame in which the person stands there still.
        """
        claimed, people = verdict.subject, self.device.store.people
        subject = people.subject(claimed.session_number) if claimed is not None else None
        if not answered.origin.is_cloud or subject is None:
            return None
        why = DoorReason.SECOND_OPINION
        status, why = self.ruling.held_against(subject, self.ruling.search(ready.probe), Status(answered.status), why)
        if status is Status.APPROVED and self.ruling.wanted(subject):  # nobody was asked beside the cloud
            status, why = Status.DECLINED, DoorReason.FACTOR_MISSING
        score = answered.score
        details = {
            "of": verdict.request_id,
            "remote_request_id": answered.details.get("remote_request_id"),
            **self._about(why, ready),
        }
        entry = self.device.save(
            NewDecision(
                kind=Kind.REVISION,
                status=status.value,
                score=score,
                session_number=subject.session_number,
                subjects=(subject.session_number,),
                vendor_data=subject.details.vendor_data,
                details=details,
                actor=ACTOR,
                origin=Origin.CLOUD,
            )
        )
        return DoorDecision(
            entry.request_id, Kind.REVISION, status, (why.value,), captured_at, entry.at, score, subject
        )

    def still_stands(self, verdict: DoorDecision) -> bool:
        """Say whether its person could come in now too: blocked, declined, forgotten or out of date since is no."""
        known = verdict.subject
        subject = self.device.store.people.subject(known.session_number) if known is not None else None
        if subject is None or verdict.status is not Status.APPROVED:
            return False
        seen = Sought((), None, 0.0, 0)  # the likeness was found already, and is no other now
        return self.ruling.held_against(subject, seen, verdict.status, DoorReason.SECOND_OPINION)[0] is Status.APPROVED

    def suspect(self, ready: Ready, why: DoorReason) -> DoorDecision:
        """Record that a presentation is refused: ATTACK_SUSPECTED, or LIVENESS_UNDETERMINED; nobody is looked for."""
        kind = Kind.VERIFY if self._settings.mode == "verify" else Kind.IDENTIFY
        return self._save(kind, ready, Ruled(Status.DECLINED, why, None, None, {}, None), nothing)

    # ---- what is saved

    def _save(
        self,
        kind: Kind,
        ready: Ready,
        ruled: Ruled,
        photograph: Photograph,
        crop: Photograph = nothing,
        *,
        given: Given | None = None,
    ) -> DoorDecision:
        ruled = self.ruling.with_factors(ruled, given)
        request_id, subject, score = str(uuid.uuid4()), ruled.subject, ruled.score
        rows = _rows(self.device, ruled.others)
        answer: dict[str, Any] = {
            "status": ruled.status.value,
            "reasons": [ruled.why.value],
            "score": score,
            "match": None if subject is None or score is None else match_row(row_of(subject, score)),
            **({"others": [match_row(row) for row in rows]} if rows else {}),
        }
        decision = NewDecision(
            kind=kind,
            status=ruled.status.value,
            score=score,
            session_number=subject.session_number if subject is not None else None,
            warnings=(RISKS[ruled.why].value,) if ruled.why in RISKS else (),
            thresholds={**ruled.thresholds, "blocklist": self._settings.blocklist_threshold},
            model=self.device.recogniser.model,
            gallery_size=ruled.gallery_size,
            subjects=tuple(one.session_number for one in (subject, *rows) if one is not None),
            vendor_data=subject.details.vendor_data if subject is not None else None,
            answer={"request_id": request_id, kind.value.lower(): answer, "created_at": timestamp(self._now())},
            details=self._about(ruled.why, ready)
            | ({} if given is None else {"factors": sorted(one.value for one in given.factors)}),
            request_id=request_id,
            actor=ACTOR,
            entered=given.entered if given is not None else None,
            images=_images(self.device, crop) if ruled.status is Status.IN_REVIEW else {},
        )
        is_open = ruled.why is DoorReason.BORDERLINE
        verify_threshold = self._settings.verify_threshold
        question = _question(self.device, decision, verify_threshold, photograph) if is_open else None
        if question is not None:  # should the answer be lost, the replay looks for it before it calls again
            decision = replace(decision, origin=Origin.DEVICE_ASKED)
        entry = self.device.save(
            decision, question.photographs if question else _wanted(self.device, decision, photograph)
        )
        return DoorDecision(
            request_id,
            kind,
            ruled.status,
            (ruled.why.value,),
            ready.captured_at,
            entry.at,
            score,
            subject,
            question,
        )

    def _about(self, why: DoorReason, ready: Ready) -> dict[str, Any]:
        return {
            "mode": self._settings.mode,
            "reasons": [why.value],
            "states": sorted(self._states()),
            "frames": len(ready.frames),
            **_judged(ready),
        }


def note_unopened(store: Store, decided: DoorDecision, refusal: Refusal) -> None:
    """Put into the log why an approval opened nothing; the decision itself stays as it was saved.

    Raises:
        StoreError: the log does not take it.
    """
    states = {"states": list(refusal.states)} if refusal.states else {}
    details = {"what": NOT_OPENED, "of": decided.request_id, "why": refusal.reason.value, **states}
    store.record_act(Kind.DOOR, details=details, actor=ACTOR)


def _rows(device: Device, found: Sequence[Found]) -> list[MatchRow]:
    """Return people as rows of an answer, without whoever was forgotten since the search."""
    known = [(device.store.people.subject(one.subject), one.similarity) for one in found]
    return [row_of(subject, likeness) for subject, likeness in known if subject is not None]


def _images(device: Device, crop: Photograph) -> dict[str, bytes]:
    """Return the crop that a reviewer is to see, where a setting keeps it."""
    jpeg = crop() if device.config.review.keep_probe else b""
    return {PROBE: jpeg} if jpeg else {}


def _question(
    device: Device, decision: NewDecision, verify_threshold: float, photograph: Photograph
) -> Question | None:
    """Put the decision as a 1:1 comparison by the door's own threshold, if the cloud may be asked that."""
    asked = replace(decision, kind=Kind.VERIFY, thresholds={"verify": device.held_here(verify_threshold)})
    return Question(asked, {"user_image": photograph()}) if device.outgoing.asks(asked) else None


def _wanted(device: Device, decision: NewDecision, photograph: Photograph) -> Mapping[str, bytes]:
    """Make the photograph only where it is to leave with the decision."""
    return {"user_image": photograph()} if device.outgoing.wants_photographs(decision) else {}


def _judged(ready: Ready) -> dict[str, Any]:
    """Return what the log says of how the person was told from a picture; nothing where that is off."""
    return {} if ready.liveness is None else {"liveness": ready.liveness}
