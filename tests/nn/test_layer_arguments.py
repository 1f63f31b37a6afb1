# SPDX-License-Identifier: Apache-2.0
"""A layer is its function: the same defaults, and every argument reaches it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from cnncore import nn, ops

RNG = np.random.default_rng(0)
LINE, IMAGE, VOLUME = (RNG.normal(size=(2, 4, *(7, 6, 5)[:rank])).astype(np.float32) for rank in (1, 2, 3))
LABELS = np.array([0, 3])
TABLE, FACTORS = RNG.normal(size=(2, 4)).astype(np.float32), np.array([0.5, 1, 2, 3], np.float32)
SHARES = RNG.uniform(size=(2, 4)).astype(np.float32)
SETS = np.array([[2, 0, -1, -1], [3, -1, 1, 0]])
WITH_DISTANCE = ("triplet_margin_with_distance_loss", (TABLE, SHARES, -TABLE))
CTC = (-np.abs(RNG.normal(size=(5, 2, 4))), np.array([[2, 0], [2, 2]]), np.array([5, 2]), np.array([1, 2]))
SIGNS = np.array([[1, -1, 1, 1], [-1, -1, 1, -1]])

POOLS = [
    (f"{kind}Pool{rank}d", f"{kind.lower()}_pool{rank}d", x, {"kernel_size": 3, **settings})
    for rank, x in ((1, LINE), (2, IMAGE), (3, VOLUME))
    for kind, more in (("Max", {"dilation": 2}), ("Avg", {"count_include_pad": False, "padding": 1}))
    for settings in ({}, {"stride": 1}, {"padding": 1}, {"ceil_mode": True, "stride": 2}, more)
    if not (settings.get("dilation") and rank == 3)
]
LAYERS: list[tuple[str, str, Any, dict[str, Any]]] = [
    *POOLS,
    ("AvgPool2d", "avg_pool2d", IMAGE, {"kernel_size": 3, "divisor_override": 5}),
    ("AvgPool3d", "avg_pool3d", VOLUME, {"kernel_size": 3, "divisor_override": 5}),
    ("LeakyReLU", "leaky_relu", TABLE, {}),
    ("LeakyReLU", "leaky_relu", TABLE, {"negative_slope": 0.3}),
    ("Softmax", "softmax", IMAGE, {"dim": 2}),
    ("LogSoftmax", "log_softmax", IMAGE, {"dim": 2}),
    ("Flatten", "flatten", IMAGE, {"start_dim": 0, "end_dim": 2}),
    *[("MSELoss", "mse_loss", (TABLE, SHARES), s) for s in ({}, {"reduction": "sum"}, {"reduction": "none"})],
    *[
        (layer, function, inputs, {**settings, **more})
        for layer, function, inputs, *choices in (
            ("L1Loss", "l1_loss", (TABLE, SHARES), {}),
            ("SmoothL1Loss", "smooth_l1_loss", (TABLE, SHARES), {}, {"beta": 0.3}),
            ("HuberLoss", "huber_loss", (TABLE, SHARES), {}, {"delta": 0.3}),
            ("KLDivLoss", "kl_div", (TABLE, SHARES), {}, {"log_target": True}),
            ("PoissonNLLLoss", "poisson_nll_loss", (SHARES, 9 * SHARES), {}, {"full": True}),
            ("PoissonNLLLoss", "poisson_nll_loss", (SHARES, 9 * SHARES), {"log_input": False, "eps": 0.1}),
            ("GaussianNLLLoss", "gaussian_nll_loss", (TABLE, SHARES, SHARES), {"full": True}, {"eps": 0.5}),
            ("BCELoss", "binary_cross_entropy", (SHARES, SHARES), {}, {"weight": FACTORS}),
            ("SoftMarginLoss", "soft_margin_loss", (TABLE, SIGNS), {}),
            ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", (TABLE, SHARES), {"weight": FACTORS}),
            ("HingeEmbeddingLoss", "hinge_embedding_loss", (TABLE, SIGNS), {}, {"margin": 0.3}),
            ("MarginRankingLoss", "margin_ranking_loss", (TABLE, SHARES, SIGNS), {}, {"margin": 0.3}),
            ("NLLLoss", "nll_loss", (TABLE, LABELS), {}, {"weight": FACTORS}, {"ignore_index": 3}),
            ("SoftmaxFocalLoss", "softmax_focal_loss", (TABLE, LABELS), {}, {"gamma": 1.0}),
            ("SoftmaxFocalLoss", "softmax_focal_loss", (TABLE, LABELS), {"weight": FACTORS}),
            ("SoftmaxFocalLoss", "softmax_focal_loss", (TABLE, LABELS), {"ignore_index": 0}),
            ("MultiMarginLoss", "multi_margin_loss", (TABLE, LABELS), {}, {"p": 2, "weight": FACTORS}),
            ("MultiMarginLoss", "multi_margin_loss", (TABLE, LABELS), {"margin": 0.4}),
            ("MultiLabelMarginLoss", "multilabel_margin_loss", (TABLE, SETS), {}),
            ("CosineEmbeddingLoss", "cosine_embedding_loss", (TABLE, SHARES, SIGNS[0, :2]), {}),
            ("CosineEmbeddingLoss", "cosine_embedding_loss", (TABLE, SHARES, -LABELS), {"margin": 0.5}),
            ("TripletMarginLoss", "triplet_margin_loss", (TABLE, SHARES, FACTORS), {}, {"swap": True}),
            ("TripletMarginLoss", "triplet_margin_loss", (TABLE, SHARES, FACTORS), {"margin": 3.0}),
            ("TripletMarginLoss", "triplet_margin_loss", (TABLE, SHARES, FACTORS), {"p": 3.0, "eps": 0.1}),
            ("TripletMarginWithDistanceLoss", *WITH_DISTANCE, {}, {"swap": True, "margin": 2.0}),
            ("ContrastiveLoss", "contrastive_loss", (TABLE, SHARES, SHARES[:, 0]), {}, {"margin": 5.0}),
            ("DiceLoss", "dice_loss", (SHARES, SHARES), {}, {"smooth": 0.2}),
            ("TverskyLoss", "tversky_loss", (SHARES, SHARES), {}, {"alpha": 0.2, "smooth": 0.1}),
            ("TverskyLoss", "tversky_loss", (SHARES, SHARES), {"beta": 0.6}),
            ("SigmoidFocalLoss", "sigmoid_focal_loss", (TABLE, SHARES), {}, {"alpha": 0.5, "gamma": 1.0}),
            ("CTCLoss", "ctc_loss", CTC, {}, {"blank": 1, "zero_infinity": True}),
        )
        for settings in choices
        for more in ({}, {"reduction": "sum"}, {"reduction": "none"})
    ],
    *[
        ("CrossEntropyLoss", "cross_entropy", (TABLE, LABELS), s)
        for s in (
            {},
            {"weight": FACTORS},
            {"ignore_index": 3},
            {"reduction": "sum"},
            {"label_smoothing": 0.2},
        )
    ],
    *[
        ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", (TABLE, SHARES), s)
        for s in ({}, {"weight": FACTORS}, {"reduction": "sum"}, {"pos_weight": FACTORS})
    ],
]


@pytest.mark.parametrize(("layer", "function", "inputs", "settings"), LAYERS, ids=lambda v: str(v)[:60])
def test_every_argument_reaches_the_function(layer: str, function: str, inputs: Any, settings: Any) -> None:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    expected = getattr(ops, function)(*given, **settings)
    assert np.array_equal(getattr(nn, layer)(**settings)(*given), expected)


@pytest.mark.parametrize(
    ("layer", "function"), sorted({entry[:2] for entry in LAYERS} - {("Flatten", "flatten")})
)
def test_defaults_are_those_of_the_function(layer: str, function: str) -> None:
    ours = inspect.signature(getattr(nn, layer)).parameters
    theirs = inspect.signature(getattr(ops, function)).parameters
    shared = [name for name in theirs if name in ours and name != "dim"]
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_passes_its_settings(training: bool) -> None:
    layer = nn.BatchNorm2d(4, eps=0.3, momentum=0.7).train(training)
    mean, variance = FACTORS, FACTORS + 1
    layer.load_state_dict({**layer.state_dict(), "running_mean": mean, "running_var": variance})
    weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
    expected = ops.batch_norm(IMAGE, mean, variance, weight, bias, training=training, eps=0.3)
    assert np.array_equal(layer(IMAGE), expected)
    seen = IMAGE.astype(np.float64).mean((0, 2, 3)) if training else mean
    np.testing.assert_allclose(layer.running_mean, 0.3 * mean + 0.7 * seen if training else mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "function"),
    [(f"Conv{n}d", f"conv{n}d") for n in (1, 2, 3)]
    + [(f"ConvTranspose{n}d", f"conv_transpose{n}d") for n in (1, 2, 3)],
)
def test_convolutions_pass_their_settings(layer: str, function: str) -> None:
    x = {"1": LINE, "2": IMAGE, "3": VOLUME}[layer[-2]]
    more = {"output_padding": 1} if "Transpose" in layer else {}
    for settings in ({}, {"stride": 2, **more}, {"padding": 1}, {"dilation": 2}, {"groups": 2}):
        made = getattr(nn, layer)(4, 6, 2, **settings)
        weight, bias = np.asarray(made.weight), np.asarray(made.bias)
        assert np.array_equal(made(x), getattr(ops, function)(x, weight, bias, **settings))
        assert getattr(nn, layer)(4, 6, 2, bias=False).bias is None


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_normal_initialisation_counts_the_slope(slope: float) -> None:
    layer = nn.Linear(1000, 400)
    nn.init.kaiming_normal_(layer.weight, a=slope)
    std = float(np.asarray(layer.weight, np.float64).std())
    # Six standard deviations of the estimate from 400,000 numbers.
    assert std == pytest.approx(np.sqrt(2 / (1 + slope**2) / 1000), rel=6 / np.sqrt(2 * 400_000))
