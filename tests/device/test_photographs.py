"""Facts about large photographs: what a decode at half their edges may change, and when it is not enough."""

import io

import numpy as np
import pytest
from PIL import Image

from kiosk.decoding.decoder import Decoder
from kiosk.device.device import HALVED_FACE_PX, Device, sides
from kiosk.device.enrol import Reference, assess
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.settings.config import Config
from tests.conftest import GOLDEN

SIZE = (2400, 3000)  # more pixels than are halved


@pytest.fixture(scope="module")
def networks():
    return load_recogniser(read_pack(standard_pack()), threads=1)


@pytest.fixture
def device(networks, store):
    with Decoder() as decoder:
        yield Device(networks, store, Config(), now=lambda: 0.0, decoder=decoder)


def photographed(edge):
    """Return a large photograph with a person's picture of this height in it."""
    with Image.open(GOLDEN / "person_a_1.jpg") as file:
        person = file.resize((round(edge * file.width / file.height), edge), Image.Resampling.LANCZOS)
    scene = Image.new("RGB", SIZE, (120, 130, 140))
    scene.paste(person, (200, 100))
    held = io.BytesIO()
    scene.save(held, "JPEG", quality=92)
    return held.getvalue()


def test_a_large_face_gives_the_same_box_and_nearly_the_same_template(device, networks):
    data = photographed(2600)

    halved, whole = device.analyse(data), networks.analyse(device.decoder(data))

    assert len(halved.entities) == len(whole.entities) == 1
    assert min(sides(whole.entities[0].bbox)) >= 2 * HALVED_FACE_PX
    assert np.abs(np.subtract(halved.entities[0].bbox, whole.entities[0].bbox)).max() <= 8
    assert float(halved.template.vector @ whole.template.vector) > 0.99


@pytest.mark.parametrize("turned", [0, 90])
def test_a_box_at_the_rim_lies_within_a_photograph_of_odd_edges(device, turned):
    with Image.open(GOLDEN / "person_a_1.jpg") as file:
        person = file.resize((4 * file.width, 4 * file.height), Image.Resampling.LANCZOS)
    scene = Image.new("RGB", (3001, 2401), (120, 130, 140))
    scene.paste(person, (3001 - 4 * 310, 100))  # the right third of the face is cut off
    held = io.BytesIO()
    scene.rotate(turned, expand=True).save(held, "JPEG", quality=92)

    seen = device.analyse(held.getvalue(), rotate=bool(turned))
    assessed = assess(device, held.getvalue(), rotate=bool(turned))

    assert seen.best_angle == turned
    assert 3000 <= seen.entities[0].bbox[2] <= 3001
    assert 3000 <= assessed.faces[0].box[2] <= 3001


def test_a_small_face_is_looked_at_in_all_its_pixels(device, networks):
    data = photographed(500)

    seen, whole = device.analyse(data), networks.analyse(device.decoder(data))

    assert seen.entities == whole.entities
    np.testing.assert_array_equal(seen.template.vector, whole.template.vector)


def test_a_large_photograph_without_a_face_has_none(device):
    held = io.BytesIO()
    Image.new("RGB", SIZE, (120, 130, 140)).save(held, "JPEG")

    assert device.analyse(held.getvalue()).entities == ()


@pytest.mark.parametrize("rotate", [False, True])
def test_a_reference_of_a_large_face_is_nearly_that_of_the_whole_picture(device, networks, rotate):
    data = photographed(2600)
    picture = device.decoder(data)
    whole = networks.analyse(picture, rotate=rotate)

    assessed = assess(device, data, rotate=rotate)

    assert isinstance(assessed.outcome, Reference)
    assert assessed.quality is not None
    assert float(assessed.outcome.template.vector @ whole.template.vector) > 0.99
    (face,) = assessed.faces
    assert np.abs(face.box - whole.entities[0].bbox).max() <= 8
    exact = networks.sharpen(picture, networks.detect(picture)[0])
    eyes = float(np.linalg.norm(exact.landmarks[1] - exact.landmarks[0]))
    assert assessed.quality.eye_distance_px == pytest.approx(eyes, rel=0.03)


def test_a_reference_of_a_small_face_is_made_of_all_pixels(device, networks):
    data = photographed(500)

    assessed, whole = assess(device, data), networks.analyse(device.decoder(data))

    assert assessed.template is not None
    np.testing.assert_array_equal(assessed.template.vector, whole.template.vector)
    assert np.abs(assessed.faces[0].box - whole.entities[0].bbox).max() <= 1


def test_a_large_photograph_without_a_face_gives_no_reference(device):
    held = io.BytesIO()
    Image.new("RGB", SIZE, (120, 130, 140)).save(held, "JPEG")

    outcome = assess(device, held.getvalue()).outcome

    assert not isinstance(outcome, Reference)
    assert outcome.kind == "no_face"
