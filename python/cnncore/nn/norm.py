# SPDX-License-Identifier: Apache-2.0
"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..graph.arrays import aligned_empty
from ..graph.trace import count_call, current_graph, is_tracing, shape_error
from ..ops.sync_norm import sync_batch_norm
from . import init
from .arguments import finite, fraction, positive
from .module import Module
from .parameter import Buffer, Parameter
from .placement import check_placement

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "SyncBatchNorm"]


class ChannelNorm(Module):
    """What normalises channels and may keep running statistics of them."""

    axes: tuple[str, ...]
    """Inputs that are taken."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.num_features = positive("num_features", num_features)
        self.eps = finite("eps", eps, 0)
        self.momentum = None if momentum is None else fraction("momentum", momentum)
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        shape = (self.num_features,)
        self.register_parameter("weight", Parameter(aligned_empty(shape)) if affine else None)
        self.register_parameter("bias", Parameter(aligned_empty(shape)) if affine and bias else None)
        tracked = self.track_running_stats
        self.register_buffer("running_mean", Buffer(np.zeros(shape)) if tracked else None)
        self.register_buffer("running_var", Buffer(np.ones(shape)) if tracked else None)
        counter = Buffer(np.int64(0), optional=True) if tracked else None
        self.register_buffer("num_batches_tracked", counter)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running statistics back to mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            self.running_mean.assign(np.zeros(self.num_features))
            self.running_var.assign(np.ones(self.num_features))
            self.num_batches_tracked.assign(0)

    def reset_parameters(self) -> None:
        """Set the running statistics, weight (1) and bias (0) to their initial values."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _require_axes(self, input: Any) -> None:
        if input.ndim not in [axes.count(",") + 1 for axes in self.axes]:
            raise shape_error(
                type(self).__name__, f"expected input {' or '.join(self.axes)}, got shape {input.shape}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm(ChannelNorm):
    """What normalises channels over a batch; with running statistics that it uses and keeps when `frozen`."""

    frozen = False
    """Whether training mode, too, uses the running statistics and leaves them as they are (`cc.freeze`)."""

    def _share(self) -> Any:
        """Count this batch and return its weight in the running statistics."""
        if self.frozen or not (self.training and self.track_running_stats):
            return 0.0  # there are none, or they stay
        count_call(self.num_batches_tracked)
        if self.momentum is not None:
            return self.momentum
        return 1.0 / (self.num_batches_tracked + 1)  # the buffer grows when the program has run

    def forward(self, input: Any) -> Any:
        self._require_axes(input)
        return ops.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=(self.training and not self.frozen) or not self.track_running_stats,
            momentum=self._share(),
            eps=self.eps,
        )


class BatchNorm1d(BatchNorm):
    """Batch normalisation of each channel over (batch,) or (batch, length), by Ioffe and Szegedy (2015).

    Args:
        num_features: channels of the input (batch, num_features) or (batch, num_features, length).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None for the average of all batches.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the batch's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> norm = BatchNorm1d(2)
    >>> y = norm(np.random.default_rng(0).normal(3, 2, (8, 2)))
    >>> bool(abs(y.mean()) < 1e-5), norm.num_batches_tracked.item()
    (True, 1)
    """

    axes = ("(batch, features)", "(batch, channels, length)")


