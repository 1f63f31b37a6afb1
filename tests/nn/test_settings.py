# SPDX-License-Identifier: Apache-2.0
"""Every setting of a layer reaches its function: the results are equal, and other than without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import nn, ops
from cnncore.nn import functional as F  # noqa: N812

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def share(*shape: int) -> Any:
    return RNG.uniform(0.05, 0.95, shape).astype(np.float32)


LINE, IMAGE, VOLUME = drawn(2, 4, 9), drawn(2, 4, 9, 9), drawn(2, 4, 7, 7, 7)
TABLE, SHARES = drawn(6, 5), share(6, 5)
LABELS = np.array([0, 3, 1, 4, 3, 2])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 3.0], np.float32)
SIGNS = np.array([1, -1, 1, 1, -1, -1], np.float32)
REDUCTION = {"reduction": "sum"}

ROWS: list[tuple[str, str, dict[str, Any], dict[str, Any], tuple[Any, ...]]] = [
    ("ELU", "elu", {}, {"alpha": 0.3}, (TABLE,)),
    ("CELU", "celu", {}, {"alpha": 0.3}, (TABLE,)),
    ("GELU", "gelu", {}, {"approximate": "tanh"}, (TABLE,)),
    ("LeakyReLU", "leaky_relu", {}, {"negative_slope": 0.3}, (TABLE,)),
    ("Hardshrink", "hardshrink", {}, {"lambd": 0.1}, (TABLE,)),
    ("Softshrink", "softshrink", {}, {"lambd": 0.1}, (TABLE,)),
    ("Hardtanh", "hardtanh", {}, {"min_val": -0.2, "max_val": 0.3}, (TABLE,)),
    ("Softplus", "softplus", {}, {"beta": 2.0, "threshold": 0.5}, (TABLE,)),
    ("Threshold", "threshold", {"threshold": 0.1, "value": 7.0}, {}, (TABLE,)),
    ("GLU", "glu", {}, {"dim": 1}, (IMAGE[..., :8],)),
    ("Softmax", "softmax", {"dim": 0}, {}, (TABLE,)),
    ("LogSoftmax", "log_softmax", {"dim": 0}, {}, (TABLE,)),
    ("Softmin", "softmin", {"dim": 0}, {}, (TABLE,)),
    ("PixelShuffle", "pixel_shuffle", {"upscale_factor": 2}, {}, (IMAGE,)),
    ("PixelUnshuffle", "pixel_unshuffle", {"downscale_factor": 3}, {}, (IMAGE,)),
    ("ChannelShuffle", "channel_shuffle", {"groups": 2}, {}, (IMAGE,)),
    ("Unfold", "unfold", {"kernel_size": 2}, {"dilation": 2, "padding": 1, "stride": 2}, (IMAGE,)),
    (
        "LocalResponseNorm",
        "local_response_norm",
        {"size": 2},
        {"alpha": 0.1, "beta": 0.5, "k": 2.0},
        (IMAGE,),
    ),
    ("CosineSimilarity", "cosine_similarity", {}, {"dim": 0, "eps": 100.0}, (TABLE, TABLE[::-1])),
    (
        "PairwiseDistance",
        "pairwise_distance",
        {},
        {"p": 1.0, "eps": 0.5, "keepdim": True},
        (TABLE, TABLE[::-1]),
    ),
    ("MSELoss", "mse_loss", {}, REDUCTION, (TABLE, SHARES)),
    ("L1Loss", "l1_loss", {}, REDUCTION, (TABLE, SHARES)),
    ("SmoothL1Loss", "smooth_l1_loss", {}, {"beta": 0.2, **REDUCTION}, (TABLE, SHARES)),
    ("HuberLoss", "huber_loss", {}, {"delta": 0.2, **REDUCTION}, (TABLE, SHARES)),
    ("KLDivLoss", "kl_div", {}, {"log_target": True, "reduction": "batchmean"}, (TABLE, SHARES)),
    (
        "PoissonNLLLoss",
        "poisson_nll_loss",
        {},
        {"log_input": False, "full": True, "eps": 0.1, **REDUCTION},
        (SHARES, 3 * share(6, 5)),
    ),
    (
        "GaussianNLLLoss",
        "gaussian_nll_loss",
        {},
        {"full": True, "eps": 0.5, **REDUCTION},
        (TABLE, SHARES, share(6, 5)),
    ),
    ("BCELoss", "binary_cross_entropy", {}, {"weight": WEIGHT, **REDUCTION}, (SHARES, share(6, 5))),
    (
        "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
        {},
        {"weight": WEIGHT, "pos_weight": WEIGHT[::-1].copy(), **REDUCTION},
        (TABLE, SHARES),
    ),
    (
        "CrossEntropyLoss",
        "cross_entropy",
        {},
        {"weight": WEIGHT, "ignore_index": 3, "label_smoothing": 0.2, **REDUCTION},
        (TABLE, LABELS),
    ),
    ("NLLLoss", "nll_loss", {}, {"weight": WEIGHT, "ignore_index": 3, **REDUCTION}, (TABLE, LABELS)),
    (
        "MultiMarginLoss",
        "multi_margin_loss",
        {},
        {"p": 2, "margin": 0.5, "weight": WEIGHT, **REDUCTION},
        (TABLE, LABELS),
    ),
    (
        "MultiLabelSoftMarginLoss",
        "multilabel_soft_margin_loss",
        {},
        {"weight": WEIGHT, **REDUCTION},
        (TABLE, SHARES),
    ),
    ("SoftMarginLoss", "soft_margin_loss", {}, REDUCTION, (TABLE, np.sign(SHARES - 0.5))),
    (
        "HingeEmbeddingLoss",
        "hinge_embedding_loss",
        {},
        {"margin": 0.3, **REDUCTION},
        (SHARES, np.sign(SHARES - 0.5)),
    ),
    (
        "MarginRankingLoss",
        "margin_ranking_loss",
        {},
        {"margin": 0.5, **REDUCTION},
        (TABLE[:, 0], TABLE[:, 1], SIGNS),
    ),
    (
        "CosineEmbeddingLoss",
        "cosine_embedding_loss",
        {},
        {"margin": -0.5, **REDUCTION},
        (TABLE, TABLE[::-1] + 0.5, SIGNS),
    ),
    (
        "TripletMarginLoss",
        "triplet_margin_loss",
        {},
        {"margin": 3.0, "p": 1.0, "eps": 0.5, "swap": True, **REDUCTION},
        (TABLE, TABLE + SHARES, TABLE[::-1]),
    ),
    (
        "SoftmaxFocalLoss",
        "softmax_focal_loss",
        {},
        {"weight": WEIGHT, "gamma": 0.5, "ignore_index": 3, **REDUCTION},
        (TABLE, LABELS),
    ),
    (
        "SigmoidFocalLoss",
        "sigmoid_focal_loss",
        {},
        {"alpha": 0.4, "gamma": 0.5, **REDUCTION},
        (TABLE, np.round(SHARES)),
    ),
    ("DiceLoss", "dice_loss", {}, {"smooth": 0.25, **REDUCTION}, (SHARES, np.round(SHARES[::-1]))),
    (
        "TverskyLoss",
        "tversky_loss",
        {},
        {"alpha": 0.3, "beta": 0.9, "smooth": 0.25, **REDUCTION},
        (SHARES, np.round(SHARES[::-1])),
    ),
    ("NTXentLoss", "nt_xent_loss", {}, {"temperature": 0.25}, (TABLE, TABLE[::-1])),
    (
        "ContrastiveLoss",
        "contrastive_loss",
        {},
        {"margin": 3.0, **REDUCTION},
        (TABLE, TABLE[::-1], np.array([0, 1, 0, 0, 1, 0])),
    ),
    (
        "CTCLoss",
        "ctc_loss",
        {},
        {"blank": 3, "zero_infinity": True, **REDUCTION},
        (
            np.log(share(3, 2, 5)),
            np.array([[1, 2, 2], [4, 1, 2]]),
            np.array([3, 3]),
            np.array([3, 2]),
        ),
    ),
    ("LovaszHingeLoss", "lovasz_hinge_loss", {}, {"per_image": True}, (TABLE, np.round(SHARES))),
    (
        "LovaszSoftmaxLoss",
        "lovasz_softmax_loss",
        {},
        {"classes": "all", "per_image": True, "ignore_index": 3},
        (share(2, 5, 3, 3) / 3, np.arange(18).reshape(2, 3, 3) % 4),
    ),
]
for axes, x in ((1, LINE), (2, IMAGE), (3, VOLUME)):
    pads = {"padding": tuple(range(1, 2 * axes + 1))}
    window = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
    ROWS += [
        (
            f"MaxPool{axes}d",
            f"max_pool{axes}d",
            {"kernel_size": 2},
            {"stride": 1, "padding": 1, "dilation": 2},
            (x,),
        ),
        (
            f"MaxPool{axes}d",
            f"max_pool{axes}d",
            {"kernel_size": 2},
            {"ceil_mode": True, "return_indices": True},
            (x,),
        ),
        (f"AvgPool{axes}d", f"avg_pool{axes}d", {"kernel_size": 3}, {"stride": 2, "padding": 1}, (x,)),
        (f"AvgPool{axes}d", f"avg_pool{axes}d", window, {"count_include_pad": False}, (x,)),
        (f"AvgPool{axes}d", f"avg_pool{axes}d", {"kernel_size": 4}, {"ceil_mode": True}, (x,)),
        (
            f"LPPool{axes}d",
            f"lp_pool{axes}d",
            {"norm_type": 3, "kernel_size": 4},
            {"stride": 2, "ceil_mode": True},
            (abs(x),),
        ),
        (f"AdaptiveAvgPool{axes}d", f"adaptive_avg_pool{axes}d", {"output_size": 2}, {}, (x,)),
        (
            f"AdaptiveMaxPool{axes}d",
            f"adaptive_max_pool{axes}d",
            {"output_size": 2},
            {"return_indices": True},
            (x,),
        ),
    ]
    if axes > 1:
        ROWS.append(
            (f"AvgPool{axes}d", f"avg_pool{axes}d", {"kernel_size": 3}, {"divisor_override": 5}, (x,))
        )


def values(result: Any) -> list[Any]:
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


def equal(first: Any, second: Any) -> bool:
    ours, theirs = values(first), values(second)
    return len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize(
    ("layer", "function", "needed", "settings", "inputs"),
    ROWS,
    ids=[f"{row[0]}-{'-'.join(row[3]) or 'needed'}" for row in ROWS],
)
def test_settings_reach_the_function(
    layer: str, function: str, needed: dict[str, Any], settings: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    kind, call = getattr(nn, layer), getattr(F, function)
    assert equal(kind(**needed, **settings)(*inputs), call(*inputs, **needed, **settings))
    for name in settings:
        others = {key: value for key, value in settings.items() if key != name}
        without = call(*inputs, **needed, **others)
        assert not equal(call(*inputs, **needed, **settings), without), f"{name} changes nothing"
        assert equal(kind(**needed, **others)(*inputs), without)


def test_factors_and_ratios_of_each_axis() -> None:
    x = np.random.default_rng(0).uniform(size=(1, 2, 8, 9)).astype(np.float32)
    up = nn.Upsample(scale_factor=(2, 3))
    assert np.array_equal(up(x), ops.interpolate(x, scale_factor=(2.0, 3.0)))
    assert repr(up) == "Upsample(scale_factor=(2.0, 3.0), mode='nearest')"
    assert nn.Upsample(scale_factor=0.5)(x).shape == (1, 2, 4, 4)
    for bad, error in (
        (-1.0, ValueError),
        ((2, -0.5), ValueError),
        ((), TypeError),
        ([], TypeError),
        ("", TypeError),
    ):
        with pytest.raises(error, match="scale_factor"):
            nn.Upsample(scale_factor=bad)
    for ratio, shape in ((0.5, (4, 4)), ((0.75, 0.5), (6, 4))):
        layer = nn.FractionalMaxPool2d(2, output_ratio=ratio)
        assert layer.output_ratio == (ratio if isinstance(ratio, tuple) else (ratio,) * 2)
        assert layer(x).shape == (1, 2, *shape)


def test_slopes_between_equal_ends_are_known() -> None:
    assert np.array_equal(nn.RReLU(0.25, 0.25)(TABLE), nn.LeakyReLU(0.25)(TABLE))


@pytest.mark.parametrize("settings", [{}, {"dilation": 2}, {"padding": 1}, {"stride": (1, 2)}])
def test_folding_passes_its_settings(settings: dict[str, Any]) -> None:
    columns = nn.Unfold(2, **settings)(IMAGE)
    assert np.array_equal(nn.Fold((9, 9), 2, **settings)(columns), ops.fold(columns, (9, 9), 2, **settings))


@pytest.mark.parametrize(
    "settings", [{"weight": WEIGHT}, {"ignore_index": 3}, {"label_smoothing": 0.2}, REDUCTION, {"bias": True}]
)
def test_a_loss_of_linear_layers_passes_its_settings(settings: dict[str, Any]) -> None:
    layer = nn.LinearCrossEntropyLoss(5, 5, **settings)
    weight = np.asarray(layer.linear.weight)
    others = {name: value for name, value in settings.items() if name != "bias"}
    bias = None if layer.linear.bias is None else np.asarray(layer.linear.bias)
    found = layer(TABLE, LABELS)
    assert equal(found, ops.linear_cross_entropy(TABLE, weight, LABELS, linear_bias=bias, **others))
    assert not equal(found, ops.linear_cross_entropy(TABLE, weight, LABELS))
