"""Many people at once: a ZIP of folders, or a folder's files, received into a file without a name and worked off later.

The photographs lie on the disk of the state directory while the import runs, in a file that no path leads to and that
the system takes back when the process ends, however it ends.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.responses import Response

from kiosk.api.jobs import Job
from kiosk.api.operation import Call, Operation, Part, answer, busy, field_errors, not_found, refusal
from kiosk.api.routes.decisions import JOB_STATE, STARTED
from kiosk.api.schema import ANSWER_400, INTEGER, STRING, TEXT, array, closed, or_null
from kiosk.api.uploads import MOST_HEADER_BYTES, NO_FILE, boundary_of
from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit, assess
from kiosk.errors import ImageError
from kiosk.recognition.photo import MAX_BYTES, TOO_LARGE
from kiosk.store.accounts import Role
from kiosk.store.subjects import Details, Enrolment

MOST_BYTES = 1 << 30  # of one import: two hundred of the largest photographs, ten thousand ordinary ones
MOST_FILES = 20_000
MOST_DIRECTORY_BYTES = 8 << 20  # of a ZIP's list of files; each takes 46 bytes there, and ten times that in memory
SPARE = 2.0  # times [health] disk_low_mb that an upload leaves free: it must not be what closes the door
RECEIVE_S = 1800.0
REPORTED = 200  # newest rows of the report that are kept
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of an upload: where it lies in the file that holds them all."""

    name: str = field(repr=False)
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Item:
    """One person to be imported."""

    name: str = field(repr=False)
    files: tuple[tuple[str, Any], ...] = field(repr=False)  # shown name, and what `_read` takes


class _Checked:
    """A ZIP whose list of files is refused before it is read where it is too long to be one of photographs."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read; zipfile reads the list of files in one piece, by the length that the ZIP claims."""
        if size > MOST_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("the list of files is too long")
        return self._file.read(size if size >= 0 else MOST_DIRECTORY_BYTES)  # what is read to the end is its end


class _Receiver:
    """Writes the files of a form one behind the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.pieces: list[Piece] = []
        self.is_complete = False
        self._headers = {b"name": bytearray(), b"value": bytearray()}
        self._disposition = b""
        self._bytes = 0
        self._name: str | None = None
        self._start = 0

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header(b"name", data[start:end]),
            "on_header_value": lambda data, start, end: self._header(b"value", data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._named,
            "on_part_data": lambda data, start, end: self._name is not None and self._file.write(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._disposition, self._bytes, self._name = b"", 0, None
        self._start = self._file.tell()
        if len(self.pieces) >= MOST_FILES:
            raise FormParserError(f"more than {MOST_FILES} files")

    def _header(self, which: bytes, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MOST_HEADER_BYTES:
            raise FormParserError("a part's headers are too long")
        self._headers[which] += data

    def _header_end(self) -> None:
        if bytes(self._headers[b"name"]).lower() == b"content-disposition":
            self._disposition = bytes(self._headers[b"value"])
        self._headers = {b"name": bytearray(), b"value": bytearray()}

    def _named(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") == b"file":
            self._name = options.get(b"filename", b"file").decode("utf-8", "replace")

    def _end(self) -> None:
        length = self._file.tell() - self._start
        if self._name is not None and length:
            self.pieces.append(Piece(self._name, self._start, length))

    def _finish(self) -> None:
        self.is_complete = True


async def _receive(call: Call, file: IO[bytes]) -> list[Piece]:
    boundary = boundary_of(call.request.headers.get("content-type", ""))
    if boundary is None:
        raise field_errors({"file": [NO_FILE]})
    call.deadline = asyncio.get_running_loop().time() + RECEIVE_S
    receiver = _Receiver(file)
    directory = call.context.device.store.directory
    spare = SPARE * call.context.config.health.disk_low_mb * 1e6

    def keep(piece: bytes) -> None:
        if shutil.disk_usage(directory).free < spare:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        parser.write(piece)

    try:
        parser = MultipartParser(boundary, receiver.callbacks())
        async for chunk in call.chunks(MOST_BYTES):
            await call.run(partial(keep, chunk))
        parser.finalize()
    except FormParserError as error:
        raise refusal(400, f"Multipart form parse error: {error}") from None
    except OSError as error:
        raise busy(f"The upload cannot be kept: {error.strerror}.") from None
    if not receiver.is_complete:
        raise refusal(400, "Multipart form parse error: the body ends before its last boundary")
    if not receiver.pieces:
        raise field_errors({"file": [NO_FILE]})
    return receiver.pieces


async def begin(call: Call) -> Response:
    """Receive photographs and begin to import them."""
    directory = call.context.device.store.directory
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  the job closes it
    try:
        pieces = await _receive(call, file)
        archives = [piece for piece in pieces if _begins(file, piece, ZIP)]
        if archives and len(pieces) > 1:
            raise field_errors({"file": ["Give one ZIP file, or photographs, not both."]})
        items = await call.run(lambda: _from_zip(file) if archives else _from_files(pieces))
        if not items:
            raise field_errors({"file": [f"There are no photographs in it ({', '.join(sorted(SUFFIXES))})."]})

        def work(job: Job) -> None:
            with file:
                _work(call, job, file, items)

        job = call.context.jobs.start("import", work)
    except BaseException:
        file.close()
        raise
    return answer({"id": job.id}, 202)


def _begins(file: IO[bytes], piece: Piece, signature: bytes) -> bool:
    file.seek(piece.start)
    return file.read(len(signature)) == signature


def _from_files(pieces: Sequence[Piece]) -> list[Item]:
    named = [(_parts(piece.name), piece) for piece in pieces]
    return _people([(parts, piece) for parts, piece in named if parts], is_folder=True)


def _from_zip(file: IO[bytes]) -> list[Item]:
    try:
        with zipfile.ZipFile(_Checked(file)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise field_errors({"file": ["This is a damaged ZIP file."]}) from None
    if len(entries) > MOST_FILES:
        raise field_errors({"file": [f"There are more than {MOST_FILES} files in it."]})
    named = [(_parts(entry.filename), entry) for entry in entries]
    return _people([(parts, entry) for parts, entry in named if parts], is_folder=False)


def _parts(name: str) -> tuple[str, ...]:
    """Return a file's path in parts; empty for what is no photograph or hidden."""
    parts = tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in {"/", "..", "."})
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return parts if parts and not is_hidden and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES else ()


