# SPDX-License-Identifier: Apache-2.0
"""The operations of convolution: forward and both gradients. A linear layer is one without spatial axes."""

from __future__ import annotations

from collections.abc import Sequence, Set
from math import prod
from typing import Any, ClassVar, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import emit
from .activation import FUSABLE, activation_backward
from .algorithm import Algorithm, choose, geometry, pack
from .build import expand_to, reduce, reshape_to, with_layout
from .window import PLAIN, Epilogue, Window

Grads = Sequence[Tensor | None]


class Convolution(Op):
    """An operation that has one of the machine's algorithms of convolution.

    attrs: window, groups, and algorithm, which `compiler/choose.py` enters.
    """

    direction: ClassVar[str]

    def problem(self, node: Node) -> tuple[Shape, Shape]:
        """Return the shapes of the convolution's input and weight."""
        return node.inputs.input.shape, node.inputs.weight.shape

    def pool(self, node: Node) -> Window | None:
        """Return the max pooling that is done with the convolution."""
        return None

    def choose(self, node: Node, accuracy: str, name: str = "", declined: str = "") -> Algorithm:
        """Return the machine's algorithm for a node, or what it says of the one of this `name`."""
        shapes, attrs = self.problem(node), node.attrs
        pool = self.pool(node)
        return choose(self.direction, *shapes, attrs.window, attrs.groups, pool, accuracy, name, declined)


def with_algorithm(node: Node, accuracy: str, name: str = "", declined: str = "") -> Node:
    """Return a convolution by the machine's choice or, where it is given, by the algorithm of this `name`.

    `declined` is "<the machine's choice>: <why it is not taken>"; "": measured to be slower.
    """
    assert isinstance(node.op, Convolution)
    if any(tensor is not None and 0 in tensor.shape for tensor in node.inputs):
        return node  # it has no step
    return node.with_(algorithm=node.op.choose(node, accuracy, name, declined))


class ConvInputs(NamedTuple):
    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None


class ConvAttributes(NamedTuple):
    """`unfused` are fusions that were not done, each with the reason."""

    window: Window
    groups: int
    epilogue: Epilogue = PLAIN
    keeps_argument: bool = False
    statistics_rows: int = 0
    algorithm: Algorithm | None = None
    unfused: tuple[tuple[str, str], ...] = ()


class ConvForward(Convolution):
    """[input, weight, bias?, residual?] -> [activation(conv + bias + residual), statistics?, argument?].

    The argument of the activation is there with attrs.keeps_argument, for the activation's gradient.
    """

    name = "conv_forward"
    direction = "forward"
    adds = "residual"
    activates = FUSABLE
    argument_output = 2
    Inputs = ConvInputs
    Attributes = ConvAttributes

    def infer(self, inputs: ConvInputs, attrs: ConvAttributes) -> list[Spec | None]:
        x, weight = inputs.input, inputs.weight
        shape = (x.shape[0], weight.shape[0], *attrs.window.extents(x.shape[2:]))
        rows = attrs.statistics_rows
        statistics: Spec | None = ((rows, 3, weight.shape[0]), "float32", Layout.C) if rows else None
        y: Spec = (shape, "float32", Layout.CHANNELS_LAST)
        return [y, statistics, *([y] if attrs.keeps_argument else [])]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, weight, attrs = node.inputs.input, node.inputs.weight, node.attrs
        needs_bias = needs.bias
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        grad_weight = grad_bias = grad_input = None
        if attrs.epilogue.activation != "none":
            grad, grad_bias = activation_backward(grad, _gating(node), attrs.epilogue, needs_bias)
            needs_bias = False
        if needs.weight:
            grad_weight, sums = backward_weight(x, grad, attrs.window, attrs.groups, weight.shape, needs_bias)
            grad_bias = grad_bias if sums is None else sums
        elif needs_bias:
            grad_bias = reduce("sum", grad, (0, *range(2, grad.ndim)))
        if needs.input:
            grad_input = backward_data(grad, weight, x.shape, attrs.window, attrs.groups)
        return [grad_input, grad_weight, grad_bias, grad if needs.residual else None]

    def flops(self, node: Node) -> int:
        return 2 * node.output.size * prod(present(node.inputs.weight).shape[1:])

    def without(self, node: Node, unread: Set[Tensor]) -> Node:
        node = _without_argument(node, unread)
        if node.outputs[1] not in unread:
            return node
        return node.with_(outputs=[node.output, None, *node.outputs[2:]], statistics_rows=0)

    def images(self, node: Node) -> Sequence[str]:
        return ("input", "residual")

    def with_batch(self, attrs: ConvAttributes, batch: int) -> ConvAttributes:
        return attrs._replace(algorithm=None)

    def reads_joined(self, node: Node, channels: int) -> bool:
        parts: int = node.attrs.algorithm.input_parts
        return parts > 0 and channels % parts == 0

    def maps_rows(self, node: Node) -> str | None:
        return "input" if node.inputs.input.ndim == 2 and node.inputs.residual is None else None

    def writes_parts(self, node: Node) -> bool:
        return _writes_parts(node)

    def lower(self, node: Node, builder: Builder) -> None:
        x, weight, *rest = node.inputs
        attrs, algorithm = node.attrs, node.attrs.algorithm
        packed = pack(builder, "forward", weight, x.shape, geometry(attrs.window, attrs.groups), algorithm)
        first, *second = builder.joined_slots(x)
        inputs = [first, packed, *builder.slots(rest), *second]
        refused = [*attrs.unfused, *algorithm.refused]
        builder.step(
            self.name, inputs, builder.slots(node.outputs), step_settings(node), _in_place(algorithm), refused
        )


