"""From photographs to templates with what was measured beside them; goes on where an earlier run was stopped.

What is found is written down photograph by photograph, in a file only its owner may read: templates are personal
data. The command removes the file when it has its answer, unless it is told to keep it.
"""

from __future__ import annotations

import base64
import json
import os
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kiosk.errors import ConfigError, ImageError
from kiosk.evaluation.photographs import Photograph, read_picture
from kiosk.recognition import quality
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.limits import Limits
from kiosk.rules.presentation import unfit
from kiosk.types import Floats

NOTES_FORMAT = 2  # rises when a note says something else
AHEAD = 4  # photographs analysed before the oldest is written down, per worker


@dataclass(frozen=True, slots=True, eq=False)
class Acquired:
    """What one photograph gave."""

    photograph: Photograph
    vector: Floats | None = field(repr=False)  # (D,) unit length, of the largest face; None: not acquired
    age: float = 0.0  # years, estimated
    quality: float | None = None  # of the template
    serves_as_probe: bool = False  # its light, sharpness and pose would let the door judge it
    serves_as_reference: bool = False  # the gate of enrolment takes it
    why_not: str = ""  # the sentence, where nothing was acquired


def analyse(recogniser: Recogniser, photograph: Photograph, limits: Limits) -> Acquired:
    """Analyse one photograph as the API would; a picture that cannot be read counts as not acquired."""
    try:
        image = read_picture(photograph.path)
    except ImageError as error:
        return Acquired(photograph, None, why_not=str(error))
    faces = recogniser.detect(image)
    if not faces:
        return Acquired(photograph, None, why_not="no face")
    face = recogniser.sharpen(image, faces[0])
    template = recogniser.extract(image, face)
    age, _ = recogniser.describe(image, face)
    measured = quality.measure(image, face)
    return Acquired(
        photograph,
        template.vector,
        age,
        template.quality,
        serves_as_probe=unfit(measured, limits) is None,
        serves_as_reference=quality.objection(measured) is None and quality.objection_to(template) is None,
    )


def acquire(
    recogniser: Recogniser,
    photographs: Sequence[Photograph],
    limits: Limits,
    *,
    notes: Path,
    made_by: str,
    workers: int,
) -> Generator[Acquired, None, None]:
    """Analyse photographs side by side and yield them in order; those an earlier run wrote into `notes` are read there.

    Closed before its end, it finishes what is begun and gives up the rest.

    Args:
        recogniser: its networks run on one thread each.
        photographs: in the order wanted.
        limits: of the door.
        notes: the file of what is known so far; made where there is none.
        made_by: what must be the same for notes to count: the models and the version.
        workers: photographs at a time.
    """
    known = _read_notes(notes, made_by)
    with _open_notes(notes, made_by, is_new=known is None) as file, ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[Photograph, Future[Acquired] | Acquired]] = deque()
        try:
            for photograph in photographs:
                noted = (known or {}).get(_identity(photograph.path))
                ahead.append(
                    (photograph, pool.submit(analyse, recogniser, photograph, limits))
                    if noted is None
                    else (photograph, _from_note(photograph, noted))
                )
                if len(ahead) > AHEAD * workers:
                    yield _written(file, *ahead.popleft())
            while ahead:
                yield _written(file, *ahead.popleft())
        finally:
            for _, waiting in ahead:
                if isinstance(waiting, Future):
                    waiting.cancel()


def _written(file: TextIO, photograph: Photograph, result: Future[Acquired] | Acquired) -> Acquired:
    """Return what a photograph gave; write it down where it was analysed now."""
    if isinstance(result, Acquired):
        return result
    found = result.result()
    note = {
        "of": _identity(photograph.path),
        "vector": None if found.vector is None else base64.b64encode(found.vector.astype("<f4").tobytes()).decode(),
        "age": found.age,
        "quality": found.quality,
        "probe": found.serves_as_probe,
        "reference": found.serves_as_reference,
        "why_not": found.why_not,
    }
    file.write(json.dumps(note) + "\n")
    file.flush()
    return found


def _from_note(photograph: Photograph, note: Mapping[str, Any]) -> Acquired:
    coded = note["vector"]
    vector = None if coded is None else np.frombuffer(base64.b64decode(coded), "<f4").astype(np.float32)
    return Acquired(photograph, vector, note["age"], note["quality"], note["probe"], note["reference"], note["why_not"])


def _head(made_by: str) -> str:
    """Return the first line of the notes, without its end."""
    return json.dumps({"made_by": made_by, "format": NOTES_FORMAT})


def _identity(path: Path) -> str:
    """Return what tells that a photograph is the one that was analysed: its place, size and date."""
    try:
        stat = path.stat()
    except OSError:
        return str(path.resolve())
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def _read_notes(path: Path, made_by: str) -> dict[str, Mapping[str, Any]] | None:
    """Return the notes of an earlier run; None where there are none of these models.

    The last line may be half there: the run was cut off. It counts as not written.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if lines[0] != _head(made_by):
        return None
    known = {}
    for line in lines[1:]:
        try:
            note = json.loads(line)
            known[note["of"]] = note
        except (ValueError, TypeError, KeyError):
            continue
    return known


def _open_notes(path: Path, made_by: str, *, is_new: bool) -> TextIO:
    """Open the notes for more.

    Raises:
        ConfigError: they cannot be written, or would overwrite a file that is something else.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_new and path.exists() and path.stat().st_size and not path.read_bytes().startswith(b'{"made_by"'):
            raise ConfigError(f"{path} holds something else than an evaluation's notes; name another file")
        mode = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if is_new else os.O_APPEND)
        file = os.fdopen(os.open(path, mode, 0o600), "w" if is_new else "a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    file.write(_head(made_by) + "\n" if is_new else "\n")  # behind a line that was cut off
    return file
