# SPDX-License-Identifier: Apache-2.0
"""What the `lower` methods of operations may ask of the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .._core import Packed
from .slots import Slot
from .tensor import Layout, Node, Shape, Tensor


class Builder(Protocol):
    """Collects the steps of a graph.

    `read_apart` are concatenations that are never made: their readers take the two parts. `read_in_place` are
    channels of a wider tensor that are read where they lie.
    """

    read_apart: set[Tensor]
    read_in_place: set[Tensor]

    def slot(self, tensor: Tensor) -> Slot:
        """Return the memory of a tensor."""

    def slots(self, tensors: Sequence[Tensor | None]) -> list[Slot | None]:
        """Return the memory of several tensors, None for absent ones."""

    def joined_slots(self, tensor: Tensor) -> list[Slot]:
        """Return the memory of a tensor, or of the two that it would be if its readers did not join them."""

    def temp(self, shape: Shape, dtype: str, layout: Layout = Layout.C) -> Slot:
        """Return new memory for use between steps."""

    def step(
        self,
        op: str,
        inputs: Sequence[Slot | None],
        outputs: Sequence[Slot | None],
        attrs: dict[str, Any] | None = None,
        inplace: Sequence[tuple[int, int]] = (),
        refused: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Add a step for the node being lowered.

        Args:
            op: a step of the machine.
            inputs: what it reads.
            outputs: what it writes.
            attrs: its settings.
            inplace: (output, input) pairs that may share memory.
            refused: algorithms that were not taken, each with the reason, for `explain`.
        """

    def node_step(self, node: Node, inplace: Sequence[tuple[int, int]] = ()) -> None:
        """Add the step that is named, and takes and gives the same, as its node."""

    def pack(self, op: str, source: Tensor, packed: Packed, attrs: dict[str, Any]) -> Slot:
        """Return `source` rearranged by step `op`; made once for all users, at setup where possible."""

    def alias(self, tensor: Tensor, base: Slot, offset: int = 0) -> None:
        """Let `tensor` be the memory of `base`, from byte `offset` on; copies where it cannot be."""

    def alias_channels(self, part: Tensor, whole: Tensor, channel: int) -> None:
        """Let `part` be the channels of `whole` from `channel` on."""

    def joined(self, node: Node) -> tuple[Tensor, int]:
        """Return the concatenation whose memory a concatenation is or begins, and how many of the tensors
        are there from a shorter one."""

    def is_static(self, tensor: Tensor) -> bool:
        """Whether the tensor's contents are known at setup."""

    def begin_portions(self, node: Node) -> None:
        """Let the steps from here on run for portions of the batch: those of the inputs are the outputs."""

    def end_portions(self) -> None:
        """Let the steps from here on run for the whole batch."""

    def bind_rng(self) -> Slot:
        """Return the memory of the random generator's state (seed, step)."""
