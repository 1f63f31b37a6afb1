# SPDX-License-Identifier: Apache-2.0
"""Convolution, its two gradients, and the linear layer, which is a convolution without spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import _core
from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import OPS, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import dtype_error, emit, shape_error
from ..runtime import get_accuracy
from .activation import FUSABLE, activation_backward
from .build import expand_to, reduce, reshape_to, with_layout
from .check import channels_hint, float_tensor, integers, optional_float, require_rank

Grads = Sequence[Tensor | None]

GEOMETRY = ("stride", "padding_begin", "padding_end", "dilation", "groups")
"""Attributes that all three directions share."""

POOLING = ("pool_kernel", "pool_stride", "pool_padding_begin", "pool_padding_end", "pool_dilation")
"""Attributes of a convolution that also does the max pooling after it."""

RESIDUAL = 3
"""The input of a convolution or its gradient that is added to the result."""


class ConvForward(Op):
    """[input, weight, bias?, residual?] -> [activation(conv + bias + residual), statistics?, argument?].

    The argument of the activation is there with attrs["keeps_argument"], for the activation's gradient.
    """

    name = "conv_forward"
    adds = 3
    activates = FUSABLE
    argument_output = 2

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x, weight = _two(inputs)
        shape = (x.shape[0], weight.shape[0], *output_extents(x.shape, weight.shape, attrs))
        rows = attrs.get("statistics_rows", 0)
        statistics: Spec | None = ((rows, 3, weight.shape[0]), "float32", "c") if rows else None
        y: Spec = (shape, "float32", "channels_last")
        return [y, statistics, *_argument(y, attrs)]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x, weight = _two(node.inputs)
        needs_weight, needs_bias = needs[1], len(needs) > 2 and needs[2]
        grad = with_layout(present(grads[0]), "channels_last")
        grad_weight = grad_bias = grad_input = None
        if node.attrs["activation"] != "none":
            grad, grad_bias = activation_backward(grad, _gating(node), node.attrs, needs_bias)
            needs_bias = False
        if needs_weight:
            grad_weight, sums = backward_weight(x, grad, weight.shape, node.attrs, needs_bias)
            grad_bias = grad_bias if sums is None else sums
        elif needs_bias:
            grad_bias = reduce("sum", grad, (0, *range(2, grad.ndim)))
        if needs[0]:
            grad_input = backward_data(grad, weight, x.shape, node.attrs)
        return [grad_input, grad_weight, grad_bias, grad if len(needs) > 3 and needs[3] else None]

    def images(self, node: Node) -> Sequence[int]:
        return (0, RESIDUAL)

    def reads_joined(self, node: Node, channels: int) -> bool:
        x, weight = _two(node.inputs)
        parts: int = choose("forward", x.shape, weight.shape, node.attrs)["input_parts"]
        return parts > 0 and channels % parts == 0

    def writes_parts(self, node: Node) -> bool:
        x, weight = _two(node.inputs)
        choice = choose("forward", x.shape, weight.shape, node.attrs)
        return choice["pitched_output"] and node.inputs[RESIDUAL] is None and not _keeps_argument(node)

    def lower(self, node: Node, builder: Builder) -> None:
        x, weight = _two(node.inputs)
        choice = choose("forward", x.shape, weight.shape, node.attrs)
        attrs = settings(node.attrs, weight.shape, choice)
        packed = pack(builder, "forward", weight, x.shape, node.attrs, choice)
        first, *second = builder.joined_slots(x)
        inputs = [first, packed, *builder.slots(node.inputs[2:]), *second]
        inplace = ((0, RESIDUAL),) if choice["residual_in_place"] else ()
        refused = [*node.attrs.get("unfused", ()), *choice["refused"]]
        builder.step("conv_forward", inputs, builder.slots(node.outputs), attrs, inplace, refused)


class ConvBackwardData(Op):
    """[grad_output, weight, bias?, residual?] -> [activation(grad_input + bias + residual), -, argument?].

    attrs: geometry, activation, alpha, input_shape. It is also the transposed convolution.
    """

    name = "conv_backward_data"
    adds = 3
    activates = FUSABLE
    argument_output = 2

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        y: Spec = (attrs["input_shape"], "float32", "channels_last")
        argument = _argument(y, attrs)
        return [y, None, *argument] if argument else [y]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        grad_output, weight = _two(node.inputs)
        grad = with_layout(present(grads[0]), "channels_last")
        grad_bias = again = grad_weight = None
        if node.attrs["activation"] != "none":
            grad, grad_bias = activation_backward(grad, _gating(node), node.attrs, needs[2])
        elif needs[2]:
            grad_bias = reduce("sum", grad, (0, *range(2, grad.ndim)))
        if needs[0]:
            again = convolve(grad, weight, None, node.attrs)
        if needs[1]:
            grad_weight, _ = backward_weight(grad, grad_output, weight.shape, node.attrs, False)
        return [again, grad_weight, grad_bias, grad if needs[3] else None]

    def images(self, node: Node) -> Sequence[int]:
        return (0, RESIDUAL)

    def with_batch(self, attrs: dict[str, Any], batch: int) -> dict[str, Any]:
        return {**attrs, "input_shape": (batch, *attrs["input_shape"][1:])}

    def writes_parts(self, node: Node) -> bool:
        weight = present(node.inputs[1])
        choice = choose("backward_data", node.attrs["input_shape"], weight.shape, node.attrs)
        return choice["pitched_output"] and node.inputs[RESIDUAL] is None and not _keeps_argument(node)

    def lower(self, node: Node, builder: Builder) -> None:
        grad, weight = _two(node.inputs)
        shape = node.attrs["input_shape"]
        choice = choose("backward_data", shape, weight.shape, node.attrs)
        attrs = settings(node.attrs, weight.shape, choice)
        packed = pack(builder, "backward_data", weight, shape, node.attrs, choice)
        inputs = [builder.slot(grad), packed, *builder.slots(node.inputs[2:])]
        inplace = ((0, RESIDUAL),) if choice["residual_in_place"] else ()
        builder.step(
            node.op.name, inputs, builder.slots(node.outputs), attrs, inplace, refused=choice["refused"]
        )


class ConvBackwardWeight(Op):
    """[input, grad_output] -> [grad_weight, grad_bias?]. attrs: geometry, weight_shape, with_bias."""

    name = "conv_backward_weight"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        shape = attrs["weight_shape"]
        bias: Spec | None = ((shape[0],), "float32", "c") if attrs["with_bias"] else None
        return [(shape, "float32", "c"), bias]

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x, grad_output = _two(node.inputs)
        bias = grads[1]
        if grads[0] is None:
            spread = reshape_to(present(bias), (1, grad_output.shape[1]) + (1,) * (x.ndim - 2))
            return [None, expand_to(spread, grad_output.shape)]
        weight = with_layout(grads[0], "c")
        return [
            backward_data(grad_output, weight, x.shape, node.attrs) if needs[0] else None,
            convolve(x, weight, bias, node.attrs) if needs[1] else None,
        ]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        x, _ = _two(node.inputs)
        shape = node.attrs["weight_shape"]
        choice = choose("backward_weight", x.shape, shape, node.attrs)
        attrs = {**geometry(node.attrs), "algorithm": choice["algorithm"]}
        builder.step(
            node.op.name,
            builder.slots(node.inputs),
            builder.slots(node.outputs),
            attrs,
            refused=choice["refused"],
        )


def _argument(y: Spec, attrs: dict[str, Any]) -> list[Spec | None]:
    return [y] if attrs.get("keeps_argument") else []


def _keeps_argument(node: Node) -> bool:
    return "keeps_argument" in node.attrs


def _gating(node: Node) -> Tensor:
    """Return what the gradient of a node's activation reads."""
    return present(node.outputs[2]) if _keeps_argument(node) else node.output


