"""Facts about the network that tells photographs from people: removed, changed, slow, and well again."""

import shutil

import pytest

from kiosk.errors import ModelFileError
from kiosk.networks.detection import SLOW_RUNS, Detection
from kiosk.networks.inference import load_recogniser, read_pack
from kiosk.recognition.cues import CueLimits
from tests.conftest import MODELS, read


@pytest.fixture
def pack(tmp_path):
    """Give a folder of models that a test may spoil."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copytree(MODELS / "golden", folder / "golden")
    for path in (*MODELS.glob("*.onnx"), MODELS / "manifest.toml"):
        shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def detect():
    return load_recogniser(read_pack(MODELS)).detect


@pytest.fixture
def detection(pack, detect):
    return Detection(lambda: read_pack(pack), detect, CueLimits())


def test_before_its_test_there_is_no_network(detection):
    with pytest.raises(ModelFileError, match="not passed its test"):
        detection.network()


def test_the_golden_presentations_come_out_on_their_own_sides(detection):
    said = detection.test()

    assert said.startswith("2 photographs of people came out")
    assert detection.network().model == read_pack(MODELS).spec("liveness").sha256


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda pack: (pack / "liveness.onnx").unlink(), id="removed"),
        pytest.param(lambda pack: (pack / "liveness.onnx").write_bytes(b"another network"), id="changed"),
        pytest.param(
            lambda pack: shutil.copy(
                pack / "golden" / "presentation_bona_fide_1.jpg", pack / "golden" / "presentation_print.jpg"
            ),
            id="a golden attack that is none",
        ),
    ],
)
def test_a_network_that_is_spoilt_while_it_runs_is_none_after_the_next_test_until_it_is_mended(detection, pack, spoil):
    detection.test()
    spoil(pack)

    with pytest.raises(ModelFileError):
        detection.test()
    with pytest.raises(ModelFileError):
        detection.network()
    shutil.copy(MODELS / "liveness.onnx", pack / "liveness.onnx")
    shutil.copy(MODELS / "golden" / "presentation_print.jpg", pack / "golden" / "presentation_print.jpg")

    assert detection.tested().model == detection.network().model


def test_a_network_that_is_too_slow_fails_and_one_slow_run_does_not(pack, detect):
    now = {"s": 0.0, "takes_s": 0.01}

    def clock():
        now["s"] += now["takes_s"] / 2
        return now["s"]

    detection = Detection(lambda: read_pack(pack), detect, CueLimits(), clock=clock)
    detection.test()
    image = read(MODELS / "golden" / "presentation_bona_fide_1.jpg")
    face = detect(image)[0]
    network = detection.network()

    now["takes_s"] = 2.0
    for _ in range(SLOW_RUNS - 1):
        network.judge(image, face)
    with pytest.raises(ModelFileError, match=r"took 1\.0 s"):
        network.judge(image, face)
    with pytest.raises(ModelFileError):
        detection.test()
