# SPDX-License-Identifier: Apache-2.0
"""Operators and methods of symbolic tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..graph.tensor import Tensor
from . import activation, arithmetic, arrange, reduce, shape, sort, window
from .linear import matmul
from .softmax import softmax


def _reduction(name: str, dim: Any, keepdim: bool, given: dict[str, Any]) -> tuple[Any, bool]:
    """Return axes and keepdim of a reduction from torch's names or from those that `numpy.sum` passes on."""
    rest = {
        key: value for key, value in given.items() if key not in ("axis", "keepdims") and value is not None
    }
    if rest:
        raise TypeError(f"[{name}] expected dim (or axis) and keepdim (or keepdims), got {', '.join(rest)}")
    if given.get("axis") is not None and dim is not None:
        raise TypeError(f"[{name}] expected dim or axis, got both")
    return given.get("axis") if dim is None else dim, bool(keepdim or given.get("keepdims", False))


class Methods:
    """What `Tensor` gets once the operations exist; the graph itself knows none of them."""

    ndim: int
    shape: tuple[int, ...]

    # -- operators ------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return arithmetic.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return arithmetic.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return arithmetic.sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return arithmetic.sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return arithmetic.mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return arithmetic.mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return arithmetic.div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return arithmetic.div(other, self)

    def __pow__(self, other: Any) -> Any:
        return arithmetic.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return arithmetic.pow(other, self)

    def __matmul__(self, other: Any) -> Any:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return matmul(other, self)

    def __neg__(self) -> Any:
        return arithmetic.neg(self)

    def __abs__(self) -> Any:
        return arithmetic.abs(self)

    def __gt__(self, other: Any) -> Any:
        return arithmetic.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return arithmetic.greater_equal(self, other)

    def __lt__(self, other: Any) -> Any:
        return arithmetic.greater(other, self)

    def __le__(self, other: Any) -> Any:
        return arithmetic.greater_equal(other, self)

    def __getitem__(self, index: Any) -> Any:
        return window.slice(self, index)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # -- methods --------------------------------------------------------------------------------

    @property
    def T(self) -> Any:  # noqa: N802  (numpy's name)
        return shape.permute(self, tuple(range(self.ndim))[::-1])

    def reshape(self, *sizes: Any) -> Any:
        return shape.reshape(self, sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        return shape.flatten(self, start_dim, end_dim)

    def permute(self, *dims: Any) -> Any:
        return shape.permute(self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)

    def transpose(self, dim0: int, dim1: int) -> Any:
        return shape.transpose(self, dim0, dim1)

    def sum(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.sum(self, *_reduction("sum", dim, keepdim, numpy))

    def mean(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.mean(self, *_reduction("mean", dim, keepdim, numpy))

    def max(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        if numpy:  # numpy.max gives values alone, torch's max along `dim` (values, indices)
            return sort.amax(self, *_reduction("max", dim, keepdim, numpy))
        return sort.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        if numpy:  # numpy.min gives values alone, torch's min along `dim` (values, indices)
            return sort.amin(self, *_reduction("min", dim, keepdim, numpy))
        return sort.min(self, dim, keepdim)

    def amax(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.amax(self, dim, keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.amin(self, dim, keepdim)

    def argmin(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.argmin(self, dim, keepdim)

    def median(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.median(self, dim, keepdim)

    def mode(self, dim: int = -1, keepdim: bool = False) -> Any:
        return sort.mode(self, dim, keepdim)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return sort.sort(self, dim, descending, stable)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return sort.argsort(self, dim, descending, stable)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        return sort.topk(self, k, dim, largest, sorted)

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        return sort.kthvalue(self, k, dim, keepdim)

    def cummax(self, dim: int) -> Any:
        return sort.cummax(self, dim)

    def cummin(self, dim: int) -> Any:
        return sort.cummin(self, dim)

    def argmax(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.argmax(self, *_reduction("argmax", dim, keepdim, numpy))

    def split(self, split_size: Any, dim: int = 0) -> Any:
        return arrange.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> Any:
        return arrange.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> Any:
        return arrange.unbind(self, dim)

    def squeeze(self, dim: Any = None) -> Any:
        return arrange.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Any:
        return arrange.unsqueeze(self, dim)

    def movedim(self, source: Any, destination: Any) -> Any:
        return arrange.movedim(self, source, destination)

    def swapaxes(self, axis0: int, axis1: int) -> Any:
        return arrange.swapaxes(self, axis0, axis1)

    def expand(self, *sizes: Any) -> Any:
        return arrange.expand(self, sizes if not sizes or isinstance(sizes[0], int) else sizes[0])

    def repeat(self, *repeats: Any) -> Any:
        return arrange.repeat(self, repeats if not repeats or isinstance(repeats[0], int) else repeats[0])

    def tile(self, *dims: Any) -> Any:
        return arrange.tile(self, dims if not dims or isinstance(dims[0], int) else dims[0])

    def flip(self, *dims: Any) -> Any:
        return arrange.flip(self, dims if not dims or isinstance(dims[0], int) else dims[0])

    def roll(self, shifts: Any, dims: Any = None) -> Any:
        return arrange.roll(self, shifts, dims)

    def relu(self) -> Any:
        return activation.relu(self)

    def sigmoid(self) -> Any:
        return activation.sigmoid(self)

    def tanh(self) -> Any:
        return activation.tanh(self)

    def exp(self) -> Any:
        return arithmetic.exp(self)

    def log(self) -> Any:
        return arithmetic.log(self)

    def sqrt(self) -> Any:
        return arithmetic.sqrt(self)

    def abs(self) -> Any:
        return arithmetic.abs(self)

    def softmax(self, dim: int = -1) -> Any:
        return softmax(self, dim)


for _name, _method in vars(Methods).items():
    if callable(_method) or isinstance(_method, property):
        setattr(Tensor, _name, _method)
