# SPDX-License-Identifier: Apache-2.0
"""Stretches of a graph that run in portions of the batch: the same answers, in less memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler import portions

Array = NDArray[np.float32]
BATCH, CHANNELS, SIDE = 12, 8, 32
IMAGE = 4 * CHANNELS * SIDE * SIDE  # bytes, inside


def whole_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


X = whole_numbers(0, BATCH, 2, SIDE, SIDE)
FIRST = whole_numbers(11, CHANNELS, 2, 3, 3)
SAME, ONE = whole_numbers(1, 8, 8, 3, 3), whole_numbers(2, 8, 8, 1, 1)
DOUBLING = whole_numbers(3, 8, 8, 2, 2)
DEPTHWISE = whole_numbers(4, 8, 1, 3, 3)
HALVING = whole_numbers(5, 8, 8, 3, 3)


@pytest.fixture
def three_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of three images inside."""
    monkeypatch.setattr(portions, "PORTION", 3 * IMAGE + 100)


def compiled(model: Callable[..., Any], x: Array = X) -> Any:
    cc.set_accuracy("exact")
    try:
        return cc.compile(model, x.shape)
    finally:
        cc.set_accuracy("fast")


def whole(model: Callable[..., Any], x: Array = X) -> Any:
    """The predictor that is not split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "PORTION", 1 << 40)
        return compiled(model, x)


def counts(predict: Any) -> list[int]:
    """The number of portions of each stretch."""
    return [node.attrs.portions for node in predict._graph.nodes if node.op.name == "split_batch"]


def halved(x: Any) -> Any:
    return ops.conv2d(x, HALVING, stride=2, padding=1)


def widened(x: Any) -> Any:
    return ops.relu(ops.conv2d(x, FIRST, padding=1))


def chain(x: Any) -> Any:
    return halved(ops.relu(ops.conv2d(widened(x), SAME, padding=1)))


def residual(x: Any) -> Any:
    y = widened(x)
    return halved(ops.relu(ops.conv2d(ops.conv2d(y, SAME, padding=1), ONE) + y))


def pooled_and_joined(x: Any) -> Any:
    """A skip connection: its value is a part of a concatenation and pooled."""
    wide = widened(x)
    up = ops.conv_transpose2d(ops.max_pool2d(wide, 2), DOUBLING, stride=2)
    return ops.avg_pool2d(ops.concat([up, wide], dim=1), 4)


def elementwise(x: Any) -> Any:
    scale = whole_numbers(6, 1, 8, 1, 1)
    y = widened(x)
    return halved(ops.abs(ops.conv2d(y, SAME, padding=1) * scale - y) + 2.0)


def grouped(x: Any) -> Any:
    x = widened(x)
    y = ops.relu6(ops.conv2d(ops.relu6(ops.conv2d(x, ONE)), DEPTHWISE, padding=1, groups=8))
    return halved(ops.conv2d(y, ONE) + x)


def two_ends(x: Any) -> Any:
    """What the stretch gives is used in several ways."""
    z = halved(ops.conv2d(widened(x), SAME, padding=1))
    return z, ops.sum(ops.conv2d(z, ONE), dim=0), ops.sum(z, dim=(0, 2))


MODELS = [chain, residual, pooled_and_joined, elementwise, grouped, two_ends]


@pytest.mark.usefixtures("three_images")
@pytest.mark.parametrize("layout", ["c", "channels_last"])
@pytest.mark.parametrize("model", MODELS)
def test_the_same_bits_in_less_memory(model: Callable[..., Any], layout: str) -> None:
    predict, reference = compiled(model), whole(model)
    assert counts(predict) == [12 if model is pooled_and_joined else 4]
    assert counts(reference) == []
    x = X if layout == "c" else np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for _ in range(2):
        got, expected = predict(x), reference(x)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert predict.memory.activations < reference.memory.activations
    assert predict.memory.shared == reference.memory.shared


@pytest.mark.parametrize(
    ("portion", "found"), [(12 * IMAGE, []), (12 * IMAGE - 1, [2]), (IMAGE, [12]), (IMAGE - 1, [])]
)
def test_a_batch_of_one_portion_and_an_image_above_one_are_not_split(
    portion: int, found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION", portion)
    monkeypatch.setattr(portions, "WORTH", 1.0)
    assert counts(compiled(chain)) == found


@pytest.mark.usefixtures("three_images")
def test_what_checks_values_is_not_split() -> None:
    def looked_up(x: Any) -> Any:
        return chain(x) * ops.gather(whole_numbers(13, 5), 0, x[0, 0, 0, :1].long())[0]

    predict = compiled(looked_up)
    assert counts(predict) == []
    x = X.copy()
    x[0, 0, 0, 0] = 2
    np.testing.assert_array_equal(predict(x), compiled(chain)(x) * whole_numbers(13, 5)[2])
    x[0, 0, 0, 0] = 5
    with pytest.raises(ValueError, match="1 outside"):
        predict(x)


@pytest.mark.usefixtures("three_images")
@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(threads: int) -> None:
    expected = whole(pooled_and_joined)(X)
    before = cc.get_num_threads()
    cc.set_num_threads(threads)
    try:
        np.testing.assert_array_equal(compiled(pooled_and_joined)(X), expected)
    finally:
        cc.set_num_threads(before)


@pytest.mark.usefixtures("three_images")
def test_two_stretches_around_large_weights() -> None:
    heavy = nn.Conv2d(8, 8, 1)

    def model(x: Any) -> Any:
        small = chain(x)
        deep = ops.relu6(ops.conv2d(ops.relu6(ops.conv2d(ops.relu6(small), wide)), narrow))
        return halved(
            ops.relu(ops.conv2d(ops.conv_transpose2d(heavy(deep), DOUBLING, stride=2), SAME, padding=1))
        )

    wide, narrow = whole_numbers(7, 8192, 8, 1, 1), whole_numbers(8, 8, 8192, 1, 1)
    heavy.weight.assign(ONE)
    heavy.bias.assign(np.zeros(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "HEAVY", wide.nbytes - 1)
        predict = compiled(model)
    assert counts(predict) == [4, 4]
    np.testing.assert_array_equal(predict(X), whole(model)(X))


def constant_residual(x: Any) -> Any:
    return halved(widened(x) + whole_numbers(9, BATCH, CHANNELS, SIDE, SIDE))


def over_the_batch(x: Any) -> Any:
    return halved(ops.softmax(widened(x), dim=0))


def batch_as_channels(x: Any) -> Any:
    return ops.sum(ops.conv2d(ops.transpose(x, 0, 1), whole_numbers(10, 64, 12, 1, 1)), dim=(2, 3))


def joined_images(x: Any) -> Any:
    y = widened(x)
    return halved(ops.concat([y, y], dim=0))


def nothing_inside(x: Any) -> Any:
    return widened(x)


@pytest.mark.usefixtures("three_images")
@pytest.mark.parametrize(
    "model", [constant_residual, over_the_batch, batch_as_channels, joined_images, nothing_inside]
)
def test_what_is_not_split(model: Callable[..., Any]) -> None:
    predict = compiled(model)
    assert counts(predict) == []
    np.testing.assert_array_equal(predict(X), whole(model)(X))


@pytest.mark.usefixtures("three_images")
def test_constants_of_each_image_stay_with_their_images() -> None:
    factors = whole_numbers(7, BATCH, CHANNELS, 1, 1)

    def scaled(x: Any) -> Any:
        return halved(ops.abs(ops.conv2d(widened(x), SAME, padding=1) * factors))

    np.testing.assert_array_equal(compiled(scaled)(X), whole(scaled)(X))


@pytest.mark.usefixtures("three_images")
def test_a_batch_that_has_no_fitting_divisor_is_not_split() -> None:
    x = whole_numbers(0, 11, *X.shape[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "PORTION", 8 * IMAGE)
        assert counts(compiled(chain, x)) == []  # one image is less than a fourth of a portion
    assert counts(compiled(chain, x)) == [11]


@pytest.mark.usefixtures("three_images")
def test_pickling_tuning_and_tables() -> None:
    predict, reference = compiled(chain), whole(chain)
    again = pickle.loads(pickle.dumps(predict))
    assert counts(again) == [4]
    np.testing.assert_array_equal(again(X), reference(X))
    table, expected = predict.profile(X, repeats=1), reference.profile(X, repeats=1)
    for row, other in zip(table, expected, strict=True):
        assert row["step"] == other["step"]
        flops, known = row["gflops"] * row["ms"], other["gflops"] * other["ms"]
        assert flops == pytest.approx(known)
    assert "steps 1 to 3 run 4 times, for a portion of the batch each" in predict.explain().notes
    assert not any("portion" in note for note in reference.explain().notes)
    predict.autotune(X, seconds=0.001)
    np.testing.assert_array_equal(predict(X), reference(X))


@pytest.mark.usefixtures("three_images")
def test_modules_in_inference_mode_run_in_portions() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.MaxPool2d(4)
    ).eval()
    got = model(X)
    (program,) = (entry.executable for entry in model._programs.values())
    assert {step.portions.count for step in program.run_steps if step.portions is not None} == {4}
    np.testing.assert_array_equal(model.predict(X, batch_size=BATCH), got)
    np.testing.assert_allclose(model.predict(X, batch_size=1), got, atol=1e-5)


@pytest.mark.usefixtures("three_images")
def test_training_and_dropout_keep_the_whole_batch() -> None:
    layer = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Dropout(), nn.Conv2d(8, 2, 3))
    assert counts(cc.compile(layer, X.shape)) == [4]

    def dropped(x: Any) -> Any:
        return ops.dropout(ops.dropout(x, 0.5, training=True), 0.5, training=True)

    assert counts(cc.compile(dropped, X.shape)) == []


def test_a_concatenation_that_is_never_made_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = whole_numbers(12, 32, 8, 3, 3), whole_numbers(13, 8, 64, 3, 3)
    x = whole_numbers(14, 4, 8, 24, 24)

    def model(x: Any) -> Any:
        parts = ops.conv2d(x, first, padding=1), ops.relu(ops.conv2d(x, first, padding=1))
        return ops.conv2d(ops.concat(parts, dim=1), second, padding=1)

    monkeypatch.setattr(portions, "PORTION", 4 * 32 * 24 * 24 * 4)  # the batch of a part
    assert counts(cc.compile(model, x.shape)) == []
    monkeypatch.setattr(portions, "joined_by_readers", lambda graph, outputs: set())
    assert counts(cc.compile(model, x.shape)) == [2]


def test_large_networks_run_in_portions() -> None:
    """The stretch begins at the input and ends where the images are small."""
    model = cc.models.vgg16(classes=10)
    predict = cc.compile(model, (16, 3, 224, 224))
    assert len(counts(predict)) == 1
    reference = cc.compile(model, (1, 3, 224, 224))
    assert predict.memory.activations < 8 * reference.memory.activations


class Changing(nn.Module):
    """What a call changes, or checks, sees the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Any, index: Any = None) -> Any:
        y = chain(x)
        return self.norm(y.mean((2, 3))) if index is None else ops.index_select(y, 0, index)


@pytest.mark.usefixtures("three_images")
def test_what_changes_or_is_checked_keeps_the_whole_batch() -> None:
    model = Changing()
    for inputs in ((X,), (X, np.array([3, 1]))):
        model(*inputs)
    model.eval()(X)
    found = [
        max((step.portions.count for step in entry.executable.run_steps if step.portions), default=1)
        for entry in model._programs.values()
    ]
    assert found == [1, 1, 4]
