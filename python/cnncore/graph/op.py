# SPDX-License-Identifier: Apache-2.0
"""What an operation of the graph must say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from .tensor import Node, Shape, Tensor

if TYPE_CHECKING:
    from .lower import Builder

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
    reads_parts: ClassVar[tuple[int, ...]] = ()
    """Inputs that may be some of the channels of a wider tensor, with gaps from pixel to pixel."""
    joins_portions: ClassVar[bool] = False
    """Whether the inputs are portions of the outputs, which are batches."""
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

    def lower(self, node: Node, builder: Builder) -> None:
        """Add the steps that compute the node."""
        raise NotImplementedError


class _Registry(dict[str, Op]):
    """Operations by name; those of `cnncore.ops` are there once one is asked for."""

    def __missing__(self, name: str) -> Op:
        import_module("cnncore.ops")
        if name not in self:
            raise ValueError(f"unknown operation {name!r}")
        return self[name]


OPS = _Registry()
"""Every operation by name; saved graphs name theirs."""
