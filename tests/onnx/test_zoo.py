# SPDX-License-Identifier: Apache-2.0
"""torchvision's networks as ONNX files: onnxruntime computes the same, and they come back with the same bits.

The larger ones are in the long mode: `python -m pytest -m slow tests/onnx/test_zoo.py`.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")

import cnncore as cc
import cnncore.onnx
from cnncore import models, nn
from cnncore.onnx.sizes import leaves

SMALL = (
    *("squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0"),
    *("mnasnet1_0", "regnet_y_400mf", "efficientnet_b0", "resnet18", "densenet121", "googlenet"),
)

LARGE = (
    *("alexnet", "vgg11", "vgg16_bn", "resnet50", "resnet101", "resnext50_32x4d", "inception_v3"),
    *("mobilenet_v3_large", "efficientnet_v2_s", "convnext_tiny", "vit_b_32", "video.r3d_18"),
    *("video.r2plus1d_18", "segmentation.fcn_resnet50", "segmentation.deeplabv3_mobilenet_v3_large"),
    "segmentation.lraspp_mobilenet_v3_large",
)

CHAOTIC = {"efficientnet_v2_s"}
"""With these weights it turns float32's rounding into differences of half of the scale."""


def fill(network: nn.Module) -> None:
    """Give a network weights that follow from its keys, with activations neither growing nor vanishing."""
    state: dict[str, Any] = {}
    for key, value in network.state_dict().items():
        noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(value.shape)
        if key.endswith("num_batches_tracked"):
            state[key] = value
        elif key.endswith("running_var"):
            state[key] = 1 + 0.2 * np.abs(noise)
        elif value.ndim > 1:
            # Scores of a detector stay away from 0 and 1.
            damp = 0.05 if key.startswith(("rpn.", "roi_heads.")) else 1.0
            state[key] = damp * noise * np.sqrt(2 / np.prod(value.shape[1:]))
        else:
            state[key] = 0.1 * noise + key.endswith("weight")
    network.load_state_dict(
        {
            k: np.asarray(v, np.int64 if k.endswith("num_batches_tracked") else np.float32)
            for k, v in state.items()
        }
    )


def shape_of(name: str) -> tuple[int, ...]:
    if name.startswith("video."):
        return (1, 3, 8, 56, 56)
    if name.startswith("segmentation."):
        return (1, 3, 65, 97)
    return (2, 3, *({"inception_v3": (299, 299)}.get(name, (224, 224) if name in LARGE else (96, 96))))


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_they_run_elsewhere_and_come_back(name: str, no_drawing: None) -> None:
    network = models.get(name).eval()
    fill(network)
    x = np.random.default_rng(1).standard_normal(shape_of(name)).astype(np.float32)
    wanted = leaves(network(x))
    proto = cnncore.onnx.export(network, None, (1, *x.shape[1:]), dynamic_batch=True)
    loaded = cnncore.onnx.load(proto)
    state = network.state_dict()
    for key, value in loaded.state_dict().items():
        np.testing.assert_array_equal(value, state[key])
    for found, want in zip(leaves(loaded(x)), wanted, strict=True):
        np.testing.assert_array_equal(found, want)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for found, want in zip(session.run(None, {"input": x}), wanted, strict=True):
        assert found.shape == want.shape
        if name not in CHAOTIC:
            assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


DETECTION = (
    "detection.ssdlite320_mobilenet_v3_large",
    pytest.param("detection.fasterrcnn_mobilenet_v3_large_320_fpn", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("name", DETECTION)
def test_detection_networks(name: str, no_drawing: None) -> None:
    """Boxes of nearly equal scores may change places: each is looked for among all of the others."""
    options = {"box_score_thresh": 0.0} if "rcnn" in name else {}
    network = models.get(name, **options).eval()
    fill(network)
    x = np.random.default_rng(1).random((1, 3, 320, 320)).astype(np.float32)
    proto = cnncore.onnx.export(network, None, x.shape)
    wanted = cc.compile(network, x.shape)(x)
    boxes, scores, labels = (array[0] for array in leaves(wanted))
    results = [cnncore.onnx.load(proto)(x)]
    try:
        import onnxruntime
    except ModuleNotFoundError:
        pass
    else:
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        results.append(session.run(None, {"input": x}))
    assert (scores > 0).sum() > 10
    for found in results:
        other_boxes, other_scores, other_labels = (array[0] for array in found)
        np.testing.assert_allclose(other_scores, scores, atol=1e-4 * scores.max())
        missed = 0
        for box, score, label in zip(boxes, scores, labels, strict=True):
            near = (np.abs(other_boxes - box).max(1) < 0.05) & (other_labels == label)
            missed += not (near & (np.abs(other_scores - score) < 1e-3 * scores.max())).any()
        assert missed <= 2  # a box whose score is the last one's
