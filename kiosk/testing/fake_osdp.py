"""A panel and a reader of OSDP at the other end of a pseudo-terminal: libosdp's own, with every byte of the line kept.

`FakePanel` asks a kiosk that is a reader, `FakeReader` answers a kiosk that is the panel.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
import tty
from collections.abc import Callable, Sequence
from typing import Any

STEP_S = 0.005  # between two looks at the line
AGAIN_S = 2.0  # without an answer until a panel begins anew

_library: Any = None


def _loaded() -> Any:
    global _library  # noqa: PLW0603  an extra, loaded with the first fake
    if _library is None:
        _library = importlib.import_module("osdp")
        importlib.import_module("osdp_sys").set_loglevel(_library.LogLevel.Emergency)
    return _library


class PseudoLine:
    """A serial line whose other end is a file: what passes, both ways, is kept in `wire`."""

    def __init__(self) -> None:
        """Make both ends; `path` is the kiosk's."""
        self._here, self._there = os.openpty()
        for end in (self._here, self._there):
            tty.setraw(end)
        os.set_blocking(self._here, False)
        self.path = os.ttyname(self._there)
        self.wire = bytearray()
        self.is_cut = False

    def channel(self) -> Any:
        """Return libosdp's view of this end."""
        line = self

        class Channel(_loaded().Channel):  # type: ignore[misc]  # its base is known only once it is loaded
            """This end."""

            def read(self, max_bytes: int) -> bytes:
                return line.read(max_bytes)

            def write(self, buf: bytes) -> int:
                return line.write(bytes(buf))

            def flush(self) -> None:
                """Do nothing."""

        return Channel()

    def read(self, most: int) -> bytes:
        """Return what came."""
        try:
            came = os.read(self._here, most)
        except OSError:  # nothing, or nobody at the other end
            return b""
        self.wire += came
        return b"" if self.is_cut else came

    def write(self, content: bytes) -> int:
        """Send."""
        if self.is_cut:
            return len(content)
        self.wire += content
        try:
            return os.write(self._here, content)
        except OSError:
            return 0

    def close(self) -> None:
        """Pull the plug."""
        os.close(self._here)
        os.close(self._there)


