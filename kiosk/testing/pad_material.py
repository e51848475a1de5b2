"""People who move and attacks with their pictures, made of one portrait: material for tests and the golden pictures.

A simulation: it shows that a cue fires or not, and states no rate. The portrait's head turns and opens its mouth by
the depth that the face mesh gives; prints and screens are drawn into a room and seen by a camera with a lens, a
sensor and JPEG. The idea is that of a plane in perspective, seen in linear light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kiosk.recognition.challenges import LEFT_EYE, LOWER_LIP, RIGHT_EYE, UPPER_LIP
from kiosk.recognition.detect import Detector, mesh_roi
from kiosk.recognition.image import warp
from kiosk.types import Face, Floats, RgbImage

SIZE_WH = (640, 480)
GAMMA = 2.2
DEPTH_OF_AXIS = 0.55  # of the face's width, from its middle to the axis of the neck
RING, RING_FOLLOWS = 1.45, 0.45  # hair and ears: how far out, and how much they move with the face
LIGHT = (np.arange(256, dtype=np.float32) / np.float32(255.0)) ** np.float32(GAMMA)  # of each grey level, linear
SCREEN_LUX = 36.0  # a white screen of 10 inch and 300 cd/m² at half a metre
REFLECTED = 0.04  # of the light that falls on a lit screen


def trace_depth(detector: Detector, image: RgbImage, face: Face) -> Floats:
    """Return (468, 3) px of the mesh, with depth in the same px; smaller is nearer."""
    across = face.landmarks[1] - face.landmarks[0]
    matrix = mesh_roi(face, detector.mesh_side, float(np.arctan2(across[1], across[0])))
    square = warp(image, matrix, (detector.mesh_side, detector.mesh_side))
    points = detector.mesh.run((square.astype(np.float32) / np.float32(255.0))[np.newaxis])[0].reshape(-1, 3)
    turn = matrix[:, :2].astype(np.float64)
    flat = np.linalg.solve(turn, (points[:, :2] - matrix[:, 2]).T).T
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return np.column_stack([flat, points[:, 2] / scale]).astype(np.float32)


class MovingPortrait:
    """A portrait whose head turns and whose mouth opens."""

    def __init__(self, image: RgbImage, points: Floats) -> None:
        """Prepare the movement.

        Args:
            image: (H, W, 3) uint8.
            points: (468, 3), of `trace_depth`.
        """
        self._image, self._points = image, points.astype(np.float64)
        height, width = image.shape[:2]
        flat = self._points[:, :2]
        self._middle = (flat.min(axis=0) + flat.max(axis=0)) / 2
        self._face_width = float(np.ptp(flat[:, 0]))
        hull = cv2.convexHull(flat.astype(np.float32)).reshape(-1, 2).astype(np.float64)
        ring = self._middle + (hull - self._middle) * RING
        edge = [(x, y) for x in (0, width / 2, width - 1) for y in (0, height / 2, height - 1)]
        self._fixed = np.array([one for one in edge if one != (width / 2, height / 2)])
        self._ring, self._hull = ring, hull
        self._triangles = _triangles(np.vstack([flat, ring, self._fixed]), (width, height))

    def frame(self, yaw_deg: float = 0.0, mouth: float = 0.0) -> RgbImage:
        """Draw the person.

        Args:
            yaw_deg: of the head, positive towards the subject's left, which is the picture's right.
            mouth: how far the lips are apart, in distances of the eyes.
        """
        source = np.vstack([self._points[:, :2], self._ring, self._fixed])
        moved = self._points.copy()
        self._open(moved, mouth)
        axis_z = float(self._points[:, 2].mean()) + DEPTH_OF_AXIS * self._face_width
        angle = np.radians(yaw_deg)
        x, z = moved[:, 0] - self._middle[0], moved[:, 2] - axis_z
        # Nearer points have the smaller z, so that the tip of the nose swings to the side that is turned to.
        moved[:, 0] = self._middle[0] + x * np.cos(angle) - z * np.sin(angle)
        depth = x * np.sin(angle) + z * np.cos(angle)
        shift = DEPTH_OF_AXIS * self._face_width * np.sin(angle) * RING_FOLLOWS
        ring = self._ring + np.array([shift, 0.0])
        below = ring[:, 1] > float(self._points[LOWER_LIP, 1])
        ring[below, 1] += max(
            0.0, float(moved[:, 1].max() - self._points[:, 1].max())
        )  # the neck makes room for the chin
        target = np.vstack([moved[:, :2], ring, self._fixed])
        depths = np.concatenate([depth, np.full(len(ring) + len(self._fixed), float(depth.max()) + 1.0)])
        picture = _draw(self._image, source, target, depths, self._triangles)
        if mouth > 0.0:
            inner = moved[list(INNER_LIPS), :2].astype(np.int32)
            cv2.fillPoly(picture, [inner], (40, 14, 16), cv2.LINE_AA)
        return picture

    def _open(self, moved: NDArray[np.float64], mouth: float) -> None:
        """Lower the jaw."""
        if mouth <= 0.0:
            return
        eyes = self._points[list(LEFT_EYE), :2].mean(axis=0) - self._points[list(RIGHT_EYE), :2].mean(axis=0)
        drop = mouth * float(np.linalg.norm(eyes))
        lips = float(self._points[[UPPER_LIP, LOWER_LIP], 1].mean())
        below = self._points[:, 1] > lips
        sideways = np.abs(self._points[:, 0] - self._points[LOWER_LIP, 0]) / (self._face_width / 2)
        share = np.clip(1.0 - 0.6 * sideways**2, 0.0, 1.0)
        moved[below, 1] += (drop * share)[below]
        for lower in LOWER_INNER:  # the corners stay, the middle goes down
            moved[lower, 1] = self._points[lower, 1] + drop * share[lower]


LOWER_INNER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""The inner rim of the lips, all round. Source: as MESH_INDICES of recognition/detect.py."""


