"""What the API asks of a running kiosk: the protocol RunningKiosk of entrance/news.py."""

from __future__ import annotations

import logging
import threading
import time

from kiosk.daemon.report import HealthReport
from kiosk.daemon.wiring import ALARM, Parts
from kiosk.entrance.news import Consent, Health, Still
from kiosk.errors import RefusedError
from kiosk.recognition.image import encoded
from kiosk.rules.cards import read_card
from kiosk.rules.conditions import Condition
from kiosk.rules.lockdown import Lockdown
from kiosk.store.chain import Kind
from kiosk.store.subjects import Details
from kiosk.store.unrecorded import Act
from kiosk.types import SubjectId, Template

log = logging.getLogger("kiosk.daemon")


class Requests:
    """Answers what is asked of a running kiosk. Safe in several threads."""

    def __init__(self, parts: Parts, report: HealthReport) -> None:
        """Take the parts that are asked."""
        self.news = parts.news
        self._parts, self._report = parts, report
        self._alarming = threading.Lock()

    def health(self) -> Health:
        """Return the kiosk's health: whether it is armed, what is wrong, and its figures."""
        return self._report.health()

    def still(self) -> Still | None:
        """Return the newest picture."""
        newest = self._parts.judge.newest
        if newest is None:
            return None
        frame, faces = newest
        height, width = frame.image.shape[:2]
        boxes = tuple(
            (round(x1), round(y1), round(x2), round(y2)) for x1, y1, x2, y2 in (f.box.tolist() for f in faces)
        )
        return Still(encoded(frame.image), (width, height), time.monotonic() - frame.captured_at, boxes)

    def claim(self, code: str, *, actor: str) -> float:
        """Say who will step up next."""
        found = self._parts.device.store.people.find(code)
        if len(found) != 1:
            raise RefusedError("nobody has this code" if not found else "several people have this code")
        seconds = self._parts.judge.expected.claim(found[0].session_number)
        log.info("claim actor=%s seconds=%g", actor, seconds)
        return seconds

    def enter_pin(self, digits: str) -> None:
        """Take what was entered at a keypad."""
        if not self._parts.judge.opening.enter(digits):
            self._parts.judge.factors.enter(digits)

    def show_card(self, card: str) -> bool:
        """Take a card that was held to a reader."""
        try:
            read = read_card(card)
        except ValueError as error:
            raise RefusedError(str(error)) from None
        judge = self._parts.judge
        if judge.factors.offer(read):
            return True
        number = self._parts.device.store.factors.whose(read)
        if number is None or self._parts.device.config.entrance.mode != "verify":
            log.info("card is_known=%s is_taken=False", number is not None)
            return False
        judge.expected.claim(number)
        return True

    def release(self, *, actor: str, is_by_hand: bool = True) -> None:
        """Open the door for one pulse, as an operator."""
        if not is_by_hand and self._parts.doorway.lockdown.known.is_locked:
            raise RefusedError("the door is locked down: only an operator releases it by hand")
        self._parts.doorway.release(actor=actor)

    def lock_down(self, *, actor: str, reason: str = "", is_fleet_wide: bool = False) -> Lockdown:
        """Lock the door down."""
        if is_fleet_wide and not self._parts.device.store.is_in_fleet:
            raise RefusedError("this kiosk belongs to no fleet: lock down this door alone")
        try:
            return self._parts.doorway.lockdown.begin(actor=actor, reason=reason, is_fleet_wide=is_fleet_wide)
        except ValueError as error:
            raise RefusedError(str(error)) from None

    def lift_lockdown(self, *, actor: str) -> tuple[Lockdown, ...]:
        """Lift every lockdown."""
        return self._parts.doorway.lift_lockdown(actor=actor)

    def lockdowns(self) -> tuple[Lockdown, ...]:
        """Return those that hold."""
        return self._parts.doorway.lockdown.known.in_force

    def lockdown_name(self, account: str) -> str | None:
        """Return the name of an account of another kiosk that began a lockdown, where the fleet told it."""
        return self._parts.doorway.lockdown.heard_name(account)

    def pin_lock_s(self, number: SubjectId, wrong: int) -> float:
        """Return for how long yet no PIN of a person counts."""
        return self._parts.judge.factors.locked_s(number, wrong)

    def set_alarm(self, *, is_armed: bool, actor: str) -> None:
        """Take an alarm system's word."""
        monitor = self._parts.monitor
        if is_armed:  # closed first, whatever the disk says, and whoever is disarming it now
            monitor.hold(Condition.ALARM_ARMED, ALARM)
        with self._alarming:  # whole words, one after the other: the last one that was kept is the one in force
            if is_armed:
                monitor.hold(Condition.ALARM_ARMED, ALARM)
            act = Act(Kind.POLICY, self._parts.clock(), {"is_alarm_armed": is_armed}, actor)
            if is_armed:  # kept, also where the log takes nothing now: a restart must not disarm
                self._parts.restart.keep(is_alarm_armed=True)
                self._parts.doorway.record(act)
                return
            store = self._parts.device.store
            self._parts.doorway.acts.record(store, self._parts.clock())  # what was before stands before it in the log
            store.record_act(act.kind, details=act.details, actor=actor, request_id=act.request_id)
            self._parts.restart.keep(is_alarm_armed=False)
            monitor.end(Condition.ALARM_ARMED)

    def begin_enrolment(
        self,
        details: Details,
        consent: Consent,
        *,
        is_allowlisted: bool,
        is_attended: bool,
        actor: str,
        valid_until: float | None = None,
        portrait: Template | None = None,
    ) -> str:
        """Enrol the person who stands in front of the camera."""
        enrolment = self._parts.judge.expected.begin_enrolment(
            details,
            consent,
            is_allowlisted=is_allowlisted,
            is_attended=is_attended,
            valid_until=valid_until,
            portrait=portrait,
        )
        log.info("enrolment id=%s actor=%s attended=%s", enrolment, actor, is_attended)
        return enrolment

    def note_shown(self, attempt: int) -> None:
        """Take the screen's word that it shows the first colour of a challenge now."""
        self._parts.judge.note_shown(attempt)

    def cancel_enrolment(self, enrolment: str) -> None:
        """End an enrolment without storing anything."""
        self._parts.judge.expected.cancel_enrolment(enrolment)
