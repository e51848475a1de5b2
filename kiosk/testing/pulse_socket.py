"""A Wiegand reader at a socket in a file: for a kiosk in a process of its own, to whose reader somebody holds a card.

`[wiegand] chip = "simulated:FILE"` has `kiosk run` use it. What arrives are the bits of a card as text; the kiosk's
decoder gets them as pulses with a reader's distances, so parity and length are looked at as on real lines.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from kiosk.errors import DoorError
from kiosk.rules.cards import Card
from kiosk.rules.wiegand import Pulse
from kiosk.testing.fake_wiegand import EVERY_S

LONGEST = 256  # bits of one telegram


class PulseSocket:
    """The lines: what `integrations/wiegand_reader.py` waits at."""

    def __init__(self, path: Path) -> None:
        """Take the place; one that an ended kiosk left is taken over.

        Raises:
            DoorError: it cannot be had.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            self._socket.close()
            raise DoorError(f"{path}: {error.strerror or error}") from error

    def wait(self, seconds: float) -> list[Pulse]:
        """Return a card's pulses, once there is one or after so many seconds."""
        self._socket.settimeout(seconds)
        try:
            bits = self._socket.recv(LONGEST)
        except TimeoutError:
            return []
        except OSError as error:
            raise DoorError(f"{self._path}: {error.strerror}") from error
        began = time.monotonic() - EVERY_S * len(bits)
        return [Pulse(int(bit == ord("1")), began + EVERY_S * place) for place, bit in enumerate(bits)]

    def clock(self) -> float:
        """Return the time of the pulses."""
        return time.monotonic()

    def close(self) -> None:
        """Let go."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def hold(path: Path, card: Card) -> bool:
    """Hold a card to the reader; say whether a kiosk reads it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        try:
            line.sendto("".join(map(str, card.bits)).encode(), str(path))
        except OSError:
            return False
    return True
