# SPDX-License-Identifier: Apache-2.0
"""Exported networks whose batch and image size are left open, and the opsets they are written in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

import cnncore.onnx  # noqa: E402
from cnncore import models, nn, ops  # noqa: E402
from onnx_exports import Function, in_onnxruntime, randomized  # noqa: E402

RNG = np.random.default_rng(0)


SIZED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet20": (models.resnet20, (1, 3, 32, 32)),
    "mobilenet_v3_small": (models.mobilenet_v3_small, (1, 3, 64, 64)),
    "shufflenet_v2_x0_5": (models.shufflenet_v2_x0_5, (1, 3, 64, 64)),
    "unet": (lambda: models.unet(width=4), (1, 3, 32, 32)),
    "1-D": (lambda: nn.Sequential(nn.Conv1d(3, 4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool1d(1)), (1, 3, 40)),
    "3-D": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.MaxPool3d(2)), (1, 3, 8, 12, 10)),
    "norms of channels": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 4, 4), nn.Permute((0, 2, 3, 1)), nn.LayerNorm(4), nn.Permute((0, 3, 1, 2))
        ),
        (1, 3, 32, 32),
    ),
    "resized to the input": (
        lambda: Function(
            lambda x: ops.interpolate(ops.max_pool2d(x, 2)[:, :, 1:], x.shape[2:], mode="bilinear")
        ),
        (1, 3, 16, 20),
    ),
    "transposed": (lambda: nn.ConvTranspose2d(3, 2, 3, 2, 1, 1), (1, 3, 6, 7)),
}


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("batch", [False, True])
def test_sizes_that_are_left_open(name: str, batch: bool) -> None:
    make, shape = SIZED[name]
    model = randomized(make())
    proto = cnncore.onnx.export(model, None, shape, dynamic_batch=batch, dynamic_size=True)
    names = [d.dim_param for d in proto.graph.input[0].type.tensor_type.shape.dim]
    assert names == [
        "batch" if batch else "",
        "",
        *{3: ["length"], 4: ["height", "width"]}.get(len(shape), ["depth", "height", "width"]),
    ]
    loaded = cnncore.onnx.load(proto)
    for more in (0, 16, 48):
        sizes = [n + more * (i + 1) for i, n in enumerate(shape[2:])]
        x = RNG.standard_normal((3 if batch else 1, 3, *sizes)).astype(np.float32)
        want = model(x)
        for found in (loaded(x), *(in_onnxruntime(proto, x) or [])):
            np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "192"),
        (lambda: nn.AdaptiveAvgPool2d(3), "sizes that were left open"),
        (lambda: nn.MaxPool2d(2, 2, ceil_mode=True), "gives something else"),
        (lambda: Function(lambda x: x * float(x.shape[2])), "images' size"),
    ],
)
def test_networks_of_one_size(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cnncore.onnx.export(make(), None, (1, 3, 8, 8), dynamic_size=True)


OPSETS = tuple(range(13, min(onnx.defs.onnx_opset_version(), 22) + 1))


@pytest.mark.parametrize("opset", OPSETS)
def test_opsets(opset: int) -> None:
    model = randomized(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish(), nn.GroupNorm(2, 4), nn.GELU(),
            Function(lambda x: ops.interpolate(x, scale_factor=2.0) + ops.mean(x, (2, 3), True)),
            nn.LayerNorm(12), nn.RMSNorm(12), Function(lambda x: ops.amax(x, 2) + ops.sum(x, 2)),
            nn.Linear(12, 5),
        )
    )  # fmt: skip
    proto = cnncore.onnx.export(model, None, (2, 3, 8, 8), opset=opset)
    assert proto.opset_import[0].version == opset
    x = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
    want = model(x)
    for found in (cnncore.onnx.load(proto)(x), *(in_onnxruntime(proto, x) or [])):
        np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_opsets_that_are_not_written() -> None:
    for opset in (12, 1000):
        with pytest.raises(ValueError, match="expected an opset from 13 to"):
            cnncore.onnx.export(nn.ReLU(), None, (1, 2), opset=opset)
