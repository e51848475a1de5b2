"""A serial port as OSDP wants it: raw, without waiting, and this process's alone.

RS-485 adapters that turn the direction by themselves need nothing; on others the kernel's driver does it.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty

from kiosk.errors import ConfigError

SPEEDS = {speed: getattr(termios, f"B{speed}") for speed in (9600, 19200, 38400, 57600, 115200, 230400)}
_INPUT_SPEED, _OUTPUT_SPEED = 4, 5  # places in what termios gives


class SerialLine:
    """A port, open. One thread's."""

    def __init__(self, path: str, baud: int) -> None:
        """Open a port.

        Raises:
            ConfigError: it is not there, is no serial port, or another process has it.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"[osdp] port {path}: {error.strerror}") from None
        try:
            fcntl.flock(
                self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # two readers of one line would take each other's bytes
            tty.setraw(self._fd)
            how = termios.tcgetattr(self._fd)
            how[_INPUT_SPEED] = how[_OUTPUT_SPEED] = SPEEDS[baud]
            termios.tcsetattr(self._fd, termios.TCSANOW, how)
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        except BlockingIOError:
            os.close(self._fd)
            raise ConfigError(f"[osdp] port {path}: another process has it; is the kiosk running?") from None
        except (OSError, termios.error) as error:
            os.close(self._fd)
            raise ConfigError(f"[osdp] port {path} is not a serial port: {error}") from None
        self.is_lost = False

    def wait(self, seconds: float) -> None:
        """Return once something came, or after so many seconds."""
        if not self.is_lost:
            select.select([self._fd], [], [], seconds)

    def read(self, most: int) -> bytes:
        """Return what came; nothing where nothing did, or the adapter is gone."""
        if self.is_lost:
            return b""
        try:
            return os.read(self._fd, most)
        except BlockingIOError:
            return b""
        except OSError:  # unplugged
            self.is_lost = True
            return b""

    def write(self, content: bytes) -> int:
        """Send; return how many bytes went."""
        if self.is_lost:
            return 0
        try:
            return os.write(self._fd, content)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_lost = True
            return 0

    def close(self) -> None:
        """Let go of the port."""
        os.close(self._fd)
