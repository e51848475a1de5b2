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
from collections.abc import Iterator, Mapping, Sequence
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
from kiosk.api.schema import ANSWER_400, INTEGER, STRING, TEXT, array, closed, named, or_null
from kiosk.api.uploads import MOST_HEADER_BYTES, NO_FILE, boundary_of, tidied
from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit, assess
from kiosk.device.import_names import HEAD_BYTES, SUFFIXES, is_photograph, name_objection, not_taken, passed_over
from kiosk.errors import ImageError
from kiosk.recognition.photo import MAX_BYTES, TOO_LARGE
from kiosk.rules.text import composed, shown
from kiosk.store.accounts import Role
from kiosk.store.subjects import Details, Enrolment

MOST_BYTES = 1 << 30  # of one import: two hundred of the largest photographs, ten thousand ordinary ones
MOST_FILES = 20_000
MOST_DIRECTORY_BYTES = 8 << 20  # of a ZIP's list of files; each takes 46 bytes there, and ten times that in memory
SPARE = 2.0  # times [health] disk_low_mb that an upload leaves free: it must not be what closes the door
RECEIVE_S = 1800.0
REPORTED = 200  # newest rows of the report that are kept
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


@dataclass(frozen=True, slots=True)
class Aside:
    """A row of the report for what is not looked at, and why."""

    file: str = field(repr=False)
    outcome: str  # "passed_over", "no_photograph", "bad_name"
    sentence: str
    is_person: bool = False  # somebody who was meant to be enrolled, and is not


@dataclass(frozen=True, slots=True)
class Found:
    """The people of an upload, and what has a row without being looked at."""

    items: list[Item] = field(repr=False)
    asides: list[Aside] = field(repr=False)


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
            self._name = options.get(b"filename", b"file").decode("utf-8", "surrogateescape")

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
        async for chunk in tidied(call.chunks(MOST_BYTES), boundary):
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


async def begin_import(call: Call) -> Response:
    """Receive photographs and begin to import them."""
    directory = call.context.device.store.directory
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  the job closes it
    try:
        pieces = await _receive(call, file)
        archives = [piece for piece in pieces if _begins(file, piece, ZIP)]
        if archives and len(pieces) > 1:
            raise field_errors({"file": ["Give one ZIP file, or photographs, not both."]})
        found = await call.run(lambda: _from_zip(file) if archives else _from_files(file, pieces))
        if not found.items and not any(aside.is_person for aside in found.asides):
            raise field_errors({"file": [f"There are no photographs in it ({', '.join(sorted(SUFFIXES))})."]})

        def work(job: Job) -> None:
            with file:
                _work(call, job, file, found)

        job = call.context.jobs.start("import", work, unbegun=file.close)
    except BaseException:
        file.close()
        raise
    return answer({"id": job.id}, 202)


def _begins(file: IO[bytes], piece: Piece, signature: bytes) -> bool:
    file.seek(piece.start)
    return file.read(len(signature)) == signature


def _from_files(file: IO[bytes], pieces: Sequence[Piece]) -> Found:
    return _people(file, [(_parts(piece.name), piece) for piece in pieces], [], is_folder=True)


def _from_zip(file: IO[bytes]) -> Found:
    try:
        with zipfile.ZipFile(_Checked(file)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise field_errors({"file": ["This is a damaged ZIP file."]}) from None
    if len(entries) > MOST_FILES:
        raise field_errors({"file": [f"There are more than {MOST_FILES} files in it."]})
    folders = [_parts(entry.filename) for entry in entries if entry.is_dir()]
    named = [(_parts(entry.filename), entry) for entry in entries if not entry.is_dir()]
    return _people(file, named, folders, is_folder=False)


def _parts(name: str) -> tuple[str, ...]:
    """Return a file's path in parts."""
    return tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in {"/", "..", "."})


def _people(
    file: IO[bytes],
    named: Sequence[tuple[tuple[str, ...], Any]],
    folders: Sequence[tuple[str, ...]],
    *,
    is_folder: bool,
) -> Found:
    """Group files by person: a folder each, and each file that lies at the top, as `kiosk gallery import` does."""
    hidden: Counter[tuple[str, str]] = Counter()
    seen: list[tuple[tuple[str, ...], Any]] = []
    for parts, source in named:
        at = next((number for number, part in enumerate(parts) if passed_over(part)), None)
        if at is not None:
            hidden["/".join(parts[: at + 1]), passed_over(parts[at]) or ""] += 1
        elif parts:
            seen.append((parts, source))
    asides = [
        Aside(shown(path), "passed_over", f"{why}{f' ({count} files)' if count > 1 else ''}")
        for (path, why), count in hidden.items()
    ]
    everything = [*(parts for parts, _ in seen), *(parts for parts in folders if parts and not _is_hidden(parts))]
    tops = {parts[0] for parts in everything}
    is_wrapped = len(tops) == 1 and bool(seen) and all(len(parts) > 1 for parts, _ in seen)
    if is_wrapped and (is_folder or any(len(parts) > 2 for parts, _ in seen)):  # noqa: PLR2004  top/person/file
        seen = [(parts[1:], source) for parts, source in seen]
        folders = [parts[1:] for parts in folders]
    by_person: dict[tuple[bool, str], list[tuple[str, Any]]] = {}
    for parts in folders:
        if parts and not _is_hidden(parts):
            by_person.setdefault((True, parts[0]), [])
    for parts, source in sorted(seen, key=lambda one: one[0]):
        path = "/".join(parts)
        head = b"" if is_photograph(parts[-1], b"") else _head(file, source)
        is_taken = is_photograph(parts[-1], head)
        if not is_taken:
            asides.append(Aside(shown(path), "passed_over", not_taken(head)))
        if is_taken or len(parts) > 1:
            name = parts[0] if len(parts) > 1 else PurePosixPath(parts[0]).stem
            by_person.setdefault((len(parts) > 1, name), []).extend([(path, source)] if is_taken else [])
    return Found(_named(by_person, asides), asides)


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(passed_over(part) for part in parts)


