"""The decision line: decode → turn → detect → largest → align → template, age, gender → compare or search → decide.

Decoding is photo.py's, the search gallery/'s; here is what lies between, in order. Nothing in this module
knows a file, a clock or a runtime: the steps are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kiosk.recognition.match import MatchDecision, ScoreScale, compare, decide_match
from kiosk.types import Entity, Face, Floats, RgbImage, Sample, Template

MESH_PRESENCE = 0.5
"""The mesh's own confidence that its landmarks are a face's; below, the detector's approximate ones serve better."""


@dataclass(frozen=True, slots=True, eq=False)
class Recogniser:
    """The steps of the line and what the model's scores mean."""

    detect: Callable[[RgbImage], list[Face]]  # largest first
    glance: Callable[[RgbImage], list[Face]]  # the same in one quick look, for a camera's frames
    find_upright: Callable[[RgbImage], tuple[list[Face], int]]  # the same, and the turn that was needed
    turn: Callable[[RgbImage, int], RgbImage]
    refine: Callable[[RgbImage, Face], tuple[Face, float]]
    extract: Callable[[RgbImage, Face], Template]
    describe: Callable[[RgbImage, Face], tuple[float, str]]
    scale: ScoreScale
    model: str  # digest that the templates carry
    trace: Callable[[RgbImage, Face], tuple[Face, float, Floats]] | None = None
    """As `refine`, with all 468 points of the mesh; None for a pack without one, with which no liveness is judged."""

    extract_with_mirror: Callable[[RgbImage, Face], Template] | None = None
    """As `extract`, averaged with the mirrored face, for references; None where that is not wanted."""

    def analyse(self, image: RgbImage, *, rotate: bool = False) -> Sample:
        """Find every face in a picture; make the template of the largest.

        Args:
            image: (H, W, 3) uint8.
            rotate: try the four quarter turns and keep the one with the best upright face.
        """
        faces, angle = self.find_upright(image) if rotate else (self.detect(image), 0)
        upright = self.turn(image, angle)
        exact = [self.sharpen(upright, face) for face in faces]
        entities = tuple(self.entity(upright, face) for face in exact)
        return Sample(entities, angle, self.extract(upright, exact[0]) if exact else None)

    def sharpen(self, image: RgbImage, face: Face) -> Face:
        """Return the face with exact landmarks, or as it is where the mesh sees no face in it."""
        refined, presence = self.refine(image, face)
        return refined if presence >= MESH_PRESENCE else face

    def entity(self, image: RgbImage, face: Face) -> Entity:
        """Describe a face for the answer."""
        height, width = image.shape[:2]
        x1, y1, x2, y2 = (round(float(value)) for value in face.box)
        age, gender = self.describe(image, face)
        bbox = max(0, x1), max(0, y1), min(width, x2), min(height, y2)
        return Entity(bbox, min(1.0, max(0.0, face.confidence)), age, gender)

    def match(
        self, user: Sample, reference: Sample, *, decline_threshold: float, review_threshold: int | None = None
    ) -> MatchDecision:
        """Compare two samples, 1:1, and decide by contract section 3."""
        score = None
        if user.template is not None and reference.template is not None:
            score = self.scale.score(compare(user.template, reference.template))
        return decide_match(
            score,
            decline_threshold=decline_threshold,
            review_threshold=review_threshold,
            reference_has_face=reference.template is not None,
        )
