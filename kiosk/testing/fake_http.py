"""The HTTP half of the fake cloud: calls in, answers out, or the answer lost in one of many ways; see fake_cloud.py."""

from __future__ import annotations

import io
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from python_multipart import parse_form

DONE = "done-"  # before a fault's name: the call is carried out first
MOST_BODY = 16_000_000
RESET = struct.pack("ii", 1, 0)  # linger for no time at all: the connection ends with RST

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Call:
    """One call, as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Mapping[str, Any]:
        """Return the body's JSON object; an empty one where there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def page(self, most: int) -> tuple[int, int]:
        """Return limit and offset of the query."""
        limit, offset = self.query.get("limit", ""), self.query.get("offset", "")
        return min(int(limit), most) if limit.isdecimal() else most, int(offset) if offset.isdecimal() else 0

    def form(self) -> tuple[dict[str, str], dict[str, bytes]]:
        """Return fields and files of a multipart body."""
        fields: dict[str, str] = {}
        files: dict[str, bytes] = {}

        def on_field(one: Any) -> None:
            fields[one.field_name.decode()] = (one.value or b"").decode()

        def on_file(one: Any) -> None:
            one.file_object.seek(0)
            files[one.field_name.decode()] = one.file_object.read()
            one.close()

        headers = {"Content-Type": self.headers.get("content-type", ""), "Content-Length": str(len(self.body))}
        parse_form({name: text.encode() for name, text in headers.items()}, io.BytesIO(self.body), on_field, on_file)
        return fields, files


class Cloud(Protocol):
    """What answers."""

    now: Callable[[], float]
    retry_after: str

    def fault_for(self, method: str, path: str) -> str | None:
        """Note a call, and return how it is to fail."""

    def answer(self, call: Call, fault: str) -> Answer:
        """Carry a call out."""

    def image(self, path: str) -> bytes | None:
        """Return the picture of a list's entry."""

    def hang(self) -> None:
        """Wait for as long as a client that waits."""


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fake-didit", ""
    timeout = 60
    cloud: Cloud

    def do_GET(self) -> None:
        """Answer a GET."""
        self._serve("GET")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._serve("POST")

    def do_PATCH(self) -> None:
        """Answer a PATCH."""
        self._serve("PATCH")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self, method: str) -> None:
        cloud, where = self.cloud, urlsplit(self.path)
        length = min(int(self.headers.get("Content-Length") or 0), MOST_BODY)
        body = self.rfile.read(length)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        headers = {name.lower(): text for name, text in self.headers.items()}
        call = Call(method, where.path, query, headers, body)
        fault = cloud.fault_for(method, where.path)
        if where.path.startswith("/media/"):
            self._send_image(cloud.image(where.path))
            return
        kind = (fault or "").removeprefix(DONE)
        is_done = fault is None or fault.startswith(DONE) or kind in {"half", "late", "duplicate"}
        status, answer = cloud.answer(call, kind) if is_done else (500, {"detail": "A server error occurred."})
        if kind in {"", "late", "duplicate"}:
            self._send(status, json.dumps(answer).encode())
        else:
            self._fail(kind, json.dumps(answer).encode())

    def _fail(self, kind: str, answer: bytes) -> None:
        if kind == "hang":
            self.cloud.hang()
        if kind in {"hang", "reset"}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.close_connection = True
            self.connection.close()
        elif kind == "half":
            self._send(200, answer, cut=len(answer) // 2)
        elif kind == "html":
            self._send(200, b"<html><body>Welcome to the hotel's network</body></html>", kind="text/html")
        elif kind == "wrong":
            self._send(200, b'{"hello": ["world"]}')
        elif kind == "redirect":
            self._send(302, b"", more={"Location": "http://127.0.0.1:1/portal"})
        elif kind == "429":
            self._send(429, b'{"detail": "Request was throttled."}', more={"Retry-After": self.cloud.retry_after})
        else:
            self._send(500, b'{"detail": "A server error occurred."}')

    def _send_image(self, image: bytes | None) -> None:
        if image is None:
            self._send(404, b'{"detail": "Not found."}')
        else:
            self._send(200, image, kind="image/jpeg")

    def _send(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = "application/json",
        cut: int | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.close_connection = self.close_connection or cut is not None
        date = formatdate(self.cloud.now(), usegmt=True)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Date: {date}", f"Content-Type: {kind}"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {text}" for name, text in more.items())]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        try:
            self.wfile.write(head + (body if cut is None else body[:cut]))
        except OSError:
            self.close_connection = True  # the client is gone
