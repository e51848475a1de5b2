"""A visitor pass at the door: from the text of a QR code that the camera saw to what opens, with its record.

A reader's thread shows texts; the judge's thread judges them, between two frames, by the age of the frame the code was
in: the guard at the relay holds a pass against it as it holds a face. What is counted is on the disk before anything
opens, and is taken back where nothing did. Who shows a pass is nobody in particular, unless a face is asked for beside
it: then the pass is the code of a 1:1 comparison, and its use is counted once that approves.

Everything that cannot be known refuses: a store that does not answer, an unsynchronised clock, a pass that
does not stand in the list of this kiosk's own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kiosk.device.passes.keys import DeviceKeys, PassKeys, is_signed_well
from kiosk.entrance.decide import ACTOR, DoorDecision, Entrance
from kiosk.entrance.opening import Opening
from kiosk.entrance.screen import Announcer, Result
from kiosk.errors import KioskError, StoreError
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.rules.passage import Direction
from kiosk.rules.passes import PREFIX, Known, PassRefusal, VisitorPass, objection, read_pass
from kiosk.rules.schedule import Closure
from kiosk.settings.config import Config
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NOT_OPENED, NewDecision
from kiosk.types import SubjectId

SAME_S = 3.0  # a pass that was out of sight for this long is shown anew; before that it is the same showing
MOST_WAITING = 4  # texts between two frames
PAUSE_S = 2.0  # between two passes that are judged: each is a record
MODES = ("identify", "verify")

OPENED, WAITS, REFUSED, USED = "pass_opened", "pass_waits", "pass_refused", "pass_used"
"""details.what of the DOOR records: the door opened, staff were asked for, it was refused, a face came in by it."""

AGAIN = frozenset({RefusalReason.FRAME_TOO_OLD, RefusalReason.CLOCK_JUMPED})

log = logging.getLogger("kiosk.judge")


@dataclass(frozen=True, slots=True)
class _Claim:
    """A pass whose visitor's face is waited for."""

    shown: VisitorPass
    text: str = field(repr=False)
    number: SubjectId
    until: float  # monotonic s


