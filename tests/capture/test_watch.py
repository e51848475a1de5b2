"""Facts about the judgement of a camera; time is what the test says it is."""

from dataclasses import replace

import pytest

from kiosk.capture.slot import About
from kiosk.capture.watch import Backoff, State, Watch, blindness
from kiosk.settings.sections import CameraSettings

SETTINGS = CameraSettings(open_within_s=5.0, lost_after_s=1.0, frozen_after_s=1.5, blind_after_s=0.5)


def about(number, *, luma=100.0, contrast=50.0, digest=None):
    return About(number, 0.0, 480, 640, luma, contrast, number if digest is None else digest)


def watched(frames, settings=SETTINGS):
    """A watch that has seen (seconds, frame) pairs."""
    watch = Watch(settings, 0.0)
    for now, one in frames:
        watch.see(one, now)
        watch.check(now)
    return watch


def test_a_camera_is_opening_until_its_first_frame_and_then_live():
    watch = Watch(SETTINGS, 0.0)

    assert watch.check(4.9).state is State.OPENING
    watch.see(about(1), 4.95)
    assert watch.check(4.95).state is State.LIVE
    assert watch.report.since == 4.95


def test_a_camera_that_does_not_open_in_time_is_lost_and_wants_reopening():
    watch = Watch(SETTINGS, 0.0)

    assert watch.check(5.0).state is State.LOST
    assert watch.report.sentence == "No frame came within 5 s of opening."
    assert watch.wants_reopening(5.0)


@pytest.mark.parametrize(
    ("now", "state"), [pytest.param(1.9, State.LIVE, id="under"), pytest.param(2.0, State.LOST, id="exactly")]
)
def test_a_camera_is_lost_after_the_time_set_without_a_new_frame(now, state):
    watch = watched([(0.5, about(1)), (1.0, about(2))])
    watch.see(about(2), now)  # the same frame is no new one

    assert watch.check(now).state is state
    assert watch.wants_reopening(now) is (state is State.LOST)


def test_a_lost_camera_opened_anew_is_given_its_time_and_stays_lost_until_a_frame():
    watch = watched([(0.5, about(1))])
    watch.check(2.0)
    watch.opened(3.0)

    assert watch.check(4.0).state is State.LOST
    assert not watch.wants_reopening(4.0)
    assert watch.wants_reopening(8.0)
    watch.see(about(2), 4.5)
    assert watch.check(4.5).state is State.LIVE


def test_a_camera_is_frozen_when_its_frames_rise_and_its_pixels_do_not_change():
    watch = watched([(number / 10, about(number, digest=7)) for number in range(1, 16)])

    assert watch.report.state is State.LIVE
    watch.see(about(16, digest=7), 1.6)
    assert watch.check(1.6).state is State.FROZEN
    assert watch.wants_reopening(1.6)


def test_a_camera_without_new_frames_is_lost_and_not_frozen():
    watch = watched([(0.5, about(1))], CameraSettings(lost_after_s=1.0, frozen_after_s=0.1))

    assert watch.check(1.0).state is State.LIVE
    assert watch.check(1.5).state is State.LOST


def test_a_camera_that_comes_back_with_the_picture_it_froze_with_is_frozen_still():
    watch = watched([(number / 10, about(number, digest=7)) for number in range(1, 20)])
    watch.opened(2.0)
    watch.see(about(30, digest=7), 2.5)

    assert watch.check(2.5).state is State.FROZEN
    watch.see(about(31, digest=8), 2.6)
    assert watch.check(2.6).state is State.LIVE


def test_frozen_can_be_switched_off():
    settings = CameraSettings(frozen_after_s=0.0)

    watch = watched([(number / 10, about(number, digest=7)) for number in range(1, 100)], settings)

    assert watch.report.state is State.LIVE


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        pytest.param({"luma": 11.9}, "black", id="black"),
        pytest.param({"luma": 248.1}, "white", id="saturated"),
        pytest.param({"contrast": 1.9}, "covered", id="covered"),
        pytest.param({"luma": 12.0}, None, id="exactly dark enough"),
        pytest.param({"luma": 248.0}, None, id="exactly bright enough"),
        pytest.param({"contrast": 2.0}, None, id="exactly even enough"),
    ],
)
def test_a_frame_on_which_nothing_can_be_seen_is_told_by_its_brightness(frame, said):
    sentence = blindness(about(1, **frame), SETTINGS)

    assert (sentence is None) if said is None else (said in sentence)


