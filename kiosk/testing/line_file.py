"""Door lines in a file: for a kiosk in a process of its own, whose button a test presses and whose relay it watches.

`[door] chip = "simulated:FILE"` has `kiosk run` use them; the other settings of the door are as on a real chip.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Collection, Mapping
from pathlib import Path

from kiosk.door.lines import Input, Output
from kiosk.errors import DoorError

SIMULATED = "simulated:"  # before the file's name, as the chip of [door]
_PULSES = struct.Struct("Q")
_PLACES = {name: place for place, name in enumerate([*Output, *Input])}
_PULSES_AT = 16
_BYTES = _PULSES_AT + _PULSES.size


class LineFile:
    """Lines that every process sees which maps the file. One process drives, others watch."""

    def __init__(self, path: Path, inputs: Collection[str] = tuple(Input)) -> None:
        """Map the file, made where it is not there; `inputs` are those that are wired.

        Raises:
            DoorError: it cannot be had.
        """
        self._path = path
        self._inputs = [one for one in Input if one.value in inputs]
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(handle, max(_BYTES, os.fstat(handle).st_size))
                self._bytes = mmap.mmap(handle, _BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            raise DoorError(f"{path}: {error.strerror}") from error
        self._is_closed = False

    def set(self, values: Mapping[Output, bool]) -> None:
        """Drive outputs."""
        self._check()
        for output, on in values.items():
            if output is Output.RELAY and on and not self._bytes[_PLACES[output]]:
                self._bytes[_PULSES_AT:_BYTES] = _PULSES.pack(self.pulses + 1)
            self._bytes[_PLACES[output]] = on

    def read(self) -> Mapping[Input, bool]:
        """Return the inputs that are wired."""
        self._check()
        return {one: bool(self._bytes[_PLACES[one]]) for one in self._inputs}

    def close(self) -> None:
        """Switch every output off and let go of the lines; again does nothing."""
        if not self._is_closed:
            self.set(dict.fromkeys(Output, False))
            self._is_closed = True

    # ---- the world's side

    def turn(self, line: Input, *, on: bool) -> None:
        """Open or close the door, press or release the button."""
        self._bytes[_PLACES[line]] = on

    @property
    def lit(self) -> frozenset[Output]:
        """The outputs that are on."""
        return frozenset(output for output in Output if self._bytes[_PLACES[output]])

    @property
    def pulses(self) -> int:
        """How often the relay was switched on."""
        count: int = _PULSES.unpack(self._bytes[_PULSES_AT:_BYTES])[0]
        return count

    def _check(self) -> None:
        if self._is_closed:
            raise DoorError("the lines are closed")
