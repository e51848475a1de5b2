"""A running kiosk: what the API may see and ask, and the news it hears.

`daemon/requests.py` keeps it; the API knows nothing of cameras, threads or relays behind it. News are for screens and
operators: no template, no document number, and a name only under "decision", which operators alone may hear.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Protocol

from kiosk.rules.conditions import Degradation
from kiosk.rules.lockdown import Lockdown
from kiosk.store.subjects import Details
from kiosk.types import SubjectId, Template


class Topic(str, Enum):
    """What news are about."""

    SCREEN = "screen"  # guidance and results, as anybody in front of the kiosk may see them
    DECISION = "decision"  # each decision, for operators
    HEALTH = "health"  # a state began or ended
    DOOR = "door"  # relay, contact, exit button
    DURESS = "duress"  # the silent alarm of a PIN: for neighbours, and for those who may know
    ENROLMENT = "enrolment"  # how far a guided enrolment is


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news."""

    number: int  # rises by one over all topics but DURESS, which counts down by itself: no gap tells of it
    topic: Topic
    at: float  # seconds UTC
    data: Mapping[str, Any] = field(repr=False)  # JSON


@dataclass(frozen=True, slots=True)
class PublishedDecision:
    """A decision as operators hear of it, whether at the door or on a call."""

    request_id: str
    kind: str  # of store.chain.Kind
    status: str
    score: float | None
    reasons: tuple[str, ...]  # DoorReason, RefusalReason, Risk and Condition, as the decision has them
    is_alarm: bool  # somebody on the blocklist
    at: float  # seconds UTC
    session_number: SubjectId | None = None
    name: str | None = field(default=None, repr=False)
    is_opened: bool = False  # the door

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is published: JSON."""
        return {
            "request_id": self.request_id,
            "kind": self.kind,
            "status": self.status,
            "score": self.score,
            "session_number": self.session_number,
            "name": self.name,
            "reasons": list(self.reasons),
            "opened": self.is_opened,
            "is_alarm": self.is_alarm,
            "at": self.at,
        }


class Broadcast:
    """Tells news to whoever listens. Safe in several threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take the wall clock, s UTC."""
        self._now = now
        self._lock = threading.Lock()
        self._numbers, self._silent = itertools.count(1), itertools.count(-1, -1)
        self._latest: dict[Topic, News] = {}
        self._listeners: list[Callable[[News], None]] = []

    @property
    def now(self) -> float:
        """The wall clock, s UTC."""
        return self._now()

    def publish(self, topic: Topic, data: Mapping[str, Any]) -> News:
        """Tell everybody; a listener must return at once and raise nothing."""
        with self._lock:  # so that all hear everything in the order of the numbers
            numbers = self._silent if topic is Topic.DURESS else self._numbers
            news = News(next(numbers), topic, self._now(), data)
            self._latest[topic] = news
            for tell in self._listeners:
                tell(news)
        return news

    def publish_decision(self, decision: PublishedDecision) -> News:
        """Tell of a decision."""
        return self.publish(Topic.DECISION, decision.as_dict())

    def latest(self, topic: Topic) -> News | None:
        """Return the last news of a topic."""
        with self._lock:
            return self._latest.get(topic)

    def listen(self, tell: Callable[[News], None]) -> Callable[[], None]:
        """Have `tell` called with each news from now on, by the thread that publishes; return what ends that."""
        with self._lock:
            self._listeners.append(tell)

        def end() -> None:
            with self._lock:
                if tell in self._listeners:
                    self._listeners.remove(tell)

        return end


@dataclass(frozen=True, slots=True)
class Health:
    """How the kiosk is."""

    is_armed: bool  # somebody who steps up may be let in
    mode: str  # of [entrance] mode
    states: tuple[Degradation, ...]  # why not, and what else is not as it should be
    figures: Mapping[str, Any]  # camera, door, gallery, outbox, clock, disk, memory, versions: JSON

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Still:
    """The newest picture, for operators and the kiosk's own screen."""

    jpeg: bytes = field(repr=False)
    size_wh: tuple[int, int]  # px
    age_s: float
    faces: tuple[tuple[int, int, int, int], ...]  # xyxy px, largest first


