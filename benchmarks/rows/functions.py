# SPDX-License-Identifier: Apache-2.0
"""What passes over memory: pooling, norms, activations, resampling, embeddings, losses, optimiser steps.

Tensors are larger than the caches; images are channels-last for cnncore, and for torch whichever of both
formats is faster. A gradient is that of the result's sum. GB/s count what has to be read and written once,
gradients as well, and their share is of what a plain copy moves: of as many bytes, half of them written, in
turns with the row's other calls. An optimiser's row is a training step whose gradient costs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops
from cnncore.bench.timing import interleaved

from .convolution import BURST_SECONDS
from .record import OURS, LayerRow

Array = NDArray[Any]
Peer = Callable[["Function", str], dict[str, Callable[[], Any]]]

IMAGES = (16, 64, 56, 56)
MATRIX = (4096, 1024)
CLASSES = 21
SCALE = 4
"""Of the batch in what is measured: 51 MB of images, 67 of a matrix, where a third cache has 32."""
COPY = "copy"


@dataclass(frozen=True)
class Function:
    """One operation: `name` in `ops` and in torch.nn.functional or torch, positional arrays and settings."""

    family: str
    name: str
    arrays: tuple[Array, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    read: float | None = None
    """Bytes it has to read, where these are not all arrays'."""

    @property
    def differentiated(self) -> tuple[int, ...]:
        """Arguments that have a gradient."""
        return tuple(i for i, array in enumerate(self.arrays) if array.dtype == np.float32)

    def ours(self, *arrays: Any) -> Any:
        """The operation on arrays or tensors."""
        return getattr(ops, self.name)(*arrays, **self.settings)


def draw(*shape: int, seed: int = 0, channels_last: bool = True) -> Array:
    """Normal numbers, images in channels-last memory."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if len(shape) < 4 or not channels_last:
        return values
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


def functions(scale: int = SCALE) -> Iterator[Function]:
    """All of them, on batches `scale` times as large as the least."""
    shape = (scale * MATRIX[0], MATRIX[1])
    x, matrix = draw(scale * IMAGES[0], *IMAGES[1:]), draw(*shape)
    channels = np.linspace(0.5, 1.5, IMAGES[1], dtype=np.float32)
    for kernel in (2, 3):
        window = {"kernel_size": kernel, "stride": 2, "padding": kernel // 2}
        yield Function("pooling", "max_pool2d", (x,), window, f"max_pool2d {kernel}")
        yield Function("pooling", "avg_pool2d", (x,), window, f"avg_pool2d {kernel}")
    yield Function("pooling", "adaptive_avg_pool2d", (x,), {"output_size": 7})
    yield Function("norms", "group_norm", (x,), {"num_groups": 8})
    yield Function("norms", "instance_norm", (x,))
    width = MATRIX[1]
    affine = (np.ones(width, np.float32), np.zeros(width, np.float32))
    yield Function("norms", "layer_norm", (matrix,), {"normalized_shape": (width,)})
    yield Function("norms", "rms_norm", (matrix,), {"normalized_shape": (width,), "weight": affine[0]})
    yield Function("norms", "softmax", (matrix,), {"dim": 1})
    yield Function("norms", "log_softmax", (matrix,), {"dim": 1})
    for name in (
        "relu",
        "leaky_relu",
        "elu",
        "sigmoid",
        "tanh",
        "silu",
        "gelu",
        "hardswish",
        "mish",
        "softplus",
    ):
        yield Function("activations", name, (x,))
    yield Function("activations", "prelu", (x, channels))
    yield Function("activations", "gelu", (x,), {"approximate": "tanh"}, "gelu tanh")
    yield Function("activations", "glu", (x,), {"dim": 1})
    yield Function("activations", "glu", (matrix,), {"dim": 1}, "glu of rows")
    for mode in ("nearest", "bilinear", "bicubic"):
        settings = {"scale_factor": 2, "mode": mode}
        small = draw(scale * 8, 64, 28, 28)
        yield Function("resampling", "interpolate", (small,), settings, f"interpolate {mode}")
        one = draw(scale * 8, 1, 256, 256)
        yield Function("resampling", "interpolate", (one,), settings, f"interpolate {mode}, 1 channel")
    yield Function("resampling", "pixel_shuffle", (x,), {"upscale_factor": 2})
    yield Function("resampling", "pixel_unshuffle", (x,), {"downscale_factor": 2})
    yield Function("resampling", "channel_shuffle", (x,), {"groups": 4})
    for mode in ("constant", "reflect"):
        yield Function("resampling", "pad", (x,), {"pad": (1, 1, 1, 1), "mode": mode}, f"pad {mode}")
    yield Function("scans", "cumsum", (matrix,), {"dim": 1}, "cumsum of rows")
    yield Function("scans", "cumsum", (matrix.ravel(),), {"dim": 0}, "cumsum of a vector")
    rng = np.random.default_rng(0)
    yield from embeddings(scale, rng)
    yield from losses(matrix, scale, rng)


def embeddings(scale: int, rng: np.random.Generator) -> Iterator[Function]:
    """Of tables whose rows are read at drawn places; each row counts once for each time it is read."""
    indices, table = rng.integers(0, 50000, scale * 16384), draw(50000, 256)
    read = float(indices.nbytes + 4 * table.shape[1] * indices.size)
    yield Function("embedding", "embedding", (indices, table), read=read)
    offsets = np.arange(0, indices.size, 16)
    for mode in ("sum", "mean", "max"):
        yield Function(
            "embedding",
            "embedding_bag",
            (indices, table, offsets),
            {"mode": mode},
            f"embedding_bag {mode}",
            read,
        )


def losses(matrix: Array, scale: int, rng: np.random.Generator) -> Iterator[Function]:
    """Of large matrices, maps and vectors."""
    other = draw(*matrix.shape, seed=1)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        yield Function("losses", name, (matrix, other))
    share = rng.random(matrix.shape, np.float32)
    yield Function("losses", "binary_cross_entropy_with_logits", (matrix, share))
    labels = rng.integers(0, matrix.shape[1], matrix.shape[0])
    yield Function("losses", "cross_entropy", (matrix, labels))
    maps = draw(scale * 8, CLASSES, 128, 128)
    of_maps = rng.integers(0, CLASSES, (scale * 8, 128, 128))
    yield Function("losses", "cross_entropy", (maps, of_maps), {}, "cross_entropy of maps")
    logarithms = draw(scale * 8, CLASSES, 128, 128, channels_last=False)
    touched = 1 - (1 - 1 / CLASSES) ** 16  # of the lines, each of 16 pixels' values for one class
    read = touched * logarithms.nbytes + of_maps.nbytes
    yield Function("losses", "nll_loss", (logarithms, of_maps), {}, "nll_loss of maps", read)
    yield Function("losses", "triplet_margin_loss", tuple(draw(*matrix.shape, seed=i) for i in range(3)))


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.01, "momentum": 0.9},
    "Adam": {"lr": 0.01},
    "AdamW": {"lr": 0.01},
    "RMSprop": {"lr": 0.01},
    "Muon": {"lr": 0.01},
}
"""Name in `optim` and torch.optim -> settings; steps on one matrix."""
PARAMETER = (2048, 2048)
STATES = {"SGD": 1, "Adam": 2, "AdamW": 2, "RMSprop": 1}
"""Arrays of the parameter's shape that a step reads and writes beside it; Muon's step is products."""


def optimizer_step(name: str) -> Callable[[], Any]:
    """A step of cnncore's: the loss is the sum of the parameter times an array, which is the gradient."""
    weight = nn.Parameter(draw(*PARAMETER))
    factors = draw(*PARAMETER, seed=1)
    step = cc.train_step(lambda g: ops.sum(weight * g), getattr(cc.optim, name)([weight], **OPTIMIZERS[name]))
    return lambda: step(factors)


