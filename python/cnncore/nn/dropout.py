# SPDX-License-Identifier: Apache-2.0
"""Dropout."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import fraction
from .module import Module


class Dropout(Module):
    """In training mode, zero each element with probability `p` and scale the rest by 1 / (1 - p).

    Args:
        p: probability from 0 to 1.
        inplace: taken for torch's sake: memory is planned either way.

    The elements follow from `cnncore.manual_seed`, the number of the run and the element's place, so
    they are the same on any number of threads.

    >>> import numpy as np
    >>> Dropout(0.5).eval()(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = fraction("p", p)

    def forward(self, input: Any) -> Any:
        return ops.dropout(input, self.p, training=self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