def _two(tensors: Grads) -> tuple[Tensor, Tensor]:
    return present(tensors[0]), present(tensors[1])


# -- nodes -----------------------------------------------------------------------------------------


def geometry(attrs: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that all three directions share, and those of pooling where there is any."""
    names = (*GEOMETRY, *POOLING) if "pool_kernel" in attrs else GEOMETRY
    return {name: attrs[name] for name in names}


def settings(attrs: dict[str, Any], weight_shape: Shape, choice: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of the step of a convolution, of its gradient by the input, or with pooling."""
    return {
        **geometry(attrs),
        "activation": attrs["activation"],
        "alpha": attrs["alpha"],
        "weight_shape": list(weight_shape),
        "algorithm": choice["algorithm"],
    }


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, attrs: dict[str, Any]) -> Tensor:
    """Add a convolution without activation."""
    attrs = {**geometry(attrs), "activation": "none", "alpha": 0.0}
    inputs = [with_layout(x, "channels_last"), with_layout(weight, "c"), bias, None]
    return emit(OPS["conv_forward"], inputs, attrs).output


def backward_data(
    grad: Tensor, weight: Tensor, input_shape: Shape, attrs: dict[str, Any], bias: Tensor | None = None
) -> Tensor:
    """Add the gradient of a convolution by its input; with `bias`, a transposed convolution."""
    attrs = {**geometry(attrs), "activation": "none", "alpha": 0.0, "input_shape": input_shape}
    inputs = [with_layout(grad, "channels_last"), with_layout(weight, "c"), bias, None]
    return emit(OPS["conv_backward_data"], inputs, attrs).output


