"""Facts about the cues that need no network."""

import numpy as np

from kiosk.recognition.cues import CueLimits, CueOutcome, Surroundings
from kiosk.types import Face


def at(x, y, *, width, height):
    """Return a picture with structure, a face at a place in it, and its mesh."""
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    box = np.array([x, y, x + 100, y + 120], np.float32)
    mesh = np.random.default_rng(1).uniform(0, 100, (40, 2)).astype(np.float32) + box[:2]
    return image, Face(box, mesh[:5], 0.9), mesh


def test_a_camera_that_changes_its_format_gives_no_movement_to_judge_by():
    surroundings = Surroundings()
    pictures = [
        at(200, 150, width=640, height=480),
        at(260, 150, width=640, height=640),
        at(200, 150, width=480, height=640),
    ]

    for number, (image, face, mesh) in enumerate(pictures):
        surroundings.see(image, face, mesh, float(number))

    assert surroundings.cue(CueLimits()).outcome is CueOutcome.UNJUDGED


def test_between_two_pictures_of_one_format_a_face_that_moves_alone_is_a_movement():
    surroundings = Surroundings()
    for number in range(5):
        image, face, mesh = at(200 + 20 * (number % 2), 150, width=640, height=480)
        surroundings.see(image, face, mesh, float(number))

    assert surroundings.cue(CueLimits()).outcome is CueOutcome.PASSES
