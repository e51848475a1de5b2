"""The usual pipelines that bench_match.py compares with, each from two encoded photographs to one number.

    python benchmarks/rivals.py face_recognition A B
    python benchmarks/rivals.py yunet A B --yunet FILE --mobilefacenet FILE

The heavy packages are imported by the pipeline that needs them: a process that does one match shall weigh what its
own pipeline weighs.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

YUNET_SCORE, YUNET_OVERLAP, YUNET_MOST = 0.8, 0.3, 5000  # those of OpenCV's own sample
NET_SIDE = 112
MIDDLE, HALF_RANGE = 127.5, 128.0  # what the network's author subtracts and divides by


@dataclass(frozen=True)
class Rival:
    """The steps of one pipeline."""

    decode: Callable[[bytes], Any]
    detect: Callable[[Any], Any]  # the largest face, None where there is none
    templates: Callable[[list[Any], list[Any]], list[Any]]  # of a face in each picture
    compare: Callable[[Any, Any], float]

    def match(self, first: bytes, second: bytes) -> float | None:
        """Compare two encoded photographs; None where one shows no face."""
        pictures = [self.decode(data) for data in (first, second)]
        faces = [self.detect(picture) for picture in pictures]
        if any(face is None for face in faces):
            return None
        return self.compare(*self.templates(pictures, faces))


def face_recognition_rival() -> Rival:
    """Return face_recognition's pipeline as its README shows it: HOG, 68 or 5 landmarks, dlib's ResNet; a distance."""
    import face_recognition  # noqa: PLC0415  see the module's head

    def detect(picture: Any) -> Any:
        found = face_recognition.face_locations(picture)
        return max(found, key=lambda box: (box[2] - box[0]) * (box[1] - box[3]), default=None)

    return Rival(
        decode=lambda data: face_recognition.load_image_file(io.BytesIO(data)),
        detect=detect,
        templates=lambda pictures, faces: [
            face_recognition.face_encodings(picture, [face])[0] for picture, face in zip(pictures, faces, strict=True)
        ],
        compare=lambda one, other: float(face_recognition.face_distance([one], other)[0]),
    )


def yunet_rival(yunet: Path, mobilefacenet: Path) -> Rival:
    """Return OpenCV's detector with a float MobileFaceNet, whose batch of two takes both faces at once; a cosine."""
    import cv2  # noqa: PLC0415

    from kiosk.recognition.image import ARCFACE_POINTS, similarity  # noqa: PLC0415  cheaper than OpenCV's robust estimate

    detector = cv2.FaceDetectorYN.create(str(yunet), "", (320, 320), YUNET_SCORE, YUNET_OVERLAP, YUNET_MOST)
    run = _network(mobilefacenet)

    def detect(picture: Any) -> Any:
        detector.setInputSize((picture.shape[1], picture.shape[0]))
        found = detector.detect(picture)[1]
        return None if found is None else max(found, key=lambda face: face[2] * face[3])

    def aligned(picture: Any, face: Any) -> Any:
        matrix = similarity(face[4:14].reshape(5, 2), ARCFACE_POINTS)
        return cv2.cvtColor(cv2.warpAffine(picture, matrix, (NET_SIDE, NET_SIDE)), cv2.COLOR_BGR2RGB)

    def templates(pictures: list[Any], faces: list[Any]) -> list[Any]:
        crops = np.stack([aligned(*both) for both in zip(pictures, faces, strict=True)])
        features = run((crops.astype(np.float32) - np.float32(MIDDLE)) / np.float32(HALF_RANGE))
        return list(features / np.linalg.norm(features, axis=1, keepdims=True))

    return Rival(
        decode=lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        detect=detect,
        templates=templates,
        compare=lambda one, other: float(one @ other),
    )


def _network(path: Path) -> Callable[[Any], Any]:
    """Load a network of one input and one output, on one thread."""
    if path.suffix == ".onnx":
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda tensor: session.run(None, {name: tensor})[0]

    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    into, out = (details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details()))

    def run(tensor: Any) -> Any:
        interpreter.set_tensor(into, tensor)
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return run


def main() -> None:
    """Do one match and print its number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rival", choices=("face_recognition", "yunet"))
    parser.add_argument("photographs", type=Path, nargs=2)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--mobilefacenet", type=Path)
    chosen = parser.parse_args()
    is_yunet = chosen.rival == "yunet"
    rival = yunet_rival(chosen.yunet, chosen.mobilefacenet) if is_yunet else face_recognition_rival()
    print(rival.match(*(path.read_bytes() for path in chosen.photographs)))


if __name__ == "__main__":
    main()
