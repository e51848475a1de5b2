"""Who stands before the camera: a person who does what the screen asks, a loop that does whatever it does.

An actor gives the next frame for what the screen shows; `present` plays one through a judgement. For tests, the
benchmark and replays of the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kiosk.evaluation.pad_replay import look
from kiosk.recognition.challenges import Kind, Side
from kiosk.recognition.flash import Shown
from kiosk.recognition.judgement import Judgement, Phase, Prompt, Step
from kiosk.recognition.liveness import Liveness
from kiosk.recognition.pipeline import Recogniser
from kiosk.testing.pad_material import MovingPortrait, Sensor, draw_room, relit, stand
from kiosk.types import RgbImage

Actor = Callable[[Step, float], RgbImage]
"""Gives the frame at a time, s, for what the screen shows."""

REACTS_S, MOVES_S = 0.35, 0.5  # from the prompt to the first movement, and from there to the whole of it
YAW_DEG, MOUTH = 46.0, 0.55  # how far the head and the mouth go, unless the bar is full before
STEPS = 8  # between rest and the whole movement
LIGHT_LATE_S = 0.08  # from the order of a colour to its picture


@dataclass(frozen=True, slots=True)
class Played:
    """How a presentation went."""

    judgement: Judgement
    took_s: float  # from the first frame to the judgement
    steps: tuple[Step, ...]


def present(
    liveness: Liveness,
    recogniser: Recogniser,
    actor: Actor,
    *,
    fps: float = 12.0,
    seconds: float = 30.0,
    at: float = 100.0,
) -> Played:
    """Play an actor until the judgement, or until the time is over."""
    steps = [Step(Phase.BEFORE)]
    for number in range(int(seconds * fps)):
        now = at + number / fps
        steps.append(liveness.see(look(recogniser, actor(steps[-1], now), number, now)))
        if steps[-1].judgement is not None:
            return Played(steps[-1].judgement, now - at, tuple(steps))
    return Played(liveness.finish(), seconds, tuple(steps))


def colour_at(shown: Sequence[Shown], now: float) -> tuple[int, int, int] | None:
    """Return the colour on the screen at a time; None for none."""
    current = [one for one in shown if one.at_s + LIGHT_LATE_S <= now]
    return current[-1].colour if current else None


@dataclass(slots=True, eq=False)
class Follower:
    """A person who looks ahead and does what is asked."""

    rest: Sequence[RgbImage]  # looking ahead, one after the other
    poses: Mapping[tuple[Kind, Side | None], Sequence[RgbImage]]  # from rest to the whole movement
    ambient_lux: float = 120.0
    refuses: frozenset[Kind] = frozenset()  # what this person cannot do
    _prompt: Prompt | None = None
    _since: float = 0.0
    _share: float = 0.0  # of the movement
    _pose: tuple[Kind, Side | None] | None = None
    _last: float = field(default=float("-inf"))
    _number: int = 0

    def __call__(self, step: Step, now: float) -> RgbImage:
        """Return the next frame."""
        prompt = step.prompt
        if prompt is not None and (self._prompt is None or prompt.attempt != self._prompt.attempt):
            self._since = now
        self._prompt = prompt
        elapsed, self._last = max(0.0, min(now - self._last, 0.5)), now
        self._number += 1
        wanted = None
        if prompt is not None and prompt.challenge.kind not in self.refuses and now - self._since >= REACTS_S:
            key = prompt.challenge.kind, prompt.challenge.side
            wanted = key if key in self.poses else None
        if wanted is not None and self._pose in (None, wanted):
            self._pose, self._share = wanted, min(1.0, self._share + elapsed / MOVES_S)
        else:
            self._share = max(0.0, self._share - elapsed / MOVES_S)
            self._pose = self._pose if self._share > 0.0 else None
        if self._pose is None or self._share == 0.0:
            image = self.rest[self._number % len(self.rest)]
        else:
            poses = self.poses[self._pose]
            image = poses[min(len(poses) - 1, round(self._share * (len(poses) - 1)))]
        if prompt is not None and (colour := colour_at(prompt.colours, now)) is not None:
            return relit(image, colour, self.ambient_lux)
        return image


@dataclass(slots=True, eq=False)
class Loop:
    """A recording that goes round and round, whatever the screen asks; on a lit screen, or on paper."""

    frames: Sequence[RgbImage]
    reflects: bool = False  # as paper does; a lit screen shines by itself
    ambient_lux: float = 120.0
    _number: int = 0

    def __call__(self, step: Step, now: float) -> RgbImage:
        """Return the next frame."""
        image = self.frames[self._number % len(self.frames)]
        self._number += 1
        if self.reflects and step.prompt and (colour := colour_at(step.prompt.colours, now)) is not None:
            return relit(image, colour, self.ambient_lux)
        return image


def follower_of(portrait: MovingPortrait, rng: np.random.Generator, *, ambient_lux: float = 120.0) -> Follower:
    """Return a person made of one portrait, in a room."""
    room, sensor = draw_room(rng), Sensor(rng)

    def seen(yaw_deg: float, mouth: float = 0.0, x_px: float = 0.0) -> RgbImage:
        return sensor.take(stand(portrait.frame(yaw_deg, mouth), room, height_share=1.2, x_px=x_px))

    rest = [seen(0.0, x_px=float(x)) for x in (0.0, 1.0, 2.0, 1.0)]
    shares = np.linspace(0.0, 1.0, STEPS)
    poses = {
        (Kind.TURN, Side.LEFT): [seen(YAW_DEG * share) for share in shares],
        (Kind.TURN, Side.RIGHT): [seen(-YAW_DEG * share) for share in shares],
        (Kind.MOUTH, None): [seen(0.0, MOUTH * share) for share in shares],
    }
    return Follower(rest, poses, ambient_lux)
