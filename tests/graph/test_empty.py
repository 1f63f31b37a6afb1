# SPDX-License-Identifier: Apache-2.0
"""Batches of no rows give results of no rows, and sums and means of nothing, as in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

NONE = np.zeros((0, 3, 8, 8), np.float32)
WEIGHT = np.ones((4, 3, 3, 3), np.float32)

RESULTS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv2d": (lambda x: ops.conv2d(x, WEIGHT, np.ones(4)), (0, 4, 6, 6)),
    "conv_transpose2d": (lambda x: ops.conv_transpose2d(x, np.ones((3, 2, 2, 2)), stride=2), (0, 2, 16, 16)),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 2), (0, 3, 4, 4)),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 2), (0, 3, 4, 4)),
    "adaptive_avg_pool2d": (lambda x: ops.adaptive_avg_pool2d(x, 1), (0, 3, 1, 1)),
    "relu": (ops.relu, (0, 3, 8, 8)),
    "softmax": (lambda x: ops.softmax(x, 1), (0, 3, 8, 8)),
    "linear": (lambda x: ops.linear(ops.flatten(x, 1), np.ones((5, 192))), (0, 5)),
    "matmul": (lambda x: ops.matmul(x, np.ones((8, 2))), (0, 3, 8, 2)),
    "broadcast": (lambda x: x + np.ones((1, 3, 1, 1), np.float32), (0, 3, 8, 8)),
    "reshape": (lambda x: ops.reshape(x, (-1, 192)), (0, 192)),
    "permute": (lambda x: ops.permute(x, (1, 0, 2, 3)), (3, 0, 8, 8)),
    "pad": (lambda x: ops.pad(x, (1, 1)), (0, 3, 8, 10)),
    "concat": (lambda x: ops.concat([x, x], 1), (0, 6, 8, 8)),
    "slice": (lambda x: ops.slice(x, (..., 0)), (0, 3, 8)),
    "sum of an axis": (lambda x: ops.sum(x, 1), (0, 8, 8)),
}


@pytest.mark.parametrize("name", RESULTS)
def test_no_rows_in_no_rows_out(name: str) -> None:
    fn, shape = RESULTS[name]
    assert fn(NONE).shape == shape
    assert cc.compile(fn, NONE.shape)(NONE).shape == shape


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "permute"])
def test_gradients_have_no_rows_either(name: str) -> None:
    fn, _ = RESULTS[name]
    gradient = cc.grad(lambda x: ops.sum(fn(x)))(NONE)
    assert gradient.shape == NONE.shape


def test_sums_of_nothing_are_zero_and_means_are_nan() -> None:
    assert ops.sum(NONE) == 0
    assert ops.sum(NONE, dim=0).tolist() == np.zeros((3, 8, 8)).tolist()
    assert np.isnan(ops.mean(NONE))
    labels = np.zeros(0, np.int64)
    logits = np.zeros((0, 10), np.float32)
    assert np.isnan(ops.cross_entropy(logits, labels))
    assert ops.cross_entropy(logits, labels, reduction="sum") == 0
    assert ops.cross_entropy(logits, labels, reduction="none").shape == (0,)
    assert np.isnan(ops.mse_loss(logits, logits))


def test_the_largest_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least one row, got inputs of shapes \(0, 3, 8, 8\)"):
        ops.max(NONE)


def test_other_axes_may_not_be_empty() -> None:
    with pytest.raises(ValueError, match="expected a non-empty array"):
        ops.relu(np.zeros((2, 0), np.float32))


def test_no_rows_before_others_are_left_out_of_a_concatenation() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(ops.concat([np.zeros((0, 3), np.float32), rows]), rows)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )


def test_a_network_in_evaluation_takes_no_rows() -> None:
    model = network().eval()
    assert model(NONE).shape == (0, 5)
    assert model.predict(NONE).shape == (0, 5)
    assert cc.compile(model, NONE.shape)(NONE).shape == (0, 5)
    assert model(np.ones((2, 3, 8, 8), np.float32)).shape == (2, 5)


def test_batch_statistics_of_no_rows_are_refused_and_change_nothing() -> None:
    model = network()
    step = cc.train_step(lambda x: ops.sum(model(x)), optim.SGD(model.parameters(), lr=0.1))
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"\[1\] expected at least one row"):
        step(NONE)
    for name, value in model.state_dict().items():
        assert np.array_equal(np.array(value), before[name])


def test_parameters_have_zero_gradients() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    weights = {name: np.array(value) for name, value in model.state_dict().items()}
    step = cc.train_step(lambda x: ops.sum(model(x)), optim.SGD(model.parameters(), lr=0.1))
    assert step(NONE) == 0
    for name, value in model.state_dict().items():
        assert np.array_equal(np.array(value), weights[name])


WEIGHTS = np.ones(3, np.float32)

ROWS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "linear": (lambda x, w, b: ops.linear(x, w, b), ((0, 4), (3, 4), (3,))),
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b), ((0, 2, 5, 5), (3, 2, 3, 3), (3,))),
    "conv_transpose2d": (lambda x, w, b: ops.conv_transpose2d(x, w, b), ((0, 2, 5, 5), (2, 3, 3, 3), (3,))),
    "layer_norm": (lambda x, w, b: ops.layer_norm(x, (4,), w, b), ((0, 4), (4,), (4,))),
    "rms_norm": (lambda x, w: ops.rms_norm(x, (4,), w), ((0, 4), (4,))),
    "group_norm": (lambda x, w, b: ops.group_norm(x, 2, w, b), ((0, 4, 3), (4,), (4,))),
    "prelu": (lambda x, w: ops.prelu(x, w), ((0, 3, 2), (3,))),
    "broadcast": (lambda x, w: x * w, ((0, 3), (1, 3))),
    "bilinear": (lambda x, y, w: ops.bilinear(x, y, w), ((0, 2), (0, 3), (4, 2, 3))),
    "matmul": (lambda x, w: ops.matmul(x, w), ((0, 2, 3), (3, 4))),
    "embedding": (lambda w: ops.embedding(np.zeros((0, 2), np.int64), w), ((5, 3),)),
    "embedding_bag": (
        lambda w: ops.embedding_bag(np.zeros(0, np.int64), w, np.zeros(2, np.int64), mode="sum"),
        ((5, 3),),
    ),
    "gather": (lambda x: ops.gather(x, 0, np.zeros((0, 3), np.int64)), ((5, 3),)),
    "index_select": (lambda x: ops.index_select(x, 0, np.zeros(0, np.int64)), ((5, 3),)),
    "grid_sample": (lambda g: ops.grid_sample(np.zeros((0, 2, 4, 4), np.float32), g), ((0, 3, 3, 2),)),
    "glu": (lambda x: ops.glu(x, 1), ((0, 4),)),
    "cross_entropy": (lambda x: ops.cross_entropy(x, np.zeros(0, np.int64), reduction="sum"), ((0, 4),)),
    "roi_align": (
        lambda x: ops.roi_align(x, [np.zeros((0, 4), np.float32)] * 2, 2),
        ((2, 3, 6, 6),),
    ),
    "roi_pool": (lambda x: ops.roi_pool(x, [np.zeros((0, 4), np.float32)] * 2, 2), ((2, 3, 6, 6),)),
    "grid_sample's image": (
        lambda x, g: ops.grid_sample(x, g, align_corners=False),
        ((0, 2, 4, 4), (0, 3, 3, 2)),
    ),
    "glu of channels": (lambda x: ops.glu(x, 1), ((0, 4, 2, 2),)),
    "nll_loss": (lambda x: ops.nll_loss(x, np.zeros(0, np.int64), reduction="sum"), ((0, 4),)),
    "deform_conv2d": (
        lambda x, o, w, b: ops.deform_conv2d(x, o, w, b),
        ((0, 2, 5, 5), (0, 18, 3, 3), (3, 2, 3, 3), (3,)),
    ),
    "lstm": (
        lambda x, w, u: ops.lstm(x, None, [w, u], False, 1, 0.0, False, False, True)[0],
        ((0, 3, 2), (16, 2), (16, 4)),
    ),
    "embedding_bag's factors": (
        lambda w, f: ops.embedding_bag(
            np.zeros(0, np.int64), w, np.zeros(2, np.int64), mode="sum", per_sample_weights=f
        ),
        ((5, 3), (0,)),
    ),
    "batch_norm": (lambda x, w, b: ops.batch_norm(x, WEIGHTS, WEIGHTS, w, b), ((0, 3, 2, 2), (3,), (3,))),
    "take_along_dim": (lambda x: ops.take_along_dim(x, np.zeros((0, 3), np.int64), 0), ((5, 3),)),
    "put of nothing": (lambda x, y: ops.index_add(x, 0, np.zeros(0, np.int64), y), ((5, 3), (0, 3))),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_no_row_reads_has_no_gradient(name: str) -> None:
    function, shapes = ROWS[name]
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    found = cc.grad(lambda *given: ops.sum(function(*given)), list(range(len(arrays))))(*arrays)
    for array, gradient in zip(arrays, found, strict=True):
        assert gradient.shape == array.shape
        assert np.all(gradient == float(name == "put of nothing"))


def test_labels_and_boxes_of_no_rows() -> None:
    assert np.isnan(ops.nll_loss(np.zeros((0, 4)), np.zeros(0, np.int64)))
    assert ops.nll_loss(np.zeros((0, 4)), np.zeros(0, np.int64), reduction="sum") == 0
    assert ops.nms(np.zeros((0, 4)), np.zeros(0), 0.5, max_output=3).tolist() == [-1] * 3
    assert ops.glu(np.zeros((0, 4)), 1).shape == (0, 2)
    found = cc.grad(lambda x: ops.nll_loss(x, np.zeros(0, np.int64)))(np.zeros((0, 4)))
    assert found.shape == (0, 4)
