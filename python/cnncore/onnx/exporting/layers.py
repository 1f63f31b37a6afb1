# SPDX-License-Identifier: Apache-2.0
"""Convolution, pooling, normalization, products and resampling as ONNX nodes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...graph.tensor import Node, Tensor
from ...ops.convolution import ConvBackwardData, ConvForward
from ...ops.formula import Formula, expansion
from ...ops.glu import Glu
from ...ops.group_norm import GroupNorm
from ...ops.linear import MatMul
from ...ops.norm import BatchNormApply, BatchNormInvStd
from ...ops.pooling import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from ...ops.row_norm import ChannelWindowSum, RowNorm
from ...ops.sample import GridSample
from ...ops.softmax import LogSoftmax, Softmax
from ...ops.upsample import Interpolate
from .elementwise import activate, elementwise
from .writer import Writer, exporter


def _window(window: Any) -> dict[str, Any]:
    """Return the attributes of a window."""
    plain = max(window.dilation) == 1
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": [*window.begin, *window.end],
        "dilations": None if plain else list(window.dilation),
    }


def _finished(w: Writer, name: str, residual: Tensor | None, epilogue: Any) -> str:
    """Add what a convolution or norm does with its result."""
    if residual is not None:
        name = w.add("Add", [name, w.get(residual)])
    return activate(w, name, epilogue.activation, epilogue.alpha)


def _given(w: Writer, *tensors: Tensor | None) -> list[str]:
    return [w.get(tensor) for tensor in tensors if tensor is not None]


@exporter(ConvForward)
def conv(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, attrs = node.inputs, node.attrs
    given = _given(w, inputs.input, inputs.weight, inputs.bias)
    if not attrs.window.kernel:
        name = w.add("Gemm", given, transB=1)
    else:
        name = w.add("Conv", given, group=attrs.groups, **_window(attrs.window))
    return _finished(w, name, inputs.residual, attrs.epilogue)


def _output_padding(node: Node) -> list[int]:
    """Return what a transposed convolution's result has beyond the least extents."""
    window = node.attrs.window
    least = [
        s * (n - 1) + reach - begin - end
        for s, n, reach, begin, end in zip(
            window.stride, node.inputs.grad.shape[2:], window.reach(), window.begin, window.end, strict=True
        )
    ]
    return [n - smallest for n, smallest in zip(node.attrs.input_shape[2:], least, strict=True)]


