"""Does a part of the camera's picture show the same as before, or did something move in it?

A face on a wall gives the same pixels but for the sensor's noise, the codec and the light; a person's never does: they
sway, breathe and blink. A part is looked at as 24 x 24 means of grey, and light apart, by the largest of its changes.
Measured on portraits of 40 to 150 px under noise of 2 to 8 grey levels and JPEG of quality 70 to 90: what stands still
stays below the limit, and a shift by half a pixel or more lies above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kiosk.recognition.image import crop, grey, squeeze
from kiosk.types import Floats, RgbImage

CELLS = 24  # along each edge of a part
MARGIN = 0.1  # around the face's box, as a share of its edge
TAIL = 97.0  # percentile of the cells' changes that is compared with the limit: motion shows at edges alone
PER_NOISE = 4.5  # limit per median change; pure noise stays below 4.2
LIMIT_LOW, LIMIT_HIGH = 4.0, 12.0  # grey levels; below, a codec's rounding; above, no noise
NOISE_HIGH = 5.0  # grey levels; with a median change above, all of the part changed
TELLS = 1.5  # times the least limit that a known motion must show
TOLD_SHARE = 0.015  # of the edge: the motion that must show, one px at least
SHAKE_PX = 2  # by which a camera on a post may tremble
FLAT = 1.0  # grey levels of standard deviation below which a part shows nothing
WHOLE = 255.0  # grey levels: of a part that shows nothing to compare
ROUND = 6  # cells around a part in which its picture is looked for


def differs(before: Floats, after: Floats) -> bool:
    """Say whether something moved between two looks at one part; other light and noise are no motion.

    Args:
        before: (CELLS, CELLS) float32 grey levels.
        after: the same.
    """
    change = _change(before, after)
    noise, tail = float(np.median(change)), float(np.percentile(change, TAIL))
    return not (noise <= NOISE_HIGH and tail <= min(max(PER_NOISE * noise, LIMIT_LOW), LIMIT_HIGH))  # a NaN differs


def _change(before: Floats, after: Floats) -> Floats:
    """Return how much each cell changed, once the light of the later look is brought to that of the earlier."""
    spread = float(after.std())
    if not spread >= FLAT:
        return np.full_like(before, WHOLE)
    levelled = (after - after.mean()) * (before.std() / spread) + before.mean()
    return np.asarray(np.abs(levelled - before), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One picture of the camera, part by part."""

    image: RgbImage  # (H, W, 3) uint8

    def part(self, box: Floats) -> Floats:
        """Return the grey of a box and a little around it.

        Args:
            box: (4,) xyxy px; may reach beyond the picture.

        Returns:
            (CELLS, CELLS) float32; NaN where the box lies outside, or is none.
        """
        return self._cells(box, MARGIN, CELLS)

    def _cells(self, box: Floats, margin: float, count: int) -> Floats:
        if not np.isfinite(box).all():
            return np.full((count, count), np.nan, np.float32)
        cut = crop(self.image, box, margin)
        if cut.size == 0:
            return np.full((count, count), np.nan, np.float32)
        return squeeze(grey(np.ascontiguousarray(cut)), (count, count)).astype(np.float32)

    def differs(self, box: Floats, before: Floats) -> bool:
        """Say whether something moved in a part since it showed that."""
        return differs(before, self.part(box))

    def is_same(self, box: Floats, before: Floats) -> bool:
        """Say whether a part shows what it showed before, give or take a camera that trembles."""
        if not differs(before, self.part(box)):
            return True
        steps = range(-SHAKE_PX, SHAKE_PX + 1)
        shifts = (np.array([x, y, x, y], np.float32) for x in steps for y in steps if x or y)
        return any(not differs(before, self.part(box + shift)) for shift in shifts)

    def tells_motion(self, box: Floats) -> bool:
        """Say whether a small motion in a part would show: in the dark, or on a blurred face, none does."""
        part = self.part(box)
        if not float(part.std()) >= FLAT:
            return False
        step = max(1.0, TOLD_SHARE * float(max(box[2:] - box[:2])))
        for x, y in ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)):
            moved = _change(part, self.part(box + np.array([x, y, x, y], np.float32)))
            if not float(np.percentile(moved, TAIL)) >= TELLS * LIMIT_LOW:
                return False
        return True

    def likeness_near(self, box: Floats, before: Floats) -> float:
        """Return how alike the most alike place near a part is to what the part showed.

        Returns:
            Correlation, -1..1, over shifts of up to a quarter of the box.
        """
        cell = (1.0 + 2.0 * MARGIN) / CELLS  # of the box's edge
        wide = self._cells(box, MARGIN + ROUND * cell, CELLS + 2 * ROUND)
        windows = sliding_window_view(wide, (CELLS, CELLS)).reshape(-1, CELLS * CELLS)
        around = windows - windows.mean(axis=1, keepdims=True)
        wanted = (before - before.mean()).ravel()
        lengths = np.linalg.norm(around, axis=1) * float(np.linalg.norm(wanted))
        found = around @ wanted / np.maximum(lengths, 1e-6)
        return float(np.nan_to_num(found, nan=-1.0).max())
