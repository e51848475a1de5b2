"""A pack of the owner's own: another recogniser beside the standard pack's other networks, under a name of its own.

What cannot be right is found before anything is written: another input than the manifest says, another output, and a
network that does not tell the golden faces apart, which is what swapped colours or a wrong normalisation look like. The
scale is not taken over: scores are false-match rates of one model, so the pack has none until its own are measured.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.errors import ModelFileError
from kiosk.networks.inference import (
    MANIFEST_FORMAT,
    MANIFEST_NAME,
    ModelSpec,
    OnnxSession,
    load_recogniser,
    open_session,
    read_pack,
    standard_pack,
)
from kiosk.recognition.match import ScoreScale, compare
from kiosk.recognition.photo import decode
from kiosk.types import Template

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNMEASURED = ScoreScale((-0.5, 0.9), (0.0, 8.0))
"""Stands in while a pack's own scale is measured; no score of it is ever shown."""

LEAST_GAP = 0.2
"""Between the golden faces' cosines, one person's and two people's: a recogniser has .5 or more, wrong input .1."""

MOST_BYTES = 1 << 30
WANTED = ("name", "licence", "commercial", "outputs", "length", "side")
KNOWN = (*WANTED, "sha256", "training_data", "source", "layout", "colour", "mean", "divisor", "norm_zero", "norm_full")
EXAMPLE = """\
name = "my-pack"
licence = "MIT"
commercial = true          # whether the licence of the weights allows commercial use
training_data = "what is known of it"
outputs = ["output"]       # name of the network's output
length = 512               # numbers of one template
side = 112                 # px of the aligned face, square
layout = "planar"          # (1, 3, side, side) float32; left out for (1, side, side, 3) uint8
colour = "rgb"             # or "bgr"
mean = 127.5               # taken off each pixel 0..255,
divisor = 127.5            # then divided by this
sha256 = "…"               # may be left out; where it stands, the file must have it
"""


def read_description(path: Path) -> dict[str, Any]:
    """Read what the owner says of a recogniser.

    Raises:
        ModelFileError: it cannot be read, or leaves out what nobody can guess; says what.
    """
    try:
        with path.open("rb") as file:
            told = tomllib.load(file)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} is not TOML: {error}") from error
    if missing := [name for name in WANTED if name not in told]:
        raise ModelFileError(f"{path} says nothing of {', '.join(missing)}; want\n\n{EXAMPLE}")
    if unknown := sorted(set(told) - set(KNOWN)):
        raise ModelFileError(f"{path} has {', '.join(unknown)}, which nothing reads; known are {', '.join(KNOWN)}")
    rules: dict[str, Callable[[Any], bool]] = {
        "name": lambda value: isinstance(value, str) and bool(value) and value != "standard-1",
        "licence": lambda value: isinstance(value, str) and bool(value),
        "commercial": lambda value: isinstance(value, bool),
        "outputs": lambda value: isinstance(value, list) and len(value) == 1 and isinstance(value[0], str),
        "length": lambda value: _is_whole(value, 16, 4096),
        "side": lambda value: _is_whole(value, 32, 512),
        "layout": lambda value: value == "planar",
        "colour": lambda value: value in {"rgb", "bgr"},
        "mean": _is_number,
        "divisor": lambda value: _is_number(value) and value > 0,
    }
    if wrong := [name for name, is_right in rules.items() if name in told and not is_right(told[name])]:
        raise ModelFileError(f"{path}: wrong value of {', '.join(wrong)}; want such as\n\n{EXAMPLE}")
    return told


def import_pack(network: Path, told: Mapping[str, Any], target: Path) -> str:
    """Make a pack of a recogniser and the standard pack's other networks; return what was seen, as a sentence.

    Args:
        network: the ONNX file.
        told: as `read_description` returns it.
        target: the folder it becomes; must not be there yet.

    Raises:
        ModelFileError: the file is not what was told, or does not recognise; nothing is left there.
    """
    if target.exists():
        raise ModelFileError(f"{target} is there already; remove it, or give another --to")
    if network.suffix != ".onnx":
        raise ModelFileError(f"{network}: want a file in ONNX, its name ending in .onnx")
    try:
        if network.stat().st_size > MOST_BYTES:
            raise ModelFileError(f"{network} is larger than a gigabyte")
        content = network.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{network}: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if told.get("sha256") not in {None, digest}:
        raise ModelFileError(f"{network} is not the file of the manifest: its sha256 is {digest}")
    standard = read_pack(standard_pack()).spec("recogniser")
    if digest in {standard.sha256, standard.templates}:
        raise ModelFileError(f"{network} is the recogniser of the pack that travels with the kiosk")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as folder:
            parts = Path(folder) / "pack"
            parts.mkdir()
            (parts / network.name).write_bytes(content)
            seen = _fill(parts, network.name, digest, told)
            parts.rename(target)
    except OSError as error:
        raise ModelFileError(f"cannot write {target}: {error.strerror or error}") from error
    return seen


