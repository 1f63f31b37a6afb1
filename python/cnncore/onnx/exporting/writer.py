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
    """

    def __init__(self, stored: dict[int, str], batches: tuple[int, int] | None) -> None:
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
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
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

    # -- shapes that follow the batch ---------------------------------------------------------------------

    def _multiples(self, shape: Sequence[int], other: Sequence[int] | None) -> list[int | None]:
        """Return for each extent None where it is fixed, else how often it has the batch."""
        if other is None or self._batches is None:
            return [None] * len(shape)
        first, second = self._batches
        found: list[int | None] = []
        for a, b in zip(shape, other, strict=True):
            times, rest = divmod(a, first)
            if a != b and (rest or times * second != b):
                raise ValueError(
                    f"[{self.path}] an extent that is {a} for batch {first} and {b} for {second}"
                )
            found.append(None if a == b else times)
        return found

    def is_fixed(self, values: Sequence[int], other: Sequence[int] | None) -> bool:
        """Whether values are the same for every batch."""
        return other is None or tuple(values) == tuple(other)

    def fixed(self, values: Sequence[int], other: Sequence[int] | None) -> tuple[int, ...]:
        """Return values that must be the same for every batch.

        Raises:
            ValueError: they are not.
        """
        if not self.is_fixed(values, other):
            raise ValueError(f"[{self.path}] depends on the batch, which dynamic_batch leaves open")
        return tuple(values)

    def shape(self, shape: Sequence[int], other: Sequence[int] | None, reshapes: bool = False) -> str:
        """Return a tensor with extents, computed from the batch where they depend on it.

        Args:
            reshapes: it is Reshape's, where one extent may be left open.
        """
        multiples = self._multiples(shape, other)
        moving = [i for i, times in enumerate(multiples) if times is not None]
        if not moving:
            return self.ints(shape)
        if reshapes and len(moving) == 1:
            return self.ints([-1 if i in moving else extent for i, extent in enumerate(shape)])
        pieces = [
            self.ints([extent]) if times is None else self._of_batch(times)
            for extent, times in zip(shape, multiples, strict=True)
        ]
        return self.add("Concat", pieces, axis=0) if len(pieces) > 1 else pieces[0]

    def _of_batch(self, times: int) -> str:
        if not self._batch:
            whole = self.add("Shape", [self.first_input])
            self._batch = self.add("Gather", [whole, self.ints([0])], axis=0)
        return self._batch if times == 1 else self.add("Mul", [self._batch, self.ints([times])])