class PassStep:
    """Judges passes. `show` and `connect` are safe in any thread, the others are the judge's."""

    def __init__(
        self,
        entrance: Entrance,
        opening: Opening,
        announcer: Announcer,
        fault: Callable[[KioskError], None],
        config: Config,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Take what decides and opens, who is told, and the clock, monotonic s, the camera's."""
        self._entrance, self._opening, self._announcer, self._fault = entrance, opening, announcer, fault
        self._config, self._clock = config, clock
        self._store = entrance.device.store
        self._keys: PassKeys = DeviceKeys(self._store)
        self._lock = threading.Lock()  # guards `_waiting`
        self._waiting: dict[str, float] = {}  # texts to look at, and when their frame was captured
        self._seen: dict[str, float] = {}  # texts that were judged, and when they were seen last
        self._judged_at = float("-inf")
        self._claim: _Claim | None = None
        self._going: _Claim | None = None  # whose face is being decided about

    def apply(self, config: Config) -> None:
        """Judge by other settings from now on; a face is waited for no more."""
        self._config, self._claim = config, None

    def connect(self, keys: PassKeys) -> None:
        """Believe these issuers from now on: those of a fleet."""
        self._keys = keys

    @property
    def is_wanted(self) -> bool:
        """Whether passes are looked at now."""
        return self._config.passes.enabled and self._config.entrance.mode in MODES

    @property
    def is_waiting(self) -> bool:
        """Whether a text waits for the judge, whose frame is getting older."""
        return bool(self._waiting)

    def show(self, text: str, captured_at: float) -> None:
        """Take the text of a code that was in a frame, monotonic s; what is no pass is nobody's business."""
        if self.is_wanted and text.startswith(PREFIX):
            with self._lock:
                if len(self._waiting) < MOST_WAITING:
                    self._waiting[text] = captured_at

    # ---- a face beside it

    def expects(self, now: float) -> bool:
        """Say whether the face of a pass's visitor is waited for."""
        return self._claim is not None and now < self._claim.until

    def take_claim(self, mode: str, claimed: SubjectId | None) -> tuple[str, SubjectId | None]:
        """Return how the next decision is made and whose code was shown: the visitor's, where a pass asks for a face.

        A pass serves for one decision, whatever comes of it.
        """
        claim, self._claim = self._claim, None
        self._going = claim if claim is not None and self._clock() < claim.until else None
        return (mode, claimed) if self._going is None else ("verify", self._going.number)

    def open(self, decided: DoorDecision) -> Refusal | None:
        """Open for an approval; where it rests on a pass, count the use first, and take it back if nothing opened."""
        going, subject = self._going, decided.subject
        if going is None or subject is None or subject.session_number != going.number:
            return self._opening.open(decided)
        try:
            now, details = self._entrance.now, {"what": USED, "pass": going.shown.name, "of": decided.request_id}
            is_over = not (self._entrance.is_clock_trusted and now < going.shown.valid_until)
            if is_over or self._use(going.shown, going.text, details, now) is None:
                return Refusal(RefusalReason.WITHDRAWN)
            refusal = self._opening.open(decided)
            if refusal is not None:
                self._store.passes.give_back(going.shown)
        except StoreError as error:
            self._fault(error)
            return Refusal(RefusalReason.CLOSED, (Condition.STORE_UNREADABLE.value,))
        return refusal

    # ---- a pass

    def judge(self, now: float, *, is_armed: bool) -> None:
        """Judge what was shown since the last frame; while nobody is judged, no pass is either."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        self._seen = {text: at for text, at in self._seen.items() if now - at < SAME_S}
        for text, captured_at in waiting.items():
            if text in self._seen:
                self._seen[text] = now
            elif self.is_wanted and is_armed and now - self._judged_at >= PAUSE_S:
                self._judged_at = self._seen[text] = now
                self._judge(text, captured_at, now)

    def _judge(self, text: str, captured_at: float, now: float) -> None:
        name = ""
        try:
            try:
                shown, signature = read_pass(text)
            except ValueError:
                self._refuse(PassRefusal.DAMAGED, name, now)
                return
            name = shown.name
            why = self._objection(shown, signature, text)
            if why is not None:
                self._refuse(why, name, now)
            elif self._config.passes.ask == "face":
                self._ask_for_face(shown, text, now)
            elif self._config.passes.ask == "staff":
                self._ask_for_staff(shown, text, now)
            else:
                self._open_for(shown, text, captured_at, now)
        except StoreError as error:
            self._announcer.passed(REFUSED, PassRefusal.UNREADABLE, name, PassRefusal.UNREADABLE.value, now)
            self._fault(error)

    def _objection(self, shown: VisitorPass, signature: bytes, text: str) -> PassRefusal | None:
        """Say what speaks against a pass; raises StoreError where that cannot be known."""
        keys, entrance = self._keys, self._entrance
        if not is_signed_well(shown, signature, keys):
            return PassRefusal.FORGED
        kept = self._store.passes.find(shown)
        known = Known(
            entrance.now,
            entrance.is_clock_trusted,
            keys.here,
            is_fleets=keys.is_of_fleet(shown.issuer),
            is_ours=shown.issuer in keys.here,
            is_listed=kept is not None and kept.is_issued_here and kept.text == text,
            is_revoked=kept is not None and kept.revoked_at is not None,
            used=kept.used if kept is not None else 0,
            restored_at=self._store.passes.restored_at(),
        )
        why = objection(shown, known, self._config.passes)
        if why is not None:
            return why
        closure = entrance.ruling.closure()
        if closure is not None:
            return PassRefusal.CLOCK if closure is Closure.CLOCK_UNTRUSTED else PassRefusal.OUTSIDE_HOURS
        rule = self._config.passage
        counts = rule.antipassback != "off" or bool(rule.occupancy) or rule.two_persons
        is_anybody = self._config.passes.ask != "face"
        if is_anybody and counts and rule.direction != Direction.OUT.value:
            return PassRefusal.NOT_COUNTED
        return None

    def _ask_for_face(self, shown: VisitorPass, text: str, now: float) -> None:
        found = self._store.people.find(shown.person) if shown.person is not None else []
        people = [one for one in found if one.session_id == shown.person]
        if len(people) != 1:
            self._refuse(PassRefusal.NO_PERSON, shown.name, now)
            return
        claim_s = self._config.entrance.claim_s
        self._claim = _Claim(shown, text, people[0].session_number, now + claim_s)
        self._announcer.passed(WAITS, Result.VISITOR, shown.name, "face", now, shown_s=claim_s)

    def _ask_for_staff(self, shown: VisitorPass, text: str, now: float) -> None:
        details = {"what": WAITS, "pass": shown.name, "why": "staff"}
        if self._use(shown, text, details, self._entrance.now) is None:
            self._refuse(PassRefusal.USED_UP, shown.name, now)
            return
        self._announcer.passed(WAITS, Result.REVIEW, shown.name, "staff", now)

    def _open_for(self, shown: VisitorPass, text: str, captured_at: float, now: float) -> None:
        """Open for whoever holds the pass: first the use and its record, then the door, then the news."""
        request_id = self._use(shown, text, {"what": OPENED, "pass": shown.name}, self._entrance.now)
        if request_id is None:  # since it was looked at
            self._refuse(PassRefusal.USED_UP, shown.name, now)
            return
        refusal = self._opening.open_for_pass(Grant(request_id, captured_at))
        if refusal is None:
            self._announcer.passed(OPENED, Result.WELCOME, shown.name, "", now, request_id=request_id)
            return
        is_again = refusal.reason in AGAIN
        result = Result.AGAIN if is_again else Result.NOT_OPENED
        self._announcer.passed(REFUSED, result, shown.name, refusal.reason.value, now, request_id=request_id)
        self._store.passes.give_back(shown)
        about = {"what": NOT_OPENED, "of": request_id, "why": refusal.reason.value, "states": list(refusal.states)}
        self._store.record_act(Kind.DOOR, details=about, actor=ACTOR)
        if is_again:  # of this machine's slowness, and not of the pass
            self._seen.pop(text, None)

    def _use(self, shown: VisitorPass, text: str, details: dict[str, str], now: float) -> str | None:
        record = NewDecision(Kind.DOOR, "", details=details, actor=ACTOR)
        return self._store.passes.use(shown, text, now=now, record=record)

    def _refuse(self, why: PassRefusal, name: str, now: float) -> None:
        """Say why at the screen, then keep it; a log that takes nothing leaves the refusal as it is."""
        self._announcer.passed(REFUSED, why, name, why.value, now)
        details = {"what": REFUSED, "why": why.value, **({"pass": name} if name else {})}
        self._store.record_act(Kind.DOOR, details=details, actor=ACTOR)
