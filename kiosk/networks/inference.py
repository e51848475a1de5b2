"""From manifest to loaded networks: which files, whether they are the ones we measured, and what runs them.

Two runtimes keep the one-method `Session` protocol of types.py: onnxruntime (the default) and LiteRT, by the
file's suffix. Nothing falls back: a file that is missing or changed, a runtime that is not there, a wish for
a model that the pack does not hold, each refuses with a sentence.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelFileError
from kiosk.recognition.attributes import Describer
from kiosk.recognition.detect import Detector
from kiosk.recognition.embed import Embedder
from kiosk.recognition.glance import Glance
from kiosk.recognition.image import rotate
from kiosk.recognition.match import ScoreScale
from kiosk.recognition.pipeline import Recogniser
from kiosk.recognition.yunet import YuNet
from kiosk.types import Floats, Session

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST_NAME = "manifest.toml"
MANIFEST_FORMAT = 1
TASKS = ("finder", "mesh", "recogniser", "attributes", "liveness", "mrz")
DEFAULT_PROVIDERS = ("CPUExecutionProvider",)

Note = Callable[[str], None]
"""Takes a sentence that the operator must see; the shell prints or logs it."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model file, as the manifest describes it."""

    task: str
    path: Path
    sha256: str
    licence: str
    is_commercial: bool  # whether the licence allows commercial use
    about: Mapping[str, Any] = field(repr=False)  # the whole entry: source, input, output, card
    options: Mapping[str, Any] = field(default_factory=dict)  # numbers that belong to the model

    @property
    def is_optional(self) -> bool:
        """Whether a kiosk decides at its door without the file."""
        return bool(self.about.get("optional", False))

    @property
    def shapes(self) -> Sequence[str]:
        """What the edges of its input are called, first height, where it takes pictures of several sizes."""
        names: Sequence[str] = self.about.get("shapes", ())
        return names

    @property
    def templates(self) -> str:
        """The digest that its templates carry: an earlier file's, where the same templates come of both."""
        return str(self.about.get("templates", self.sha256))

    @property
    def processor(self) -> str | None:
        """What a processor must have for the file to be the faster one, in Linux's words; None for any processor."""
        return self.about.get("processor")

    @property
    def runtime(self) -> str:
        """The suffix that decides who runs it: "onnx" or "tflite"."""
        return self.path.suffix.lstrip(".")


@dataclass(frozen=True, slots=True)
class Pack:
    """A set of models that were measured together."""

    name: str
    directory: Path
    models: tuple[ModelSpec, ...]
    scale: ScoreScale
    measured: Mapping[str, Any] = field(repr=False)  # counts and bounds behind the scale
    golden: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def spec(self, task: str, runtime: str | None = None, features: Collection[str] = ()) -> ModelSpec:
        """Return the model for a task: the first, or the first for a runtime.

        Args:
            task: one of TASKS.
            runtime: "onnx" or "tflite"; None for either.
            features: of the processor; a file that wants others is passed over.

        Raises:
            ModelFileError: the pack holds none.
        """
        for model in self.models:
            suits = model.processor is None or model.processor in features
            if model.task == task and runtime in (None, model.runtime) and suits:
                return model
        known = ", ".join(sorted({model.runtime for model in self.models if model.task == task})) or "none"
        raise ModelFileError(f"pack {self.name} has no {runtime or ''} model for {task}; it has {known}")

    @property
    def template_model(self) -> str:
        """The digest that templates carry, of the recogniser's file. Templates of two never compare."""
        return self.spec("recogniser").templates


