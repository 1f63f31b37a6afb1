# SPDX-License-Identifier: Apache-2.0
"""Tiled inference against inference on whole images."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops

RNG = np.random.default_rng(0)


def image(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def spread(model: nn.Module) -> nn.Module:
    """Give batch norms statistics that are not 0 and 1."""
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.assign(RNG.normal(size=module.running_mean.shape))
            module.running_var.assign(RNG.uniform(0.5, 2, module.running_var.shape))
    return model


@pytest.fixture
def exact() -> Any:
    before = cc.get_accuracy()
    cc.set_accuracy("exact")
    yield
    cc.set_accuracy(before)


def conv(*args: Any, rank: int = 2, **settings: Any) -> nn.Module:
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1](*args, **settings)


class Function(nn.Module):
    """Convolutions around a function."""

    def __init__(self, function: Any, channels: int = 8, rank: int = 2) -> None:
        super().__init__()
        self.before, self.function = conv(3, 8, 3, rank=rank, padding=1), function
        self.after = conv(channels, 4, 3, rank=rank, padding=1)

    def forward(self, x: Any) -> Any:
        return self.after(self.function(self.before(x)))


class Branches(nn.Module):
    """A skip over two strides, back by a transposed convolution, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.low = nn.Sequential(nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, x: Any) -> Any:
        one = ops.relu(self.one(x))
        low = self.down(one)
        low = low + self.low(low)
        return {"mask": ops.softmax(self.last(ops.concat([one, self.up(low)], 1)), 1), "low": low}


NETWORKS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "unet": (lambda: models.unet(3, 2, width=8), (304, 336), (240, 224)),
    "branches": (Branches, (66, 94), (40, 36)),
    "strides and ceil pools": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            nn.Conv2d(8, 8, 3),
            nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(8, 4, 1),
        ),
        (133, 151),
        (88, 96),
    ),
    "same padding": (
        lambda: nn.Sequential(
            *[nn.Conv2d(3, 3, k, padding="same", dilation=d) for k, d in ((4, 1), (3, 3), (1, 1))]
        ),
        (50, 71),
        (30, 30),
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6(), nn.Conv2d(16, 4, 1)
        ),
        (45, 77),
        (20, 24),
    ),
    "inverted residuals": (
        lambda: models.mobilenet_v2().features[:5],
        (264, 220),
        (160, 144),
    ),
    "transposed": (lambda: Function(nn.ConvTranspose2d(8, 3, 2, stride=2), channels=3), (45, 77), (20, 24)),
    "nearest": (
        lambda: Function(nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2))),
        (60, 70),
        (32, 28),
    ),
    "bilinear": (lambda: Function(nn.Upsample(scale_factor=4, mode="bilinear")), (45, 38), (20, 20)),
    "bicubic": (lambda: Function(nn.Upsample(scale_factor=2, mode="bicubic")), (45, 38), (20, 20)),
    "reflection": (
        lambda: Function(nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(8, 8, 7))),
        (45, 38),
        (30, 28),
    ),
    "crops": (lambda: Function(lambda x: ops.pad(x, (2, 1, 0, 3))[:, :, 1:-2, 1:-1]), (45, 38), (20, 20)),
    "option A": (lambda: Function(lambda x: x[:, :, ::2, ::2]), (45, 39), (21, 21)),
    "sub-pixels": (
        lambda: Function(lambda x: ops.pixel_shuffle(ops.concat([x, ops.relu(x)], 1), 2), channels=4),
        (45, 38),
        (20, 20),
    ),
    "shuffles": (
        lambda: Function(lambda x: ops.channel_shuffle(ops.pixel_unshuffle(x, 2), 4), channels=32),
        (46, 38),
        (24, 20),
    ),
    "labels": (lambda: nn.Sequential(Function(nn.ReLU()), Labels()), (45, 38), (20, 20)),
    "1-D": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 8, 9, padding=4),
            nn.MaxPool1d(4),
            nn.Conv1d(8, 8, 3, padding=2, dilation=2),
            nn.Upsample(scale_factor=4),
        ),
        (4000,),
        (256,),
    ),
    "3-D": (
        lambda: nn.Sequential(
            Function(nn.Sequential(nn.MaxPool3d(2), nn.BatchNorm3d(8)), rank=3),
            nn.ConvTranspose3d(4, 2, 2, 2),
        ),
        (26, 30, 22),
        (16, 20, 16),
    ),
}


