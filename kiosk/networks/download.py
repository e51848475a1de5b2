"""Other model packs that are known: where their makers offer them, under which licence, with which digest.

Nothing is taken that does not have the digest written here, and nothing is left half there: a pack is put together
beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from kiosk.errors import ModelFileError

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a pack."""

    name: str
    url: str
    sha256: str
    size: int  # bytes; a longer answer is cut off there and refused
    licence: str
    is_commercial: bool


@dataclass(frozen=True, slots=True)
class RemotePack:
    """A pack that can be downloaded. Its manifest travels with the kiosk, in `kiosk/manifests/`."""

    name: str
    sentence: str
    files: tuple[RemoteFile, ...]
    local: tuple[str, ...]  # files taken over from the standard pack


ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models"

KNOWN_PACKS: Mapping[str, RemotePack] = {
    pack.name: pack
    for pack in (
        RemotePack(
            "opencv-zoo",
            "OpenCV Zoo's YuNet and SFace in float32 (39 MB; MIT, Apache-2.0)",
            (
                RemoteFile(
                    "face_detection_yunet_2023mar.onnx",
                    f"{ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",
                    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                    232_589,
                    "MIT",
                    is_commercial=True,
                ),
                RemoteFile(
                    "face_recognition_sface_2021dec.onnx",
                    f"{ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
                    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
                    38_696_353,
                    "Apache-2.0",
                    is_commercial=True,
                ),
            ),
            ("age_gender.onnx", "golden"),
        ),
    )
}


def download(pack: RemotePack, target: Path, standard: Path, *, accept_non_commercial: bool = False) -> None:
    """Fetch a pack, check every file, and put it in place.

    Args:
        pack: which.
        target: the folder it becomes; must not be there yet.
        standard: the pack that travels with the kiosk, for the files both share.
        accept_non_commercial: take files whose licence forbids commercial use.

    Raises:
        ModelFileError: a licence nobody accepted, no network, a wrong digest, or the folder is there.
    """
    closed = [file for file in pack.files if not file.is_commercial]
    if closed and not accept_non_commercial:
        raise ModelFileError(
            f"{closed[0].name} is licensed {closed[0].licence!r}, not for commercial use; "
            "--accept-non-commercial takes it all the same, only if your use is none"
        )
    if target.exists():
        raise ModelFileError(f"{target} is there already; remove it to download the pack again")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as folder:
            parts = Path(folder) / pack.name
            parts.mkdir()
            for file in pack.files:
                _fetch(file, parts / file.name)
            for name in pack.local:
                source = standard / name
                (shutil.copytree if source.is_dir() else shutil.copyfile)(source, parts / name)
            manifest = resources.files("kiosk.networks") / "manifests" / f"{pack.name}.toml"
            (parts / "manifest.toml").write_bytes(manifest.read_bytes())
            parts.rename(target)
    except OSError as error:
        raise ModelFileError(f"cannot write {target}: {error.strerror or error}") from error


def _fetch(file: RemoteFile, path: Path) -> None:
    digest = hashlib.sha256()
    left = file.size
    try:
        request = urllib.request.Request(file.url, headers={"User-Agent": "face-kiosk"})  # noqa: S310  pinned above
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer,  # noqa: S310  as above
            path.open("wb") as out,
            tqdm(total=file.size, unit="B", unit_scale=True, desc=file.name) as bar,
        ):
            while left > 0 and (chunk := answer.read(min(CHUNK_BYTES, left))):
                out.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
                bar.update(len(chunk))
            left -= len(answer.read(1))  # one byte more than there should be shows a longer file
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ModelFileError(f"{file.url}: {reason}; check the network and try again") from error
    if left != 0 or digest.hexdigest() != file.sha256:
        raise ModelFileError(f"{file.url} is not the file that was measured (sha256 differs); nothing was kept")
