"""What the tests of documents share: photographs of specimen cards, made once."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from kiosk.device.device import Device
from kiosk.device.enrol_document import score_portrait
from kiosk.documents.mrz import MrzType
from kiosk.testing.documents import SIZE_MM, Scene, Specimen, draw_card, lines_of, photograph
from kiosk.types import Template
from tests.conftest import GOLDEN, networks, read

SCENE = Scene((1280, 720), share=0.9, tilt_deg=2.0, perspective=0.01, noise=3.0)


@functools.cache
def picture_of(specimen: Specimen, scene: Scene = SCENE, *, portrait: str | None = "person_a_1.jpg", lines=None):
    """Return a photograph of a specimen, (H, W, 3) uint8 RGB; `lines` go before those of the specimen."""
    rng = np.random.default_rng(0)
    face = None if portrait is None else read(GOLDEN / portrait)
    card = draw_card(lines or lines_of(specimen), specimen.kind, rng, face)
    return photograph(card, scene, rng)


@functools.cache
def blank(kind: MrzType = MrzType.TD1):
    """Return the side of a card that has a portrait and no zone."""
    width, height = (round(side * 8) for side in SIZE_MM[kind])
    card = np.full((height, width, 3), 225, np.uint8)
    face = cv2.resize(read(GOLDEN / "person_a_1.jpg"), (width // 3, height // 2))
    card[40 : 40 + face.shape[0], 40 : 40 + face.shape[1]] = face
    return card


def jpeg(picture) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def score_of_person_a(device: Device, portrait: Template) -> int:
    """Return how a portrait scores with another photograph of person A, whose face the cards show."""
    live = networks().analyse(read(GOLDEN / "person_a_2.jpg")).template
    assert live is not None
    score = score_portrait(device, portrait, [live])
    assert score is not None
    return score
