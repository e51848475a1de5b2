"""The lines of a door: relay, lamps and buzzer that the kiosk drives, contact and exit button that it reads."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Protocol

from kiosk.errors import DoorError
from kiosk.settings.door import DoorSettings


class Output(str, Enum):
    """A line that the kiosk drives. On means energised, whatever the level is."""

    RELAY = "relay"
    SECOND_RELAY = "second_relay"  # of the inner door of an airlock
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    BUZZER = "buzzer"


class Input(str, Enum):
    """A line that the kiosk reads."""

    CONTACT = "contact"  # on: the door is open, or the wire is cut
    SECOND_CONTACT = "second_contact"  # on: the inner door of an airlock is open, or the wire is cut
    FIRE = "fire"  # on: the fire alarm unlocks the door, or the wire is cut
    EXIT = "exit"  # on: the exit button is pressed
    LOCKDOWN = "lockdown"  # on: a switch locks the door down, or the wire is cut


class Lines(Protocol):
    """The lines of a door. Every output is off when it is made, and after `close`."""

    def set(self, values: Mapping[Output, bool]) -> None:
        """Drive outputs; those that are not wired are passed over.

        Raises:
            DoorError: it could not be done, or the lines are closed.
        """

    def read(self) -> Mapping[Input, bool]:
        """Return the inputs that are wired.

        Raises:
            DoorError: it could not be done, or the lines are closed.
        """

    def close(self) -> None:
        """Switch every output off and let go of the lines; again does nothing."""


class GpiodLines:
    """Lines of a GPIO character device, by libgpiod 2: the same on Raspberry Pi and Jetson."""

    def __init__(self, chip: str, offsets: Mapping[str, int], active_low: Collection[str] = ()) -> None:
        """Take the lines, outputs off from the first moment.

        Args:
            chip: path of the device, such as /dev/gpiochip0.
            offsets: name of an Output or Input to its offset on the chip.
            active_low: names of the lines that are on at low level.

        Raises:
            DoorError: libgpiod is missing, or the chip or a line cannot be had.
        """
        try:
            gpiod: Any = importlib.import_module("gpiod")  # only where there is a door; it has wheels for Linux alone
            line: Any = importlib.import_module("gpiod.line")
            self._value = line.Value
            wanted = {
                offset: gpiod.LineSettings(
                    direction=line.Direction.INPUT if name in set(Input) else line.Direction.OUTPUT,
                    # A cut wire then reads as an open door and as a button that nobody pressed.
                    bias=line.Bias.PULL_UP if name in set(Input) else line.Bias.AS_IS,
                    active_low=name in active_low,
                    output_value=line.Value.INACTIVE,
                )
                for name, offset in offsets.items()
            }
        except (ImportError, AttributeError) as error:
            raise DoorError(f"{chip}: libgpiod 2 for Python is missing ({error}); pip install 'gpiod>=2.2'") from error
        self._chip = chip
        self._outputs = {name: offsets[name.value] for name in Output if name.value in offsets}
        self._inputs = {name: offsets[name.value] for name in Input if name.value in offsets}
        try:
            self._request: Any = gpiod.request_lines(chip, consumer="kiosk", config=wanted)
        except (OSError, ValueError) as error:
            raise DoorError(f"{chip}: cannot take lines {sorted(offsets.values())}: {error}") from error

    def set(self, values: Mapping[Output, bool]) -> None:
        """Drive outputs; those that are not wired are passed over."""
        value = self._value
        wired = {
            self._outputs[name]: value.ACTIVE if on else value.INACTIVE
            for name, on in values.items()
            if name in self._outputs
        }
        try:
            if self._open() and wired:
                self._request.set_values(wired)
        except OSError as error:
            raise DoorError(f"{self._chip}: cannot drive {sorted(wired)}: {error}") from error

    def read(self) -> Mapping[Input, bool]:
        """Return the inputs that are wired."""
        try:
            read = self._request.get_values(list(self._inputs.values())) if self._open() and self._inputs else []
        except OSError as error:
            raise DoorError(f"{self._chip}: cannot read {sorted(self._inputs.values())}: {error}") from error
        return {name: value == self._value.ACTIVE for name, value in zip(self._inputs, read, strict=True)}

    def close(self) -> None:
        """Switch every output off and let go of the lines."""
        if self._request is None:
            return
        try:
            self.set(dict.fromkeys(Output, False))
        finally:
            request, self._request = self._request, None
            request.release()

    def _open(self) -> bool:
        if self._request is None:
            raise DoorError(f"{self._chip}: the lines are closed")
        return True


def open_lines(settings: DoorSettings) -> GpiodLines:
    """Take the lines of the settings.

    Raises:
        DoorError: they cannot be had.
    """
    return GpiodLines(settings.chip, settings.offsets, settings.active_low)


def make_safe(settings: DoorSettings) -> str:
    """Switch every output off, where any is wired; return a sentence about it.

    Raises:
        DoorError: the lines cannot be had.
    """
    if not settings.chip:
        return "no door is set up ([door] chip is empty): nothing to switch off"
    open_lines(settings).close()
    return f"{settings.chip}: every output is off"
