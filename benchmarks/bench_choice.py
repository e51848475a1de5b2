"""Is the face that is compared the right one: the largest of a press photograph, and one face of any size and place?

The number that would change a decision: a single picture whose choice is no face; a score below 85 of one person.

    python benchmarks/bench_choice.py FACES

FACES holds lfw/ and london/ (not part of the repository). Whether a choice is a face is for the eye: counted are the
pictures where a box of middling confidence is chosen over one that is sure, and the files are printed, not stored. The
second part puts one face, 60 to 400 px wide, at five places of pictures of 2, 8 and 12 megapixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.about import ROOT, about_run, store
from kiosk.errors import ImageError
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack
from kiosk.recognition.match import compare
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import RgbImage, Template

SURE = 0.75
SIZES_WH = ((1920, 1080), (3840, 2160), (4000, 3000))
PLACES = ((0.5, 0.5), (0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95))
WIDTHS = tuple(int(width) for width in np.linspace(60, 400, 16).round())
LEAST_SCORE = 85
GREY = 120


def doubtful_choices(recogniser: Recogniser, folder: Path) -> tuple[int, list[str]]:
    """Return how many photographs there are, and those whose choice is for the eye."""
    paths = sorted(folder.glob("*/*.jpg"))
    found = []
    for path in tqdm(paths):
        try:
            faces = recogniser.detect(decode(path.read_bytes()))
        except ImageError:  # one is cut off
            continue
        if faces and faces[0].confidence < SURE and any(face.confidence >= SURE for face in faces):
            found.append(str(path))
    return len(paths), found


def scores(recogniser: Recogniser, photo: RgbImage, reference: Template, size_wh: tuple[int, int]) -> list[int]:
    """Return the score of a face at every width and place of a picture; -1 where none was found."""
    box = recogniser.detect(photo)[0].box
    found = []
    for width in WIDTHS:
        scale = width / float(box[2] - box[0])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=way)[: size_wh[1]]
        for across, down in PLACES:
            picture = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
            left = int((size_wh[0] - small.shape[1]) * across)
            top = int((size_wh[1] - small.shape[0]) * down)
            picture[top : top + small.shape[0], left : left + small.shape[1]] = small
            template = recogniser.analyse(picture).template
            found.append(-1 if template is None else recogniser.scale.score(compare(template, reference)))
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    recogniser = load_recogniser(pack, threads=1)
    golden = ROOT / "tests" / "golden"
    pairs = {"golden A": (golden / "person_a_1.jpg", golden / "person_a_2.jpg")}
    for person in sorted(path.name for path in (chosen.faces / "london").iterdir() if path.is_dir())[:3]:
        folder = chosen.faces / "london" / person
        pairs[f"london {person}"] = (folder / "neutral.jpg", folder / "smiling.jpg")
    rows = []
    for name, (photo, other) in pairs.items():
        reference = recogniser.analyse(decode(other.read_bytes())).template
        if reference is None:
            raise SystemExit(f"{other} shows no face to compare with")
        for size_wh in SIZES_WH:
            found = scores(recogniser, decode(photo.read_bytes()), reference, size_wh)
            below = sum(score < LEAST_SCORE for score in found)
            rows.append({"face": name, "picture": size_wh, "tried": len(found), "below_85": below, "least": min(found)})
            print(rows[-1], flush=True)
    photographs, doubtful = doubtful_choices(recogniser, chosen.faces / "lfw")
    print("\n".join(doubtful))
    result = about_run(__doc__.splitlines()[0], pack, command="bench_choice.py FACES")
    result |= {
        "photographs": photographs,
        "doubtful_choices": len(doubtful),
        "widths_px": WIDTHS,
        "places": PLACES,
        "one_face": rows,
    }
    store("choice", result)


if __name__ == "__main__":
    main()
