"""Is the camera to be trusted? A judgement from what is told of its frames and from the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kiosk.capture.slot import About
from kiosk.capture.sources import RECORDED
from kiosk.settings.sections import CameraSettings

STEADY_S = 30.0  # a camera that worked this long failed anew, not again
BLIND_REOPEN_S = 60.0  # a camera that stays blind is opened anew this rarely: mostly it is night, or a hand
REPEAT_S = 5.0  # a camera whose frames repeated is live again after so long without a repeat
REMEMBERED = 10_000  # digests of earlier frames: five minutes at 30 frames a second, about 1 MB
JITTER = 0.5  # of a wait is by chance, so that the cameras of a site do not come back all at once


class State(str, Enum):
    """What a camera is; only a live one's frames are handed out.

    One that failed keeps its fault while it is opened anew, until it is live.
    """

    OPENING = "opening"
    LIVE = "live"
    LOST = "lost"
    FROZEN = "frozen"  # the same pixels again and again, or earlier frames that come again
    BLACK = "black"  # or white, or of one even tone: the sentence says which
    ENDED = "ended"  # a recording that does not loop


REPEATING = (
    "Earlier frames come again, pixel for pixel: a recording is played into the camera's connection, or the camera "
    "itself repeats frames. If it is known to do that, set [camera] frozen_after_s = 0."
)


@dataclass(frozen=True, slots=True)
class Report:
    """A camera's state, as health and the log tell it."""

    state: State
    sentence: str
    since: float  # s, monotonic


class Watch:
    """The judgement of one camera, over all the processes that capture it."""

    def __init__(self, settings: CameraSettings, now: float) -> None:
        self.report = Report(State.OPENING, "The camera is being opened.", now)
        self._settings = settings
        self._opened_at = now
        self._arrived_at: float | None = None  # when the newest frame of this opening was seen
        self._newest: About | None = None  # kept over openings
        self._changed_at = now  # when pixels were last seen to change
        self._blind_since: float | None = None
        self._may_repeat = not settings.frozen_after_s or settings.source.partition(":")[0] in RECORDED
        self._earlier: dict[int, None] = {}  # digests of frames that others followed, oldest first
        self._repeated_at: float | None = None  # when such a frame came again

    def opened(self, now: float) -> None:
        """Begin anew: another process captures."""
        self._opened_at, self._arrived_at, self._blind_since = now, None, None

    def see(self, about: About, now: float) -> None:
        """Take note of the newest frame; seeing it twice does no harm."""
        newest = self._newest
        if newest is not None and about.number == newest.number:
            return
        is_same = newest is not None and about.digest == newest.digest
        # A camera opened anew that shows the picture it froze with is frozen still.
        if not is_same or (self._arrived_at is None and self.report.state is not State.FROZEN):
            self._changed_at = now
        if not self._may_repeat and not is_same:
            self._compare(about, now)
        self._newest, self._arrived_at = about, now
        if blindness(about, self._settings) is None:
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = now

    def _compare(self, about: About, now: float) -> None:
        """Note a frame that came before. A sensor's noise never gives a whole frame twice; a recording does."""
        if blindness(about, self._settings) is not None:  # black and white frames are all alike
            return
        if about.digest in self._earlier:
            self._repeated_at = now
        self._earlier.pop(about.digest, None)
        self._earlier[about.digest] = None
        if len(self._earlier) > REMEMBERED:
            del self._earlier[next(iter(self._earlier))]

    def check(self, now: float) -> Report:
        """Judge by the clock what was seen so far."""
        settings, newest = self._settings, self._newest
        if self._arrived_at is None or newest is None:
            if now - self._opened_at >= settings.open_within_s:
                self.fail(f"No frame came within {settings.open_within_s:g} s of opening.", now)
        elif now - self._arrived_at >= settings.lost_after_s:
            self.fail(f"No frame came for {settings.lost_after_s:g} s.", now)
        elif settings.frozen_after_s and self._arrived_at - self._changed_at >= settings.frozen_after_s:
            self._say(State.FROZEN, f"The picture has not changed for {settings.frozen_after_s:g} s.", now)
        elif self._repeated_at is not None and now - self._repeated_at < REPEAT_S:
            self._say(State.FROZEN, REPEATING, now)
        elif (blind := blindness(newest, settings)) and (
            self.report.state is State.BLACK
            or (self._blind_since is not None and now - self._blind_since >= settings.blind_after_s)
        ):
            self._say(State.BLACK, blind, now)
        elif blind is None:
            self._say(State.LIVE, "The camera is live.", now)
        return self.report

    def fail(self, sentence: str, now: float) -> None:
        """Say that there are no frames, and why."""
        self._say(State.LOST, sentence, now)

    def end(self, now: float) -> None:
        """Say that the recording is over."""
        self._say(State.ENDED, "The recording has ended.", now)

    def wants_reopening(self, now: float) -> bool:
        """Whether another process might do better than the one that captures now."""
        state = self.report.state
        if state is State.BLACK:
            return now - max(self.report.since, self._opened_at) >= BLIND_REOPEN_S
        return state in (State.LOST, State.FROZEN) and not self._is_opening(now)

    def trusts(self, about: About) -> bool:
        """Whether this frame may be handed out."""
        return self.report.state is State.LIVE and blindness(about, self._settings) is None

    def _is_opening(self, now: float) -> bool:
        return self._arrived_at is None and now - self._opened_at < self._settings.open_within_s

    def _say(self, state: State, sentence: str, now: float) -> None:
        if (state, sentence) != (self.report.state, self.report.sentence):
            since = self.report.since if state is self.report.state else now
            self.report = Report(state, sentence, since)


def blindness(about: About, settings: CameraSettings) -> str | None:
    """Return why nothing can be seen in a frame; None when something can."""
    if about.luma < settings.black_below:
        return "The picture is black: the camera is covered, or there is no light."
    if about.luma > settings.white_above:
        return "The picture is white: light shines into the camera."
    if about.contrast < settings.even_below:
        return "The picture shows nothing: the camera is covered."
    return None


class Backoff:
    """How long to wait before the next opening: doubled with each failure, partly by chance."""

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float]) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._failures = 0

    def next_s(self) -> float:
        """Return the wait after one more failure."""
        wait_s = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return wait_s * (1.0 - JITTER * self._chance())

    def reset(self) -> None:
        """Forget the failures: the camera worked."""
        self._failures = 0
