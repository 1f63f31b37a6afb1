# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

import cnncore as cc
from cnncore import models, nn


def test_counts_of_lenet5() -> None:
    table = cc.summary(models.lenet5(), (2, 1, 28, 28))
    # Multiply-adds of one image: outputs of each layer times the inputs each of them reads.
    macs = 6 * 784 * 25 + 16 * 100 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert table.flops == 2 * 2 * macs
    assert table.parameters == table.trainable_parameters == 61_706
    assert table.parameter_bytes == 4 * 61_706
    assert table.input_shape == (2, 1, 28, 28)
    assert sum(layer.parameters for layer in table.layers) == table.parameters
    assert [layer.path for layer in table.layers if layer.parameters] == [
        "conv1",
        "conv2",
        "fc1",
        "fc2",
        "fc3",
    ]
    conv = table.layers[0]
    assert (conv.kind, conv.output_shape, conv.output_bytes) == ("Conv2d", (2, 6, 28, 28), 4 * 2 * 6 * 784)


def test_shared_layers_count_once_and_frozen_ones_are_told() -> None:
    layer = nn.Linear(4, 4, bias=False)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    model.add_module("head", nn.Linear(4, 2).requires_grad_(False))
    table = cc.summary(model, (1, 4))
    assert [row.parameters for row in table.layers] == [16, 0, 0, 10]
    assert (table.parameters, table.trainable_parameters) == (26, 16)
    assert "of which 10 are frozen" in repr(table)


def test_batch_norm_is_one_row_and_the_model_keeps_its_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1, groups=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    model[1].eval()
    table = cc.summary(model, (2, 3, 5, 5))
    assert [layer.kind for layer in table.layers] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert table.buffers == 9
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert model[1].num_batches_tracked.item() == 0


def test_text() -> None:
    text = repr(cc.summary(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (1, 3)))
    assert text.splitlines() == [
        "Sequential, input (1, 3)",
        "layer  kind    output shape  parameters  FLOPs  output bytes",
        "-----  ------  ------------  ----------  -----  ------------",
        "0      Linear  (1, 2)                 8     12             8",
        "1      ReLU    (1, 2)                                      8",
        "parameters: 8 (32 bytes)",
        "FLOPs: 12 (a multiply-add is 2; convolutions and matrix products only)",
        "outputs of all layers: 16 bytes",
    ]


def test_wrong_input_names_the_layer() -> None:
    model = models.resnet20()
    model.bn1 = nn.Identity()
    model.conv1 = nn.Conv2d(3, 8, 3)
    with pytest.raises(ValueError, match=r"\[layer1.0.conv1\] expected input with 16 channels"):
        cc.summary(model, (1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"an input_shape of sizes from 1, batch included, got \(0, 3\)"):
        cc.summary(nn.Linear(3, 2), (0, 3))
    with pytest.raises(TypeError, match="expected a Module, got int"):
        cc.summary(3, (1, 3))  # type: ignore[arg-type]


def test_models_of_several_inputs() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

        def forward(self, a: Any, b: Any) -> Any:
            return self.left(a) + self.right(b)

    table = cc.summary(Sum(), [(2, 3), (2, 5)])
    assert table.input_shape == ((2, 3), (2, 5))
    assert (table.parameters, table.flops) == (16 + 24, 2 * 2 * 4 * 8)


def test_inputs_of_integers() -> None:
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    assert [layer.output_shape for layer in cc.summary(model, (2, 5), input_dtype="int64").layers] == [
        (2, 5, 4),
        (2, 5, 3),
    ]
    with pytest.raises(TypeError, match="such as 'int64', got 'words'"):
        cc.summary(model, (2, 5), input_dtype="words")


@pytest.mark.parametrize(
    ("layer", "shape", "weights"),
    [
        (nn.LSTM(3, 5), (7, 2, 3), 4 * 5 * (3 + 5)),
        (nn.LSTM(3, 5, proj_size=2), (7, 2, 3), 4 * 5 * (3 + 2) + 5 * 2),
        (nn.GRU(3, 5, bidirectional=True), (7, 2, 3), 2 * 3 * 5 * (3 + 5)),
        (nn.RNN(3, 5), (7, 2, 3), 5 * (3 + 5)),
        (nn.Linear(3, 5), (7, 2, 3), 3 * 5),
    ],
)
def test_recurrent_layers_multiply_all_weights_at_each_step(
    layer: nn.Module, shape: tuple[int, ...], weights: int
) -> None:
    assert cc.summary(layer, shape).flops == 2 * 7 * 2 * weights


def test_products_of_tensors() -> None:
    class Products(nn.Module):
        def forward(self, x: Any) -> Any:
            return cc.ops.matmul(x, cc.ops.transpose(x, 1, 2))

    assert cc.summary(Products(), (2, 3, 5)).flops == 2 * 2 * 3 * 3 * 5
