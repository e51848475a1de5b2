"""What several test modules need: the real models and real photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kiosk.detect import Detector
from kiosk.types import Floats, RgbImage

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
GOLDEN = ROOT / "tests" / "golden"
SHARED_FACES = ROOT.parent / "shared" / "faces"


class OnnxSession:
    """One thread of onnxruntime; stands in until kiosk/inference.py is there."""

    def __init__(self, path: Path) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def run(self, tensor: np.ndarray) -> list[Floats]:
        """Return the outputs in the graph's order."""
        return list(self._session.run(None, {self._input: tensor}))


class LiteRtSession:
    """One thread of LiteRT; stands in likewise."""

    def __init__(self, path: Path) -> None:
        interpreter = pytest.importorskip("ai_edge_litert.interpreter")
        self._interpreter = interpreter.Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [item["index"] for item in self._interpreter.get_output_details()]

    def run(self, tensor: np.ndarray) -> list[Floats]:
        """Return the outputs in the graph's order."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@pytest.fixture(scope="session", params=["onnxruntime", "litert"])
def detector(request: pytest.FixtureRequest) -> Detector:
    """Give the detector through either runtime; the mesh exists as ONNX only."""
    if request.param == "litert":
        finder: OnnxSession | LiteRtSession = LiteRtSession(MODELS / "face_finder.tflite")
    else:
        finder = OnnxSession(MODELS / "face_finder.onnx")
    return Detector(finder, OnnxSession(MODELS / "face_mesh.onnx"))


def read(path: Path) -> RgbImage:
    """Return a photograph as (H, W, 3) uint8 RGB."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


@pytest.fixture(scope="session")
def read_photo() -> Callable[[Path], RgbImage]:
    """Give the function that reads a photograph."""
    return read


@pytest.fixture(scope="session")
def person_a() -> RgbImage:
    """Give an official portrait; see golden/README.md."""
    return read(GOLDEN / "person_a_1.jpg")


@pytest.fixture(scope="session")
def person_b() -> RgbImage:
    """Give an official portrait of someone else."""
    return read(GOLDEN / "person_b_1.jpg")


@pytest.fixture(scope="session")
def shared_faces() -> Path:
    """Give the photographs for developing, which are not part of the repository."""
    if not SHARED_FACES.is_dir():
        pytest.skip("no development photographs beside this repository")
    return SHARED_FACES
