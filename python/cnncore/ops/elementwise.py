# SPDX-License-Identifier: Apache-2.0
"""The elementwise operation: every function of it, and their gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from math import pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, layout_matters, present
from .activation import FUSABLE, READS_ARGUMENT
from .build import ElementwiseAttributes, common_layout, elementwise, sum_to
from .check import broadcast_shape
from .slopes import ELEMENTARY


class Elementwise(Op):
    """y = function(a, b, c; alpha, beta) on float32, y = function(a, b, c) on integers and booleans,
    or a change of dtype (function "cast")."""

    name = "elementwise"
    Attributes = ElementwiseAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: ElementwiseAttributes) -> list[Spec | None]:
        first, *others = inputs
        shape = first.shape
        if others:
            shape = broadcast_shape([tensor.shape for tensor in inputs], attrs.function)
        return [(shape, attrs.dtype, common_layout(inputs))]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        grad = present(grads[0])
        function = node.attrs.function
        rules = GRADIENTS.get(function)
        if rules is None:
            raise NotImplementedError(f"{function} has no gradient")
        return [
            sum_to(rule(grad, node), tensor.shape) if need and rule is not None else None
            for rule, tensor, need in zip(rules, node.inputs, needs, strict=False)
        ]

    def to_rearrange(self, node: Node) -> Sequence[Tensor]:
        """Parameters and constants, once and for all."""
        return [x for x in node.inputs if x.source is not None]

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs))

    def is_sum(self, node: Node) -> bool:
        return bool(node.attrs.function == "add" and node.output.dtype == "float32")

    def as_activation(self, node: Node) -> str | None:
        function: str = node.attrs.function
        return function if function in FUSABLE else None

    def is_chainable(self, node: Node) -> bool:
        return not is_cast(node) and node.output.dtype == "float32"

    def lower(self, node: Node, builder: Builder) -> None:
        attrs: dict[str, Any] = {"function": node.attrs.function}
        for name in ("alpha", "beta"):
            value = getattr(node.attrs, name)
            if value != 0.0 or math.copysign(1.0, value) < 0.0:
                attrs[name] = value
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, attrs, in_place(node))


def is_cast(node: Node) -> bool:
    """Whether a node does nothing but change the dtype."""
    return isinstance(node.op, Elementwise) and node.attrs.function == "cast"


class ChainAttributes(NamedTuple):
    """Of each function the name (blanks between), three places of operands (-1: none), alpha and beta.

    `results`, where there are several: of each the number of its function; without, the last one's is the
    only one.
    """

    function: str
    operands: tuple[int, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    results: tuple[int, ...] = ()


CHAIN_INPUTS = range(7)
"""Positions of the inputs that a chain's step takes."""


class ElementwiseChain(Op):
    """Functions of `Elementwise` one after the other."""

    name = "elementwise_chain"
    differentiable = False  # made after differentiation
    reads_parts = CHAIN_INPUTS
    Attributes = ChainAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: ChainAttributes) -> list[Spec | None]:
        shape = broadcast_shape([x.shape for x in inputs], self.name)
        return [(shape, "float32", common_layout(inputs))] * max(1, len(attrs.results))

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs))

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        attrs = node.attrs._asdict()
        several = attrs.pop("results")
        if several:
            builder.step(self.name, inputs, outputs, {**attrs, "results": several})
        else:
            builder.step(self.name, inputs, outputs, attrs, in_place(node))


class Link(NamedTuple):
    """One function of a chain: what it reads, and the tensor it makes."""

    function: str
    reads: tuple[Tensor, ...]
    alpha: float
    beta: float
    output: Tensor


PAIRS = {
    ("add", "mul_scalar"): "scaled_add",
    ("mul_scalar", "mul"): "scaled_mul",
    ("add_scalar", "mul"): "shifted_mul",
}
"""Two functions, the first's result only read by the second, that are one with the same bits."""


