"""The kiosk as a reader (PD) of an access control panel: it sends the card of the person decided, the panel opens.

One thread owns the line. Cards go over the secure channel or not at all: while there is none, or the panel is silent,
nothing is queued, as a card told late would open for whoever stands there then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from kiosk.errors import ConfigError
from kiosk.integrations.osdp import load_library, make_reader, read_key
from kiosk.integrations.osdp_alarm import DuressInput
from kiosk.integrations.serial_line import SerialLine
from kiosk.rules.cards import Card, pack
from kiosk.rules.lights import Light
from kiosk.settings.neighbours import OsdpSettings

STEP_S = 0.02  # between two looks at the line without a byte
REOPEN_S = 2.0  # between two tries to open a port that is gone
HANDSHAKE_S = 3.0  # that a panel may ask without a secure channel until its key is said to be wrong
STALE_S = 1.0  # after which a card that the panel did not fetch is taken back
JOIN_S = 1.0
LOST = "The access control panel does not ask this reader ({why}). Look at the line, its speed and address."
INSECURE = "The access control panel asks, but no secure channel is set up: its key is not the one kept here."

log = logging.getLogger("kiosk.osdp")


class OsdpReader:
    """A reader of an existing panel. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(
        self,
        settings: OsdpSettings,
        *,
        key: str | None,
        tell: Callable[[str | None], None] = lambda _sentence: None,
        show: Callable[[Light | None], None] = lambda _light: None,
        keep_key: Callable[[str], None] | None = None,
        installs: bool = False,
    ) -> None:
        """Take the parts; the port is opened by `start`.

        Args:
            settings: section [osdp], with a port.
            key: of the secure channel, hexadecimal digits.
            tell: hears why the panel is lost, and None once it is there.
            show: hears what the panel has light and buzzer do, from its first word on; None once it is lost.
            keep_key: keeps a key that the panel sets over the secure channel; None: keys are refused.
            installs: take the key that everybody knows (SCBK-D) until the panel has set one; `key` is None then.

        Raises:
            ConfigError: libosdp is missing, another package overwrote it, or the key is none.
        """
        self._settings, self._key, self._tell, self._show, self._keep_key = (
            settings,
            None if installs else read_key(key),
            tell,
            show,
            keep_key,
        )
        self._library = load_library()
        self._lock = threading.Lock()
        self._queue: deque[tuple[dict[str, Any], float]] = deque()  # and when it was told, monotonic s
        self._sent_at: deque[float] = deque()  # monotonic s, of what the panel has not fetched yet
        self._is_secure = False
        self._sent = self._dropped = 0
        self._secured_after_s: float | None = None
        self._told: str | None = ""  # nothing was told yet
        self._light = Light()
        self.alarm = DuressInput(self._library)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osdp", daemon=True)

    def __repr__(self) -> str:
        return "OsdpReader()"

    def start(self) -> None:
        """Answer the panel from now on, whenever it asks."""
        self._say(LOST.format(why="it has not answered yet"))
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._stop.set()
        self._thread.join(timeout=JOIN_S)

    def figures(self) -> dict[str, Any]:
        """Return how the line is, for health: JSON."""
        with self._lock:
            return {
                "role": "reader",
                "is_connected": self._is_secure,
                "reason": self._told or "",
                "sent": self._sent,
                "dropped": self._dropped,
                "secured_after_s": self._secured_after_s,
            }

    @property
    def is_secure(self) -> bool:
        """Whether the panel asks over the secure channel now."""
        return self._is_secure

    def send_card(self, card: Card) -> bool:
        """Tell the panel a card; say whether it is on its way. Returns at once."""
        bits = card.bits
        library = self._library
        return self._send(
            {
                "event": library.Event.CardRead,
                "reader_no": 0,
                "direction": 0,
                "format": library.CardFormat.Wiegand,
                "length": len(bits),
                "data": pack(bits),
            }
        )

    def send_keys(self, digits: str) -> bool:
        """Tell the panel what was pressed on the keypad: digits, * to clear and # to enter."""
        data = bytes(0x7F if sign == "*" else 0x0D if sign == "#" else ord(sign) for sign in digits)
        return self._send({"event": self._library.Event.KeyPress, "reader_no": 0, "data": data})

    def _send(self, event: dict[str, Any]) -> bool:
        with self._lock:
            if not self._is_secure:
                self._dropped += 1
                return False
            self._queue.append((event, time.monotonic()))
            return True

    # ---- the line's own thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    line = SerialLine(self._settings.port, self._settings.baud)
                except ConfigError as error:
                    self._say(LOST.format(why=error))
                    self._stop.wait(REOPEN_S)
                    continue
                try:
                    self._serve(line)
                finally:
                    line.close()
        except Exception:  # the door goes on; health says that the panel hears nothing
            log.exception("osdp ended")
            self._lose(LOST.format(why="the line ended by a fault; see the log"))

    def _serve(self, line: SerialLine) -> None:
        """Answer at an open port until it is gone."""
        device = self._device(line)
        began = time.monotonic()
        while not self._stop.is_set() and not line.is_lost:
            line.wait(STEP_S)
            self._take_back(device)  # before the panel is answered: this thread may have been held up
            device.refresh()
            now = time.monotonic()
            if device.is_sc_active():
                self._talk(device, began, now)
            else:
                if self._is_secure:
                    device.flush_events()
                    began = now
                if not device.is_online():
                    began, why = now, LOST.format(why="it is silent")
                elif now - began > HANDSHAKE_S:
                    why = INSECURE
                else:
                    why = LOST.format(why="the secure channel is being made")
                self._lose(why)
        if line.is_lost:
            self._lose(LOST.format(why=f"the port {line.path} is gone"))

    def _talk(self, device: Any, began: float, now: float) -> None:
        with self._lock:
            if not self._is_secure:
                self._is_secure, self._secured_after_s = True, round(now - began, 3)
            waiting = list(self._queue)
            self._queue.clear()
        self._say(None)
        for event, told_at in waiting:
            if now - told_at <= STALE_S and device.submit_event(event):
                self._sent_at.append(told_at)
            else:
                self._dropped += 1
        if (told := self.alarm.to_tell(now)) is not None:
            device.submit_event(told)

    def _take_back(self, device: Any) -> None:
        """Take back what the panel did not fetch in time."""
        with self._lock:
            is_stale = bool(self._sent_at) and time.monotonic() - self._sent_at[0] > STALE_S
            if is_stale:
                self._dropped += len(self._sent_at)
                self._sent_at.clear()
        if is_stale:
            device.flush_events()

    def _lose(self, why: str) -> None:
        with self._lock:
            self._is_secure = False
            self._dropped += len(self._queue) + len(self._sent_at)
            self._queue.clear()
            self._sent_at.clear()
        self._say(why)

    def _say(self, why: str | None) -> None:
        if why != self._told:
            self._told = why
            log.log(logging.INFO if why is None else logging.WARNING, "panel reason=%r", why or "")
            if why is not None:
                self._show(None)
            self._tell(why)

    def _device(self, line: SerialLine) -> Any:
        made = make_reader(self._library, self._settings.address, self._key, line)
        made.set_command_callback(self._obey)
        made.set_event_completion_callback(self._fetched)
        return made

    def _fetched(self, event: dict[str, Any], status: int) -> None:
        if self.alarm.note_fetched(event, is_taken=status == self._library.CompletionStatus.Ok):
            return  # and nothing is counted: no figure tells of it
        with self._lock:
            if self._sent_at:
                self._sent_at.popleft()
            if status == self._library.CompletionStatus.Ok:
                self._sent += 1
            else:
                self._dropped += 1

    def _obey(self, command: dict[str, Any]) -> tuple[int, None]:
        """Do what the panel wants; -1 refuses."""
        known, now = self._library.Command, time.monotonic()
        if command["command"] == known.LED and command["led_number"] == 0:
            self._light = self._light.led(command, now)
        elif command["command"] == known.Buzzer:
            self._light = self._light.buzzer(command, now)
        elif command["command"] == known.Keyset:
            return (0 if self._take_key(bytes(command["data"])) else -1), None
        else:
            return (0 if command["command"] == known.LED else -1), None
        self._show(self._light)
        return 0, None

    def _take_key(self, key: bytes) -> bool:
        """Keep another key, before the panel is told that it holds."""
        try:
            text = read_key(key.hex()).hex()
            if self._keep_key is None:
                return False
            self._keep_key(text)
        except Exception as error:  # noqa: BLE001  a store that takes nothing: the old key stays, at both ends
            log.warning("key refused reason=%s", type(error).__name__)
            return False
        self._key = key
        log.info("key changed by the panel")
        return True


