# SPDX-License-Identifier: Apache-2.0
"""The graph: tensors (symbolic values), nodes (operations) and their container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .op import Op

Shape = tuple[int, ...]

ITEM_SIZE = {"float32": 4, "int32": 4, "int64": 8, "uint8": 1}


@cache
def _ops() -> ModuleType:
    from .. import ops

    return ops


class Tensor:
    """A value of the graph: shape, dtype and memory layout, without contents.

    `layout` is "channels_last" (dense N, spatial..., C; the same as C order below rank 3) or "c"
    (dense C order: parameters, their gradients). `source` is set for values that exist before
    the program runs: a parameter or buffer, or the numpy array of a constant.
    """

    __slots__ = ("dtype", "layout", "node", "shape", "source")
    __array_ufunc__ = None  # numpy operators leave `array * tensor` to this class

    def __init__(
        self, shape: Shape, dtype: str = "float32", layout: str = "channels_last", source: Any = None
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.layout = layout
        self.node: Node | None = None
        self.source = source

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * ITEM_SIZE[self.dtype]

    def strides(self) -> Shape:
        """Return the strides, in elements."""
        return dense_strides(self.shape, self.layout)

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype})"

    # -- what has no value yet ------------------------------------------------------------------

    def _no_value(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"a symbolic tensor of shape {self.shape} has no value while a function is being traced: it "
            "cannot decide a Python branch, become a number or a numpy array; use cnncore.ops on it"
        )

    __bool__ = __float__ = __int__ = __index__ = __array__ = _no_value

    # -- operators ------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return _ops().add(self, other)

    def __radd__(self, other: Any) -> Any:
        return _ops().add(other, self)

    def __sub__(self, other: Any) -> Any:
        return _ops().sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _ops().sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return _ops().mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _ops().mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _ops().div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _ops().div(other, self)

    def __pow__(self, other: Any) -> Any:
        return _ops().pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _ops().pow(other, self)

    def __matmul__(self, other: Any) -> Any:
        return _ops().matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _ops().matmul(other, self)

    def __neg__(self) -> Any:
        return _ops().neg(self)

    def __abs__(self) -> Any:
        return _ops().abs(self)

    def __gt__(self, other: Any) -> Any:
        return _ops().greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return _ops().greater_equal(self, other)

    def __lt__(self, other: Any) -> Any:
        return _ops().greater(other, self)

    def __le__(self, other: Any) -> Any:
        return _ops().greater_equal(other, self)

    def __getitem__(self, index: Any) -> Any:
        return _ops().slice(self, index)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # -- methods --------------------------------------------------------------------------------

    @property
    def T(self) -> Any:  # noqa: N802  (numpy's name)
        return _ops().permute(self, tuple(range(self.ndim))[::-1])

    def reshape(self, *shape: Any) -> Any:
        return _ops().reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        return _ops().flatten(self, start_dim, end_dim)

    def permute(self, *dims: Any) -> Any:
        return _ops().permute(self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)

    def transpose(self, dim0: int, dim1: int) -> Any:
        return _ops().transpose(self, dim0, dim1)

    def sum(self, dim: Any = None, keepdim: bool = False) -> Any:
        return _ops().sum(self, dim, keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Any:
        return _ops().mean(self, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        return _ops().max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        return _ops().min(self, dim, keepdim)

    def argmax(self, dim: Any = None, keepdim: bool = False) -> Any:
        return _ops().argmax(self, dim, keepdim)

    def relu(self) -> Any:
        return _ops().relu(self)

    def sigmoid(self) -> Any:
        return _ops().sigmoid(self)

    def tanh(self) -> Any:
        return _ops().tanh(self)

    def exp(self) -> Any:
        return _ops().exp(self)

    def log(self) -> Any:
        return _ops().log(self)

    def sqrt(self) -> Any:
        return _ops().sqrt(self)

    def abs(self) -> Any:
        return _ops().abs(self)

    def softmax(self, dim: int = -1) -> Any:
        return _ops().softmax(self, dim)


class Node:
    """One operation. Optional inputs and outputs that are absent are None."""

    __slots__ = ("attrs", "inputs", "op", "outputs", "path")

    def __init__(
        self,
        op: Op,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor | None],
        attrs: dict[str, Any],
        path: str = "",
    ) -> None:
        self.op = op
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.attrs = attrs
        self.path = path
        for output in outputs:
            if output is not None:
                output.node = self

    @property
    def output(self) -> Tensor:
        """The first output, which every node has."""
        first = self.outputs[0]
        assert first is not None
        return first

    def input(self, i: int) -> Tensor | None:
        """Return input `i`, None when it is absent."""
        return self.inputs[i] if i < len(self.inputs) else None

    def __repr__(self) -> str:
        return f"Node({self.op.name}, {[None if t is None else t.shape for t in self.inputs]}, {self.attrs})"


class Graph:
    """Nodes in an order in which they can run, and what goes in and out."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.stored: dict[int, Tensor] = {}  # id of a parameter or buffer -> its value
        self.updates: list[tuple[Any, Tensor]] = []  # buffer or array, and its new contents
        self.counted: list[Any] = []  # int64 buffers that grow by 1 each run
        self.checks: list[tuple[Tensor, str]] = []  # int64 scalars that must be 0, with the message if not
        self.modules: dict[int, Any] = {}  # modules called while tracing
        self.dropouts = 0

    def users(self) -> dict[Tensor, int]:
        """Count how often each tensor is used, outputs and updates included."""
        count: dict[Tensor, int] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor is not None:
                    count[tensor] = count.get(tensor, 0) + 1
        for tensor in self.results():
            count[tensor] = count.get(tensor, 0) + 1
        return count

    def results(self) -> list[Tensor]:
        """Return every tensor the graph is run for."""
        return self.outputs + [new for _, new in self.updates] + [flag for flag, _ in self.checks]


def present(tensor: Tensor | None) -> Tensor:
    """Return an input, output or gradient that cannot be absent."""
    assert tensor is not None
    return tensor


def dense_strides(shape: Shape, layout: str) -> Shape:
    """Return the strides, in elements, of a dense tensor."""
    rank = len(shape)
    order = list(range(rank))
    if layout == "channels_last" and rank >= 3:
        order = [0, *range(2, rank), 1]
    strides = [0] * rank
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def same_memory(shape: Shape, strides_a: Shape, strides_b: Shape) -> bool:
    """Whether element k of one layout is element k of the other (axes of extent 1 do not count)."""
    return all(n == 1 or a == b for n, a, b in zip(shape, strides_a, strides_b, strict=True))


def layout_matters(shape: Shape) -> bool:
    """Whether channels-last and C order differ for this shape."""
    return len(shape) >= 3 and not same_memory(
        shape, dense_strides(shape, "channels_last"), dense_strides(shape, "c")
    )


def constant_array(value: Any) -> NDArray[Any]:
    """Return a C-order copy of `value` in one of the dtypes programs know."""
    array = np.asarray(value)
    return np.array(array, dtype=value_dtype(array.dtype), order="C", copy=True)


def value_dtype(dtype: np.dtype[Any]) -> str:
    """Return the dtype a numpy array has inside a graph: floats are float32, integers stay integers.

    Raises:
        TypeError: complex numbers, objects, text, dates.
    """
    kind = dtype.kind
    if kind == "f":
        return "float32"
    if kind in "iub":
        return dtype.name if dtype.name in ITEM_SIZE else ("uint8" if kind == "b" else "int64")
    raise TypeError(f"expected an array of real numbers, got dtype {dtype}")