class Labels(nn.Module):
    def forward(self, x: Any) -> Any:
        return ops.argmax(x, 1)


def leaves(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_of_the_whole_image(name: str, exact: None) -> None:
    make, extents, tile = NETWORKS[name]
    model = spread(make())
    x = image(2, 3, *extents)
    tiles = cc.tiled(cc.compile(model, (1, 3, *tile)))
    plan = tiles._plan(extents)
    assert all(len(starts) > 1 for starts in plan.starts)
    found = leaves(tiles(x))
    for number in range(2):
        whole = leaves(cc.compile(model, (1, 3, *extents))(x[number : number + 1]))
        for one, other in zip(found, whole, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one[number : number + 1], other)


@pytest.mark.parametrize("name", ["unet", "branches", "1-D", "3-D"])
def test_fast_accuracy_differs_by_rounding_at_most(name: str) -> None:
    make, extents, tile = NETWORKS[name]
    model, x = spread(make()), image(1, 3, *extents)
    found = leaves(cc.tiled(cc.compile(model, (1, 3, *tile)))(x))
    for one, other in zip(found, leaves(cc.compile(model, (1, 3, *extents))(x)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize("extents", [(17, 90), (40, 40), (41, 36), (12, 9), (100, 39)])
def test_any_extents(extents: tuple[int, int], exact: None) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, padding=1)
    )
    x = image(1, 3, *extents)
    tiles = cc.tiled(cc.compile(model, (1, 3, 40, 36)))
    np.testing.assert_array_equal(tiles(x), cc.compile(model, x.shape)(x))


def test_the_batch_compiled_for_does_not_matter(exact: None) -> None:
    model, x = spread(Branches()), image(3, 3, 66, 94)
    one, four = (cc.tiled(cc.compile(model, (n, 3, 40, 36)))(x) for n in (1, 4))
    assert all(np.array_equal(one[name], four[name]) for name in one)


def test_halo_is_the_receptive_field() -> None:
    convolutions = [nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 5, padding=((4, 0), (0, 4)))]
    assert cc.tiled(cc.compile(nn.Sequential(*convolutions), (1, 3, 32, 32))).halo == ((5, 1), (1, 5))
    dilated = nn.Conv2d(3, 3, 3, padding=6, dilation=6)
    assert cc.tiled(cc.compile(dilated, (1, 3, 32, 32))).halo == ((6, 6), (6, 6))


