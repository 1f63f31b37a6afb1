# SPDX-License-Identifier: Apache-2.0
"""Fusion: moving elementwise work into the convolutions and batch norms whose results it follows.

Each rule looks at one node and its producer. The fused node takes over the follower's output tensor;
the producer, whose result nobody else uses, is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..graph.tensor import OPS, Graph, Node, Tensor, layout_matters, present
from ..graph.trace import at, building
from ..ops.build import elementwise, reshape_to
from ..ops.conv import choose, convolve, geometry
from ..ops.conv_pool import pooled, refuse
from ..ops.inverted_residual import choose_algorithm
from .simplify import remove_dead

RESIDUAL = {"conv_forward": 3, "batch_norm_apply": 5, "conv_backward_data": 3, "max_pool_backward": 3}
"""Operations that can add a tensor to their result, and the position of that input."""

ACTIVATING = ("conv_forward", "batch_norm_apply", "conv_backward_data", "max_pool")
"""Operations that can apply an activation to their result."""


LARGE_COPY = 1 << 22
"""Floats of a weight that inference does not keep a second time for a few percent of speed."""

Rule = Callable[["_Fusion", Node], bool]
"""Looks at a node; returns whether it has put something else in its place."""


class _Fusion:
    """One pass over a graph."""

    def __init__(self, graph: Graph, rules: dict[str, Rule], inference: bool) -> None:
        self.graph = graph
        self.rules = rules
        self.inference = inference
        self.users = graph.users()

    def run(self) -> None:
        nodes, self.graph.nodes = self.graph.nodes, []
        with building(self.graph):
            for node in nodes:
                rule = self.rules.get(node.op.name)
                if rule is None or not rule(self, node):
                    self.graph.nodes.append(node)
        remove_dead(self.graph)

    def producer(self, tensor: Tensor | None, ops: Any) -> Node | None:
        """Return the node that makes `tensor` if nobody else uses it and its operation is one of `ops`."""
        if tensor is None or tensor.node is None or self.users.get(tensor) != 1:
            return None
        node = tensor.node
        return node if node.op.name in ops and node.output is tensor else None

    def replace(self, node: Node, by: Node, inputs: list[Tensor | None], **attrs: Any) -> bool:
        """Put a copy of `by` with other inputs and settings in the place of `node`."""
        outputs: list[Tensor | None] = [node.output, *by.outputs[1:]]
        self.graph.nodes.append(Node(by.op, inputs, outputs, {**by.attrs, **attrs}, by.path or node.path))
        return True


def fuse(graph: Graph, inference: bool) -> None:
    """Fuse a graph. With `inference` it will not be differentiated: batch norm is folded into weights."""
    _Fusion(graph, INFERENCE_RULES if inference else TRAINING_RULES, inference).run()
    _Fusion(graph, LATE_RULES, inference).run()
    if inference:
        _Fusion(graph, BLOCK_RULES, inference).run()


def fuse_pooling(graph: Graph) -> None:
    """In inference, let convolutions do the max pooling after them where that pays.

    After the batch is split into portions: it does not where a portion's values stay in the caches.
    """
    _Fusion(graph, POOL_RULES, inference=True).run()


# -- rules -------------------------------------------------------------------------------------------


def _elementwise(fusion: _Fusion, node: Node) -> bool:
    function = node.attrs["function"]
    if function == "add":
        a, b = node.inputs[0], node.inputs[1]
        return _add(fusion, node, b, a) or _add(fusion, node, a, b)
    if function in ("relu", "leaky_relu", "relu6"):
        before = fusion.producer(node.inputs[0], ACTIVATING)
        if before is not None and _activation(before) == "none":
            alpha = node.attrs.get("alpha", 0.0)
            return fusion.replace(node, before, before.inputs, activation=function, alpha=alpha)
    return False


def _activation(node: Node) -> str:
    """Return the activation that a node applies to its result."""
    return str(node.attrs.get("activation", "none")) if node.op.name in ACTIVATING else "none"


def _add(fusion: _Fusion, node: Node, result: Tensor | None, other: Tensor | None) -> bool:
    """add(producer(...), other) -> producer(..., residual=other)."""
    before = fusion.producer(result, RESIDUAL)
    if before is None or result is None or other is None or result is other:
        return False
    place = RESIDUAL[before.op.name]
    if _activation(before) != "none" or before.inputs[place] is not None:
        return False
    if result.shape != other.shape or (other.layout != result.layout and layout_matters(other.shape)):
        return False
    inputs = list(before.inputs)
    inputs[place] = other
    return fusion.replace(node, before, inputs)


def _statistics(fusion: _Fusion, node: Node) -> bool:
    """Statistics of a convolution's result come from the convolution's epilogue."""
    x = node.inputs[0]
    before = x.node if x is not None else None
    if before is None or before.op.name != "conv_forward" or before.outputs[1] is not None:
        return False
    if before.attrs["activation"] != "none" or before.inputs[3] is not None:
        return False
    source, weight = before.inputs[0], before.inputs[1]
    rows = choose("forward", present(source).shape, present(weight).shape, before.attrs)["statistics_rows"]
    if rows == 0:
        return False
    statistics = node.output
    statistics.shape = (rows, 3, present(weight).shape[0])
    statistics.node = before
    before.outputs[1] = statistics
    before.attrs["statistics_rows"] = rows
    return True


def _batch_norm(fusion: _Fusion, node: Node) -> bool:
    """In inference, batch norm after a convolution is a scaling of its weight and a shift of its bias."""
    x, mean, invstd, gamma, beta, residual = node.inputs
    before = fusion.producer(x, ("conv_forward", "conv_backward_data"))
    if before is None or node.attrs["training"] or residual is not None:
        return False
    if before.attrs["activation"] != "none" or before.inputs[3] is not None:
        return False
    source, weight, bias, _ = before.inputs
    known = (weight, bias, mean, gamma, beta)
    if any(tensor is not None and tensor.source is None for tensor in known):
        return False
    weight, mean, invstd = present(weight), present(mean), present(invstd)
    with at(before.path):
        scale = invstd if gamma is None else elementwise("mul", gamma, invstd)
        scaled = _scaled(weight, scale, before)
        center = mean if bias is None else elementwise("sub", mean, bias)
        shift = elementwise("neg", elementwise("mul", center, scale))
        if beta is not None:
            shift = elementwise("add", beta, shift)
    return fusion.replace(node, before, [source, scaled, shift, None])


def _scaled(weight: Tensor, scale: Tensor, convolution: Node) -> Tensor:
    """Multiply the filters of each output channel by its entry of `scale`."""
    if convolution.op.name == "conv_forward":
        return elementwise("mul", weight, reshape_to(scale, weight.shape[:1] + (1,) * (weight.ndim - 1)))
    # A transposed convolution's weight is (in, out / groups, *kernel), its groups one after the other.
    groups, (inputs, outputs) = convolution.attrs["groups"], weight.shape[:2]
    blocks = reshape_to(weight, (groups, inputs // groups, outputs, prod(weight.shape[2:])))
    return reshape_to(elementwise("mul", blocks, reshape_to(scale, (groups, 1, outputs, 1))), weight.shape)


def _max_pool(fusion: _Fusion, node: Node) -> bool:
    """In training, pooling takes over the activation before it: the largest of a growing function's values is
    that of the largest argument.

    The gradient then passes the activation at the size of the pooled image.
    """
    before = fusion.producer(node.inputs[0], ACTIVATING)
    if before is not None and _activation(before) != "none" and node.outputs[1] is None:
        node.attrs.update(activation=before.attrs["activation"], alpha=before.attrs["alpha"])
        before.attrs.update(activation="none", alpha=0.0)
    return False


def _flattened_linear(fusion: _Fusion, node: Node) -> bool:
    """A linear layer on flattened images is a convolution whose kernel is as large as the image.

    It reads the activations as they lie in memory (channels-last) instead of rearranging them, and has its
    weight rearranged in turn. That is worth it in inference, where it is done once, unless the weight is so
    large that the copy counts; in training, which does it in every step and the gradient's, too, for weights
    smaller than the activations.
    """

    x, weight, bias, residual = node.inputs
    if x is None or weight is None or x.ndim != 2 or residual is not None or node.outputs[1] is not None:
        return False
    flat = x.node
    if flat is None or flat.op.name != "reshape":
        return False
    image = flat.inputs[0]
    if image is None or image.ndim not in (3, 4, 5) or image.shape[0] != x.shape[0]:
        return False
    kernel = image.shape[2:]
    if prod(kernel) == 1 or image.layout != "channels_last" or not layout_matters(image.shape):
        return False
    packs = choose("forward", x.shape, weight.shape, node.attrs)["packed_floats"] > 0
    small = weight.size < LARGE_COPY if fusion.inference else packs and weight.shape[0] < x.shape[0]
    if not small:
        return False
    zeros = (0,) * len(kernel)
    attrs = {
        "stride": kernel,  # one window; with this stride no other reaches into the padding of its gradient
        "padding_begin": zeros,
        "padding_end": zeros,
        "dilation": (1,) * len(kernel),
        "groups": 1,
    }
    with at(node.path):
        filters = reshape_to(weight, (weight.shape[0], image.shape[1], *kernel))
        y = convolve(image, filters, bias, attrs)
        fusion.graph.nodes[-1].attrs.update(activation=node.attrs["activation"], alpha=node.attrs["alpha"])
        fusion.graph.nodes.append(
            Node(OPS["reshape"], [y], [node.output], {"shape": node.output.shape}, node.path)
        )
    return True


def _inverted_residual(fusion: _Fusion, node: Node) -> bool:
    """In inference, 1x1 expansion, depthwise convolution and 1x1 projection are one step.

    The step keeps a few rows of the activations between them at a time: of all channels where these exceed
    the caches, of a panel of channels where there are few images.
    """

    filtered = fusion.producer(node.inputs[0], ("conv_forward",))
    if filtered is None or not _is_pointwise(node) or not _is_depthwise(filtered):
        return False
    expanded = fusion.producer(filtered.inputs[0], ("conv_forward",))
    if expanded is not None and (not _is_pointwise(expanded) or expanded.inputs[3] is not None):
        expanded = None
    x = present((expanded or filtered).inputs[0])
    expansion = [None, None] if expanded is None else expanded.inputs[1:3]
    inside, weight = present(filtered.inputs[0]), present(filtered.inputs[1])
    algorithm, refused = choose_algorithm(inside.shape, weight.shape, filtered.attrs, expanded is not None)
    if algorithm is None:
        filtered.attrs["unfused"] = (*filtered.attrs.get("unfused", ()), *refused)
        return False
    attrs = {**geometry(filtered.attrs), "algorithm": algorithm}
    for prefix, part in (("expand_", expanded), ("depthwise_", filtered), ("", node)):
        if part is not None:
            attrs |= {prefix + name: part.attrs[name] for name in ("activation", "alpha")}
    inputs = [x, *expansion, *filtered.inputs[1:3], *node.inputs[1:4]]
    block = Node(OPS["inverted_residual"], inputs, [node.output], attrs, filtered.path)
    fusion.graph.nodes.append(block)
    return True


def _pooled_convolution(fusion: _Fusion, node: Node) -> bool:
    """A convolution does the max pooling that alone reads its result; it is not written then.

    The activation comes after the pooling: the largest of a growing function's values is that of the largest
    argument.
    """

    before = fusion.producer(node.inputs[0], ("conv_forward",))
    if before is None or node.outputs[1] is not None:
        return False
    reason = refuse(before, node)
    if reason:
        before.attrs["unfused"] = (*before.attrs.get("unfused", ()), ("conv_pool", reason))
        return False
    attrs = pooled(before, node)
    fusion.graph.nodes.append(Node(OPS["conv_pool"], before.inputs[:3], [node.output], attrs, before.path))
    return True


def _is_pointwise(node: Node) -> bool:
    """Whether a convolution of images multiplies each pixel by one matrix."""
    attrs, kernel = node.attrs, present(node.inputs[1]).shape[2:]
    moved = (*attrs["padding_begin"], *attrs["padding_end"])
    ones = kernel == attrs["stride"] == (1, 1)
    return ones and not any(moved) and attrs["groups"] == 1 and node.outputs[1] is None


def _is_depthwise(node: Node) -> bool:
    """Whether a convolution filters each of several channels on its own."""
    channels, inputs = present(node.inputs[1]).shape[:2]
    return channels == node.attrs["groups"] > 1 and inputs == 1 and node.inputs[3] is None


COMMON_RULES: dict[str, Rule] = {"elementwise": _elementwise, "batch_norm_statistics": _statistics}
INFERENCE_RULES: dict[str, Rule] = {**COMMON_RULES, "batch_norm_apply": _batch_norm}
TRAINING_RULES: dict[str, Rule] = {**COMMON_RULES, "max_pool": _max_pool}
LATE_RULES: dict[str, Rule] = {"conv_forward": _flattened_linear}
BLOCK_RULES: dict[str, Rule] = {"conv_forward": _inverted_residual}
POOL_RULES: dict[str, Rule] = {"max_pool": _pooled_convolution}