def try_line(settings: OsdpSettings, *, key: str | None, wait_s: float) -> OsdpReader:
    """Answer a panel until the secure channel stands, or for so long; return the reader, closed."""
    reader = OsdpReader(settings, key=key)
    reader.start()
    until = time.monotonic() + wait_s
    while not reader.is_secure and time.monotonic() < until:
        time.sleep(STEP_S)  # for a command that asks once; the line has a thread of its own, which tells nobody
    reader.close()
    return reader


def install(settings: OsdpSettings, *, wait_s: float) -> str:
    """Be a reader without a key until the panel has set one, and it holds; return it, hexadecimal digits.

    Whoever listens at the line meanwhile reads the key: the channel is made with one that everybody knows.

    Raises:
        ConfigError: none came within `wait_s`, or it did not come to hold.
    """
    kept: list[str] = []
    reader = OsdpReader(settings, key=None, keep_key=kept.append, installs=True)
    reader.start()
    until = time.monotonic() + wait_s
    while not (kept and reader.is_secure) and time.monotonic() < until:
        time.sleep(STEP_S)  # for a command too: the line's thread tells nobody that it holds
    reader.close()
    if not kept:
        raise ConfigError(
            f"the panel has set no key; put it into its mode of installation. {reader.figures()['reason']}"
        )
    if not reader.is_secure:
        raise ConfigError("the panel has set a key and does not speak with it; begin its installation again")
    return kept[-1]
