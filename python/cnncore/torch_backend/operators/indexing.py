# SPDX-License-Identifier: Apache-2.0
"""Elements at places that are known at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...graph.tensor import Tensor
from ..table import Function, operator, same, tensor

same(ops.gather, "gather")
same(ops.index_select, "index_select")
same(ops.take_along_dim, "take_along_dim")
same(ops.grid_sample, "grid_sample")
same(ops.one_hot, "one_hot")


def _exact(function: Function) -> Function:
    """Return a function that refuses integers of which float32, in which it computes, holds only some."""

    def computed(input: Any, *rest: Any, **settings: Any) -> Any:
        x = tensor(input)
        if x.dtype in ("int32", "int64"):
            raise TypeError(f"elements of type {x.dtype}")
        return function(x, *rest, **settings)

    return computed


for _name in ("scatter_add", "scatter", "index_add"):
    same(_exact(getattr(ops, _name)), _name)


@operator("embedding")
def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    return ops.embedding(indices, weight, None if padding_idx < 0 else padding_idx)


@operator("index", "_unsafe_index")
def index(input: Any, indices: Sequence[Any]) -> Any:
    x = tensor(input)
    places = [slice(None) if place is None else tensor(place) for place in indices]
    if any(isinstance(place, Tensor) and place.dtype == "bool" for place in places):
        raise ValueError("the shape of what a mask selects depends on values")
    return x[tuple(places)]


@operator("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(
    input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    mode = ("bilinear", "nearest", "bicubic")[interpolation_mode]
    beyond = ("zeros", "border", "reflection")[padding_mode]
    return ops.grid_sample(input, grid, mode, beyond, align_corners)