def test_a_blind_frame_is_never_trusted_and_a_camera_is_black_after_the_time_set():
    watch = watched([(0.125, about(1)), (0.25, about(2, luma=0.0))])

    assert watch.report.state is State.LIVE
    assert not watch.trusts(about(2, luma=0.0))
    watch.see(about(3, luma=0.0), 0.75)
    assert watch.check(0.75).state is State.BLACK
    assert not watch.trusts(about(4))


def test_a_black_camera_is_live_with_the_first_bright_frame_and_is_seldom_opened_anew():
    watch = watched([(number / 10, about(number, luma=0.0)) for number in range(1, 700)])

    assert watch.report.state is State.BLACK
    assert not watch.wants_reopening(60.0)
    assert watch.wants_reopening(61.0)
    watch.see(about(701), 70.1)
    assert watch.check(70.1).state is State.LIVE


def test_a_camera_that_opens_into_darkness_is_black_and_not_lost():
    watch = watched([(number / 10, about(number, luma=0.0)) for number in range(1, 20)])

    assert watch.report.state is State.BLACK


def test_waits_double_up_to_the_longest_and_begin_anew():
    steady = Backoff(0.5, 30.0, lambda: 0.0)

    waits = [steady.next_s() for _ in range(8)]
    steady.reset()

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert steady.next_s() == 0.5


def test_chance_shortens_a_wait_by_half_at_most():
    assert Backoff(0.5, 30.0, lambda: 1.0).next_s() == 0.25


def looped(length, *, rounds=3, fps=25.0, **more):
    """Frames of a recording of some length, played again and again."""
    return [
        (number / fps, about(number, digest=1000 + number % length, **more)) for number in range(1, length * rounds)
    ]


@pytest.mark.parametrize("length", [2, 3, 50, 1000])
def test_a_recording_played_in_a_loop_is_not_live(length):
    watch = watched(looped(length))

    assert watch.report.state is State.FROZEN
    assert watch.report.sentence.startswith("Earlier frames come again")


def test_a_loop_is_noticed_as_soon_as_its_second_round_begins():
    frames = looped(50)

    assert watched(frames[:49]).report.state is State.LIVE
    assert watched(frames[:51]).report.state is State.FROZEN


def test_a_recording_that_is_played_backwards_and_forwards_is_not_live():
    order = [*range(1, 30), *range(28, 1, -1)]

    watch = watched([(at / 25.0, about(at, digest=frame)) for at, frame in enumerate(order, 1)])

    assert watch.report.state is State.FROZEN


def test_a_camera_that_repeated_is_live_again_after_enough_fresh_frames():
    frames = looped(2)
    watch = watched(frames)
    last = frames[-1][0]
    for step in range(1, 200):
        watch.see(about(1000 + step), last + step * 0.04)

    assert watch.check(last + 4.9).state is State.FROZEN
    assert watch.check(last + 8.0).state is State.LIVE


def test_a_loop_that_the_camera_was_opened_anew_with_is_still_one():
    watch = watched(looped(50)[:49])
    watch.opened(2.0)
    watch.see(about(50, digest=1001), 2.1)

    assert watch.check(2.1).state is State.FROZEN


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        pytest.param({"frozen_after_s": 0.0}, {}, id="a camera known to repeat"),
        pytest.param({"source": "file:video.mp4?loop=1"}, {}, id="a video file"),
        pytest.param({"source": "dir:frames?loop=1"}, {}, id="a folder of frames"),
        pytest.param({"source": "demo:"}, {}, id="the demo"),
    ],
)
def test_frames_may_come_again_where_they_are_known_to(settings, more):
    assert watched(looped(50, **more), replace(SETTINGS, **settings)).report.state is State.LIVE


def test_black_frames_are_a_blind_camera_and_no_recording():
    watch = watched(looped(50, luma=0.0))

    assert watch.report.state is State.BLACK


def test_the_newest_frame_looked_at_twice_is_no_repeat():
    watch = watched([(at, about(number)) for number in range(1, 60) for at in (number * 0.04, number * 0.04 + 0.02)])

    assert watch.report.state is State.LIVE
