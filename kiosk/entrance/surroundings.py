"""What the camera sees beside the one who steps up: furniture, and faces that stay. The rule is rules/furniture.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kiosk.health.monitor import Monitor
from kiosk.recognition.stillness import Sight
from kiosk.rules.conditions import Condition
from kiosk.rules.furniture import Furniture, Sorted, StillFace
from kiosk.rules.regions import read_regions
from kiosk.settings.config import Config
from kiosk.types import Face, Frame

CROWD_S = 60.0  # with several faces in view and no pause, until health says that nobody is judged
PAUSE_S = 1.0  # a detector may miss a face for so long
STEADY_S = 2.0  # in view without a pause, until a still face is told of: health does not flicker
THIRDS = (1 / 3, 2 / 3)


def where(place: Sequence[float]) -> str:
    """Say in words where in the picture something is; `place` is xyxy in shares of its width and height.

    >>> where((0.8, 0.05, 0.95, 0.25)), where((0.4, 0.4, 0.6, 0.6)), where((0.0, 0.4, 0.1, 0.6))
    ('at the upper right', 'in the middle', 'at the left')
    """
    left, top, right, bottom = place
    across = ("left", "", "right")[sum((left + right) / 2 > third for third in THIRDS)]
    down = ("upper", "", "lower")[sum((top + bottom) / 2 > third for third in THIRDS)]
    if not across:
        return {"upper": "at the top", "": "in the middle", "lower": "at the bottom"}[down]
    return f"at the {down} {across}" if down else f"at the {across}"


def region_line(place: Sequence[float], margin: float = 0.02) -> str:
    """Return a place with a margin, as a line of [entrance] ignore."""
    left, top, right, bottom = place
    wide = max(0.0, left - margin), max(0.0, top - margin), min(1.0, right + margin), min(1.0, bottom + margin)
    return " ".join(f"{value:.2f}" for value in wide)


class Surroundings:
    """Takes furniture out of each frame's faces, and has health say which faces keep the kiosk from judging.

    One thread's, but for `still`.
    """

    def __init__(self, monitor: Monitor, config: Config) -> None:
        """Begin with an unknown room."""
        self._monitor = monitor
        self._furniture = Furniture(**_rule_of(config))
        self._after_s = config.entrance.furniture_s
        self._at = float("-inf")
        self._still_since: float | None = None  # since when a still face is in view that counts as somebody, s
        self._crowd_since: float | None = None  # since when several people are
        self._told: str | None = None
        self.still: tuple[StillFace, ...] = ()
        """Faces that do not move, furniture first; those in view now or a moment ago."""

    def apply(self, config: Config) -> None:
        """Take other settings."""
        self._after_s = config.entrance.furniture_s
        self._furniture.apply(**_rule_of(config))

    def interrupt(self) -> None:
        """Begin anew after the camera was lost; furniture is known again by its picture."""
        self._furniture.interrupt()
        self._still_since = self._crowd_since = None
        self.still = ()
        self._tell(None)

    def sort(self, frame: Frame, faces: Sequence[Face]) -> Sorted:
        """Sort the faces of the next frame, and hold or end the state that some of them bring."""
        height, width = frame.image.shape[:2]
        found = self._furniture.see(faces, frame.captured_at, (width, height), Sight(frame.image))
        self.still = found.still
        self._tell(self._trouble(found, frame.captured_at))
        return found

    def _trouble(self, found: Sorted, at: float) -> str | None:
        """Say which faces keep the kiosk from judging, once they are there for long."""
        is_broken_off, self._at = not 0.0 < at - self._at <= PAUSE_S, at
        still = next((one for one in found.still if not one.is_furniture), None)
        if is_broken_off:
            self._still_since = self._crowd_since = None
        self._still_since = None if still is None else self._still_since if self._still_since is not None else at
        is_crowd = found.count > 1
        self._crowd_since = None if not is_crowd else self._crowd_since if self._crowd_since is not None else at
        if still is not None and self._still_since is not None and at - self._still_since >= STEADY_S:
            return (
                f"A face that does not move is in view {where(still.place)} of the picture, {still.edge_px} px wide. "
                f"Nobody is let in beside it until it has been still for {self._after_s:g} s and counts as furniture. "
                f"If it is a poster, a reflection or a screen, mark it on the camera's picture, or set "
                f'[entrance] ignore = ["{region_line(still.place)}"].'
            )
        if self._crowd_since is not None and at - self._crowd_since >= CROWD_S:
            return (
                "Several faces have been in view for a minute without a pause, so nobody is judged. If one is on a "
                "television, in a mirror or behind a window, mark its place on the camera's picture, or set it in "
                "[entrance] ignore."
            )
        return None

    def _tell(self, sentence: str | None) -> None:
        if sentence == self._told:
            return
        self._told = sentence
        if sentence is None:
            self._monitor.end(Condition.FACE_STAYS)
        else:
            self._monitor.hold(Condition.FACE_STAYS, sentence)


def _rule_of(config: Config) -> dict[str, Any]:
    entrance, limits = config.entrance, config.presentation
    return {
        "after_s": entrance.furniture_s,
        "bystander_px": limits.bystander_px,
        "judged_px": limits.face_low_px,
        "regions": read_regions(entrance.ignore),
    }
