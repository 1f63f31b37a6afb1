# SPDX-License-Identifier: Apache-2.0
"""Step `elementwise`: functions against float64, broadcasting and layouts exactly, threads bit for bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncore import _core
from core.helpers import run_step

Array = np.ndarray
Function = Callable[..., Array]

ALPHA, BETA = 0.3, 2.5


def sigmoid64(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normal64(x: Array) -> Array:
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[float])(x)


def gelu_tanh64(x: Array) -> Array:
    return x * sigmoid64(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def mish64(x: Array) -> Array:
    return x * np.tanh(np.logaddexp(x, 0))


def slope64(function: Callable[[Array], Array], x: Array) -> Array:
    """The derivative by central differences, whose error is some 1e-10."""
    return (function(x + 1e-5) - function(x - 1e-5)) / 2e-5


def power_gradient(g: Array, a: Array, b: Array) -> Array:
    return g * b * a ** (b - 1)


# Name -> (float64 reference of (inputs..., alpha, beta), allowed error in float32 ulps).
UNARY: dict[str, tuple[Function, float]] = {
    "relu": (lambda x, a, b: np.where(np.isnan(x), x, np.maximum(x, 0)), 0),
    "leaky_relu": (lambda x, a, b: np.where(x > 0, x, a * x), 1),
    "relu6": (lambda x, a, b: np.clip(x, 0, 6), 0),
    "clamp": (lambda x, a, b: np.clip(x, a, b), 0),
    "elu": (lambda x, a, b: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))), 3),
    "sigmoid": (lambda x, a, b: sigmoid64(x), 4),
    "expm1": (lambda x, a, b: np.expm1(x), 3),
    "erf": (lambda x, a, b: np.vectorize(math.erf)(x), 4),
    "sin": (lambda x, a, b: np.sin(x), 1),
    "cos": (lambda x, a, b: np.cos(x), 1),
    "tan": (lambda x, a, b: np.tan(x), 1),
    "asin": (lambda x, a, b: np.arcsin(x), 1),
    "acos": (lambda x, a, b: np.arccos(x), 1),
    "atan": (lambda x, a, b: np.arctan(x), 1),
    "sinh": (lambda x, a, b: np.sinh(x), 1),
    "cosh": (lambda x, a, b: np.cosh(x), 1),
    "exp2": (lambda x, a, b: np.exp2(x), 1),
    "log2": (lambda x, a, b: np.log2(x), 1),
    "log10": (lambda x, a, b: np.log10(x), 1),
    "erfc": (lambda x, a, b: np.vectorize(math.erfc)(x), 1),
    "floor": (lambda x, a, b: np.floor(x), 0),
    "ceil": (lambda x, a, b: np.ceil(x), 0),
    "trunc": (lambda x, a, b: np.trunc(x), 0),
    "round": (lambda x, a, b: np.rint(x), 0),
    "logical_not": (lambda x, a, b: x == 0, 0),
    "gelu": (lambda x, a, b: x * normal64(x), 8),
    "gelu_tanh": (lambda x, a, b: gelu_tanh64(x), 8),
    "mish": (lambda x, a, b: mish64(x), 6),
    "silu": (lambda x, a, b: x * sigmoid64(x), 5),
    "hardsigmoid": (lambda x, a, b: np.clip(x / 6 + 0.5, 0, 1), 2),
    "hardswish": (lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1), 3),
    "softplus": (lambda x, a, b: np.logaddexp(x, 0), 4),
    "tanh": (lambda x, a, b: np.tanh(x), 3),
    "exp": (lambda x, a, b: np.exp(x), 2),
    "log": (lambda x, a, b: np.log(x), 2),
    "log1p": (lambda x, a, b: np.log1p(x), 3),
    "sqrt": (lambda x, a, b: np.sqrt(x), 1),
    "rsqrt": (lambda x, a, b: 1 / np.sqrt(x), 2),
    "abs": (lambda x, a, b: np.abs(x), 0),
    "neg": (lambda x, a, b: -x, 0),
    "sign": (lambda x, a, b: np.sign(x), 0),
    "square": (lambda x, a, b: x * x, 1),
    "reciprocal": (lambda x, a, b: 1 / x, 1),
    "add_scalar": (lambda x, a, b: x + a, 1),
    "mul_scalar": (lambda x, a, b: x * a, 1),
    "rsub_scalar": (lambda x, a, b: a - x, 1),
    "rdiv_scalar": (lambda x, a, b: a / x, 1),
    "pow_scalar": (lambda x, a, b: x**a, 2),
    "max_scalar": (lambda x, a, b: np.maximum(x, a), 0),
    "min_scalar": (lambda x, a, b: np.minimum(x, a), 0),
}
BINARY: dict[str, tuple[Function, float]] = {
    "not_equal": (lambda x, y, a, b: x != y, 0),
    "logical_and": (lambda x, y, a, b: (x != 0) & (y != 0), 0),
    "logical_or": (lambda x, y, a, b: (x != 0) | (y != 0), 0),
    "logical_xor": (lambda x, y, a, b: (x != 0) ^ (y != 0), 0),
    "atan2": (lambda x, y, a, b: np.arctan2(x, y), 1),
    "hypot": (lambda x, y, a, b: np.hypot(x, y), 1),
    "add": (lambda x, y, a, b: x + y, 1),
    "sub": (lambda x, y, a, b: x - y, 1),
    "mul": (lambda x, y, a, b: x * y, 1),
    "div": (lambda x, y, a, b: x / y, 1),
    "maximum": (lambda x, y, a, b: np.maximum(x, y), 0),
    "minimum": (lambda x, y, a, b: np.minimum(x, y), 0),
    "pow": (lambda x, y, a, b: x**y, 2),
    "greater": (lambda x, y, a, b: np.where(x > y, 1.0, 0.0), 0),
    "greater_equal": (lambda x, y, a, b: np.where(x >= y, 1.0, 0.0), 0),
    "equal": (lambda x, y, a, b: np.where(x == y, 1.0, 0.0), 0),
    "prelu": (lambda x, y, a, b: np.where(x > 0, x, x * y), 1),
    "relu_backward": (lambda g, y, a, b: np.where(y <= 0, 0, g), 0),
    "leaky_relu_backward": (lambda g, y, a, b: np.where(y > 0, g, a * g), 1),
    "relu6_backward": (lambda g, y, a, b: np.where((y <= 0) | (y >= 6), 0, g), 0),
    "clamp_backward": (lambda g, x, a, b: np.where((x >= a) & (x <= b), g, 0), 0),
    "max_scalar_backward": (lambda g, x, a, b: np.where(x >= a, g, 0), 0),
    "min_scalar_backward": (lambda g, x, a, b: np.where(x <= a, g, 0), 0),
    "prelu_weight_backward": (lambda g, x, a, b: np.where(x > 0, 0, g * x), 1),
    "abs_backward": (lambda g, x, a, b: g * np.sign(x), 0),
}
# Poles, exponentials or overflowing sums: their error is measured on arguments of ordinary size only.
SMOOTH_BINARY: dict[str, tuple[Function, float]] = {
    "scaled_add": (lambda x, y, a, b: (x + y) * a, 2),
    "scaled_mul": (lambda x, y, a, b: x * a * y, 2),
    "shifted_mul": (lambda x, y, a, b: (x + a) * y, 2),
    "glu": (lambda x, y, a, b: x * sigmoid64(y), 4),
    "elu_backward": (lambda g, x, a, b: np.where(x > 0, g, g * a * np.exp(np.minimum(x, 0))), 3),
    "gelu_backward": (
        lambda g, x, a, b: g * (normal64(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
        8,
    ),
    "gelu_tanh_backward": (lambda g, x, a, b: g * slope64(gelu_tanh64, x), 10),
    "mish_backward": (lambda g, x, a, b: g * slope64(mish64, x), 8),
    "sigmoid_backward": (lambda g, y, a, b: g * y * (1 - y), 3),
    "silu_backward": (lambda g, x, a, b: g * sigmoid64(x) * (1 + x * (1 - sigmoid64(x))), 12),
    "hardsigmoid_backward": (lambda g, x, a, b: np.where(np.abs(x) < 3, g / 6, 0), 2),
    "hardswish_backward": (
        lambda g, x, a, b: g * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
        4,
    ),
    "softplus_backward": (lambda g, x, a, b: g * sigmoid64(x), 5),
    "tanh_backward": (lambda g, y, a, b: g * (1 - y * y), 3),
    "log_backward": (lambda g, x, a, b: g / x, 1),
    "log1p_backward": (lambda g, x, a, b: g / (1 + x), 3),
    "sqrt_backward": (lambda g, y, a, b: g / (2 * y), 2),
    "rsqrt_backward": (lambda g, y, a, b: -0.5 * g * y**3, 4),
    "square_backward": (lambda g, x, a, b: 2 * g * x, 1),
    "reciprocal_backward": (lambda g, y, a, b: -g * y * y, 2),
    "pow_scalar_backward": (lambda g, x, a, b: power_gradient(g, x, a), 4),
}
TERNARY: dict[str, tuple[Function, float]] = {
    "select": (lambda c, x, y, a, b: np.where(c != 0, x, y), 0),
    "fma": (lambda x, y, z, a, b: x * y + z, 2),
    "maximum_backward": (lambda g, x, y, a, b: np.where(x == y, g / 2, np.where(x > y, g, 0)), 0),
    "minimum_backward": (lambda g, x, y, a, b: np.where(x == y, g / 2, np.where(x < y, g, 0)), 0),
    "prelu_backward": (lambda g, x, w, a, b: np.where(x > 0, g, g * w), 1),
}

SPECIAL = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        np.inf,
        -np.inf,
        np.nan,
        3e38,
        -3e38,
        1e-37,
        -1e-37,
        0.3,
        2.5,
        6.0,
        1e30,
        88.5,
        -88.5,
        -89.5,
        -13.2,
        1e-6,
    ],
    np.float32,
)


def ordinary(rng: np.random.Generator, size: int) -> Array:
    return np.concatenate([rng.normal(0, 3, size - size // 4), rng.uniform(-80, 80, size // 4)]).astype(
        np.float32
    )


def assert_ulps(actual: Array, reference: Array, ulps: float, scale: Array | None = None) -> None:
    """Equal NaN and infinities, the rest within `ulps` float32 ulps; denormals may flush to zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = reference.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(rounded))
    finite = np.isfinite(rounded)
    limit = np.float64(np.finfo(np.float32).max)
    near_overflow = np.abs(reference) >= limit * (1 - 2.0**-22)
    np.testing.assert_array_equal(actual[~finite & ~near_overflow], rounded[~finite & ~near_overflow])
    finite &= ~near_overflow
    size = np.abs(rounded if scale is None else scale.astype(np.float32))[finite]
    bound = ulps * np.spacing(size).astype(np.float64) + np.finfo(np.float32).tiny
    error = np.abs(actual[finite].astype(np.float64) - reference[finite])
    bound = bound if ulps else np.where(np.abs(reference[finite]) < np.finfo(np.float32).tiny, bound, 0)
    worst = np.argmax(error - bound) if error.size else 0
    assert (error <= bound).all(), (
        actual[finite][worst],
        reference[finite][worst],
        error[worst],
        bound[worst],
    )


