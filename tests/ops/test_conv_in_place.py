# SPDX-License-Identifier: Apache-2.0
"""A residual that is the memory of the result: every algorithm that allows it gives what it gives otherwise.

Whole numbers make the direct sums exact in any order; Winograd's are rounded, in the same order either way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import _core, nn, ops

# (batch, in channels, out channels, size, kernel, stride, padding, groups): among them reductions that are
# cut into several blocks, pixels that no tap reaches, and tiles and vectors that do not come out even.
CASES = [
    (1, 3, 5, 7, 3, 1, 1, 1),
    (2, 64, 48, 9, 1, 1, 0, 1),
    (1, 2048, 40, 4, 1, 1, 0, 1),
    (1, 512, 33, 6, 3, 1, 1, 1),
    (2, 256, 24, 9, 3, 2, 1, 1),
    (1, 32, 32, 10, 3, 1, 1, 2),
    (2, 24, 24, 11, 3, 1, 1, 1),
    (1, 8, 8, 3, 3, 1, 4, 1),
]


def run(
    direction: str, algorithm: str, case: tuple[int, ...], activation: str, in_place: bool
) -> NDArray[Any]:
    """Return activation(sums + bias + residual)."""
    batch, inputs, outputs, size, kernel, stride, padding, groups = case
    rng = np.random.default_rng(0)
    attrs: dict[str, Any] = {
        "stride": [stride] * 2,
        "padding_begin": [padding] * 2,
        "padding_end": [padding] * 2,
        "dilation": [1, 1],
        "groups": groups,
        "algorithm": algorithm,
    }
    extent = (size + 2 * padding - kernel) // stride + 1
    image, result = (batch, inputs, size, size), (batch, outputs, extent, extent)
    weight_shape = (outputs, inputs // groups, kernel, kernel)
    choice = _core.conv_choose(direction, image, weight_shape, attrs, "fast")
    source, target = (image, result) if direction == "forward" else (result, image)

    def values(shape: tuple[int, ...]) -> NDArray[Any]:
        return rng.integers(-4, 5, shape).astype(np.float32)

    def channels_last(shape: tuple[int, ...]) -> NDArray[Any]:
        return np.moveaxis(values((shape[0], *shape[2:], shape[1])), -1, 1)

    program = _core.Program()
    arrays = [channels_last(source), values(weight_shape), values((target[1],)), channels_last(target)]
    x, weight, bias, residual = (
        program.add_value(a.shape, "float32", "c" if a.ndim < 4 or a is arrays[1] else "channels_last")
        for a in arrays
    )
    packed = program.add_value((choice.packed.count,), "float32", "c")
    y = program.add_value(target)
    settings = {**attrs, "direction": direction, "input_shape": image}
    program.add_step("conv_pack_weight", [weight], [packed], settings, setup=True)
    settings = {**attrs, "weight_shape": weight_shape, "activation": activation, "alpha": 0.25}
    step = program.add_step(f"conv_{direction}", [x, packed, bias, residual], [y], settings)
    for value, array in zip((x, weight, bias, residual), arrays, strict=True):
        program.bind(value, array)
    output = arrays[3] if in_place else channels_last(target)
    program.bind(y, output, True)
    program.place(packed, "persistent", 0)
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(program.step_info(step)["workspace"], choice.packed.nbytes)
    program.setup()
    program.run([])
    return output


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_in_place_is_the_same(direction: str, case: tuple[int, ...]) -> None:
    batch, inputs, outputs, size, kernel, stride, padding, groups = case
    attrs = {
        "stride": [stride] * 2,
        "padding_begin": [padding] * 2,
        "padding_end": [padding] * 2,
        "dilation": [1, 1],
        "groups": groups,
    }
    shapes = (batch, inputs, size, size), (outputs, inputs // groups, kernel, kernel)
    found = []
    for name, reason in _core.conv_candidates(direction, *shapes, attrs, "fast"):
        if reason:
            continue
        choice = _core.conv_choose(direction, *shapes, {**attrs, "algorithm": name}, "fast")
        if not choice.residual_in_place:
            continue
        found.append(name)
        for activation in ("none", "relu", "leaky_relu", "relu6"):
            separate = run(direction, name, case, activation, False)
            together = run(direction, name, case, activation, True)
            assert np.array_equal(together, separate), (name, activation)
    assert "direct" in found


def test_residual_networks_need_no_second_image() -> None:
    """x + f(x): the last convolution writes over the skipped image where nobody needs that any more."""
    shape = (2, 16, 32, 32)
    skip, first, second = nn.Conv2d(16, 64, 1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 64, 1)

    def block(x: Any) -> Any:
        return ops.max_pool2d(ops.relu(second(first(x)) + skip(x)), 2)

    predictor = cc.compile(block, shape)
    wide, narrow = 4 * 2 * 64 * 32 * 32, 4 * 2 * 16 * 32 * 32
    assert predictor.memory.activations <= wide + 2 * narrow
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = ops.max_pool2d(ops.relu(second(first(x)) + skip(x)), 2)
    np.testing.assert_allclose(predictor(x), expected, rtol=1e-5, atol=1e-5)
