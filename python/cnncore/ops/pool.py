# SPDX-License-Identifier: Apache-2.0
"""Pooling over windows, and adaptive pooling to a given output size."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import OPS, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .activation import POOLED_FIRST
from .build import with_layout
from .check import float_tensor, integers, require_rank

Grads = Sequence[Tensor | None]


class _Pool(Op):
    """[x] -> [y, index?]; attrs "output" (extents) and the window's; the index feeds the gradient."""

    index_dtype: str | None = None
    reads_parts = (0,)

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        shape = (*x.shape[:2], *attrs["output"])
        index: Spec | None = None
        if self.index_dtype is not None and attrs.get("with_index"):
            index = (shape, self._index_dtype(attrs), "channels_last")
        return [(shape, "float32", "channels_last"), index]

    def images(self, node: Node) -> Sequence[int]:
        return (0,)

    def _index_dtype(self, attrs: dict[str, Any]) -> str:
        assert self.index_dtype is not None
        return self.index_dtype

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x = present(node.inputs[0])
        attrs = {**node.attrs, "input_shape": x.shape}
        inputs: list[Tensor | None] = [with_layout(present(grads[0]), "channels_last")]
        if self.index_dtype is not None:
            gated = node.attrs.get("activation", "none") != "none"
            inputs += [self._index(node), node.output if gated else None, None]
        return [emit(OPS[f"{self.name}_backward"], inputs, attrs).output]

    def _index(self, node: Node) -> Tensor:
        """Return the positions of the maxima; from now on the forward step writes them."""
        if node.outputs[1] is None:
            node.attrs["with_index"] = True
            index = Tensor(node.output.shape, self._index_dtype(node.attrs))
            index.node = node
            node.outputs[1] = index
        return present(node.outputs[1])

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(
            self.name, builder.slots(node.inputs), builder.slots(node.outputs), _settings(node.attrs)
        )


class _PoolBackward(Op):
    """[grad_output, index?, y?, addend?] -> [grad_input]; attrs as the pooling's, and input_shape.

    y is the result of a pooling with an activation, whose gradient follows from it. The addend is added to
    the gradient: fusion puts there what comes from the input's other users."""

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        return [(attrs["input_shape"], "float32", "channels_last")]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(
            self.name, builder.slots(node.inputs), builder.slots(node.outputs), _settings(node.attrs)
        )


def _settings(attrs: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attrs.items() if k not in ("output", "with_index", "input_shape")}


class MaxPool(_Pool):
    """May apply an activation to its result: attrs activation and alpha, set by fusion."""

    name = "max_pool"
    activates = POOLED_FIRST
    index_dtype = "uint8"

    def _index_dtype(self, attrs: dict[str, Any]) -> str:
        return "uint8" if prod(attrs["kernel"]) <= 256 else "int32"


class MaxPoolBackward(_PoolBackward):
    name = "max_pool_backward"
    adds = 3
    reads_parts = (3,)


class AvgPool(_Pool):
    name = "avg_pool"


class AvgPoolBackward(_PoolBackward):
    """The gradient of average pooling; being linear, its own gradient is average pooling again."""

    name = "avg_pool_backward"

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        attrs = {k: v for k, v in node.attrs.items() if k != "input_shape"}
        return [emit(OPS["avg_pool"], [with_layout(present(grads[0]), "channels_last")], attrs).output]


class AdaptiveAvgPool(_Pool):
    name = "adaptive_avg_pool"


class AdaptiveAvgPoolBackward(_PoolBackward):
    name = "adaptive_avg_pool_backward"

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        attrs = {k: v for k, v in node.attrs.items() if k != "input_shape"}
        return [
            emit(OPS["adaptive_avg_pool"], [with_layout(present(grads[0]), "channels_last")], attrs).output
        ]


class AdaptiveMaxPool(_Pool):
    name = "adaptive_max_pool"
    index_dtype = "int32"


class AdaptiveMaxPoolBackward(_PoolBackward):
    name = "adaptive_max_pool_backward"


def _extents(
    x: Tensor, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool, op: str
) -> tuple[Shape, Shape]:
    """Return output extents, and the padding at the end that the last windows reach into."""
    for pad, extent in zip(padding, kernel, strict=True):
        if 2 * pad > extent:
            raise shape_error(op, f"expected padding of at most half the kernel, got {padding} and {kernel}")
    output, ends = [], []
    for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        room = n + 2 * p - reach
        if room < 0:
            raise shape_error(
                op,
                f"expected an input at least as large as the window: it covers {reach} (kernel {kernel}, "
                f"dilation {dilation}), the padded input is {n + 2 * p} (input is {x.shape})",
            )
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:  # the last window must start inside the input
            count -= 1
        output.append(count)
        overhang = (count - 1) * s + reach - n - p
        ends.append(overhang if overhang > p else p)
    return tuple(output), tuple(ends)


def _pool(
    op: str,
    rank: int,
    step: str,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    more: dict[str, Any],
) -> Tensor:
    x = float_tensor(input, op)
    require_rank(x, rank + 2, op)
    kernel = integers(kernel_size, rank, "kernel_size", op)
    strides = kernel if stride is None else integers(stride, rank, "stride", op)
    pads = integers(padding, rank, "padding", op, least=0)
    spread = integers(dilation, rank, "dilation", op)
    output, ends = _extents(x, kernel, strides, pads, spread, ceil_mode, op)
    attrs = {
        "kernel": kernel,
        "stride": strides,
        "padding_begin": pads,
        "padding_end": ends,
        "output": output,
    }
    attrs.update(more)
    return emit(OPS[step], [with_layout(x, "channels_last")], attrs).output


