"""Facts about furniture: faces that never move. The room is scripted; the pixels are test_stillness.py's."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.rules.furniture import FORGET_S, HINT_S, LAPSE_S, MOST_PLACES, STEP_S, Furniture
from kiosk.rules.regions import Region, read_regions
from kiosk.types import Face

SIZE = (640, 480)
AFTER_S = 60.0
POSTER = (560.0, 70.0)
FRONT = (250.0, 260.0)


@dataclass(frozen=True)
class Thing:
    """A face in a frame: what it shows, where its middle is, and how large it is."""

    shows: int
    at: tuple[float, float]
    edge: float = 60.0

    @property
    def face(self):
        x, y = self.at
        half = self.edge / 2
        return Face(np.array([x - half, y - half, x + half, y + half], np.float32), np.zeros((5, 2), np.float32), 0.9)


class ScriptedSight:
    """Sees a part of a frame as what covers its middle, and how far from it; the first thing is in front."""

    def __init__(self, things, *, tells=True):
        self.things, self.tells = things, tells

    def part(self, box):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for one in self.things:
            if max(abs(one.at[0] - x), abs(one.at[1] - y)) < one.edge / 2:
                return np.array([one.shows, one.at[0] - x, one.at[1] - y, one.edge], np.float32)
        return np.array([-1.0, 0.0, 0.0, 0.0], np.float32)

    def _is_within(self, box, before, px):
        after = self.part(box)
        return after[0] == before[0] and np.abs(after[1:] - before[1:]).max() < px

    def differs(self, box, before):
        return not self._is_within(box, before, 0.5)

    def is_same(self, box, before):
        return self._is_within(box, before, 2.5)

    def tells_motion(self, _box):
        return self.tells

    def likeness_near(self, box, before):
        return 1.0 if self._is_within(box, before, 0.25 * (box[2] - box[0])) else 0.3


class Room:
    """Shows frames to the rule, so many a second."""

    def __init__(self, fps=5.0, **more):
        self.rule = Furniture(**{"after_s": AFTER_S, "bystander_px": 36.0, "judged_px": 72.0, **more})
        self.now, self.fps = 1000.0, fps

    def show(self, *things, seconds=0.0, tells=True):
        """Show the same for a time, one frame at least; return what the last one gave."""
        for _ in range(max(1, round(seconds * self.fps))):
            self.now += 1.0 / self.fps
            faces = [one.face for one in sorted(things, key=lambda one: -one.edge)]
            found = self.rule.see(faces, self.now, SIZE, ScriptedSight(things, tells=tells))
            assert len(found.people) + len(found.furniture) == len(faces)
        return found

    def walk_up(self, who, *others, to=FRONT, edge=130.0):
        """Let somebody come and stand, swaying by a pixel; return what the last frame gave."""
        for step in range(8):
            at = (to[0] - 8.0 * (7 - step), to[1] + step % 2)
            found = self.show(Thing(who, at, edge), *others)
        return found


poster = Thing(7, POSTER)


def test_a_face_that_never_moves_is_furniture_after_its_time_and_somebody_before():
    room = Room()

    before = room.show(poster, seconds=AFTER_S - 1.0)
    after = room.show(poster, seconds=2.0)

    assert (len(before.people), len(before.furniture), before.may_be_judged) == (1, 0, False)
    assert (len(after.people), len(after.furniture)) == (0, 1)
    assert [one.is_furniture for one in after.still] == [True]
    assert after.still[0].place == (0.828, 0.083, 0.922, 0.208)


def test_a_still_face_is_told_of_before_it_is_furniture():
    room = Room()
    room.show(poster, seconds=HINT_S - 1.0)

    early = room.show(poster).still
    later = room.show(poster, seconds=2.0).still

    assert early == ()
    assert [(one.is_furniture, one.edge_px) for one in later] == [(False, 60)]


def test_whoever_steps_up_beside_furniture_is_alone_and_may_be_judged():
    room = Room()
    room.show(poster, seconds=AFTER_S + 1.0)

    found = room.walk_up(1, poster)

    assert len(found.people) == 1
    assert found.people[0].area == pytest.approx(130.0**2)
    assert found.may_be_judged


def test_two_people_stay_two_however_long_they_stand():
    room = Room()
    for step in range(round(5 * AFTER_S)):
        sway = step % 3
        found = room.show(Thing(1, (200.0 + sway, 260.0), 130.0), Thing(2, (420.0, 250.0 + sway), 60.0), seconds=1.0)

    assert len(found.people) == 2
    assert found.furniture == ()


@settings(max_examples=20, deadline=None)
@given(
    edge=st.floats(36.0, 200.0),
    fps=st.sampled_from([1.0, 3.0, 10.0]),
    pauses=st.lists(st.floats(0.5, 20.0), min_size=8, max_size=8),
    angles=st.lists(st.floats(0.0, 6.28), min_size=8, max_size=8),
    has_poster=st.booleans(),
)
def test_a_face_that_moves_by_a_pixel_now_and_then_never_becomes_furniture(edge, fps, pauses, angles, has_poster):
    room, place = Room(fps), np.array(FRONT)
    others = [poster] if has_poster else []
    for pause, angle in zip(pauses, angles, strict=True):
        place = place + np.array((np.cos(angle), np.sin(angle)))
        found = room.show(Thing(1, tuple(place), edge), *others, seconds=max(pause, 3.0 / fps))

        assert any(abs(face.area - edge**2) < 1.0 for face in found.people)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_furniture_is_only_ever_what_has_not_moved_for_its_time(data):
    room, x, still_since = Room(fps=2.0), 300.0, 1000.0
    for _ in range(data.draw(st.integers(1, 12))):
        step = data.draw(st.sampled_from([0.0, 0.0, 1.0, -1.0, 5.0, 40.0]), "the face moves by")
        if step:
            x, still_since = x + step, room.now
        found = room.show(Thing(3, (x, 200.0), 60.0), seconds=data.draw(st.floats(0.5, 90.0)))

        if found.furniture:
            assert room.now - still_since >= AFTER_S - 1.0
            return


def test_a_face_that_the_door_would_judge_becomes_furniture_only_alone():
    room, large = Room(), Thing(7, POSTER, 110.0)
    for step in range(round(2 * AFTER_S)):
        busy = room.show(Thing(1, (200.0 + step % 2, 260.0), 130.0), large, seconds=1.0)
    alone = room.show(large, seconds=AFTER_S + 2.0)

    assert (len(busy.people), busy.furniture) == (2, ())
    assert (len(alone.people), len(alone.furniture)) == (0, 1)


def test_a_poster_in_front_of_a_kiosk_that_starts_may_not_be_judged():
    room, large = Room(), Thing(7, FRONT, 150.0)

    found = [room.show(large).may_be_judged for _ in range(round(AFTER_S * 4))]

    assert not any(found)


def test_somebody_who_steps_up_may_be_judged_at_the_second_look_that_shows_them_move():
    room = Room()

    found = [room.show(Thing(1, (250.0 + step, 260.0), 130.0)).may_be_judged for step in range(4)]

    assert found == [False, False, True, True]


def test_nobody_is_believed_to_be_a_person_for_long_without_a_motion():
    room = Room()
    room.walk_up(1)

    standing = room.show(Thing(1, FRONT, 130.0), seconds=LAPSE_S - 2.0).may_be_judged
    frozen = room.show(Thing(1, FRONT, 130.0), seconds=4.0).may_be_judged

    assert (standing, frozen) == (True, False)


def test_furniture_that_was_covered_is_known_again_at_once_by_its_picture():
    room = Room()
    room.show(poster, seconds=AFTER_S + 1.0)
    room.walk_up(1, to=POSTER)

    covered = room.show(Thing(1, POSTER, 130.0))
    back = room.show(poster)

    assert len(covered.people) == 1
    assert any(face.area > 100.0**2 for face in covered.people)
    assert (back.people, len(back.furniture)) == ((), 1)


def test_another_face_in_furnitures_place_is_a_person():
    room = Room()
    room.show(poster, seconds=AFTER_S + 1.0)

    found = room.show(Thing(8, POSTER))

    assert (len(found.people), found.furniture) == (1, ())


def test_furnitures_picture_elsewhere_nearby_counts_and_is_never_judged():
    room, knocked = Room(), Thing(7, (POSTER[0] + 12.0, POSTER[1] + 5.0))
    room.show(poster, seconds=AFTER_S + 1.0)

    found = [room.show(replace_x(knocked, step % 2)) for step in range(30)]

    assert {len(one.people) for one in found} == {1}
    assert not any(one.may_be_judged for one in found)


def replace_x(thing, more):
    return Thing(thing.shows, (thing.at[0] + more, thing.at[1]), thing.edge)


def test_furniture_is_remembered_over_a_night_and_then_forgotten():
    room = Room()
    room.show(poster, seconds=AFTER_S + 1.0)

    room.now += FORGET_S - 10.0
    morning = room.show(poster)
    room.now += FORGET_S + 10.0
    room.show()
    later = room.show(poster)

    assert (len(morning.furniture), len(later.furniture)) == (1, 0)


def test_a_camera_that_was_lost_forgets_who_stood_there_and_keeps_its_furniture():
    room, other = Room(), Thing(9, (100.0, 70.0))
    room.show(poster, seconds=AFTER_S / 2)
    room.show(poster, other, seconds=AFTER_S / 2 + 1.0)

    room.rule.interrupt()
    found = room.show(poster, other, seconds=AFTER_S / 2)

    assert (len(found.people), len(found.furniture)) == (1, 1)


def test_a_camera_with_another_resolution_has_another_room():
    room = Room()
    room.show(poster, seconds=AFTER_S + 1.0)

    found = room.rule.see([poster.face], room.now + 0.2, (1280, 720), ScriptedSight([poster]))

    assert len(found.people) == 1


def test_time_that_nobody_looked_proves_no_stillness():
    room = Room()
    for _ in range(200):
        room.now += STEP_S
        found = room.show(poster)

    assert (len(found.people), found.furniture) == (1, ())


def test_a_clock_that_was_set_back_makes_no_furniture_and_loses_none():
    room, other = Room(), Thing(9, (100.0, 70.0))
    room.show(poster, seconds=AFTER_S + 1.0)
    room.show(poster, other, seconds=AFTER_S - 5.0)

    room.now -= 3600.0
    found = room.show(poster, other, seconds=AFTER_S - 5.0)

    assert (len(found.people), len(found.furniture)) == (1, 1)


def test_a_face_on_which_no_motion_would_show_is_never_furniture():
    room = Room()

    found = room.show(poster, seconds=3 * AFTER_S, tells=False)

    assert (len(found.people), found.furniture) == (1, ())


def test_a_wall_of_portraits_and_many_passers_by_leave_room_for_whoever_steps_up():
    room = Room()
    for number in range(3 * MOST_PLACES):
        room.show(Thing(100 + number, (40.0 + 90 * (number % 7), 60.0 + 80 * (number % 5)), 40.0))

    assert room.walk_up(1).may_be_judged


def test_a_box_that_is_no_number_is_somebody_who_is_not_judged():
    face = Face(np.full(4, np.nan, np.float32), np.zeros((5, 2), np.float32), 0.9)
    room = Room()

    found = room.rule.see([face], room.now, SIZE, ScriptedSight([]))

    assert (found.people, found.count, found.may_be_judged) == ((face,), 1, False)


def test_nothing_is_furniture_and_everybody_may_be_judged_where_it_is_off():
    room = Room(after_s=0.0)

    found = room.show(poster, seconds=3 * AFTER_S)

    assert (len(found.people), found.furniture, found.may_be_judged) == (1, (), True)


# ---- regions


@pytest.mark.parametrize(
    ("at", "edge", "people"),
    [
        pytest.param((560.0, 70.0), 60.0, 0, id="inside"),
        pytest.param((445.0, 70.0), 60.0, 1, id="half of it leans out"),
        pytest.param((560.0, 100.0), 300.0, 1, id="a large face in front of it"),
        pytest.param((200.0, 300.0), 60.0, 1, id="elsewhere"),
    ],
)
def test_a_face_is_ignored_where_nearly_all_of_it_lies_in_a_region(at, edge, people):
    room = Room(regions=read_regions(["0.7 0 1 0.35"]))

    found = room.rule.see([Thing(1, at, edge).face], room.now, SIZE, ScriptedSight([]))

    assert (len(found.people), found.furniture) == (people, ())


@pytest.mark.parametrize("line", ["0.7 0 1", "a b c d", "0.7 0 0.6 1", "0 0 1.2 1", "nan 0 1 1", "", "-0.1 0 1 1"])
def test_what_is_no_region_is_refused_with_an_example_or_the_rule(line):
    with pytest.raises(ValueError, match=r"want (four numbers|left < right)"):
        read_regions([line])


def test_regions_may_be_written_with_commas():
    assert read_regions(["0.1, 0.2, 0.3, 0.4"]) == (Region(0.1, 0.2, 0.3, 0.4),)