@dataclass(frozen=True, slots=True)
class Consent:
    """That somebody agreed to be enrolled, before it began."""

    version: str  # of the text, [enrolment] consent_version
    at: float  # seconds UTC
    language: str | None = None  # of the text that was shown, of [enrolment] consent_texts; None: consent_text


class RunningKiosk(Protocol):
    """A running kiosk. Every method is safe in several threads and returns within a fraction of a second.

    A `RefusedError` says why something is not done now; a `StoreError` that the store failed.
    """

    news: Broadcast

    def health(self) -> Health:
        """Return the kiosk's health: whether it is armed, what is wrong, and its figures."""

    def still(self) -> Still | None:
        """Return the newest picture; None while the camera gives none."""

    def claim(self, code: str, *, actor: str) -> float:
        """Say who will step up next, in mode verify; return the seconds within which they must.

        Args:
            code: what `People.find` finds exactly one person by: a session_number, session_id, vendor_data or
                document number, as a QR code or a card tells it.
            actor: a key's or operator's id, for the log.

        Raises:
            RefusedError: the kiosk is in another mode, or nobody or several people have this code.
        """

    def enter_pin(self, digits: str) -> None:
        """Take what was entered at the screen or a keypad by whoever is asked for a PIN.

        Raises:
            RefusedError: nobody is.
        """

    def show_card(self, card: str) -> bool:
        """Take a card that was held to a reader, as it is written: a code in mode verify, or asked for beside a face.

        Returns:
            Whether it is taken for anything.

        Raises:
            RefusedError: it is no card.
        """

    def release(self, *, actor: str, is_by_hand: bool = True) -> None:
        """Open the door for one pulse, as an operator, whatever the kiosk thinks of itself; recorded after.

        What a house's automation asks (not `is_by_hand`) opens nothing during a lockdown.

        Raises:
            RefusedError: there is no door, or it cannot be driven.
        """

    def lock_down(self, *, actor: str, reason: str = "", is_fleet_wide: bool = False) -> Lockdown:
        """Lock the door down until `lift_lockdown`, over restarts: see rules/lockdown.py for what still opens.

        Raises:
            RefusedError: the reason cannot be shown, or the whole fleet is meant and this kiosk belongs to none.
            StoreError: it holds, and cannot be kept.
        """

    def lift_lockdown(self, *, actor: str) -> tuple[Lockdown, ...]:
        """Lift every lockdown that holds here, those of the fleet everywhere; return them.

        Raises:
            RefusedError: none holds, or a wired switch still asks for one.
        """

    def lockdown_name(self, account: str) -> str | None:
        """Return the name of an account of another kiosk that began a lockdown, where the fleet told it."""

    def lockdowns(self) -> tuple[Lockdown, ...]:
        """Return those that hold."""

    def pin_lock_s(self, number: SubjectId, wrong: int) -> float:
        """Return for how long yet no PIN of a person counts, after so many wrong ones; 0: it does."""

    def set_alarm(self, *, is_armed: bool, actor: str) -> None:
        """Take an alarm system's word: while it is armed nobody is judged. Kept over restarts."""

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
        """Enrol the person who stands in front of the camera, in mode enrol; return the enrolment's id.

        `valid_until`, s UTC, is when their document expires, and `portrait` is the face on it, where they showed one.

        Without an operator beside them (`is_attended`) the person is In Review, and opens nothing before an operator
        approves.

        News under "enrolment" tell {id, state, sentence}: state "waiting" (with guidance), then one of "added"
        (with session_number), "duplicate", "blocklisted", "poor", "mixed", "not_live", "document" (its portrait is
        somebody else's), "cancelled", "failed". With a portrait they tell its score as portrait_score.

        Raises:
            RefusedError: another mode, another enrolment under way, no consent text set up, one agreed to that is not
                the one in force, a vendor_data or document number that somebody has, or only operators may.
        """

    def note_shown(self, attempt: int) -> None:
        """Take the screen's word that it shows the first colour of this attempt at a challenge now."""

    def cancel_enrolment(self, enrolment: str) -> None:
        """End an enrolment without storing anything; one that is over already changes nothing."""