def _max_pool(
    rank: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Tensor:
    op = f"max_pool{rank}d"
    spread = integers(dilation, rank, "dilation", op)
    more = {"dilation": spread}
    return _pool(op, rank, "max_pool", input, kernel_size, stride, padding, spread, ceil_mode, more)


@operator("input")
def max_pool1d(
    input: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    dilation: int | tuple[int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, length).
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int, at most half the kernel; padding never wins.
        dilation: int.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    >>> from cnncore import ops
    >>> ops.max_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[5.0, 4.0]]]
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


@operator("input")
def max_pool2d(
    input: Any,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, height, width).
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        padding: int or pair, at most half the kernel; padding never wins.
        dilation: int or pair.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


@operator("input")
def max_pool3d(
    input: Any,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the largest value of each window.

    Args:
        input: (batch, channels, depth, height, width).
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        padding: int or triple, at most half the kernel; padding never wins.
        dilation: int or triple.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.max_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 2).tolist()
    [[[[[7.0]]]]]
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool(
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    op = f"avg_pool{rank}d"
    if divisor_override is not None and divisor_override == 0:
        raise shape_error(op, "expected a divisor_override other than 0")
    # Windows are clipped at the real padding: what ceil_mode adds beyond it never counts.
    more = {
        "count_include_pad": int(count_include_pad),
        "divisor_override": divisor_override or 0,
        "padding_end": integers(padding, rank, "padding", op, least=0),
    }
    return _pool(op, rank, "avg_pool", input, kernel_size, stride, padding, 1, ceil_mode, more)


@operator("input")
def avg_pool1d(
    input: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, length).
        kernel_size: int.
        stride: int; None means kernel_size.
        padding: int of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.

    >>> from cnncore import ops
    >>> ops.avg_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[3.0, 3.0]]]
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@operator("input")
def avg_pool2d(
    input: Any,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, height, width).
        kernel_size: int or pair.
        stride: int or pair; None means kernel_size.
        padding: int or pair of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.
        divisor_override: divide by this number instead.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.avg_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@operator("input")
def avg_pool3d(
    input: Any,
    kernel_size: int | tuple[int, int, int],
    stride: int | tuple[int, int, int] | None = None,
    padding: int | tuple[int, int, int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window.

    Args:
        input: (batch, channels, depth, height, width).
        kernel_size: int or triple.
        stride: int or triple; None means kernel_size.
        padding: int or triple of zeros, at most half the kernel.
        ceil_mode: also take windows that begin inside the input and reach beyond its end.
        count_include_pad: count padding in the divisor.
        divisor_override: divide by this number instead.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.avg_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 2).tolist()
    [[[[[3.5]]]]]
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive(kind: str, rank: int, input: Any, output_size: Any) -> Tensor:
    op = f"adaptive_{kind}_pool{rank}d"
    x = float_tensor(input, op)
    require_rank(x, rank + 2, op)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if len(wanted) != rank:
        raise shape_error(op, f"expected output_size as an int or {rank} of them, got {output_size!r}")
    output = tuple(
        n if size is None else integers(size, 1, "output_size", op)[0]
        for n, size in zip(x.shape[2:], wanted, strict=True)
    )
    return emit(OPS[f"adaptive_{kind}_pool"], [with_layout(x, "channels_last")], {"output": output}).output


@operator("input")
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, length).
        output_size: int; None keeps the input's extent.

    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[3.0, 3.0]]]
    """
    return _adaptive("avg", 1, input, output_size)


@operator("input")
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, height, width).
        output_size: int or pair; None keeps the input's extent.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool2d(np.arange(4).reshape(1, 1, 2, 2), 1).tolist()
    [[[[1.5]]]]
    """
    return _adaptive("avg", 2, input, output_size)


@operator("input")
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """Return means over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, depth, height, width).
        output_size: int or triple; None keeps the input's extent.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_avg_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 1).tolist()
    [[[[[3.5]]]]]
    """
    return _adaptive("avg", 3, input, output_size)


@operator("input")
def adaptive_max_pool1d(input: Any, output_size: Any) -> Tensor:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, length).
        output_size: int; None keeps the input's extent.

    >>> from cnncore import ops
    >>> ops.adaptive_max_pool1d([[[1.0, 5.0, 2.0, 4.0]]], 2).tolist()
    [[[5.0, 4.0]]]
    """
    return _adaptive("max", 1, input, output_size)


@operator("input")
def adaptive_max_pool2d(input: Any, output_size: Any) -> Tensor:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, height, width).
        output_size: int or pair; None keeps the input's extent.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_max_pool2d(np.arange(4).reshape(1, 1, 2, 2), 1).tolist()
    [[[[3.0]]]]
    """
    return _adaptive("max", 2, input, output_size)


@operator("input")
def adaptive_max_pool3d(input: Any, output_size: Any) -> Tensor:
    """Return maxima over windows chosen such that the output is `output_size`.

    Args:
        input: (batch, channels, depth, height, width).
        output_size: int or triple; None keeps the input's extent.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.adaptive_max_pool3d(np.arange(8).reshape(1, 1, 2, 2, 2), 1).tolist()
    [[[[[7.0]]]]]
    """
    return _adaptive("max", 3, input, output_size)