class TransposedInputs(NamedTuple):
    grad: Tensor
    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None


class BackwardDataAttributes(NamedTuple):
    """`input_shape` is that of the convolution's input, which is the output here."""

    window: Window
    groups: int
    input_shape: Shape
    epilogue: Epilogue = PLAIN
    keeps_argument: bool = False
    algorithm: Algorithm | None = None


class ConvBackwardData(Convolution):
    """[grad_output, weight, bias?, residual?] -> [activation(grad_input + bias + residual), -, argument?].

    It is also the transposed convolution.
    """

    name = "conv_backward_data"
    direction = "backward_data"
    adds = "residual"
    activates = FUSABLE
    argument_output = 2
    Inputs = TransposedInputs
    Attributes = BackwardDataAttributes

    def problem(self, node: Node) -> tuple[Shape, Shape]:
        return node.attrs.input_shape, node.inputs.weight.shape

    def infer(self, inputs: TransposedInputs, attrs: BackwardDataAttributes) -> list[Spec | None]:
        y: Spec = (attrs.input_shape, "float32", Layout.CHANNELS_LAST)
        return [y, None, y] if attrs.keeps_argument else [y]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad_output, weight, attrs = node.inputs.grad, node.inputs.weight, node.attrs
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        grad_bias = again = grad_weight = None
        if attrs.epilogue.activation != "none":
            grad, grad_bias = activation_backward(grad, _gating(node), attrs.epilogue, needs.bias)
        elif needs.bias:
            grad_bias = reduce("sum", grad, (0, *range(2, grad.ndim)))
        if needs.grad:
            again = convolve(grad, weight, None, attrs.window, attrs.groups)
        if needs.weight:
            window, groups = attrs.window, attrs.groups
            grad_weight, _ = backward_weight(grad, grad_output, window, groups, weight.shape, False)
        return [again, grad_weight, grad_bias, grad if needs.residual else None]

    def without(self, node: Node, unread: Set[Tensor]) -> Node:
        return _without_argument(node, unread)

    def images(self, node: Node) -> Sequence[str]:
        return ("grad", "residual")

    def with_batch(self, attrs: BackwardDataAttributes, batch: int) -> BackwardDataAttributes:
        return attrs._replace(input_shape=(batch, *attrs.input_shape[1:]), algorithm=None)

    def writes_parts(self, node: Node) -> bool:
        return _writes_parts(node)

    def lower(self, node: Node, builder: Builder) -> None:
        grad, weight, *rest = node.inputs
        attrs, algorithm = node.attrs, node.attrs.algorithm
        settings = geometry(attrs.window, attrs.groups)
        packed = pack(builder, self.direction, weight, attrs.input_shape, settings, algorithm)
        inputs = [builder.slot(grad), packed, *builder.slots(rest)]
        outputs, inplace = builder.slots(node.outputs), _in_place(algorithm)
        builder.step(self.name, inputs, outputs, step_settings(node), inplace, algorithm.refused)