def backward_weight(
    x: Tensor, grad: Tensor, weight_shape: Shape, attrs: dict[str, Any], with_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Add the gradient of a convolution by its weight, and by its bias on demand."""
    attrs = {**geometry(attrs), "weight_shape": weight_shape, "with_bias": with_bias}
    node = emit(OPS["conv_backward_weight"], [x, grad], attrs)
    return node.output, node.outputs[1]


# -- what the machine chooses ------------------------------------------------------------------------


def choose(direction: str, input_shape: Shape, weight_shape: Shape, attrs: dict[str, Any]) -> dict[str, Any]:
    """Return the algorithm for a problem, the size of its packed weight, and why others were refused.

    A graph that has been compiled may fix the accuracy and the algorithm in its nodes' `attrs`; "declined" is
    then "<the cost model's algorithm>: <why it is not taken>", unless that was measured.
    """
    key = tuple(geometry(attrs).items())
    accuracy = attrs.get("accuracy") or get_accuracy()
    fixed = attrs.get("algorithm", ""), attrs.get("declined", "")
    return _choose(direction, input_shape, weight_shape, key, accuracy, *fixed)


@lru_cache(maxsize=1024)
def _choose(
    direction: str,
    input_shape: Shape,
    weight_shape: Shape,
    window: tuple[tuple[str, Any], ...],
    accuracy: str,
    algorithm: str,
    declined: str,
) -> dict[str, Any]:
    attrs = dict(window)
    wanted = {**attrs, "algorithm": algorithm} if algorithm else attrs
    choice: dict[str, Any] = _core.conv_choose(direction, input_shape, weight_shape, wanted, accuracy)
    if algorithm:
        others = _core.conv_candidates(direction, input_shape, weight_shape, attrs, accuracy)
        able, _, reason = declined.partition(": ")
        measured = "" if declined else "slower when measured"
        reasons = [(name, why or (reason if name == able else measured)) for name, why in others]
        choice["refused"] = [(name, why) for name, why in reasons if why and name != algorithm]
    return choice


def pack(
    builder: Builder,
    direction: str,
    weight: Tensor,
    input_shape: Shape,
    attrs: dict[str, Any],
    choice: dict[str, Any],
) -> Any:
    """Return the weight in the order the algorithm reads it, which may be its own."""
    if choice["packed_floats"] == 0:
        return builder.slot(weight)
    attrs = geometry(attrs)
    attrs.update(direction=direction, input_shape=list(input_shape), algorithm=choice["algorithm"])
    return builder.pack("conv_pack_weight", weight, choice["packed_floats"], attrs)


# -- shapes ------------------------------------------------------------------------------------------


def output_extents(input_shape: Shape, weight_shape: Shape, attrs: dict[str, Any]) -> Shape:
    """Return the output's spatial extents."""
    return tuple(
        (extent + begin + end - dilation * (kernel - 1) - 1) // stride + 1
        for extent, kernel, stride, begin, end, dilation in zip(
            input_shape[2:],
            weight_shape[2:],
            attrs["stride"],
            attrs["padding_begin"],
            attrs["padding_end"],
            attrs["dilation"],
            strict=True,
        )
    )


def padding_sides(
    padding: Any, kernel: Shape, stride: Shape, dilation: Shape, op: str
) -> tuple[Shape, Shape]:
    """Return paddings before and after each spatial axis."""
    rank = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return (0,) * rank, (0,) * rank
        if padding != "same":
            raise shape_error(op, f"expected padding as numbers, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in stride):
            raise shape_error(op, f"padding='same' needs stride 1, got {stride}: give the padding in numbers")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    if isinstance(padding, Sequence) and any(isinstance(side, Sequence) for side in padding):
        if len(padding) != rank:
            raise shape_error(op, f"expected {rank} pairs of padding, got {padding!r}")
        sides = [integers(side, 2, "each side of padding", op, least=0) for side in padding]
        return tuple(side[0] for side in sides), tuple(side[1] for side in sides)
    both = integers(padding, rank, "padding", op, least=0)
    return both, both


def group_count(groups: Any, op: str) -> int:
    """Return `groups` as an int of at least 1."""
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool):
        raise dtype_error(op, f"expected groups to be an int, got {groups!r}")
    if groups < 1:
        raise shape_error(op, f"expected groups of at least 1, got {groups}")
    return int(groups)


def _check_channels(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, op: str) -> None:
    channels = weight.shape[1] * groups
    if weight.shape[0] % groups:
        raise shape_error(
            op, f"expected output channels divisible by groups, got {weight.shape[0]} and {groups}"
        )
    if x.shape[1] != channels:
        raise shape_error(
            op,
            f"expected input with {channels} channels (weight is {weight.shape}, groups={groups}), "
            f"got {x.shape}." + channels_hint(x.shape, channels),
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise shape_error(
            op, f"expected bias of shape {weight.shape[:1]} (weight is {weight.shape}), got {bias.shape}"
        )


def conv(
    op: str,
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Tensor:
    """Check the arguments of a convolution over `rank` spatial axes and add it."""
    x, w, b = float_tensor(input, op), float_tensor(weight, op), optional_float(bias, op)
    require_rank(x, rank + 2, op)
    if w.ndim != rank + 2:
        raise shape_error(
            op, f"expected weight (out channels, in channels / groups, *kernel), got shape {w.shape}"
        )
    groups = group_count(groups, op)
    _check_channels(x, w, b, groups, op)
    stride, dilation = integers(stride, rank, "stride", op), integers(dilation, rank, "dilation", op)
    begin, end = padding_sides(padding, w.shape[2:], stride, dilation, op)
    attrs = {
        "stride": stride,
        "padding_begin": begin,
        "padding_end": end,
        "dilation": dilation,
        "groups": groups,
    }
    if min(output_extents(x.shape, w.shape, attrs), default=1) < 1:
        reach = tuple(d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True))
        padded = tuple(n + p + q for n, p, q in zip(x.shape[2:], begin, end, strict=True))
        raise shape_error(
            op,
            f"expected an input at least as large as the kernel: the kernel covers {reach} "
            f"(weight is {w.shape}, dilation={dilation}), the padded input is {padded} (input is {x.shape})."
            + channels_hint(x.shape, x.shape[1]),
        )
    return convolve(x, w, b, attrs)


@operator("input", "weight", "bias")
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve sequences with filters; `conv2d` over one axis.

    Args:
        input: (batch, channels, length).
        weight: (out channels, channels / groups, kernel length).
        bias: (out channels,) or None.
        stride: int.
        padding: int, ((left, right),), "same" or "valid".
        dilation: int: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out length).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> from cnncore import ops
    >>> ops.conv1d([[[1.0, 2.0, 4.0, 8.0]]], [[[-1.0, 1.0]]]).tolist()
    [[[1.0, 2.0, 4.0]]]
    """
    return conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@operator("input", "weight", "bias")
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images with filters (cross-correlation, as in every network library).

    Args:
        input: (batch, channels, height, width).
        weight: (out channels, channels / groups, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or pair.
        padding: int, pair (height, width), ((top, bottom), (left, right)), "same" or "valid".
        dilation: int or pair: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out height, out width).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv2d(np.ones((1, 1, 3, 3)), np.ones((2, 1, 3, 3)), padding=1).shape
    (1, 2, 3, 3)
    """
    return conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@operator("input", "weight", "bias")
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int, int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve volumes with filters; `conv2d` over three axes.

    Args:
        input: (batch, channels, depth, height, width).
        weight: (out channels, channels / groups, kernel depth, kernel height, kernel width).
        bias: (out channels,) or None.
        stride: int or triple.
        padding: int, triple, ((front, back), (top, bottom), (left, right)), "same" or "valid".
        dilation: int or triple: distance between the kernel's elements.
        groups: number of blocks that channels are cut into; each output block sees one input block.

    Returns:
        (batch, out channels, out depth, out height, out width).

    Raises:
        ValueError: shapes and settings that do not fit; the message says which.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.conv3d(np.ones((1, 1, 4, 5, 6)), np.ones((2, 1, 3, 3, 3)), padding=(1, 0, 0)).shape
    (1, 2, 4, 3, 4)
    """
    return conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)