class BatchNorm2d(BatchNorm):
    """Batch normalisation of each channel over (batch, height, width), by Ioffe and Szegedy (2015).

    Args:
        num_features: channels of the input (batch, num_features, height, width).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None for the average of all batches.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the batch's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> norm = BatchNorm2d(2)
    >>> y = norm(np.random.default_rng(0).normal(3, 2, (8, 2, 5, 5)))
    >>> bool(abs(y.mean()) < 1e-5), norm.num_batches_tracked.item()
    (True, 1)
    """

    axes = ("(batch, channels, height, width)",)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of each channel over (batch, depth, height, width), by Ioffe and Szegedy (2015).

    Args:
        num_features: channels of the input (batch, num_features, depth, height, width).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None for the average of all batches.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the batch's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> norm = BatchNorm3d(2)
    >>> y = norm(np.random.default_rng(0).normal(3, 2, (8, 2, 3, 5, 5)))
    >>> bool(abs(y.mean()) < 1e-5), norm.num_batches_tracked.item()
    (True, 1)
    """

    axes = ("(batch, channels, depth, height, width)",)


class SyncBatchNorm(BatchNorm):
    """Batch normalisation over the rows of all processes that train together (``comm=`` of `cc.train_step`
    and `cc.Trainer`), whatever part of them each has.

    Everywhere else it equals BatchNorm1d, 2d and 3d, whose state_dict it has. `convert_sync_batchnorm` puts
    it in their places.

    Args:
        num_features, eps, momentum, affine, track_running_stats, bias: as for BatchNorm2d; the input is
            (batch, num_features, ...).
        process_group: None; the processes are those of ``comm=``.

    Raises:
        ValueError: a `process_group`.

    >>> import numpy as np
    >>> SyncBatchNorm(2)(np.ones((2, 2, 3))).shape
    (2, 2, 3)
    """

    axes = (*BatchNorm1d.axes, *BatchNorm2d.axes, *BatchNorm3d.axes)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            raise ValueError(
                f"expected process_group None, got {process_group!r}: the processes are those of comm="
            )
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        together = is_tracing() and current_graph().exchange is not None
        if not together or not self.training or self.frozen:
            return super().forward(input)
        self._require_axes(input)
        return sync_batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self._share(), self.eps
        )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Put a SyncBatchNorm in the place of each BatchNorm1d, 2d and 3d, with its parameters and buffers.

        Args:
            module: changed in place, and returned; one that is a batch norm itself is left as it is.
            process_group: None.

        Returns:
            `module`, or what takes its place.

        >>> from cnncore import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        >>> type(nn.SyncBatchNorm.convert_sync_batchnorm(net)[1]).__name__
        'SyncBatchNorm'
        """
        if isinstance(module, BatchNorm) and not isinstance(module, cls):
            return cls._like(module, process_group)
        for name, child in module.named_children():
            changed = cls.convert_sync_batchnorm(child, process_group)
            if changed is not child:
                setattr(module, name, changed)
        return module

    @classmethod
    def _like(cls, norm: BatchNorm, process_group: Any) -> SyncBatchNorm:
        """Return a layer with the settings, parameters and buffers of another."""
        made = cls(
            norm.num_features,
            norm.eps,
            norm.momentum,
            norm.affine,
            norm.track_running_stats,
            process_group,
            bias=norm.bias is not None,
        )
        for name in ("weight", "bias"):
            made.register_parameter(name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            made.register_buffer(name, getattr(norm, name))
        made.train(norm.training)
        made.frozen = norm.frozen
        return made


class GroupNorm(Module):
    """Normalisation of each sample over groups of neighbouring channels, by Wu and He (2018).

    Args:
        num_groups: groups of the channels, all of one size.
        num_channels: channels of the input (batch, num_channels, ...).
        eps: added to the variance.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        bias: False leaves the learnt `bias` out.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.

    >>> import numpy as np
    >>> norm = GroupNorm(2, 4)
    >>> y = norm(np.random.default_rng(0).normal(3, 2, (8, 4, 5, 5)))
    >>> bool(abs(y.mean((2, 3)).reshape(8, 2, 2).mean(2)).max() < 1e-5)
    True
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.num_groups = positive("num_groups", num_groups)
        self.num_channels = positive("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"expected num_channels to divide into {num_groups} groups of one size, got {num_channels}"
            )
        self.eps = finite("eps", eps, 0)
        self.affine = bool(affine)
        shape = (self.num_channels,)
        self.register_parameter("weight", Parameter(aligned_empty(shape)) if affine else None)
        self.register_parameter("bias", Parameter(aligned_empty(shape)) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        settings = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{settings}, bias={self.bias is not None}"