def measure(filter: str, seconds: float, peers: Sequence[Peer], scale: int = SCALE) -> Iterator[LayerRow]:
    """Time what `filter` finds, forward and with gradients, against the peers' same operations."""
    for function in functions(scale):
        for direction in ("forward", "gradient"):
            row = LayerRow(function.family, function.label or function.name, direction, 0, "")
            if not re.search(filter, f"{row.family} {row.name} {direction}"):
                continue
            run, result = _call(function, direction)
            read = function.read
            if read is None:
                read = float(sum(array.nbytes for array in function.arrays))
            row.bytes = read + sum(np.asarray(array).nbytes for array in result)
            calls: dict[str, Callable[[], Any]] = {OURS: run}
            for peer in peers:
                calls.update(peer(function, direction))
            yield _timed(row, calls, seconds)
    for name in OPTIMIZERS:
        row = LayerRow("optimisers", name, "step", 0, "x".join(map(str, PARAMETER)))
        if name in STATES:  # the parameter and the states twice, the gradient once
            row.bytes = 4.0 * float(np.prod(PARAMETER)) * (3 + 2 * STATES[name])
        if not re.search(filter, f"{row.family} {row.name}"):
            continue
        calls = {OURS: optimizer_step(name)}
        for peer in peers:
            calls.update(peer(Function("optimisers", name, ()), "step"))
        yield _timed(row, calls, seconds)


def copying(size: float, threads: int) -> Callable[[], Any]:
    """Copies `size` / 2 bytes, a part on each thread."""
    source = np.ones((threads, max(1, int(size) // (8 * threads))), np.float32)
    target = np.zeros_like(source)
    if threads == 1:
        return lambda: np.copyto(target, source)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.copyto, target, source))


def _call(function: Function, direction: str) -> tuple[Callable[[], Any], list[Array]]:
    if direction == "forward":
        return lambda: function.ours(*function.arrays), [function.ours(*function.arrays)]
    gradient = cc.grad(lambda *arrays: ops.sum(function.ours(*arrays)), argnums=function.differentiated)
    return lambda: gradient(*function.arrays), list(gradient(*function.arrays))


def _timed(row: LayerRow, calls: dict[str, Callable[[], Any]], seconds: float) -> LayerRow:
    if row.bytes:
        calls[COPY] = copying(row.bytes, cc.get_num_threads())
    row.times = interleaved(calls, seconds, burst=BURST_SECONDS)
    if row.bytes:
        row.memory_gbytes = row.bytes / row.times.pop(COPY).minimum / 1e9
    return row
