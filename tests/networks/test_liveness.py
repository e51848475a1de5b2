"""The passive cue's network and its golden pictures: what is missing, changed or broken opens nothing."""

import shutil

import numpy as np
import pytest

from kiosk.errors import ConfigError, ModelFileError
from kiosk.networks.inference import load_recogniser, read_pack
from kiosk.networks.liveness import check_golden_pictures, is_calibrated, liveness_limits, load_spoof_network
from kiosk.recognition.cues import SpoofNetwork, network_view
from kiosk.recognition.pad_levels import SENTENCES, Level
from kiosk.settings.config import load_config
from kiosk.settings.sections import PadSettings
from tests.conftest import MODELS


@pytest.fixture(scope="module")
def pack():
    return read_pack(MODELS)


@pytest.fixture(scope="module")
def detect(pack):
    return load_recogniser(pack).detect


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(MODELS, tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "sface*", "age*"))


class Swapped:
    """A runtime that takes people for pictures."""

    def run(self, _):
        return [np.array([[0.0, 1.0, 0.0]], np.float32)]


def test_the_golden_pictures_come_out_on_their_sides(pack, detect):
    assert check_golden_pictures(pack, load_spoof_network(pack), detect).startswith("2 photographs of people")


def test_a_network_that_judges_otherwise_than_it_did_is_told(pack, detect):
    with pytest.raises(ModelFileError, match=r"came out with 0\.00"):
        check_golden_pictures(pack, SpoofNetwork(Swapped(), "x"), detect)


def test_a_golden_picture_that_is_gone_is_told(copy, detect):
    (copy / "golden" / "presentation_print.jpg").unlink()
    pack = read_pack(copy)

    with pytest.raises(ModelFileError, match="presentation_print"):
        check_golden_pictures(pack, load_spoof_network(pack), detect)


def test_a_pack_without_golden_pictures_shows_nothing(copy, detect):
    manifest = copy / "manifest.toml"
    text = manifest.read_text(encoding="utf-8").replace("golden.presentation", "golden.other")
    manifest.write_text(text, encoding="utf-8")
    pack = read_pack(copy)

    with pytest.raises(ModelFileError, match="nothing was shown"):
        check_golden_pictures(pack, load_spoof_network(pack), detect)


def test_a_changed_network_is_not_loaded(copy):
    path = copy / "liveness.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(ModelFileError, match="changed or damaged"):
        load_spoof_network(read_pack(copy))


def test_a_missing_network_is_not_loaded(copy):
    (copy / "liveness.onnx").unlink()

    with pytest.raises(ModelFileError, match=r"liveness\.onnx"):
        load_spoof_network(read_pack(copy))


def test_the_manifest_says_that_the_training_data_is_not_documented(pack):
    assert "not documented" in pack.spec("liveness").about["training_data"]


@pytest.mark.parametrize(
    ("box", "view"),
    [
        pytest.param((270, 190, 370, 290), (185, 105, 455, 375), id="in the middle"),
        pytest.param((0, 0, 100, 100), (0, 0, 270, 270), id="in a corner it is moved inside"),
        pytest.param((100, 10, 540, 470), (90.5, 0, 548.8, 479), id="a large face gets what there is"),
    ],
)
def test_the_network_sees_the_surroundings_that_there_are(box, view):
    found = network_view((480, 640), np.array(box, np.float32), 2.7)

    np.testing.assert_allclose(found, view, atol=1.5)
    assert (found >= 0).all()
    assert (found <= [640, 480, 640, 480]).all()


def test_the_level_follows_the_screen_where_none_is_set():
    assert PadSettings().chosen_level == Level.PASSIVE.value
    assert PadSettings(screen=True).chosen_level == Level.ACTIVE.value
    assert PadSettings(level="off", screen=True).chosen_level == "off"


@pytest.mark.parametrize("level", ["active", "strict"])
def test_a_challenge_without_a_screen_is_refused(level):
    with pytest.raises(ConfigError, match="set screen = true"):
        load_config(None, {"KIOSK_PAD_LEVEL": level})


def test_every_level_has_one_true_sentence():
    assert set(SENTENCES) == set(Level)


def test_settings_reach_the_judgement(pack):
    network = load_spoof_network(pack)
    settings = PadSettings(turn_deg=30.0, network_low=0.3, answer_s=8.0, calibrated_for=network.model)

    limits = liveness_limits(settings)

    assert (limits.challenges.turn_deg, limits.cues.network_low, limits.challenges.answer_s) == (30.0, 0.3, 8.0)
    assert is_calibrated(settings, network.model)
    assert not is_calibrated(PadSettings(), network.model)
    assert liveness_limits(PadSettings()) == liveness_limits(PadSettings())


def test_the_defaults_of_settings_and_judgement_are_the_same():
    from kiosk.recognition.judgement import LivenessLimits

    assert liveness_limits(PadSettings()) == LivenessLimits()
