"""What several test modules need: the real models, real photographs, a fresh store."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

from kiosk.networks.inference import load_recogniser, open_session, read_pack
from kiosk.recognition.detect import Detector
from kiosk.recognition.pipeline import Recogniser
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.store import Store
from kiosk.store.vault import Cipher
from kiosk.types import RgbImage
from tests.store.stored import Clock

# A machine's pace is no fact about the code, and the same commit must give the same examples.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

# Tests start Python some hundreds of times; without byte code each start would compile the whole kiosk anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Stores wait for their disk a hundred times each, and no test can take this machine's power away: files lie in memory
# where there is much of it, and may be run there. Those of a test that passed go at once (pyproject.toml).
MEMORY, ENOUGH_BYTES = "/dev/shm", 4 << 30
if os.access(MEMORY, os.W_OK) and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
    room = os.statvfs(MEMORY)
    if room.f_bavail * room.f_frsize >= ENOUGH_BYTES and not room.f_flag & os.ST_NOEXEC:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = MEMORY

# Tests talk to this machine alone: a proxy could not reach it, and other people's clients, here and in the processes
# that tests start, would ask it. A test about proxies sets its own.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
GOLDEN = ROOT / "tests" / "golden"
SHARED_FACES = ROOT.parent / "shared" / "faces"


BEGUN_FIRST = [
    "test_updates",
    "web/test_operator",
    "cli/test_run",
    "web/test_screen",
    "fleet/test_updates",
    "cli/test_exits",
    "fleet/test_two_kiosks",
    "recognition/test_detect",
    "web/test_fleet_page",
    "recognition/test_liveness",
    "cli/test_main",
    "entrance/test_furniture",
    "web/test_setup",
    "web/test_session",
    "web/test_people_and_decisions",
    "api/test_openapi",
    "store/test_faults",
    "cli/test_simulate",
    "api/test_documents",
    "daemon/test_pass_watch",
    "test_appliance",
    "web/test_docs_page",
    "integrations/test_osdp_reader",
    "web/test_screen_challenges",
    "evaluation/test_pad",
    "web/test_live",
    "fleet/test_several_hubs",
    "fleet/test_drill",
    "entrance/test_liveness_step",
    "decoding/test_decoder",
    "cli/test_accept",
    "integrations/test_duress",
    "entrance/test_evening",
    "documents/test_reading",
    "store/test_retention",
    "networks/test_own_pack",
    "store/test_backup",
    "gallery/test_gallery",
    "cloud/test_drill",
    "web/test_settings",
    "web/test_operators",
    "web/test_factors",
]
"""The files that take longest, those that mostly wait between those that mostly compute: whoever runs tests side by
side, a file each, would else wait for the last of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    places = {ROOT / "tests" / f"{name}.py": place for place, name in enumerate(BEGUN_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Spare the collector thousands of tests and all modules, which stay to the end: some tests call it often."""
    gc.collect()
    gc.freeze()


@functools.cache
def networks() -> Recogniser:
    """Return the networks of this repository; they are loaded once for all the tests of a process."""
    return load_recogniser(read_pack(MODELS))


@pytest.fixture(scope="session", params=["onnxruntime", "litert"])
def detector(request: pytest.FixtureRequest) -> Detector:
    """Give the detector through either runtime; the mesh exists as ONNX only."""
    pack = read_pack(MODELS)
    finder = pack.spec("finder", {"onnxruntime": "onnx", "litert": "tflite"}[request.param])
    return Detector(open_session(finder), open_session(pack.spec("mesh")), **finder.options)


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


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a command keeps its state: a place of the test's own, without settings from the machine."""
    for name in [name for name in os.environ if name.startswith("KIOSK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KIOSK_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def clock() -> Clock:
    """Return the clock of `store`, which moves when told."""
    return Clock()


@pytest.fixture
def directory(tmp_path: Path, clock: Clock) -> Path:
    """Return a fresh state directory."""
    initialise(tmp_path / "state", now=clock, cipher=Cipher.AES_256_GCM).close()
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path, clock: Clock) -> Iterator[Store]:
    """Return the store in it."""
    with open_store(directory, read_keys(directory), now=clock) as store:
        yield store