@cache
def processor_features() -> frozenset[str]:
    """Return what this processor has, in Linux's words; nothing where Linux does not say or another system runs."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in told.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


def standard_pack() -> Path:
    """Return where the models that travel with the kiosk lie: beside the package, or inside an installed one."""
    package = Path(__file__).resolve().parent.parent
    beside, inside = package.parent / "models", package / "models"
    return beside if (beside / MANIFEST_NAME).is_file() else inside


def read_pack(directory: Path, *, unmeasured: ScoreScale | None = None) -> Pack:
    """Read a pack's manifest; the files are checked when they are opened.

    Args:
        directory: of the pack.
        unmeasured: the scale of a pack that has none yet, for whoever measures it; None: such a pack is refused.

    Raises:
        ModelFileError: there is no manifest, or it cannot be read, or its scale was not measured.
    """
    path = directory / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
        if content["format"] != MANIFEST_FORMAT:
            raise ModelFileError(f"{path} has format {content['format']}, this kiosk reads {MANIFEST_FORMAT}")
        told = content.get("scale", {})
        scale = _scale(told) if "scale" in content else unmeasured
        if scale is None:
            raise ModelFileError(
                f"{path} has no [scale]: what its scores mean was not measured yet. kiosk evaluate match DIR "
                "--write-scale does, DIR having a folder of photographs for each of 150 people or more"
            )
        return Pack(
            name=content["name"],
            directory=directory,
            models=tuple(_spec(directory, entry) for entry in content["model"]),
            scale=scale,
            measured=told,
            golden=content.get("golden", {}),
        )
    except OSError as error:
        raise ModelFileError(f"no model pack at {directory}: {error.strerror}; set [models] pack") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is not a manifest: {type(error).__name__} {error}") from error


def _scale(told: Mapping[str, Any]) -> ScoreScale:
    return ScoreScale(tuple(map(float, told["cosine"])), tuple(map(float, told["rarity"])))


def _spec(directory: Path, entry: Mapping[str, Any]) -> ModelSpec:
    if entry["task"] not in TASKS:
        raise ValueError(f"task {entry['task']!r} is none of {', '.join(TASKS)}")
    return ModelSpec(
        task=entry["task"],
        path=directory / Path(entry["file"]).name,
        sha256=entry["sha256"],
        licence=entry["licence"],
        is_commercial=bool(entry.get("commercial", False)),
        about=entry,
        options=entry.get("options", {}),
    )


def checked(spec: ModelSpec) -> bytes:
    """Return a model file's bytes, if they are the ones in the manifest.

    Raises:
        ModelFileError: the file is missing, unreadable or changed.
    """
    try:
        content = spec.path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{spec.path}: {error.strerror}; install the kiosk again or restore the file") from error
    if hashlib.sha256(content).hexdigest() != spec.sha256:
        raise ModelFileError(
            f"{spec.path} is not the file in {MANIFEST_NAME}: it was changed or damaged; "
            "install the kiosk again or restore the file"
        )
    return content


def open_session(
    spec: ModelSpec,
    *,
    threads: int = 1,
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    note: Note | None = None,
) -> Session:
    """Load a model after checking that its file is the one that was measured.

    Args:
        spec: from a pack.
        threads: that one run may use.
        providers: onnxruntime's execution providers, best first, for instance TensorrtExecutionProvider.
        note: told of each provider that is listed but not there.

    Raises:
        ModelFileError: the digest differs, or no runtime here takes the file.
    """
    content = checked(spec)
    if spec.runtime == "onnx":
        there = _present(providers, spec, note)
        return (ShapedSession if spec.shapes else OnnxSession)(content, spec, threads, there)
    if spec.runtime == "tflite":
        return LiteRtSession(content, spec, threads)
    raise ModelFileError(f"{spec.path}: no runtime for {spec.path.suffix}; want .onnx or .tflite")


def _present(providers: Sequence[str], spec: ModelSpec, note: Note | None) -> list[str]:
    import onnxruntime  # noqa: PLC0415  0.1 s; a kiosk that runs .tflite only need not have it

    there = set(onnxruntime.get_available_providers())
    for provider in providers:
        if provider not in there and note is not None:
            note(
                f"{provider} is listed in [models] providers but this onnxruntime does not have it: "
                f"{spec.path.name} runs without; it has {', '.join(sorted(there))}"
            )
    found = [provider for provider in providers if provider in there]
    if not found:
        raise ModelFileError(
            f"{spec.path.name}: none of [models] providers {', '.join(providers)} is there; "
            f"this onnxruntime has {', '.join(sorted(there))}"
        )
    return found


@cache
def share_arena() -> None:
    """Make the one arena that all networks of this process compute in; it grows by what is asked for."""
    import onnxruntime  # noqa: PLC0415  see _present

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    same_as_requested, chosen_by_onnxruntime = 1, -1
    sizes = {
        "max_mem": 0,  # no limit
        "arena_extend_strategy": same_as_requested,
        "initial_chunk_size_bytes": 1 << 20,
        "max_dead_bytes_per_chunk": chosen_by_onnxruntime,
    }
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(sizes))


@contextmanager
def _as_file(content: bytes, providers: Sequence[str]) -> Iterator[str | bytes]:
    """Give the bytes that were checked as a file in memory, as a session of onnxruntime keeps bytes for good: 12 MB.

    A provider that compiles networks and names what it made after the file, TensorRT, gets the bytes as they are.
    """
    if tuple(providers) != DEFAULT_PROVIDERS:
        yield content
        return
    with os.fdopen(os.memfd_create("kiosk-network", os.MFD_CLOEXEC), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


class OnnxSession:
    """A model run by onnxruntime; safe in several threads."""

    def __init__(
        self, content: bytes, spec: ModelSpec, threads: int, providers: list[str], shape: Sequence[int] = ()
    ) -> None:
        """Load a network, for pictures of one shape (height, width) where it would take several."""
        import onnxruntime  # noqa: PLC0415  see _present

        options = onnxruntime.SessionOptions()
        for name, length in zip(spec.shapes, shape, strict=True):
            options.add_free_dimension_override_by_name(name, length)
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; its warnings are about graphs that we have measured
        # One arena for all networks, weights beside it: 17 MB less than one each. Without any, each run asks the system
        # for its pages anew, which took the finder as long as its arithmetic.
        share_arena()
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        # Idle threads that spin would heat a Pi between two visitors.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for name, value in spec.about.get("session", {}).items():
            options.add_session_config_entry(name, str(value))
        try:
            with _as_file(content, providers) as source:
                self._session = onnxruntime.InferenceSession(source, options, providers=providers)
        except Exception as error:
            raise ModelFileError(f"{spec.path}: onnxruntime cannot load it: {_first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        self._outputs = list(spec.about["outputs"])
        missing = set(self._outputs) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise ModelFileError(f"{spec.path} has no output {', '.join(sorted(missing))}, which the manifest names")
        self.input_shape: tuple[int | str | None, ...] = tuple(self._session.get_inputs()[0].shape)
        self._is_planar = spec.about.get("layout") == "planar"
        self._mean, self._divisor = float(spec.about.get("mean", 0.0)), float(spec.about.get("divisor", 1.0))
        self._is_bgr = spec.about.get("colour") == "bgr"
        self._name = spec.path.name

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs, in the order in which the manifest names them."""
        if self._is_bgr:
            tensor = np.ascontiguousarray(tensor[..., ::-1])
        if self._is_planar:  # a network that wants (1, 3, H, W) float32 where ours take (1, H, W, 3) uint8
            planar = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2), np.float32)
            if (self._mean, self._divisor) != (0.0, 1.0):
                planar = (planar - np.float32(self._mean)) / np.float32(self._divisor)
            tensor = planar
        try:
            return list(self._session.run(self._outputs, {self._input: tensor}))
        except Exception as error:
            raise ModelFileError(f"{self._name}: onnxruntime failed: {_first_line(error)}") from error


