"""Build the reader of machine-readable zones from the pinned package: PP-OCRv6's small recogniser, cut to 38 classes.

Needs onnx, which a device never installs. The same input gives the same bytes.

What is done to it: of the last layer's 18,710 columns those of A to Z, 0 to 9, < and the blank are kept; the nodes that
only rename are taken out; weights are stored as float16 and computed with as float32. README.md, "Machine-readable
zones", has the figures, those of int8 included.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kiosk.documents.alphabet import ALPHABET
from models.build_detector import halve_weights, name_in_order

if TYPE_CHECKING:
    import onnx

PACKAGE = "rapidocr"
VERSION = "3.10.0"
WHEEL_SHA256 = "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"
SOURCE = "rapidocr/models/PP-OCRv6_rec_small.onnx"
SOURCE_SHA256 = "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"

ARTIFACT = "mrz_reader.onnx"
CLASSES = 18710  # the blank, the characters of the file's own list, and the space
ADDED = 2  # of them not in the list: the blank before it, the space behind


def build(source_dir: Path, out_dir: Path) -> dict[str, Path]:
    """Write the artifact.

    Args:
        source_dir: where the package is unpacked, so that `rapidocr` lies in it.
        out_dir: where it goes; it exists. A file of its name is replaced.

    Returns:
        The file by the name of its manifest entry.
    """
    import onnx  # noqa: PLC0415  # a build tool, see the module's head

    content = (source_dir / SOURCE).read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        sys.exit(f"Error: {SOURCE} of {PACKAGE} is not the file that was measured; not used")
    model = onnx.load_from_string(content)
    keep_columns(model, columns_of(model))
    drop_identities(model)
    halve_weights(model)
    name_in_order(model)
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "face-kiosk", "", ""
    path = out_dir / ARTIFACT
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {"mrz": path}


def columns_of(model: onnx.ModelProto) -> list[int]:
    """Return which classes are kept: the blank first, then the alphabet in its order."""
    (listed,) = [item.value.split("\n") for item in model.metadata_props if item.key == "character"]
    if len(listed) + ADDED != CLASSES or len(set(listed)) != len(listed):
        raise ValueError(f"want {CLASSES - ADDED} characters, each once, got {len(listed)}")
    return [0, *(1 + listed.index(character) for character in ALPHABET)]


def keep_columns(model: onnx.ModelProto, columns: list[int]) -> None:
    """Cut the last layer, so that its Softmax is over these classes alone; name the output `characters`."""
    from onnx import numpy_helper  # noqa: PLC0415  # a build tool, as above

    cut = 0
    for item in model.graph.initializer:
        if item.dims and item.dims[-1] == CLASSES:
            kept = np.ascontiguousarray(numpy_helper.to_array(item)[..., columns])
            item.CopyFrom(numpy_helper.from_array(kept, item.name))
            cut += 1
    if cut != 2:  # weights and bias
        raise ValueError(f"want two tensors of {CLASSES} columns, got {cut}")
    output = model.graph.output[0]
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            if name == output.name:
                node.output[at] = "characters"
    output.name = "characters"
    output.type.tensor_type.shape.dim[2].dim_value = len(columns)


def drop_identities(model: onnx.ModelProto) -> None:
    """Take out the nodes that hand on what they are given."""
    graph = model.graph
    real = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    outputs = {output.name for output in graph.output}
    for node in graph.node:
        for at, name in enumerate(node.input):
            while name in real:
                name = real[name]  # noqa: PLW2901  a chain of them
            node.input[at] = name
    kept = [node for node in graph.node if node.op_type != "Identity" or node.output[0] in outputs]
    del graph.node[:]
    graph.node.extend(kept)
