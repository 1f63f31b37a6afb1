# SPDX-License-Identifier: Apache-2.0
"""Every layer is made, called, shown, copied, pickled, and takes its own state back."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

from cnncore import nn

RNG = np.random.default_rng(0)
TABLE = RNG.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
OTHER = RNG.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
LABELS = np.array([1, 0, 3])
SIGNS = np.array([1.0, -1.0, 1.0], np.float32)
LINE = RNG.uniform(0.1, 1, (2, 4, 9)).astype(np.float32)
IMAGE = RNG.uniform(0.1, 1, (2, 4, 6, 6)).astype(np.float32)
VOLUME = RNG.uniform(0.1, 1, (2, 4, 4, 4, 4)).astype(np.float32)
BY_AXES = {"1": LINE, "2": IMAGE, "3": VOLUME}
BOXES = [np.array([[0.0, 0, 4, 4]], np.float32), np.array([[1.0, 1, 5, 5], [0, 0, 2, 3]], np.float32)]
SEQUENCE = RNG.normal(size=(5, 2, 8)).astype(np.float32)


def places(x: Any) -> Any:
    """Places of the largest elements of windows of two, as max pooling gives them."""
    return nn.functional.max_pool2d(x, 2, return_indices=True)[1]


POOLED = np.asarray(nn.functional.max_pool2d(IMAGE, 2))

NOTHING: tuple[Any, ...] = ()
ACTIVATIONS = """
    ELU GELU SELU Hardsigmoid Hardswish LeakyReLU LogSigmoid Mish ReLU ReLU6 SiLU Sigmoid Softplus Softsign
    Tanh Tanhshrink CELU Hardshrink Hardtanh PReLU RReLU Softshrink Identity Dropout AlphaDropout
    FeatureAlphaDropout
"""
OF_TWO_TABLES = """
    MSELoss L1Loss SmoothL1Loss HuberLoss KLDivLoss PoissonNLLLoss SoftMarginLoss BCELoss BCEWithLogitsLoss
    MultiLabelSoftMarginLoss SigmoidFocalLoss DiceLoss TverskyLoss