def _people(named: list[tuple[tuple[str, ...], Any]], *, is_folder: bool) -> list[Item]:
    """Group files by person: a folder each, and each file that lies at the top, as `kiosk gallery import` does."""
    tops = {parts[0] for parts, _ in named if len(parts) > 1}
    is_wrapped = len(tops) == 1 and all(len(parts) > 1 for parts, _ in named)
    if is_wrapped and (is_folder or any(len(parts) > 2 for parts, _ in named)):  # noqa: PLR2004  top/person/file
        named = [(parts[1:], source) for parts, source in named]
    by_person: dict[str, list[tuple[str, Any]]] = {}
    for parts, source in sorted(named, key=lambda one: one[0]):
        name = parts[0] if len(parts) > 1 else PurePosixPath(parts[0]).stem
        by_person.setdefault(f"{len(parts) > 1}{name}", []).append(("/".join(parts), source))
    return [Item(key.removeprefix("True").removeprefix("False"), tuple(files)) for key, files in by_person.items()]


def _work(call: Call, job: Job, file: IO[bytes], items: Sequence[Item]) -> None:
    counts: Counter[str] = Counter()
    report: list[dict[str, Any]] = []
    job.total = sum(len(item.files) for item in items)
    for item in items:
        if call.context.jobs.is_closing.is_set():
            job.state, job.sentence = "failed", "the kiosk was stopped; import again, who is enrolled already is told"
            return
        for name, outcome in _one(call.context.device, item, file, call.actor):
            counts[outcome.kind] += 1
            sentence = None if outcome.is_stored else outcome.sentence.partition("; --")[0]
            report = [*report, {"file": name, "outcome": outcome.kind, "sentence": sentence}][-REPORTED:]
        job.done += len(item.files)
        job.outcome = {"outcomes": dict(counts), "report": report[::-1]}


def _one(device: Device, item: Item, file: IO[bytes], actor: str) -> Iterator[tuple[str, EnrolmentResult]]:
    assessed: list[tuple[str, Reference | EnrolmentResult]] = []
    for name, source in item.files:
        try:
            assessed.append((name, assess(device, _read(file, source))))
        except ImageError as error:
            assessed.append((name, EnrolmentResult("unreadable", str(error))))
    references = [one for _, one in assessed if isinstance(one, Reference)]
    outcome = None
    if references:
        enrolment = Enrolment(templates=(), details=Details(name=item.name), source="import")
        outcome = admit(device, references, enrolment, actor=actor)
    for name, one in assessed:
        told = one if isinstance(one, EnrolmentResult) else outcome
        assert told is not None  # a Reference was admitted
        yield name, told


def _read(file: IO[bytes], source: Piece | zipfile.ZipInfo) -> bytes:
    """Return a photograph, never more of it than is taken: a ZIP's own sizes are the sender's word."""
    if isinstance(source, Piece):
        if source.length > MAX_BYTES:
            raise ImageError(TOO_LARGE)
        file.seek(source.start)
        return file.read(source.length)
    try:
        with zipfile.ZipFile(file) as archive, archive.open(source) as entry:
            content = entry.read(MAX_BYTES + 1)
    except Exception as error:  # noqa: BLE001  zipfile and its decompressors raise whatever a damaged file leads to
        raise ImageError(f"Invalid image: cannot be unpacked ({type(error).__name__})") from None
    if len(content) > MAX_BYTES:
        raise ImageError(TOO_LARGE)
    return content


async def state(call: Call) -> Response:
    """Return how far an import is."""
    job = call.context.jobs.get("import", str(call.request.path_params["id"]))
    if job is None:
        raise not_found()
    return answer({"outcomes": {}, "report": [], **job.as_dict()})


OPERATIONS = (
    Operation(
        "POST",
        "/device/imports",
        begin,
        "Enrol many people: a ZIP with a folder per person, or files named person/photograph.jpg.",
        {202: STARTED, 400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        form={
            "file": Part(
                "A ZIP file, or photographs.",
                {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
                is_required=True,
            )
        },
    ),
    Operation(
        "GET",
        "/device/imports/{id}",
        state,
        "Return how far an import is, and what became of the newest files.",
        {
            200: closed(
                id=STRING,
                state=JOB_STATE,
                done=INTEGER,
                total=INTEGER,
                sentence=or_null(STRING),
                outcomes={"type": "object", "additionalProperties": INTEGER},
                report=array(closed(file=STRING, outcome=STRING, sentence=or_null(STRING))),
            ),
            404: TEXT,
        },
        role=Role.OPERATOR,
    ),
)
