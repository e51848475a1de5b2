"""Pixels in, pixels out."""

from __future__ import annotations

import numpy as np
import pytest

from kiosk.recognition import image
from kiosk.recognition.photo import decode
from kiosk.types import RgbImage


def noise(height: int, width: int) -> RgbImage:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("angle", "quarters"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_turning_is_clockwise(angle: int, quarters: int) -> None:
    picture = noise(5, 7)

    turned = image.rotate(picture, angle)

    np.testing.assert_array_equal(turned, np.rot90(picture, quarters))


@pytest.mark.parametrize("angle", [-90, 45, 360])
def test_other_angles_than_quarters_are_refused(angle: int) -> None:
    with pytest.raises(ValueError, match=str(angle)):
        image.rotate(noise(2, 2), angle)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(480, 640, id="wide"),
        pytest.param(640, 480, id="tall"),
        pytest.param(3000, 4000, id="twelve megapixels"),
        pytest.param(28, 23, id="smaller than the square"),
        pytest.param(1, 1, id="one pixel"),
        pytest.param(1, 5000, id="a line"),
    ],
)
def test_a_letterbox_keeps_the_shape_and_the_top_left_corner(height: int, width: int) -> None:
    square, scale = image.letterbox(np.full((height, width, 3), 200, np.uint8), 256)

    assert square.shape == (256, 256, 3)
    assert scale == pytest.approx(256 / max(height, width))
    filled = np.argwhere(square[..., 0] > 0).max(axis=0) + 1
    np.testing.assert_array_equal(filled, np.maximum(1, np.round(scale * np.array([height, width]))))


def test_thinning_out_a_large_photograph_does_not_shift_it() -> None:
    rows, columns = np.mgrid[:3100, :4100]
    ramp = np.stack([columns * 255 / 4100, rows * 255 / 4100, rows * 0], axis=2).astype(np.uint8)

    small, scale = image.shrink(ramp, 256)

    centres = (np.arange(256) + 0.5) / scale * 255 / 4100
    np.testing.assert_allclose(small[100, :, 0], centres, atol=1.5)
    np.testing.assert_allclose(small[:, 100, 1], centres[: small.shape[0]], atol=1.5)


@pytest.mark.parametrize("step", [2, 3, 4, 7, 16])
def test_thinning_out_takes_a_middle_pixel_of_every_whole_square(step: int) -> None:
    for height, width in ((step * 9, step * 12), (step * 9 + 1, step * 12 + step - 1), (step, step * 30 + step // 2)):
        picture = noise(height, width)

        thin = image._thinned(picture, step)

        # Of an even step both pixels beside the middle are as near.
        firsts = {(step - 1) // 2, step // 2}
        assert any(
            np.array_equal(thin, picture[top::step, left::step][: height // step, : width // step])
            for top in firsts
            for left in firsts
        )


def test_shrinking_leaves_the_image_alone() -> None:
    picture = noise(300, 400)
    before = picture.copy()

    image.shrink(picture, 64)

    np.testing.assert_array_equal(picture, before)


def test_a_similarity_is_found_again_from_its_points() -> None:
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) * 3.5
    points = np.random.default_rng(0).uniform(0, 100, (5, 2)).astype(np.float32)
    target = (points @ turn.T + [12.0, -7.0]).astype(np.float32)

    matrix = image.similarity(points, target)

    np.testing.assert_allclose(matrix, np.column_stack([turn, [12.0, -7.0]]), atol=1e-3)


def test_a_similarity_agrees_with_the_singular_value_form() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 5, 2)).astype(np.float32)

    matrix = image.similarity(source, target)

    np.testing.assert_allclose(matrix, umeyama(source, target), atol=1e-5)


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama 1991, eqs. 38-43, as printed."""
    here, there = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(there.T @ here / len(source))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ sign @ vt * (np.trace(np.diag(d) @ sign) / here.var(axis=0).sum())
    return np.column_stack([turn, target.mean(axis=0) - turn @ source.mean(axis=0)])


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(np.full((5, 2), 3.0, np.float32), id="all in one place"),
        pytest.param(np.full((5, 2), np.nan, np.float32), id="not a number"),
    ],
)
def test_points_that_fit_no_similarity_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no similarity"):
        image.align(noise(9, 9), points)


@pytest.mark.parametrize("share", [1.0, 0.9])
@pytest.mark.parametrize("size", [60, 112, 500], ids=["grown", "as it is", "shrunk"])
def test_aligning_puts_the_landmarks_where_the_network_expects_them(size: int, share: float) -> None:
    # A dot on each landmark of a face that is turned by some 16 degrees.
    turn = np.array([[0.96, -0.28], [0.28, 0.96]]) * size / 112
    landmarks = (image.ARCFACE_POINTS @ turn.T + size).astype(np.float32)
    rows, columns = np.mgrid[: 3 * size, : 3 * size]
    frame = np.zeros((3 * size, 3 * size), np.float32)
    for x, y in landmarks:
        frame += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (size / 40) ** 2))
    frame = (np.clip(frame, 0, 1) * 255).astype(np.uint8)

    aligned = image.align(np.repeat(frame[..., None], 3, axis=2), landmarks, 112, share)

    expected = ((image.ARCFACE_POINTS / 112 - 0.5) * share + 0.5) * 112
    for x, y in expected:
        left, top = round(float(x)) - 6, round(float(y)) - 6
        window = aligned[top : top + 13, left : left + 13, 0].astype(np.float64)
        centre_y, centre_x = np.einsum("yx,yxk->k", window, np.mgrid[:13, :13].transpose(1, 2, 0)) / (window.sum())
        assert abs(left + centre_x - x) < 0.75
        assert abs(top + centre_y - y) < 0.75


def test_a_fine_pattern_shrinks_to_grey_and_not_to_stripes() -> None:
    stripes = np.zeros((1120, 1120, 3), np.uint8)
    stripes[:, ::2] = 255

    aligned = image.align(stripes, image.ARCFACE_POINTS * 10)

    assert aligned[10:-10, 10:-10].std() < 10


def test_aligning_a_face_outside_the_image_gives_grey() -> None:
    aligned = image.align(noise(50, 50), image.ARCFACE_POINTS * 5 + 9000)

    assert (aligned == image.GREY).all()


@pytest.mark.parametrize(
    ("box", "margin", "shape"),
    [
        pytest.param([10, 20, 30, 50], 0.0, (30, 20), id="inside"),
        pytest.param([10, 20, 30, 50], 0.1, (36, 26), id="with a margin"),
        pytest.param([-5, -5, 10, 10], 0.0, (10, 10), id="over the rim"),
        pytest.param([200, 200, 210, 210], 0.0, (0, 0), id="outside"),
    ],
)
def test_a_crop_stays_within_the_image(box: list[float], margin: float, shape: tuple[int, int]) -> None:
    part = image.crop(noise(80, 100), np.array(box, np.float32), margin)

    assert part.shape[:2] == shape


def test_a_frame_becomes_a_jpeg_in_its_own_colours() -> None:
    frame = np.full((40, 60, 3), (200, 40, 10), np.uint8)

    seen = decode(image.encoded(frame))

    np.testing.assert_allclose(seen.astype(int), frame, atol=3)
