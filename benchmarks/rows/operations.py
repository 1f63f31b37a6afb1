# SPDX-License-Identifier: Apache-2.0
"""The operations of `functions`, on tensors larger than the caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .functions import Function, draw

IMAGES = (16, 64, 56, 56)
SIGNALS = (16, 64, 3136)
VOLUMES = (16, 64, 8, 28, 14)
MATRIX = (4096, 1024)
CLASSES = 21
SCALE = 4
"""Of the batch in what is measured: 51 MB of images, 67 of a matrix, where a third cache has 32."""

ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "sigmoid", "logsigmoid", "tanh", "tanhshrink"),
    *("silu", "gelu", "mish", "softplus", "softsign", "hardswish", "hardsigmoid", "hardtanh"),
    *("hardshrink", "softshrink", "rrelu"),
)
MODES: dict[str, dict[str, Any]] = {
    "nearest": {},
    "nearest-exact": {},
    "bilinear": {},
    "bilinear, corners": {"align_corners": True},
    "bicubic": {},
    "bicubic, corners": {"align_corners": True},
    "area": {},
}


def functions(scale: int = SCALE) -> Iterator[Function]:
    """All of them, on batches `scale` times as large as the least."""
    images = draw(scale * IMAGES[0], *IMAGES[1:])
    matrix = draw(scale * MATRIX[0], MATRIX[1])
    rng = np.random.default_rng(0)
    yield from pooling(images, scale)
    yield from norms(images, matrix)
    yield from activations(images, matrix)
    yield from resampling(images, scale)
    yield Function("scans", "cumsum", (matrix,), {"dim": 1}, "cumsum of rows", linear=True)
    yield Function("scans", "cumsum", (matrix.ravel(),), {"dim": 0}, "cumsum of a vector", linear=True)
    yield from embeddings(scale, rng)
    yield from losses(matrix, scale, rng)
    yield from margins(matrix, rng)


def pooling(images: Any, scale: int) -> Iterator[Function]:
    """Each kind over images, the usual ones over signals and volumes."""
    for kernel in (2, 3):
        window = {"kernel_size": kernel, "stride": 2, "padding": kernel // 2}
        yield Function("pooling", "max_pool2d", (images,), window, f"max_pool2d {kernel}")
        yield Function("pooling", "avg_pool2d", (images,), window, f"avg_pool2d {kernel}", linear=True)
    dilated = {"kernel_size": 3, "stride": 2, "dilation": 2, "ceil_mode": True}
    yield Function("pooling", "max_pool2d", (images,), dilated, "max_pool2d dilated")
    yield Function("pooling", "lp_pool2d", (images,), {"norm_type": 2.0, "kernel_size": 2})
    for size in (7, 1):
        label = "adaptive_{}_pool2d" + f" {size}"
        settings = {"output_size": size}
        yield Function(
            "pooling", "adaptive_avg_pool2d", (images,), settings, label.format("avg"), linear=True
        )
        yield Function("pooling", "adaptive_max_pool2d", (images,), settings, label.format("max"))
    for axes, shape in ((1, SIGNALS), (3, VOLUMES)):
        x = draw(scale * shape[0], *shape[1:])
        yield Function("pooling", f"max_pool{axes}d", (x,), {"kernel_size": 2})
        yield Function("pooling", f"avg_pool{axes}d", (x,), {"kernel_size": 2}, linear=True)


def norms(images: Any, matrix: Any) -> Iterator[Function]:
    """Over channels, groups, images and rows."""
    width, channels = matrix.shape[1], images.shape[1]
    statistics = (np.zeros(channels, np.float32), np.ones(channels, np.float32))
    training = {"running_mean": statistics[0], "running_var": statistics[1], "training": True}
    yield Function("norms", "batch_norm", (images,), training, passes=2)
    yield Function("norms", "group_norm", (images,), {"num_groups": 8})
    yield Function("norms", "instance_norm", (images,))
    yield Function("norms", "local_response_norm", (images,), {"size": 5})
    yield Function("norms", "normalize", (images,))
    yield Function("norms", "layer_norm", (matrix,), {"normalized_shape": (width,)})
    weight = np.ones(width, np.float32)
    yield Function("norms", "rms_norm", (matrix,), {"normalized_shape": (width,), "weight": weight})
    yield Function("norms", "normalize", (matrix,), {}, "normalize rows")
    for name in ("softmax", "log_softmax", "softmin"):
        yield Function("norms", name, (matrix,), {"dim": 1})
    yield Function("norms", "softmax", (images,), {"dim": 1}, "softmax of channels")


def activations(images: Any, matrix: Any) -> Iterator[Function]:
    """Each of them, over images."""
    for name in ACTIVATIONS:
        yield Function("activations", name, (images,))
    yield Function("activations", "gelu", (images,), {"approximate": "tanh"}, "gelu tanh")
    yield Function("activations", "threshold", (images,), {"threshold": 0.1, "value": 20.0})
    slopes = np.linspace(0.5, 1.5, images.shape[1], dtype=np.float32)
    yield Function("activations", "prelu", (images, slopes))
    yield Function("gates", "glu", (images,), {"dim": 1})
    yield Function("gates", "glu", (matrix,), {"dim": 1}, "glu of rows")


def resampling(images: Any, scale: int) -> Iterator[Function]:
    """Twice as large, of many channels and of one; pixels and channels in another order; padding."""
    for name, settings in MODES.items():
        for channels, size, label in ((64, 56, name), (1, 448, f"{name}, 1 channel")):
            mode = {"scale_factor": 2, "mode": name.partition(",")[0], **settings}
            x = draw(scale * 4, channels, size, size)
            yield Function("resampling", "interpolate", (x,), mode, f"interpolate {label}", linear=True)
    smaller = {"scale_factor": 0.5, "mode": "bilinear", "antialias": True}
    yield Function("resampling", "interpolate", (images,), smaller, "interpolate antialias", linear=True)
    signals, volumes = draw(scale * 8, *SIGNALS[1:]), draw(scale * 2, *VOLUMES[1:])
    for x, mode in ((signals, "linear"), (volumes, "trilinear")):
        settings = {"scale_factor": 2, "mode": mode}
        yield Function("resampling", "interpolate", (x,), settings, f"interpolate {mode}", linear=True)
    yield Function("resampling", "pixel_shuffle", (images,), {"upscale_factor": 2}, linear=True)
    yield Function("resampling", "pixel_unshuffle", (images,), {"downscale_factor": 2}, linear=True)
    yield Function("resampling", "channel_shuffle", (images,), {"groups": 4}, linear=True)
    for mode in ("constant", "reflect", "replicate", "circular"):
        settings = {"pad": (1, 1, 1, 1), "mode": mode}
        yield Function("resampling", "pad", (images,), settings, f"pad {mode}", linear=True)


def embeddings(scale: int, rng: np.random.Generator) -> Iterator[Function]:
    """Of tables whose rows are read at drawn places; each row counts once for each time it is read."""
    indices, table = rng.integers(0, 50000, scale * 16384), draw(50000, 256)
    read = float(indices.nbytes + 4 * table.shape[1] * indices.size)
    yield Function("embedding", "embedding", (indices, table), read=read, linear=True)
    offsets = np.arange(0, indices.size, 16)
    for mode in ("sum", "mean", "max"):
        label, arrays = f"embedding_bag {mode}", (indices, table, offsets)
        yield Function("embedding", "embedding_bag", arrays, {"mode": mode}, label, read, linear=True)


def losses(matrix: Any, scale: int, rng: np.random.Generator) -> Iterator[Function]:
    """Of large matrices, maps and vectors."""
    other = draw(*matrix.shape, seed=1)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss"):
        yield Function("losses", name, (matrix, other))
    share, positive = rng.random(matrix.shape, np.float32), rng.random(matrix.shape, np.float32) + 0.5
    yield Function("losses", "binary_cross_entropy_with_logits", (matrix, share))
    yield Function("losses", "binary_cross_entropy", (share, positive - 0.5))
    yield Function("losses", "kl_div", (matrix, share), {"reduction": "batchmean"})
    yield Function("losses", "gaussian_nll_loss", (matrix, other, positive))
    labels = rng.integers(0, matrix.shape[1], matrix.shape[0])
    yield Function("losses", "cross_entropy", (matrix, labels))
    yield Function("losses", "cross_entropy", (matrix, share), {}, "cross_entropy of shares")
    yield Function("losses", "multi_margin_loss", (matrix, labels))
    maps = draw(scale * 8, CLASSES, 128, 128)
    of_maps = rng.integers(0, CLASSES, (scale * 8, 128, 128))
    yield Function("losses", "cross_entropy", (maps, of_maps), {}, "cross_entropy of maps")
    logarithms = draw(scale * 8, CLASSES, 128, 128, channels_last=False)
    touched = 1 - (1 - 1 / CLASSES) ** 16  # of the lines, each of 16 pixels' values for one class
    read = touched * logarithms.nbytes + of_maps.nbytes
    yield Function("losses", "nll_loss", (logarithms, of_maps), {}, "nll_loss of maps", read, linear=True)


def margins(matrix: Any, rng: np.random.Generator) -> Iterator[Function]:
    """Losses of targets that are signs, and of pairs and triples of rows."""
    many = tuple(draw(*matrix.shape, seed=i) for i in range(3))
    signs = np.where(rng.random(matrix.shape, np.float32) < 0.5, -1, 1)
    for name in ("soft_margin_loss", "hinge_embedding_loss"):
        yield Function("losses", name, (matrix, signs))
    yield Function("losses", "margin_ranking_loss", (many[0], many[1], signs), {"margin": 0.5})
    yield Function("losses", "multilabel_soft_margin_loss", (matrix, (signs > 0).astype(np.int64)))
    yield Function("losses", "cosine_embedding_loss", (many[0], many[1], signs[:, 0].copy()))
    yield Function("losses", "triplet_margin_loss", many)
