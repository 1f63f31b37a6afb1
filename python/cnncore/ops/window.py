# SPDX-License-Identifier: Apache-2.0
"""Windows that move over spatial axes, and what a convolution does with its result."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..graph.tensor import Shape


class Window(NamedTuple):
    """A kernel over any number of spatial axes: an entry of each field for each axis.

    `begin` and `end` are the paddings before and after the input, `dilation` the distance between the
    kernel's elements.

    >>> Window.of((3, 3), stride=(2, 2), begin=(1, 1), end=(1, 1)).extents((224, 224))
    (112, 112)
    """

    kernel: Shape
    stride: Shape
    begin: Shape
    end: Shape
    dilation: Shape

    @classmethod
    def of(
        cls, kernel: Shape, stride: Shape = (), begin: Shape = (), end: Shape = (), dilation: Shape = ()
    ) -> Window:
        """Return a window of stride 1, without padding and dilation where none is given."""
        zeros, ones = (0,) * len(kernel), (1,) * len(kernel)
        return cls(kernel, stride or ones, begin or zeros, end or zeros, dilation or ones)

    def extents(self, size: Shape) -> Shape:
        """Return how many places the window has on each axis of an input of these extents."""
        return tuple(
            (extent + begin + end - dilation * (kernel - 1) - 1) // stride + 1
            for extent, kernel, stride, begin, end, dilation in zip(size, *self, strict=True)
        )

    def reach(self) -> Shape:
        """Return how many elements of each axis the kernel covers."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def is_point(self) -> bool:
        """Whether each output is made of the input at its place alone."""
        return self == Window.of((1,) * len(self.kernel), dilation=self.dilation)

    def settings(self, prefix: str = "") -> dict[str, Any]:
        """Return the window as a step of the machine takes it beside a weight, which has the kernel."""
        return {
            f"{prefix}stride": self.stride,
            f"{prefix}padding_begin": self.begin,
            f"{prefix}padding_end": self.end,
            f"{prefix}dilation": self.dilation,
        }


class Epilogue(NamedTuple):
    """What a step does with its result before it writes it: max pooling first, then an activation."""

    activation: str = "none"
    alpha: float = 0.0
    pool: Window | None = None

    def settings(self) -> dict[str, Any]:
        """Return the activation as a step of the machine takes it."""
        return {"activation": self.activation, "alpha": self.alpha}


PLAIN = Epilogue()
