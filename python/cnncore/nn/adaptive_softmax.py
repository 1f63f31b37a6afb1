# SPDX-License-Identifier: Apache-2.0
"""Softmax over many classes, rare ones in clusters of smaller layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from .arguments import finite, positive, several
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .placement import check_placement

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


_NONE = -(2**62)
"""A label that is left out: none that is a mistake."""


class _ASMoutput(NamedTuple):
    """Logarithms of the probabilities of the targets, and minus their mean."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of frequent classes by one layer, of rare ones by clusters (Grave et al., 2017).

    Classes are numbered by falling frequency. The head has the first `cutoffs[0]` of them and an output for
    each cluster; cluster i has the classes from cutoffs[i] on, behind a projection to
    in_features / div_value^(i + 1) features. A rare class has the probability of its cluster times that
    within the cluster.

    Args:
        in_features: size of the input's last axis.
        n_classes: number of classes.
        cutoffs: where clusters begin: rising numbers from 1 to n_classes - 1.
        div_value: how much smaller each cluster's features are than those before.
        head_bias: whether the head has a bias.
        device, dtype: None, a CPU and float32; others are refused.

    Called with input (batch, in_features) and target (batch,) it returns (output, loss): the target's
    log-probability of each sample, and minus their mean. All clusters are computed for all samples.

    Raises:
        ValueError: cutoffs that do not rise or reach `n_classes`; a `div_value` that leaves a cluster no
            features.

    >>> import numpy as np
    >>> layer = AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])
    >>> output, loss = layer(np.ones((3, 16)), np.array([0, 5, 19]))
    >>> output.shape, layer.log_prob(np.ones((3, 16))).shape
    ((3,), (3, 20))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.in_features = positive("in_features", in_features)
        self.n_classes = positive("n_classes", n_classes)
        limits = [positive("cutoffs", limit) for limit in several("cutoffs", cutoffs)]
        if not limits or limits != sorted(set(limits)) or limits[-1] > n_classes - 1:
            raise ValueError(
                f"expected cutoffs as rising numbers from 1 to {n_classes - 1}, got {list(cutoffs)}"
            )
        self.cutoffs = [*limits, self.n_classes]
        self.div_value, self.head_bias = finite("div_value", div_value, 0), bool(head_bias)
        self.shortlist_size, self.n_clusters = limits[0], len(limits)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(self.in_features, self.head_size, bias=self.head_bias)
        self.tail = ModuleList()
        for i, (begin, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            features = int(self.in_features // self.div_value ** (i + 1)) if self.div_value else 0
            if features < 1:
                raise ValueError(
                    f"expected a div_value that leaves features to {len(limits)} clusters, got {div_value}"
                )
            layers = Linear(self.in_features, features, bias=False), Linear(features, end - begin, bias=False)
            self.tail.append(Sequential(*layers))

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input: Any, target: Any) -> _ASMoutput:
        """Return (output, loss).

        Args:
            input: (batch, in_features), or (in_features,) for one sample.
            target: (batch,) integers from 0 to n_classes - 1, or one.

        Raises:
            ValueError: a target that is no class, or shapes that do not belong together.
        """
        single = np.ndim(target) == 0
        if single:
            input, target = ops.unsqueeze(input, 0), ops.unsqueeze(target, 0)
        output = -ops.nll_loss(self.log_prob(input), target, None, _NONE, "none")
        loss = -ops.mean(output)
        return _ASMoutput(output[0] if single else output, loss)

    def log_prob(self, input: Any) -> Any:
        """Return the log-probabilities of all classes, (batch, n_classes)."""
        head = ops.log_softmax(self.head(input), -1)
        parts = [head[..., : self.shortlist_size]]
        for i, layer in enumerate(self.tail):
            place = self.shortlist_size + i
            parts.append(ops.log_softmax(layer(input), -1) + head[..., place : place + 1])
        return ops.cat(parts, -1)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Return the most probable class of each sample of x (batch, in_features), (batch,).

        `batch_size` is accepted: all rows are computed at once.
        """
        return ops.argmax(self.log_prob(x), -1)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, n_classes={self.n_classes}, cutoffs={self.cutoffs[:-1]}, "
            f"div_value={self.div_value}, head_bias={self.head_bias}"
        )