class BackwardWeightInputs(NamedTuple):
    input: Tensor
    grad: Tensor


class BackwardWeightAttributes(NamedTuple):
    window: Window
    groups: int
    weight_shape: Shape
    with_bias: bool
    algorithm: Algorithm | None = None


class ConvBackwardWeight(Convolution):
    """[input, grad_output] -> [grad_weight, grad_bias?]."""

    name = "conv_backward_weight"
    direction = "backward_weight"
    Inputs = BackwardWeightInputs
    Attributes = BackwardWeightAttributes

    def problem(self, node: Node) -> tuple[Shape, Shape]:
        return node.inputs.input.shape, node.attrs.weight_shape

    def infer(self, inputs: BackwardWeightInputs, attrs: BackwardWeightAttributes) -> list[Spec | None]:
        shape = attrs.weight_shape
        return [(shape, "float32", Layout.C), ((shape[0],), "float32", Layout.C) if attrs.with_bias else None]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        (x, grad_output), attrs = node.inputs, node.attrs
        by_weight, by_bias = grads
        if by_weight is None:
            spread = reshape_to(present(by_bias), (1, grad_output.shape[1]) + (1,) * (x.ndim - 2))
            return [None, expand_to(spread, grad_output.shape)]
        weight = with_layout(by_weight, Layout.C)
        window, groups = attrs.window, attrs.groups
        return [
            backward_data(grad_output, weight, x.shape, window, groups) if needs.input else None,
            convolve(x, weight, by_bias, window, groups) if needs.grad else None,
        ]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs, algorithm = node.attrs, node.attrs.algorithm
        settings = {**geometry(attrs.window, attrs.groups), "algorithm": algorithm.name}
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, settings, refused=algorithm.refused)


def _gating(node: Node) -> Tensor:
    """Return what the gradient of a node's activation reads."""
    if not node.attrs.keeps_argument:
        return node.output
    *_, argument = node.outputs
    return present(argument)


def _without_argument(node: Node, unread: Set[Tensor]) -> Node:
    """Return a node that does not keep the argument of its activation where nobody reads it."""
    if not node.attrs.keeps_argument or node.outputs[2] not in unread:
        return node
    return node.with_(outputs=node.outputs[:2], keeps_argument=False)


def _writes_parts(node: Node) -> bool:
    pitched: bool = node.attrs.algorithm.pitched_output
    return pitched and node.inputs.residual is None and not node.attrs.keeps_argument


def _in_place(algorithm: Algorithm) -> tuple[tuple[int, int], ...]:
    """Return the residual's place in the list of inputs, where the output may be its memory."""
    return ((0, ConvInputs._fields.index("residual")),) if algorithm.residual_in_place else ()


def step_settings(node: Node, pool: Window | None = None) -> dict[str, Any]:
    """Return the attributes of the step of a convolution, of its gradient by the input, or with pooling."""
    attrs = node.attrs
    return {
        **geometry(attrs.window, attrs.groups, pool),
        **attrs.epilogue.settings(),
        "weight_shape": node.inputs.weight.shape,
        "algorithm": attrs.algorithm.name,
        **({"one_order": 1} if attrs.algorithm.one_order else {}),
    }


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """Add a convolution without activation."""
    inputs = ConvInputs(with_layout(x, Layout.CHANNELS_LAST), with_layout(weight, Layout.C), bias)
    return emit(ConvForward, inputs, ConvAttributes(window, groups)).output


def backward_data(
    grad: Tensor, weight: Tensor, input_shape: Shape, window: Window, groups: int, bias: Tensor | None = None
) -> Tensor:
    """Add the gradient of a convolution by its input; with `bias`, a transposed convolution."""
    inputs = TransposedInputs(with_layout(grad, Layout.CHANNELS_LAST), with_layout(weight, Layout.C), bias)
    return emit(ConvBackwardData, inputs, BackwardDataAttributes(window, groups, input_shape)).output


def backward_weight(
    x: Tensor, grad: Tensor, window: Window, groups: int, weight_shape: Shape, with_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Add the gradient of a convolution by its weight, and by its bias on demand."""
    attrs = BackwardWeightAttributes(window, groups, weight_shape, with_bias)
    by_weight, by_bias = emit(ConvBackwardWeight, BackwardWeightInputs(x, grad), attrs).outputs
    return present(by_weight), by_bias
