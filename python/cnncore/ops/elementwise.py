# SPDX-License-Identifier: Apache-2.0
"""Operations on each element, with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log as log_of
from typing import Any

import numpy as np

from ..graph.eager import operator
from ..graph.lower import Builder
from ..graph.op import OPS, Op, Spec
from ..graph.tensor import Node, Tensor, layout_matters, present
from ..graph.trace import dtype_error, emit
from .check import broadcast_shape, float_tensor, is_number


class Elementwise(Op):
    """y = function(a, b, c; alpha, beta) on float32, or a change of dtype (function "cast")."""

    name = "elementwise"

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        tensors = [tensor for tensor in inputs if tensor is not None]
        shape = tensors[0].shape
        if len(tensors) > 1:
            shape = broadcast_shape([tensor.shape for tensor in tensors], attrs["function"])
        return [(shape, attrs.get("dtype", "float32"), common_layout(tensors))]

    def gradient(
        self, node: Node, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        grad = present(grads[0])
        function = node.attrs["function"]
        rules = GRADIENTS.get(function)
        if rules is None:
            raise NotImplementedError(f"{function} has no gradient")
        return [
            sum_to(rule(grad, node), tensor.shape) if need and rule is not None else None
            for rule, tensor, need in zip(rules, _inputs(node), needs, strict=False)
        ]

    def lower(self, node: Node, builder: Builder) -> None:
        y = node.output
        same = [
            (0, i)
            for i, x in enumerate(_inputs(node))
            if x.shape == y.shape
            and x.dtype == y.dtype
            and (x.layout == y.layout or not layout_matters(x.shape))
        ]
        attrs = {key: value for key, value in node.attrs.items() if key != "dtype"}
        builder.step("elementwise", builder.slots(node.inputs), builder.slots(node.outputs), attrs, same)


def common_layout(tensors: Sequence[Tensor]) -> str:
    """Return the layout of what is computed from `tensors`: channels-last if it is that of any activation."""
    deciding = [tensor for tensor in tensors if layout_matters(tensor.shape)] or tensors
    return "channels_last" if any(tensor.layout == "channels_last" for tensor in deciding) else "c"


def _inputs(node: Node) -> list[Tensor]:
    return [tensor for tensor in node.inputs if tensor is not None]


def elementwise(function: str, *inputs: Tensor, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    """Add an elementwise node; `function` is one of those in cpp/isa/kernels/elementwise.cpp."""
    if len(inputs) > 1:
        inputs = _same_layout(inputs)
    attrs: dict[str, Any] = {"function": function}
    if alpha != 0.0:
        attrs["alpha"] = float(alpha)
    if beta != 0.0:
        attrs["beta"] = float(beta)
    return emit(OPS["elementwise"], inputs, attrs).output


def _same_layout(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Rearrange parameters and constants, once and for all, to the layout of the activations."""
    from .shape import with_layout

    if common_layout(inputs) == "c":
        return inputs
    return tuple(x if x.source is None else with_layout(x, "channels_last") for x in inputs)


def cast(tensor: Tensor, dtype: str) -> Tensor:
    """Return `tensor` as another dtype."""
    if tensor.dtype == dtype:
        return tensor
    return emit(OPS["elementwise"], [tensor], {"function": "cast", "dtype": dtype}).output


