"""Facts about a stream of frames: an empty room is not searched again and again, and nobody is missed for it."""

import numpy as np
import pytest

from kiosk.recognition.glance import MOST_SKIPPED, Glance
from kiosk.types import Face

FACE = Face(np.array([10, 10, 60, 60], np.float32), np.zeros((5, 2), np.float32), 0.9)
ROOM = np.full((480, 640, 3), 120, np.uint8)


class Searched:
    """Counts searches, and finds what it is told."""

    def __init__(self):
        self.times, self.faces = 0, []

    def __call__(self, _image):
        self.times += 1
        return list(self.faces)


def noisy(seed, spread=4):
    rng = np.random.default_rng(seed)
    return (ROOM + rng.normal(0.0, spread, ROOM.shape)).clip(0, 255).astype(np.uint8)


def with_head(px, grey):
    image = noisy(1)
    image[200 : 200 + px, 300 : 300 + px] = grey
    return image


def test_an_empty_room_is_searched_every_tenth_time():
    search = Searched()
    glance = Glance(search)

    for seed in range(3 * (MOST_SKIPPED + 1)):
        assert glance(noisy(seed)) == []

    assert search.times == 3


@pytest.mark.parametrize(("px", "grey"), [(40, 100), (30, 140), (16, 90)])
def test_whoever_steps_into_view_is_searched_for_at_once(px, grey):
    search = Searched()
    glance = Glance(search)
    glance(noisy(0))
    search.faces = [FACE]

    assert glance(with_head(px, grey)) == [FACE]


def test_as_long_as_somebody_is_there_every_frame_is_searched():
    search = Searched()
    search.faces = [FACE]
    glance = Glance(search)

    for _ in range(5):
        assert glance(ROOM) == [FACE]

    assert search.times == 5


def test_slow_changes_add_up():
    search = Searched()
    glance = Glance(search)

    for step in range(8):
        glance(ROOM + np.uint8(step))

    assert search.times == 2  # five levels away from the frame that was searched


def test_a_frame_of_another_size_is_searched():
    search = Searched()
    glance = Glance(search)
    glance(ROOM)
    glance(ROOM[:240])

    assert search.times == 2


def test_a_room_too_dark_to_compare_is_searched_at_every_frame():
    search = Searched()
    glance = Glance(search)

    for seed in range(5):
        glance(noisy(seed, spread=40))

    assert search.times == 5
