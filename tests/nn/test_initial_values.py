# SPDX-License-Identifier: Apache-2.0
"""What parameters begin with: the rule of each layer, by its bound or moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn


def uniform(bound: float) -> tuple[str, float]:
    return "uniform", bound


def xavier(rows: int, columns: int) -> tuple[str, float]:
    return uniform(math.sqrt(6 / (rows + columns)))


ZEROS, ONES, NORMAL = ("value", 0.0), ("value", 1.0), ("normal", 1.0)
BY_64 = uniform(1 / 8)
BY_10 = uniform(math.sqrt(1 / 10))
RULES: dict[str, tuple[Any, dict[str, tuple[str, float]]]] = {
    "Linear": (lambda: nn.Linear(10, 600), {"weight": BY_10, "bias": BY_10}),
    "Bilinear": (lambda: nn.Bilinear(10, 3, 600), {"weight": BY_10, "bias": BY_10}),
    "Conv1d": (lambda: nn.Conv1d(10, 600, 5, groups=5), {"weight": BY_10, "bias": BY_10}),
    "Conv3d": (lambda: nn.Conv3d(2, 600, (1, 5, 1)), {"weight": BY_10, "bias": BY_10}),
    # The fan of a transposed convolution is its output's, as in torch.
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(900, 600, (5, 1), groups=300),
        {"weight": BY_10, "bias": BY_10},
    ),
    "Embedding": (lambda: nn.Embedding(50, 40), {"weight": NORMAL}),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(50, 40), {"weight": NORMAL}),
    "PReLU": (lambda: nn.PReLU(3), {"weight": ("value", 0.25)}),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), {"weight": ONES, "bias": ZEROS}),
    "GroupNorm": (lambda: nn.GroupNorm(1, 3), {"weight": ONES, "bias": ZEROS}),
    "LayerNorm": (lambda: nn.LayerNorm((2, 3)), {"weight": ONES, "bias": ZEROS}),
    "RMSNorm": (lambda: nn.RMSNorm(3), {"weight": ONES}),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, affine=True), {"weight": ONES, "bias": ZEROS}),
    "LSTM": (
        lambda: nn.LSTM(10, 64, proj_size=20),
        dict.fromkeys(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"), BY_64),
    ),
    "GRUCell": (
        lambda: nn.GRUCell(10, 64),
        dict.fromkeys(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), BY_64),
    ),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(24, 2),
        {
            "in_proj_weight": xavier(72, 24),
            "in_proj_bias": ZEROS,
            "out_proj.bias": ZEROS,
            "out_proj.weight": uniform(math.sqrt(1 / 24)),
        },
    ),
    "MultiheadAttention of other sizes": (
        lambda: nn.MultiheadAttention(24, 2, kdim=40, vdim=50, add_bias_kv=True),
        {
            "q_proj_weight": xavier(24, 24),
            "k_proj_weight": xavier(24, 40),
            "v_proj_weight": xavier(24, 50),
            "in_proj_bias": ZEROS,
        },
    ),
    "ArcFace": (lambda: nn.ArcFace(30, 50), {"weight": xavier(30, 50)}),
    "LinearCrossEntropyLoss": (lambda: nn.LinearCrossEntropyLoss(10, 600), {"linear.weight": BY_10}),
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(64, 400, [100], 4.0, head_bias=True),
        {"head.weight": BY_64, "tail.0.0.weight": BY_64, "tail.0.1.weight": uniform(1 / 4)},
    ),
    # He's rule with a slope of 1: sqrt(3 / fan_in).
    "FeaturePyramidNetwork": (
        lambda: nn.FeaturePyramidNetwork([8, 12], 16),
        {
            "inner_blocks.1.0.weight": uniform(math.sqrt(3 / 12)),
            "layer_blocks.0.0.weight": uniform(math.sqrt(3 / (16 * 9))),
            "inner_blocks.0.0.bias": ZEROS,
            "layer_blocks.1.0.bias": ZEROS,
        },
    ),
    "LastLevelP6P7": (
        lambda: nn.LastLevelP6P7(8, 12),
        {
            "p6.weight": uniform(math.sqrt(3 / (8 * 9))),
            "p7.weight": uniform(math.sqrt(3 / (12 * 9))),
            "p6.bias": ZEROS,
            "p7.bias": ZEROS,
        },
    ),
    "Transformer": (
        lambda: nn.Transformer(24, 2, 1, 1, 40),
        {
            "encoder.layers.0.linear1.weight": xavier(24, 40),
            "encoder.layers.0.linear1.bias": uniform(math.sqrt(1 / 24)),
            "decoder.layers.0.multihead_attn.out_proj.weight": xavier(24, 24),
            "decoder.norm.weight": ONES,
        },
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_parameters_begin_as_their_rule_says(name: str) -> None:
    make, rules = RULES[name]
    cc.manual_seed(0)
    parameters = dict(make().named_parameters())
    for key, (rule, number) in rules.items():
        values = np.asarray(parameters[key], np.float64)
        if rule == "value":
            assert np.all(values == number), key
        elif rule == "uniform":
            # Of n numbers the largest is below (1 - 12 / n) of the bound with a probability of exp(-12).
            assert (1 - 12 / values.size) * number <= np.abs(values).max() <= np.float32(number), key
            assert abs(values.mean()) <= 5 * number / math.sqrt(3 * values.size), key
        else:
            assert abs(values.std() - number) <= 5 * number / math.sqrt(2 * values.size), key
            assert abs(values.mean()) <= 5 * number / math.sqrt(values.size), key


def test_rows_of_padding_begin_as_zeros() -> None:
    for kind in (nn.Embedding, nn.EmbeddingBag):
        table = np.asarray(kind(4, 3, padding_idx=-4).weight)
        assert [not row.any() for row in table] == [True, False, False, False]