class ShapedSession:
    """A network for pictures of several shapes; safe in several threads.

    Each shape has a session of its own, made with the first such picture: onnxruntime takes a tenth longer where it
    does not know the shape beforehand. One takes 2 MB and some 20 ms to make.
    """

    def __init__(self, content: bytes, spec: ModelSpec, threads: int, providers: list[str]) -> None:
        """Load it for squares, so that a file which cannot be run is refused now."""
        side = int(spec.options["side"])
        self._open = partial(OnnxSession, content, spec, threads, providers)
        self._opening = threading.Lock()
        self._sessions = {(side, side): self._open((side, side))}

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs for a (1, H, W, 3) picture, in the order in which the manifest names them."""
        shape = tensor.shape[1], tensor.shape[2]
        session = self._sessions.get(shape)
        if session is None:
            with self._opening:
                session = self._sessions.get(shape) or self._open(shape)
                self._sessions[shape] = session
        return session.run(tensor)


class LiteRtSession:
    """A model run by LiteRT, or by tflite-runtime where that is what is installed; one run at a time."""

    def __init__(self, content: bytes, spec: ModelSpec, threads: int) -> None:
        self._interpreter = _interpreter(content, spec, threads)
        self._input = self._interpreter.get_input_details()[0]
        details = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        try:
            self._outputs = [details[name] for name in spec.about["outputs"]]
        except KeyError as error:
            raise ModelFileError(f"{spec.path} has no output {error}; it has {', '.join(sorted(details))}") from error
        self._lock = threading.Lock()  # an interpreter holds its tensors; two runs would mix them

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs, in the order in which the manifest names them."""
        with self._lock:
            self._interpreter.set_tensor(self._input["index"], np.asarray(tensor, self._input["dtype"]))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index).astype(np.float32) for index in self._outputs]


