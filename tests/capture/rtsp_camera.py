"""A camera that speaks RTSP with JPEG over RTP (RFC 2326, RFC 2435) and stamps its frames as it is told to."""

from __future__ import annotations

import io
import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable

import numpy as np
from PIL import Image

RATE = 90_000  # of RTP's time stamps, Hz
FPS = 25
PAYLOAD = 1200


class RtspCamera:
    """Serves one stream to whoever comes, over the connection itself; each frame is another picture."""

    def __init__(self, stamp: Callable[[int], int], *, width: int = 320, height: int = 240) -> None:
        """Take the time stamp of each frame by its number, in ticks of 90 kHz; it wraps at 32 bits."""
        self._stamp, self._size = stamp, (width, height)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> RtspCamera:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                wire, _ = self._listening.accept()
            except OSError:
                return
            with wire:
                try:
                    self._talk(wire)
                except OSError:
                    continue

    def _talk(self, wire: socket.socket) -> None:
        held = b""
        while not self._stop.is_set():
            while b"\r\n\r\n" not in held:
                more = wire.recv(4096)
                if not more:
                    return
                held += more
            head, _, held = held.partition(b"\r\n\r\n")
            method = head.split(b" ", 1)[0]
            found = re.search(rb"CSeq: *(\d+)", head, re.IGNORECASE)
            number = found[1] if found else b"0"
            body, more = b"", b""
            if method == b"OPTIONS":
                more = b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == b"DESCRIBE":
                body = (
                    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                    b"m=video 0 RTP/AVP 26\r\na=control:track\r\n"
                )
                more = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(body)
            elif method == b"SETUP":
                more = b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif method == b"PLAY":
                more = b"Session: 1\r\n"
            wire.sendall(b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n%s\r\n%s" % (number, more, body))
            if method == b"PLAY":
                self._play(wire)
                return

    def _play(self, wire: socket.socket) -> None:
        sequence = itertools.count()
        rng = np.random.default_rng(self.sent)
        while not self._stop.wait(1.0 / FPS):
            blocks = rng.integers(0, 255, (self._size[1] // 16, self._size[0] // 16, 3), np.uint8)
            held = io.BytesIO()
            Image.fromarray(blocks).resize(self._size).save(held, "JPEG", quality=80, subsampling=2)
            for packet in self._packets(held.getvalue(), self._stamp(self.sent) & 0xFFFFFFFF, sequence):
                wire.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            self.sent += 1

    def _packets(self, jpeg: bytes, stamp: int, sequence: itertools.count[int]) -> list[bytes]:
        tables = b"".join(
            jpeg[at + 5 : at + 69] for at in (one.start() for one in re.finditer(rb"\xff\xdb\0\x43[\0\1]", jpeg))
        )
        scan = jpeg[jpeg.index(b"\xff\xda") :]
        scan = scan[2 + int.from_bytes(scan[2:4], "big") : -2]
        packets, at = [], 0
        while at < len(scan):
            part = scan[at : at + PAYLOAD]
            head = struct.pack(">B3sBBBB", 0, at.to_bytes(3, "big"), 1, 255, self._size[0] // 8, self._size[1] // 8)
            if at == 0:
                head += struct.pack(">BBH", 0, 0, len(tables)) + tables
            at += len(part)
            marker = 0x80 if at >= len(scan) else 0
            rtp = struct.pack(">BBHII", 0x80, marker | 26, next(sequence) & 0xFFFF, stamp, 7)
            packets.append(rtp + head + part)
        return packets
