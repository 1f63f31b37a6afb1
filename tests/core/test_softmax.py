# SPDX-License-Identifier: Apache-2.0
"""softmax and log_softmax steps against float64 references."""

from __future__ import annotations

import numpy as np
import pytest

import reference
from core.helpers import EPS, Array, assert_same_bits_on_any_threads, assert_within, random_floats, run_step

SHAPES = [
    (3, 10),
    (6, 1),
    (5, 16),
    (7, 17),
    (4, 64),
    (2, 1000),
    (40,),
    (2, 21, 5),
    (3, 1, 4),
    (2, 5, 7, 3),
    (1, 3, 2, 4, 5),
]
CASES = [(shape, axis) for shape in SHAPES for axis in range(len(shape))]


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("layout", ["channels_last", "c"])
def test_forward_and_gradient_match_the_reference(
    shape: tuple[int, ...], axis: int, op: str, layout: str
) -> None:
    x, grad = 4 * random_floats(0, *shape), random_floats(1, *shape)
    (y,) = run_step(op, [(x, layout)], [(shape, "float32", layout)], {"axis": axis})
    expected = getattr(reference, op)(x, axis)
    # x - max is rounded once; exp and log add at most 2 ulp, the sum one an addend.
    spread = x.max(axis, keepdims=True) - x
    rounding = EPS * (spread + shape[axis] / 4 + 6)
    assert_within(y, expected, rounding * expected if op == "softmax" else EPS * (2 * np.abs(expected) + 6))

    wanted = [(shape, "float32", layout)]
    (grad_input,) = run_step(
        f"{op}_backward", [(grad, layout), (y, layout)], wanted, {"axis": axis - len(shape)}
    )
    expected_grad = getattr(reference, f"{op}_backward")(grad, y, axis)
    terms = np.abs(grad * y) if op == "softmax" else np.abs(grad)
    factor = np.abs(y) if op == "softmax" else np.exp(y.astype(np.float64))
    total = terms.sum(axis, keepdims=True)
    bound = (shape[axis] / 4 + 6) * EPS * (factor * total + np.abs(grad))
    assert_within(grad_input, expected_grad, bound)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("width", [3, 16, 20])
def test_extreme_values_are_those_of_torch(op: str, width: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.zeros((6, width), np.float32)
    x[0, 0], x[1], x[2, 1], x[3, 2], x[4, 0], x[5, 1] = np.nan, -np.inf, np.inf, -np.inf, 1e38, -1e38
    expected = getattr(torch, op)(torch.from_numpy(x), 1).numpy()
    (rows,) = run_step(op, [x], [(x.shape, "float32")], {"axis": 1})
    (columns,) = run_step(op, [x.T.copy()], [(x.T.shape, "float32")], {"axis": 0})
    for found in (rows, columns.T):
        np.testing.assert_allclose(found, expected, rtol=4 * EPS)


@pytest.mark.parametrize(("shape", "axis"), [((700, 1000), 1), ((3, 21, 70, 70), 1), ((3, 21, 70, 70), 2)])
def test_same_bits_on_any_threads(shape: tuple[int, ...], axis: int) -> None:
    x, grad = random_floats(0, *shape), random_floats(1, *shape)

    def run() -> list[Array]:
        found = []
        for op in ("softmax", "log_softmax"):
            (y,) = run_step(op, [x], [(shape, "float32")], {"axis": axis})
            found += [y, *run_step(f"{op}_backward", [grad, y], [(shape, "float32")], {"axis": axis})]
        return found

    assert_same_bits_on_any_threads(run)


def test_wrong_specifications_are_refused() -> None:
    x = random_floats(0, 2, 3)
    with pytest.raises(ValueError, match="axis 2 is not in"):
        run_step("softmax", [x], [((2, 3), "float32")], {"axis": 2})
    with pytest.raises(ValueError, match="output: expected the shape and layout"):
        run_step("softmax", [x], [((3, 2), "float32")], {"axis": 1})
