# SPDX-License-Identifier: Apache-2.0
"""Derivatives of elementary functions, made of elementwise functions themselves."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt

from ..graph.tensor import Node, Tensor
from .build import elementwise

Rule = Callable[[Tensor, Node], Tensor]


def bell(x: Tensor) -> Tensor:
    """Return 2 / sqrt(pi) e^(-x^2), the derivative of erf."""
    return _times(elementwise("exp", elementwise("neg", elementwise("square", x))), 2 / sqrt(pi))


def _times(x: Tensor, factor: float) -> Tensor:
    return elementwise("mul_scalar", x, alpha=factor)


def _plus(x: Tensor, number: float) -> Tensor:
    return elementwise("add_scalar", x, alpha=number)


def _by(slope: Callable[[Tensor, Tensor], Tensor]) -> tuple[Rule]:
    """The rule of a function whose derivative is `slope(argument, result)`."""

    def rule(grad: Tensor, node: Node) -> Tensor:
        (argument,) = node.inputs
        return elementwise("mul", grad, slope(argument, node.output))

    return (rule,)


def _over(denominator: Callable[[Tensor], Tensor]) -> tuple[Rule]:
    """The rule of a function whose derivative is 1 / `denominator(argument)`."""
    return (lambda grad, node: elementwise("div", grad, denominator(*node.inputs)),)


def _to_unit(x: Tensor) -> Tensor:
    """Return sqrt(1 - x^2)."""
    return elementwise("sqrt", elementwise("rsub_scalar", elementwise("square", x), alpha=1.0))


def _of_angle(grad: Tensor, node: Node, other: int) -> Tensor:
    a, b = node.inputs
    squares = elementwise("add", elementwise("square", a), elementwise("square", b))
    return elementwise("div", elementwise("mul", grad, node.inputs[other]), squares)


def _of_length(grad: Tensor, node: Node, of: int) -> Tensor:
    return elementwise("mul", grad, elementwise("div", node.inputs[of], node.output))


ELEMENTARY: dict[str, tuple[Rule, ...]] = {
    "erf": _by(lambda x, y: bell(x)),
    "erfc": _by(lambda x, y: elementwise("neg", bell(x))),
    "sin": _by(lambda x, y: elementwise("cos", x)),
    "cos": _by(lambda x, y: elementwise("neg", elementwise("sin", x))),
    "tan": _by(lambda x, y: _plus(elementwise("square", y), 1.0)),
    "asin": _over(_to_unit),
    "acos": _over(lambda x: elementwise("neg", _to_unit(x))),
    "atan": _over(lambda x: _plus(elementwise("square", x), 1.0)),
    "sinh": _by(lambda x, y: elementwise("cosh", x)),
    "cosh": _by(lambda x, y: elementwise("sinh", x)),
    "exp2": _by(lambda x, y: _times(y, log(2.0))),
    "log2": _over(lambda x: _times(x, log(2.0))),
    "log10": _over(lambda x: _times(x, log(10.0))),
    "atan2": (
        lambda g, n: _of_angle(g, n, 1),
        lambda g, n: elementwise("neg", _of_angle(g, n, 0)),
    ),
    "hypot": (lambda g, n: _of_length(g, n, 0), lambda g, n: _of_length(g, n, 1)),
}
"""The rules of `ops.elementwise`."""
