# SPDX-License-Identifier: Apache-2.0
"""Sums and other functions of many elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...ops.conversions import converted
from ..table import known_dtype, operator, tensor


def _axes(dim: Any) -> Any:
    """Return axes as `ops` takes them: none stands for all."""
    if isinstance(dim, (list, tuple)):
        return tuple(dim) or None
    return dim


def _typed(input: Any, dtype: Any) -> Any:
    return tensor(input) if dtype is None else converted(tensor(input), known_dtype(dtype))


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        return function(_typed(input, dtype), _axes(dim), keepdim)

    return reduce


for _name in ("sum", "mean", "prod", "amax", "amin", "any", "all", "logsumexp"):
    operator(_name)(_reduction(getattr(ops, _name)))


@operator("argmax")
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return ops.argmax(input, dim, keepdim)


@operator("argmin")
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return ops.argmin(input, dim, keepdim)


@operator("max.dim")
def max_along(input: Any, dim: int, keepdim: bool = False) -> tuple[Any, ...]:
    return tuple(ops.max(input, dim, keepdim))


@operator("min.dim")
def min_along(input: Any, dim: int, keepdim: bool = False) -> tuple[Any, ...]:
    return tuple(ops.min(input, dim, keepdim))


@operator("max", "max.other")
def max_of_all(input: Any, other: Any = None) -> Any:
    return ops.amax(input) if other is None else ops.maximum(input, other)


@operator("min", "min.other")
def min_of_all(input: Any, other: Any = None) -> Any:
    return ops.amin(input) if other is None else ops.minimum(input, other)


def _variance(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(
        input: Any, dim: Any = None, unbiased: Any = None, correction: Any = None, keepdim: bool = False
    ) -> Any:
        if unbiased is not None:
            correction = 1 if unbiased else 0
        return function(
            input, _axes(dim), correction=1 if correction is None else correction, keepdim=keepdim
        )

    return compute


def _of_all(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda input, unbiased=True: function(input, correction=1 if unbiased else 0)


def _along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda input, dim, unbiased=True, keepdim=False: function(
        input, _axes(dim), correction=1 if unbiased else 0, keepdim=keepdim
    )


for _name in ("var", "std", "var_mean", "std_mean"):
    _function = getattr(ops, _name)
    operator(f"{_name}.correction")(_variance(_function))
    operator(f"{_name}.dim")(_along(_function))
    operator(_name)(_of_all(_function))


@operator("cumsum")
def cumsum(input: Any, dim: int, dtype: Any = None) -> Any:
    return ops.cumsum(_typed(input, dtype), dim)


@operator("cumprod")
def cumprod(input: Any, dim: int, dtype: Any = None) -> Any:
    return ops.cumprod(_typed(input, dtype), dim)


@operator("linalg_vector_norm", "norm.ScalarOpt_dim")
def vector_norm(input: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return ops.norm(_typed(input, dtype), 2 if ord is None else ord, _axes(dim), keepdim)


@operator("topk")
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Any, ...]:
    return tuple(ops.topk(input, k, dim, largest, sorted))


@operator("sort")
def sort(input: Any, dim: int = -1, descending: bool = False) -> tuple[Any, ...]:
    return tuple(ops.sort(input, dim, descending))
