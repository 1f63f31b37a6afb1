# SPDX-License-Identifier: Apache-2.0
"""Steps `copy` and `fill`, and the conversion of input arrays: all exact."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncore import _core
from core.helpers import run_step

Array = np.ndarray
DTYPES = ["float32", "int32", "int64", "uint8", "float64", "int8", "bool"]
MOVED = [*DTYPES, "float16"]
"""Types whose elements can be moved, if not converted."""


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 121, shape).astype(dtype)


def element_strides(array: Array) -> list[int]:
    return [s // array.itemsize for s in array.strides]


def offset_of(view: Array, base: Array) -> int:
    return (view.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // base.itemsize


def copy_view(base: Array, view: Array, dtype: str | None = None) -> Array:
    """`view`, any view into the C-order `base`, copied into C order by one step."""
    attrs: dict[str, Any] = {
        "shape": list(view.shape),
        "input_strides": element_strides(view),
        "input_offset": offset_of(view, base),
        "output_strides": element_strides(np.empty(view.shape, np.int8)),
    }
    (y,) = run_step("copy", [(base, "c")], [(view.shape, dtype or str(base.dtype), "c")], attrs)
    assert y is not None
    return y


PLANES = [
    (1, 1),
    (1, 7),
    (2, 33),
    (3, 1),
    (3, 16),
    (3, 49),
    (4, 50),
    (5, 64),
    (15, 17),
    (16, 16),
    (17, 15),
    (31, 4),
    (64, 65),
    (70, 300),
]


@pytest.mark.parametrize("dtype", MOVED)
@pytest.mark.parametrize(("channels", "pixels"), PLANES)
@pytest.mark.parametrize("batch", [1, 3])
def test_transposition_between_layouts(batch: int, channels: int, pixels: int, dtype: str) -> None:
    x = numbers((batch, channels, pixels, 1), dtype)
    for source, target in (("c", "channels_last"), ("channels_last", "c"), ("c", "c")):
        (y,) = run_step("copy", [(x, source)], [(x.shape, dtype, target)])
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(DTYPES, DTYPES)))
@pytest.mark.parametrize("layout", ["c", "channels_last"])
def test_dtype_conversion_with_and_without_transposition(source: str, target: str, layout: str) -> None:
    for shape in ((2, 3, 40, 60), (2, 33, 9, 10), (1, 1, 1, 1)):
        x = numbers(shape, source)
        (y,) = run_step("copy", [(x, layout)], [(shape, target)])
        assert y is not None
        assert y.dtype == target
        np.testing.assert_array_equal(y, x.astype(target))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("channels", [2, 15, 16, 17, 40])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (1, 3), (1, 4), (2, 2), (2, 1), (4, 1), (3, 2)])
def test_channels_become_pixels_and_back(rows: int, columns: int, channels: int, dtype: str) -> None:
    """Tuples of words, of one axis or of two, against the planes that they are made of."""
    channels_last = numbers((2, 5, 7, channels, rows, columns), dtype)
    pixels = channels_last.transpose(0, 1, 4, 2, 5, 3)
    np.testing.assert_array_equal(copy_view(channels_last, pixels), pixels)
    blocks = numbers((2, 5, rows, 7, columns, channels), dtype)
    back = blocks.transpose(0, 1, 3, 5, 2, 4)
    np.testing.assert_array_equal(copy_view(blocks, back), back)


@pytest.mark.parametrize("dtype", MOVED)
def test_permutations(dtype: str) -> None:
    base = numbers((3, 5, 17, 20), dtype)
    for order in itertools.permutations(range(4)):
        view = base.transpose(order)
        np.testing.assert_array_equal(copy_view(base, view), view)


@given(
    shape=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    target=st.sampled_from(DTYPES),
)
@settings(max_examples=200, deadline=None)
def test_any_view(shape: list[int], data: st.DataObject, dtype: str, target: str) -> None:
    base = numbers(tuple(shape), dtype)
    view = base.transpose(data.draw(st.permutations(range(len(shape)))))
    for axis, extent in enumerate(view.shape):
        start = data.draw(st.integers(0, extent - 1))
        stop = data.draw(st.integers(start + 1, extent))
        step = data.draw(st.sampled_from([1, 2, 3]))
        view = view[(slice(None),) * axis + (slice(start, stop, step),)]
        if data.draw(st.booleans()):
            view = np.flip(view, axis)
    np.testing.assert_array_equal(copy_view(base, view, target), view.astype(target))


def test_broadcasting_by_stride_zero() -> None:
    base = numbers((1, 5), "float32")
    view = np.broadcast_to(base, (7, 5))
    np.testing.assert_array_equal(copy_view(base, view), view)


@pytest.mark.parametrize("layout", ["c", "channels_last"])
def test_windows_leave_the_rest_alone(layout: str) -> None:
    """A padded picture and a concatenation: fill, then copies into parts of the same value."""
    a, b = numbers((2, 3, 4, 5), "float32", 1), numbers((2, 2, 4, 5), "float32", 2)
    expected = np.full((2, 5, 6, 9), -1, np.float32)
    expected[:, :3, 1:5, 2:7] = a
    expected[:, 3:, 1:5, 2:7] = b

    memory = np.empty(expected.shape, np.float32)
    if layout == "channels_last":
        memory = np.empty((2, 6, 9, 5), np.float32).transpose(0, 3, 1, 2)
    program = _core.Program()
    whole = program.add_value(list(expected.shape), "float32", layout)
    parts = [program.add_value(list(x.shape), "float32", "c") for x in (a, b)]
    program.bind(whole, memory, True)
    program.add_step("fill", [], [whole], {"value": -1.0})
    for part, array, channel in ((parts[0], a, 0), (parts[1], b, 3)):
        program.bind(part, array)
        window = memory[:, channel : channel + array.shape[1], 1:5, 2:7]
        attrs = {
            "shape": list(array.shape),
            "input_strides": element_strides(array),
            "output_strides": element_strides(window),
            "output_offset": offset_of(window, memory),
        }
        program.add_step("copy", [part], [whole], attrs)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(0)
    program.run([])
    np.testing.assert_array_equal(memory, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (37,), (2, 3, 5, 7), (50_000,)])
def test_fill(shape: tuple[int, ...], dtype: str) -> None:
    (y,) = run_step("fill", [], [(shape, dtype)], {"value": 3})
    np.testing.assert_array_equal(y, np.full(shape, 3, dtype))


@pytest.mark.parametrize("shape", [(8, 64, 57, 55), (40, 3, 111, 97), (300_001,)])
@pytest.mark.parametrize(("source", "target"), [("c", "channels_last"), ("channels_last", "c"), ("c", "c")])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_large_copies_on_any_number_of_threads(
    shape: tuple[int, ...], source: str, target: str, dtype: str
) -> None:
    x = numbers(shape, dtype)
    before = _core.num_threads()
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        (y,) = run_step("copy", [(x, source)], [(shape, "float32", target)])
        np.testing.assert_array_equal(y, x)
    _core.set_num_threads(before)


def test_empty_copy() -> None:
    x = np.zeros((0, 3, 4, 4), np.float32)
    (y,) = run_step("copy", [(x, "c")], [(x.shape, "float32")])
    assert y is not None
    assert y.shape == x.shape


def test_errors() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"expected equal shapes, got \(2, 3\) and \(3, 2\)"):
        run_step("copy", [x], [((3, 2), "float32")])
    window = {"shape": [2, 4], "input_strides": [3, 1], "output_strides": [3, 1]}
    with pytest.raises(ValueError, match="window of the input reaches elements 0 to 6 of 6"):
        run_step("copy", [x], [((2, 3), "float32")], window)
    backwards = {"shape": [2], "input_strides": [1], "output_strides": [-1]}
    with pytest.raises(ValueError, match="window of the output reaches elements -1 to 0 of 6"):
        run_step("copy", [x], [((2, 3), "float32")], backwards)
    with pytest.raises(ValueError, match="of one length"):
        run_step("copy", [x], [((2, 3), "float32")], {**window, "input_strides": [1]})


class TestInputConversion:
    """Arrays handed to a program arrive as float32, whatever their type and strides were."""

    @staticmethod
    def arrive(array: Array, layout: str = "channels_last") -> Array:
        program = _core.Program()
        x, y = (program.add_value(list(array.shape), "float32", layout) for _ in range(2))
        program.add_step("copy", [x], [y], {})
        program.set_inputs([x])
        program.set_outputs([y])
        size = (4 * array.size + 127) // 64 * 64
        program.place(x, "arena", 0)
        program.finish(size)
        (result,) = program.run([array])
        return np.asarray(result)

    def test_every_half(self) -> None:
        halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
        np.testing.assert_array_equal(self.arrive(halves), halves.astype(np.float32))

    @pytest.mark.parametrize(
        "dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    )
    def test_integer_extremes(self, dtype: str) -> None:
        info = np.iinfo(dtype)
        x = np.array([info.min, info.min + 1, 0, 1, info.max // 2, info.max - 1, info.max] * 9, dtype)
        np.testing.assert_array_equal(self.arrive(x), x.astype(np.float32))

    def test_doubles_are_rounded_to_nearest(self) -> None:
        x = np.random.default_rng(0).normal(size=1001) * 10.0 ** np.arange(-30, 31).repeat(17)[:1001]
        x[:4] = [np.inf, -np.inf, np.nan, 1e300]
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(self.arrive(x), x.astype(np.float32))

    def test_booleans(self) -> None:
        x = np.random.default_rng(1).integers(0, 2, (3, 5, 7, 2)).astype(bool)
        np.testing.assert_array_equal(self.arrive(x), x.astype(np.float32))

    @pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
    @pytest.mark.parametrize("layout", ["c", "channels_last"])
    def test_pictures_of_any_strides(self, dtype: str, layout: str) -> None:
        base = numbers((2, 38, 46, 4), dtype)
        views = [
            base[..., :3].transpose(0, 3, 1, 2),
            base[:, ::-1, ::2, ::-1].transpose(0, 3, 1, 2),
            base[:, :, ::-1, 1:2].transpose(0, 3, 1, 2),
            np.ascontiguousarray(base.transpose(0, 3, 1, 2)),
            np.broadcast_to(base[:1, :1], base.shape),
        ]
        for view in views:
            np.testing.assert_array_equal(self.arrive(view, layout), view.astype(np.float32))

    def test_misaligned_memory(self) -> None:
        for dtype in ("float32", "float64", "int64", "float16"):
            x = numbers((2, 3, 20, 21), dtype)
            shifted = np.frombuffer(b"?" + x.tobytes(), np.uint8)[1:].view(dtype).reshape(x.shape)
            np.testing.assert_array_equal(self.arrive(shifted), x)
