"""Facts about one frame as the judge looks at it."""

import gc
import weakref

import numpy as np

from kiosk.entrance.look import Look
from kiosk.recognition.match import ScoreScale
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Frame, Template

RECOGNISER = fixed_recogniser(
    Template(np.eye(1, 8, dtype=np.float32)[0], "m"), ScoreScale((0.0, 0.2, 0.4, 0.6), (1.0, 2.0, 4.0, 6.0))
)


def test_a_frame_s_memory_is_free_as_soon_as_nobody_looks_at_it():
    image = np.zeros((480, 640, 3), np.uint8)
    pixels = weakref.ref(image)
    gc.disable()  # ten frames a second wait for nobody to collect them
    try:
        look = Look(Frame(image, 1.0, 1), [], RECOGNISER)
        assert look.view.size_wh == (640, 480)
        del image, look

        assert pixels() is None
    finally:
        gc.enable()