"""
ENTRIES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    **dict.fromkeys(ACTIVATIONS.split(), (NOTHING, (IMAGE,))),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin", "GLU"), ((1,), (TABLE,))),
    "Softmax2d": (NOTHING, (IMAGE,)),
    "Threshold": ((0.5, 0.0), (TABLE,)),
    "StochasticDepth": ((0.5, "row"), (IMAGE,)),
    "Flatten": (NOTHING, (IMAGE,)),
    "Unflatten": ((1, (2, 2)), (TABLE,)),
    "Linear": ((4, 5), (TABLE,)),
    "LazyLinear": ((5,), (TABLE,)),
    "Bilinear": ((4, 4, 5), (TABLE, OTHER)),
    "Embedding": ((9, 3), (LABELS,)),
    "EmbeddingBag": ((9, 3), (LABELS[None],)),
    "MLP": ((4, [5, 2]), (TABLE,)),
    "Permute": (([1, 0],), (TABLE,)),
    "PixelShuffle": ((2,), (IMAGE,)),
    "PixelUnshuffle": ((2,), (IMAGE,)),
    "ChannelShuffle": ((2,), (IMAGE,)),
    "Upsample": ((None, 2), (IMAGE,)),
    "UpsamplingNearest2d": ((None, 2), (IMAGE,)),
    "UpsamplingBilinear2d": ((None, 2), (IMAGE,)),
    "Unfold": ((2,), (IMAGE,)),
    "Fold": (((3, 3), 2), (RNG.normal(size=(2, 8, 4)).astype(np.float32),)),
    "GroupNorm": ((2, 4), (IMAGE,)),
    "LayerNorm": ((4,), (TABLE,)),
    "RMSNorm": ((4,), (TABLE,)),
    "LocalResponseNorm": ((2,), (IMAGE,)),
    "SyncBatchNorm": ((4,), (IMAGE,)),
    "FrozenBatchNorm2d": ((4,), (IMAGE,)),
    "CosineSimilarity": (NOTHING, (TABLE, OTHER)),
    "PairwiseDistance": (NOTHING, (TABLE, OTHER)),
    "FractionalMaxPool2d": ((2, 3), (IMAGE,)),
    "FractionalMaxPool3d": ((2, 2), (VOLUME,)),
    "MaxUnpool2d": ((2,), (POOLED, places(IMAGE))),
    "Conv2dNormActivation": ((4, 5), (IMAGE,)),
    "Conv3dNormActivation": ((4, 5), (VOLUME,)),
    "SqueezeExcitation": ((4, 2), (IMAGE,)),
    "FeaturePyramidNetwork": (([4, 4], 3), ({"a": IMAGE, "b": IMAGE[..., :3, :3]},)),
    "RoIAlign": (((2, 2), 1.0, 2), (IMAGE, BOXES)),
    "RoIPool": (((2, 2), 1.0), (IMAGE, BOXES)),
    "PSRoIAlign": (((2, 2), 1.0, 2), (IMAGE, BOXES)),
    "PSRoIPool": (((2, 2), 1.0), (IMAGE, BOXES)),
    "MultiScaleRoIAlign": ((["a"], 2, 2), ({"a": IMAGE}, BOXES, [(6, 6), (6, 6)])),
    "DeformConv2d": ((4, 5, 3), (IMAGE, RNG.normal(size=(2, 18, 4, 4)).astype(np.float32))),
    "MultiheadAttention": ((8, 2), (SEQUENCE, SEQUENCE, SEQUENCE)),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), ((8, 3), (SEQUENCE,))),
    **dict.fromkeys(("RNNCell", "LSTMCell", "GRUCell"), ((8, 3), (SEQUENCE[0],))),
    "Transformer": ((8, 2, 1, 1, 16), (SEQUENCE, SEQUENCE)),
    "TransformerEncoderLayer": ((8, 2, 16), (SEQUENCE,)),
    "TransformerDecoderLayer": ((8, 2, 16), (SEQUENCE, SEQUENCE)),
    "TransformerEncoder": ((nn.TransformerEncoderLayer(8, 2, 16), 2), (SEQUENCE,)),
    "TransformerDecoder": ((nn.TransformerDecoderLayer(8, 2, 16), 2), (SEQUENCE, SEQUENCE)),
    "AdaptiveLogSoftmaxWithLoss": ((4, 6, [2, 4], 1.5), (TABLE, LABELS)),
    "ArcFace": ((4, 5), (TABLE, LABELS)),
    "CosFace": ((4, 5), (TABLE, LABELS)),
    **dict.fromkeys(
        [
            "MSELoss",
            "L1Loss",
            "SmoothL1Loss",
            "HuberLoss",
            "KLDivLoss",
            "PoissonNLLLoss",
            "SoftMarginLoss",
            "BCELoss",
            "BCEWithLogitsLoss",
            "MultiLabelSoftMarginLoss",
            "SigmoidFocalLoss",
            "DiceLoss",
            "TverskyLoss",
        ],
        (NOTHING, (TABLE, OTHER)),
    ),
    **dict.fromkeys(
        ["CrossEntropyLoss", "NLLLoss", "SoftmaxFocalLoss", "MultiMarginLoss"], (NOTHING, (TABLE, LABELS))
    ),
    "HingeEmbeddingLoss": (NOTHING, (TABLE, np.sign(OTHER - 0.5).astype(np.float32))),
    "GaussianNLLLoss": (NOTHING, (TABLE, OTHER, TABLE + 0.1)),
    "MultiLabelMarginLoss": (NOTHING, (TABLE, np.array([[1, -1, 0, 0], [0, 2, -1, 0], [3, -1, 0, 0]]))),
    "MarginRankingLoss": (NOTHING, (TABLE[:, 0], OTHER[:, 0], SIGNS)),
    "CosineEmbeddingLoss": (NOTHING, (TABLE, OTHER, SIGNS)),
    "ContrastiveLoss": (NOTHING, (TABLE, OTHER, np.array([0, 1, 1]))),
    "TripletMarginLoss": (NOTHING, (TABLE, OTHER, TABLE + OTHER)),
    "TripletMarginWithDistanceLoss": (NOTHING, (TABLE, OTHER, TABLE + OTHER)),
    "NTXentLoss": (NOTHING, (TABLE, OTHER)),
    "LovaszHingeLoss": (NOTHING, (TABLE, (OTHER > 0.5).astype(np.int64))),
    "LovaszSoftmaxLoss": (NOTHING, (IMAGE / IMAGE.sum(1, keepdims=True), RNG.integers(0, 4, (2, 6, 6)))),
    "LinearCrossEntropyLoss": ((4, 5), (TABLE, LABELS)),
    "CTCLoss": (
        NOTHING,
        (
            np.log(np.full((6, 2, 4), 0.25, np.float32)),
            np.array([[1, 2], [3, 1]]),
            np.array([6, 6]),
            np.array([2, 2]),
        ),
    ),
}
for axes, x in BY_AXES.items():
    pooling = dict.fromkeys((f"MaxPool{axes}d", f"AvgPool{axes}d"), ((2,), (x,)))
    pooling |= dict.fromkeys((f"AdaptiveMaxPool{axes}d", f"AdaptiveAvgPool{axes}d"), ((2,), (x,)))
    kinds = ("Circular", "Reflection", "Replication", "Zero")
    ENTRIES |= {
        **pooling,
        f"LPPool{axes}d": ((2, 2), (x,)),
        f"Conv{axes}d": ((4, 5, 2), (x,)),
        f"ConvTranspose{axes}d": ((4, 5, 2), (x,)),
        f"LazyConv{axes}d": ((5, 2), (x,)),
        f"LazyConvTranspose{axes}d": ((5, 2), (x,)),
        f"BatchNorm{axes}d": ((4,), (x,)),
        f"InstanceNorm{axes}d": ((4,), (x,)),
        f"LazyBatchNorm{axes}d": (NOTHING, (x,)),
        f"LazyInstanceNorm{axes}d": (NOTHING, (x,)),
        f"Dropout{axes}d": (NOTHING, (x,)),
        f"ConstantPad{axes}d": ((1, 0.5), (x,)),
        **{f"{'Zero' if kind == 'Zero' else kind}Pad{axes}d": ((1,), (x,)) for kind in kinds},
    }
ENTRIES["MaxUnpool1d"] = ((2,), tuple(nn.functional.max_pool1d(LINE, 2, return_indices=True)))
ENTRIES["MaxUnpool3d"] = ((2,), tuple(nn.functional.max_pool3d(VOLUME, 2, return_indices=True)))

WITHOUT_CALL = {
    "Module",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "AnchorGenerator",
    "DefaultBoxGenerator",
    "ExtraFPNBlock",
    "LastLevelMaxPool",
    "LastLevelP6P7",
}
"""Containers, and parts of detectors, which tests of their own call."""


def arrays(result: Any) -> list[Any]:
    """All arrays of a result, in order."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in arrays(part)]
    return [] if result is None else [np.asarray(result)]


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(second), strict=True))


def test_every_layer_is_here() -> None:
    layers = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
    layers = {name for name in layers if issubclass(getattr(nn, name), nn.Module)}
    assert layers - WITHOUT_CALL == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_layer(name: str) -> None:
    settings, inputs = ENTRIES[name]
    layer = getattr(nn, name)(*settings)
    assert type(layer).__name__ in repr(layer) or name.startswith("Lazy")
    assert layer.training
    for array in arrays(layer(*inputs)):
        assert np.isfinite(array).all()
    layer.eval()
    expected = layer(*inputs)
    fresh = getattr(nn, name)(*settings).eval()
    fresh(*inputs)
    state = layer.state_dict()
    assert list(fresh.state_dict()) == list(state)
    fresh.load_state_dict(state)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
        assert same(twin(*inputs), expected)
        assert repr(twin) == repr(layer)
