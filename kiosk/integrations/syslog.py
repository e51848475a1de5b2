"""The connection to a site's log server: lines by UDP, TCP or TLS; nothing of the kiosk waits for it.

Sources: RFC 5426 (UDP), RFC 6587 (TCP, counted octets), RFC 5425 (TLS).
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections import deque
from typing import Any

from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.errors import ConfigError
from kiosk.integrations.log_lines import event_of, rfc5424
from kiosk.integrations.teller import Teller
from kiosk.settings.neighbours import SyslogSettings

QUEUE = 1000  # lines kept while the server is away; older ones go, and are counted
TIMEOUT_S = 5.0
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 60.0

log = logging.getLogger("kiosk.syslog")


class Syslog:
    """Sends what happens to a log server. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(self, news: Broadcast, settings: SyslogSettings) -> None:
        """Take the news to send, and the section [syslog], with a host.

        Raises:
            ConfigError: the certificates of the settings cannot be read.
        """
        self._settings = settings
        self._lines: deque[bytes] = deque()
        self._silent: deque[bytes] = deque(maxlen=QUEUE)  # of duress: sent first, and no figure tells of them
        self._dropped = 0
        self._reason = "not connected yet"
        self._socket: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        if settings.protocol == "tls":
            try:
                self._context = ssl.create_default_context(cafile=settings.ca_file or None)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"[syslog] ca_file cannot be used: {error}") from None
        self._teller = Teller("syslog", news, hear=self._hear, run=self._run)

    def __repr__(self) -> str:
        return "Syslog()"

    def start(self) -> None:
        """Send from now on."""
        self._teller.start()

    def close(self) -> None:
        """End; what was not sent by now is not."""
        self._teller.close()

    def figures(self) -> dict[str, Any]:
        """Return how the connection is, for health: JSON."""
        with self._teller.changed:
            return {
                "is_connected": not self._reason,
                "reason": self._reason,
                "waiting": len(self._lines),
                "dropped": self._dropped,
            }

    def _hear(self, news: News) -> None:
        event = event_of(news)
        if event is None:
            return
        line = rfc5424(event, host=self._settings.name or socket.gethostname(), form=self._settings.form)
        with self._teller.changed:
            if news.topic is Topic.DURESS:
                self._silent.append(line)
            else:
                if len(self._lines) >= QUEUE:
                    self._lines.popleft()
                    self._dropped += 1
                self._lines.append(line)
            self._teller.changed.notify()

    def _run(self) -> None:
        wait_s, teller = RETRY_FIRST_S, self._teller
        while True:
            with teller.changed:
                teller.changed.wait_for(lambda: teller.is_ending or self._silent or self._lines)
                if teller.is_ending:
                    break
                lines = self._silent or self._lines
                line = lines[0]
            try:
                self._send(line)
            except OSError as error:  # a certificate that does not fit is one too
                self._lose(f"{self._settings.host}:{self._settings.port}: {error}")
                if not teller.rests(wait_s):
                    break
                wait_s = min(2.0 * wait_s, RETRY_LONGEST_S)
                continue
            wait_s = RETRY_FIRST_S
            with self._teller.changed:
                self._reason = ""
                if lines and lines[0] is line:  # else it was the oldest of too many meanwhile
                    lines.popleft()
        self._lose("ended")

    def _send(self, line: bytes) -> None:
        if self._socket is None:
            self._socket = self._connect()
        if self._settings.protocol == "udp":
            self._socket.send(line)
            return
        self._socket.sendall(b"%d %s" % (len(line), line))

    def _connect(self) -> socket.socket:
        settings = self._settings
        if settings.protocol == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_DGRAM
            )[0]
            made = socket.socket(family, kind, protocol)
            made.connect(address)
            return made
        plain = socket.create_connection((settings.host, settings.port), timeout=TIMEOUT_S)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=settings.host)
        except BaseException:
            plain.close()
            raise

    def _lose(self, reason: str) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        with self._teller.changed:
            if not self._reason:
                log.warning("log server lost reason=%r", reason)
            self._reason = reason
