# SPDX-License-Identifier: Apache-2.0
"""Dropout of elements, channels and branches."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import fraction, one_of
from .module import Module

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "StochasticDepth",
]


class Dropout(Module):
    """In training mode, zero each element with probability `p` and scale the rest by 1 / (1 - p).

    Args:
        p: probability from 0 to 1.
        inplace: taken for torch's sake: memory is planned either way.

    The elements follow from `cnncore.manual_seed`, the number of the run and the element's place, so
    they are the same on any number of threads.

    Raises:
        ValueError: `p` is not from 0 to 1.

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


class _Feature(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = fraction("p", p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(_Feature):
    """In training mode, zero whole channels of (batch, channels, length) with probability `p`.

    The others are scaled by 1 / (1 - p).

    >>> import numpy as np
    >>> float(Dropout1d(1.0)(np.ones((1, 2, 3))).sum())
    0.0
    """

    def forward(self, input: Any) -> Any:
        return ops.dropout1d(input, self.p, self.training)


class Dropout2d(_Feature):
    """In training mode, zero whole channels of (batch, channels, height, width) with probability `p`.

    The others are scaled by 1 / (1 - p).

    >>> import numpy as np
    >>> float(Dropout2d(1.0)(np.ones((1, 2, 3, 3))).sum())
    0.0
    """

    def forward(self, input: Any) -> Any:
        return ops.dropout2d(input, self.p, self.training)


class Dropout3d(_Feature):
    """In training mode, zero whole channels of (batch, channels, depth, height, width) with probability `p`.

    The others are scaled by 1 / (1 - p).

    >>> import numpy as np
    >>> float(Dropout3d(1.0)(np.ones((1, 2, 3, 3, 3))).sum())
    0.0
    """

    def forward(self, input: Any) -> Any:
        return ops.dropout3d(input, self.p, self.training)


class AlphaDropout(_Feature):
    """In training mode, set a share `p` of elements to what SELU saturates at; mean 0 and variance 1 stay.

    By Klambauer et al. (2017).

    >>> import numpy as np
    >>> AlphaDropout().eval()(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Feature):
    """In training mode, set whole channels, a share `p`, to what SELU saturates at; mean and variance stay.

    >>> import numpy as np
    >>> FeatureAlphaDropout().eval()(np.ones((1, 1, 2))).tolist()
    [[[1.0, 1.0]]]
    """

    def forward(self, input: Any) -> Any:
        return ops.feature_alpha_dropout(input, self.p, self.training)


class StochasticDepth(Module):
    """In training mode, zero a residual branch with probability `p` (Huang et al., 2016).

    Args:
        p: probability.
        mode: "batch" decides once for all samples, "row" for each sample by itself.

    Raises:
        ValueError: `p` is not from 0 to 1; another `mode`.

    >>> import numpy as np
    >>> StochasticDepth(0.5, "row").eval()(np.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = fraction("p", p), one_of("mode", mode, ("batch", "row"))

    def forward(self, input: Any) -> Any:
        return ops.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"
