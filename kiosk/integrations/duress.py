"""The silent alarm outward: a webhook for each entry under duress, signed, sent until somebody takes it.

Nothing waits for it, and nothing tells of it here: no line of the log and no figure differs by whether there was an
alarm, or whether it has arrived. Alarms that nobody took are kept until the process ends; those of before are listed
at GET /device/duress for administrators. Beside it stand MQTT (mqtt.py), the log server and a panel (osdp_alarm.py).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kiosk.didit.webhooks import signed
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.integrations.teller import Teller

WITHIN_S = 10.0
AGAIN_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # between two tries; the last for as long as it takes
MOST = 1000  # that wait


class DuressWebhook:
    """Sends the alarms. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(
        self,
        news: Broadcast,
        url: str,
        *,
        secret: Callable[[], str | None],
        again_s: tuple[float, ...] = AGAIN_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts.

        Args:
            news: tells of alarms.
            url: whom they are told to.
            secret: reads what they are signed with; without one nothing is sent.
            again_s: waits between tries.
            now: s UTC.
        """
        self._url, self._secret, self._again_s, self._now = url, secret, again_s, now
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
                self._waiting.append((str(uuid.uuid4()), {**news.data}))
                self._teller.changed.notify()

    def _run(self) -> None:
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
