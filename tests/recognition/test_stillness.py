"""Facts about what moves in a picture: real portraits under noise, JPEG and other light."""

import cv2
import numpy as np
import pytest

from kiosk.recognition.stillness import CELLS, Sight
from tests.conftest import GOLDEN, read

SIZE_HW = (300, 400)
MIDDLE = (200.0, 150.0)
EYES = {"a_1": (0.5, 0.42), "b_1": (0.5, 0.42), "c_1": (0.5, 0.42)}


@pytest.fixture(scope="module")
def portraits():
    return {name: read(GOLDEN / f"person_{name}.jpg") for name in EYES}


def box_of(edge, at=MIDDLE):
    return np.array([at[0] - edge / 2, at[1] - edge / 2, at[0] + edge / 2, at[1] + edge / 2], np.float32)


def hang(portrait, edge, at=MIDDLE):
    """Draw a portrait so that its face is some `edge` px wide with its middle at a place, parts of pixels too."""
    scale = 2.0 * edge / min(portrait.shape[:2])
    small = cv2.resize(portrait, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
    corner = at[0] - small.shape[1] / 4, at[1] - small.shape[0] / 4
    matrix = np.array([[0.5, 0.0, corner[0]], [0.0, 0.5, corner[1]]])
    return cv2.warpAffine(small, matrix, SIZE_HW[::-1], flags=cv2.INTER_LINEAR, borderValue=(110, 110, 110))


def taken(scene, rng, *, noise=3.0, quality=85, gain=1.0):
    """A camera's picture of a scene."""
    grainy = np.clip(scene * gain + rng.normal(0.0, noise, scene.shape), 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", grainy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("edge", [50, 80, 110])
@pytest.mark.parametrize(("noise", "quality"), [(2.0, 90), (4.0, 80), (3.0, 70)])
def test_a_portrait_on_the_wall_does_not_move_under_noise_and_jpeg(portraits, edge, noise, quality):
    rng = np.random.default_rng(0)
    for portrait in portraits.values():
        scene, box = hang(portrait, edge), box_of(edge)
        before = Sight(taken(scene, rng, noise=noise, quality=quality)).part(box)

        moved = [Sight(taken(scene, rng, noise=noise, quality=quality)).differs(box, before) for _ in range(20)]

        assert sum(moved) <= 1


@pytest.mark.parametrize("edge", [50, 80, 110, 150])
def test_a_shift_by_a_pixel_and_a_half_shows_on_every_portrait(portraits, edge):
    rng = np.random.default_rng(0)
    for portrait in portraits.values():
        box = box_of(edge)
        before = Sight(taken(hang(portrait, edge), rng)).part(box)

        for across, down in ((1.5, 0.0), (0.0, 1.5), (-1.5, 0.0), (0.0, -1.5)):
            after = Sight(taken(hang(portrait, edge, (MIDDLE[0] + across, MIDDLE[1] + down)), rng))

            assert after.differs(box, before)


@pytest.mark.parametrize("gain", [0.75, 0.9, 1.05])
def test_other_light_is_no_motion(portraits, gain):
    rng = np.random.default_rng(0)
    scene, box = hang(portraits["b_1"], 80), box_of(80)
    before = Sight(taken(scene, rng)).part(box)

    assert not Sight(taken(scene, rng, gain=gain)).differs(box, before)


def test_another_face_in_the_same_place_differs_and_is_not_alike(portraits):
    rng = np.random.default_rng(0)
    for name, portrait in portraits.items():
        before = Sight(taken(hang(portrait, 80), rng)).part(box_of(80))
        for other, face in portraits.items():
            after = Sight(taken(hang(face, 80), rng))
            if other != name:
                assert after.differs(box_of(80), before)
                assert not after.is_same(box_of(80), before)
                assert after.likeness_near(box_of(80), before) < 0.7


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.3, 7.0])
def test_a_picture_that_was_knocked_is_found_again_nearby(portraits, shift):
    rng = np.random.default_rng(0)
    for portrait in portraits.values():
        before = Sight(taken(hang(portrait, 60), rng)).part(box_of(60))
        after = Sight(taken(hang(portrait, 60, (MIDDLE[0] + shift, MIDDLE[1] - shift / 2)), rng))

        assert after.likeness_near(box_of(60), before) > 0.85


def test_a_camera_that_trembles_by_a_pixel_shows_the_same(portraits):
    rng = np.random.default_rng(0)
    before = Sight(taken(hang(portraits["b_1"], 80), rng)).part(box_of(80))
    after = Sight(taken(hang(portraits["b_1"], 80, (MIDDLE[0] + 1.0, MIDDLE[1] - 1.0)), rng))

    assert after.differs(box_of(80), before)
    assert after.is_same(box_of(80), before)


def test_motion_would_show_on_a_portrait_and_not_in_the_dark_or_on_a_wall(portraits):
    rng = np.random.default_rng(0)
    scene = hang(portraits["b_1"], 80)

    assert Sight(taken(scene, rng)).tells_motion(box_of(80))
    assert not Sight(taken(scene // 25, rng, noise=1.0)).tells_motion(box_of(80))
    assert not Sight(taken(np.full_like(scene, 110), rng)).tells_motion(box_of(80))


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([np.nan] * 4, id="no numbers"),
        pytest.param([900.0, 900.0, 950.0, 950.0], id="outside"),
    ],
)
def test_what_is_no_part_of_the_picture_differs_from_everything(portraits, box):
    sight = Sight(hang(portraits["a_1"], 80))
    nowhere = np.array(box, np.float32)

    assert sight.part(nowhere).shape == (CELLS, CELLS)
    assert sight.differs(nowhere, sight.part(box_of(80)))
    assert not sight.is_same(nowhere, sight.part(nowhere))
    assert not sight.tells_motion(nowhere)


def test_a_part_that_reaches_beyond_the_picture_is_what_of_it_can_be_seen(portraits):
    sight = Sight(hang(portraits["a_1"], 80, (30.0, 30.0)))
    box = box_of(80, (30.0, 30.0))

    assert np.isfinite(sight.part(box)).all()
    assert not sight.differs(box, sight.part(box))
