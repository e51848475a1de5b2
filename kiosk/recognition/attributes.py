"""Age and gender of a face: estimates for the answer, never part of a decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiosk.recognition.image import align
from kiosk.types import Face, RgbImage, Session


@dataclass(frozen=True, slots=True, eq=False)
class Describer:
    """Estimates age and gender with one network."""

    network: Session  # (1, side, side, 3) uint8 → age (1, 1) years, male (1, 1) 0..1
    side: int = 224
    frame_share: float = 0.9  # how much of the crop the ArcFace frame fills; the network's, from the manifest

    def describe(self, image: RgbImage, face: Face) -> tuple[float, str]:
        """Return the age in years, 0..100, and "male" or "female"."""
        crop = align(image, face.landmarks, self.side, self.frame_share)
        age, male = self.network.run(crop[np.newaxis])
        years = float(np.clip(age.ravel()[0], 0.0, 100.0))
        return round(years, 2), "male" if float(male.ravel()[0]) > 0.5 else "female"  # noqa: PLR2004  even odds
