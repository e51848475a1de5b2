"""MOSIP's queue: ActiveMQ, by STOMP 1.2 with stomp.py (extra `abis`). One message after the other.

A message is acknowledged in the transaction that sends its answer: the broker forgets the one and keeps the other, or
neither. After a fault between the two it is asked again, and an insert is then answered with 10, "exists already".
"""

from __future__ import annotations

import json
import logging
import queue
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kiosk.errors import CloudError, ConfigError

AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
HEARTBEAT_MS = 10_000
LOOK_S = 0.5
CONNECT_S = 10.0

log = logging.getLogger("kiosk.abis")

Answer = Callable[[bytes], Mapping[str, object]]
"""Returns the answer to a message, whatever it is."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the queues are."""

    host: str
    port: int
    inbound: str  # MOSIP writes here
    outbound: str  # and reads here
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None  # whose certificates are taken; None: the system's
    is_plain: bool = False  # without TLS: for a broker on this machine
    is_text: bool = False  # answers as text instead of bytes, as the registration processor is set up


class AbisQueue:
    """Takes messages and answers them until told to stop. Used by one thread."""

    def __init__(self, answers: Callable[[Callable[[], int]], Answer], broker: Broker) -> None:
        """Take what makes the answers, given what counts the messages that wait here, and the broker.

        Raises:
            ConfigError: stomp.py is not installed.
        """
        try:
            import stomp  # noqa: PLC0415  the extra abis
        except ImportError:
            raise ConfigError("MOSIP's queue needs stomp.py; install it with: pip install 'face-kiosk[abis]'") from None
        self._stomp, self._broker = stomp, broker
        self._frames: queue.Queue[Any] = queue.Queue()
        self._answer_to = answers(self._waiting)
        self.answered = 0

    def _waiting(self) -> int:
        return self._frames.qsize()

    def run(self, is_stopping: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """Answer until told to stop; a broker that is gone is looked for indefinitely.

        Args:
            is_stopping: whether to end.
            wait: sleeps for so long, or less where it is to end.
        """
        tries = 0
        while not is_stopping():
            before = self.answered
            try:
                self._session(is_stopping)
            except CloudError as error:
                log.warning("abis broker reason=%r", str(error))
                tries = 0 if self.answered > before else tries
                wait(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
                tries += 1

    def _session(self, is_stopping: Callable[[], bool]) -> None:
        broker, stomp = self._broker, self._stomp
        frames: queue.Queue[Any] = queue.Queue()
        self._frames = frames  # of an earlier session: the broker gives those again
        connection = stomp.Connection12(
            [(broker.host, broker.port)],
            reconnect_attempts_max=1,
            timeout=CONNECT_S,
            heartbeats=(HEARTBEAT_MS, HEARTBEAT_MS),
            auto_decode=False,  # bytes: MOSIP may send either
            auto_content_length=not broker.is_text,  # ActiveMQ makes a text message of what has no length
        )
        if not broker.is_plain:
            connection.set_ssl([(broker.host, broker.port)], ca_certs=broker.ca_file, verify=True)
        connection.set_listener("abis", _Listener(frames))
        try:
            connection.connect(broker.user or None, broker.password or None, wait=True)
            connection.subscribe(
                broker.inbound, id="abis", ack="client-individual", headers={"activemq.prefetchSize": "100"}
            )
            log.info("abis broker connected host=%s queue=%s", broker.host, broker.inbound)
            while not is_stopping():
                try:
                    frame = frames.get(timeout=LOOK_S)
                except queue.Empty:
                    continue
                if isinstance(frame, Exception):
                    raise frame
                self._answer(connection, frame)
        except (stomp.exception.StompException, OSError) as error:
            raise CloudError(f"{broker.host}:{broker.port}: {error or type(error).__name__}") from None
        finally:
            if connection.is_connected():
                connection.disconnect()

    def _answer(self, connection: Any, frame: Any) -> None:
        body = frame.body if isinstance(frame.body, bytes) else str(frame.body).encode()
        text = json.dumps(self._answer_to(body))
        transaction = uuid.uuid4().hex
        connection.begin(transaction)
        connection.send(
            self._broker.outbound,
            text,
            content_type="application/json",
            headers={"persistent": "true"},
            transaction=transaction,
        )
        connection.ack(frame.headers["ack"], transaction=transaction)
        connection.commit(transaction)
        self.answered += 1


class _Listener:
    """Puts what arrives into the queue; called by stomp.py's thread."""

    def __init__(self, frames: queue.Queue[Any]) -> None:
        self._frames = frames

    def on_message(self, frame: Any) -> None:
        """Keep a message."""
        self._frames.put(frame)

    def on_error(self, frame: Any) -> None:
        """End the session: the broker refuses."""
        said = frame.headers.get("message", "refused") if hasattr(frame, "headers") else "refused"
        self._frames.put(CloudError(f"the broker says: {str(said)[:200]}"))

    def on_disconnected(self) -> None:
        """End the session."""
        self._frames.put(CloudError("the connection to the broker ended"))

    def on_heartbeat_timeout(self) -> None:
        """End the session."""
        self._frames.put(CloudError("the broker is silent"))

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Let every other event of stomp.py be."""
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)
