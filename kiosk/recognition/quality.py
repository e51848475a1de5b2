"""Is this face good enough to become a reference? Numbers first, then a reason to refuse or nothing.

A bad reference spoils every later comparison with it, so enrolment asks more than a single comparison does.
All numbers are measured on the face, never on the whole picture: a lit window behind somebody says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiosk.recognition.image import ARCFACE_SIDE, align, laplacian
from kiosk.types import Face, Floats, RgbImage, Template

REC601 = np.array([0.299, 0.587, 0.114], np.float32)  # luma weights, ITU-R BT.601
TEMPLATE_QUALITY_LOW = 25.0
"""Least quality of a reference's template.

Measured on 3,818 press photographs: four in 1,000 lie below, and miss their own person at score 70 in nine of ten
comparisons. As a predictor of such a miss (area under the curve) it reaches 0.86; light, contrast, sharpness, size and
pose reach 0.44 to 0.67.
"""
OBJECTIONS = {
    "dark": "the face is too dark; put light in front of it",
    "bright": "the face is too bright; take light away from it",
    "blurred": "the face is blurred or without contrast; hold still, clean the lens",
    "turned": "the face is turned away; look into the camera",
}
INNER = slice(24, 96)  # of the aligned crop: eyes to chin, without hair and background


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one face."""

    eye_distance_px: float  # in the picture
    luminance: float  # mean luma of the inner face, 0..255
    contrast: float  # its standard deviation
    sharpness: float  # variance of the Laplacian of the aligned crop's luma
    frontality: float  # 1 looking straight ahead, 0 in profile: where the nose lies between the eyes


@dataclass(frozen=True, slots=True)
class Floor:
    """Least quality of a reference. The defaults refuse what no comparison could use, not what is merely plain."""

    eye_distance_px: float = 20.0  # below, the 112 px crop is mostly interpolation
    luminance_low: float = 25.0
    luminance_high: float = 235.0
    contrast: float = 8.0
    sharpness: float = 12.0
    frontality: float = 0.25


def luminance(crop: RgbImage) -> float:
    """Return the mean luma of the inner face of an aligned crop, 0..255."""
    side = crop.shape[0]
    inner = slice(side * INNER.start // ARCFACE_SIDE, side * INNER.stop // ARCFACE_SIDE)
    return float((crop[inner, inner].astype(np.float32) @ REC601).mean())


def measure(image: RgbImage, face: Face) -> Quality:
    """Measure a face with exact landmarks."""
    crop = align(image, face.landmarks)
    luma = (crop.astype(np.float32) @ REC601)[INNER, INNER]
    eyes = face.landmarks[1] - face.landmarks[0]
    return Quality(
        eye_distance_px=float(np.linalg.norm(eyes)),
        luminance=float(luma.mean()),
        contrast=float(luma.std()),
        sharpness=float(laplacian((crop.astype(np.float32) @ REC601).astype(np.float32))[INNER, INNER].var()),
        frontality=_frontality(face.landmarks),
    )


def objection(quality: Quality, floor: Floor | None = None) -> str | None:
    """Return why a face is too poor for a reference, as a sentence for whoever holds the camera; None if it is not.

    >>> objection(Quality(60.0, 120.0, 40.0, 300.0, 0.9)) is None
    True
    >>> objection(Quality(9.0, 120.0, 40.0, 300.0, 0.9))
    'the face is too small: 9 px between the eyes, 20 are needed; come closer'
    """
    least = floor or Floor()
    found = weakness(quality, least)
    if found == "small":
        return (
            f"the face is too small: {quality.eye_distance_px:.0f} px between the eyes, "
            f"{least.eye_distance_px:.0f} are needed; come closer"
        )
    return None if found is None else OBJECTIONS[found]


def weakness(quality: Quality, least: Floor) -> str | None:
    """Return in a word why a face is too poor for a reference, the first reason of several; None if it is not."""
    if quality.eye_distance_px < least.eye_distance_px:
        return "small"
    if quality.luminance < least.luminance_low:
        return "dark"
    if quality.luminance > least.luminance_high:
        return "bright"
    if quality.contrast < least.contrast or quality.sharpness < least.sharpness:
        return "blurred"
    return "turned" if quality.frontality < least.frontality else None


def objection_to(template: Template, least: float = TEMPLATE_QUALITY_LOW) -> str | None:
    """Return why a template is too poor for a reference, as a sentence; None if it is not, or its model does not tell.

    >>> objection_to(Template(np.float32([1, 0]), "model", 80.0)) is None
    True
    """
    if template.quality is None or template.quality >= least:
        return None
    return (
        f"the face is hard to recognise (quality {template.quality:.0f} of 100, {least:.0f} are needed); "
        "take another photograph, from the front and in good light"
    )


def _frontality(landmarks: Floats) -> float:
    """Return how evenly the nose lies between the eyes: the smaller over the larger share, along the eye line."""
    right, left, nose = (point.astype(np.float64) for point in landmarks[:3])
    across = left - right
    share = float(np.dot(nose - right, across) / max(float(np.dot(across, across)), 1e-9))
    return max(0.0, min(share, 1.0 - share) / max(share, 1.0 - share, 1e-9))