def apply(
    function: str, *inputs: Array, shape: tuple[int, ...] | None = None, layout: str = "channels_last"
) -> Array:
    shape = np.broadcast_shapes(*(x.shape for x in inputs)) if shape is None else shape
    (y,) = run_step(
        "elementwise",
        list(inputs),
        [(shape, "float32", layout)],
        {"function": function, "alpha": ALPHA, "beta": BETA},
    )
    assert y is not None
    return y


def reference_of(table: dict[str, tuple[Function, float]], name: str, *inputs: Array) -> Array:
    alpha, beta = float(np.float32(ALPHA)), float(np.float32(BETA))
    with np.errstate(all="ignore"):
        return table[name][0](*(x.astype(np.float64) for x in inputs), alpha, beta)


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_against_float64(name: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([SPECIAL, ordinary(rng, 4000)])
    reference = reference_of(UNARY, name, x)
    scale = None
    if name == "gelu_tanh":  # an error in x^3 counts as often as the exponent is large
        scale = np.maximum(np.abs(reference), np.minimum(np.abs(x), 12) / 16)
    if name == "mish":  # e^x vanishes a little before x e^x does
        scale = np.maximum(np.abs(reference), 1e-30)
    if name in ("hardsigmoid", "hardswish"):  # x / 6 + 1/2 cancels near -3
        scale = np.maximum(np.abs(reference), np.minimum(np.abs(x), 4))
    assert_ulps(apply(name, x), reference, UNARY[name][1], scale)


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_against_float64(name: str) -> None:
    rng = np.random.default_rng(1)
    a, b = np.meshgrid(SPECIAL, SPECIAL)
    x = np.concatenate([a.ravel(), ordinary(rng, 3000)])
    y = np.concatenate([b.ravel(), ordinary(rng, 3000)])
    assert_ulps(apply(name, x, y), reference_of(BINARY, name, x, y), BINARY[name][1])


@pytest.mark.parametrize("name", SMOOTH_BINARY)
def test_gradients_against_float64(name: str) -> None:
    rng = np.random.default_rng(2)
    g = rng.normal(size=3000).astype(np.float32)
    positive = name in (
        "log_backward",
        "log1p_backward",
        "sqrt_backward",
        "rsqrt_backward",
        "pow_scalar_backward",
    )
    x = rng.uniform(0.1, 4, 3000) if positive else rng.uniform(-4, 4, 3000)
    if name in ("sigmoid_backward", "tanh_backward"):
        x = rng.uniform(0, 0.95, 3000)
    x = x.astype(np.float32)
    reference = reference_of(SMOOTH_BINARY, name, g, x)
    # The terms of these derivatives are of size 1 and may cancel.
    cancelling = ("hardswish_backward", "tanh_backward", "mish_backward")
    cancelling += ("silu_backward", "gelu_backward", "gelu_tanh_backward")
    scale = np.maximum(np.abs(reference), np.abs(g)) if name in cancelling else None
    assert_ulps(apply(name, g, x), reference, SMOOTH_BINARY[name][1], scale)


@pytest.mark.parametrize("name", TERNARY)
def test_ternary_functions_against_float64(name: str) -> None:
    rng = np.random.default_rng(3)
    inputs = [rng.integers(-3, 4, 999).astype(np.float32) * np.float32(0.7) for _ in range(3)]
    reference = reference_of(TERNARY, name, *inputs)
    scale = np.abs(inputs[0] * inputs[1]) + np.abs(reference) if name == "fma" else None
    assert_ulps(apply(name, *inputs), reference, TERNARY[name][1], scale)


def test_power_gradients() -> None:
    rng = np.random.default_rng(4)
    g = rng.normal(size=500).astype(np.float32)
    base = rng.uniform(0.2, 3, 500).astype(np.float32)
    exponent = rng.integers(-3, 4, 500).astype(np.float32)
    g64, b64, e64 = (v.astype(np.float64) for v in (g, base, exponent))
    assert_ulps(apply("pow_base_backward", g, base, exponent), power_gradient(g64, b64, e64), 4)
    y = (b64**e64).astype(np.float32)
    expected = g64 * y.astype(np.float64) * np.log(b64)
    assert_ulps(apply("pow_exponent_backward", g, base, y), expected, 4)
    zeros = np.zeros(500, np.float32)
    np.testing.assert_array_equal(apply("pow_base_backward", g, zeros, zeros), zeros)
    np.testing.assert_array_equal(apply("pow_exponent_backward", g, zeros, zeros), zeros)


@pytest.mark.parametrize("size", [*range(1, 36), 61, 67, 127, 128, 129, 16384, 16385])
def test_every_length(size: int) -> None:
    x = np.arange(size, dtype=np.float32) - 7
    np.testing.assert_array_equal(apply("square", x), x * x)
    np.testing.assert_array_equal(apply("sub", x, x[::-1].copy()), x - x[::-1])


SINGLE = st.floats(width=32) | st.integers(-9, 9).map(float)


@given(pairs=st.lists(st.tuples(SINGLE, SINGLE), min_size=1, max_size=40))
@settings(max_examples=500, deadline=None)
def test_floor_division_and_remainder_have_numpys_bits(pairs: list[tuple[float, float]]) -> None:
    """Denormals, infinities and quotients beyond 2^24 included; only what NaN looks like is left open."""
    a, b = np.array(pairs, np.float32).T.copy()
    with np.errstate(all="ignore"):
        exact = np.remainder(a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
        expected = {"floor_divide": np.floor_divide(a, b), "remainder": np.remainder(a, b)}
    np.testing.assert_array_equal(expected["remainder"], exact)
    for function, wanted in expected.items():
        found = apply(function, a, b)
        np.testing.assert_array_equal(found, wanted)
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(wanted[number]))


def test_remainders_of_large_quotients() -> None:
    a = np.array([1e10, -1e10, 3e38, 3e38, -3e38, 16777216, 1], np.float32)
    b = np.array([3, 3, 7, 1e-45, 1e-38, 0.1, 1e-40], np.float32)
    exact = [Fraction(float(x)) % Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    assert apply("remainder", a, b).tolist() == [float(np.float32(float(x))) for x in exact]


BROADCASTS = list(itertools.product([0, 1], repeat=4))


@pytest.mark.parametrize("layout", ["channels_last", "c"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 20, 2, 9), (1, 130, 3, 3), (2, 10, 33, 31)])
def test_broadcasting_in_every_position(shape: tuple[int, ...], layout: str) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=shape).astype(np.float32)
    for keep, other in itertools.product(BROADCASTS, ["channels_last", "c"]):
        small = tuple(n if k else 1 for n, k in zip(shape, keep, strict=True))
        y = rng.normal(size=small).astype(np.float32)
        inputs = [x, (y, other)]
        for order, expected in ((inputs, x - y), (inputs[::-1], y - x)):
            (result,) = run_step("elementwise", order, [(shape, "float32", layout)], {"function": "sub"})
            np.testing.assert_array_equal(result, expected)


