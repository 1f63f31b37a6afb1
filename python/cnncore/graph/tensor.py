# SPDX-License-Identifier: Apache-2.0
"""The graph: tensors (symbolic values), operations, nodes (their uses) and the container of these."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .dtype import ITEM_SIZE, value_dtype

Shape = tuple[int, ...]


class Size(int):
    """The number of elements, as numpy's `size`; called as torch's `size()`, the extents.

    >>> size = Size((2, 3))
    >>> int(size), size(), size(-1)
    (6, (2, 3), 3)
    """

    _shape: Shape

    def __new__(cls, shape: Shape) -> Size:
        """Return the size of a tensor of this shape."""
        size = super().__new__(cls, prod(shape))
        size._shape = shape
        return size

    def __call__(self, dim: int | None = None) -> Any:
        """Return all extents, or the one of axis `dim`."""
        return self._shape if dim is None else self._shape[dim]

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (self._shape,)


class Tensor:
    """A value of the graph: shape, dtype and memory layout, without contents.

    `layout` is "channels_last" (dense N, spatial..., C; the same as C order below rank 3) or "c"
    (dense C order: parameters, their gradients). `source` is set for values that exist before
    the program runs: a parameter or buffer, or the numpy array of a constant. Operators and methods are those
    of `ops.methods`.
    """

    __slots__ = ("dtype", "layout", "node", "shape", "source")

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
    def size(self) -> Size:
        """The number of elements; called, the extents."""
        return Size(self.shape)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEM_SIZE[self.dtype]

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
        self.arriving: dict[Tensor, str] = {}  # dtype of the array that an input was traced for
        self.outputs: list[Tensor] = []
        self.stored: dict[int, Tensor] = {}  # id of a parameter or buffer -> its value
        self.updates: list[tuple[Any, Tensor]] = []  # buffer or array, and its new contents
        self.counted: list[Any] = []  # int64 buffers that grow by 1 each run
        self.checks: list[tuple[Tensor, str]] = []  # int64 scalars that must be 0, with the message if not
        self.modules: dict[int, Any] = {}  # modules called while tracing
        self.dropouts = 0
        self.surroundings: Any = None  # what the traced function took from outside (graph/surroundings.py)
        self.random: Any = None  # states of random generators before it was traced
        self.values_read: list[tuple[Any, int]] = []  # parameters read as numbers, and their versions then

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

    def has_empty(self) -> bool:
        """Whether any value has no elements, as with a batch of no rows."""
        made = (tensor for node in self.nodes for tensor in node.outputs)
        return any(tensor is not None and tensor.size == 0 for tensor in (*self.inputs, *made))

    def results(self) -> list[Tensor]:
        """Return every tensor the graph is run for."""
        return self.outputs + [new for _, new in self.updates] + [flag for flag, _ in self.checks]


Spec = tuple[Shape, str, str]
"""Shape, dtype and layout of an output."""


class Op:
    """An operation: its outputs' shapes, its gradient and its steps. Instances have no state.

    Arguments have been checked by the public function in `cnncore.ops` that makes the node.
    """

    name: ClassVar[str]
    varies: ClassVar[bool] = False
    """Whether runs differ although the inputs do not (random numbers); such nodes never run at setup."""
    writes_updates: ClassVar[bool] = False
    """Whether an output may be the memory of the array it replaces."""
    may_alias: ClassVar[bool] = False
    """Whether the output may be the memory of the first input."""
    keeps_elements: ClassVar[bool] = False
    """Whether the output is the elements of the only input under another shape."""
    reads_parts: ClassVar[tuple[int, ...]] = ()
    """Inputs that may be some of the channels of a wider tensor, with gaps from pixel to pixel."""
    joins_portions: ClassVar[bool] = False
    """Whether the inputs are portions of the outputs, which are batches."""
    adds: ClassVar[int | None] = None
    """Position of the input, of the result's shape and layout, that is added to the result."""
    activates: ClassVar[tuple[str, ...]] = ()
    """Activations that can be applied to the result: attrs activation ("none") and alpha."""
    argument_output: ClassVar[int | None] = None
    """The output that can keep what an activation is applied to, for gradients that read it."""
    differentiable: ClassVar[bool] = True
    """False when the inputs' gradient is zero or comes by another node's rule."""

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            OPS[cls.name] = cls()

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        """Return shape, dtype and layout of each output, None for an output not wanted."""
        raise NotImplementedError

    def gradient(
        self, node: Node, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        """Add the nodes that compute the gradient of each input.

        Args:
            node: the node to differentiate.
            grads: the gradient of each output; at least one is not None.
            needs: for each input, whether its gradient is wanted.

        Returns:
            One entry for each input; None means zero or not wanted.
        """
        raise NotImplementedError(f"{self.name} has no gradient")

    def of_nothing(self, node: Node) -> float:
        """Return the value of every element of the results where an input has none, such as a sum's 0.

        Raises:
            ValueError: there is none, as for a largest value.
        """
        shapes = ", ".join(str(tensor.shape) for tensor in node.inputs if tensor is not None)
        raise ValueError(
            f"[{node.path or self.name}] expected at least one row, got inputs of shapes {shapes}"
        )

    def writes_parts(self, node: Node) -> bool:
        """Return whether the first output may be some of the channels of a wider tensor."""
        return False

    def images(self, node: Node) -> Sequence[int]:
        """Return the inputs of which each image (index of the first axis) goes into that image of the output
        alone; none when the output is not made image by image."""
        return ()

    def with_batch(self, attrs: dict[str, Any], batch: int) -> dict[str, Any]:
        """Return a node's attributes for so many images."""
        return attrs

    def reads_joined(self, node: Node, channels: int) -> bool:
        """Return whether the first input may be two tensors, the first one with so many of the channels."""
        return False

    def takes_channels(self, node: Node) -> bool:
        """Return whether the output is some of the first input's channels, both in channels-last memory."""
        return False

    def joins_channels(self, node: Node) -> bool:
        """Return whether the output is the inputs' channels one after the other in channels-last memory."""
        return False

    def is_sum(self, node: Node) -> bool:
        """Return whether the output is the sum of the two inputs."""
        return False

    def is_chainable(self, node: Node) -> bool:
        """Return whether the node is an elementwise function of float32 values."""
        return False

    def recomputes_argument(self, node: Node) -> bool:
        """Return whether the gradient works out what an activation was applied to from the node's inputs."""
        return False

    def as_activation(self, node: Node) -> str | None:
        """Return the activation function that the node is, with its attribute alpha; None for others."""
        return None

    def lower(self, node: Node, builder: Any) -> None:
        """Add the steps that compute the node; `builder` is a `graph.lowering.Builder`."""
        raise NotImplementedError


OPS: dict[str, Op] = {}
"""Every operation by name; saved graphs name theirs. `cnncore.ops` fills it."""


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
