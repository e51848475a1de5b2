"""A control group for what a benchmark runs, as the kiosk's unit has one: of version 2, or 1 where that is there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAMES = {  # by controller: of the file that sets it, in version 2 and 1
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "cpu": ("cpu.weight", "cpu.shares"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """A group, and which version of the interface it has."""

    place: Path
    version: int

    def limit_memory(self, most: int) -> None:
        """Let it have so many bytes; no swap where that can be said."""
        (self.place / self._named(*NAMES["memory"])).write_text(str(most))
        swap = self.place / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")

    def weigh(self, weight: int) -> None:
        """Give it a share of the processor beside others, as systemd's CPUWeight; 100 is everybody's."""
        value = weight if self._is_new else weight * 1024 // 100
        (self.place / self._named(*NAMES["cpu"])).write_text(str(value))

    def peak_mb(self) -> float:
        """Return the most memory that it held, page cache included."""
        return round(int((self.place / self._named("memory.peak", "memory.max_usage_in_bytes")).read_text()) / 2**20, 1)

    def killed(self) -> int:
        """Return how many processes its limit of memory ended."""
        told = (self.place / self._named("memory.events", "memory.oom_control")).read_text()
        found = re.search(r"^oom_kill (\d+)$", told, re.MULTILINE)
        return int(found[1]) if found else 0

    def within(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs another in it."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.place / "cgroup.procs"), *command]

    @property
    def _is_new(self) -> bool:
        return self.version == 2

    def _named(self, new: str, old: str) -> str:
        return new if self._is_new else old


@contextmanager
def group(controller: str) -> Iterator[Group]:
    """Make a group below this process's own; it is removed at the end, when nothing runs in it any more.

    Raises:
        SystemExit: the machine gives none with this controller, or not to this account.
    """
    mine = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for version, root, name in ((2, ROOT, mine.get("")), (1, ROOT / controller, mine.get(controller))):
        if name is None:
            continue
        place = root / name.lstrip("/") / f"kiosk-{os.getpid()}"
        try:
            place.mkdir()
        except OSError:
            continue
        try:
            if (place / NAMES[controller][version == 1]).exists():
                yield Group(place, version)
                return
        finally:
            _remove(place)
    raise SystemExit(f"this machine gives no control group for {controller}")


def _remove(place: Path) -> None:
    """Remove a group once its last process is gone."""
    for _ in range(100):
        with suppress(OSError):
            place.rmdir()
            return
        time.sleep(0.1)
    raise SystemExit(f"{place} is still in use; remove it with rmdir")
