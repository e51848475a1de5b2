"""The wiring as a picture to print: the header with its pins, what hangs on which, and the lock's own circuit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from kiosk.door.boards import GND, PINS, POWER, V3, V5, Board
from kiosk.door.lines import Output
from kiosk.door.wiring import BY_LOCK, FAIL_SAFE, Connection, connections, faults, remarks
from kiosk.settings.door import DoorSettings

WIDTH, TOP, PITCH = 1180, 92, 25
LEFT, RIGHT = 572, 608  # the two columns of pins
BOX_WIDTH, ROW = 380, 19
FILL = {V3: "#f6b73c", V5: "#d9412b", GND: "#222"}
WIRES = ("#175a94", "#0a7a5c", "#b3541e", "#7a3fa0", "#9a1f4b", "#4a6b00", "#00707a")
STYLE = (
    "text{font:14px system-ui,'Liberation Sans',sans-serif;fill:#15202b}.b{font-weight:600}.s{font-size:12.5px;"
    "fill:#3d4a57}.h{font-size:20px;font-weight:600}.bad{fill:#ad2310}line,path,rect,circle{vector-effect:"
    "non-scaling-stroke}"
)


def as_svg(settings: DoorSettings, board: Board, lock: str) -> str:
    """Return the picture; it is light on white, as it is made to be printed."""
    wired = connections(settings, board)
    on_header = [one for one in wired if one.pin is not None]
    sides = ([one for one in on_header if _is_odd(one)], [one for one in on_header if not _is_odd(one)])
    bottom = TOP + PINS // 2 * PITCH
    places = [_stacked(side) for side in sides]
    below = max([bottom, *(top + _height(one) for side in places for one, top in side)]) + 34
    parts = [_header(board, wired)]
    colours = iter(WIRES)
    for side, boxes in enumerate(places):
        for lane, (one, top) in enumerate(boxes):
            parts.append(_box(one, top, side=side, lane=lane, lanes=len(boxes), colour=next(colours)))
    parts.append(_lock(lock, below, settings))
    notes = [(f"{one.sentence}; {one.cure}.", True) for one in faults(settings, board)]
    notes += [(text, False) for text in remarks(settings)]
    y = below + 214
    for text, is_bad in notes:
        for line in _wrapped(("⚠ " if is_bad else "") + text, 150):
            parts.append(_text(40, y, line, "s bad" if is_bad else "s"))
            y += ROW
    title = f"Door wiring: {board.title}, chip {settings.chip or '(none set)'}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 16}" width="{WIDTH}" height="{y + 16}" '
        f'role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{_text(40, 40, title, "h")}'
        f"{_text(40, 62, 'Seen from above, pin 1 at the top left. Cut the power before you wire.', 's')}"
        + "".join(parts)
        + "</svg>\n"
    )


def _is_odd(one: Connection) -> bool:
    return one.pin is not None and one.pin % 2 == 1


def _y(pin: int) -> int:
    return TOP + (pin + 1) // 2 * PITCH - PITCH // 2


def _header(board: Board, wired: Iterable[Connection]) -> str:
    used = {one.pin for one in wired} | {one.ground for one in wired}
    used |= {2} if any(one.name is Output.RELAY and one.pin for one in wired) else set()
    parts = [_frame(LEFT - 18, TOP - 4, RIGHT - LEFT + 36, PINS // 2 * PITCH + 8)]
    for pin in range(1, PINS + 1):
        x, y, what = LEFT if pin % 2 else RIGHT, _y(pin), board.label(pin)
        fill = FILL.get(POWER.get(pin, ""), "#2f7d32" if pin in board.lines else "#aab4bd")
        shape = f'<circle cx="{x}" cy="{y}" r="8.5" fill="{fill}"/>'
        if pin == 1:
            shape = f'<rect x="{x - 8}" y="{y - 8}" width="16" height="16" fill="{fill}"/>'
        ring = (
            f'<circle cx="{x}" cy="{y}" r="11.5" fill="none" stroke="#15202b" stroke-width="2"/>' if pin in used else ""
        )
        number = f'<text x="{x}" y="{y + 3.5}" text-anchor="middle" style="font-size:9.5px;fill:#fff">{pin}</text>'
        at, anchor = (LEFT - 24, "end") if pin % 2 else (RIGHT + 24, "start")
        weight = "s b" if pin in used else "s"
        parts += [shape, ring, number, _text(at, y + 4, what, weight, anchor)]
    return "".join(parts)


def _frame(x: int, y: int, width: int, height: int) -> str:
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} rx="6" fill="#eceff3" stroke="#7a8794"/>'


def _lines(one: Connection) -> list[str]:
    return [line for text in (*one.wires, one.level) for line in _wrapped(text, 56)]


def _height(one: Connection) -> int:
    return 30 + ROW * len(_lines(one))


def _stacked(side: Sequence[Connection]) -> list[tuple[Connection, int]]:
    """Place boxes beside their pins, without one over the other."""
    placed, free = [], TOP - 4
    for one in sorted(side, key=lambda each: each.pin or 0):
        top = max(free, _y(one.pin or 0) - 22)
        placed.append((one, top))
        free = top + _height(one) + 12
    return placed


def _box(one: Connection, top: int, *, side: int, lane: int, lanes: int, colour: str) -> str:
    x = 40 if side == 0 else WIDTH - 40 - BOX_WIDTH
    edge, pin_x = (x + BOX_WIDTH, LEFT - 96) if side == 0 else (x, RIGHT + 96)
    y, middle = _y(one.pin or 0), top + 18
    # Wires turn in lanes of their own, so that none lies over another.
    turn = edge + (pin_x - edge) * (lane + 1) / (lanes + 1)
    inside = [_text(x + 12, top + 22, f"{one.title}: line {one.line}, pin {one.pin}", "b")]
    inside += [_text(x + 12, top + 42 + ROW * row, line, "s") for row, line in enumerate(_lines(one))]
    return (
        f'<path d="M{edge} {middle}H{turn:.0f}V{y}H{pin_x}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        f'<circle cx="{pin_x}" cy="{y}" r="3.5" fill="{colour}"/>'
        f'<rect x="{x}" y="{top}" width="{BOX_WIDTH}" height="{_height(one)}" rx="6" fill="#fff" stroke="{colour}" '
        f'stroke-width="2"/>{"".join(inside)}'
    )


def _lock(lock: str, y: int, settings: DoorSettings) -> str:
    """Draw the lock's circuit: supply, fuse, the relay's contact, the exit button's second contact, lock, diode."""
    contact = "NC" if lock == FAIL_SAFE else "NO"
    is_safe = lock == FAIL_SAFE
    wire = 'fill="none" stroke="#15202b" stroke-width="2"'
    upper, lower = y + 76, y + 168
    relay, button, at = 330, 560, 830
    longest = settings.longest_pulse_s
    parts = [
        _text(40, y, f"The lock's own circuit, {lock}", "b"),
        *(_text(40, y + 20 + row * ROW, line, "s") for row, line in enumerate(_wrapped(BY_LOCK[lock] + ".", 150))),
        _part(60, upper - 24, 120, 116, ("+ lock supply", "12 or 24 V DC", "with battery", "-")),
        f'<path d="M180 {upper}H{relay - 60}" {wire}/>',
        f'<rect x="210" y="{upper - 7}" width="34" height="14" rx="3" fill="#fff" stroke="#15202b"/>',
        _text(227, upper - 14, "fuse", "s", "middle"),
        _part(relay - 60, upper - 22, 130, 46, (f"relay COM to {contact}", "free contact")),
    ]
    if is_safe:
        parts += [
            f'<path d="M{relay + 70} {upper}H{button - 80}" {wire}/>',
            _part(button - 80, upper - 22, 180, 46, ("exit button", "2nd contact, opens (NC)")),
            f'<path d="M{button + 100} {upper}H{at}V{upper + 8}" {wire}/>',
        ]
    else:
        beside = f"M{relay - 76} {upper}V{lower - 34}H{button - 80}M{button + 100} {lower - 34}H{at - 60}V{upper}"
        parts += [
            f'<path d="M{relay + 70} {upper}H{at}V{upper + 8}{beside}" {wire}/>',
            f'<circle cx="{relay - 76}" cy="{upper}" r="4"/><circle cx="{at - 60}" cy="{upper}" r="4"/>',
            _part(button - 80, lower - 57, 180, 46, ("exit button", "2nd contact, closes (NO)")),
        ]
    parts += [
        _part(at - 40, upper + 8, 80, 54, ("lock",)),
        f'<path d="M{at} {upper + 62}V{lower}H120V{upper + 92}" {wire}/>',
        f'<path d="M{at} {upper}H{at + 90}V{upper + 26}M{at + 90} {upper + 44}V{lower}H{at}" {wire}/>',
        _diode(at + 90, upper + 28),
        _text(at + 110, upper + 32, "diode across the lock (1N4007),", "s"),
        _text(at + 110, upper + 48, "ring to plus; a varistor for AC", "s"),
        _text(60, lower + 24, f"Released for {settings.pulse_s:g} s at each opening, at most {longest:g} s.", "s"),
    ]
    return "".join(parts)


def _diode(x: int, y: int) -> str:
    """Draw a diode whose ring is above."""
    shape = f"M{x - 12} {y + 16}H{x + 12}L{x} {y}ZM{x - 12} {y - 1}H{x + 12}"
    return f'<path d="{shape}" fill="#15202b" stroke="#15202b" stroke-width="2"/>'


def _part(x: int, y: int, width: int, height: int, words: Sequence[str]) -> str:
    first = y + height / 2 + 5 - (len(words) - 1) * 8
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="#f4f6f8" stroke="#15202b" '
        'stroke-width="1.5"/>'
        + "".join(
            _text(x + width / 2, first + 16 * row, word, "s b" if row == 0 else "s", "middle")
            for row, word in enumerate(words)
        )
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _wrapped(text: str, width: int) -> list[str]:
    """Return a sentence in lines; SVG breaks none by itself."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
