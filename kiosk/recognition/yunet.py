"""Another detector: OpenCV Zoo's YuNet, for packs that bring it. Its five landmarks are exact enough as they are.

Layout of the outputs: `FaceDetectorYNImpl::postProcess` in opencv/opencv, modules/objdetect/src/face_detect.cpp
(Apache-2.0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kiosk.recognition.detect import overlap
from kiosk.recognition.image import ANGLES_DEG, letterbox, rotate
from kiosk.types import Face, Floats, RgbImage, Session

STRIDES = (8, 16, 32)
SAME_FACE_OVERLAP = 0.3  # nms_threshold, FaceDetectorYN's default
UPRIGHT_COSINE = math.cos(math.radians(45.0))  # a face leaning further stands upright in another quarter turn


@dataclass(frozen=True, slots=True, eq=False)
class YuNet:
    """Finds faces with their landmarks in one pass; serves where `detect.Detector` does."""

    network: Session  # (1, 3, side, side) float32 BGR 0..255 → cls, obj, bbox, kps, each for three strides
    side: int = 640
    threshold: float = 0.9

    def detect(self, image: RgbImage) -> list[Face]:
        """Find the faces in an image as it stands, largest first."""
        square, scale = letterbox(image, self.side)
        tensor = np.ascontiguousarray(square[:, :, ::-1].transpose(2, 0, 1), np.float32)[np.newaxis]
        outputs = self.network.run(tensor)
        found = [self._layer(outputs, layer) for layer in range(len(STRIDES))]
        confidences = np.concatenate([layer[0] for layer in found])
        boxes = np.asarray(np.concatenate([layer[1] for layer in found]) / scale, np.float32)
        points = np.asarray(np.concatenate([layer[2] for layer in found]) / scale, np.float32)
        limits = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        faces = [
            Face(
                np.clip(boxes[row], 0.0, limits).astype(np.float32),
                points[row].astype(np.float32),
                float(confidences[row]),
            )
            for row in _suppressed(boxes, confidences)
        ]
        return sorted((face for face in faces if face.area > 0.0), key=lambda face: (-face.area, -face.confidence))

    def find_upright(self, image: RgbImage) -> tuple[list[Face], int]:
        """Find the faces in whichever quarter turn shows the best upright one; ties go to the smaller angle."""
        best: tuple[float, list[Face], int] = (0.0, [], 0)
        for angle in ANGLES_DEG:
            faces = self.detect(rotate(image, angle))
            confidence = max((face.confidence for face in faces if _is_upright(face)), default=0.0)
            if confidence > best[0]:
                best = (confidence, faces, angle)
        return best[1], best[2]

    def refine(self, image: RgbImage, face: Face) -> tuple[Face, float]:  # noqa: ARG002  as Detector.refine
        """Return the face: its landmarks are as exact as they get."""
        return face, 1.0

    def _layer(self, outputs: list[Floats], layer: int) -> tuple[Floats, Floats, Floats]:
        """Return (K,) confidences, (K, 4) xyxy and (K, 5, 2) points in px of the square."""
        stride = STRIDES[layer]
        cls, obj, bbox, kps = (outputs[kind * len(STRIDES) + layer][0] for kind in range(4))
        confidences = np.sqrt(np.clip(cls[:, 0], 0.0, 1.0) * np.clip(obj[:, 0], 0.0, 1.0))
        rows = np.flatnonzero(confidences >= self.threshold)
        cells = np.stack([rows % (self.side // stride), rows // (self.side // stride)], axis=1).astype(np.float32)
        centres = (cells + bbox[rows, :2]) * stride
        halves = np.exp(bbox[rows, 2:]) * (stride / 2)
        points = (kps[rows].reshape(-1, 5, 2) + cells[:, np.newaxis]) * stride
        return confidences[rows], np.hstack([centres - halves, centres + halves]), points


def _is_upright(face: Face) -> bool:
    down = face.landmarks[3:].mean(axis=0) - face.landmarks[:2].mean(axis=0)
    length = float(np.linalg.norm(down))
    return length > 0.0 and float(down[1]) / length >= UPRIGHT_COSINE


def _suppressed(boxes: Floats, confidences: Floats) -> list[int]:
    """Return the rows that stay when each face keeps its most confident box."""
    left = list(np.argsort(-confidences, kind="stable"))
    kept: list[int] = []
    while left:
        row = int(left.pop(0))
        kept.append(row)
        if left:
            shares = overlap(boxes[row], boxes[left])
            left = [other for other, share in zip(left, shares, strict=True) if share <= SAME_FACE_OVERLAP]
    return kept
