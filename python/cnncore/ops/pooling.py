# SPDX-License-Identifier: Apache-2.0
"""The operations of pooling, over windows and to a given output size, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence, Set
from math import prod
from typing import Any, ClassVar, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import current_graph, emit
from .activation import POOLED_FIRST
from .build import Single, cast, reshape_to, with_layout
from .gather import gather_axis
from .pool_places import input_places
from .window import PLAIN, Epilogue, Window

Grads = Sequence[Tensor | None]


class PoolBackwardInputs(NamedTuple):
    grad: Tensor


class MaxPoolBackwardInputs(NamedTuple):
    """`y` is the result of a pooling with an activation, whose gradient follows from it.

    The addend is added to the gradient: fusion puts there what comes from the input's other users.
    """

    grad: Tensor
    positions: Tensor
    y: Tensor | None = None
    addend: Tensor | None = None


class MaxPoolAttributes(NamedTuple):
    window: Window
    epilogue: Epilogue = PLAIN
    with_index: bool = False
    ceil_mode: bool = False


class MaxPoolBackwardAttributes(NamedTuple):
    window: Window
    input_shape: Shape
    epilogue: Epilogue = PLAIN


class AvgPoolAttributes(NamedTuple):
    """`output` are extents: windows are cut off at the padding, beyond which some may reach."""

    window: Window
    output: Shape
    count_include_pad: bool
    divisor_override: int
    ceil_mode: bool = False


class AvgPoolBackwardAttributes(NamedTuple):
    forward: AvgPoolAttributes
    input_shape: Shape


class AdaptiveAttributes(NamedTuple):
    output: Shape
    with_index: bool = False


class AdaptiveBackwardAttributes(NamedTuple):
    input_shape: Shape


def pool_axis(extent: int, reach: int, stride: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    """Return how many windows an axis has, and the padding at its end that the last ones reach into."""
    room = extent + 2 * padding - reach
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= extent + padding:  # the last window must start inside the input
        count -= 1
    return count, max(padding, (count - 1) * stride + reach - extent - padding)


class _Pool(Op):
    """[x] -> [y, index?]; the index feeds the gradient."""

    reads_parts = ("input",)
    Inputs = Single

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def settings(self, attrs: Any) -> dict[str, Any]:
        """Return the attributes of the step."""
        return {}

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, self.settings(node.attrs))


class _PoolBackward(Op):
    """Gives the gradient by the input, of attrs.input_shape."""

    Inputs: ClassVar[type[Any]] = PoolBackwardInputs

    def infer(self, inputs: Any, attrs: Any) -> list[Spec | None]:
        return [(attrs.input_shape, "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return tuple(self.Inputs._fields)

    def with_batch(self, attrs: Any, batch: int) -> Any:
        return attrs._replace(input_shape=(batch, *attrs.input_shape[1:]))

    def settings(self, attrs: Any) -> dict[str, Any]:
        """Return the attributes of the step."""
        return {}

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, self.settings(node.attrs))


def _window_settings(window: Window) -> dict[str, Any]:
    return {"kernel": window.kernel, **window.settings()}


def _max_settings(attrs: Any) -> dict[str, Any]:
    activates = attrs.epilogue.activation != "none"
    return {**_window_settings(attrs.window), **(attrs.epilogue.settings() if activates else {})}


def _avg_settings(attrs: AvgPoolAttributes) -> dict[str, Any]:
    counted = {"count_include_pad": attrs.count_include_pad, "divisor_override": attrs.divisor_override}
    return {**_window_settings(attrs.window), **counted}


class _Indexed(_Pool):
    """A pooling whose gradient reads the positions of the maxima."""

    def index_dtype(self, attrs: Any) -> str:
        """Return the dtype of positions."""
        return "int32"

    def output(self, x: Tensor, attrs: Any) -> Shape:
        """Return the output's spatial extents."""
        raise NotImplementedError

    def infer(self, inputs: Single, attrs: Any) -> list[Spec | None]:
        x = inputs.input
        shape = (*x.shape[:2], *self.output(x, attrs))
        index: Spec | None = (
            (shape, self.index_dtype(attrs), Layout.CHANNELS_LAST) if attrs.with_index else None
        )
        return [(shape, "float32", Layout.CHANNELS_LAST), index]

    def without(self, node: Node, unread: Set[Tensor]) -> Node:
        if not node.attrs.with_index or node.outputs[1] not in unread:
            return node
        return node.with_(outputs=[node.output, None], with_index=False)

    def positions(self, node: Node) -> Tensor:
        """Return the positions of the maxima; from now on the forward step writes them."""
        if not node.attrs.with_index:
            index = Tensor(node.output.shape, self.index_dtype(node.attrs))
            current_graph().replace({node: node.with_(outputs=[node.output, index], with_index=True)})
            return index
        return present(node.outputs[1])


