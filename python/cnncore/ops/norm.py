# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation, cut into the pieces that fusion moves into neighbouring steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from .. import _core
from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .activation import FUSABLE
from .build import Single, elementwise, with_layout
from .check import channels_hint, float_tensor, optional_float, real
from .norm_derivative import by_input, by_parameters, normalised, of_channels, scaled
from .pull_back import pull_back
from .running import current, track
from .window import PLAIN, Epilogue

__all__ = ["batch_norm"]

Grads = Sequence[Tensor | None]


class StatisticsAttributes(NamedTuple):
    rows: int


class BatchNormStatistics(Op):
    """[x] -> [statistics (rows, 3, channels)]: count, mean and squared deviations of a part of x a row."""

    name = "batch_norm_statistics"
    differentiable = False  # batch_norm_backward differentiates through the statistics
    Inputs = Single
    Attributes = StatisticsAttributes

    def infer(self, inputs: Single, attrs: StatisticsAttributes) -> list[Spec | None]:
        return [((attrs.rows, 3, inputs.input.shape[1]), "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs))


class FinalizeInputs(NamedTuple):
    statistics: Tensor
    running_mean: Tensor | None = None
    running_var: Tensor | None = None


class FinalizeAttributes(NamedTuple):
    momentum: float
    eps: float


class BatchNormFinalize(Op):
    """[statistics, running_mean?, running_var?] -> [mean, invstd, new running_mean?, new running_var?]."""

    name = "batch_norm_finalize"
    differentiable = False
    writes_updates = True
    Inputs = FinalizeInputs
    Attributes = FinalizeAttributes

    def infer(self, inputs: FinalizeInputs, attrs: FinalizeAttributes) -> list[Spec | None]:
        spec: Spec = (inputs.statistics.shape[2:], "float32", Layout.C)
        running = spec if inputs.running_mean is not None else None
        return [spec, spec, running, running]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node, inplace=[(2, 1), (3, 2)])


class InvStdAttributes(NamedTuple):
    eps: float


class BatchNormInvStd(Op):
    """[running_var] -> [1 / sqrt(running_var + eps)]."""

    name = "batch_norm_invstd"
    differentiable = False
    Inputs = Single
    Attributes = InvStdAttributes

    def infer(self, inputs: Single, attrs: InvStdAttributes) -> list[Spec | None]:
        return [(inputs.input.shape, "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class ApplyInputs(NamedTuple):
    input: Tensor
    mean: Tensor
    invstd: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    residual: Tensor | None = None


class ApplyAttributes(NamedTuple):
    """`training` tells the gradient whether mean and invstd depend on x."""

    training: bool
    epilogue: Epilogue = PLAIN


class BatchNormApply(Op):
    """[x, mean, invstd, weight?, bias?, residual?] -> [activation(normalised x + residual)]."""

    name = "batch_norm_apply"
    reads_parts = ("input",)
    adds = "residual"
    activates = FUSABLE
    Inputs = ApplyInputs
    Attributes = ApplyAttributes

    def recomputes_argument(self, node: Node) -> bool:
        return node.inputs.residual is None

    def infer(self, inputs: ApplyInputs, attrs: ApplyAttributes) -> list[Spec | None]:
        return [(inputs.input.shape, "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input", "residual")

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, mean, invstd, weight, bias, residual = node.inputs
        training, epilogue = node.attrs
        active = epilogue.activation != "none"
        wanted = (needs.weight, needs.bias, needs.residual)
        attrs = BatchNormBackwardAttributes(training, epilogue, wanted)
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        inputs = BatchNormBackwardInputs(grad, x, mean, invstd, weight)
        if active and residual is None:
            inputs = inputs._replace(bias=bias)  # the mask follows from x and bias: one tensor less to read
        elif active:
            inputs = inputs._replace(y=node.output)
        by_input, by_weight, by_bias, masked = emit(BatchNormBackward, inputs, attrs).outputs
        by_residual = masked if active else grads[0]
        return [by_input, None, None, by_weight, by_bias, by_residual if needs.residual else None]

    def writes_parts(self, node: Node) -> bool:
        return True

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        in_place = [(0, ApplyInputs._fields.index(name)) for name in ("input", "residual")]
        builder.step(self.name, inputs, outputs, node.attrs.epilogue.settings(), in_place)


class BatchNormBackwardInputs(NamedTuple):
    grad: Tensor
    input: Tensor
    mean: Tensor
    invstd: Tensor
    weight: Tensor | None = None
    y: Tensor | None = None
    bias: Tensor | None = None


class BatchNormBackwardAttributes(NamedTuple):
    """`wanted`: gradients by weight, bias and residual."""

    training: bool
    epilogue: Epilogue
    wanted: tuple[bool, bool, bool]


class BatchNormBackward(Op):
    """[grad, x, mean, invstd, weight?, y?, bias?] -> [grad_input, grad_weight?, grad_bias?, grad_residual?].

    The activation's mask comes from y or, without a residual, from x, weight and bias.
    """

    name = "batch_norm_backward"
    Inputs = BatchNormBackwardInputs
    Attributes = BatchNormBackwardAttributes

    def infer(self, inputs: BatchNormBackwardInputs, attrs: BatchNormBackwardAttributes) -> list[Spec | None]:
        x = inputs.input
        channels: Spec = ((x.shape[1],), "float32", Layout.C)
        like: Spec = (x.shape, "float32", Layout.CHANNELS_LAST)
        weight, bias, residual = attrs.wanted
        masked = residual and attrs.epilogue.activation != "none"
        return [like, channels if weight else None, channels if bias else None, like if masked else None]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        assert node.attrs.epilogue.activation == "none"  # fused after all but the last differentiation
        _, x, mean, invstd, weight, *_ = node.inputs
        training, _, (by_weight, by_bias, _) = node.attrs
        eps = invstd.node.attrs.eps
        axes = (0, *range(2, x.ndim))

        def written_out(grad: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor | None]:
            center = of_channels(mean, x)
            if training:
                y, factor = normalised(x, axes, eps)
                by_x = by_input(scaled(grad, weight), y, factor, axes)
            else:
                factor = of_channels(invstd, x)
                y = elementwise("mul", elementwise("sub", x, center), factor)
                by_x = elementwise("mul", scaled(grad, weight), factor)
            return [by_x, *by_parameters(grad, y, axes, (by_weight, by_bias)), None]

        inputs = (node.inputs.grad, x, weight)
        found = pull_back(written_out, inputs, grads, (needs.grad, needs.input, needs.weight))
        of_grad, of_x, of_weight = found
        return [of_grad, of_x, None, None, of_weight, None, None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {**node.attrs.epilogue.settings(), "training": int(node.attrs.training)}
        *_, masked = node.outputs
        inplace = [(0, 0)] if masked is None else [(3, 0), (0, 1)]
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs, inplace)


def statistics_of(x: Tensor) -> Tensor:
    """Return counts, means and squared deviations of parts of x, (parts, 3, channels)."""
    rows = _core.statistics_rows(list(x.shape))
    return emit(BatchNormStatistics, Single(x), StatisticsAttributes(rows)).output


def of_each_channel(x: Tensor, op: str, **named: Any) -> list[Tensor | None]:
    """Return tensors of an entry for each channel of `x`."""
    found = []
    for name, value in named.items():
        tensor = optional_float(value, op)
        if tensor is not None and tensor.shape != (x.shape[1],):
            hint = channels_hint(x.shape, tensor.size)
            raise shape_error(
                op,
                f"expected input with {tensor.size} channels ({name} is {tensor.shape}), "
                f"got {x.shape}.{hint}",
            )
        found.append(tensor)
    return found


def move_running(source: Any, running: Tensor | None, new: Tensor, momentum: Any) -> None:
    """Move a running statistic towards a new one, by a share that is a number or a tensor."""
    if running is None:
        return
    apart = elementwise("sub", new, running)
    if isinstance(momentum, Tensor):
        step = elementwise("mul", apart, momentum)
    else:
        step = elementwise("mul_scalar", apart, alpha=momentum)
    track(source, elementwise("add", running, step))


def unbiased_variance(invstd: Tensor, eps: float, count: int) -> Tensor:
    """Return the unbiased variance of `count` values from 1 / sqrt(biased variance + eps)."""
    biased = elementwise("add_scalar", elementwise("square", elementwise("reciprocal", invstd)), alpha=-eps)
    return elementwise("mul_scalar", biased, alpha=count / (count - 1))


@operator("input", "running_mean", "running_var", "weight", "bias", "momentum")
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel to mean 0 and variance 1, then scale by `weight` and shift by `bias`.

    Args:
        input: (batch, channels, ...).
        running_mean, running_var: (channels,), used when not training. When training, buffers given
            here are moved towards the batch's statistics; plain arrays are not changed.
        weight, bias: (channels,) or None.
        training: normalise with the statistics of this batch.
        momentum: weight of this batch in the running statistics; a number, or a tensor of one element.
        eps: added to the variance.

    Raises:
        ValueError: a batch with one value per channel while training has no variance.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    op = "batch_norm"
    eps = real(eps, "eps", op, 0)
    momentum = momentum if isinstance(momentum, Tensor) else real(momentum, "momentum", op, 0, 1)
    x = float_tensor(input, op)
    if x.ndim < 2:
        raise shape_error(op, f"expected input (batch, channels, ...), got shape {x.shape}")
    mean, var = current(running_mean, "batch_norm"), current(running_var, "batch_norm")
    mean, var, w, b = of_each_channel(x, op, running_mean=mean, running_var=var, weight=weight, bias=bias)
    x = with_layout(x, Layout.CHANNELS_LAST)
    if training:
        if x.shape[0] * prod(x.shape[2:]) == 1:
            raise shape_error(
                op,
                f"expected more than one value per channel when training, got {x.shape}: one sample has no "
                "variance; use a larger batch or eval()",
            )
        fixed = not isinstance(momentum, Tensor)
        running = (mean, var) if fixed else (None, None)
        attrs = FinalizeAttributes(momentum if fixed else 0.0, eps)
        inputs = FinalizeInputs(statistics_of(x), *running)
        center, invstd, *moved = emit(BatchNormFinalize, inputs, attrs).outputs
        if fixed:
            for source, new in zip((running_mean, running_var), moved, strict=True):
                track(source, new)
        else:
            move_running(running_mean, mean, present(center), momentum)
            variance = unbiased_variance(present(invstd), eps, x.size // x.shape[1])
            move_running(running_var, var, variance, momentum)
    else:
        if mean is None or var is None:
            raise shape_error(op, "expected running_mean and running_var when not training")
        center, invstd = mean, emit(BatchNormInvStd, Single(var), InvStdAttributes(eps)).output
    given = ApplyInputs(x, present(center), present(invstd), w, b)
    return emit(BatchNormApply, given, ApplyAttributes(bool(training))).output