def _interpreter(content: bytes, spec: ModelSpec, threads: int) -> Any:
    """Build an interpreter: an import alone proves nothing, tflite-runtime imports beside NumPy 2 and then fails."""
    reasons = []
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            library = __import__(module, fromlist=["Interpreter"])
            interpreter = library.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        except Exception as error:  # noqa: BLE001  ImportError, SystemError, RuntimeError, ValueError: all mean "not this one"
            reasons.append(f"{module.split('.', maxsplit=1)[0]}: {_first_line(error)}")
        else:
            return interpreter
    raise ModelFileError(f"{spec.path}: no LiteRT runs it ({'; '.join(reasons)}); pip install 'face-kiosk[tflite]'")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def load_recogniser(
    pack: Pack,
    *,
    threads: int = 1,
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    finder_runtime: str = "onnx",
    note: Note | None = None,
) -> Recogniser:
    """Check and load every model of a pack that the decision line needs.

    Raises:
        ModelFileError: one is missing, changed, or cannot run here; the sentence says which.
    """
    open_ = partial(open_session, threads=threads, providers=providers, note=note)
    is_usual = tuple(providers) == DEFAULT_PROVIDERS
    finder = pack.spec("finder", finder_runtime, processor_features() if is_usual else ())
    recogniser, attributes = pack.spec("recogniser"), pack.spec("attributes")
    detector: Detector | YuNet
    options = dict(finder.options)
    if not is_usual:  # others compile a network for minutes: for one shape, then
        for name in ("shorter", "anew"):
            options.pop(name, None)
    if finder.about.get("kind") == "yunet":
        detector = YuNet(network=open_(finder), **options)
    else:
        detector = Detector(finder=open_(finder), mesh=open_(pack.spec("mesh")), **options)
    embedder = Embedder(network=open_(recogniser), model=pack.template_model, **recogniser.options)
    describer = Describer(network=open_(attributes), **attributes.options)
    return Recogniser(
        detect=detector.detect,
        glance=Glance(partial(detector.detect, thorough=False) if isinstance(detector, Detector) else detector.detect),
        find_upright=detector.find_upright,
        turn=rotate,
        refine=detector.refine,
        extract=embedder.extract,
        describe=describer.describe,
        scale=pack.scale,
        model=pack.template_model,
        extract_with_mirror=embedder.extract_with_mirror,
        trace=detector.trace if isinstance(detector, Detector) else None,
    )
