"""Colours on a face: what follows them, what shines by itself, and how often a screen may flash."""

import functools
from random import Random

import numpy as np
import pytest

from kiosk.recognition.challenges import Answer
from kiosk.recognition.flash import COLOURS, EACH_S, Flash, FlashLimits, Shown, draw_colours, end_of
from kiosk.testing.pad_material import relit
from kiosk.types import Face

BOX = np.array([270, 190, 370, 290], np.float32)
FACE = Face(BOX, np.zeros((5, 2), np.float32), 1.0)
MESH = np.random.default_rng(0).uniform(BOX[:2], BOX[2:], (468, 2)).astype(np.float32)
LIMITS = FlashLimits()


@functools.cache
def grain():
    """Return noise of the sensor, for frames in turn."""
    return np.random.default_rng(1).normal(0, 2.0, (7, 480, 640, 3)).astype(np.float32)


def grey_room():
    """Return a grey room with a face-coloured middle."""
    image = np.full((480, 640, 3), 110, np.uint8)
    image[190:290, 270:370] = (190, 140, 120)
    return image


SCENE = grey_room()


@functools.cache
def lit(colour, lux):
    return relit(SCENE, colour, lux)


def played(shown, lux, *, face_lux=None, fps=12, late_s=0.1, seen=None):
    """Return the result where room and face are lit; a large face_lux is a face that shines by itself."""
    flash = Flash(shown, LIMITS)
    for number in range(int(3.4 * fps)):
        now = number / fps
        current = [one.colour for one in (seen or shown) if one.at_s + late_s <= now < end_of(shown) + late_s]
        image = SCENE
        if current:
            image = lit(current[-1], lux).copy()
            image[190:290, 270:370] = lit(current[-1], face_lux or lux)[190:290, 270:370]
        noisy = np.clip(image + grain()[number % len(grain())], 0, 255).astype(np.uint8)
        flash.see(noisy, FACE, MESH, now)
    return flash.result()


@pytest.mark.parametrize("lux", [50.0, 150.0, 280.0])
def test_a_lit_face_follows(lux):
    result = played(draw_colours(Random(0), 0.3), lux)

    assert result.answer is Answer.MET
    assert result.face > 0.8


@pytest.mark.parametrize("lux", [1000.0, 5000.0])
def test_daylight_drowns_the_colours(lux):
    assert played(draw_colours(Random(0), 0.3), lux).answer is Answer.UNDETERMINED


def test_a_face_that_shines_by_itself_in_a_room_that_follows_is_an_attack():
    assert played(draw_colours(Random(0), 0.3), 100.0, face_lux=3000.0).answer is Answer.WRONG


def test_a_recording_of_other_colours_does_not_follow():
    for seed in range(1, 12):
        result = played(draw_colours(Random(0), 0.3), 100.0, seen=draw_colours(Random(seed), 0.3))
        assert result.answer is not Answer.MET, seed


def test_too_few_frames_tell_nothing():
    shown = draw_colours(Random(0), 0.3)

    assert played(shown, 50.0, fps=3).answer is Answer.UNDETERMINED
    assert Flash(shown, LIMITS).result().answer is Answer.UNDETERMINED


def test_a_face_without_pixels_is_no_error():
    flash = Flash(draw_colours(Random(0), 0.0), LIMITS)
    outside = MESH + np.float32(5000)

    for number in range(40):
        flash.see(SCENE, Face(BOX + np.float32(5000), FACE.landmarks, 1.0), outside, number / 12)

    assert flash.result().answer is Answer.UNDETERMINED


@pytest.mark.parametrize("seed", range(20))
def test_no_second_has_more_than_three_flashes(seed):
    """WCAG 2.2, 2.3.1: a flash is a pair of opposing changes; a change to or from saturated red counts in any case."""
    shown = draw_colours(Random(seed), 10.0)

    changes = [one.at_s for one in shown] + [end_of(shown)]

    for start in changes:
        assert sum(start <= at < start + 1.0 for at in changes) / 2 <= 3
    assert EACH_S >= 1 / 6


def test_the_colours_are_six_in_an_order_that_nobody_knows():
    orders = {tuple(one.colour for one in draw_colours(Random(seed), 0.0)) for seed in range(50)}

    assert len(orders) > 40
    assert all(sorted(order) == sorted(COLOURS.values()) for order in orders)


def test_the_last_colour_stays_as_long_as_the_others():
    assert end_of([Shown(1.0, (0, 0, 0)), Shown(1.5, (0, 0, 0)), Shown(2.0, (0, 0, 0))]) == pytest.approx(2.5)
    assert end_of([Shown(1.0, (0, 0, 0))]) == pytest.approx(1.0 + EACH_S)
    assert end_of([]) == 0.0


def test_the_times_that_the_screen_tells_go_before_those_that_were_planned():
    planned, told = draw_colours(Random(0), 0.0), draw_colours(Random(0), 0.9)
    flash = Flash(planned, LIMITS)
    flash.correct(told)
    flash.correct(())

    for number in range(44):
        now = number / 12
        current = [one.colour for one in told if one.at_s <= now < end_of(told)]
        flash.see(lit(current[-1], 80.0) if current else SCENE, FACE, MESH, now)

    assert flash.result().answer is Answer.MET
