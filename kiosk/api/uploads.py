"""A form with photographs, read as it arrives: limits hold before memory is spent.

What a part is follows from its field's name alone: a photograph may come without a file name, without a Content-Type
or with a wrong one, and a text may come with them. A photograph beyond the limit is not kept but read to its end, so
that the sender learns which field is at fault.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kiosk.didit import contract
from kiosk.recognition.photo import MAX_BYTES, too_large

MOST_TEXT_BYTES = 16_384  # of one text field
MOST_PARTS = 64
MOST_BLANKS = 1000  # behind a mark
MOST_NEAR_MARKS = 10_000  # a line that begins as a mark costs the parser 7 us; in a photograph there is hardly one
MOST_FORM_BYTES = 4 * MAX_BYTES  # a body beyond it is refused unread: "far over two images"
MOST_HEADER_BYTES = 8_192  # of one part
NO_FILE = "No file was submitted."  # the contract's words
NOT_A_TEXT = "Not a valid string."


class TooLargeError(Exception):
    """The body is longer than any that is taken."""


class MemoryFullError(Exception):
    """So many bodies are being received at once that another has no room."""


class MalformedError(Exception):
    """The body is no multipart form."""


class MemoryBudget:
    """The memory that bodies under way may take together. Safe in several threads."""

    def __init__(self, most_bytes: int) -> None:
        """Take the most that all may hold at once."""
        self._most = most_bytes
        self._lock = threading.Lock()
        self.held = 0

    def take(self, size: int) -> None:
        """Reserve memory.

        Raises:
            MemoryFullError: there is not so much left.
        """
        with self._lock:
            if self.held + size > self._most:
                raise MemoryFullError
            self.held += size

    def give_back(self, size: int) -> None:
        """Let go of memory."""
        with self._lock:
            self.held -= size


@dataclass(slots=True)
class Form:
    """A form as it was sent; `errors` by field, in the contract's words."""

    files: dict[str, list[bytes]] = field(default_factory=dict, repr=False)
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    errors: dict[str, list[str]] = field(default_factory=dict)

    def fail(self, name: str, sentence: str) -> None:
        """Note what is wrong with a field."""
        known = self.errors.setdefault(name, [])
        if sentence not in known:
            known.append(sentence)

    def file(self, name: str) -> bytes:
        """Return a photograph that must be there; of several of one name, the last."""
        found = self.files.get(name)
        if not found:
            if name not in self.errors:
                self.fail(name, NO_FILE)
            return b""
        return found[-1]

    def text(self, name: str) -> str | None:
        """Return a text field; None when it was left out or is blank, which is the same in the contract."""
        text = self.texts.get(name)
        return text if text is not None and text.strip() else None

    def vendor_data(self) -> str | None:
        """Return the caller's identifier."""
        value: str | None = self._read("vendor_data", contract.parse_vendor_data)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a flag."""
        value = self._read(name, contract.parse_boolean)
        return default if value is None else bool(value)

    def threshold(self, name: str) -> float | None:
        """Return a number 0 to 100."""
        value: float | None = self._read(name, contract.parse_threshold)
        return value

    def choice(self, name: str, choices: Collection[str], *, default: str) -> str:
        """Return one of several words."""
        value = self.text(name) or default
        if value not in choices:
            self.fail(name, f'"{value[:100]}" is not a valid choice.')
        return value

    def metadata(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object."""
        value: dict[str, Any] | None = self._read(name, parse_object)
        return value

    def _read(self, name: str, parse: Any) -> Any:
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.fail(name, str(error))
            return None


def parse_object(text: str) -> dict[str, Any]:
    """Read a JSON object that can be written again: NaN, infinities, too deep nesting and half a character are none.

    Raises:
        ValueError: with a sentence for the sender.
    """
    value = contract.parse_metadata(text)
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # "\ud800" is JSON, and no text
    except (ValueError, RecursionError):
        raise ValueError("Value must be valid JSON.") from None
    return value


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a multipart form's Content-Type; None for anything else."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    return boundary if kind == b"multipart/form-data" and boundary else None


