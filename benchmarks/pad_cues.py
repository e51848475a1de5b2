"""Do the cues beside the network tell attacks from people: surroundings that move with the face, a covered scene?

A part of pad.py. A cue that fires on people as often as on attacks would be left out.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kiosk.evaluation.pad_replay import look
from kiosk.recognition.cues import CueLimits, Surroundings, covered_cue, remember_scene
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import RgbImage

SPECIES = ("bona_fide", "print", "bent_print", "cut_out", "phone", "monitor")  # in the order of sequences.py
NEARER = 2.0  # times, which brings the edge of every medium out of view


def measure_rigid(recogniser: Recogniser, clips: Path, names: Sequence[str]) -> dict[str, Any]:
    """Count, by species, the clips in which the surroundings moved as the face did."""
    found: dict[str, Any] = {}
    for species in SPECIES:
        outcomes: Counter[str] = Counter()
        for name in names:
            clip = clips / species / name
            fps = float((clip / "fps.txt").read_text(encoding="utf-8"))
            surroundings = Surroundings()
            for number, path in enumerate(sorted(clip.glob("*.png"))):
                seen = look(recogniser, decode(path.read_bytes()), number, number / fps)
                if seen.faces and seen.mesh is not None:
                    surroundings.see(seen.image, seen.faces[0], seen.mesh, seen.captured_at)
            outcomes[surroundings.cue(CueLimits()).outcome.value] += 1
        found[species] = {"clips": len(names), **dict(sorted(outcomes.items()))}
    return found


def empty_room(pad: Path, species: str, name: str, seed: int) -> RgbImage:
    """Return the room behind a clip's medium, drawn anew from the clip's own seed, without the medium."""
    if str(pad) not in sys.path:
        sys.path.insert(0, str(pad))
    import sequences  # type: ignore[import-not-found]  # noqa: PLC0415  lies outside the repository

    rng = np.random.default_rng([seed, SPECIES.index(species), sum(map(ord, name))])
    camera = sequences.Camera(rng)
    rng.uniform(0.62, 0.8)  # the order of the draws is that of sequences.make
    sequences.sway(rng, 1, 0.1, dict.fromkeys(("x", "y", "s", "yaw", "pitch", "roll"), 0))
    return np.asarray(camera(sequences.room(rng)), np.uint8)


def filling(image: RgbImage) -> RgbImage:
    """Return the picture as if its medium were held so close that it fills the view."""
    height, width = image.shape[:2]
    wide, high = round(width / NEARER), round(height / NEARER)
    left, top = (width - wide) // 2, (height - high) // 2
    part = image[top : top + high, left : left + wide]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def measure_covered(pad: Path, clips: Path, names: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Return, by species, how much of the empty scene is hidden: by the medium as held, and where it fills the view."""
    found: dict[str, Any] = {}
    for species in SPECIES[1:]:
        row: dict[str, list[float]] = {"as held": [], "filling the view": []}
        for name, seed in names:
            scene = remember_scene(empty_room(pad, species, name, seed))
            image = decode((clips / species / name / "16.png").read_bytes())
            for kind, seen in (("as held", image), ("filling the view", filling(image))):
                share = scene.covered(seen)
                if share is not None:
                    row[kind].append(share)
        found[species] = {kind: _summary(shares, len(names)) for kind, shares in row.items()}
    return found


def in_room(portrait: RgbImage, face_box: Sequence[float], room: RgbImage, *, face_share: float) -> RgbImage:
    """Return a person, cut out of a portrait along head and shoulders, before a room.

    Args:
        portrait: (H, W, 3) uint8.
        face_box: xyxy px in it.
        room: (H, W, 3) uint8, while it is empty.
        face_share: edge of the face, of the room's height.
    """
    height, width = room.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in face_box)
    scale = face_share * height / max(x2 - x1, y2 - y1)
    place = np.array([[scale, 0, width / 2 - scale * (x1 + x2) / 2], [0, scale, height * 0.45 - scale * (y1 + y2) / 2]])
    drawn = cv2.warpAffine(portrait, place, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    edge, middle = face_share * height, (width // 2, round(height * 0.45))
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, middle, (round(0.5 * edge), round(0.72 * edge)), 0, 0, 360, 255, -1)
    cv2.ellipse(
        mask, (middle[0], round(middle[1] + 1.75 * edge)), (round(1.35 * edge), round(edge)), 0, 0, 360, 255, -1
    )
    cv2.rectangle(
        mask,
        (round(middle[0] - 1.35 * edge), round(middle[1] + 1.75 * edge)),
        (round(middle[0] + 1.35 * edge), height),
        255,
        -1,
    )
    return np.where(mask[..., np.newaxis] > 0, drawn, room).astype(np.uint8)


def covered_by_people(
    people: Sequence[tuple[RgbImage, Sequence[float]]], pad: Path, names: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """Return how much of an empty scene people hide at the distances of a door; the rooms are those of the clips.

    Args:
        people: portraits and the box of the face in each.
        pad: the folder of sequences.py.
        names: clips whose rooms they stand in, each with its seed.
    """
    found: dict[str, Any] = {}
    for face_share in (0.3, 0.45, 0.6):
        shares = []
        for name, seed in names:
            empty = empty_room(pad, "print", name, seed)
            scene = remember_scene(empty)
            shares += [scene.covered(in_room(image, box, empty, face_share=face_share)) for image, box in people]
        found[f"face of {face_share:.0%} of the height"] = _summary(
            [one for one in shares if one is not None], len(shares)
        )
    return found


def _summary(shares: Sequence[float], clips: int) -> dict[str, Any]:
    denied = sum(covered_cue(share, CueLimits()).outcome.value == "denies" for share in shares)
    return {
        "pictures": clips,
        "judged": len(shares),
        "denied": denied,
        "median": round(float(np.median(shares)), 3) if shares else None,
        "largest": round(max(shares), 3) if shares else None,
        "least": round(min(shares), 3) if shares else None,
    }
