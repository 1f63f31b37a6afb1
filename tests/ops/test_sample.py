# SPDX-License-Identifier: Apache-2.0
"""Places at the edges of what floats can say, drawn shapes, errors of grid_sample and affine_grid."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from oracle import EPS

PADDINGS = ("zeros", "border", "reflection")
RULES = list(product(("bilinear", "nearest", "bicubic"), PADDINGS, (False, True)))
HUGE = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3.4e38, 1e7, -1e7, 0.25], np.float32)


def image(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(1, 2, shape).astype(np.float32)


def gradients(x: Any, grid: Any, *rule: Any) -> Any:
    return cc.grad(lambda a, b: ops.grid_sample(a, b, *rule).sum(), (0, 1))(x, grid)


@pytest.mark.parametrize(("mode", "padding", "corners"), RULES)
def test_places_that_no_image_has(mode: str, padding: str, corners: bool) -> None:
    """NaN, infinity and numbers beyond int32 are zeros, or some pixel of the image (of cubic sums, about)."""
    x, grid = image(2, 3, 4, 5), np.stack(np.meshgrid(HUGE, HUGE), -1)[None].repeat(2, 0)
    y = ops.grid_sample(x, grid, mode, padding, corners)
    far = ~np.isin(grid, 0.25).all(-1)[:, None].repeat(3, 1)
    if padding == "zeros":
        assert not y[far].any()
    else:
        assert (y > 0.5).all()
        assert (y < 2.5).all()
    by_input, by_grid = gradients(x, grid, mode, padding, corners)
    assert np.isfinite(by_input).all()
    assert not by_grid[~np.isfinite(grid)].any()
    assert np.isfinite(by_grid).all()


@pytest.mark.parametrize(
    ("mode", "corners"), list(product(("bilinear", "nearest", "bicubic"), (False, True)))
)
def test_a_border_goes_on(mode: str, corners: bool) -> None:
    x = image(1, 2, 3, 4)
    grid = np.array([[[[-np.inf, -1e30], [np.inf, -1e9], [np.nan, 7e8]]]], np.float32)
    y = ops.grid_sample(x, grid, mode, "border", corners)
    expected = x[:, :, [0, 0, 2], [0, 3, 0]][:, :, None]
    assert np.abs(y - expected).max() <= 4 * EPS * 2


def test_volumes_at_places_that_none_has() -> None:
    x, grid = image(1, 2, 2, 3, 4), np.stack(np.meshgrid(HUGE, HUGE, HUGE), -1)[None]
    for mode, padding, corners in product(("bilinear", "nearest"), PADDINGS, (False, True)):
        y = ops.grid_sample(x, grid, mode, padding, corners)
        assert np.isfinite(y).all()
        assert all(np.isfinite(g).all() for g in gradients(x, grid, mode, padding, corners))


def test_what_lies_outside_is_not_read() -> None:
    """A pixel beside a place with weight 0 of padding may be anything."""
    x = np.full((1, 1, 2, 2), np.inf, np.float32)
    grid = np.array([[[[-3.0, 0.0], [0.0, 4.0]]]], np.float32)
    assert ops.grid_sample(x, grid).tolist() == [[[[0.0, 0.0]]]]


def test_an_empty_batch() -> None:
    x, grid = np.zeros((0, 3, 4, 5), np.float32), np.zeros((0, 2, 6, 2), np.float32)
    assert ops.grid_sample(x, grid).shape == (0, 3, 2, 6)
    assert [g.shape for g in gradients(x, grid)] == [x.shape, grid.shape]


def test_sums_of_gradients_do_not_depend_on_threads() -> None:
    """Many samples meet in few pixels of images of one, of some and of many channels."""
    random = np.random.default_rng(0)
    for channels in (1, 3, 200):
        x = image(1, channels, 13, 17)
        grid = random.uniform(-1.2, 1.2, (1, 60, 70, 2)).astype(np.float32)
        found = []
        for threads in (1, 2, 3):
            with cc.threads(threads):
                found.append(gradients(x, grid))
        for other in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_drawn_shapes_against_torch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    for _ in range(40):
        axes = int(random.integers(2, 4))
        rule = (
            str(random.choice(["bilinear", "nearest", "bicubic"][: 5 - axes])),
            str(random.choice(PADDINGS)),
            bool(random.integers(2)),
        )
        batch, channels = int(random.integers(1, 3)), int(random.choice([1, 2, 4, 5, 16, 33, 80]))
        x = random.standard_normal((batch, channels, *random.integers(1, 7, axes))).astype(np.float32)
        grid = random.uniform(-2, 2, (batch, *random.integers(1, 6, axes), axes)).astype(np.float32)
        leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, grid)]
        theirs = torch.nn.functional.grid_sample(*leaves, *rule)
        theirs.sum().backward()
        ours = [ops.grid_sample(x, grid, *rule), *gradients(x, grid, *rule)]
        expected = [theirs.detach(), leaves[0].grad, leaves[1].grad]
        for a, b in zip(ours, expected, strict=True):
            wanted = b.numpy()
            # Places of up to 7 pixels, sums over channels, slopes of up to 4 pixels' width.
            bound = 64 * EPS * max(1.0, float(np.abs(wanted).max())) * np.sqrt(channels) * 7
            assert np.abs(a - wanted).max() <= bound


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((image(2, 3, 4), image(2, 4, 2)), "2 or 3 spatial axes"),
        (
            (image(1, 3, 4, 5), image(2, 3, 2, 2)),
            r"expected grid \(1, height, width, 2\), got \(2, 3, 2, 2\)",
        ),
        ((image(1, 3, 4, 5), image(1, 3, 2, 3)), r"expected grid \(1, height, width, 2\)"),
        ((image(1, 3, 2, 4, 5), image(1, 3, 2, 3)), r"expected grid \(1, depth, height, width, 3\)"),
        ((image(1, 3, 4, 5), image(1, 3, 2, 2), "linear"), "expected mode 'bilinear', 'nearest', 'bicubic'"),
        (
            (image(1, 1, 2, 4, 5), image(1, 1, 3, 2, 3), "bicubic"),
            "expected mode 'bilinear', 'nearest' for 3",
        ),
        (
            (image(1, 3, 4, 5), image(1, 3, 2, 2), "nearest", "wrap"),
            "expected padding_mode 'zeros', 'border'",
        ),
    ],
)
def test_errors(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.grid_sample(*arguments)


def test_errors_of_affine_grid() -> None:
    with pytest.raises(
        ValueError, match=r"expected theta \(1, 2, 3\) for size \(1, 1, 4, 5\), got \(1, 3, 4\)"
    ):
        ops.affine_grid(image(1, 3, 4), (1, 1, 4, 5))
    with pytest.raises(ValueError, match=r"expected size \(batch, channels, height, width\)"):
        ops.affine_grid(image(1, 2, 3), (1, 4, 5))
    with pytest.raises(ValueError, match="of at least 1"):
        ops.affine_grid(image(1, 2, 3), (1, 1, 0, 5))
