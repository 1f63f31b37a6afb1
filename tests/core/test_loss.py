# SPDX-License-Identifier: Apache-2.0
"""cross_entropy steps against a float64 reference with torch's definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import reference
from core.helpers import EPS, Array, assert_same_bits_on_any_threads, assert_within, random_floats, run_step

SHAPES = [(5, 10), (64, 16), (1100, 3), (3, 1000), (3, 7, 5, 4), (2, 21, 9), (2, 1, 3), (3, 33, 2, 3, 2)]
SHAPES += [(2, 2, 20, 17), (530, 8)]  # lanes are rows, with a last vector of some rows
OPTIONS = list(itertools.product(["mean", "sum", "none"], [False, True], [0.0, 0.1, 1.0], [-100, 1]))


def labels_of(shape: tuple[int, ...], ignore_index: int) -> Array:
    labels = np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:]))
    labels.flat[2] = ignore_index
    labels.flat[0] = 0  # at least one label counts
    return labels


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("reduction", "weighted", "smoothing", "ignore_index"), OPTIONS)
@pytest.mark.parametrize("layout", ["c", "channels_last"])
def test_loss_and_gradient_match_the_reference(
    shape: tuple[int, ...], reduction: str, weighted: bool, smoothing: float, ignore_index: int, layout: str
) -> None:
    logits, labels = 4 * random_floats(0, *shape), labels_of(shape, ignore_index)
    weight = np.abs(random_floats(2, shape[1])) + 0.1 if weighted else None
    attrs = {"reduction": reduction, "ignore_index": ignore_index, "label_smoothing": smoothing}
    optional = [weight] if weighted else []
    loss_shape = labels.shape if reduction == "none" else ()
    loss, normaliser = run_step(
        "cross_entropy",
        [logits, (labels, layout), *optional],
        [(loss_shape, "float32", layout), (labels.shape, "float32", layout)],
        attrs,
    )
    expected, expected_grad = reference.cross_entropy(
        logits, labels, weight, reduction, ignore_index, smoothing
    )
    rows = EPS * (shape[1] / 4 + np.abs(logits).max() + 8)
    scale = 1.0 if weight is None else float(weight.max())
    assert_within(loss, expected, rows * scale * (labels.size if reduction == "sum" else 1.0) * 3)
    largest = logits.max(1).astype(np.float64)
    expected_normaliser = largest + np.log(np.exp(logits - largest[:, None]).sum(1, dtype=np.float64))
    assert_within(normaliser, expected_normaliser, rows)

    grad_loss = np.full(loss_shape, 0.5, np.float32)
    (grad,) = run_step(
        "cross_entropy_backward",
        [(grad_loss, layout), logits, (labels, layout), (normaliser, layout), *optional],
        [(shape, "float32")],
        attrs,
    )
    kept = labels != ignore_index
    divisor = (kept.sum() if weight is None else weight[labels[kept]].sum()) if reduction == "mean" else 1.0
    assert_within(grad, 0.5 * expected_grad, rows * scale * 2 / divisor)
    assert np.all(np.moveaxis(grad, 1, -1)[~kept] == 0)


def test_well_classified_rows_keep_their_digits() -> None:
    logits = np.array([[20.0, 0.0, 0.0], [0.0, 12.0, -3.0]], np.float32)
    labels = np.array([0, 1])
    loss, _ = run_step(
        "cross_entropy",
        [logits, labels],
        [((2,), "float32"), ((2,), "float32")],
        {"reduction": "none"},
    )
    expected, _ = reference.cross_entropy(logits, labels, reduction="none")
    # The sum of the exponentials is 1 + 4e-9 and 1 + 6e-6; all that is lost is its rounding.
    assert_within(loss, expected, 2 * EPS)


def test_labels_out_of_range_are_counted_and_make_nan() -> None:
    logits = random_floats(0, 4, 3)
    labels = np.array([3, -1, 2, 0])
    (loss,) = run_step("cross_entropy", [logits, labels], [((), "float32")])
    assert np.isnan(loss)
    (losses,) = run_step("cross_entropy", [logits, labels], [((4,), "float32")], {"reduction": "none"})
    np.testing.assert_array_equal(np.isnan(losses), [True, True, False, False])


@pytest.mark.parametrize(
    ("labels", "ignore_index", "expected"),
    [([3, -1, 2, 0], -100, 2), ([3, -1, 2, 0], 3, 1), ([0, 1, 2, 2], -100, 0), ([2**40, -(2**40)], -1, 2)],
)
def test_count_bad_labels(labels: list[int], ignore_index: int, expected: int) -> None:
    attrs = {"classes": 3, "ignore_index": ignore_index}
    (count,) = run_step("count_bad_labels", [np.array(labels)], [((), "int64")], attrs)
    assert count == expected


def test_mean_over_ignored_labels_only_is_nan_with_zero_gradient() -> None:
    logits, labels = random_floats(0, 4, 3), np.full(4, -100)
    loss, normaliser = run_step("cross_entropy", [logits, labels], [((), "float32"), ((4,), "float32")])
    assert np.isnan(loss)
    inputs = [np.ones((), np.float32), logits, labels, normaliser]
    (grad,) = run_step("cross_entropy_backward", inputs, [((4, 3), "float32")])
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("shape", [(3000, 10), (700, 1000), (2, 21, 90, 90)], ids=str)
def test_same_bits_on_any_threads(shape: tuple[int, ...]) -> None:
    logits, labels = random_floats(0, *shape), labels_of(shape, -100)
    weight = np.abs(random_floats(2, shape[1]))
    attrs = {"label_smoothing": 0.1}
    one = np.ones((), np.float32)

    def run() -> list[Array]:
        wanted = [((), "float32"), (labels.shape, "float32", "c")]
        found = run_step("cross_entropy", [logits, (labels, "c"), weight], wanted, attrs)
        inputs = [one, logits, (labels, "c"), (found[1], "c"), weight]
        return [*found, *run_step("cross_entropy_backward", inputs, [(shape, "float32")], attrs)]

    assert_same_bits_on_any_threads(run)


def test_wrong_specifications_are_refused() -> None:
    logits, labels = random_floats(0, 4, 3), np.zeros(4, np.int64)
    scalar = [((), "float32")]
    with pytest.raises(ValueError, match="target of int64"):
        run_step("cross_entropy", [logits, labels.astype(np.int32)], scalar)
    with pytest.raises(ValueError, match="without axis 1"):
        run_step("cross_entropy", [logits, labels[:3]], scalar)
    with pytest.raises(ValueError, match="reduction: expected none, mean or sum"):
        run_step("cross_entropy", [logits, labels], scalar, {"reduction": "max"})
    with pytest.raises(ValueError, match="loss: expected 1 contiguous elements"):
        run_step("cross_entropy", [logits, labels], [((4,), "float32")])
    with pytest.raises(ValueError, match="class_weight"):
        run_step("cross_entropy", [logits, labels, np.ones(4, np.float32)], scalar)
    with pytest.raises(ValueError, match="label_smoothing"):
        run_step("cross_entropy", [logits, labels], scalar, {"label_smoothing": 1.5})