@exporter(ConvBackwardData)
def conv_transpose(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, attrs = node.inputs, node.attrs
    window = attrs.window
    extra = w.fixed(_output_padding(node), None if twin is None else _output_padding(twin))
    given = _given(w, inputs.grad, inputs.weight, inputs.bias)
    settings = {**_window(window), "output_padding": list(extra) if any(extra) else None}
    name = w.add("ConvTranspose", given, group=attrs.groups, **settings)
    return _finished(w, name, inputs.residual, attrs.epilogue)


# -- normalization ----------------------------------------------------------------------------------------


def _of_channels(w: Writer, tensor: Tensor | None, channels: int, value: float) -> str:
    return w.constant(np.full(channels, value, np.float32)) if tensor is None else w.get(tensor)


@exporter(BatchNormInvStd)
def invstd(w: Writer, node: Node, twin: Node | None) -> str:
    shifted = w.add("Add", [w.get(node.inputs.input), w.scalar(node.attrs.eps)])
    return str(w.add("Reciprocal", [w.add("Sqrt", [shifted])]))


@exporter(BatchNormApply)
def batch_norm(w: Writer, node: Node, twin: Node | None) -> str:
    inputs = node.inputs
    source = inputs.invstd.node
    if node.attrs.training or source is None or not isinstance(source.op, BatchNormInvStd):
        raise ValueError(f"[{w.path}] statistics of the batch are not exported: eval() or inference only")
    channels = inputs.input.shape[1]
    weight, bias = _of_channels(w, inputs.weight, channels, 1.0), _of_channels(w, inputs.bias, channels, 0.0)
    given = [w.get(inputs.input), weight, bias, w.get(inputs.mean), w.get(source.inputs.input)]
    name = w.add("BatchNormalization", given, epsilon=source.attrs.eps)
    return _finished(w, name, inputs.residual, node.attrs.epilogue)


@exporter(RowNorm)
def row_norm(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, attrs = node.inputs, node.attrs
    name, features = w.get(inputs.rows), inputs.rows.shape[1]
    if attrs.centred and w.opset < 17:
        name = w.add("Sub", [name, w.reduced("ReduceMean", name, [1], keepdims=1)])
    elif attrs.centred:
        weight = _of_channels(w, inputs.weight, features, 1.0)
        given = [name, weight, *_given(w, inputs.bias)]
        return str(w.add("LayerNormalization", given, axis=1, epsilon=attrs.eps))
    power = w.reduced("ReduceMean", w.add("Mul", [name, name]), [1], keepdims=1)
    y = w.add("Div", [name, w.add("Sqrt", [w.add("Add", [power, w.scalar(attrs.eps)])])])
    for op, tensor in (("Mul", inputs.weight), ("Add", inputs.bias)):
        y = y if tensor is None else w.add(op, [y, w.get(tensor)])
    return str(y)


@exporter(GroupNorm)
def group_norm(w: Writer, node: Node, twin: Node | None) -> str:
    inputs, attrs = node.inputs, node.attrs
    x = inputs[0]
    groups, channels = attrs.groups, x.shape[1]
    rows = w.add("Reshape", [w.get(x), w.ints([0, groups, -1])])
    ones, zeros = (w.constant(np.full(groups, value, np.float32)) for value in (1.0, 0.0))
    rows = w.add("InstanceNormalization", [rows, ones, zeros], epsilon=attrs.eps)
    other = None if twin is None else twin.inputs[0].shape
    y = w.add("Reshape", [rows, w.shape(x.shape, other, reshapes=True)])
    shape = w.ints([channels, *[1] * (x.ndim - 2)])
    for op, tensor in (("Mul", inputs[1]), ("Add", inputs[2])):
        if tensor is not None:
            y = w.add(op, [y, w.add("Reshape", [w.get(tensor), shape])])
    return _finished(w, str(y), None, attrs.epilogue)


@exporter(ChannelWindowSum)
def channel_window_sum(w: Writer, node: Node, twin: Node | None) -> str:
    before, after = node.attrs
    x, size = node.inputs.input, before + after + 1
    rows = w.add("Unsqueeze", [w.add("Reshape", [w.get(x), w.ints([0, 0, -1])]), w.ints([1])])
    padded = w.add("Pad", [rows, w.ints([0, 0, before, 0, 0, 0, after, 0]), w.scalar(0.0)])
    mean = w.add("AveragePool", [padded], kernel_shape=[size, 1], strides=[1, 1])
    other = None if twin is None else twin.inputs.input.shape
    total = w.add("Mul", [mean, w.scalar(float(size))])
    return str(w.add("Reshape", [total, w.shape(x.shape, other, reshapes=True)]))


# -- pooling ------------------------------------------------------------------------------------------------


@exporter(MaxPool)
def max_pool(w: Writer, node: Node, twin: Node | None) -> Any:
    attrs = node.attrs
    name = w.add("MaxPool", [w.get(node.inputs.input)], **_window(attrs.window))
    return activate(w, name, attrs.epilogue.activation, attrs.epilogue.alpha)


def _is_cut(node: Node) -> bool:
    """Whether the last windows of a pooling lie beyond the padded image."""
    return bool(tuple(node.attrs.output) != node.attrs.window.extents(node.inputs.input.shape[2:]))


@exporter(AvgPool)
def average_pool(w: Writer, node: Node, twin: Node | None) -> str:
    attrs, x = node.attrs, node.inputs.input
    window = attrs.window
    ceil = _is_cut(node)
    if twin is not None and _is_cut(twin) != ceil:
        raise ValueError(f"[{w.path}] its last windows are cut for some of the sizes that were left open")
    counts = bool(attrs.count_include_pad) or bool(attrs.divisor_override)
    if ceil and counts:
        w.fixed(x.shape[2:], None if twin is None else twin.inputs.input.shape[2:])
        return _summed(w, node)
    settings = {**_window(window), "count_include_pad": int(counts), "ceil_mode": int(ceil)}
    name = str(w.add("AveragePool", [w.get(x)], **settings))
    if attrs.divisor_override:
        name = w.add("Mul", [name, w.scalar(prod(window.kernel) / attrs.divisor_override)])
    return name


def _summed(w: Writer, node: Node) -> str:
    """Write a pooling with cut windows as sums that are divided: engines count such windows differently."""
    attrs, x = node.attrs, node.inputs.input
    window = attrs.window
    spatial = x.shape[2:]
    wanted = zip(attrs.output, spatial, *window, strict=True)
    room = [max((n - 1) * s + k - size - b, e) for n, size, k, s, b, e, _ in wanted]
    rank = len(spatial)
    pads = [0, 0, *window.begin, 0, 0, *room]
    padded = w.add("Pad", [w.get(x), w.ints(pads), w.scalar(0.0)])
    mean = w.add("AveragePool", [padded], kernel_shape=list(window.kernel), strides=list(window.stride))
    divisors = np.ones((1, 1, *attrs.output), np.float32)
    for axis in range(rank):
        starts = np.arange(attrs.output[axis]) * window.stride[axis] - window.begin[axis]
        last = np.minimum(starts + window.kernel[axis], spatial[axis] + window.end[axis])
        shape = [1] * (rank + 2)
        shape[axis + 2] = -1
        divisors = divisors * (last - starts).reshape(shape)
    if attrs.divisor_override:
        divisors = np.full_like(divisors, attrs.divisor_override)
    return str(w.add("Mul", [mean, w.constant((prod(window.kernel) / divisors).astype(np.float32))]))


@exporter(AdaptiveAvgPool, AdaptiveMaxPool)
def adaptive_pool(w: Writer, node: Node, twin: Node | None) -> str:
    x, output = node.inputs.input, tuple(node.attrs.output)
    spatial = x.shape[2:]
    kind = "Max" if isinstance(node.op, AdaptiveMaxPool) else "Average"
    name = w.get(x)
    if all(extent == 1 for extent in output):
        return str(w.add(f"Global{kind}Pool", [name]))
    w.fixed(spatial, None if twin is None else twin.inputs.input.shape[2:])
    if all(size % extent == 0 for size, extent in zip(spatial, output, strict=True)):
        kernel = [size // extent for size, extent in zip(spatial, output, strict=True)]
        return (
            name
            if max(kernel) == 1
            else str(w.add(f"{kind}Pool", [name], kernel_shape=kernel, strides=kernel))
        )
    if kind == "Max" or len(output) > 2:
        raise ValueError(
            f"[{w.path}] windows of different sizes, for {spatial} to {output}, have no form in ONNX"
        )
    name = w.add("MatMul", [name, w.constant(_means(spatial[-1], output[-1]).T)])
    if len(output) == 2:
        name = w.add("MatMul", [w.constant(_means(spatial[0], output[0])), name])
    return str(name)


def _means(size: int, output: int) -> Any:
    """Return the matrix (output, size) whose rows are the means of adaptive windows."""
    matrix = np.zeros((output, size), np.float32)
    for i in range(output):
        begin, end = i * size // output, -(-(i + 1) * size // output)
        matrix[i, begin:end] = 1 / (end - begin)
    return matrix


# -- products -----------------------------------------------------------------------------------------------


def _turned(w: Writer, tensor: Tensor, transposed: bool) -> str:
    name = w.get(tensor)
    if not transposed:
        return name
    order = [*range(tensor.ndim - 2), tensor.ndim - 1, tensor.ndim - 2]
    return str(w.add("Transpose", [name], perm=order))


@exporter(MatMul)
def matmul(w: Writer, node: Node, twin: Node | None) -> str:
    (a, b), (turn_a, turn_b) = node.inputs, node.attrs
    return str(w.add("MatMul", [_turned(w, a, turn_a), _turned(w, b, turn_b)]))


@exporter(Softmax, LogSoftmax)
def softmax(w: Writer, node: Node, twin: Node | None) -> str:
    op = "LogSoftmax" if isinstance(node.op, LogSoftmax) else "Softmax"
    return str(w.add(op, [w.get(node.inputs[0])], axis=node.attrs.axis))


@exporter(Glu)
def glu(w: Writer, node: Node, twin: Node | None) -> str:
    a, b = w.add("Split", [w.get(node.inputs.input)], 2, axis=node.attrs.axis)
    return str(w.add("Mul", [a, w.add("Sigmoid", [b])]))


@exporter(Formula)
def formula(w: Writer, node: Node, twin: Node | None) -> str:
    if node.attrs.reduction != "none":
        raise ValueError(f"[{w.path}] losses are not exported")
    nodes, stand_ins = expansion(node)
    for stand_in, tensor in zip(stand_ins, node.inputs, strict=True):
        w.set(stand_in, w.get(tensor))
    name = ""
    for inner in nodes:
        name = elementwise(w, inner, None)
        w.set(inner.output, name)
    return name


# -- resampling ---------------------------------------------------------------------------------------------


@exporter(Interpolate)
def interpolate(w: Writer, node: Node, twin: Node | None) -> str:
    size, mode, corners, antialias, scales = node.attrs
    x = node.inputs.input
    if antialias:
        raise ValueError(f"[{w.path}] antialias has no form that is written here")
    settings: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "half_pixel"}
    if mode == "nearest":
        settings = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "nearest-exact":
        settings = {**settings, "mode": "nearest", "nearest_mode": "round_prefer_ceil"}
    elif corners:
        settings["coordinate_transformation_mode"] = "align_corners"
    if mode == "cubic":
        settings["cubic_coeff_a"] = -0.75
    if all(scales):
        factors = w.constant(np.array([1, 1, *scales], np.float32))
        return str(w.add("Resize", [w.get(x), "", factors], **settings))
    other = None if twin is None else (*twin.inputs.input.shape[:2], *twin.attrs.size)
    wanted = w.shape((*x.shape[:2], *size), other)
    return str(w.add("Resize", [w.get(x), "", "", wanted], **settings))


@exporter(GridSample)
def grid_sample(w: Writer, node: Node, twin: Node | None) -> str:
    attrs = node.attrs
    modes = {"linear": "bilinear", "cubic": "bicubic"} if w.opset < 20 else {}
    if w.opset < 16 or (w.opset < 20 and node.inputs[0].ndim != 4):
        needed = 16 if node.inputs[0].ndim == 4 else 20
        raise ValueError(f"[{w.path}] samples at a grid's places need opset {needed}, got {w.opset}")
    return str(
        w.add(
            "GridSample",
            [w.get(tensor) for tensor in node.inputs],
            mode=modes.get(attrs.mode, attrs.mode),
            padding_mode=attrs.padding,
            align_corners=int(attrs.align_corners),
        )
    )
