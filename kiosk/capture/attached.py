"""The cameras of this machine, by names that stay: /dev/video0 is another camera after a boot, by-id and by-path last.

udev makes the names: by-id of a USB camera's maker, model and serial number, by-path of the socket it is plugged into.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/sys/class/video4linux")
DEVICES = Path("/dev")
FOLDERS = ("by-id", "by-path")  # the better first: a camera that moves to another socket keeps its by-id


@dataclass(frozen=True, slots=True)
class Attached:
    """A camera that is plugged in."""

    source: str  # for [camera] source: by a name that stays, where there is one
    name: str  # its maker's
    others: tuple[str, ...] = ()  # sources of the same camera, the one by its number last

    @property
    def is_lasting(self) -> bool:
        """Whether the source is the same camera after the next boot."""
        return not re.fullmatch(r"v4l2:.*/video\d+", self.source)

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"source": self.source, "name": self.name, "others": list(self.others), "is_lasting": self.is_lasting}


def attached(system: Path = SYSTEM, devices: Path = DEVICES) -> list[Attached]:
    """Return the cameras of this machine: those of libcamera, then those of V4L2 by their number.

    Args:
        system: the kernel's folder of V4L2 devices.
        devices: where the device nodes are, and udev's names in v4l/.
    """
    names = _names(devices / "v4l")
    cameras = []
    for number, device in sorted(
        (int(path.name[5:]), path) for path in system.glob("video*") if path.name[5:].isdigit()
    ):
        if _said(device / "index") not in {"0", ""}:  # the others of one camera give metadata
            continue
        node = devices / f"video{number}"
        sources = [f"v4l2:{path}" for path in (*names.get(node, ()), node)]
        cameras.append(Attached(sources[0], _said(device / "name") or "unnamed", tuple(sources[1:])))
    return [*_of_libcamera(), *cameras]


def _names(folder: Path) -> Mapping[Path, list[Path]]:
    """Return udev's names of each device node, the better first."""
    found: dict[Path, list[Path]] = {}
    for kind in FOLDERS:
        for link in sorted((folder / kind).glob("*")):
            with contextlib.suppress(OSError):
                found.setdefault(link.resolve(), []).append(link)
    return found


def _said(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # unplugged this moment
        return ""


def _of_libcamera() -> Iterator[Attached]:
    """Yield a Raspberry Pi's cameras; their numbers follow the connectors, so they stay."""
    try:
        from picamera2 import Picamera2  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  Pi only
    except ImportError:
        return
    for one in Picamera2.global_camera_info():
        yield Attached(f"picamera2:{one['Num']}", str(one["Model"]))
