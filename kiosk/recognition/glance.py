"""A camera's frames looked at one after the other: an empty room that stays as it is needs no search.

Most of a kiosk's day nobody is there, and the search of a frame is nearly all that an idle kiosk does. Whoever steps
into view changes the picture: a face that can be followed covers some fifty of the blocks that are compared, and hair,
skin and shadow differ from the wall behind them by tens of grey levels. Only frames in which nothing was found are
compared with, slow changes of the light add up until a search takes note of them, and every tenth frame is searched
whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kiosk.recognition.image import squeeze
from kiosk.types import Face, Floats, RgbImage

BLOCKS_WH = (80, 60)
CHANGE = 5.0
"""Grey levels, in one block and one colour, that make a change.

Noise of 8 grey levels a pixel leaves 1 in a block of 64, and 4.5 in the most disturbed of 14,400: darker rooms than
that are searched at every frame, as before.
"""
MOST_SKIPPED = 9  # in a row: at 10 frames a second, somebody who could be missed is seen within one


class Glance:
    """Finds the faces of a stream of frames. One stream's; safe in several threads."""

    def __init__(self, search: Callable[[RgbImage], list[Face]]) -> None:
        """Take what finds the faces of a frame, largest first."""
        self._search = search
        self._empty: tuple[tuple[int, ...], Floats, int] | None = None  # an empty frame's form and blocks; frames since

    def __call__(self, image: RgbImage) -> list[Face]:
        """Return the faces of the next frame, (H, W, 3) uint8, largest first; none where the room is as it was."""
        seen = squeeze(image, BLOCKS_WH).astype(np.float32)
        empty = self._empty
        if empty is not None:
            form, before, skipped = empty
            is_same = form == image.shape and float(np.abs(seen - before).max()) < CHANGE
            if is_same and skipped < MOST_SKIPPED:
                self._empty = form, before, skipped + 1
                return []
        faces = self._search(image)
        self._empty = None if faces else (image.shape, seen, 0)
        return faces
