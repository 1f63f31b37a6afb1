# SPDX-License-Identifier: Apache-2.0
"""Pooling and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import ops
from ..table import later, operator, pulled, tensor

_MAX: dict[int, Any] = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
_AVG: dict[int, Any] = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}
_ADAPTIVE_AVG: dict[int, Any] = {
    1: ops.adaptive_avg_pool1d,
    2: ops.adaptive_avg_pool2d,
    3: ops.adaptive_avg_pool3d,
}
_ADAPTIVE_MAX: dict[int, Any] = {
    1: ops.adaptive_max_pool1d,
    2: ops.adaptive_max_pool2d,
    3: ops.adaptive_max_pool3d,
}


def _each(value: Any, rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _batched(rank: int, input: Any, pool: Callable[[Any], Any]) -> Any:
    """Pool what may lack the batch axis."""
    x = tensor(input)
    if x.ndim == rank + 1:
        return ops.squeeze(pool(ops.unsqueeze(x, 0)), 0)
    return pool(x)


def _max_pool(rank: int) -> Any:
    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        kernel = _each(kernel_size, rank)
        steps = _each(stride, rank) if stride else kernel
        sides, apart = _each(padding, rank), _each(dilation, rank)
        index = 1 if return_indices else 0

        def apply(x: Any) -> Any:
            found = _MAX[rank](x, kernel, steps, sides, apart, ceil_mode, return_indices)
            return found[index] if return_indices else found

        return _batched(rank, input, apply)

    return pool


def _with_indices(rank: int) -> Any:
    pool = _max_pool(rank)

    def both(input: Any, *settings: Any) -> tuple[Any, ...]:
        given = [*settings, *((), 0, 1, False)[len(settings) - 1 :]]
        return pool(input, *given), later(lambda: pool(input, *given, True))

    return both


def _max_backward(rank: int) -> Any:
    pool = _max_pool(rank)

    def backward(grad: Any, input: Any, *settings: Any) -> Any:
        *given, _ = settings  # places of the maxima, which are found again
        return pulled(lambda x: pool(x, *given), [input], grad, [True])[0]

    return backward


def _avg_pool(rank: int) -> Any:
    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        kernel = _each(kernel_size, rank)
        given = [kernel, _each(stride, rank) if stride else kernel, _each(padding, rank), ceil_mode]
        given.append(count_include_pad)
        if rank > 1:
            given.append(divisor_override)
        return _batched(rank, input, lambda x: _AVG[rank](x, *given))

    return pool


def _avg_backward(rank: int) -> Any:
    pool = _avg_pool(rank)

    def backward(grad: Any, input: Any, *settings: Any) -> Any:
        return pulled(lambda x: pool(x, *settings), [input], grad, [True])[0]

    return backward


def _adaptive(functions: dict[int, Any], rank: int) -> Any:
    def pool(input: Any, output_size: Sequence[int]) -> Any:
        extents = _each(output_size, rank)
        x = tensor(input)
        if functions is _ADAPTIVE_AVG and extents == (1,) * rank:
            # The same numbers as a mean, in memory as its readers want it.
            return ops.mean(x, tuple(range(x.ndim - rank, x.ndim)), True)
        return _batched(rank, x, lambda image: functions[rank](image, extents))

    return pool


def _adaptive_backward(rank: int) -> Any:
    def backward(grad: Any, input: Any) -> Any:
        extents = tensor(grad).shape[-rank:]
        pool = _adaptive(_ADAPTIVE_AVG, rank)
        return pulled(lambda x: pool(x, extents), [input], grad, [True])[0]

    return backward


def _adaptive_max(rank: int) -> Any:
    def pool(input: Any, output_size: Sequence[int]) -> tuple[Any, ...]:
        extents = _each(output_size, rank)

        def places() -> Any:
            return _batched(rank, input, lambda x: _ADAPTIVE_MAX[rank](x, extents, True)[1])

        return _adaptive(_ADAPTIVE_MAX, rank)(input, output_size), later(places)

    return pool


def _adaptive_max_backward(rank: int) -> Any:
    def backward(grad: Any, input: Any, indices: Any) -> Any:
        pool = _adaptive(_ADAPTIVE_MAX, rank)
        extents = tensor(grad).shape[-rank:]
        return pulled(lambda x: pool(x, extents), [input], grad, [True])[0]

    return backward


for _rank in (1, 2, 3):
    operator(f"max_pool{_rank}d")(_max_pool(_rank))
    operator(f"max_pool{_rank}d_with_indices")(_with_indices(_rank))
    operator(f"max_pool{_rank}d_with_indices_backward")(_max_backward(_rank))
    operator(f"avg_pool{_rank}d")(_avg_pool(_rank))
    operator(f"avg_pool{_rank}d_backward")(_avg_backward(_rank))
    operator(f"adaptive_avg_pool{_rank}d", f"_adaptive_avg_pool{_rank}d")(_adaptive(_ADAPTIVE_AVG, _rank))
    operator(f"_adaptive_avg_pool{_rank}d_backward")(_adaptive_backward(_rank))
    operator(f"adaptive_max_pool{_rank}d")(_adaptive_max(_rank))
    operator(f"adaptive_max_pool{_rank}d_backward")(_adaptive_max_backward(_rank))
