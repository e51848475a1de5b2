"""Build the artifact of the passive liveness cue from the pinned package: MiniFASNetV2-SE.

Needs onnx, which a device never installs. The same input gives the same bytes.

What is done to it: the first convolution takes RGB where the package's took BGR; each PRelu is rewritten as two
depthwise products (see build_detector.py); a Softmax gives shares of the three classes; weights are stored as float16
and computed with as float32. README.md, "Presentation attacks", has the figures, those of int8 included.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kiosk.recognition.image import squeeze
from kiosk.testing.pad_material import Held, Sensor, draw_room, hold_print, hold_screen, stand
from models.build_detector import halve_weights, name_in_order, replace_prelu

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from kiosk.types import Face, RgbImage

PACKAGE = "faceplugin-face-recognition-js"
VERSION = "0.0.1"
TARBALL_SHA256 = "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba"
SOURCE = "model/fr_liveness.onnx"
SOURCE_SHA256 = "afa783b7e902fdfcf323a7240cac2a1c580c25314ea4161129dc1b0d100dc32d"

SIDE = 128  # px
ARTIFACT = "liveness.onnx"

CLOSE_UP = 1.6, 1.9  # edges of the face's box around its middle, to the sides and above, and below
CLOSE_UP_HEIGHT = 420  # px
GOLDEN = (  # file, portrait, how it is presented
    ("presentation_bona_fide_1.jpg", "person_a_1.jpg", "person"),
    ("presentation_bona_fide_2.jpg", "person_b_1.jpg", "person"),
    ("presentation_print.jpg", "person_a_2.jpg", "print"),
    ("presentation_phone.jpg", "person_a_2.jpg", "phone"),
)


def build(source_dir: Path, out_dir: Path) -> dict[str, Path]:
    """Write the artifact.

    Args:
        source_dir: where the package is unpacked, so that `model` lies in it.
        out_dir: where it goes; it exists. A file of its name is replaced.

    Returns:
        The file by the name of its manifest entry.
    """
    import onnx  # noqa: PLC0415  # a build tool, see the module's head

    content = (source_dir / SOURCE).read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        sys.exit(f"Error: {SOURCE} of {PACKAGE} is not the file that was measured; not used")
    model = onnx.load_from_string(content)
    take_rgb(model)
    give_shares(model)
    replace_prelu(model)
    halve_weights(model)
    name_in_order(model)
    model.producer_name, model.producer_version, model.doc_string = "face-kiosk", "", ""
    path = out_dir / ARTIFACT
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {"liveness": path}


def take_rgb(model: onnx.ModelProto) -> None:
    """Turn the input channels of the first convolution around."""
    from onnx import numpy_helper  # noqa: PLC0415  # a build tool, as above

    graph = model.graph
    (first,) = [node for node in graph.node if graph.input[0].name in node.input]
    if first.op_type != "Conv":
        raise ValueError(f"want a convolution first, got {first.op_type}")
    for item in graph.initializer:
        if item.name == first.input[1]:
            turned = np.ascontiguousarray(numpy_helper.to_array(item)[:, ::-1])
            item.CopyFrom(numpy_helper.from_array(turned, item.name))
            return
    raise ValueError("the first convolution's weights are no initializer")


def give_shares(model: onnx.ModelProto) -> None:
    """Add a Softmax behind the three logits and name the output `shares`: real person, and two kinds of attack."""
    from onnx import helper  # noqa: PLC0415  # a build tool, as above

    output = model.graph.output[0]
    model.graph.node.append(helper.make_node("Softmax", [output.name], ["shares"], name="shares", axis=-1))
    output.name = "shares"


def write_golden(golden_dir: Path, detect: Callable[[RgbImage], list[Face]]) -> None:
    """Write the golden presentations: portraits of `golden_dir` before a simulated camera, and their copies held up.

    Those are taken that the network tells apart by far, as they test the runtime and not the network.
    """
    from PIL import Image  # noqa: PLC0415  # as above

    for name, portrait, medium in GOLDEN:
        picture = close_up(np.array(Image.open(golden_dir / portrait).convert("RGB")), detect)
        rng = np.random.default_rng(0)
        room, sensor = draw_room(rng), Sensor(rng)
        scenes = {
            "person": lambda picture=picture, room=room: stand(picture, room, height_share=1.1),
            "print": lambda picture=picture, room=room: hold_print(picture, room, Held(300.0)),
            "phone": lambda picture=picture, room=room: hold_screen(picture, room, Held(220.0)),
        }
        Image.fromarray(sensor.take(scenes[medium]())).save(golden_dir / name, quality=92)


def close_up(image: RgbImage, detect: Callable[[RgbImage], list[Face]]) -> RgbImage:
    """Cut head and shoulders out of a portrait."""
    box = detect(image)[0].box
    edge = float(max(box[2:] - box[:2]))
    x, y = (float(value) for value in (box[:2] + box[2:]) / 2)
    left, top = (max(0, round(value - CLOSE_UP[0] * edge)) for value in (x, y))
    part = image[top : round(y + CLOSE_UP[1] * edge), left : round(x + CLOSE_UP[0] * edge)]
    width = round(part.shape[1] * CLOSE_UP_HEIGHT / part.shape[0])
    return squeeze(np.ascontiguousarray(part), (width, CLOSE_UP_HEIGHT))