async def tidied(chunks: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Yield a multipart body without the text before its first mark and the blanks behind each.

    RFC 2046, 5.1.1, says that a reader ignores both; the parser takes neither.

    Args:
        chunks: the body as it arrives.
        boundary: see `boundary_of`.

    Raises:
        FormParserError: it is made of lines that are nearly marks.
    """
    mark = b"\r\n--" + boundary
    with_blanks = re.compile(re.escape(mark) + rb"[ \t]{1,%d}(?=\r\n)" % MOST_BLANKS)
    held, is_begun = b"\r\n", False  # the first mark may be the body's first line
    skipped = 2  # of the first mark: its line's end is ours
    near = 0
    async for chunk in chunks:
        held += chunk
        if not is_begun:
            at = held.find(mark)
            is_begun = at >= 0
            held = held[at if is_begun else 1 - len(mark) :]
        if is_begun:
            near += chunk.count(b"\r\n--")
            if near > MOST_NEAR_MARKS:
                raise FormParserError(f"more than {MOST_NEAR_MARKS} lines that begin as a boundary does")
            held = with_blanks.sub(mark, held)
            certain = _certain(held, mark)
            if certain:
                yield held[skipped:certain]
                held, skipped = held[certain:], 0
    if is_begun and held:
        yield held[skipped:]


def _certain(held: bytes, mark: bytes) -> int:
    """Return how many bytes may be read now: none of a mark, or of the blanks behind one, that may go on."""
    last = held.rfind(mark)
    end = last + len(mark) if last >= 0 else 0
    rest = held[end : end + MOST_BLANKS + 1]
    if last >= 0 and len(rest) <= MOST_BLANKS and not rest.lstrip(b" \t").strip(b"\r"):
        return last
    return max(len(held) - len(mark) + 1, end)


async def read_form(
    chunks: AsyncIterator[bytes],
    boundary: bytes,
    file_names: Collection[str],
    *,
    room: MemoryBudget,
    text_names: Collection[str] | None = None,
    most_files: int = 1,
    most_file_bytes: int = MAX_BYTES,
    most_bytes: int = MOST_FORM_BYTES,
) -> Form:
    """Read a form.

    Args:
        chunks: the body as it arrives.
        boundary: see `boundary_of`.
        file_names: fields that hold photographs.
        room: memory shared by all bodies under way; what was taken is given back by `release`.
        text_names: fields that hold texts; every other part, of whatever kind and length, is passed over. None: all
            but the photographs are texts.
        most_files: of one name; of more, the last are kept.
        most_file_bytes: longest photograph.
        most_bytes: longest body.

    Raises:
        TooLargeError: the body is longer than `most_bytes`.
        MemoryFullError: there is no room now.
        MalformedError: it is no form.
    """
    reader = _Reader(file_names, text_names, most_files, most_file_bytes)

    async def counted() -> AsyncIterator[bytes]:
        length = 0
        async for chunk in chunks:
            length += len(chunk)
            if length > most_bytes:
                raise TooLargeError
            yield chunk

    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in tidied(counted(), boundary):
            parser.write(chunk)
            reader.settle(room)
        parser.finalize()
    except FormParserError as error:
        reader.release(room)
        raise MalformedError(str(error)) from None
    except BaseException:
        reader.release(room)
        raise
    if not reader.is_complete:
        reader.release(room)
        raise MalformedError("the body ends before its last boundary")
    return reader.form


def release(form: Form, room: MemoryBudget) -> None:
    """Give the memory of a form back and let its photographs go."""
    size = sum(len(content) for contents in form.files.values() for content in contents)
    form.files.clear()
    room.give_back(size)


class _Reader:
    """Takes what the parser finds."""

    def __init__(
        self, file_names: Collection[str], text_names: Collection[str] | None, most_files: int, most_file_bytes: int
    ) -> None:
        self.form = Form()
        self.is_complete = False
        self._file_names, self._text_names = file_names, text_names
        self._most_files, self._most_file_bytes = most_files, most_file_bytes
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._header_bytes = 0
        self._name = ""
        self._is_unchosen = False
        self._content = bytearray()
        self._is_over = False
        self._taken = 0

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_more,
            "on_header_end": self._header_end,
            "on_headers_finished": self._named,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def settle(self, room: MemoryBudget) -> None:
        """Reserve the memory for what is held now."""
        held = sum(len(one) for contents in self.form.files.values() for one in contents) + len(self._content)
        if held > self._taken:
            room.take(held - self._taken)
        elif held < self._taken:
            room.give_back(self._taken - held)
        self._taken = held

    def release(self, room: MemoryBudget) -> None:
        """Give back all that was reserved."""
        room.give_back(self._taken)
        self._taken = 0
        self.form.files.clear()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise FormParserError(f"more than {MOST_PARTS} parts")
        self._headers = {}
        self._header_bytes = 0
        self._header_name, self._header_value = bytearray(), bytearray()
        self._content = bytearray()
        self._is_over = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _header_more(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MOST_HEADER_BYTES:
            raise FormParserError("a part's headers are too long")

    def _header_end(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _named(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        try:
            self._name = options[b"name"].decode()
        except (KeyError, UnicodeDecodeError):
            raise FormParserError("a part has no name") from None
        self._is_unchosen = options.get(b"filename") == b""

    @property
    def _is_known(self) -> bool:
        return self._text_names is None or self._name in self._text_names or self._name in self._file_names

    @property
    def _most(self) -> int:
        return self._most_file_bytes if self._name in self._file_names else MOST_TEXT_BYTES

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_over or not self._is_known:
            return
        if len(self._content) + end - start > self._most:
            self._is_over = True
            self._content = bytearray()
            return
        self._content += data[start:end]

    def _end(self) -> None:
        content, self._content = bytes(self._content), bytearray()
        if not self._is_known:
            return
        if self._name in self._file_names:
            if self._is_over:
                self.form.fail(self._name, too_large(self._most_file_bytes))
                return
            if self._is_unchosen and not content:
                return  # what browsers send where no file was chosen
            kept = self.form.files.setdefault(self._name, [])
            kept.append(content)
            if len(kept) > self._most_files > 1:
                self.form.fail(self._name, f"Give at most {self._most_files} files.")
            del kept[: -self._most_files]
        elif self._is_over:
            self.form.fail(self._name, f"Ensure this field has no more than {MOST_TEXT_BYTES} bytes.")
        else:
            try:
                self.form.texts[self._name] = content.decode()
            except UnicodeDecodeError:
                self.form.fail(self._name, NOT_A_TEXT)

    def _finish(self) -> None:
        self.is_complete = True
