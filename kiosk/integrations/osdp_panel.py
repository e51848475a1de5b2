"""The kiosk as a small panel (CP) of readers: their cards and keys are heard, their light, buzzer and relay are driven.

One thread owns the line; it polls the readers and gives each command once. Everything goes over the secure channel.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from kiosk.errors import ConfigError
from kiosk.integrations.osdp import load_library, make_channel, read_key
from kiosk.integrations.serial_line import SerialLine
from kiosk.rules.cards import Card, decode, unpack
from kiosk.rules.lights import UNIT_S, Colour
from kiosk.settings.neighbours import OsdpSettings

STEP_S = 0.01  # between two looks at the line without a byte
REOPEN_S = 2.0  # between two tries to open a port that is gone
AGAIN_S = 10.0  # without an answer until a reader is greeted anew: libosdp would leave it alone for five minutes
FRESH_S = 0.5  # after which an opening that no reader confirmed is taken back: it would open for whoever comes then
LET_OUT_S = 1.0  # between two openings while people are let out
JOIN_S = 1.0
SHOWN_S = 3.0  # that a decision is shown by light
QUEUE = 32  # commands that wait; a line that takes none is lost
ENTER, CLEAR = "#", "*"
_KEYS = {0x0D: ENTER, 0x7F: CLEAR, ord("#"): ENTER, ord("*"): CLEAR}  # readers send either
LOST = "Card reader {address} does not answer. Look at its supply, line, address and key."

log = logging.getLogger("kiosk.osdp")


class OsdpPanel:
    """Readers, and what is heard of them. Built stopped; `start`, then `close`. Safe in several threads."""

    def __init__(
        self,
        settings: OsdpSettings,
        *,
        key: str | None,
        tell: Callable[[str | None], None] = lambda _sentence: None,
        hear_card: Callable[[Card], bool] = lambda _card: False,
        hear_keys: Callable[[str], None] = lambda _keys: None,
        lets_out_until: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """Take the parts; the port is opened by `start`.

        Args:
            settings: section [osdp], of role panel.
            key: of the secure channel, hexadecimal digits.
            tell: hears which reader is lost, and None once all are there.
            hear_card: hears a card; says whether it is anybody's. Called by the line's thread: must return soon.
            hear_keys: hears pressed keys: digits, # to enter, * to clear.
            lets_out_until: until when exit button or fire alarm let people out, monotonic s; the relay is on for it.

        Raises:
            ConfigError: libosdp is missing, another package overwrote it, or the key is none.
        """
        self._settings, self._key = settings, read_key(key)
        self._tell, self._hear_card, self._hear_keys = tell, hear_card, hear_keys
        self._lets_out_until, self._let_out_at = lets_out_until, -math.inf
        self._library = load_library()
        self._lock = threading.Lock()
        self._orders: deque[tuple[dict[str, Any], float]] = deque(maxlen=QUEUE)  # and until when, monotonic s
        # openings on their way, by reader: until when each may be
        self._unconfirmed = tuple(deque[float]() for _ in settings.addresses)
        self._secure: frozenset[int] = frozenset()
        self._cards = self._spoilt = 0
        self._told: str | None = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osdp", daemon=True)

    def __repr__(self) -> str:
        return "OsdpPanel()"

    def start(self) -> None:
        """Ask the readers from now on."""
        self._say()
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(timeout=JOIN_S)

    def figures(self) -> dict[str, Any]:
        """Return how the readers are, for health: JSON."""
        with self._lock:
            return {
                "role": "panel",
                "is_connected": len(self._secure) == len(self._settings.addresses),
                "reason": self._told or "",
                "readers": {str(one): one in self._secure for one in self._settings.addresses},
                "cards": self._cards,
                "spoilt": self._spoilt,
            }

    @property
    def is_secure(self) -> bool:
        """Whether every reader answers over the secure channel now."""
        return len(self._secure) == len(self._settings.addresses)

    @property
    def hears(self) -> bool:
        """Whether any reader answers over the secure channel now."""
        return bool(self._secure)

    @property
    def has_openings(self) -> bool:
        """Whether an opening is on its way that no reader confirmed yet."""
        with self._lock:
            return any(until < math.inf for _, until in self._orders) or any(self._unconfirmed)

    def show(self, *, is_open: bool) -> None:
        """Show a decision at every reader: green and a tone, or red and three."""
        self.light(Colour.GREEN if is_open else Colour.RED, SHOWN_S)
        self._order(command="Buzzer", control_code=2, on_count=1, off_count=1, rep_count=1 if is_open else 3)

    def light(self, colour: Colour, seconds: float) -> None:
        """Light every reader in a colour for some time."""
        self._order(
            command="LED",
            led_number=0,
            control_code=2,
            temporary=True,
            on_color=int(colour),
            off_color=0,
            on_count=1,
            off_count=0,
            timer_count=round(seconds / UNIT_S),
        )

    def open(self, seconds: float) -> bool:
        """Switch every reader's relay on for some time, which the reader itself ends; say whether one hears it.

        One that has not confirmed it after `FRESH_S` is not asked any more.
        """
        if not self._secure:
            return False
        # control code 5: on for the time given, then off, whatever was before; the line may break meanwhile
        self._order(
            command="Output",
            until=time.monotonic() + FRESH_S,
            output_no=0,
            control_code=5,
            timer_count=round(seconds / UNIT_S),
        )
        return True

    def _order(self, *, command: str, until: float = math.inf, **fields: Any) -> None:
        with self._lock:
            if self._secure:
                order = {"command": getattr(self._library.Command, command), "reader": 0, **fields}
                self._orders.append((order, until))

    # ---- the line's own thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    line = SerialLine(self._settings.port, self._settings.baud)
                except ConfigError as error:
                    log.warning("readers reason=%r", str(error))
                    self._stop.wait(REOPEN_S)
                    continue
                try:
                    self._serve(line)
                finally:
                    line.close()
                    self._note(frozenset())
        except Exception:  # the door goes on; health says that no reader is heard
            log.exception("osdp ended")
            self._note(frozenset())

    def _serve(self, line: SerialLine) -> None:
        context, missed_since = self._context(line), time.monotonic()
        while not self._stop.is_set() and not line.is_lost:
            line.wait(STEP_S)
            if self._is_late():  # before anything is sent: this thread may have been held up
                context = self._context(line)
            context.refresh()
            found = context.sc_status()
            self._note(frozenset(one for place, one in enumerate(self._settings.addresses) if found >> place & 1))
            now = time.monotonic()
            if self.is_secure:
                missed_since = now
            elif now - missed_since > AGAIN_S and not self._secure:
                context, missed_since = self._context(line), now
            self._let_out(now)
            self._give(context)

    def _let_out(self, now: float) -> None:
        """Hold the relay while people are let out; a reader that comes back meanwhile learns of it."""
        left_s = self._lets_out_until() - now
        if left_s > 0.0 and now - self._let_out_at >= LET_OUT_S:
            self._let_out_at = now
            self.open(max(left_s, 2 * LET_OUT_S))

    def _give(self, context: Any) -> None:
        """Give the commands that wait to every reader that answers."""
        with self._lock:
            orders, now = list(self._orders), time.monotonic()
            self._orders.clear()
        for order, until in orders:
            for place, address in enumerate(self._settings.addresses):
                is_given = address in self._secure and now <= until and context.submit_command(place, order)
                if is_given and until < math.inf:
                    self._unconfirmed[place].append(until)

    def _is_late(self) -> bool:
        """Say whether a reader did not confirm an opening in time.

        libosdp holds a line for sound for some seconds after it broke, and repeats a command until it is back. Only
        another context forgets one that is on its way.
        """
        now = time.monotonic()
        late = [place for place, waiting in enumerate(self._unconfirmed) if waiting and now > waiting[0]]
        for place in late:
            log.warning("opening taken back reader=%d", self._settings.addresses[place])
        return bool(late)

    def _confirmed(self, place: int, command: dict[str, Any], _status: int) -> None:
        if command["command"] == self._library.Command.Output and self._unconfirmed[place]:
            self._unconfirmed[place].popleft()

    def _note(self, secure: frozenset[int]) -> None:
        if secure != self._secure:
            with self._lock:
                self._secure = secure
                if not secure:
                    self._orders.clear()
        self._say()

    def _say(self) -> None:
        missing = [one for one in self._settings.addresses if one not in self._secure]
        why = " ".join(LOST.format(address=one) for one in missing) or None
        if why != self._told:
            self._told = why
            log.log(logging.INFO if why is None else logging.WARNING, "readers reason=%r", why or "")
            self._tell(why)

    def _context(self, line: SerialLine) -> Any:
        library = self._library
        readers = [
            library.PDInfo(
                address,
                make_channel(library, line),
                scbk=self._key,
                flags=[library.LibFlag.EnforceSecure],
                name=f"reader-{address}",
            )
            for address in self._settings.addresses
        ]
        context = library.ControlPanel(readers, log_level=library.LogLevel.Emergency).ctx
        context.set_event_callback(self._take)
        context.set_command_completion_callback(self._confirmed)
        for waiting in self._unconfirmed:
            waiting.clear()
        return context

    def _take(self, place: int, event: dict[str, Any]) -> int:
        """Take what a reader says; it may be anything, and nothing of it ends the thread."""
        known = self._library.Event
        try:
            if event["event"] == known.CardRead and event["format"] == self._library.CardFormat.ASCII:
                raise ValueError("a card in letters: as bits, all that begin alike would be one")
            if event["event"] == known.CardRead:
                card = decode(unpack(bytes(event["data"]), event["length"]))
                self._cards += 1
                if not self._hear_card(card):
                    self.light(Colour.RED, 1.0)
            elif event["event"] == known.KeyPress:
                pressed = (_KEYS.get(one, chr(one)) for one in bytes(event["data"]))
                self._hear_keys("".join(one for one in pressed if one in "0123456789#*"))
        except ValueError:
            self._spoilt += 1
            log.warning("card spoilt reader=%d", place)
        return 0


def try_readers(settings: OsdpSettings, *, key: str | None, wait_s: float) -> dict[str, bool]:
    """Ask the readers until all answer, or for so long; return which did, by address."""
    panel = OsdpPanel(settings, key=key)
    panel.start()
    until = time.monotonic() + wait_s
    while not panel.is_secure and time.monotonic() < until:
        time.sleep(STEP_S)  # for a command that asks once; the line has a thread of its own, which tells nobody
    found: dict[str, bool] = panel.figures()["readers"]
    panel.close()
    return found
