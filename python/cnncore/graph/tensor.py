# SPDX-License-Identifier: Apache-2.0
"""The graph: tensors (symbolic values), operations, nodes (their uses) and the container of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from copy import copy
from enum import Enum
from functools import lru_cache
from math import prod
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

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


class Layout(str, Enum):
    """How a dense value lies in memory; the machine knows it by the text."""

    CHANNELS_LAST = "channels_last"
    """N, spatial..., C; the same as C order below rank 3."""
    C = "c"
    """C order, as parameters and their gradients have it."""
    OPEN = "open"
    """Not decided yet; compiler/layout.py does, by the value's readers."""

    __hash__ = str.__hash__


class Tensor:
    """A value of the graph: shape, dtype and memory layout, without contents.

    `source` is set for values that exist before the program runs: a parameter or buffer, or the numpy array
    of a constant. Operators and methods are those of `ops.methods`.
    """

    __slots__ = ("dtype", "layout", "node", "shape", "source")

    def __init__(
        self, shape: Shape, dtype: str = "float32", layout: Layout = Layout.CHANNELS_LAST, source: Any = None
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


Place = str | int
"""An input of an operation: its name, or its position among many of a kind."""


class Origin(NamedTuple):
    """Why a node is in its graph.

    checkpoint: number of the `cnncore.checkpoint` that it was traced in, 0 outside of any; derivative: 0 for
    the function itself, else the number of the differentiation that made the node; recomputed: it does on
    purpose what another node has done, to keep no values until then.
    """

    checkpoint: int = 0
    derivative: int = 0
    recomputed: bool = False


TRACED = Origin()


class Node:
    """One operation on tensors. A node does not change; passes put another one in its place.

    `inputs` are the operation's `Inputs`, by name where it has names for them, and `attrs` its `Attributes`.
    Optional inputs and outputs that are absent are None.
    """

    __slots__ = ("attrs", "inputs", "op", "origin", "outputs", "path")

    def __init__(
        self,
        op: Op | type[Op],
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor | None],
        attrs: Any,
        path: str = "",
        origin: Origin = TRACED,
    ) -> None:
        self.op = op = OPS[op.name] if isinstance(op, type) else op
        self.inputs: Any = inputs if type(inputs) is op.Inputs else op.named(inputs)
        self.outputs: tuple[Tensor | None, ...] = tuple(outputs)
        self.attrs = attrs if type(attrs) is op.Attributes else op.settled(attrs)
        self.path = path
        self.origin = origin
        for output in outputs:
            if output is not None:
                output.node = self

    @property
    def output(self) -> Tensor:
        """The first output, which every node has."""
        first = self.outputs[0]
        assert first is not None
        return first

    def makes_one(self) -> bool:
        """Return whether the first output is the only one."""
        return all(output is None for output in self.outputs[1:])

    def places(self) -> Iterator[tuple[Place, Tensor | None]]:
        """Yield the name of each input, or its position where they have none, and the input."""
        named: Sequence[Place] = getattr(self.inputs, "_fields", range(len(self.inputs)))
        return zip(named, self.inputs, strict=True)

    def with_(
        self,
        inputs: Sequence[Tensor | None] | None = None,
        outputs: Sequence[Tensor | None] | None = None,
        path: str | None = None,
        **attrs: Any,
    ) -> Node:
        """Return a node that makes the same tensors with other inputs, outputs, path or attributes.

        It is to be put in this one's place: the outputs are its own from now on.
        """
        return Node(
            self.op,
            self.inputs if inputs is None else inputs,
            self.outputs if outputs is None else outputs,
            self.attrs._replace(**attrs) if attrs else self.attrs,
            self.path if path is None else path,
            self.origin,
        )

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
        self.captures: dict[int, list[Any]] = {}  # id of a module -> its results, of those that are asked for
        self.dropouts = 0
        self.checkpoints = 0
        self.recomputed: set[Tensor] = set()  # not kept for gradients, beside what checkpoints say
        self.surroundings: Any = None  # what the traced function took from outside (graph/surroundings.py)
        self.random: Any = None  # states of random generators before it was traced
        self.values_read: list[tuple[Any, int]] = []  # parameters read as numbers, and their versions then
        self.exchange: Any = None  # by which steps meet those of other processes
        self.shares: tuple[Tensor, Tensor] | None = None  # what ops/exchange.py has made of it
        self.accuracy = ""  # what `set_accuracy` said when it was compiled

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
        if any(0 in tensor.shape for tensor in self.inputs):
            return True
        return any(0 in made.shape for node in self.nodes for made in node.outputs if made is not None)

    def replace(self, changed: Mapping[Node, Node]) -> None:
        """Put nodes in the places of others."""
        if changed:
            self.nodes = [changed.get(node, node) for node in self.nodes]

    def values(self) -> Iterator[Tensor]:
        """Yield the inputs and what the nodes make."""
        yield from self.inputs
        for node in self.nodes:
            for tensor in node.outputs:
                if tensor is not None:
                    yield tensor

    def copy(self, layouts: Sequence[Layout] | None = None) -> Graph:
        """Return a graph of its own nodes and values, which shares what exists before a program runs.

        `layouts` are those of its values, by default as they are here.
        """
        made: dict[Tensor | None, Tensor] = {}
        for tensor, layout in zip(self.values(), layouts or map(_LAYOUT, self.values()), strict=True):
            made[tensor] = Tensor(tensor.shape, tensor.dtype, layout)

        def own(tensor: Tensor) -> Tensor:
            return made.get(tensor, tensor)

        def owned(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
            return [made.get(tensor, tensor) for tensor in tensors]

        twin = copy(self)
        twin.inputs = [own(tensor) for tensor in self.inputs]
        twin.arriving = {own(tensor): dtype for tensor, dtype in self.arriving.items()}
        twin.nodes = [
            Node(node.op, owned(node.inputs), owned(node.outputs), node.attrs, node.path, node.origin)
            for node in self.nodes
        ]
        twin.outputs = [own(tensor) for tensor in self.outputs]
        twin.updates = [(target, own(new)) for target, new in self.updates]
        twin.checks = [(own(flag), message) for flag, message in self.checks]
        return twin

    def results(self) -> list[Tensor]:
        """Return every tensor the graph is run for."""
        return self.outputs + [new for _, new in self.updates] + [flag for flag, _ in self.checks]


_LAYOUT = attrgetter("layout")


class EarlierGraph:
    """A graph as it was when this was made, whatever passes do to it afterwards.

    They put other nodes in the places of nodes, which do not change, and decide about the layouts of values.
    """

    def __init__(self, graph: Graph) -> None:
        twin = copy(graph)
        twin.nodes, twin.inputs, twin.outputs = [*graph.nodes], [*graph.inputs], [*graph.outputs]
        twin.updates, twin.checks = [*graph.updates], [*graph.checks]
        self.shallow = twin
        self._layouts = [*map(_LAYOUT, graph.values())]

    def copy(self) -> Graph:
        """Return a graph like it, with nodes and values of its own."""
        return self.shallow.copy(self._layouts)


Spec = tuple[Shape, str, Layout]
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
    reads_parts: ClassVar[Sequence[Place]] = ()
    """Names or positions of inputs that may be channels of a wider tensor, with gaps from pixel to pixel."""
    joins_portions: ClassVar[bool] = False
    """Whether the inputs are portions of the outputs, which are batches."""
    adds: ClassVar[str | None] = None
    """Name of the input, of the result's shape and layout, that is added to the result."""
    activates: ClassVar[tuple[str, ...]] = ()
    """Activations that can be applied to the result: attribute `epilogue`."""
    argument_output: ClassVar[int | None] = None
    """The output that can keep what an activation is applied to, for gradients that read it."""
    differentiable: ClassVar[bool] = True
    """False when the inputs' gradient is zero or comes by another node's rule."""

    Inputs: ClassVar[type[Any]] = tuple
    """The record (a NamedTuple) of the inputs, defaults for those that may be absent; a tuple where they are
    many of a kind."""
    Attributes: ClassVar[type[Any]]
    """The record (a NamedTuple) of the attributes."""

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            OPS[cls.name] = cls()
            _BY_ATTRIBUTES.setdefault(cls.Attributes, OPS[cls.name])

    def named(self, inputs: Sequence[Any]) -> Any:
        """Return values, one for each input, under the inputs' names."""
        if isinstance(inputs, self.Inputs):
            return inputs
        return tuple(inputs) if self.Inputs is tuple else self.Inputs(*inputs)

    def settled(self, attrs: Any) -> Any:
        """Return the attributes' record, made of a dict of them if need be."""
        return attrs if isinstance(attrs, self.Attributes) else self.Attributes(**attrs)

    def label(self, node: Node) -> str:
        """Return what a node is called in tables: its function where the operation has several."""
        return str(getattr(node.attrs, "function", self.name))

    def flops(self, node: Node) -> int:
        """Return the operations of a convolution or matrix product, 0 for other nodes."""
        return 0

    def infer(self, inputs: Any, attrs: Any) -> list[Spec | None]:
        """Return shape, dtype and layout of each output, None for an output not wanted."""
        raise NotImplementedError

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        """Add the nodes that compute the gradient of each input.

        Args:
            node: the node to differentiate.
            grads: the gradient of each output; at least one is not None.
            needs: for each input, by the same names, whether its gradient is wanted.

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

    def without(self, node: Node, unread: Set[Tensor]) -> Node:
        """Return a node that does not make those of its optional outputs that nobody reads."""
        return node

    def writes_parts(self, node: Node) -> bool:
        """Return whether the first output may be some of the channels of a wider tensor."""
        return False

    def images(self, node: Node) -> Sequence[Place]:
        """Return the inputs of which each image (index of the first axis) goes into that image of the output
        alone; none when the output is not made image by image."""
        return ()

    def wants(self, node: Node, layout: Layout) -> Layout:
        """Return the layout that inputs had best have for the output to be in a layout."""
        return layout

    def to_rearrange(self, node: Node) -> Sequence[Tensor]:
        """Return the inputs that are brought to the output's layout before the node runs."""
        return ()

    def with_batch(self, attrs: Any, batch: int) -> Any:
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

    def maps_rows(self, node: Node) -> str | None:
        """Return the input each row (all of the last axis) of which gives that row of the output alone."""
        return None

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


def operation_of(attributes: type[Any]) -> Op:
    """Return the operation that has attributes of this kind, the first one where there are several."""
    return _BY_ATTRIBUTES[attributes]


_BY_ATTRIBUTES: dict[type[Any], Op] = {}
OPS: dict[str, Op] = {}
"""Every operation by name; saved graphs name theirs. `cnncore.ops` fills it."""


def present(tensor: Tensor | None) -> Tensor:
    """Return an input, output or gradient that cannot be absent."""
    assert tensor is not None
    return tensor


@lru_cache(maxsize=1024)
def dense_strides(shape: Shape, layout: Layout) -> Shape:
    """Return the strides, in elements, of a dense tensor."""
    rank = len(shape)
    order = list(range(rank))
    if layout == Layout.OPEN:
        raise ValueError(f"the layout of a tensor of shape {shape} is not decided yet")
    if layout == Layout.CHANNELS_LAST and rank >= 3:
        order = [0, *range(2, rank), 1]
    strides: dict[int, int] = {}
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides[axis] for axis in range(rank))


def same_memory(shape: Shape, strides_a: Shape, strides_b: Shape) -> bool:
    """Whether element k of one layout is element k of the other (axes of extent 1 do not count)."""
    return all(n == 1 or a == b for n, a, b in zip(shape, strides_a, strides_b, strict=True))


def layout_matters(shape: Shape) -> bool:
    """Whether channels-last and C order differ for this shape."""
    return len(shape) >= 3 and shape[1] != 1 and prod(shape[2:]) != 1


def constant_array(value: Any) -> NDArray[Any]:
    """Return a C-order copy of `value` in one of the dtypes programs know."""
    array = np.asarray(value)
    return np.array(array, dtype=value_dtype(array.dtype), order="C", copy=True)