def links_of(nodes: Sequence[Node], inputs: Sequence[Tensor]) -> ChainAttributes:
    """Return the attributes of a chain of elementwise nodes that reads `inputs`."""
    links = _paired([_link(node) for node in nodes])
    number = {tensor: i for i, tensor in enumerate([*inputs, *(link.output for link in links)])}
    operands: list[int] = []
    for link in links:
        operands += [*(number[tensor] for tensor in link.reads), *[-1] * (3 - len(link.reads))]
    return ChainAttributes(
        " ".join(link.function for link in links),
        tuple(operands),
        tuple(link.alpha for link in links),
        tuple(link.beta for link in links),
    )


def _link(node: Node) -> Link:
    function, alpha, beta, _ = node.attrs
    return Link(function, node.inputs, alpha, beta, node.output)


def _paired(links: Sequence[Link]) -> list[Link]:
    readers = Counter(tensor for link in links for tensor in link.reads)
    made: dict[Tensor, Link] = {}
    for link in links:
        for i, tensor in enumerate(link.reads):
            first = made.get(tensor)
            both = first and PAIRS.get((first.function, link.function))
            if first and both and readers[tensor] == 1:
                del made[tensor]
                rest = link.reads[:i] + link.reads[i + 1 :]
                alpha = link.alpha if first.function == "add" else first.alpha
                link = Link(both, first.reads + rest, alpha, 0.0, link.output)
                break
        made[link.output] = link
    return list(made.values())


def in_place(node: Node) -> list[tuple[int, int]]:
    """Return the inputs whose memory the output may be."""
    y = node.output
    return [
        (0, i)
        for i, x in enumerate(node.inputs)
        if x.shape == y.shape and x.dtype == y.dtype and (x.layout == y.layout or not layout_matters(x.shape))
    ]


# -- gradients: for each input a function of (gradient of y, node), None for zero ------------------

Rule = Callable[[Tensor, Node], Tensor]


def _backward(function: str, saved: str) -> tuple[Rule]:
    """The rule of a unary function whose kernel `<function>_backward` takes the result or the argument."""

    def rule(grad: Tensor, node: Node) -> Tensor:
        other = node.output if saved == "result" else _x(node, 0)
        alpha, beta = node.attrs.alpha, node.attrs.beta
        return elementwise(f"{function}_backward", grad, other, alpha=alpha, beta=beta)

    return (rule,)


def _x(node: Node, i: int) -> Tensor:
    operand: Tensor = node.inputs[i]
    return operand


def _neg(grad: Tensor) -> Tensor:
    return elementwise("neg", grad)