def _triangles(points: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.intp]:
    """Return (N, 3) indices of a Delaunay triangulation."""
    width, height = size_wh
    plane = cv2.Subdiv2D((-2 * width, -2 * height, 5 * width, 5 * height))
    index: dict[tuple[float, float], int] = {}
    for number, (x, y) in enumerate(points.astype(np.float32)):
        key = (float(x), float(y))
        if key not in index:
            index[key] = number
            plane.insert(key)
    found = []
    for x1, y1, x2, y2, x3, y3 in np.asarray(plane.getTriangleList(), np.float64):
        corners = [index.get((float(x), float(y))) for x, y in ((x1, y1), (x2, y2), (x3, y3))]
        if None not in corners:
            found.append(corners)
    return np.array(found, np.intp)


def _draw(
    image: RgbImage,
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    depths: NDArray[np.float64],
    triangles: NDArray[np.intp],
) -> RgbImage:
    """Draw each triangle where it has moved to, the far ones first."""
    height, width = image.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there, here = target[triangles], source[triangles]
    sides, edges = _sides(there), _sides(here)
    area = np.linalg.det(sides)
    lows = np.maximum(np.floor(there.min(axis=1)).astype(int), 0)
    highs = np.minimum(np.ceil(there.max(axis=1)).astype(int) + 1, (width, height))
    # A triangle whose corners run the other way round than in the portrait is seen from behind.
    is_seen = (highs > lows).all(axis=1) & (np.abs(area) >= 1e-6) & (area * np.linalg.det(edges) >= 0.0)  # noqa: PLR2004
    order = np.argsort(-depths[triangles].mean(axis=1), kind="stable")
    order = order[is_seen[order]]
    for number, inverse in zip(order, np.linalg.inv(sides[order]), strict=True):
        (left, top), (right, bottom) = lows[number], highs[number]
        x, y = np.arange(left, right) - there[number, 0, 0], np.arange(top, bottom) - there[number, 0, 1]
        u, v = (along[0] * x + (along[1] * y)[:, np.newaxis] for along in inverse)
        is_inside = (u >= -1e-3) & (v >= -1e-3) & (u + v <= 1.001)  # noqa: PLR2004  rounding
        for plane, axis in ((columns, 0), (rows, 1)):
            mapped = here[number, 0, axis] + u * edges[number, axis, 0] + v * edges[number, axis, 1]
            np.copyto(plane[top:bottom, left:right], mapped, casting="same_kind", where=is_inside)
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _sides(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two sides of each of (N, 3, 2) triangles as the columns of (N, 2, 2) matrices."""
    return np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)


# ---- light, rooms and cameras


def to_light(image: RgbImage) -> Floats:
    """Return an image in linear light, 0..1."""
    return np.asarray(LIGHT[image], np.float32)


def to_pixels(light: Floats) -> RgbImage:
    """Return linear light as an image."""
    return np.asarray(np.clip(light, 0.0, 1.0) ** (1.0 / GAMMA) * 255.0, np.float32).astype(np.uint8)


def relit(image: RgbImage, colour: Sequence[int], ambient_lux: float) -> RgbImage:
    """Return a scene with the light of the kiosk's screen added to that of the room."""
    added = np.array(colour, np.float32) / 255.0 * np.float32(SCREEN_LUX / ambient_lux)
    return to_pixels(to_light(image) * (1.0 + added).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a camera adds: blur of the lens, noise, JPEG."""

    rng: np.random.Generator
    blur_px: float = 0.7
    electrons: float = 6000.0  # of a full pixel
    quality: int = 90

    def take(self, light: Floats) -> RgbImage:
        """Return the picture of a scene in linear light."""
        seen = np.clip(cv2.GaussianBlur(light, (0, 0), self.blur_px), 0.0, 1.0)
        noise = np.asarray(self.rng.standard_normal(seen.shape), np.float32) * np.sqrt(seen / self.electrons + 1e-6)
        picture = to_pixels(np.asarray(seen + noise, np.float32))
        coded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[:, :, ::-1], np.uint8)


def draw_room(rng: np.random.Generator, size_wh: tuple[int, int] = SIZE_WH) -> Floats:
    """Return a wall with light falling off and some furniture, (H, W, 3) in linear light."""
    width, height = size_wh
    across, down = np.meshgrid(np.linspace(0.75, 1.15, width), np.linspace(1.1, 0.7, height))
    wall = (across * down)[..., np.newaxis] * rng.uniform(0.2, 0.4) * np.array([1.0, 0.97, 0.9])
    room = np.ascontiguousarray(wall, np.float32)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        wide, high = int(rng.integers(width // 20, width // 5)), int(rng.integers(height // 20, height // 3))
        tone = tuple(float(value) for value in rng.uniform(0.03, 0.6) * rng.uniform(0.8, 1.1, 3))
        cv2.rectangle(room, (x, y), (x + wide, y + high), tone, -1)
    return np.asarray(cv2.GaussianBlur(room, (0, 0), 1.5), np.float32)


def stand(person: RgbImage, room: Floats, *, height_share: float = 0.9, x_px: float = 0.0) -> Floats:
    """Put a portrait into a room without an edge: its own background fades into the wall.

    Returns:
        (H, W, 3) in linear light.
    """
    height, width = room.shape[:2]
    scale = height_share * height / person.shape[0]
    shift = np.array(
        [[scale, 0, (width - scale * person.shape[1]) / 2 + x_px], [0, scale, height * (1 - height_share)]]
    )
    drawn = cv2.warpAffine(to_light(person), shift, (width, height), flags=cv2.INTER_AREA)
    mask = np.zeros(person.shape[:2], np.float32)
    rim = round(0.12 * min(person.shape[:2]))
    mask[rim:, rim:-rim] = 1.0
    soft = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), rim / 2.5), shift, (width, height))[..., np.newaxis]
    return np.asarray(room * (1.0 - soft) + drawn * soft, np.float32)


@dataclass(frozen=True, slots=True)
class Held:
    """Where a medium is held: its middle, size and turns."""

    width_px: float = 420.0
    x_px: float = 0.0  # from the middle of the picture
    y_px: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def corners(self, shape_hw: tuple[int, int], size_wh: tuple[int, int] = SIZE_WH) -> Floats:
        """Return (4, 2) px: top left, top right, bottom right, bottom left, seen in perspective."""
        half = np.array([self.width_px / 2, self.width_px / 2 * shape_hw[0] / shape_hw[1]])
        flat = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * np.array([*half, 1.0])
        turns = [cv2.Rodrigues(np.radians(np.eye(3)[axis] * angle))[0] for axis, angle in self._turns]
        turned = flat @ (turns[2] @ turns[1] @ turns[0]).T
        near = 1.0 + turned[:, 2:] / (1.2 * size_wh[0])
        middle = np.array(size_wh) / 2 + (self.x_px, self.y_px)
        return np.asarray(turned[:, :2] / near + middle, np.float32)

    @property
    def _turns(self) -> tuple[tuple[int, float], ...]:
        return (1, self.yaw_deg), (0, self.pitch_deg), (2, self.roll_deg)


def hold_print(picture: RgbImage, room: Floats, held: Held, *, margin: float = 0.05) -> Floats:
    """Draw a paper print into a room: ink has no deep black, paper a white rim and a grain, a hand holds it."""
    ink = np.float32(0.04) + to_light(picture) * np.float32(0.7)
    rim = round(margin * max(picture.shape[:2]))
    paper = cv2.copyMakeBorder(ink, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(0.72, 0.72, 0.7))
    grain = np.random.default_rng(1).standard_normal(paper.shape[:2]).astype(np.float32)
    paper = paper * (1.0 + np.float32(0.02) * grain[..., np.newaxis])
    return _lay(np.asarray(paper, np.float32), room, held)


def hold_screen(picture: RgbImage, room: Floats, held: Held, *, bezel: float = 0.06) -> Floats:
    """Draw a phone's or tablet's lit screen into a room: bluish white, lines of pixels, a black bezel, a hand."""
    lit = to_light(picture) * np.array([0.85, 0.92, 1.0], np.float32) + np.float32(0.006)
    lines = 1.0 + 0.12 * np.sin(np.arange(lit.shape[0]) * 2.1)[:, np.newaxis, np.newaxis]
    rim = round(bezel * max(picture.shape[:2]))
    glass = cv2.copyMakeBorder(
        np.asarray(lit * lines, np.float32), rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(0.012, 0.012, 0.012)
    )
    return _lay(np.asarray(glass, np.float32), room, held)


def shine(scene: Floats, corners: Floats, colour: Sequence[int], ambient_lux: float) -> Floats:
    """Add the kiosk's colour to a scene in which a lit screen reflects next to nothing of it."""
    added = np.array(colour, np.float32) / 255.0 * np.float32(SCREEN_LUX / ambient_lux)
    mask = np.zeros(scene.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 1.0)
    reflects = 1.0 - (1.0 - REFLECTED) * mask[..., np.newaxis]
    return np.asarray(scene * (1.0 + added * reflects), np.float32)


def _lay(medium: Floats, room: Floats, held: Held) -> Floats:
    height, width = medium.shape[:2]
    corners = held.corners((height, width), (room.shape[1], room.shape[0]))
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, corners)
    scale = held.width_px / width
    soft = cv2.GaussianBlur(medium, (0, 0), 0.45 / scale) if scale < 0.8 else medium  # noqa: PLR2004  shrinks
    size_wh = (room.shape[1], room.shape[0])
    drawn = cv2.warpPerspective(soft, matrix, size_wh)
    mask = cv2.warpPerspective(np.ones((height, width), np.float32), matrix, size_wh)[..., np.newaxis]
    scene = np.ascontiguousarray(room * (1.0 - mask) + drawn * mask, np.float32)
    edge = (corners[2] + corners[3]) / 2
    thumb = int(held.width_px * 0.05)
    for shift in (-1.2, 0.0, 1.2):
        middle = int(edge[0] + shift * thumb * 1.6), int(edge[1])
        cv2.ellipse(scene, middle, (thumb, thumb * 2), 0, 0, 360, (0.36, 0.2, 0.14), -1, cv2.LINE_AA)
    return scene