def _named(by_person: Mapping[tuple[bool, str], list[tuple[str, Any]]], asides: list[Aside]) -> list[Item]:
    """Return who can be enrolled by their name; the others get a row each photograph."""
    items: list[Item] = []
    forms: dict[tuple[bool, str], str] = {}
    for (is_folder, name), files in by_person.items():
        trouble = name_objection(name)
        if trouble is None and forms.setdefault((is_folder, composed(name)), name) != name:
            trouble = "another folder or file has this name in another Unicode form; join them"
        if not files:
            asides.append(Aside(shown(name), "no_photograph", "the folder holds no photograph", is_person=True))
        elif trouble is not None:
            rows = enumerate(files)
            asides += [Aside(shown(path), "bad_name", trouble, is_person=at == 0) for at, (path, _) in rows]
        else:
            items.append(Item(composed(name), tuple(files)))
    return items


def _head(file: IO[bytes], source: Piece | zipfile.ZipInfo) -> bytes:
    """Return how a file begins; nothing where it cannot be unpacked."""
    try:
        return _read(file, source, HEAD_BYTES)
    except ImageError:
        return b""


def _work(call: Call, job: Job, file: IO[bytes], found: Found) -> None:
    outcomes, people = Counter(aside.outcome for aside in found.asides), Counter[str]()
    report: list[dict[str, Any]] = [
        {"file": one.file, "outcome": one.outcome, "sentence": one.sentence} for one in found.asides[-REPORTED:]
    ]
    for aside in found.asides:
        people[aside.outcome] += aside.is_person
    job.total = sum(len(item.files) for item in found.items)

    def tell() -> None:
        job.outcome = {"outcomes": dict(outcomes), "people": dict(+people), "report": report[::-1]}

    tell()
    for item in found.items:
        if call.context.jobs.is_closing.is_set():
            job.state, job.sentence = "failed", "the kiosk was stopped; import again, who is enrolled already is told"
            return
        kinds = []
        for name, outcome in _one(call.context.device, item, file, call.actor):
            outcomes[outcome.kind] += 1
            kinds.append(outcome.kind)
            sentence = None if outcome.is_stored else outcome.sentence.partition("; --")[0]
            report = [*report, {"file": shown(name), "outcome": outcome.kind, "sentence": sentence}][-REPORTED:]
        people[next((kind for kind in kinds if kind in _ADMITTED), kinds[0])] += 1
        job.done += len(item.files)
        tell()


_ADMITTED = frozenset(("added", "duplicate", "blocklisted", "mixed"))  # what `Device.admit` says of all of a person


def _one(device: Device, item: Item, file: IO[bytes], actor: str) -> Iterator[tuple[str, EnrolmentResult]]:
    assessed: list[tuple[str, Reference | EnrolmentResult]] = []
    for name, source in item.files:
        try:
            assessed.append((name, assess(device, _read(file, source), with_heic=True).outcome))
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


def _read(file: IO[bytes], source: Piece | zipfile.ZipInfo, most: int = MAX_BYTES + 1) -> bytes:
    """Return a photograph, never more of it than is taken: a ZIP's own sizes are the sender's word."""
    if isinstance(source, Piece):
        if source.length > MAX_BYTES and most > MAX_BYTES:
            raise ImageError(TOO_LARGE)
        file.seek(source.start)
        return file.read(min(source.length, most))
    try:
        with zipfile.ZipFile(file) as archive, archive.open(source) as entry:
            content = entry.read(most)
    except Exception as error:  # noqa: BLE001  zipfile and its decompressors raise whatever a damaged file leads to
        raise ImageError(f"Invalid image: cannot be unpacked ({type(error).__name__})") from None
    if len(content) > MAX_BYTES:
        raise ImageError(TOO_LARGE)
    return content


async def show_import(call: Call) -> Response:
    """Return how far an import is."""
    job = call.context.jobs.get("import", str(call.request.path_params["id"]))
    if job is None:
        raise not_found()
    return answer({"outcomes": {}, "people": {}, "report": [], **job.as_dict()})


OPERATIONS = (
    Operation(
        "POST",
        "/device/imports",
        begin_import,
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
        show_import,
        "Return how far an import is, and what became of the newest files.",
        {
            200: named(
                "Import",
                closed(
                    id=STRING,
                    state=JOB_STATE,
                    done=INTEGER,
                    total=INTEGER,
                    sentence=or_null(STRING),
                    outcomes={"type": "object", "additionalProperties": INTEGER},
                    people={"type": "object", "additionalProperties": INTEGER},
                    report=array(named("ImportedFile", closed(file=STRING, outcome=STRING, sentence=or_null(STRING)))),
                ),
            ),
            404: TEXT,
        },
        role=Role.OPERATOR,
    ),
)
