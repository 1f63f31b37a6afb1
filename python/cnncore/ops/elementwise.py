# SPDX-License-Identifier: Apache-2.0
"""The elementwise operation: every function of it, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, sqrt
from typing import Any

import numpy as np

from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, layout_matters, present
from .activation import FUSABLE, READS_ARGUMENT
from .build import common_layout, elementwise, sum_to
from .check import broadcast_shape


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

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs))

    def is_sum(self, node: Node) -> bool:
        return bool(node.attrs["function"] == "add")

    def as_activation(self, node: Node) -> str | None:
        function: str = node.attrs["function"]
        return function if function in FUSABLE else None

    def is_chainable(self, node: Node) -> bool:
        return bool(node.attrs["function"] != "cast") and node.output.dtype == "float32"

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: value for key, value in node.attrs.items() if key != "dtype"}
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step("elementwise", inputs, outputs, attrs, in_place(node))


class ElementwiseChain(Op):
    """Functions of `Elementwise` one after the other: attrs function (their names), operands, alpha, beta."""

    name = "elementwise_chain"
    differentiable = False  # made after differentiation

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        tensors = [tensor for tensor in inputs if tensor is not None]
        return [(broadcast_shape([t.shape for t in tensors], self.name), "float32", common_layout(tensors))]

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs))

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, node.attrs, in_place(node))


def links_of(nodes: Sequence[Node], inputs: Sequence[Tensor]) -> dict[str, Any]:
    """Return the attributes of a chain of elementwise nodes that reads `inputs`."""
    number = {tensor: i for i, tensor in enumerate([*inputs, *(node.output for node in nodes)])}
    operands: list[int] = []
    for node in nodes:
        read = [number[tensor] for tensor in _inputs(node)]
        operands += [*read, *[-1] * (3 - len(read))]
    return {
        "function": " ".join(node.attrs["function"] for node in nodes),
        "operands": operands,
        "alpha": [float(node.attrs.get("alpha", 0.0)) for node in nodes],
        "beta": [float(node.attrs.get("beta", 0.0)) for node in nodes],
    }


def in_place(node: Node) -> list[tuple[int, int]]:
    """Return the inputs whose memory the output may be."""
    y = node.output
    return [
        (0, i)
        for i, x in enumerate(_inputs(node))
        if x.shape == y.shape and x.dtype == y.dtype and (x.layout == y.layout or not layout_matters(x.shape))
    ]


def _inputs(node: Node) -> list[Tensor]:
    return [tensor for tensor in node.inputs if tensor is not None]


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


def _bell(x: Tensor) -> Tensor:
    """2 / sqrt(pi) e^(-x^2), the derivative of erf."""
    return elementwise(
        "mul_scalar", elementwise("exp", elementwise("neg", elementwise("square", x))), alpha=2 / sqrt(pi)
    )


_pass: Rule = lambda g, n: g  # noqa: E731

GRADIENTS: dict[str, tuple[Rule | None, ...]] = {
    **{f: _backward(f, "argument" if f in READS_ARGUMENT else "result") for f in FUSABLE},
    **{f: _backward(f, "result") for f in ("sqrt", "rsqrt", "reciprocal")},
    **{f: _backward(f, "argument") for f in ("clamp", "log", "log1p", "abs", "square")},
    **{f: _backward(f, "argument") for f in ("pow_scalar", "max_scalar", "min_scalar")},
    "exp": (lambda g, n: elementwise("mul", g, n.output),),
    "expm1": (lambda g, n: elementwise("add", g, elementwise("mul", g, n.output)),),
    "erf": (lambda g, n: elementwise("mul", g, _bell(_x(n, 0))),),
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
    "floor_divide": (None, None),
    "remainder": (
        _pass,
        lambda g, n: _neg(elementwise("mul", g, elementwise("floor_divide", _x(n, 0), _x(n, 1)))),
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
