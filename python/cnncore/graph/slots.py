# SPDX-License-Identifier: Apache-2.0
"""What a lowered graph is made of: steps that read and write slots of memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .dtype import ITEM_SIZE
from .tensor import Layout, Node, Shape, dense_strides


class Slot:
    """A piece of memory a step reads or writes.

    `kind` is "temp" (the arena), "input", "output", "bound" (memory from before the program) or
    "persistent" (what setup steps leave for the runs). A slot with a `base` lies inside that slot. One with
    a `pitch` is some of the channels of its base, `pitch` elements from pixel to pixel. One with an `advance`
    is a portion of the batch that its base is, the next one so many bytes further on.
    """

    __slots__ = ("advance", "base", "dtype", "kind", "layout", "offset", "pitch", "shape", "source")

    def __init__(
        self, shape: Shape, dtype: str, layout: Layout, kind: str = "temp", source: Any = None
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.layout = layout
        self.kind = kind
        self.source = source
        self.base: Slot | None = None
        self.offset = 0
        self.pitch = 0
        self.advance = 0

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEM_SIZE[self.dtype]

    def root(self) -> Slot:
        """Return the slot whose memory this one uses."""
        slot = self
        while slot.base is not None:
            slot = slot.base
        return slot

    def offset_in_root(self) -> int:
        """Return where this slot begins in its root, in bytes."""
        slot, offset = self, 0
        while slot.base is not None:
            offset += slot.offset
            slot = slot.base
        return offset

    def advance_in_root(self) -> int:
        """Return the bytes between the portions that this slot is one after the other; 0: it is one value."""
        slot, advance = self, self.advance
        while slot.base is not None:
            slot = slot.base
            advance += slot.advance
        return advance

    def strides(self) -> Shape:
        """Return the strides, in elements, of a slot without a pitch."""
        assert not self.pitch
        return dense_strides(self.shape, self.layout)


class Step:
    """One call of the machine, for a node or for none.

    `inplace` lists (output, input) pairs that may share memory. Neighbours with the same `portions` run
    together for one portion of the batch after the other.
    """

    __slots__ = (
        "attrs",
        "index",
        "inplace",
        "inputs",
        "node",
        "op",
        "outputs",
        "portions",
        "refused",
        "setup",
    )

    def __init__(
        self,
        op: str,
        inputs: Sequence[Slot | None],
        outputs: Sequence[Slot | None],
        attrs: dict[str, Any],
        node: Node | None,
        setup: bool,
        inplace: Sequence[tuple[int, int]],
        refused: Sequence[tuple[str, str]],
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.attrs = attrs
        self.node = node
        self.setup = setup
        self.inplace = inplace
        self.refused = refused
        self.portions: Portions | None = None
        self.index = -1

    @property
    def label(self) -> str:
        """The layer's path."""
        return self.node.path if self.node is not None else ""

    @property
    def recomputed(self) -> bool:
        """Whether the step does on purpose what an earlier one has done."""
        return self.node is not None and self.node.origin.recomputed

    def slots(self) -> list[Slot]:
        """Return every slot read or written."""
        return [slot for slot in (*self.inputs, *self.outputs) if slot is not None]


class Portions:
    """The steps that run for one portion of the batch after the other."""

    def __init__(self, count: int) -> None:
        self.count = count