def test_what_is_not_fully_convolutional_is_refused_by_its_path() -> None:
    def path(model: nn.Module) -> str:
        with pytest.raises(ValueError, match="fully convolutional") as caught:
            cc.tiled(cc.compile(model, (1, 3, 32, 32)))
        return str(caught.value)

    assert path(nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1))).startswith("[1] ")
    assert path(Function(nn.GroupNorm(2, 8))).startswith("[function] ")
    assert path(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))).startswith("[0] ")
    assert "whole image" in path(Function(lambda x: x * ops.mean(x, (2, 3), keepdim=True)))
    assert "align_corners" in path(Function(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)))
    assert "integers" in path(Function(nn.Upsample(size=(40, 40))))
    assert "constant for each place" in path(Function(lambda x: x + np.ones((1, 8, 32, 32), np.float32)))
    assert "whole image" in path(Function(nn.CircularPad2d(1)))
    assert "constant for each place" in path(Function(lambda x: x + np.ones(32, np.float32)))
    whole = np.ones((2, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="constant for each place"):
        cc.tiled(cc.compile(lambda x: ops.relu(x) + whole, (2, 3, 32, 32)))
    assert "joins axes" in path(Function(lambda x: ops.reshape(x, (1, 8, 32 * 32, 1))))


def test_what_is_no_tile() -> None:
    predictor = cc.compile(nn.Conv2d(3, 3, 9, padding=4), (1, 3, 32, 32))
    with pytest.raises(ValueError, match="at least"):
        cc.tiled(predictor, 8)(image(1, 3, 64, 64))
    for bad in (0, (8,), (8, 8, 8), (8, -1), "ab"):
        with pytest.raises(ValueError, match="2 extents"):
            cc.tiled(predictor, bad)
    with pytest.raises(ValueError, match="overlap"):
        cc.tiled(predictor, overlap=3)
    with pytest.raises(TypeError, match=r"cc\.compile"):
        cc.tiled(nn.Conv2d(3, 3, 3))
    for shape in ((3, 64, 64), (1, 4, 64, 64), (0, 3, 64, 64), (1, 3, 64)):
        with pytest.raises(ValueError, match="batch, 3"):
            cc.tiled(predictor)(np.zeros(shape, np.float32))


def test_the_snapshot_of_the_predictor_is_what_counts() -> None:
    model = nn.Conv2d(3, 4, 3, padding=1)
    predictor = cc.compile(model, (1, 3, 16, 16))
    x = image(1, 3, 40, 40)
    before = cc.tiled(predictor)(x)
    model.weight.assign(np.zeros(model.weight.shape))
    assert np.array_equal(cc.tiled(predictor)(x), before)
    assert np.array_equal(cc.tiled(pickle.loads(pickle.dumps(predictor)))(x), before)


def _tile_by_tile(tiles: Any, x: Any) -> Any:
    return tiles(x)


@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_goes_to_spawned_workers(accuracy: str) -> None:
    cc.set_accuracy(accuracy)
    try:
        tiles = cc.tiled(cc.compile(spread(Branches()), (1, 3, 32, 32)), 48)
    finally:
        cc.set_accuracy("fast")
    x = image(2, 3, 96, 80)
    expected, halo = tiles(x), tiles.halo  # its programs, too, before it is pickled
    again = pickle.loads(pickle.dumps(tiles))
    assert (again.tile, again.halo) == ((48, 48), halo)
    assert again.memory((96, 80)).activations == tiles.memory((96, 80)).activations
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(_tile_by_tile, again, x).result()
    for found in (again(x), elsewhere):
        assert found.keys() == expected.keys()
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])


def test_files_are_read_and_written_by_tiles(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(2))
    tiles = cc.tiled(cc.compile(model, (1, 2, 32, 32)))
    x = RNG.integers(0, 255, (1, 2, 90, 100)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (1, 4, 45, 50))
    found = tiles(np.load(tmp_path / "x.npy", mmap_mode="r"), out=out)
    assert found is out
    assert np.array_equal(out, tiles(x.astype(np.float32)))
    with pytest.raises(ValueError, match="out of shape"):
        tiles(x, out=np.empty((1, 4, 45, 49), np.float32))


def test_memory_does_not_grow_with_the_image() -> None:
    tiles = cc.tiled(cc.compile(Branches(), (1, 3, 128, 128)))
    # Tiles are at most as large as asked for, whatever the image.
    small = tiles.memory((128, 128))
    for extents in ((1024, 1024), (100_000, 70_001 - 1)):
        large = tiles.memory(extents)
        assert large.activations + large.workspace <= 1.1 * (small.activations + small.workspace)


def test_same_bits_on_any_number_of_threads() -> None:
    tiles = cc.tiled(cc.compile(NETWORKS["nearest"][0](), (1, 3, 48, 48)))
    x = image(1, 3, 100, 100)
    with cc.threads(1):
        one = tiles(x)
    with cc.threads(2):
        np.testing.assert_array_equal(tiles(x), one)


@pytest.mark.parametrize("extents", [(16, 16), (16, 12)])
def test_a_turned_image_is_refused_whatever_the_tile(extents: tuple[int, int]) -> None:
    class Turned(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.transpose(2, 3)

    with pytest.raises(ValueError, match="turns the image"):
        cc.tiled(cc.compile(Turned(), (1, 2, *extents)))
    with pytest.raises(ValueError, match="expected tile as 2 extents"):
        cc.tiled(cc.compile(nn.Conv2d(2, 2, 1), (1, 2, *extents)), 1.5)  # type: ignore[arg-type]
