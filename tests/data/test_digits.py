# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from cnncore import data


def test_shapes_types_and_range() -> None:
    (x, y), (x_test, y_test) = data.digits()
    assert (x.shape, x_test.shape) == ((1442, 1, 8, 8), (355, 1, 8, 8))
    assert x.dtype == np.float32
    assert y.dtype == y_test.dtype == np.int64
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert set(y) == set(y_test) == set(range(10))


def test_the_test_images_are_every_fifth_of_each_class() -> None:
    (_, y), (_, y_test) = data.digits()
    for label in range(10):
        total = np.count_nonzero(y == label) + np.count_nonzero(y_test == label)
        assert np.count_nonzero(y_test == label) == total // 5


def test_no_image_is_in_both_parts() -> None:
    (x, _), (x_test, _) = data.digits()
    train = {image.tobytes() for image in x}
    assert not any(image.tobytes() in train for image in x_test)


def test_uint8_holds_the_same_images() -> None:
    (x, y), _ = data.digits()
    (bytes_x, bytes_y), _ = data.digits(dtype="uint8")
    assert bytes_x.dtype == np.uint8
    np.testing.assert_array_equal(y, bytes_y)
    np.testing.assert_array_equal(np.rint(x * 255), bytes_x)


def test_agrees_with_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    (x, y), (x_test, y_test) = data.digits()
    ours = np.concatenate([x, x_test]).reshape(-1, 64) * 16
    theirs = np.column_stack([images, labels])
    both = np.column_stack([ours, np.concatenate([y, y_test])])
    np.testing.assert_array_equal(both[np.lexsort(both.T)], theirs[np.lexsort(theirs.T)])


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected dtype 'float32' \(0 to 1\) or 'uint8'.*got 'float64'"):
        data.digits(dtype="float64")
