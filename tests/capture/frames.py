"""Pictures that the tests of cameras show, each unlike every other."""

import cv2
import numpy as np


def picture(number, height=48, width=64):
    """Return the picture of a number, (H, W, 3) uint8 BGR, in blocks."""
    image = np.random.default_rng(number).integers(60, 200, (6, 8, 3), np.uint8)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
