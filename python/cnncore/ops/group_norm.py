# SPDX-License-Identifier: Apache-2.0
"""Normalisation over groups of channels of each sample; over each channel by itself in `instance_norm`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .activation import FUSABLE
from .build import reduce, reshape_to, with_layout
from .check import channels_hint, float_tensor, integers, real
from .norm import batch_norm, move_running, of_each_channel, unbiased_variance
from .norm_derivative import by_input, by_parameters, normalised, scaled
from .pull_back import pull_back
from .running import current
from .window import PLAIN, Epilogue

__all__ = ["group_norm", "instance_norm"]

Grads = Sequence[Tensor | None]


class GroupNormInputs(NamedTuple):
    input: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None


class GroupNormAttributes(NamedTuple):
    groups: int
    eps: float
    epilogue: Epilogue = PLAIN


class GroupNorm(Op):
    """[x, weight?, bias?] -> [activation(normalised x), mean (batch, groups), invstd (batch, groups)]."""

    name = "group_norm"
    activates = FUSABLE
    Inputs = GroupNormInputs
    Attributes = GroupNormAttributes

    def recomputes_argument(self, node: Node) -> bool:
        return True

    def infer(self, inputs: GroupNormInputs, attrs: GroupNormAttributes) -> list[Spec | None]:
        x = inputs.input
        groups: Spec = ((x.shape[0], attrs.groups), "float32", Layout.C)
        return [(x.shape, "float32", Layout.CHANNELS_LAST), groups, groups]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, weight, bias = node.inputs
        _, mean, invstd = map(present, node.outputs)
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        inputs = GroupNormBackwardInputs(grad, x, mean, invstd, weight, bias)
        groups, eps, epilogue = node.attrs
        attrs = GroupNormBackwardAttributes(groups, eps, epilogue, (needs.weight, needs.bias))
        return emit(GroupNormBackward, inputs, attrs).outputs

    def lower(self, node: Node, builder: Builder) -> None:
        groups, eps, epilogue = node.attrs
        attrs = {"groups": groups, "eps": eps, **epilogue.settings()}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs, [(0, 0)])


class GroupNormBackwardInputs(NamedTuple):
    grad: Tensor
    input: Tensor
    mean: Tensor
    invstd: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None


class GroupNormBackwardAttributes(NamedTuple):
    """`wanted`: gradients by weight and bias."""

    groups: int
    eps: float
    epilogue: Epilogue
    wanted: tuple[bool, bool]


class GroupNormBackward(Op):
    """[grad, x, mean, invstd, weight?, bias?] -> [grad_input, grad_weight?, grad_bias?].

    The activation's mask comes from x, weight and bias.
    """

    name = "group_norm_backward"
    Inputs = GroupNormBackwardInputs
    Attributes = GroupNormBackwardAttributes

    def infer(self, inputs: GroupNormBackwardInputs, attrs: GroupNormBackwardAttributes) -> list[Spec | None]:
        x = inputs.input
        channels: Spec = ((x.shape[1],), "float32", Layout.C)
        weight, bias = attrs.wanted
        like: Spec = (x.shape, "float32", Layout.CHANNELS_LAST)
        return [like, channels if weight else None, channels if bias else None]

    def images(self, node: Node) -> Sequence[str]:
        return () if any(node.attrs.wanted) else ("grad", "input", "mean", "invstd")

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        assert node.attrs.epilogue.activation == "none"  # fused after all but the last differentiation
        groups, eps, _, wanted = node.attrs

        def written_out(grad: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor | None]:
            rows = (x.shape[0], groups, x.size // (x.shape[0] * groups))
            y, invstd = normalised(reshape_to(x, rows), (2,), eps)
            by_x = by_input(reshape_to(scaled(grad, weight), rows), y, invstd, (2,))
            whole = reshape_to(y, x.shape)
            return [reshape_to(by_x, x.shape), *by_parameters(grad, whole, (0, *range(2, x.ndim)), wanted)]

        grad, x, _, _, weight, _ = node.inputs
        found = pull_back(written_out, (grad, x, weight), grads, (needs.grad, needs.input, needs.weight))
        of_grad, of_x, of_weight = found
        return [of_grad, of_x, None, None, of_weight, None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"groups": node.attrs.groups, **node.attrs.epilogue.settings()}
        slots = builder.slots(node.inputs)
        builder.step(self.name, slots, builder.slots(node.outputs), attrs, inplace=[(0, 0), (0, 1)])


@operator("input", "weight", "bias")
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each group of channels of each sample to mean 0 and variance 1 (Wu and He, 2018).

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the (biased) variance of the
    group's values in the sample: its channels at all places.

    Args:
        input: (batch, channels, ...).
        num_groups: how many groups of neighbouring channels; they are of one size.
        weight, bias: (channels,) or None.
        eps: added to the variance.

    Raises:
        ValueError: the channels do not divide into `num_groups`, or there is a single value.

    >>> from cnncore import ops
    >>> ops.group_norm([[1.0, 3.0, 10.0, 30.0]], 2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    op = "group_norm"
    eps = real(eps, "eps", op, 0)
    (groups,) = integers(num_groups, 1, "num_groups", op)
    x = float_tensor(input, op)
    if x.ndim < 2:
        raise shape_error(op, f"expected input (batch, channels, ...), got shape {x.shape}")
    if x.shape[1] % groups:
        hint = channels_hint(x.shape, groups)
        raise shape_error(op, f"expected channels in {groups} equal groups, got {x.shape}.{hint}")
    if prod((x.shape[0], x.shape[1] // groups, *x.shape[2:])) == 1:
        raise shape_error(op, f"expected more than one value per group, got {x.shape} in {groups} groups")
    w, b = of_each_channel(x, op, weight=weight, bias=bias)
    given = GroupNormInputs(with_layout(x, Layout.CHANNELS_LAST), w, b)
    return emit(GroupNorm, given, GroupNormAttributes(groups, eps)).output


@operator("input", "running_mean", "running_var", "weight", "bias", "momentum")
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample to mean 0 and variance 1 (Ulyanov, Vedaldi and Lempitsky, 2016).

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the (biased) variance of the
    channel's values at all places of the sample.

    Args:
        input: (batch, channels, ...) with at least 3 axes.
        running_mean, running_var: (channels,), used without `use_input_stats`; with it, buffers given here
            are moved towards the mean over the batch of the samples' statistics.
        weight, bias: (channels,) or None.
        use_input_stats: False normalises with the running statistics.
        momentum: weight of this batch in the running statistics; a number, or a tensor of one element.
        eps: added to the variance.

    Raises:
        ValueError: channels with a single value have no variance.

    >>> from cnncore import ops
    >>> ops.instance_norm([[[1.0, 3.0], [10.0, 30.0]]], eps=0.0).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    op = "instance_norm"
    x = float_tensor(input, op)
    if x.ndim < 3:
        raise shape_error(op, f"expected input (batch, channels, ...) of at least 3 axes, got {x.shape}")
    if not use_input_stats:
        y: Tensor = batch_norm(x, running_mean, running_var, weight, bias, False, 0.1, eps)
        return y
    count = prod(x.shape[2:])
    if count == 1:
        raise shape_error(op, f"expected more than one value per channel of a sample, got {x.shape}")
    momentum = momentum if isinstance(momentum, Tensor) else real(momentum, "momentum", op, 0, 1)
    mean, var = of_each_channel(
        x,
        op,
        running_mean=current(running_mean, "batch_norm"),
        running_var=current(running_var, "batch_norm"),
    )
    y = group_norm(x, x.shape[1], weight, bias, eps)
    final = y.node
    assert final is not None
    move_running(running_mean, mean, reduce("mean", present(final.outputs[1]), (0,)), momentum)
    if var is not None:
        unbiased = unbiased_variance(present(final.outputs[2]), eps, count)
        move_running(running_var, var, reduce("mean", unbiased, (0,)), momentum)
    return y
