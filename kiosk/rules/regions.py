"""Parts of the camera's picture in which no face counts: a television, a mirror, a window to the street.

Apart from furniture.py, so that settings can be checked where no image library can be loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

COVERED_LOW = 0.8  # of a face's box that must lie in a region: who leans out of it is a person
FURNITURE_LOW_S = 20.0  # least time without motion that makes furniture: nobody stands so still for so long


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture in which no face counts; shares of its width and height."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Refuse what is no part of a picture."""
        if not (0.0 <= self.left < self.right <= 1.0 and 0.0 <= self.top < self.bottom <= 1.0):  # a NaN fails too
            raise ValueError(
                "want left < right and top < bottom, each a share of the picture from 0 to 1, got "
                f"{self.left:g} {self.top:g} {self.right:g} {self.bottom:g}"
            )

    def covers(self, box: Sequence[float], size_wh: tuple[int, int]) -> bool:
        """Say whether nearly all of a face's box, xyxy px, lies in the region of a picture of that size."""
        width, height = size_wh
        x1, y1, x2, y2 = box
        across = min(x2, self.right * width) - max(x1, self.left * width)
        down = min(y2, self.bottom * height) - max(y1, self.top * height)
        return across > 0.0 and down > 0.0 and across * down >= COVERED_LOW * (x2 - x1) * (y2 - y1)


def read_regions(lines: Iterable[str]) -> tuple[Region, ...]:
    """Read regions: left, top, right and bottom of each, as shares of the picture.

    >>> read_regions(["0.7 0 1 0.35"])
    (Region(left=0.7, top=0.0, right=1.0, bottom=0.35),)

    Raises:
        ValueError: a line is no region, named with what is wrong.
    """
    return tuple(_read_region(line) for line in lines)


def _read_region(line: str) -> Region:
    words = re.split(r"[\s,;]+", line.strip())
    try:
        left, top, right, bottom = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"{line!r} is no region: want four numbers such as 0.70 0.00 1.00 0.35") from None
    return Region(left, top, right, bottom)
