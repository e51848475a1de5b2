"""Faces that belong to the room: a poster, a reflection, a picture on a screen. They are ignored, and never judged.

What counts is that nothing moves. A face is furniture once its part of the picture has been the same for a minute
but for noise and light; a person moves by more within seconds. A face so large that the door would judge it must also
have been there so long with nobody else about. Until then it counts as somebody, so nobody is judged beside it; and a
face that was not seen to move yet is not judged either, as a poster in front of a kiosk that starts.
Furniture that was covered is known again by its picture alone; another face in its place is a person.

Pure, and all places are of one camera that stays where it is. A region that an operator marks is ignored at once:
for television, mirrors, and whatever else moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from kiosk.rules.presentation import overlap, shift
from kiosk.rules.regions import Region
from kiosk.types import Face, Floats

STEP_S = 2.0  # longest time between two looks over which a face counts as still: the slowest idle rate gives 1 s
STRIKES = 2  # looks in a row that must differ: a codec's hiccup is one look, a person's motion is not
LOOKS = 8  # whose mean is what later ones are compared with
JITTER = 0.12  # of the edge, by which the detector's box of a still face may move
GROWTH = 1.15  # times, by which its size may change
REACH = 1.0  # of the edge, within which a face in the next look is the same one
LAPSE_S = 10.0  # without motion, after which nobody believes any more that it was a person
HINT_S = 10.0  # after which a still face is worth a word
TRACK_S = 60.0  # for which a face that is not seen is remembered
FORGET_S = 12 * 3600.0  # for which furniture is: over a night without light
MOST_PLACES = 32  # that are followed: a wall of portraits
SAME_PLACE = 0.5  # intersection over union from which a face is in furniture's place
NEAR_PLACE = 0.1  # from which its picture is looked for, in case the camera was knocked
LIKE_LOW = 0.8  # correlation: the same picture elsewhere gives 0.89 and more, another face 0.5 at most
BLEND_S, BLEND = 1.0, 0.05  # how furniture's picture follows the daylight


class Sight(Protocol):
    """One picture, part by part: `kiosk.recognition.stillness.Sight`."""

    def part(self, box: Floats) -> Floats:
        """Return what a part of the picture shows."""

    def differs(self, box: Floats, before: Floats) -> bool:
        """Say whether something moved in a part."""

    def is_same(self, box: Floats, before: Floats) -> bool:
        """Say whether a part shows what it did, give or take a camera that trembles."""

    def tells_motion(self, box: Floats) -> bool:
        """Say whether a motion by a pixel would show."""

    def likeness_near(self, box: Floats, before: Floats) -> float:
        """Return how alike the most alike place nearby is, -1..1."""


@dataclass(frozen=True, slots=True)
class StillFace:
    """A face that does not move, as it is told of."""

    place: tuple[float, float, float, float]  # xyxy, shares of the picture's width and height
    edge_px: int  # of the face
    since: float  # monotonic s, since when it has not moved
    is_furniture: bool  # else it counts as somebody


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """The faces of one frame."""

    people: tuple[Face, ...]  # all that count, in their order
    furniture: tuple[Face, ...]
    may_be_judged: bool  # every one of the people who count was seen to move
    count: int  # of the people, those too far away left out
    still: tuple[StillFace, ...] = ()  # in view now or a moment ago, furniture first


@dataclass(slots=True, eq=False)
class _Place:
    """Where a face is, and what its part of the picture showed when it came or moved last."""

    face: Face
    part: Floats = field(repr=False)
    since: float
    seen_at: float
    still_s: float = 0.0  # in view and without motion
    alone_s: float = 0.0  # of that, with nobody about who moves
    strikes: int = 0  # looks in a row that differed
    looks: int = 1  # of which `part` is the mean
    is_alive: bool = False
    is_furniture: bool = False
    blended_at: float = -math.inf

    def report(self, size_wh: tuple[int, int]) -> StillFace:
        width, height = size_wh
        x1, y1, x2, y2 = self.face.box.tolist()
        place = round(x1 / width, 3), round(y1 / height, 3), round(x2 / width, 3), round(y2 / height, 3)
        return StillFace(place, round(_edge(self.face)), self.since, self.is_furniture)


class Furniture:
    """Tells the faces of the room from those of people. One thread's."""

    def __init__(
        self, *, after_s: float, bystander_px: float, judged_px: float, regions: Sequence[Region] = ()
    ) -> None:
        """Begin with an unknown room: nothing is furniture before its time has passed.

        Args:
            after_s: time without motion that makes a face furniture, s; 0: none ever, and every face may be judged.
            bystander_px: edge of a face below which it counts for nobody anyway.
            judged_px: edge from which the door would judge it.
            regions: in which no face counts.
        """
        self._places: list[_Place] = []
        self._size_wh = (0, 0)
        self._at = -math.inf
        self.apply(after_s=after_s, bystander_px=bystander_px, judged_px=judged_px, regions=regions)

    def apply(self, *, after_s: float, bystander_px: float, judged_px: float, regions: Sequence[Region] = ()) -> None:
        """Take other settings; what is furniture stays so, unless there is to be none."""
        self._after_s, self._bystander_px, self._judged_px = after_s, bystander_px, judged_px
        self._regions = tuple(regions)
        if not after_s > 0.0:
            self._places.clear()

    def interrupt(self) -> None:
        """Begin anew after the camera was lost, but for the furniture: it is known by its picture."""
        self._places = [one for one in self._places if one.is_furniture]

    def see(self, faces: Sequence[Face], at: float, size_wh: tuple[int, int], sight: Sight) -> Sorted:
        """Sort the faces of the next frame.

        Args:
            faces: all that were found.
            at: when it was taken, monotonic s; a frame that is no newer than the last proves no stillness.
            size_wh: of the frame, px; another size than before is another camera, whose room is unknown.
            sight: of this frame.
        """
        if size_wh != self._size_wh:
            self._places.clear()
            self._size_wh = size_wh
        counted = [face for face in faces if not self._is_left_out(face)]
        if not self._after_s > 0.0:
            return Sorted(tuple(counted), (), may_be_judged=True, count=sum(map(self._counts, counted)))
        is_newer = at > self._at
        self._at = at
        if not is_newer:  # a clock that was set back, or a frame twice: go by the clock as it is now
            self.interrupt()
            for place in self._places:
                place.seen_at = min(place.seen_at, at)
        large = [face for face in counted if self._counts(face)]
        known = self._known(large, at, sight)
        places: list[_Place] = []
        for face in large:
            if id(face) not in known and (followed := self._follow(face, at, sight, places)) is not None:
                places.append(followed)
        self._count(places, at)
        self._settle(places, sight)
        self._places = [one for one in self._places if at - one.seen_at <= (FORGET_S if one.is_furniture else TRACK_S)]
        strangers = len(large) - len(known)
        return Sorted(
            tuple(face for face in counted if id(face) not in known),
            tuple(face for face in large if id(face) in known),
            len(places) == strangers and all(place.is_alive for place in places),
            strangers,
            self._still(at),
        )

    def _is_left_out(self, face: Face) -> bool:
        return any(region.covers(face.box.tolist(), self._size_wh) for region in self._regions)

    def _counts(self, face: Face) -> bool:
        return not _edge(face) < self._bystander_px  # a NaN is somebody

    def _still(self, at: float) -> tuple[StillFace, ...]:
        seen = [one for one in self._places if at - one.seen_at <= STEP_S]
        told = [one for one in seen if one.is_furniture or one.still_s >= HINT_S]
        return tuple(one.report(self._size_wh) for one in sorted(told, key=lambda one: not one.is_furniture))

    # ---- furniture

    def _known(self, faces: Sequence[Face], at: float, sight: Sight) -> set[int]:
        """Return the ids of the faces that are furniture: in its place, whose picture is the same."""
        known: set[int] = set()
        for place in self._places:
            if not place.is_furniture:
                continue
            near = [face for face in faces if id(face) not in known and overlap(face, place.face) >= SAME_PLACE]
            if not near or not sight.is_same(place.face.box, place.part):
                continue
            known.add(id(max(near, key=lambda face: overlap(face, place.face))))
            place.seen_at = at
            if at - place.blended_at >= BLEND_S and not sight.differs(place.face.box, place.part):
                place.blended_at = at
                place.part = (1.0 - BLEND) * place.part + BLEND * sight.part(place.face.box)
        return known

    def _is_knocked(self, face: Face, sight: Sight) -> bool:
        """Say whether a face is furniture's picture after all, in a camera that was knocked: nobody to be judged."""
        return any(
            place.is_furniture
            and overlap(face, place.face) >= NEAR_PLACE
            and sight.likeness_near(place.face.box, place.part) >= LIKE_LOW
            for place in self._places
        )

    # ---- everybody else

    def _follow(self, face: Face, at: float, sight: Sight, taken: Sequence[_Place]) -> _Place | None:
        """Go on with whoever stood there in the last look; None for what is never to be judged."""
        if not np.isfinite(face.box).all() or self._is_knocked(face, sight):
            return None
        others = [one for one in self._places if not one.is_furniture and one not in taken]
        place = min(others, key=lambda one: shift(one.face, face), default=None)
        if place is None or not shift(place.face, face) <= REACH:
            return self._begin(face, at, sight, taken)
        is_moved = _is_elsewhere(place.face, face) or sight.differs(place.face.box, place.part)
        place.strikes = place.strikes + 1 if is_moved else 0
        if place.strikes >= STRIKES:
            place.face, place.part, place.since = face, sight.part(face.box), at
            place.still_s = place.alone_s = 0.0
            place.strikes, place.looks, place.is_alive = 0, 1, True
        elif not is_moved and place.looks < LOOKS:  # several looks together have less noise than one
            place.looks += 1
            mean = place.part + (sight.part(place.face.box) - place.part) / place.looks
            place.part = np.asarray(mean, np.float32)
        return place

    def _begin(self, face: Face, at: float, sight: Sight, taken: Sequence[_Place]) -> _Place | None:
        """Follow a face that was not there before, instead of one that was not seen for longest."""
        followed = [one for one in self._places if not one.is_furniture]
        if len(followed) >= MOST_PLACES:
            oldest = min((one for one in followed if one not in taken), key=lambda one: one.seen_at, default=None)
            if oldest is None:
                return None
            self._places.remove(oldest)
        made = _Place(face, sight.part(face.box), at, at)
        self._places.append(made)
        return made

    def _count(self, places: Sequence[_Place], at: float) -> None:
        """Let time pass for the faces in view; whoever stood still for long enough becomes furniture."""
        for place in places:
            passed = at - place.seen_at
            if place.strikes == 0 and 0.0 < passed <= STEP_S:
                place.still_s += passed
                if not any(one.is_alive for one in places if one is not place):
                    place.alone_s += passed
            if place.still_s >= LAPSE_S:
                place.is_alive = False
        for place in places:
            place.seen_at = at

    def _settle(self, places: Sequence[_Place], sight: Sight) -> None:
        """Make furniture of what has not moved for long enough, where a motion would have shown."""
        for place in places:
            is_small = _edge(place.face) < self._judged_px
            if sum(one.is_furniture for one in self._places) >= MOST_PLACES:
                return
            if (place.still_s if is_small else place.alone_s) >= self._after_s and sight.tells_motion(place.face.box):
                place.is_furniture, place.is_alive = True, False


def _is_elsewhere(before: Face, after: Face) -> bool:
    growth = _edge(after) / max(_edge(before), 1e-9)
    return shift(before, after) > JITTER or not 1.0 / GROWTH <= growth <= GROWTH


def _edge(face: Face) -> float:
    """Return the edge of a square as large as the box, px; a NaN stays one."""
    return math.nan if math.isnan(face.area) else math.sqrt(max(face.area, 0.0))
