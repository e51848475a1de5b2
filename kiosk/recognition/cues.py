"""Cues that a face is a picture: a network's opinion, a wholly covered scene, surroundings that move with the face.

Each cue denies or triggers a challenge or says nothing; none lets anybody in, and none makes up for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelFileError
from kiosk.recognition.image import box_crop, grey, squeeze, track
from kiosk.types import Face, Floats, RgbImage, Session


class CueName(str, Enum):
    """What was looked at."""

    NETWORK = "network"  # MiniFASNetV2-SE's share of "real person", 0..1
    COVERED = "covered"  # share of the empty scene's structure that is hidden, 0..1
    RIGID = "rigid"  # share of the times at which the surroundings moved as the face did, 0..1
    FLASH = "flash"  # correlation of the face with the screen's colours, -1..1


class CueOutcome(str, Enum):
    """What a cue says."""

    DENIES = "denies"
    ASKS = "asks"  # for a challenge
    PASSES = "passes"
    UNJUDGED = "unjudged"  # too little to go by


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue's answer."""

    name: CueName
    outcome: CueOutcome
    value: float | None  # None where it was not judged
    threshold: float
    sentence: str  # for the operator; the visitor is never told


@dataclass(frozen=True, slots=True)
class CueLimits:
    """When a cue denies. The defaults are measured on few people, so a site calibrates its own."""

    network_low: float = 0.15  # least median share of "real person"
    network_frames: int = 5  # least frames behind the median
    face_share_high: float = 0.6  # of the picture's shorter edge; above, a medium's edge would be out of view
    covered_high: float = 0.9  # of the empty scene's structure
    rigid_high: float = 0.6  # of the movements
    rigid_movements: int = 4  # least movements behind that share


@dataclass(frozen=True, slots=True, eq=False)
class SpoofNetwork:
    """Says of one frame how much the face and what surrounds it look like a person before a camera."""

    network: Session  # (1, side, side, 3) uint8 RGB → (1, 3) shares
    model: str  # digest of the file
    side: int = 128
    scale: float = 2.7  # of the face's box

    def judge(self, image: RgbImage, face: Face) -> float:
        """Return the share of "real person", 0..1.

        Raises:
            ModelFileError: the network gave something else than three shares.
        """
        crop = squeeze(box_crop(image, network_view(image.shape[:2], face.box, self.scale)), (self.side, self.side))
        shares = self.network.run(crop[np.newaxis])[0].ravel()
        if shares.size != 3 or not np.isfinite(shares).all():  # noqa: PLR2004  see `give_shares` in models/
            raise ModelFileError(
                f"the liveness network gave {shares.size} numbers, want 3 finite ones; run: kiosk doctor"
            )
        return float(shares[0])


def network_view(size_hw: tuple[int, ...], box: Floats, scale: float) -> Floats:
    """Return the part of a picture that the network sees: the face's box grown, moved and, if need be, shrunk to fit.

    Source: `alignLivenessImage` of the package, as of minivision's Silent-Face-Anti-Spoofing.
    """
    height, width = size_hw
    edges = box[2:] - box[:2]
    fitting = min(scale, (height - 1) / float(edges[1]), (width - 1) / float(edges[0]))
    half = edges * np.float32(fitting / 2)
    limit = np.array([width - 1, height - 1], np.float32)
    middle = np.clip((box[:2] + box[2:]) / 2, half, np.maximum(limit - half, half))
    return np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, limit)]).astype(np.float32)


def fits(image: RgbImage, face: Face, limits: CueLimits) -> bool:
    """Say whether enough of the surroundings is in view, so that the edge of a print or screen would be.

    Where not, a visitor should step back, and a photograph is cut too tightly to be judged.
    """
    edge = float(max(face.box[2:] - face.box[:2]))
    return bool(edge <= limits.face_share_high * min(image.shape[:2]))


def network_cue(shares: Sequence[float], limits: CueLimits) -> Cue:
    """Judge by the median over the frames seen so far."""
    if len(shares) < limits.network_frames:
        return Cue(
            CueName.NETWORK,
            CueOutcome.UNJUDGED,
            None,
            limits.network_low,
            f"{len(shares)} frames could be judged, {limits.network_frames} are needed",
        )
    median = float(np.median(shares))
    denies = not median >= limits.network_low  # a NaN denies
    return Cue(
        CueName.NETWORK,
        CueOutcome.DENIES if denies else CueOutcome.PASSES,
        median,
        limits.network_low,
        f"share of a real person {median:.2f} over {len(shares)} frames, least {limits.network_low:.2f}",
    )


BLOCK_PX = 8  # of the small copy of a scene
SCENE_WIDTH = 160
STRUCTURE_LOW = 6.0  # standard deviation of grey levels from which a block shows something
SAME_LOW = 0.8  # correlation from which a block still shows the same
LEAST_BLOCKS = 20


