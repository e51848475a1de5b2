"""The silent alarm outward: a webhook for each entry under duress, signed, sent until somebody takes it.

Nothing waits for it, and nothing tells of it here: no line of the log and no figure differs by whether there was an
alarm, or whether it has arrived. A file of those that wait would tell, so none is written: the next process sends the
alarms of the last hour again, from what is sealed beside the decisions, each under the name it had. A receiver knows by
it what it has. Beside this stand MQTT (mqtt.py), the log server and a panel (osdp_alarm.py).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from kiosk.didit.webhooks import signed
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.integrations.teller import Teller

WITHIN_S = 10.0
AGAIN_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # between two tries; the last for as long as it takes
EARLIER_S = 3600.0  # before a start: what another process may not have got rid of
MOST = 1000  # that wait
_NAMES = uuid.UUID("6c4f3a52-5d3e-4e39-9d0b-0f1c5f1f7a44")  # of alarms by their decision: one always has one name


class DuressWebhook:
    """Sends the alarms. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(
        self,
        news: Broadcast,
        url: str,
        *,
        secret: Callable[[], str | None],
        earlier: Callable[[float], Iterable[Mapping[str, Any]]] = lambda _since: (),
        again_s: tuple[float, ...] = AGAIN_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts.

        Args:
            news: tells of alarms.
            url: whom they are told to.
            secret: reads what they are signed with; without one nothing is sent.
            earlier: reads the alarms since a time, s UTC, oldest first; asked once, by the thread that sends.
            again_s: waits between tries.
            now: s UTC.
        """
        self._url, self._secret, self._again_s, self._now = url, secret, again_s, now
        self._earlier = earlier
        self._waiting: deque[tuple[str, Mapping[str, Any]]] = deque(maxlen=MOST)
        self._is_new = False  # whether one came since the last round
        self._client: Any = None
        self._teller = Teller("alarm", news, hear=self._hear, run=self._run)

    def __repr__(self) -> str:
        return "DuressWebhook()"

    def start(self) -> None:
        """Send from now on."""
        import httpx  # 150 ms, here and not at an alarm, as it would hold up the other threads  # noqa: PLC0415

        logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes a line for each call
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._client = httpx.Client(timeout=WITHIN_S, follow_redirects=False)
        self._teller.start()

    def close(self) -> None:
        """End; what was not taken yet is not sent."""
        self._teller.close()
        if self._client is not None:
            self._client.close()

    def figures(self) -> dict[str, Any]:
        """Return that there is such a webhook, and no more."""
        return {"is_set": True}

    def _hear(self, news: News) -> None:
        if news.topic is Topic.DURESS:
            with self._teller.changed:
                self._waiting.append((_name(news.data), {**news.data}))
                self._is_new = True
                self._teller.changed.notify()

    def _recall(self) -> None:
        """Put the alarms of before this start first; those of since then wait already."""
        try:
            found = [(_name(one), one) for one in self._earlier(self._now() - EARLIER_S)]
        except Exception:  # noqa: BLE001  a store that cannot be read; its text may say that there was an alarm
            return
        with self._teller.changed:
            known = {name for name, _ in self._waiting}
            self._waiting.extendleft(one for one in reversed(found) if one[0] not in known)

    def _run(self) -> None:
        self._recall()
        tries, teller = 0, self._teller
        while True:
            with teller.changed:
                teller.changed.wait_for(lambda: self._waiting or teller.is_ending)
                if teller.is_ending:
                    return
                waiting, self._is_new = list(self._waiting), False
            if self._send_all(waiting):
                tries = 0
                continue
            wait_s = self._again_s[min(tries, len(self._again_s) - 1)]
            with teller.changed:  # an alarm waits for no other one
                teller.changed.wait_for(lambda: self._is_new or teller.is_ending, wait_s)
            tries += 1

    def _send_all(self, waiting: Iterable[tuple[str, Mapping[str, Any]]]) -> bool:
        """Send alarms in their order; say whether all were taken.

        One that its receiver refuses, such as one that it has already (409), waits, and holds up no other one.
        """
        are_taken = True
        for name, alarm in waiting:
            status = self._send(name, alarm)
            if self._teller.is_ending or status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return False
            if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                are_taken = False
                continue
            with self._teller.changed:
                self._waiting = deque((one for one in self._waiting if one[0] != name), MOST)
        return are_taken

    def _send(self, name: str, alarm: Mapping[str, Any]) -> int | None:
        """Return the receiver's status; None where there is none."""
        try:
            secret = self._secret()
            if secret is None:
                return None
            payload = {"event_id": name, "webhook_type": "duress", **alarm}
            body, headers = signed(payload, secret, at=int(self._now()))
            headers["idempotency-key"] = name
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                return int(answer.status_code)  # of what follows, which may have no end, nothing is read
        except Exception:  # noqa: BLE001  whatever it was, its text may say that there was an alarm
            return None


def _name(alarm: Mapping[str, Any]) -> str:
    """Return what an alarm is called by its receiver, however often it comes."""
    request_id = alarm["request_id"]
    return str(uuid.uuid4() if request_id is None else uuid.uuid5(_NAMES, request_id))
