"""Aligned face in, template out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kiosk.errors import ModelFileError, ModelMismatchError
from kiosk.recognition.image import align
from kiosk.types import Face, RgbImage, Session, Template


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Makes templates with one recogniser network."""

    network: Session  # (1, side, side, 3) uint8 → (1, D) float32
    model: str  # digest that every template carries
    length: int  # D
    side: int = 112

    def extract(self, image: RgbImage, face: Face) -> Template:
        """Return the template of a face.

        Args:
            image: (H, W, 3) uint8, the one the face was found in.
            face: with exact landmarks, see `detect.Detector.refine`.

        Raises:
            ModelFileError: the network gave something other than D finite numbers, so that no
                comparison with it could be trusted.
        """
        crop = align(image, face.landmarks, self.side)
        features = self.network.run(crop[np.newaxis])[0].ravel().astype(np.float32)
        length = float(np.linalg.norm(features))
        if features.size != self.length or not 0.0 < length < np.inf:
            raise ModelFileError(
                f"the recogniser gave {features.size} numbers of length {length}, want {self.length} of a finite one; "
                "run: kiosk doctor"
            )
        return Template(features / np.float32(length), self.model)


def fuse(templates: Sequence[Template]) -> Template:
    """Return one template for several of the same face: the direction of their mean.

    Raises:
        ModelMismatchError: they come from different models.
        ValueError: there are none, or they cancel out.
    """
    if len({template.model for template in templates}) > 1:
        raise ModelMismatchError("templates of two models cannot be fused; enrol the person again with this model")
    total = np.sum([template.vector for template in templates], axis=0, dtype=np.float64)
    length = float(np.linalg.norm(total)) if templates else 0.0
    if length == 0.0:
        raise ValueError("want templates with a common direction")
    return Template(np.asarray(total / length, np.float32), templates[0].model)
