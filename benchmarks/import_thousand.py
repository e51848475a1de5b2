"""Does an import of 1,000 people with every kind of trouble account for each file?

    python benchmarks/import_thousand.py [--people 1000] [--faces ../shared/faces/lfw]

One file without a row, one row that says nothing, or one person counted twice or not at all ends with exit 1. The
folder has a folder for each person: photographs of real people where a set of them is there, else those of
tests/golden. Each kind of trouble comes to a few of them. The real `kiosk gallery import` runs once undisturbed; into
another store it runs until it is killed on the way, and then to its end.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.about import ROOT, about_run, command_line
from benchmarks.about import store as store_result
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.recognition.formats import profile
from kiosk.rules.text import shown
from tests.decoding.bombs import scan_bomb

GOLDEN = ROOT / "tests" / "golden"
EACH = 3  # people to whom a kind of trouble comes
FTYP = b"\0\0\0\x1cftyp%b\0\0\0\0mif1%b" + b"\0" * 64
WAIT_S = 3600.0


@dataclass
class Folder:
    """What was laid, and what must become of it."""

    root: Path
    rng: random.Random
    wanted: dict[bytes, frozenset[str]] = field(default_factory=dict)  # outcomes of a file, by its path
    kinds: Counter[str] = field(default_factory=Counter)
    people: int = 0

    def put(self, *parts: str | bytes, content: bytes, outcomes: str = "any") -> None:
        """Write a file, of which one of some outcomes is right."""
        place = self.root.joinpath(*map(os.fsdecode, parts))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.wanted[os.fsencode(place)] = frozenset(outcomes.split())


Trouble = Callable[[Folder, str, bytes], None]  # folder, a person's name, a good photograph's bytes
SEEN = "added duplicate refused"  # it was looked at; whether two people look alike is another matter


def _picture(good: bytes) -> Image.Image:
    return Image.open(io.BytesIO(good)).convert("RGB")


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind, **options)
    return held.getvalue()


def _instead(name: str, make: Callable[[bytes], bytes], outcomes: str) -> Trouble:
    """Return the trouble of a person whose one photograph is something else."""
    return lambda folder, person, good: folder.put(person, name, content=make(good), outcomes=outcomes)


def _beside(name: str, make: Callable[[bytes], bytes], outcomes: str) -> Trouble:
    """Return the trouble of a person who has something else beside a good photograph."""

    def lay(folder: Folder, person: str, good: bytes) -> None:
        folder.put(person, "good.jpg", content=good, outcomes=SEEN)
        folder.put(person, *name.split("/"), content=make(good), outcomes=outcomes)

    return lay


def _called(make: Callable[[str], str | bytes], outcomes: str = "bad_name") -> Trouble:
    """Return the trouble of a person whose folder has a name of trouble."""
    return lambda folder, person, good: folder.put(make(person), "a.jpg", content=good, outcomes=outcomes)


def _deep(good: bytes) -> bytes:
    import tifffile  # noqa: PLC0415  of the extra test

    held = io.BytesIO()
    tifffile.imwrite(held, 65535 - np.asarray(_picture(good).convert("L"), np.uint16) * 257, photometric="miniswhite")
    return held.getvalue()


def _turned(good: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return _saved(_picture(good).transpose(Image.Transpose.ROTATE_270), "JPEG", exif=exif)


def _two(good: bytes) -> bytes:
    picture = _picture(good)
    both = Image.new("RGB", (picture.width * 2, picture.height))
    both.paste(picture, (0, 0))
    both.paste(picture, (picture.width, 0))
    return _saved(both, "JPEG")


def _linked(folder: Folder, person: str, good: bytes) -> None:
    folder.put(person, "good.jpg", content=good, outcomes=SEEN)
    for name, target in (("gone.jpg", "nowhere.jpg"), ("again", str(folder.root)), ("twin.jpg", "good.jpg")):
        (folder.root / person / name).symlink_to(target)
    folder.wanted[os.fsencode(folder.root / person / "gone.jpg")] = frozenset({"unreadable"})
    folder.wanted[os.fsencode(folder.root / person / "twin.jpg")] = frozenset(SEEN.split())


def _piped(folder: Folder, person: str, good: bytes) -> None:
    folder.put(person, "good.jpg", content=good, outcomes=SEEN)
    os.mkfifo(folder.root / person / "pipe.jpg")
    folder.wanted[os.fsencode(folder.root / person / "pipe.jpg")] = frozenset({"passed_over"})


def _bare(folder: Folder, person: str, _: bytes) -> None:
    (folder.root / person).mkdir()


def _doubled(folder: Folder, person: str, good: bytes) -> None:
    """One person in two folders."""
    folder.put(person, "a.jpg", content=good, outcomes=SEEN)
    folder.put(f"{person} again", "a.jpg", content=good, outcomes="duplicate refused")
    folder.people += 1


def _in_two_forms(folder: Folder, person: str, good: bytes) -> None:
    for form in ("NFC", "NFD"):
        folder.put(unicodedata.normalize(form, f"José {person}"), "a.jpg", content=good, outcomes=f"{SEEN} bad_name")
    folder.people += 1


def _blank(good: bytes) -> bytes:
    return _saved(Image.new("RGB", _picture(good).size, (90, 120, 90)), "PNG")


NO = "unreadable"
BLUR = ImageFilter.GaussianBlur(9)
DISPLAY_P3 = profile.of_code_points(12, 13)
TROUBLES: dict[str, Trouble] = {
    "cut in half": _instead("a.jpg", lambda good: good[: len(good) // 2], NO),
    "empty file": _instead("a.jpg", lambda _: b"", NO),
    "a text called .jpg": _instead("a.jpg", lambda _: b"no picture", NO),
    "a PDF": _instead("a.pdf", lambda _: b"%PDF-1.7\n", "passed_over"),
    "a PDF called .jpg": _instead("a.jpg", lambda _: b"%PDF-1.7\n", NO),
    "HEIC that is damaged": _instead("a.heic", lambda _: FTYP % (b"heic", b"heic"), NO),
    "HEIC called .jpg": _instead("IMG_1.JPG", lambda _: FTYP % (b"heic", b"heic"), NO),
    "AVIF": _instead("a.avif", lambda _: FTYP % (b"avif", b"avif"), "passed_over"),
    "GIF": _instead("a.gif", lambda good: _saved(_picture(good), "GIF"), "passed_over"),
    "BMP": _instead("a.bmp", lambda good: _saved(_picture(good), "BMP"), "passed_over"),
    "a camera's RAW": _instead("a.cr2", lambda _: b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99, NO),
    "a video": _instead("a.mov", lambda _: b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0" * 40, "passed_over"),
    "base64": _instead("a.jpg", lambda _: b"data:image/jpeg;base64,/9j/4AAQ", NO),
    "larger than 5 MB": _instead("a.jpg", lambda good: good + b"\0" * (6 << 20), NO),
    "a scan bomb": _instead("a.jpg", lambda _: scan_bomb(2000, 3000), NO),
    "nothing but FF": _instead("a.jpg", lambda _: b"\xff" * 1_000_000, NO),
    "zeros": _instead("a.jpg", lambda _: b"\0" * 4096, NO),
    "nobody in it": _instead("a.png", _blank, "refused"),
    "two people in it": _instead("a.jpg", _two, "refused"),
    "blurred": _instead("a.jpg", lambda good: _saved(_picture(good).filter(BLUR), "JPEG"), "refused"),
    "far too small": _instead("a.png", lambda good: _saved(_picture(good).resize((40, 40)), "PNG"), "refused"),
    "Display P3": _instead("a.png", lambda good: _saved(_picture(good), "PNG", icc_profile=DISPLAY_P3), SEEN),
    "print colours": _instead("a.jpg", lambda good: _saved(_picture(good).convert("CMYK"), "JPEG"), SEEN),
    "16 bits, white is zero": _instead("a.tif", _deep, SEEN),
    "on its side, by EXIF": _instead("a.jpg", _turned, SEEN),
    ".jfif": _instead("download.jfif", lambda good: good, SEEN),
    "no suffix": _instead("scan", lambda good: good, SEEN),
    "a suffix in capitals": _instead("A.JPEG", lambda good: good, SEEN),
    "PNG called .jpg": _instead("a.jpg", lambda good: _saved(_picture(good), "PNG"), SEEN),
    "WebP": _instead("a.webp", lambda good: _saved(_picture(good), "WEBP"), SEEN),
    "in folders of folders": _instead("2024", lambda good: good, SEEN),
    "a note beside it": _beside("read me.txt", lambda _: b"hello", "passed_over"),
    "a damaged one beside it": _beside("b.jpg", lambda good: good[:999], NO),
    "a hidden file beside it": _beside(".a.jpg", lambda good: good, "passed_over"),
    "macOS's other half": _beside("._good.jpg", lambda _: b"\0\5\x16\7", "passed_over"),
    "a folder of thumbnails": _beside("@eaDir/good.jpg/thumb.jpg", lambda good: good, "passed_over"),
    "Thumbs.db": _beside("Thumbs.db", lambda _: b"x", "passed_over"),
    "links": _linked,
    "a pipe": _piped,
    "a bare folder": _bare,
    "only words": _instead("read me.txt", lambda _: b"hello", "passed_over"),
    "the same person twice": _doubled,
    "a name in two Unicode forms": _in_two_forms,
    "a name that is not UTF-8": _called(lambda person: person.encode() + b" caf\xe9"),
    "a line end in a name": _called(lambda person: f"{person}\n#2 | Person B"),
    "an escape sequence in a name": _called(lambda person: f"{person}\x1b[31m"),
    "a name that turns its text": _called(lambda person: f"{person}\u202egpj"),
    "a formula for a name": _called(lambda person: f"=cmd({person})", SEEN),
    "a name of 250 bytes": _called(lambda person: (person * 50)[:250], f"{SEEN} bad_name"),
    "an emoji in a name": _called(lambda person: f"{person} \U0001f600", SEEN),
    "a blank at the end of a name": _called(lambda person: f"{person} ", f"{SEEN} bad_name"),
    "a name with commas and quotes": _called(lambda person: f"{person}, \"the' 2nd;", SEEN),
}
NOBODYS = {  # at the top, beside the people
    "@eaDir/a.jpg": "passed_over",
    ".trash/a.jpg": "passed_over",
    "#recycle/a.jpg": "passed_over",
    "$RECYCLE.BIN/a.jpg": "passed_over",
    "__MACOSX/a.jpg": "passed_over",
    "desktop.ini": "passed_over",
    "list.docx": "passed_over",
    ".DS_Store": "passed_over",
}


def portraits(faces: Path, wanted: int) -> list[list[Path]]:
    """Return the photographs of people, a list each; those of tests/golden over and over where there are no others."""
    folders = sorted(path for path in faces.glob("*") if path.is_dir()) if faces.is_dir() else []
    found = [sorted(folder.glob("*.jpg"))[:3] for folder in folders]
    found = [files for files in found if files]
    golden = [[path] for path in sorted(GOLDEN.glob("*.jpg"))]
    return found[:wanted] if found else [golden[number % len(golden)] for number in range(wanted)]


def lay(root: Path, people: list[list[Path]], seed: int) -> Folder:
    """Make the folder."""
    folder = Folder(root, random.Random(seed))
    troubles = [name for name in TROUBLES for _ in range(EACH)]
    unlucky = dict(zip(folder.rng.sample(range(len(people)), min(len(troubles), len(people))), troubles, strict=False))
    for number, files in enumerate(people):
        person = f"Person {number:04}"
        folder.people += 1
        if (trouble := unlucky.get(number)) is not None:
            TROUBLES[trouble](folder, person, files[0].read_bytes())
            folder.kinds[trouble] += 1
            continue
        for at, file in enumerate(files):
            folder.put(person, f"{at}.jpg", content=file.read_bytes(), outcomes=f"{SEEN}")
    for path, outcomes in NOBODYS.items():
        content = b"PK\x03\x04" if path.endswith(".docx") else people[0][0].read_bytes()
        folder.put(*path.split("/"), content=content, outcomes=outcomes)
    return folder


def import_once(state: Path, folder: Folder, report: Path, *, kill_at: int = 0) -> tuple[dict[str, Any], float]:
    """Run the import; with `kill_at`, kill it once the store knows so many people."""
    command = [sys.executable, "-m", "kiosk", "--state", str(state), "gallery", "import", str(folder.root)]
    command += ["--report", str(report), "--json"]
    begun = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        if kill_at:
            while run.poll() is None and len(rows_of(report)) < kill_at and time.monotonic() - begun < WAIT_S:
                time.sleep(0.2)
            run.send_signal(signal.SIGKILL)
        said, _ = run.communicate(timeout=WAIT_S)
    took_s = time.monotonic() - begun
    if kill_at:
        return {}, took_s
    if run.returncode != 0:
        raise AssertionError(f"the import ended with {run.returncode}")
    told: dict[str, Any] = json.loads(said)
    return told, took_s


def rows_of(report: Path) -> list[dict[str, str]]:
    """Return the rows of a report, also of half of one."""
    if not report.exists():
        return []
    with report.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def enrolled(state: Path) -> int:
    """Return how many people the store has."""
    command = [sys.executable, "-m", "kiosk", "--state", str(state), "gallery", "list", "--json", "--limit", "5000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return len(json.loads(done.stdout)["subjects"])


def differences(folder: Folder, told: dict[str, Any], rows: list[dict[str, str]]) -> list[str]:
    """Return what the report does not account for."""
    folders = tuple(row["file"] + "/" for row in rows if row["outcome"] == "passed_over")
    wanted = {shown(os.fsdecode(path)): outcomes for path, outcomes in folder.wanted.items()}
    by_file: dict[str, list[str]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row["outcome"])
    found = [f"no row: {file}" for file in wanted if file not in by_file and not file.startswith(folders)]
    found += [f"{len(outcomes)} rows: {file}" for file, outcomes in by_file.items() if len(outcomes) > 1]
    found += [
        f"{by_file[file][0]}, want {' or '.join(sorted(outcomes))}: {file}"
        for file, outcomes in wanted.items()
        if file in by_file and not outcomes & {_kind(by_file[file][0]), "any"} and by_file[file][0] != "earlier"
    ]
    found += [f"{sentence}: {row}" for row in rows if (sentence := _lack(row))]
    strays = [row["file"] for row in rows if row["outcome"] not in {"passed_over", "no_photograph"}]
    found += [f"a row for no file: {file}" for file in strays if file not in wanted and not file.startswith(folders)]
    if sum(told["people"].values()) != folder.people:
        found.append(f"{sum(told['people'].values())} people counted, {folder.people} are there")
    looked_at = sum(told["photographs"].values()) + sum(told["not_looked_at"].values())
    if looked_at != len(rows):
        found.append(f"{looked_at} files counted, {len(rows)} rows")
    return found


def _kind(outcome: str) -> str:
    """Return an outcome, or "refused" for each that names why a photograph was no good."""
    named = {"added", "duplicate", "unreadable", "passed_over", "bad_name", "no_photograph", "earlier"}
    return outcome if outcome in named else "refused"


def _lack(row: dict[str, str]) -> str:
    """Say what is wrong with a row by itself; empty: nothing."""
    if row["outcome"] != "added" and not row["detail"]:
        return "no reason"
    if row["outcome"] in {"added", "duplicate"} and not row["session_number"]:
        return "no number"
    if any(re.search(r"[\x00-\x1f\x7f\u202e]", cell) or cell[:1] in set("=+-@") for cell in row.values()):
        return "a cell that is no text"
    return ""


def main() -> int:
    """Lay the folder, import it twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces" / "lfw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few people; figures are not kept")
    chosen = parser.parse_args()
    people = portraits(chosen.faces, len(TROUBLES) * EACH + 6 if chosen.quick else chosen.people)
    with tempfile.TemporaryDirectory() as place:
        folder = lay(Path(place, "people"), people, chosen.seed)
        result: dict[str, Any] = {
            "people": folder.people,
            "files": len(folder.wanted),
            "kinds_of_trouble": len(folder.kinds) + len(NOBODYS),
        }
        wrong: list[str] = []
        for name in ("undisturbed", "killed and run again"):
            state, report = Path(place, f"state {name}"), Path(place, f"{name}.csv")
            subprocess.run([sys.executable, "-m", "kiosk", "--state", str(state), "init"], cwd=ROOT, check=True)
            if name != "undisturbed":
                import_once(state, folder, report, kill_at=len(folder.wanted) // 2)
            told, took_s = import_once(state, folder, report)
            rows = rows_of(report)
            found = differences(folder, told, rows)
            added = len({row["session_number"] for row in rows if row["outcome"] == "added"})
            earlier = {row["session_number"] for row in rows if row["outcome"] == "earlier"}
            known = enrolled(state)
            if known != added + len(earlier - {""}):
                found.append(f"{added} added and {len(earlier - {''})} earlier, {known} are in the store")
            result[name] = {
                "rows": len(rows),
                "people": told["people"],
                "photographs": told["photographs"],
                "not_looked_at": told["not_looked_at"],
                "in_the_store": known,
                "added_numbers": added,
                "earlier_numbers": len(earlier - {""}),
                "took_s": round(took_s, 1),
                "not_accounted_for": found,
            }
            wrong += found
            print(json.dumps(result[name], indent=2))
            shutil.rmtree(state)
    both = [result[name]["in_the_store"] for name in ("undisturbed", "killed and run again")]
    if both[0] != both[1]:
        wrong.append(f"{both[0]} people undisturbed, {both[1]} after a kill")
    question = (__doc__ or "").splitlines()[0]
    if not chosen.quick:
        about = about_run(question, read_pack(standard_pack()), command=command_line(), seed=chosen.seed)
        store_result("import_thousand", {**about, **result, "wrong": len(wrong)})
    print(f"{len(wrong)} not accounted for")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
