# SPDX-License-Identifier: Apache-2.0
"""Building an ONNX graph: names, initialisers, nodes, and shapes that may depend on the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...graph.tensor import Node, Op, Tensor
from ...graph.trace import is_stored

Exporter = Callable[["Writer", Node, "Node | None"], Any]
"""(writer, node, the same node for another batch or None) -> the name of its output, or names."""

EXPORTERS: dict[type[Op], Exporter] = {}
"""By operation; the files of this package fill it."""


def exporter(*operations: type[Op]) -> Callable[[Exporter], Exporter]:
    """Enter the decorated function as the one that writes nodes of these operations."""

    def enter(function: Exporter) -> Exporter:
        for operation in operations:
            EXPORTERS[operation] = function
        return function

    return enter


class Writer:
    """An ONNX graph in the making.

    Args:
        stored: names of parameters and buffers, by the id of each.
        batches: the batch traced, and another one if shapes shall follow the batch.
        opset: whose operators are written.
    """

    def __init__(self, stored: dict[int, str], batches: tuple[int, int] | None, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._stored = stored
        self._batches = batches
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._batch = ""
        self.first_input = ""
        self.path = ""
        self.constants: set[str] = set()
        self._extents: dict[tuple[int, int], tuple[str, int]] = {}
        self._near: dict[tuple[int, int], tuple[str, int]] = {}

    # -- names ----------------------------------------------------------------------------------------

    def fresh(self, hint: str) -> str:
        """Return a name that is not taken."""
        name, count = hint, 1
        while name in self._taken:
            name, count = f"{hint}_{count}", count + 1
        self._taken.add(name)
        return name

    def set(self, tensor: Tensor, name: str) -> None:
        """Give a tensor its name."""
        self._names[id(tensor)] = name

    def get(self, tensor: Tensor) -> str:
        """Return a tensor's name; a parameter, buffer or constant becomes an initialiser."""
        name = self._names.get(id(tensor))
        if name is None:
            source = tensor.source
            if source is None:
                raise ValueError(f"[{self.path}] a value that no exported node makes")
            hint = self._stored.get(id(source), getattr(source, "name", "") or "parameter")
            name = self.constant(np.asarray(source), hint if is_stored(source) else "constant")
            self._names[id(tensor)] = name
        return name

    # -- parts ------------------------------------------------------------------------------------------

    def constant(self, value: Any, hint: str = "constant") -> str:
        """Add an initialiser; return its name."""
        name = self.fresh(hint)
        if hint == "constant":
            self.constants.add(name)
        self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def scalar(self, value: float) -> str:
        """Add a float32 without axes."""
        return self.constant(np.array(value, np.float32).reshape(()))

    def ints(self, values: Sequence[int]) -> str:
        """Add int64 values."""
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, inputs: Sequence[str], count: int = 1, **attributes: Any) -> Any:
        """Add a node; return its output's name, or a tuple of `count` names."""
        stem = f"{self.path}/{op}" if self.path else op
        name = self.fresh(stem)
        outputs = [self.fresh(f"{name}_output" + (f"_{i}" if count > 1 else "")) for i in range(count)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name, **given))
        return outputs[0] if count == 1 else tuple(outputs)

    def reduced(self, op: str, name: str, axes: Sequence[int], keepdims: int = 0) -> str:
        """Add a reduction over axes."""
        if op == "ReduceSum" or self.opset >= 18:
            return str(self.add(op, [name, self.ints(axes)], keepdims=keepdims))
        return str(self.add(op, [name], axes=list(axes), keepdims=keepdims))

    # -- shapes that follow the inputs ----------------------------------------------------------------------

    def follow(self, tensor: Tensor, other: Tensor) -> None:
        """Note that extents may be read from a tensor; `other` is the same one for other inputs."""
        for axis, pair in enumerate(zip(tensor.shape, other.shape, strict=True)):
            if pair[0] != pair[1]:
                self._extents.setdefault(pair, (self.get(tensor), axis))

    def begin(self, node: Node, twin: Node | None) -> None:
        """Note the node that is written next: its shapes follow its own inputs first."""
        self.path, self._near = node.path, {}
        if twin is None:
            return
        for tensor, other in zip(node.inputs, twin.inputs, strict=True):
            if tensor is not None and tensor.source is None and id(tensor) in self._names:
                for axis, pair in enumerate(zip(tensor.shape, other.shape, strict=True)):
                    self._near.setdefault(pair, (self.get(tensor), axis))

    def _extent(self, pair: tuple[int, int]) -> str | None:
        """Return a tensor of one extent that is the first number now, and the second one for other inputs."""
        found = self._near.get(pair)
        if found is None and self._batches is not None:
            times, rest = divmod(pair[0], self._batches[0])
            if not rest and times * self._batches[1] == pair[1]:
                return self._of_batch(times)
        found = self._extents.get(pair) if found is None else found
        if found is None:
            return None
        name, axis = found
        return str(self.add("Gather", [self.add("Shape", [name]), self.ints([axis])], axis=0))

    def is_fixed(self, values: Sequence[int], other: Sequence[int] | None) -> bool:
        """Whether values are the same for every batch."""
        return other is None or tuple(values) == tuple(other)

    def fixed(self, values: Sequence[int], other: Sequence[int] | None) -> tuple[int, ...]:
        """Return values that must be the same for every batch.

        Raises:
            ValueError: they are not.
        """
        if not self.is_fixed(values, other):
            raise ValueError(f"[{self.path}] depends on the batch or sizes that were left open")
        return tuple(values)

    def shape(self, shape: Sequence[int], other: Sequence[int] | None, reshapes: bool = False) -> str:
        """Return a tensor with extents, computed from the inputs' where they follow these.

        Args:
            reshapes: it is Reshape's, where one extent may be left open.
        """
        if other is None or tuple(shape) == tuple(other):
            return self.ints(shape)
        moving = [i for i, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b]
        if reshapes and len(moving) == 1:
            return self.ints([-1 if i in moving else extent for i, extent in enumerate(shape)])
        pieces = []
        for i, extent in enumerate(shape):
            piece = self.ints([extent]) if i not in moving else self._extent((extent, other[i]))
            if piece is None:
                raise ValueError(
                    f"[{self.path}] an extent of {tuple(shape)} follows the inputs' in a way that is not "
                    f"written here; for others it is {tuple(other)}"
                )
            pieces.append(piece)
        return self.add("Concat", pieces, axis=0) if len(pieces) > 1 else pieces[0]

    def _of_batch(self, times: int) -> str:
        if not self._batch:
            whole = self.add("Shape", [self.first_input])
            self._batch = self.add("Gather", [whole, self.ints([0])], axis=0)
        return self._batch if times == 1 else self.add("Mul", [self._batch, self.ints([times])])