@given(
    shape=st.lists(st.integers(1, 9), min_size=0, max_size=5),
    masks=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=3, max_size=3),
    drops=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    layouts=st.lists(st.sampled_from(["c", "channels_last"]), min_size=4, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_three_inputs_of_any_shape(
    shape: list[int], masks: list[list[bool]], drops: list[int], layouts: list[str]
) -> None:
    rng = np.random.default_rng(6)
    inputs = []
    for mask, drop, layout in zip(masks, drops, layouts, strict=False):
        small = [1 if m else n for n, m in zip(shape, mask, strict=False)][min(drop, len(shape)) :]
        inputs.append((rng.integers(-9, 10, small).astype(np.float32), layout))
    expected = inputs[0][0] * inputs[1][0] + inputs[2][0]
    expected = np.broadcast_to(expected, shape)
    (y,) = run_step("elementwise", inputs, [(shape, "float32", layouts[3])], {"function": "fma"})
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("function", ["add", "div"])
@pytest.mark.parametrize("small", [(), (1, 24, 1, 1), (1, 1, 65, 64), (8, 24, 65, 64)])
def test_same_bits_on_any_number_of_threads(function: str, small: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(8, 24, 65, 64)).astype(np.float32)
    y = rng.normal(size=small).astype(np.float32)
    before = _core.num_threads()
    results = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        results.append(apply(function, x, y))
    _core.set_num_threads(before)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_the_result_may_replace_an_input() -> None:
    x = np.arange(1000, dtype=np.float32).reshape(10, 100)
    memory, other = x.copy(), np.full((10, 100), 2, np.float32)
    program = _core.Program()
    a, b, y = (program.add_value([10, 100], "float32", "c") for _ in range(3))
    program.bind(a, memory, True)
    program.bind(b, other)
    program.alias(y, a)
    program.add_step("elementwise", [a, b], [y], {"function": "mul"})
    program.set_inputs([])
    program.set_outputs([])
    program.finish(0)
    program.run([])
    np.testing.assert_array_equal(memory, 2 * x)


@pytest.mark.parametrize("source", ["float32", "int32", "int64", "uint8"])
@pytest.mark.parametrize("target", ["float32", "int32", "int64", "uint8"])
def test_cast(source: str, target: str) -> None:
    x = np.array([[0, 1, 2.7, 200.5], [3, 99, 7.9, 255]]).astype(source)
    (y,) = run_step("elementwise", [x], [(x.shape, target)], {"function": "cast"})
    assert y is not None
    assert y.dtype == target
    np.testing.assert_array_equal(y, x.astype(target))


def test_errors_name_the_function_and_what_was_expected() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="unknown function 'nope'"):
        run_step("elementwise", [x], [((2, 3), "float32")], {"function": "nope"})
    with pytest.raises(ValueError, match="add: expected 2 inputs"):
        run_step("elementwise", [x], [((2, 3), "float32")], {"function": "add"})
    with pytest.raises(ValueError, match="cannot broadcast"):
        run_step("elementwise", [x, x], [((4, 3), "float32")], {"function": "add"})
    with pytest.raises(ValueError, match="relu: expected float32, got int64"):
        run_step("elementwise", [x.astype(np.int64)], [((2, 3), "float32")], {"function": "relu"})


