# SPDX-License-Identifier: Apache-2.0
"""Layers that take the number of input features or channels from the first input."""

from __future__ import annotations

import sys
import threading
from typing import Any, ClassVar

from ..graph.locks import fork_safe
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from ..ops.check import require_rank
from . import init
from .arguments import positive
from .conv import Conv1d, Conv2d, Conv3d, Convolution
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, ChannelNorm
from .placement import check_placement
from .sample_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .uninitialized import Uninitialized, UninitializedBuffer, UninitializedParameter

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
]

_lock = fork_safe(sys.modules[__name__], "_lock", threading.Lock)


class Lazy(Module):
    """A layer until its first call, which makes it one of class `becomes`.

    The first call is any that traces `forward`: of the model on arrays, `cc.summary`, `cc.compile`, a step.
    Parameters stay the objects they are, so that optimisers may be made before; until then they have no
    shape, and using them raises ValueError. Loading a state gives them one, too.
    """

    becomes: ClassVar[Any]
    counted: ClassVar[str]
    """The attribute that is not known yet."""

    def _wait(self, least: int = 1, **settings: Any) -> None:
        """Set up everything but what depends on the input.

        Args:
            least: an input count that the settings allow.
            settings: arguments of `becomes` behind the first one.
        """
        Module.__init__(self)
        with init.undrawn():
            sample = self.becomes(least, **settings)
        for name, value in vars(sample).items():
            if name not in vars(self):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "_settings", settings)
        setattr(self, self.counted, 0)
        for name, parameter in sample._parameters.items():
            self.register_parameter(name, parameter and UninitializedParameter(name))
        for name, buffer in sample._buffers.items():
            known = buffer is None or not buffer.ndim
            self.register_buffer(name, buffer if known else UninitializedBuffer(name))

    def input_count(self, input: Tensor) -> int:
        """Return the number of features or channels of an input, or raise for one of the wrong rank."""
        raise NotImplementedError

    def forward(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        with _lock:
            if isinstance(self, Lazy):  # no other thread's call was faster
                self._initialize(as_tensor(input, type(self).__name__))
        return self.forward(input, *args, **kwargs)

    def _initialize(self, input: Tensor) -> None:
        count = self.input_count(input)
        real = self.becomes(count, **self._settings)
        for table in ("_parameters", "_buffers"):
            for name, mine in vars(self)[table].items():
                wanted = vars(real)[table][name]
                if mine is not None and not isinstance(mine, Uninitialized) and mine.shape != wanted.shape:
                    raise shape_error(
                        type(self).__name__,
                        f"expected an input for the loaded {name} of shape {mine.shape}, got {input.shape}, "
                        f"for which it would be {wanted.shape}",
                    )
        with self._changing():
            for table in ("_parameters", "_buffers"):
                for name, mine in vars(self)[table].items():
                    if isinstance(mine, Uninitialized):
                        mine.become(vars(real)[table][name])
            vars(self)[self.counted] = count
            vars(self)["_construction"] = vars(real)["_construction"]
            del vars(self)["_settings"]
            self.__class__ = self.becomes


class LazyLinear(Lazy, Linear):
    """`Linear` whose `in_features` is that of its first input.

    Args:
        out_features: size of the last axis of the output.
        bias: whether to add a learnt bias.
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: a first input without axes.

    >>> import numpy as np
    >>> layer = LazyLinear(10)
    >>> layer(np.zeros((2, 5408))).shape
    (2, 10)
    >>> layer
    Linear(in_features=5408, out_features=10, bias=True)
    """

    becomes = Linear
    counted = "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        self._wait(out_features=out_features, bias=bias, device=device, dtype=dtype)

    def input_count(self, input: Tensor) -> int:
        if not input.ndim:
            raise shape_error("LazyLinear", "expected input (..., features), got a number")
        return input.shape[-1]


class _LazyConvolution(Lazy, Convolution):
    counted = "in_channels"

    def input_count(self, input: Tensor) -> int:
        require_rank(input, self.rank + 2, type(self).__name__)
        channels = input.shape[1]
        if channels % self.groups:
            raise shape_error(
                type(self).__name__,
                f"expected input with a multiple of {self.groups} channels (groups), got {input.shape}",
            )
        return channels


class _LazyConv(_LazyConvolution):
    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._wait(
            positive("groups", groups),
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class _LazyConvTranspose(_LazyConvolution):
    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._wait(
            positive("groups", groups),
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
            dilation=dilation,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class _LazyNorm(Lazy, ChannelNorm):
    counted = "num_features"

    def input_count(self, input: Tensor) -> int:
        self._require_axes(input)
        return input.shape[1]


class _LazyBatchNorm(_LazyNorm):
    def __init__(
        self,
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
        self._wait(
            eps=eps, momentum=momentum, affine=affine, track_running_stats=track_running_stats, bias=bias
        )


class _LazyInstanceNorm(_LazyNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        self._wait(eps=eps, momentum=momentum, affine=affine, track_running_stats=track_running_stats)


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConv1d(4, 3)(np.zeros((8, 3, 20))).shape
    (8, 4, 18)
    """

    becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConv2d(4, 3)(np.zeros((8, 3, 20, 20))).shape
    (8, 4, 18, 18)
    """

    becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConv3d(4, 3)(np.zeros((2, 3, 8, 8, 8))).shape
    (2, 4, 6, 6, 6)
    """

    becomes = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """`ConvTranspose1d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConvTranspose1d(4, 3)(np.zeros((8, 3, 20))).shape
    (8, 4, 22)
    """

    becomes = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """`ConvTranspose2d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConvTranspose2d(4, 3)(np.zeros((8, 3, 20, 20))).shape
    (8, 4, 22, 22)
    """

    becomes = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """`ConvTranspose3d` whose `in_channels` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyConvTranspose3d(4, 3)(np.zeros((2, 3, 8, 8, 8))).shape
    (2, 4, 10, 10, 10)
    """

    becomes = ConvTranspose3d


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """`BatchNorm1d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyBatchNorm1d()(np.zeros((8, 3, 20))).shape
    (8, 3, 20)
    """

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """`BatchNorm2d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyBatchNorm2d()(np.zeros((8, 3, 20, 20))).shape
    (8, 3, 20, 20)
    """

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """`BatchNorm3d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyBatchNorm3d()(np.zeros((2, 3, 8, 8, 8))).shape
    (2, 3, 8, 8, 8)
    """

    becomes = BatchNorm3d


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyInstanceNorm1d()(np.zeros((8, 3, 20))).shape
    (8, 3, 20)
    """

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyInstanceNorm2d()(np.zeros((8, 3, 20, 20))).shape
    (8, 3, 20, 20)
    """

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose `num_features` is that of its first input; the other arguments are the same.

    >>> import numpy as np
    >>> LazyInstanceNorm3d()(np.zeros((2, 3, 8, 8, 8))).shape
    (2, 3, 8, 8, 8)
    """

    becomes = InstanceNorm3d
