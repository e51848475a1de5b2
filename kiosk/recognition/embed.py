"""Aligned face in, template out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kiosk.errors import ModelFileError, ModelMismatchError
from kiosk.recognition.image import align, brighten
from kiosk.recognition.quality import luminance
from kiosk.types import Face, Floats, RgbImage, Session, Template

DARK, VERY_DARK = 70.0, 35.0  # mean luma of the inner face
BRIGHT = 120.0  # what a dark face is brought to
BLUR_PX, VERY_DARK_BLUR_PX = 0.8, 1.2
"""Standard deviation of the smoothing in the aligned crop: a dark face is noisy, and gain lifts the noise too.

Measured on 400 pairs of press photographs, one of each darkened with a sensor's noise (FNMR at score 70): at a tenth of
the light .235 as it is, .205 with gain alone, .062 with both; at a fifth .065 and .048; under backlight .290 and .250.
Bilateral and non-local smoothing do worse.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Makes templates with one recogniser network."""

    network: Session  # (1, side, side, 3) uint8 → (1, D) float32
    model: str  # digest that every template carries
    length: int  # D
    side: int = 112
    norm_zero: float = 0.0  # length of the features at which quality is 0, and
    norm_full: float = 0.0  # at which it is 100; the model's, from the manifest; 0 where it was not measured

    def extract(self, image: RgbImage, face: Face) -> Template:
        """Return the template of a face; a dark one is smoothed and brightened first.

        Args:
            image: (H, W, 3) uint8, the one the face was found in.
            face: with exact landmarks, see `detect.Detector.refine`.

        Raises:
            ModelFileError: the network gave something other than D finite numbers, so that no
                comparison with it could be trusted.
        """
        features, length = self._features(lit(align(image, face.landmarks, self.side)))
        return Template(features / np.float32(length), self.model, self._quality(length))

    def extract_with_mirror(self, image: RgbImage, face: Face) -> Template:
        """Return the mean direction of a face's template and its mirror image's, for a reference; quality as `extract`.

        It compares with every other template of this model. Takes two runs of the network.

        Raises:
            ModelFileError: as `extract` does.
        """
        crop = lit(align(image, face.landmarks, self.side))
        features, length = self._features(crop)
        mirrored, mirrored_length = self._features(np.ascontiguousarray(crop[:, ::-1]))
        both = (features / np.float32(length), mirrored / np.float32(mirrored_length))
        fused = fuse([Template(one, self.model) for one in both])
        return replace(fused, quality=self._quality(length))

    def _features(self, crop: RgbImage) -> tuple[Floats, float]:
        """Return what the network gives for an aligned face, and its length.

        Raises:
            ModelFileError: as `extract` says.
        """
        features = self.network.run(crop[np.newaxis])[0].ravel().astype(np.float32)
        length = float(np.linalg.norm(features))
        if features.size != self.length or not 0.0 < length < np.inf:
            raise ModelFileError(
                f"the recogniser gave {features.size} numbers of length {length}, want {self.length} of a finite one; "
                "run: kiosk doctor"
            )
        return features, length

    def _quality(self, norm: float) -> float | None:
        """Return how well the model knew a face: the length of its features, on a scale of 0..100.

        A network trained with angular margins makes short vectors of what it cannot place (Meng et al. 2021, MagFace).
        """
        if not self.norm_full > self.norm_zero:
            return None
        return min(100.0, max(0.0, 100.0 * (norm - self.norm_zero) / (self.norm_full - self.norm_zero)))


def lit(crop: RgbImage) -> RgbImage:
    """Return an aligned face as the recogniser should see it: as it is, or brought to light where it is dark."""
    mean = luminance(crop)
    if mean >= DARK:
        return crop
    return brighten(crop, BRIGHT / max(mean, 1.0), VERY_DARK_BLUR_PX if mean < VERY_DARK else BLUR_PX)


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
