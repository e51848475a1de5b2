"""How repeated declines slow the kiosk down and then lock it.

They count for the kiosk, as a search does not know whom it declined. Only presentations in which a face was judged
count: nobody is punished for the dark. Another way in (PIN, card, a person) must be there meanwhile.
All times are seconds of one monotonic clock, as in presentation.py; what is saved is what remains of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kiosk.setting import setting


@dataclass(frozen=True, slots=True)
class Tries:
    """How often the kiosk declined in a row, and until when it waits."""

    declines: int = 0
    held_until: float = -math.inf  # monotonic s; nobody is judged before
    forgotten_at: float = math.inf  # monotonic s; the declines no longer count from then on

    def is_held(self, now: float) -> bool:
        """Whether the kiosk waits before it judges anybody."""
        return now < self.held_until


@dataclass(frozen=True, slots=True)
class Patience:
    """[attempts]: how repeated declines slow the kiosk down and then lock it."""

    free_tries: int = setting(3, "Declines in a row without any wait.", low=0, high=100, unit="tries")
    wait_s: float = setting(2.0, "Wait after the next decline.", low=0.0, high=600.0, unit="s")
    wait_growth: float = setting(2.0, "How many times longer each further wait is.", low=1.0, high=10.0)
    # at so many it locks, and with each further one again
    lockout_tries: int = setting(8, "Declines in a row that lock the kiosk.", low=1, high=1000, unit="tries")
    lockout_s: float = setting(300.0, "How long it stays locked.", low=0.0, high=86400.0, unit="s")
    forget_s: float = setting(
        900.0, "Quiet time after which declines no longer count.", low=1.0, high=604800.0, unit="s"
    )

    def __post_init__(self) -> None:
        """Refuse numbers that would never wait, or indefinitely."""
        if not (0 <= self.free_tries < self.lockout_tries and self.wait_growth >= 1.0):
            raise ValueError(
                f"want 0 <= free_tries < lockout_tries and wait_growth >= 1, "
                f"got {self.free_tries}, {self.lockout_tries} and {self.wait_growth}"
            )
        if not (0.0 <= self.wait_s <= self.lockout_s < math.inf and 0.0 < self.forget_s < math.inf):
            raise ValueError(
                f"want 0 <= wait_s <= lockout_s and 0 < forget_s, got {self.wait_s}, {self.lockout_s}, {self.forget_s}"
            )

    def hold_s(self, declines: int) -> float:
        """Return how long the kiosk waits after so many declines in a row.

        >>> [Patience().hold_s(declines) for declines in (0, 3, 4, 5, 7, 8, 1000)]
        [0.0, 0.0, 2.0, 4.0, 16.0, 300.0, 300.0]
        """
        if declines <= self.free_tries:
            return 0.0
        if declines >= self.lockout_tries:
            return self.lockout_s
        try:
            return float(min(self.lockout_s, self.wait_s * self.wait_growth ** (declines - self.free_tries - 1)))
        except OverflowError:  # of ten times longer each, no float holds 309
            return self.lockout_s if self.wait_s else 0.0

    def after(self, tries: Tries, *, is_granted: bool, now: float) -> Tries:
        """Return the count after a presentation in which a face was judged.

        The end of a lock-out gives no new free tries: the next decline locks again. Only a grant or quiet time does.
        """
        if is_granted:
            return Tries()
        declines = 1 if now >= tries.forgotten_at else tries.declines + 1
        held_until = max(tries.held_until, now + self.hold_s(declines))
        return Tries(declines, held_until, held_until + self.forget_s)

    def save(self, tries: Tries, now: float) -> dict[str, float]:
        """Return the count as plain numbers; times as what remains of them, as the clock starts anew with the device.

        Time without power does not count, so that pulling the plug shortens nothing.
        """
        return {
            "declines": tries.declines,
            "held_s": max(0.0, tries.held_until - now) if tries.declines else 0.0,
            "forgotten_s": max(0.0, tries.forgotten_at - now) if tries.declines else 0.0,
        }

    def restore(self, saved: Mapping[str, object] | None, now: float) -> Tries:
        """Return the count that was saved; None for a kiosk that never saved one.

        Numbers that cannot be lock the kiosk once, for no longer than a lock-out: a spoilt file gives no free tries
        and no kiosk that stays shut.
        """
        if saved is None:
            return Tries()
        numbers = [saved.get(name) for name in ("declines", "held_s", "forgotten_s")]
        longest = (math.inf, self.lockout_s, self.lockout_s + self.forget_s)
        if not all(
            isinstance(number, (int, float)) and math.isfinite(number) and 0.0 <= number <= high
            for number, high in zip(numbers, longest, strict=True)
        ):
            return Tries(self.lockout_tries, now + self.lockout_s, now + self.lockout_s + self.forget_s)
        declines, held_s, forgotten_s = (float(number) for number in numbers if isinstance(number, (int, float)))
        return Tries(int(declines), now + held_s, now + forgotten_s) if declines else Tries()
