"""The headers of the boards a kiosk runs on: which pin is which line of the chip, and what a line does at power-on.

The Pi's lines are its GPIO numbers, the same on every model with 40 pins; at power-on lines 0 to 8 are pulled up and
the others down (BCM2835 ARM Peripherals, table 6-31). The Jetson's are those of the Orin Nano and Orin NX developer
kits (tegra234-gpio, as NVIDIA's Jetson.GPIO lists them); what they do at power-on is the pinmux's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

V3, V5, GND = "3.3 V", "5 V", "GND"
POWER: Mapping[int, str] = MappingProxyType(
    {1: V3, 2: V5, 4: V5, 6: GND, 9: GND, 14: GND, 17: V3, 20: GND, 25: GND, 30: GND, 34: GND, 39: GND}
)
PINS = 40
LAST_PULLED_UP = 8


@dataclass(frozen=True, slots=True)
class Board:
    """A board with a header of 40 pins."""

    name: str
    title: str
    chips: str  # how the chip of the header is found
    lines: Mapping[int, int]  # pin to line
    taken: Mapping[int, str]  # line to what else wants it

    def pin_of(self, line: int) -> int | None:
        """Return the pin of a line; None where it is not on the header."""
        return next((pin for pin, one in self.lines.items() if one == line), None)

    def label(self, pin: int) -> str:
        """Return what stands beside a pin."""
        return POWER.get(pin) or (f"line {self.lines[pin]}" if pin in self.lines else "-")

    def ground_near(self, pin: int) -> int:
        """Return the nearest pin that is ground, on the same side where two are as near."""
        grounds = [one for one, what in POWER.items() if what == GND]
        return min(grounds, key=lambda one: (abs((one + 1) // 2 - (pin + 1) // 2), one % 2 != pin % 2, one))


def _pins(text: str) -> Mapping[int, int]:
    """Return which pin is which line, from a table of PIN:LINE."""
    return MappingProxyType({int(pin): int(line) for pin, _, line in (one.partition(":") for one in text.split())})


PI = Board(
    "pi",
    "Raspberry Pi, 40-pin header",
    "`gpiodetect`: pinctrl-bcm2711 on a Pi 4, pinctrl-rp1 on a Pi 5",
    _pins(
        "3:2 5:3 7:4 8:14 10:15 11:17 12:18 13:27 15:22 16:23 18:24 19:10 21:9 22:25 23:11 24:8 26:7 27:0 28:1 29:5 "
        "31:6 32:12 33:13 35:19 36:16 37:26 38:20 40:21"
    ),
    MappingProxyType(
        {
            0: "the EEPROM of a board on top",
            1: "the EEPROM of a board on top",
            2: "I2C, with a fixed pull-up",
            3: "I2C, with a fixed pull-up",
            14: "the serial console",
            15: "the serial console",
        }
    ),
)
JETSON = Board(
    "jetson",
    "Jetson Orin Nano / Orin NX developer kit, 40-pin header",
    "`gpiodetect`: tegra234-gpio",
    _pins(
        "7:144 11:112 12:50 13:122 15:85 16:126 18:125 19:135 21:134 22:123 23:133 24:136 26:137 29:105 31:106 32:41 "
        "33:43 35:53 36:113 37:124 38:52 40:51"
    ),
    MappingProxyType({}),
)
BOARDS: Mapping[str, Board] = MappingProxyType({board.name: board for board in (PI, JETSON)})


def board_of(model: str) -> Board:
    """Return the board of a machine by what its device tree calls it; the Pi's where it says nothing.

    >>> board_of("NVIDIA Jetson Orin Nano Developer Kit").name, board_of("Raspberry Pi 5 Model B Rev 1.0").name
    ('jetson', 'pi')
    """
    return JETSON if "jetson" in model.casefold() else PI
