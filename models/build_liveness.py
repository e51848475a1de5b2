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
from build_detector import halve_weights, name_in_order, replace_prelu

if TYPE_CHECKING:
    import onnx

PACKAGE = "faceplugin-face-recognition-js"
VERSION = "0.0.1"
TARBALL_SHA256 = "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba"
SOURCE = "model/fr_liveness.onnx"
SOURCE_SHA256 = "afa783b7e902fdfcf323a7240cac2a1c580c25314ea4161129dc1b0d100dc32d"

SIDE = 128  # px
ARTIFACT = "liveness.onnx"


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
