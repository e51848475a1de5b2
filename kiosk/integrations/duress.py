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
                name, alarm = self._waiting[0]
            if self._send(name, alarm):
                tries = 0
                with teller.changed:
                    if self._waiting and self._waiting[0][0] == name:  # a full queue may have dropped it
                        self._waiting.popleft()
                continue
            teller.rests(self._again_s[min(tries, len(self._again_s) - 1)])
            tries += 1

    def _send(self, name: str, alarm: Mapping[str, Any]) -> bool:
        try:
            secret = self._secret()
            if secret is None:
                return False
            payload = {"event_id": name, "webhook_type": "duress", **alarm}
            body, headers = signed(payload, secret, at=int(self._now()))
            headers["idempotency-key"] = name
            taken = bool(self._client.post(self._url, content=body, headers=headers).is_success)
        except Exception:  # noqa: BLE001  whatever it was, its text may say that there was an alarm
            return False
        return taken


def _name(alarm: Mapping[str, Any]) -> str:
    """Return what an alarm is called by its receiver, however often it comes."""
    request_id = alarm["request_id"]
    return str(uuid.uuid4() if request_id is None else uuid.uuid5(_NAMES, request_id))