def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum over the axes along which an operand of `shape` was broadcast."""
    from .reduce import reduce
    from .shape import reshape_to

    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = [*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and grad.shape[i + extra] != 1)]
    return reshape_to(reduce("sum", grad, tuple(axes)) if axes else grad, shape)


# -- gradients: for each input a function of (gradient of y, node), None for zero ------------------

Rule = Callable[[Tensor, Node], Tensor]


def _backward(function: str, saved: str) -> tuple[Rule]:
    """The rule of a unary function whose kernel `<function>_backward` takes the result or the argument."""

    def rule(grad: Tensor, node: Node) -> Tensor:
        other = node.output if saved == "result" else present(node.inputs[0])
        alpha, beta = node.attrs.get("alpha", 0.0), node.attrs.get("beta", 0.0)
        return elementwise(f"{function}_backward", grad, other, alpha=alpha, beta=beta)

    return (rule,)


def _x(node: Node, i: int) -> Tensor:
    return present(node.inputs[i])


def _neg(grad: Tensor) -> Tensor:
    return elementwise("neg", grad)


_pass: Rule = lambda g, n: g  # noqa: E731

GRADIENTS: dict[str, tuple[Rule | None, ...]] = {
    **{f: _backward(f, "result") for f in ("relu", "leaky_relu", "relu6", "elu", "sigmoid", "tanh")},
    **{f: _backward(f, "result") for f in ("sqrt", "rsqrt", "reciprocal")},
    **{f: _backward(f, "argument") for f in ("clamp", "silu", "hard_sigmoid", "hard_swish", "softplus")},
    **{f: _backward(f, "argument") for f in ("log", "log1p", "abs", "square", "pow_scalar")},
    **{f: _backward(f, "argument") for f in ("max_scalar", "min_scalar")},
    "exp": (lambda g, n: elementwise("mul", g, n.output),),
    "neg": (lambda g, n: _neg(g),),
    "sign": (None,),
    "cast": (_pass,),
    "add_scalar": (_pass,),
    "mul_scalar": (lambda g, n: elementwise("mul_scalar", g, alpha=n.attrs.get("alpha", 0.0)),),
    "rsub_scalar": (lambda g, n: _neg(g),),
    "rdiv_scalar": (lambda g, n: _neg(elementwise("div", elementwise("mul", g, n.output), _x(n, 0))),),
    "add": (_pass, _pass),
    "sub": (_pass, lambda g, n: _neg(g)),
    "mul": (lambda g, n: elementwise("mul", g, _x(n, 1)), lambda g, n: elementwise("mul", g, _x(n, 0))),
    "div": (
        lambda g, n: elementwise("div", g, _x(n, 1)),
        lambda g, n: _neg(elementwise("div", elementwise("mul", g, n.output), _x(n, 1))),
    ),
    "maximum": (
        lambda g, n: elementwise("maximum_backward", g, _x(n, 0), _x(n, 1)),
        lambda g, n: elementwise("maximum_backward", g, _x(n, 1), _x(n, 0)),
    ),
    "minimum": (
        lambda g, n: elementwise("minimum_backward", g, _x(n, 0), _x(n, 1)),
        lambda g, n: elementwise("minimum_backward", g, _x(n, 1), _x(n, 0)),
    ),
    "pow": (
        lambda g, n: elementwise("pow_base_backward", g, _x(n, 0), _x(n, 1)),
        lambda g, n: elementwise("pow_exponent_backward", g, _x(n, 0), n.output),
    ),
    "greater": (None, None),
    "greater_equal": (None, None),
    "equal": (None, None),
    "select": (
        None,
        lambda g, n: elementwise("select", _x(n, 0), g, _zero()),
        lambda g, n: elementwise("select", _x(n, 0), _zero(), g),
    ),
    # What gradients are made of has gradients itself: second derivatives of piecewise linear functions.
    "relu_backward": (lambda g, n: elementwise("relu_backward", g, _x(n, 1)), None),
    "leaky_relu_backward": (
        lambda g, n: elementwise("leaky_relu_backward", g, _x(n, 1), alpha=n.attrs.get("alpha", 0.0)),
        None,
    ),
    "relu6_backward": (lambda g, n: elementwise("relu6_backward", g, _x(n, 1)), None),
    "square_backward": (
        lambda g, n: elementwise("square_backward", g, _x(n, 1)),
        lambda g, n: elementwise("square_backward", g, _x(n, 0)),
    ),
}


def _zero() -> Tensor:
    return Tensor((), "float32", "c", np.zeros((), np.float32))


# -- public functions ------------------------------------------------------------------------------


def _binary(
    function: str, a: Any, b: Any, right_scalar: str | None, left_scalar: str | None, sign: float = 1.0
) -> Tensor:
    """Combine two operands; a number becomes a setting of the node where a scalar function exists."""
    if is_number(a) and is_number(b):
        raise dtype_error(function, "expected at least one array or tensor, got two numbers")
    if is_number(b) and right_scalar is not None:
        return elementwise(right_scalar, float_tensor(a, function), alpha=sign * float(b))
    if is_number(a) and left_scalar is not None:
        return elementwise(left_scalar, float_tensor(b, function), alpha=float(a))
    return elementwise(function, float_tensor(a, function), float_tensor(b, function))


@operator("input", "other")
def add(input: Any, other: Any) -> Tensor:
    """Return input + other.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.add(np.ones((2, 3)), np.arange(3)).tolist()
    [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    """
    return _binary("add", input, other, "add_scalar", "add_scalar")


@operator("input", "other")
def sub(input: Any, other: Any) -> Tensor:
    """Return input - other.

    >>> from cnncore import ops
    >>> ops.sub(1, [0.5, 2]).tolist()
    [0.5, -1.0]
    """
    return _binary("sub", input, other, "add_scalar", "rsub_scalar", sign=-1.0)


@operator("input", "other")
def mul(input: Any, other: Any) -> Tensor:
    """Return input * other.

    >>> from cnncore import ops
    >>> ops.mul([1, 2], [3, 4]).tolist()
    [3.0, 8.0]
    """
    return _binary("mul", input, other, "mul_scalar", "mul_scalar")


@operator("input", "other")
def div(input: Any, other: Any) -> Tensor:
    """Return input / other; division by zero gives infinities and NaN as in numpy.

    >>> from cnncore import ops
    >>> ops.div([1, 2], 4).tolist()
    [0.25, 0.5]
    """
    return _binary("div", input, other, None, "rdiv_scalar")


@operator("input", "other")
def maximum(input: Any, other: Any) -> Tensor:
    """Return the larger of two values for each element; NaN where either is NaN.

    >>> from cnncore import ops
    >>> ops.maximum([1, 5], 3).tolist()
    [3.0, 5.0]
    """
    return _binary("maximum", input, other, "max_scalar", "max_scalar")


@operator("input", "other")
def minimum(input: Any, other: Any) -> Tensor:
    """Return the smaller of two values for each element; NaN where either is NaN.

    >>> from cnncore import ops
    >>> ops.minimum([1, 5], 3).tolist()
    [1.0, 3.0]
    """
    return _binary("minimum", input, other, "min_scalar", "min_scalar")


@operator("input", "exponent")
def pow(input: Any, exponent: Any) -> Tensor:
    """Return input ** exponent.

    >>> from cnncore import ops
    >>> ops.pow([1, 2, 3], 2).tolist()
    [1.0, 4.0, 9.0]
    """
    if is_number(exponent) and not is_number(input):
        x = float_tensor(input, "pow")
        if exponent == 2:
            return elementwise("square", x)
        if exponent == 0.5:
            return elementwise("sqrt", x)
        if exponent == -1:
            return elementwise("reciprocal", x)
        return elementwise("pow_scalar", x, alpha=float(exponent))
    if is_number(input) and input > 0 and not is_number(exponent):
        scaled = elementwise("mul_scalar", float_tensor(exponent, "pow"), alpha=log_of(input))
        return elementwise("exp", scaled)
    return _binary("pow", input, exponent, None, None)


@operator("input", "other")
def greater(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input > other, 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.greater([1, 5], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("greater", input, other, None, None)


@operator("input", "other")
def greater_equal(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input >= other, 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.greater_equal([1, 3], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("greater_equal", input, other, None, None)


@operator("input", "other")
def equal(input: Any, other: Any) -> Tensor:
    """Return 1.0 where input == other (compared as float32), 0.0 elsewhere. Its gradient is zero.

    >>> from cnncore import ops
    >>> ops.equal([1, 3], 3).tolist()
    [0.0, 1.0]
    """
    return _binary("equal", input, other, None, None)


@operator("condition", "input", "other")
def where(condition: Any, input: Any, other: Any) -> Tensor:
    """Return `input` where `condition` is not zero, `other` elsewhere.

    >>> from cnncore import ops
    >>> ops.where([1, 0], [1, 2], -1).tolist()
    [1.0, -1.0]
    """
    return elementwise("select", *(float_tensor(x, "where") for x in (condition, input, other)))


@operator("input")
def exp(input: Any) -> Tensor:
    """Return e ** input.

    >>> from cnncore import ops
    >>> ops.exp([0]).tolist()
    [1.0]
    """
    return elementwise("exp", float_tensor(input, "exp"))


@operator("input")
def log(input: Any) -> Tensor:
    """Return the natural logarithm: -inf at 0, NaN below.

    >>> from cnncore import ops
    >>> ops.log([1]).tolist()
    [0.0]
    """
    return elementwise("log", float_tensor(input, "log"))


@operator("input")
def sqrt(input: Any) -> Tensor:
    """Return the square root; NaN below 0.

    >>> from cnncore import ops
    >>> ops.sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """
    return elementwise("sqrt", float_tensor(input, "sqrt"))


@operator("input")
def abs(input: Any) -> Tensor:
    """Return the absolute value.

    >>> from cnncore import ops
    >>> ops.abs([-4, 9]).tolist()
    [4.0, 9.0]
    """
    return elementwise("abs", float_tensor(input, "abs"))


@operator("input")
def neg(input: Any) -> Tensor:
    """Return -input.

    >>> from cnncore import ops
    >>> ops.neg([-4, 9]).tolist()
    [4.0, -9.0]
    """
    return elementwise("neg", float_tensor(input, "neg"))


@operator("input")
def square(input: Any) -> Tensor:
    """Return input * input.

    >>> from cnncore import ops
    >>> ops.square([-4, 9]).tolist()
    [16.0, 81.0]
    """
    return elementwise("square", float_tensor(input, "square"))