class MaxPool(_Indexed):
    """Fusion lets it apply an activation to its result."""

    name = "max_pool"
    activates = POOLED_FIRST
    Attributes = MaxPoolAttributes

    def index_dtype(self, attrs: MaxPoolAttributes) -> str:
        return "uint8" if prod(attrs.window.kernel) <= 256 else "int32"

    def output(self, x: Tensor, attrs: MaxPoolAttributes) -> Shape:
        return attrs.window.extents(x.shape[2:])

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        window, epilogue = node.attrs.window, node.attrs.epilogue
        grad, y = with_layout(present(grads[0]), Layout.CHANNELS_LAST), node.output
        gate = None if epilogue.activation == "none" else y
        inputs = MaxPoolBackwardInputs(grad, self.positions(node), gate)
        attrs = MaxPoolBackwardAttributes(window, node.inputs.input.shape, epilogue)
        return [emit(MaxPoolBackward, inputs, attrs).output]

    def settings(self, attrs: MaxPoolAttributes) -> dict[str, Any]:
        return _max_settings(attrs)


class MaxPoolBackward(_PoolBackward):
    """[grad_output, index, y?, addend?] -> [grad_input]."""

    name = "max_pool_backward"
    adds = "addend"
    reads_parts = ("addend",)
    Inputs = MaxPoolBackwardInputs
    Attributes = MaxPoolBackwardAttributes

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        assert node.inputs.y is None  # fused after all but the last differentiation
        grad, window = node.inputs.grad, node.attrs.window
        extents = node.attrs.input_shape[2:]
        places = input_places(node.inputs.positions, window, extents, grad.shape[2:])
        by_result = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        return [_at_places(by_result, places), None, None, by_result if needs.addend else None]

    def settings(self, attrs: MaxPoolBackwardAttributes) -> dict[str, Any]:
        return _max_settings(attrs)


class AvgPool(_Pool):
    name = "avg_pool"
    Attributes = AvgPoolAttributes

    def infer(self, inputs: Single, attrs: AvgPoolAttributes) -> list[Spec | None]:
        return [((*inputs.input.shape[:2], *attrs.output), "float32", Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs = PoolBackwardInputs(with_layout(present(grads[0]), Layout.CHANNELS_LAST))
        attrs = AvgPoolBackwardAttributes(node.attrs, node.inputs.input.shape)
        return [emit(AvgPoolBackward, inputs, attrs).output]

    def settings(self, attrs: AvgPoolAttributes) -> dict[str, Any]:
        return _avg_settings(attrs)


class AvgPoolBackward(_PoolBackward):
    """[grad_output] -> [grad_input]; being linear, its own gradient is average pooling again."""

    name = "avg_pool_backward"
    Attributes = AvgPoolBackwardAttributes

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs = Single(with_layout(present(grads[0]), Layout.CHANNELS_LAST))
        return [emit(AvgPool, inputs, node.attrs.forward).output]

    def settings(self, attrs: AvgPoolBackwardAttributes) -> dict[str, Any]:
        return _avg_settings(attrs.forward)


class AdaptiveAvgPool(_Pool):
    name = "adaptive_avg_pool"
    Attributes = AdaptiveAttributes

    def infer(self, inputs: Single, attrs: AdaptiveAttributes) -> list[Spec | None]:
        return [((*inputs.input.shape[:2], *attrs.output), "float32", Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs = PoolBackwardInputs(with_layout(present(grads[0]), Layout.CHANNELS_LAST))
        attrs = AdaptiveBackwardAttributes(node.inputs.input.shape)
        return [emit(AdaptiveAvgPoolBackward, inputs, attrs).output]


class AdaptiveAvgPoolBackward(_PoolBackward):
    """[grad_output] -> [grad_input]; its own gradient is the pooling again."""

    name = "adaptive_avg_pool_backward"
    Attributes = AdaptiveBackwardAttributes

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs = Single(with_layout(present(grads[0]), Layout.CHANNELS_LAST))
        attrs = AdaptiveAttributes(node.inputs.grad.shape[2:])
        return [emit(AdaptiveAvgPool, inputs, attrs).output]


class AdaptiveMaxPool(_Indexed):
    name = "adaptive_max_pool"
    Attributes = AdaptiveAttributes

    def output(self, x: Tensor, attrs: AdaptiveAttributes) -> Shape:
        return attrs.output

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        inputs = MaxPoolBackwardInputs(
            with_layout(present(grads[0]), Layout.CHANNELS_LAST), self.positions(node)
        )
        attrs = AdaptiveBackwardAttributes(node.inputs.input.shape)
        return [emit(AdaptiveMaxPoolBackward, inputs, attrs).output]


class AdaptiveMaxPoolBackward(_PoolBackward):
    """[grad_output, index] -> [grad_input]."""

    name = "adaptive_max_pool_backward"
    Inputs = MaxPoolBackwardInputs
    Attributes = AdaptiveBackwardAttributes

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        return [_at_places(present(grads[0]), cast(node.inputs.positions, "int64")), None, None, None]


def _at_places(x: Tensor, places: Tensor) -> Tensor:
    """Return the elements at places in each channel, in C order of its elements."""
    rows, wanted = (*x.shape[:2], prod(x.shape[2:])), (*x.shape[:2], prod(places.shape[2:]))
    flat = reshape_to(with_layout(x, Layout.C), rows), reshape_to(with_layout(places, Layout.C), wanted)
    return with_layout(reshape_to(gather_axis(*flat, 2), places.shape), Layout.CHANNELS_LAST)
