# SPDX-License-Identifier: Apache-2.0
"""The gradients of normalisations written out, for their own gradients."""

from __future__ import annotations

from ..graph.tensor import Tensor
from .build import elementwise, keep_axes, reduce, reshape_to


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return keep_axes(reduce("mean", x, axes), x, axes)


def normalised(x: Tensor, axes: tuple[int, ...], eps: float, centred: bool = True) -> tuple[Tensor, Tensor]:
    """Return x with mean 0, unless it is not `centred`, and mean square 1 over `axes`, and the factor."""
    if centred:
        x = elementwise("sub", x, _mean(x, axes))
    power = _mean(elementwise("square", x), axes)
    invstd = elementwise("rsqrt", elementwise("add_scalar", power, alpha=eps))
    return elementwise("mul", x, invstd), invstd


def by_input(grad: Tensor, x: Tensor, invstd: Tensor, axes: tuple[int, ...], centred: bool = True) -> Tensor:
    """Return the gradient by the input of `normalised`.

    Args:
        grad: by the result.
        x, invstd: what `normalised` returned.
    """
    along = elementwise("mul", x, _mean(elementwise("mul", grad, x), axes))
    if centred:
        grad = elementwise("sub", grad, _mean(grad, axes))
    return elementwise("mul", elementwise("sub", grad, along), invstd)


def of_channels(values: Tensor, x: Tensor) -> Tensor:
    """Return an entry for each channel as a tensor that broadcasts to `x`."""
    return reshape_to(values, (1, x.shape[1], *(1,) * (x.ndim - 2)), x.layout)


def scaled(grad: Tensor, weight: Tensor | None) -> Tensor:
    """Return the gradient before the factor of each channel."""
    return grad if weight is None else elementwise("mul", grad, of_channels(weight, grad))


def by_parameters(
    grad: Tensor, x: Tensor, axes: tuple[int, ...], wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients by weight and bias, as far as they are wanted; x is normalised."""
    weight, bias = wanted
    return (
        reduce("sum", elementwise("mul", grad, x), axes) if weight else None,
        reduce("sum", grad, axes) if bias else None,
    )
