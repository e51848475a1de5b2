"""What is to be wired where, from the settings in force: a list, a list of mistakes, and a picture (wiring_svg.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kiosk.door.boards import LAST_PULLED_UP, PI, Board
from kiosk.door.lines import Input, Output
from kiosk.settings.door import DoorSettings

FAIL_SAFE, FAIL_SECURE = "fail-safe", "fail-secure"
LOCKS = (FAIL_SECURE, FAIL_SAFE)
TITLES = {
    Output.RELAY: "Relay of the lock",
    Output.SECOND_RELAY: "Relay of the inner door's lock",
    Output.GREEN: "Green lamp",
    Output.YELLOW: "Yellow lamp",
    Output.RED: "Red lamp",
    Output.BUZZER: "Buzzer",
    Input.CONTACT: "Door contact",
    Input.SECOND_CONTACT: "Inner door's contact",
    Input.FIRE: "Fire alarm",
    Input.EXIT: "Exit button",
    Input.LOCKDOWN: "Lockdown switch",
}
ON = {
    Output.RELAY: "the lock is released: it should click",
    Output.SECOND_RELAY: "the inner door's lock is released: it should click",
    Output.GREEN: "the green lamp is lit",
    Output.YELLOW: "the yellow lamp is lit",
    Output.RED: "the red lamp is lit",
    Output.BUZZER: "it sounds",
    Input.CONTACT: "the door is open",
    Input.SECOND_CONTACT: "the inner door is open",
    Input.FIRE: "the fire alarm releases the door",
    Input.EXIT: "the button is pressed",
    Input.LOCKDOWN: "the switch locks the door down",
}
BY_LOCK = {
    FAIL_SECURE: "a strike that current opens: its supply goes through the relay's COM and NO. Without power the door "
    "stays shut from outside; the way out has to open by its handle",
    FAIL_SAFE: "a magnet that current keeps closed: its supply goes through the relay's COM and NC. Without power the "
    "door is open",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """One line, and what hangs on it."""

    name: Output | Input
    line: int
    pin: int | None  # of the header; None: the line is not on it
    ground: int | None
    is_active_low: bool

    @property
    def is_output(self) -> bool:
        """Whether the kiosk drives it."""
        return isinstance(self.name, Output)

    @property
    def title(self) -> str:
        """What it is, for people."""
        return TITLES[self.name]

    @property
    def level(self) -> str:
        """When it is on, and what that means."""
        return f"on at {'low' if self.is_active_low else 'high'} level: {ON[self.name]}"

    @property
    def wires(self) -> tuple[str, ...]:
        """How it is wired, a sentence each."""
        if self.pin is None:
            return (f"line {self.line} is not on this header",)
        if self.name in {Output.RELAY, Output.SECOND_RELAY}:
            supply = "VCC to pin 2 (5 V), or as the relay board says"
            return (f"IN to pin {self.pin}", supply, f"GND to pin {self.ground}")
        if self.is_output:
            return (f"input of a driver to pin {self.pin}", f"its ground to pin {self.ground}")
        return (f"a contact that {self._acts}, between pin {self.pin} and pin {self.ground} (GND)",)

    @property
    def _acts(self) -> str:
        """When an input's contact closes or opens."""
        if self.name in {Input.CONTACT, Input.SECOND_CONTACT}:
            return "closes while the door is open" if self.is_active_low else "is closed while the door is shut"
        when = {Input.EXIT: "when pressed", Input.FIRE: "with the alarm", Input.LOCKDOWN: "when switched on"}
        return f"{'closes' if self.is_active_low else 'opens'} {when[Input(self.name)]}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the wiring that would go wrong, and its cure."""

    sentence: str
    cure: str


def connections(settings: DoorSettings, board: Board) -> tuple[Connection, ...]:
    """Return what is wired, outputs first."""
    found = []
    for name in (*Output, *Input):
        line = settings.offsets.get(name.value)
        if line is not None:
            pin = board.pin_of(line)
            ground = None if pin is None else board.ground_near(pin)
            found.append(Connection(name, line, pin, ground, name.value in settings.active_low))
    return tuple(found)


def faults(settings: DoorSettings, board: Board) -> Iterator[Fault]:
    """Yield what would go wrong with these lines on this board."""
    wired = connections(settings, board)
    if missing := [one for one in wired if one.pin is None]:
        named = ", ".join(f"line {one.line} ({one.title})" for one in missing)
        yield Fault(
            f"not on the header of {board.title}: {named}",
            f"take of its lines {', '.join(map(str, sorted(board.lines.values())))}",
        )
    for one in wired:
        if one.pin is None:
            continue
        if one.line in board.taken:
            yield Fault(
                f"line {one.line} ({one.title}) is also for {board.taken[one.line]}",
                "take another line, or make sure that nothing else uses it",
            )
        elif board is PI and one.is_output and (one.line <= LAST_PULLED_UP) != one.is_active_low:
            level = "high" if one.line <= LAST_PULLED_UP else "low"
            yield Fault(
                f"line {one.line} ({one.title}) is {level} until the kiosk starts, which is on",
                f"take one of the lines {'9 to 27' if level == 'high' else '4 to 8'}, or a board that is on at the "
                "other level",
            )
    if settings.chip and Output.RELAY.value not in settings.offsets:
        yield Fault("there is no relay: nothing opens", "set [door] relay to its line")


def remarks(settings: DoorSettings) -> Iterator[str]:
    """Yield what is not wired, and what that leaves out."""
    if Input.EXIT.value not in settings.offsets:
        yield "No exit button: a way out by the handle counts as a forced door, where there is a contact."
    if Input.CONTACT.value not in settings.offsets:
        yield "No door contact: a forced door, or one left open, is not noticed."
    elif Input.CONTACT.value in settings.active_low:
        yield "The door contact closes as the door opens, so a cut wire reads as a shut door: the other kind is safer."
    if not {"green", "yellow", "red"} & settings.offsets.keys():
        yield "No lamps: only the screen says what was decided."


def as_text(settings: DoorSettings, board: Board, lock: str) -> str:
    """Return the wiring as lines for a terminal."""
    if not settings.chip:
        return (
            "no door is set up ([door] chip is empty). For a relay on line 17 and an exit button on line 27, write\n"
            '[door]\nchip = "/dev/gpiochip0"\nrelay = 17\nexit = 27\n'
        )
    lines = [f"{board.title}; chip {settings.chip} ({board.chips})", ""]
    for one in connections(settings, board):
        lines.append(f"{one.title}: line {one.line}, pin {one.pin or '-'}")
        lines += [f"    {text}" for text in (*one.wires, one.level)]
    lines += ["", f"Lock, {lock}: {BY_LOCK[lock]}."]
    lines += [f"! {one.sentence}; {one.cure}." for one in faults(settings, board)]
    lines += list(remarks(settings))
    return "\n".join(lines) + "\n"
