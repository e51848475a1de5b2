"""Whom the kiosk expects: the person of a code, in mode verify, or of a guided enrolment, in mode enrol."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit
from kiosk.device.enrol_document import objection_to_portrait, score_portrait
from kiosk.entrance.decide import ACTOR, Entrance
from kiosk.entrance.news import Consent
from kiosk.entrance.screen import Announcer
from kiosk.errors import KioskError, RefusedError
from kiosk.recognition import quality
from kiosk.rules.presentation import Ready
from kiosk.settings.config import Config
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Status, SubjectId, Template

ENROLMENT_S = 120.0  # within which an enrolment's person must have been seen: whoever comes later is somebody else

NOT_LIVE = "It could not be seen that a person stands there; the decision's record says why. Begin again."

log = logging.getLogger("kiosk.judge")


@dataclass(frozen=True, slots=True)
class _Claim:
    """Whom somebody said they are."""

    subject: SubjectId
    until: float  # monotonic s


@dataclass(frozen=True, slots=True)
class _Enrolling:
    """A guided enrolment that waits for its person."""

    id: str
    details: Details = field(repr=False)
    consent: Consent
    is_allowlisted: bool
    is_attended: bool  # an operator stands beside; else an operator approves later
    valid_until: float | None  # s UTC; when their document expires
    portrait: Template | None = field(repr=False)  # of the document they showed
    until: float  # monotonic s
    is_storing: bool = False  # it can be cancelled no more


class ExpectedPerson:
    """The next person, where the mode wants to know beforehand who it is. Safe in several threads."""

    def __init__(self, entrance: Entrance, announcer: Announcer, config: Config, *, clock: Callable[[], float]) -> None:
        """Take what stores an enrolment, what tells of it, the settings, and the clock, monotonic s."""
        self._entrance, self._announcer, self._clock = entrance, announcer, clock
        self._lock = threading.Lock()  # guards claim and enrolment
        self._claim: _Claim | None = None
        self._enrolling: _Enrolling | None = None
        self._config = config

    def apply(self, config: Config) -> None:
        """Take other settings; what another mode expected ends with the next `let_go`."""
        self._config = config

    @property
    def is_known(self) -> bool:
        """Whether the mode's question may be asked: it has its code, its enrolment, or needs neither."""
        mode = self._config.entrance.mode
        with self._lock:
            return (mode != "verify" or self._claim is not None) and (mode != "enrol" or self._enrolling is not None)

    def let_go(self, now: float) -> None:
        """End a code or an enrolment whose time is over, or whose mode is: it was about somebody else."""
        mode = self._config.entrance.mode
        with self._lock:
            if self._claim is not None and (now >= self._claim.until or mode != "verify"):
                self._claim = None
            enrolling = self._enrolling
            if enrolling is None or (now < enrolling.until and mode == "enrol"):
                return
            self._enrolling = None
        self._announcer.enrolment(enrolling.id, "cancelled", "Nobody stepped in front of the camera in time.")
        log.info("enrolment id=%s outcome=ran_out", enrolling.id)

    # ---- a code

    def claim(self, subject: SubjectId) -> float:
        """Expect a person to step up; return within how many seconds."""
        entrance = self._config.entrance
        if entrance.mode != "verify":
            raise RefusedError(f"this kiosk is in mode {entrance.mode}; codes are for mode verify")
        with self._lock:
            self._claim = _Claim(subject, self._clock() + entrance.claim_s)
        return entrance.claim_s

    def take_claim(self) -> SubjectId | None:
        """Return whose code was given, once: a code serves for one presentation, whatever comes of it."""
        with self._lock:
            claim, self._claim = self._claim, None
        return claim.subject if claim is not None else None

    # ---- a guided enrolment

    @property
    def enrolment(self) -> str | None:
        """The id of the enrolment that waits for its person."""
        enrolling = self._enrolling  # once: another thread may cancel it between two looks
        return enrolling.id if enrolling is not None else None

    def begin_enrolment(
        self,
        details: Details,
        consent: Consent,
        *,
        is_allowlisted: bool,
        is_attended: bool = False,
        valid_until: float | None = None,
        portrait: Template | None = None,
    ) -> str:
        """Enrol whoever stands in front of the camera next; return the enrolment's id."""
        mode, wanted = self._config.entrance.mode, self._config.enrolment.consent_version
        if mode != "enrol":
            raise RefusedError(f"this kiosk is in mode {mode}; set [entrance] mode = enrol")
        if not wanted:
            raise RefusedError("nobody is enrolled before [enrolment] consent_version and consent_text are set")
        if consent.version != wanted:
            raise RefusedError(f"the consent text in force is {wanted}, not {consent.version}")
        if not is_attended and self._config.enrolment.by == "operator":
            raise RefusedError("only operators enrol people here: sign in ([enrolment] by = operator)")
        if taken := self._entrance.device.store.people.taken(Enrolment((), details)):
            raise RefusedError(f"this {taken} belongs to somebody else already")
        with self._lock:
            if self._enrolling is not None:
                raise RefusedError("another enrolment is under way")
            until = self._clock() + ENROLMENT_S
            self._enrolling = _Enrolling(
                str(uuid.uuid4()), details, consent, is_allowlisted, is_attended, valid_until, portrait, until
            )
            enrolment = self._enrolling.id
        self._announcer.enrolment(enrolment, "waiting", "Step in front of the camera.")
        return enrolment

    def cancel_enrolment(self, enrolment: str) -> None:
        """End an enrolment without storing anything."""
        with self._lock:
            if self._enrolling is None or self._enrolling.id != enrolment:
                return
            if self._enrolling.is_storing:
                raise RefusedError("the person is being stored; forget them where that was not meant")
            self._enrolling = None
        self._announcer.enrolment(enrolment, "cancelled", "The enrolment was cancelled.")

    def enrol(self, ready: Ready, photograph: Callable[[], bytes]) -> None:
        """Store the person of the enrolment under way, and tell what became of it.

        Args:
            ready: the presentation; every good frame becomes a reference.
            photograph: makes a JPEG of its best frame; called where settings keep photographs.

        Raises:
            RefusedError: the enrolment was cancelled meanwhile.
            KioskError: the store or a network failed; nobody was stored.
        """
        with self._lock:
            if self._enrolling is None:
                raise RefusedError("the enrolment was cancelled")
            enrolling = self._enrolling = replace(self._enrolling, is_storing=True)
        kept = photograph() if self._config.store.keep_images else None
        try:
            outcome = store_person(
                self._entrance.device,
                ready,
                enrolling.details,
                enrolling.consent,
                is_allowlisted=enrolling.is_allowlisted,
                is_attended=enrolling.is_attended,
                photograph=kept,
                valid_until=enrolling.valid_until,
                portrait=enrolling.portrait,
            )
        except KioskError as error:
            self._end(enrolling, EnrolmentResult("failed", str(error)))
            raise
        self._end(enrolling, outcome)

    def refuse(self) -> None:
        """End the enrolment under way, if any: whoever stands there may be a picture."""
        enrolling = self._enrolling
        if enrolling is not None:
            self._end(enrolling, EnrolmentResult("not_live", NOT_LIVE))

    def _end(self, enrolling: _Enrolling, outcome: EnrolmentResult) -> None:
        with self._lock:
            if self._enrolling is enrolling:
                self._enrolling = None
        self._announcer.enrolment_over(enrolling.id, outcome)