class _Fake:
    """A context of libosdp that a thread keeps going. Its commands are given by that thread alone."""

    def __init__(self) -> None:
        self.line = PseudoLine()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._context: Any = None
        self._thread = threading.Thread(target=self._run, name="fake osdp", daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(STEP_S):
            with self._lock:
                self._step()

    def _step(self) -> None:
        self._context.refresh()

    def close(self) -> None:
        """End, and pull the plug."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._context = None
        self.line.close()


class FakePanel(_Fake):
    """An access control panel with one reader: a kiosk at `line.path`."""

    def __init__(
        self,
        key: bytes,
        *,
        address: int = 0,
        hear: Callable[[dict[str, Any]], None] | None = None,
        installs: bool = False,
    ) -> None:
        """Begin to ask.

        Args:
            key: of the secure channel; anything else is refused.
            address: of the reader.
            hear: called with each event, beside `events`.
            installs: set the key to a reader that has none, over a channel with the key that everybody knows.
        """
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._installs = installs
        self._key, self._address, self._hear = key, address, hear
        self._silent_since = time.monotonic()
        self._context = self._begin()
        self._thread.start()

    def _begin(self) -> Any:
        library = _loaded()
        flags = [] if self._installs else [library.LibFlag.EnforceSecure]
        reader = library.PDInfo(self._address, self.line.channel(), scbk=self._key, flags=flags)
        context = library.ControlPanel([reader], log_level=library.LogLevel.Emergency).ctx
        context.set_event_callback(self._take)
        return context

    def _take(self, _reader: int, event: dict[str, Any]) -> int:
        self.events.append(event)
        if self._hear is not None:
            self._hear(event)
        return 0

    def _step(self) -> None:
        """Go on; libosdp leaves a reader alone for five minutes once its handshake came late, which this does not."""
        self._context.refresh()
        now = time.monotonic()
        if self._context.status():
            self._silent_since = now
        elif now - self._silent_since > AGAIN_S:
            self._silent_since, self._context = now, self._begin()

    @property
    def is_secure(self) -> bool:
        """Whether the reader answers over the secure channel."""
        with self._lock:
            return bool(self._context.sc_status())

    @property
    def is_online(self) -> bool:
        """Whether the reader answers."""
        with self._lock:
            return bool(self._context.status())

    def order(self, **command: Any) -> bool:
        """Give the reader a command, by libosdp's names of its fields."""
        with self._lock:
            return bool(self._context.submit_command(0, command))

    def light(self, colour: int, *, seconds: float = 0.0) -> bool:
        """Have the reader show a colour, for so long or from now on."""
        code = 2 if seconds else 1
        return self.order(
            command=_loaded().Command.LED,
            reader=0,
            led_number=0,
            control_code=code,
            on_count=1,
            off_count=0,
            on_color=colour,
            off_color=0,
            timer_count=round(seconds * 10),
            temporary=bool(seconds),
        )

    def sound(self, times: int) -> bool:
        """Have the reader beep."""
        return self.order(
            command=_loaded().Command.Buzzer, reader=0, control_code=2, on_count=1, off_count=1, rep_count=times
        )

    def set_key(self, key: bytes) -> bool:
        """Give the reader another key."""
        self._key = key
        return self.order(command=_loaded().Command.Keyset, type=1, data=key)

    def inputs(self) -> list[bytes]:
        """Return what came of the reader's inputs, a byte each."""
        return [bytes(one["report"]) for one in self.events if one["event"] == _loaded().Event.Status]

    def cards(self) -> list[dict[str, Any]]:
        """Return the cards that came."""
        return [one for one in self.events if one["event"] == _loaded().Event.CardRead]

    def pressed(self) -> bytes:
        """Return what was pressed."""
        return b"".join(one["data"] for one in self.events if one["event"] == _loaded().Event.KeyPress)


class FakeReader(_Fake):
    """A reader with a keypad, a light and a relay, for a kiosk that is the panel."""

    def __init__(self, key: bytes, *, address: int = 1) -> None:
        """Begin to answer."""
        super().__init__()
        library = _loaded()
        self.commands: list[dict[str, Any]] = []
        about = library.PDInfo(address, self.line.channel(), scbk=key, flags=[library.LibFlag.EnforceSecure])
        abilities = [
            (library.Capability.CardDataFormat, 1, 1),
            (library.Capability.LEDControl, 4, 1),
            (library.Capability.AudibleControl, 2, 1),
            (library.Capability.OutputControl, 1, 1),
            (library.Capability.CommunicationSecurity, 1, 1),
        ]
        made = library.PeripheralDevice(about, library.PDCapabilities(abilities), log_level=library.LogLevel.Emergency)

        def obey(command: dict[str, Any]) -> tuple[int, None]:
            self.commands.append(command)
            return 0, None

        self._context = made.ctx
        self._context.set_command_callback(obey)
        self._thread.start()

    @property
    def is_secure(self) -> bool:
        """Whether the panel asks over the secure channel."""
        with self._lock:
            return bool(self._context.is_sc_active())

    def hold(self, bits: Sequence[int]) -> bool:
        """Hold a card to the reader."""
        content = int("".join(map(str, bits)).ljust(-(-len(bits) // 8) * 8, "0"), 2)
        with self._lock:
            return bool(
                self._context.submit_event(
                    {
                        "event": _loaded().Event.CardRead,
                        "reader_no": 0,
                        "direction": 0,
                        "format": _loaded().CardFormat.Wiegand,
                        "length": len(bits),
                        "data": content.to_bytes(-(-len(bits) // 8), "big"),
                    }
                )
            )

    def press(self, keys: bytes) -> bool:
        """Press keys: digits as ASCII, 0x0D to enter, 0x7F to clear."""
        with self._lock:
            return bool(self._context.submit_event({"event": _loaded().Event.KeyPress, "reader_no": 0, "data": keys}))