IN_DOUBLE: dict[str, Function] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "erfc": np.vectorize(math.erfc, otypes=[float]),
}


@pytest.mark.parametrize("name", IN_DOUBLE)
def test_functions_computed_in_double_are_rounded_once(name: str) -> None:
    """Over all exponents, near multiples of pi / 2, and where large angles take another way (0.57 ulp)."""
    bits = np.random.default_rng(0).integers(0, 2**32, 20000, dtype=np.uint64).astype(np.uint32)
    drawn = bits.view(np.float32)
    turns = (np.arange(-4000, 4000) * (np.pi / 2)).astype(np.float32)
    border = np.float32(2**20) + np.arange(-64, 64, dtype=np.float32)
    x = np.concatenate([drawn[np.isfinite(drawn)], turns, border, -border, np.linspace(-12, 12, 5000)])
    x = x.astype(np.float32)
    with np.errstate(over="ignore"):
        expected = IN_DOUBLE[name](
            np.clip(x.astype(float), -700, 700) if name in ("sinh", "cosh") else x.astype(float)
        )
        rounded = expected.astype(np.float32)
    (y,) = run_step("elementwise", [x], [(x.shape, "float32")], {"function": name})
    normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(np.float32).tiny)
    assert np.array_equal(np.isinf(y), np.isinf(rounded))
    error = np.abs(y[normal] - expected[normal]) / np.spacing(np.abs(rounded[normal]))
    assert error.max() <= 0.57


@pytest.mark.parametrize("count", [1, 7, 16, 33, 1000])
def test_booleans_of_floats(count: int) -> None:
    x = np.resize(np.array([0.0, -0.0, np.nan, np.inf, -1.5, 2e-38, 3.0, 0.0], np.float32), count)
    (y,) = run_step("copy", [x], [(x.shape, "bool")])
    assert np.array_equal(y, x.astype(bool))