def store_person(
    device: Device,
    ready: Ready,
    details: Details,
    consent: Consent,
    *,
    is_allowlisted: bool,
    is_attended: bool,
    photograph: bytes | None,
    valid_until: float | None = None,
    portrait: Template | None = None,
) -> EnrolmentResult:
    """Store the person with every good frame as a reference, unless something speaks against it.

    Whoever chose their own name and codes, with no operator beside them, waits for one's approval. Whose document has
    somebody else's portrait is not enrolled.
    """
    for measured, template in zip(ready.qualities, ready.templates, strict=True):
        if (objection := quality.objection(measured) or quality.objection_to(template)) is not None:
            return EnrolmentResult("poor", objection)
    score = None if portrait is None else score_portrait(device, portrait, ready.templates)
    if (objection := objection_to_portrait(device, score)) is not None:
        return EnrolmentResult("document", objection, portrait_score=score)
    references = [
        Reference(template, measured.sharpness, photograph if at == 0 else None)
        for at, (template, measured) in enumerate(zip(ready.templates, ready.qualities, strict=True))
    ]
    enrolment = Enrolment(
        (),
        replace(details, consent_version=consent.version, consent_at=consent.at, consent_language=consent.language),
        status=Status.APPROVED if is_attended else Status.IN_REVIEW,
        is_allowlisted=is_allowlisted,
        valid_until=valid_until,
        liveness=ready.liveness,
    )
    outcome = admit(device, references, enrolment, is_code_unique=True, actor=ACTOR)
    return replace(outcome, portrait_score=score)
