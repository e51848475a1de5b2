"""Dark faces are brought to light; how well the model knew a face says whether it will be known again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kiosk.networks.inference import load_recogniser, read_pack
from kiosk.recognition.embed import BRIGHT, DARK, Embedder, lit
from kiosk.recognition.image import window
from kiosk.recognition.match import compare
from kiosk.recognition.pipeline import Recogniser
from kiosk.recognition.quality import luminance, objection_to
from kiosk.types import Face, Floats, RgbImage, Template

MODELS = Path(__file__).parent.parent.parent / "models"
LANDMARKS = np.array([[0, 0], [9, 0], [5, 5], [1, 9], [8, 9]], np.float32)  # of a small face


class Features:
    """Gives the features it was made with."""

    def __init__(self, *values: float) -> None:
        self._values = np.array([values], np.float32)

    def run(self, _tensor: np.ndarray) -> list[Floats]:
        """Return them."""
        return [self._values]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    """Give the real networks."""
    return load_recogniser(read_pack(MODELS))


def darkened(image: RgbImage, share: float) -> RgbImage:
    """Return the picture by a share of its light, with a sensor's noise."""
    rng = np.random.default_rng(0)
    light = rng.poisson(image.astype(np.float32) * share * 6) / 6 + rng.normal(0, 2.0, image.shape)
    return np.asarray(np.clip(light + 0.5, 0, 255), np.uint8)


def grey(level: int) -> RgbImage:
    return np.full((112, 112, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("level", "is_changed"),
    [(int(DARK) - 1, True), (int(DARK), False), (200, False)],
    ids=["dark", "at the limit", "bright"],
)
def test_only_dark_faces_are_brought_to_light(level: int, *, is_changed: bool) -> None:
    crop = grey(level)

    seen = lit(crop)

    assert (seen is not crop) is is_changed
    if is_changed:
        assert luminance(seen) == pytest.approx(BRIGHT, abs=1)


def test_a_black_crop_does_no_harm() -> None:
    assert lit(grey(0)).max() <= 1


def test_a_face_at_a_tenth_of_the_light_is_known_again(recogniser: Recogniser, person_a: RgbImage) -> None:
    bright = recogniser.analyse(person_a).template
    face = recogniser.sharpen(person_a, recogniser.detect(person_a)[0])
    dark = darkened(person_a, 0.1)

    mended = recogniser.extract(dark, face)

    assert bright is not None
    assert recogniser.scale.score(compare(bright, mended)) >= 90


def test_a_reference_averaged_with_its_mirror_image_is_as_far_from_both(
    recogniser: Recogniser, person_a: RgbImage
) -> None:
    face = recogniser.sharpen(person_a, recogniser.detect(person_a)[0])
    flipped = np.ascontiguousarray(person_a[:, ::-1])
    points = face.landmarks[[1, 0, 2, 4, 3]]
    points[:, 0] = person_a.shape[1] - 1 - points[:, 0]
    turned = Face(face.box, points, face.confidence)
    assert recogniser.extract_with_mirror is not None

    reference = recogniser.extract_with_mirror(person_a, face)

    plain, mirrored = recogniser.extract(person_a, face), recogniser.extract(flipped, turned)
    assert compare(reference, plain) == pytest.approx(compare(reference, mirrored), abs=0.01)
    assert recogniser.scale.score(compare(reference, plain)) >= 99
    assert (reference.model, reference.quality) == (plain.model, plain.quality)


@pytest.mark.parametrize(
    ("norm", "quality"),
    [(5.0, 0.0), (7.0, 0.0), (11.0, 50.0), (15.0, 100.0), (20.0, 100.0)],
)
def test_quality_is_the_length_of_the_features_on_a_scale(norm: float, quality: float, person_a: RgbImage) -> None:
    embedder = Embedder(Features(norm, 0.0), "m", 2, norm_zero=7.0, norm_full=15.0)

    template = embedder.extract(person_a, Face(np.zeros(4, np.float32), LANDMARKS, 1.0))

    assert template.quality == pytest.approx(quality)


def test_a_model_whose_scale_is_not_known_tells_no_quality(person_a: RgbImage) -> None:
    embedder = Embedder(Features(9.0, 0.0), "m", 2)

    template = embedder.extract(person_a, Face(np.zeros(4, np.float32), LANDMARKS, 1.0))

    assert template.quality is None
    assert objection_to(template) is None


@pytest.mark.parametrize(("quality", "is_refused"), [(24.9, True), (25.0, False), (80.0, False)])
def test_enrolment_refuses_what_the_model_hardly_knew(quality: float, *, is_refused: bool) -> None:
    said = objection_to(Template(np.array([1.0, 0.0], np.float32), "m", quality))

    assert (said is not None) is is_refused


def test_what_is_no_face_has_less_quality_than_a_face(recogniser: Recogniser, person_a: RgbImage) -> None:
    (found,) = recogniser.detect(person_a)
    wall = np.random.default_rng(0).integers(90, 130, person_a.shape, np.uint8)

    face, nothing = (recogniser.extract(image, recogniser.sharpen(person_a, found)) for image in (person_a, wall))

    assert face.quality is not None
    assert nothing.quality is not None
    assert nothing.quality < 25.0
    assert face.quality > 50.0


def test_a_window_beyond_the_rim_is_black_there() -> None:
    picture = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3) + 1

    inside, beyond = window(picture, (1, 1), 3), window(picture, (-2, -1), 4)

    np.testing.assert_array_equal(inside, picture[1:4, 1:4])
    np.testing.assert_array_equal(beyond[1:, 2:], picture[:3, :2])
    assert beyond[0].max() == beyond[:, :2].max() == 0
    assert window(picture, (50, 50), 4).max() == 0