def _fill(parts: Path, file: str, digest: str, told: Mapping[str, Any]) -> str:
    """Put the standard pack's other files beside a recogniser, and the manifest; try it on the golden faces."""
    standard = standard_pack()
    with (standard / MANIFEST_NAME).open("rb") as opened:
        content = tomllib.load(opened)
    models = [one for one in content["model"] if one["task"] != "recogniser"]
    if file in {one["file"] for one in models}:
        raise ModelFileError(f"{file} is the name of another network of the pack; give the file another name")
    for one in models:
        shutil.copyfile(standard / one["file"], parts / one["file"])
    shutil.copytree(standard / "golden", parts / "golden")
    entry = {
        "task": "recogniser",
        "file": file,
        "sha256": digest,
        "licence": told["licence"],
        "commercial": told["commercial"],
        "precision": "as imported",
        **{
            name: told[name]
            for name in ("training_data", "source", "layout", "colour", "mean", "divisor")
            if name in told
        },
        "outputs": told["outputs"],
        "options": {name: told[name] for name in ("length", "side", "norm_zero", "norm_full") if name in told},
    }
    _try_shape(ModelSpec("recogniser", parts / file, digest, told["licence"], told["commercial"], entry), told)
    models.insert(0, entry)
    written = {**content, "format": MANIFEST_FORMAT, "name": told["name"], "model": models}
    written.pop("scale", None)
    manifest = parts / MANIFEST_NAME
    manifest.write_text(_as_toml(written), encoding="utf-8")
    recogniser = load_recogniser(read_pack(parts, unmeasured=UNMEASURED))
    fresh: list[tuple[str, Template]] = []
    for face in written["golden"]["face"]:
        template = recogniser.analyse(decode((parts / face["file"]).read_bytes())).template
        if template is None:
            raise ModelFileError(f"no face was found in golden face {face['file']}")
        face["template"] = base64.b64encode(template.vector.tobytes()).decode()
        fresh.append((face["person"], template))
    pairs = [(one, other) for place, one in enumerate(fresh) for other in fresh[place + 1 :]]
    own = [compare(one, other) for (who, one), (whose, other) in pairs if who == whose]
    others = [compare(one, other) for (who, one), (whose, other) in pairs if who != whose]
    if min(own) < max(others) + LEAST_GAP:
        raise ModelFileError(
            f"{file} does not tell the golden faces apart: one person {min(own):.2f}, two people {max(others):.2f}. "
            "Are layout, colour, mean and divisor as the network was trained?"
        )
    manifest.write_text(_as_toml(written), encoding="utf-8")
    return f"golden faces: one person {min(own):.2f}, two people at most {max(others):.2f}"


def _try_shape(spec: ModelSpec, told: Mapping[str, Any]) -> None:
    """Run a network once on a grey face."""
    side, length = told["side"], told["length"]
    session = open_session(spec)
    if isinstance(session, OnnxSession):
        wanted = (1, 3, side, side) if told.get("layout") == "planar" else (1, side, side, 3)
        found = session.input_shape
        fits = len(found) == len(wanted) and all(
            not isinstance(one, int) or one == other for one, other in zip(found, wanted, strict=True)
        )
        if not fits:
            shape = "x".join(map(str, found))
            raise ModelFileError(
                f"{spec.path.name} takes an input of {shape}, the manifest says {'x'.join(map(str, wanted))}: "
                "mend side or layout"
            )
    got = session.run(np.full((1, side, side, 3), 127, np.uint8))[0].size
    if got != length:
        raise ModelFileError(f"{spec.path.name} gives {got} numbers, the manifest says {length}: mend length")


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6  # noqa: PLR2004


def _as_toml(content: Mapping[str, Any]) -> str:
    """Write a manifest: values first, then tables, then lists of tables."""
    lines = [f"{name} = {_value(value)}" for name, value in content.items() if not _is_nested(value)]
    for name, value in content.items():
        if isinstance(value, list) and _is_nested(value):
            for entry in value:
                lines += ["", f"[[{name}]]", *(f"{key} = {_value(one)}" for key, one in entry.items())]
        elif isinstance(value, dict):
            for key, entries in value.items():
                for entry in entries:
                    lines += ["", f"[[{name}.{key}]]", *(f"{part} = {_value(one)}" for part, one in entry.items())]
    return "\n".join(lines) + "\n"


def _is_nested(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