def _product(first: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        first = elementwise("mul", first, other)
    return first


def _scaled(x: Tensor, factor: float) -> Tensor:
    return elementwise("mul_scalar", x, alpha=factor)


def _affine(x: Tensor, factor: float, term: float) -> Tensor:
    return elementwise("add_scalar", _scaled(x, factor) if factor != 1.0 else x, alpha=term)


def _where_not_positive(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return a b, and 0 where x is positive."""
    return elementwise("min_scalar_backward", _product(a, b), x)


def _again(function: str) -> Rule:
    """The rule of `<function>_backward`, which is linear in the gradient, with respect to that gradient."""

    def rule(grad: Tensor, node: Node) -> Tensor:
        alpha, beta = node.attrs.alpha, node.attrs.beta
        _, *others = node.inputs
        return elementwise(f"{function}_backward", grad, *others, alpha=alpha, beta=beta)

    return rule


def _over_square(grad: Tensor, node: Node, x: Tensor) -> Tensor:
    """The second derivative -1 / x^2 of ln x, times both gradients."""
    return _neg(elementwise("div", _product(grad, _x(node, 0)), elementwise("square", x)))


def _second_power(grad: Tensor, node: Node) -> Tensor:
    """a (a - 1) x^(a - 2), times both gradients."""
    alpha = node.attrs.alpha
    slope = elementwise("pow_scalar_backward", _product(grad, _x(node, 0)), _x(node, 1), alpha=alpha - 1.0)
    return _scaled(slope, alpha)


def _curvature_of_silu(x: Tensor) -> Tensor:
    """s (1 - s) (2 + x (1 - 2 s)), s the sigmoid of x."""
    s = elementwise("sigmoid", x)
    sum_ = _affine(_product(x, _affine(s, -2.0, 1.0)), 1.0, 2.0)
    return elementwise("sigmoid_backward", sum_, s)


def _curvature_of_gelu(x: Tensor) -> Tensor:
    """The standard normal density times 2 - x^2."""
    square = elementwise("square", x)
    density = _scaled(elementwise("exp", _scaled(square, -0.5)), 1 / sqrt(2 * pi))
    return elementwise("mul", density, elementwise("rsub_scalar", square, alpha=2.0))


def _curvature_of_mish(x: Tensor) -> Tensor:
    """u (2 + x (1 - s - 2 t s)), t = tanh(softplus(x)), s = sigmoid(x), u = (1 - t^2) s."""
    s, t = elementwise("sigmoid", x), elementwise("tanh", elementwise("softplus", x))
    inner = elementwise("rsub_scalar", _product(s, _affine(t, 2.0, 1.0)), alpha=1.0)
    return elementwise("tanh_backward", _product(_affine(_product(x, inner), 1.0, 2.0), s), t)


def _curve_of_elu(grad: Tensor, node: Node) -> Tensor:
    """alpha e^x where x <= 0, times both gradients."""
    x = _x(node, 1)
    slope = elementwise("elu_backward", _product(grad, _x(node, 0)), x, alpha=node.attrs.alpha)
    return elementwise("select", elementwise("greater", x, _zero()), _zero(), slope)


def _slope_by_exponent(grad: Tensor, base: Tensor, exponent: Tensor) -> Tensor:
    """The derivative b^(c - 1) (1 + c ln b) of c b^(c - 1) with respect to c, times the gradient."""
    power = elementwise("pow", base, _affine(exponent, 1.0, -1.0))
    by_power = elementwise("pow_exponent_backward", _product(grad, exponent), base, power)
    return elementwise("add", _product(grad, power), by_power)


_pass: Rule = lambda g, n: g  # noqa: E731

GRADIENTS: dict[str, tuple[Rule | None, ...]] = {
    **{f: _backward(f, "argument" if f in READS_ARGUMENT else "result") for f in FUSABLE},
    **{f: _backward(f, "result") for f in ("sqrt", "rsqrt", "reciprocal")},
    **{f: _backward(f, "argument") for f in ("clamp", "log", "log1p", "abs", "square")},
    **{f: _backward(f, "argument") for f in ("pow_scalar", "max_scalar", "min_scalar")},
    "exp": (lambda g, n: elementwise("mul", g, n.output),),
    "expm1": (lambda g, n: elementwise("add", g, elementwise("mul", g, n.output)),),
    **ELEMENTARY,
    "neg": (lambda g, n: _neg(g),),
    **dict.fromkeys(("sign", "floor", "ceil", "trunc", "round", "logical_not"), (None,)),
    "cast": (_pass,),
    "add_scalar": (_pass,),
    "mul_scalar": (lambda g, n: elementwise("mul_scalar", g, alpha=n.attrs.alpha),),
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
    "prelu": (
        lambda g, n: elementwise("prelu_backward", g, _x(n, 0), _x(n, 1)),
        lambda g, n: elementwise("prelu_weight_backward", g, _x(n, 0)),
    ),
    "floor_divide": (None, None),
    "remainder": (
        _pass,
        lambda g, n: _neg(elementwise("mul", g, elementwise("floor_divide", _x(n, 0), _x(n, 1)))),
    ),
    **dict.fromkeys(("greater", "greater_equal", "equal", "not_equal"), (None, None)),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), (None, None)),
    "select": (
        None,
        lambda g, n: elementwise("select", _x(n, 0), g, _zero()),
        lambda g, n: elementwise("select", _x(n, 0), _zero(), g),
    ),
    # What gradients are made of has gradients itself. First those of piecewise linear functions.
    **{
        f"{f}_backward": (_again(f), None)
        for f in ("relu", "leaky_relu", "relu6", "clamp", "abs", "max_scalar", "min_scalar", "hardsigmoid")
    },
    **{f"{f}_backward": (_again(f), None, None) for f in ("maximum", "minimum")},
    "prelu_backward": (_again("prelu"), None, lambda g, n: _where_not_positive(_x(n, 1), g, _x(n, 0))),
    "prelu_weight_backward": (
        lambda g, n: elementwise("prelu_weight_backward", g, _x(n, 1)),
        lambda g, n: _where_not_positive(_x(n, 1), g, _x(n, 0)),
    ),
    "square_backward": (
        lambda g, n: elementwise("square_backward", g, _x(n, 1)),
        lambda g, n: elementwise("square_backward", g, _x(n, 0)),
    ),
    # With respect to the first gradient a `_backward` is itself; y is what it read.
    "sigmoid_backward": (
        _again("sigmoid"),
        lambda g, n: _product(g, _x(n, 0), _affine(_x(n, 1), -2.0, 1.0)),
    ),
    "tanh_backward": (
        _again("tanh"),
        lambda g, n: _product(g, _x(n, 0), _scaled(_x(n, 1), -2.0)),
    ),
    "silu_backward": (_again("silu"), lambda g, n: _product(_curvature_of_silu(_x(n, 1)), g, _x(n, 0))),
    "gelu_backward": (_again("gelu"), lambda g, n: _product(_curvature_of_gelu(_x(n, 1)), g, _x(n, 0))),
    "mish_backward": (_again("mish"), lambda g, n: _product(_curvature_of_mish(_x(n, 1)), g, _x(n, 0))),
    "hardswish_backward": (
        _again("hardswish"),
        lambda g, n: _scaled(elementwise("hardsigmoid_backward", _product(g, _x(n, 0)), _x(n, 1)), 2.0),
    ),
    "elu_backward": (_again("elu"), lambda g, n: _curve_of_elu(g, n)),
    "softplus_backward": (
        _again("softplus"),
        lambda g, n: elementwise("sigmoid_backward", _product(g, _x(n, 0)), elementwise("sigmoid", _x(n, 1))),
    ),
    "log_backward": (_again("log"), lambda g, n: _over_square(g, n, _x(n, 1))),
    "log1p_backward": (_again("log1p"), lambda g, n: _over_square(g, n, _affine(_x(n, 1), 1.0, 1.0))),
    "sqrt_backward": (_again("sqrt"), lambda g, n: _scaled(_over_square(g, n, _x(n, 1)), 0.5)),
    "rsqrt_backward": (
        _again("rsqrt"),
        lambda g, n: _scaled(_product(g, _x(n, 0), elementwise("square", _x(n, 1))), -1.5),
    ),
    "reciprocal_backward": (
        _again("reciprocal"),
        lambda g, n: _scaled(_product(g, _x(n, 0), _x(n, 1)), -2.0),
    ),
    "pow_scalar_backward": (_again("pow_scalar"), lambda g, n: _second_power(g, n)),
    "pow_base_backward": (
        _again("pow_base"),
        lambda g, n: elementwise(
            "pow_base_backward", _product(g, _x(n, 0), _x(n, 2)), _x(n, 1), _affine(_x(n, 2), 1.0, -1.0)
        ),
        lambda g, n: _slope_by_exponent(_product(g, _x(n, 0)), _x(n, 1), _x(n, 2)),
    ),
    "pow_exponent_backward": (
        _again("pow_exponent"),
        lambda g, n: elementwise("div", _product(g, _x(n, 0), _x(n, 2)), _x(n, 1)),
        lambda g, n: elementwise("pow_exponent_backward", _product(g, _x(n, 0)), _x(n, 1), _one()),
    ),
}


def _zero() -> Tensor:
    return Tensor((), "float32", Layout.C, np.zeros((), np.float32))


def _one() -> Tensor:
    return Tensor((), "float32", Layout.C, np.ones((), np.float32))