@dataclass(frozen=True, slots=True, eq=False)
class EmptyScene:
    """What the camera sees while nobody is there."""

    blocks: Floats  # (N, BLOCK_PX ** 2) each of mean 0; what is flat is left out
    places: NDArray[np.intp]  # (N,) which block of the picture each is
    size_hw: tuple[int, int]  # of the picture it was made from

    @property
    def can_judge(self) -> bool:
        """Whether the scene has enough structure to be covered; a bare wall has not."""
        return len(self.blocks) >= LEAST_BLOCKS

    def covered(self, image: RgbImage) -> float | None:
        """Return the share of the scene's structure that is hidden, 0..1; None where it cannot be told.

        Light that changes leaves structure; a print or screen that fills the view leaves none of it.
        """
        if not self.can_judge or image.shape[:2] != self.size_hw:
            return None
        now = _blocks(image)[self.places]
        now = now - now.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(now, axis=1) * np.linalg.norm(self.blocks, axis=1)
        alike = np.sum(now * self.blocks, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return float(np.mean(alike < SAME_LOW))


def remember_scene(image: RgbImage) -> EmptyScene:
    """Keep what a picture without anybody shows."""
    blocks = _blocks(image)
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    places = np.flatnonzero(blocks.std(axis=1) >= STRUCTURE_LOW)
    return EmptyScene(blocks[places], places, (image.shape[0], image.shape[1]))


def _blocks(image: RgbImage) -> Floats:
    height = max(1, round(SCENE_WIDTH * image.shape[0] / image.shape[1] / BLOCK_PX)) * BLOCK_PX
    small = grey(squeeze(image, (SCENE_WIDTH, height))).astype(np.float32)
    rows, columns = height // BLOCK_PX, SCENE_WIDTH // BLOCK_PX
    cut = small.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2)
    return cut.reshape(rows * columns, BLOCK_PX * BLOCK_PX)


def covered_cue(share: float | None, limits: CueLimits) -> Cue:
    """Judge by how much of the empty scene is hidden."""
    if share is None:
        sentence = "no empty scene with enough structure is stored"
        return Cue(CueName.COVERED, CueOutcome.UNJUDGED, None, limits.covered_high, sentence)
    outcome = CueOutcome.DENIES if share > limits.covered_high else CueOutcome.PASSES
    sentence = f"{share:.0%} of the empty scene is hidden, most {limits.covered_high:.0%}"
    return Cue(CueName.COVERED, outcome, share, limits.covered_high, sentence)


FLOW_WIDTH = 320  # px of the copy on which movement is measured
STEP_S = 0.2  # between two frames that are compared
LEAST_MOVEMENT = 0.02  # of the face's edge; less is the mesh's own noise
LEAST_POINTS = 12
EDGE_PX = 4  # flow needs some picture around a point
ALIKE = 0.35  # difference of the movements, as a share of the face's


class Surroundings:
    """Watches whether what lies around the face moves as the face does: paper does, a room does not."""

    def __init__(self) -> None:
        self._last: tuple[float, NDArray[np.uint8], Floats, Floats] | None = None
        self._votes: list[bool] = []

    def see(self, image: RgbImage, face: Face, mesh: Floats, captured_at: float) -> None:
        """Take note of the next frame."""
        if self._last is not None and captured_at - self._last[0] < STEP_S:
            return
        scale = FLOW_WIDTH / image.shape[1]
        small = grey(squeeze(image, (FLOW_WIDTH, max(1, round(image.shape[0] * scale)))))
        points, box = mesh * np.float32(scale), face.box * np.float32(scale)
        if self._last is not None and self._last[1].shape == small.shape:  # a camera may change its format
            self._compare(small, points)
        self._last = captured_at, small, points, box

    def _compare(self, small: NDArray[np.uint8], points: Floats) -> None:
        assert self._last is not None
        _, before, old_points, box = self._last
        edge = float(max(box[2:] - box[:2]))
        # One affine movement of the face; on a flat medium it holds for the medium as well.
        ones = np.ones((len(points), 1), np.float32)
        movement, *_ = np.linalg.lstsq(np.hstack([old_points, ones]), points, rcond=None)
        grid = _ring(box, small.shape)
        if len(grid) < LEAST_POINTS:
            return
        expected = np.hstack([grid, np.ones((len(grid), 1), np.float32)]) @ movement - grid
        moved = float(np.median(np.linalg.norm(expected, axis=1)))
        if moved < LEAST_MOVEMENT * edge:
            return
        flow, found = track(before, small, grid)
        if int(found.sum()) < LEAST_POINTS:
            return
        apart = np.linalg.norm(flow[found] - grid[found] - expected[found], axis=1)
        self._votes.append(float(np.median(apart)) <= ALIKE * moved)

    def cue(self, limits: CueLimits) -> Cue:
        """Judge by the share of movements at which face and surroundings moved as one."""
        if len(self._votes) < limits.rigid_movements:
            sentence = f"{len(self._votes)} movements were seen, {limits.rigid_movements} are needed"
            return Cue(CueName.RIGID, CueOutcome.UNJUDGED, None, limits.rigid_high, sentence)
        share = float(np.mean(self._votes))
        outcome = CueOutcome.ASKS if share >= limits.rigid_high else CueOutcome.PASSES
        sentence = f"surroundings moved with the face at {share:.0%} of {len(self._votes)} movements"
        return Cue(CueName.RIGID, outcome, share, limits.rigid_high, sentence)


def _ring(box: Floats, size_hw: tuple[int, ...]) -> Floats:
    """Return (N, 2) px of a grid beside and above the face, inside the picture."""
    middle, edge = (box[:2] + box[2:]) / 2, float(max(box[2:] - box[:2]))
    steps = np.linspace(-1.0, 1.0, 13, dtype=np.float32) * edge
    x, y = np.meshgrid(steps + middle[0], steps + middle[1])
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    away = np.abs(grid - middle).max(axis=1)
    below = grid[:, 1] - middle[1] > 0.6 * edge  # shoulders and chest move with the head
    limit = np.array([size_hw[1], size_hw[0]], np.float32) - EDGE_PX
    inside = ((grid >= EDGE_PX) & (grid < limit)).all(axis=1)
    return np.asarray(grid[(away > 0.75 * edge) & ~below & inside], np.float32)
