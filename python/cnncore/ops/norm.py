# SPDX-License-Identifier: Apache-2.0
"""Normalisation; batch norm is cut into the pieces that fusion moves into neighbouring steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import _core
from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import OPS, Node, Op, Spec, Tensor, present
from ..graph.trace import current_graph, emit, is_stored, shape_error
from .activation import FUSABLE
from .build import with_layout
from .check import channels_hint, float_tensor, integers, optional_float, real

__all__ = ["batch_norm", "group_norm"]

Grads = Sequence[Tensor | None]


class BatchNormStatistics(Op):
    """[x] -> [statistics (rows, 3, channels)]: count, mean and squared deviations of a part of x a row."""

    name = "batch_norm_statistics"
    differentiable = False  # batch_norm_backward differentiates through the statistics

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        return [((attrs["rows"], 3, present(inputs[0]).shape[1]), "float32", "c")]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs))


class BatchNormFinalize(Op):
    """[statistics, running_mean?, running_var?] -> [mean, invstd, new running_mean?, new running_var?]."""

    name = "batch_norm_finalize"
    differentiable = False
    writes_updates = True

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        spec: Spec = (present(inputs[0]).shape[2:], "float32", "c")
        running = spec if inputs[1] is not None else None
        return [spec, spec, running, running]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node, inplace=[(2, 1), (3, 2)])


class BatchNormInvStd(Op):
    """[running_var] -> [1 / sqrt(running_var + eps)]."""

    name = "batch_norm_invstd"
    differentiable = False

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        return [(present(inputs[0]).shape, "float32", "c")]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class BatchNormApply(Op):
    """[x, mean, invstd, weight?, bias?, residual?] -> [activation(normalised x + residual)].

    attrs: activation, alpha; training tells the gradient whether mean and invstd depend on x.
    """

    name = "batch_norm_apply"
    adds = 5
    activates = FUSABLE

    def recomputes_argument(self, node: Node) -> bool:
        return node.inputs[5] is None

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        return [(present(inputs[0]).shape, "float32", "channels_last")]

    def images(self, node: Node) -> Sequence[int]:
        return (0, 5)

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x, mean, invstd, weight = node.inputs[:4]
        active = node.attrs["activation"] != "none"
        attrs = {**node.attrs, "wanted": (needs[3], needs[4], needs[5])}
        inputs = [with_layout(present(grads[0]), "channels_last"), x, mean, invstd, weight]
        if active and node.inputs[5] is None:
            inputs += [None, node.inputs[4]]  # the mask follows from x and bias: one tensor less to read
        else:
            inputs += [node.output if active else None, None]
        back = emit(OPS["batch_norm_backward"], inputs, attrs)
        grad_residual = back.outputs[3] if active else grads[0]
        return [back.outputs[0], None, None, *back.outputs[1:3], grad_residual if needs[5] else None]

    def writes_parts(self, node: Node) -> bool:
        return True

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: node.attrs[key] for key in ("activation", "alpha")}
        builder.step(
            self.name,
            builder.slots(node.inputs),
            builder.slots(node.outputs),
            attrs,
            inplace=[(0, 0), (0, 5)],
        )


class BatchNormBackward(Op):
    """[grad, x, mean, invstd, weight?, y?, bias?] -> [grad_input, grad_weight?, grad_bias?, grad_residual?].

    The activation's mask comes from y or, without a residual, from x, weight and bias.
    """

    name = "batch_norm_backward"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[1])
        channels: Spec = ((x.shape[1],), "float32", "c")
        like: Spec = (x.shape, "float32", "channels_last")
        weight, bias, residual = attrs["wanted"]
        masked = residual and attrs["activation"] != "none"
        return [like, channels if weight else None, channels if bias else None, like if masked else None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: node.attrs[key] for key in ("activation", "alpha")}
        attrs["training"] = int(node.attrs["training"])
        inplace = [(0, 0)] if node.outputs[3] is None else [(3, 0), (0, 1)]
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs, inplace)


class GroupNorm(Op):
    """[x, weight?, bias?] -> [activation(normalised x), mean (batch, groups), invstd (batch, groups)].

    attrs: groups, eps, activation, alpha.
    """

    name = "group_norm"
    activates = FUSABLE

    def recomputes_argument(self, node: Node) -> bool:
        return True

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[0])
        groups: Spec = ((x.shape[0], attrs["groups"]), "float32", "c")
        return [(x.shape, "float32", "channels_last"), groups, groups]

    def images(self, node: Node) -> Sequence[int]:
        return (0,)

    def gradient(self, node: Node, grads: Grads, needs: Sequence[bool]) -> Grads:
        x, weight, bias = node.inputs
        _, mean, invstd = node.outputs
        inputs = [with_layout(present(grads[0]), "channels_last"), x, mean, invstd, weight, bias]
        attrs = {key: node.attrs[key] for key in ("groups", "activation", "alpha")}
        return emit(OPS["group_norm_backward"], inputs, {**attrs, "wanted": tuple(needs[1:])}).outputs

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node, inplace=[(0, 0)])


class GroupNormBackward(Op):
    """[grad, x, mean, invstd, weight?, bias?] -> [grad_input, grad_weight?, grad_bias?].

    The activation's mask comes from x, weight and bias.
    """

    name = "group_norm_backward"

    def infer(self, inputs: Grads, attrs: dict[str, Any]) -> list[Spec | None]:
        x = present(inputs[1])
        channels: Spec = ((x.shape[1],), "float32", "c")
        weight, bias = attrs["wanted"]
        like: Spec = (x.shape, "float32", "channels_last")
        return [like, channels if weight else None, channels if bias else None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: node.attrs[key] for key in ("groups", "activation", "alpha")}
        slots = builder.slots(node.inputs)
        builder.step(self.name, slots, builder.slots(node.outputs), attrs, inplace=[(0, 0), (0, 1)])


def _statistics(x: Tensor) -> Tensor:
    rows = _core.statistics_rows(list(x.shape))
    return emit(OPS["batch_norm_statistics"], [x], {"rows": rows}).output


def _track(source: Any, new: Tensor | None) -> None:
    """Make the program write a running statistic back into its buffer."""
    if is_stored(source) and new is not None:
        graph = current_graph()
        graph.updates = [(target, value) for target, value in graph.updates if target is not source]
        graph.updates.append((source, new))


def _running(source: Any) -> Tensor | None:
    """Return a running statistic as it is by now: a layer that is called twice updates it twice."""
    for target, value in current_graph().updates:
        if target is source:
            return value
    return optional_float(source, "batch_norm")


def _of_channels(x: Tensor, op: str, **named: Any) -> list[Tensor | None]:
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


@operator("input", "running_mean", "running_var", "weight", "bias")
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel to mean 0 and variance 1, then scale by `weight` and shift by `bias`.

    Args:
        input: (batch, channels, ...).
        running_mean, running_var: (channels,), used when not training. When training, buffers given
            here are moved towards the batch's statistics; plain arrays are not changed.
        weight, bias: (channels,) or None.
        training: normalise with the statistics of this batch.
        momentum: weight of this batch in the running statistics.
        eps: added to the variance.

    Raises:
        ValueError: a batch with one value per channel while training has no variance.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    op = "batch_norm"
    eps, momentum = real(eps, "eps", op, 0), real(momentum, "momentum", op, 0, 1)
    x = float_tensor(input, op)
    if x.ndim < 2:
        raise shape_error(op, f"expected input (batch, channels, ...), got shape {x.shape}")
    mean, var = _running(running_mean), _running(running_var)
    mean, var, w, b = _of_channels(x, op, running_mean=mean, running_var=var, weight=weight, bias=bias)
    x = with_layout(x, "channels_last")
    if training:
        if x.shape[0] * prod(x.shape[2:]) == 1:
            raise shape_error(
                op,
                f"expected more than one value per channel when training, got {x.shape}: one sample has no "
                "variance; use a larger batch or eval()",
            )
        attrs = {"momentum": momentum, "eps": eps}
        final = emit(OPS["batch_norm_finalize"], [_statistics(x), mean, var], attrs)
        _track(running_mean, final.outputs[2])
        _track(running_var, final.outputs[3])
        center, invstd = final.outputs[0], final.outputs[1]
    else:
        if mean is None or var is None:
            raise shape_error(op, "expected running_mean and running_var when not training")
        center, invstd = mean, emit(OPS["batch_norm_invstd"], [var], {"eps": eps}).output
    settings = {"activation": "none", "alpha": 0.0, "training": bool(training)}
    return emit(OPS["batch_norm_apply"], [x, center, invstd, w, b, None], settings).output


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
    w, b = _of_channels(x, op, weight=weight, bias=bias)
    attrs = {"groups": groups, "eps": eps, "activation": "none", "alpha": 0.0}
    return emit(OPS["group_norm"], [with_layout(x, "channels_last"), w, b], attrs).output
