# SPDX-License-Identifier: Apache-2.0
"""Chains of elementwise functions: the bits of the single steps, forward and backward."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler import chains, pipeline
from cnncore.ops.build import elementwise
from core.helpers import run_step

UNARY = ["tanh", "exp", "relu", "gelu", "sigmoid", "square", "abs", "neg", "erf"]
BINARY = ["add", "mul", "sub", "maximum", "floor_divide", "remainder"]


@pytest.fixture
def unchained(monkeypatch):
    """Leaves chains out of what is compiled from here on."""

    def leave_out():
        for name in ("LAST", "FUNCTION", "PREDICTOR"):
            passes = tuple(p for p in getattr(pipeline, name) if p is not chains.chain_elementwise)
            monkeypatch.setattr(pipeline, name, passes)

    return leave_out


def steps(function, *arrays):
    model = Function(function)
    return [row["step"] for row in cc.compile(model, [a.shape for a in arrays]).explain()]


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def composed_gelu(x):
    return 0.5 * x * (1 + ops.tanh(0.7978845608 * (x + 0.044715 * (x * x * x))))


def drawn(plan):
    """A function of three tensors from (name, operand, operand) entries; operands are values so far."""

    def function(*inputs):
        values = list(inputs)
        for name, a, b in plan:
            operands = [values[a % len(values)], values[b % len(values)]]
            values.append(elementwise(name, *operands[: 1 if name in UNARY else 2]))
        return values[-1] + inputs[0] * 0.0

    return function


ENTRIES = st.tuples(st.sampled_from(UNARY + BINARY), st.integers(0, 20), st.integers(0, 20))
PLANS = st.lists(ENTRIES, min_size=1, max_size=16)
SHAPES = [
    ((3, 700), (700,), (3, 1)),
    ((2, 5, 7, 9), (1, 5, 1, 1), (2, 5, 7, 9)),
    ((2, 16, 5, 3), (16, 1, 1), (1, 1, 5, 3)),
    ((5,), (), (1,)),
]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(plan=PLANS, shapes=st.sampled_from(SHAPES), layout=st.booleans())
def test_drawn_chains_have_the_bits_of_single_steps(plan, shapes, layout):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    if layout and arrays[0].ndim == 4:
        arrays[0] = np.ascontiguousarray(arrays[0].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    function = drawn(plan)
    found = []
    saved = pipeline.PREDICTOR
    for passes in (saved, tuple(p for p in saved if p is not chains.chain_elementwise)):
        pipeline.PREDICTOR = passes
        try:
            found.append(cc.compile(Function(function), [a.shape for a in arrays])(*arrays))
        finally:
            pipeline.PREDICTOR = saved
    np.testing.assert_array_equal(*found)


def test_a_composition_is_one_step_named_by_its_functions():
    x = np.zeros((4, 8, 6, 6), np.float32)
    found = steps(composed_gelu, x)
    assert len(found) == 1
    assert found[-1].startswith("elementwise_chain")
    assert "tanh" in found[-1]


def test_values_that_others_need_stay_outside():
    x = np.random.default_rng(1).normal(size=(6, 50)).astype(np.float32)

    def function(a):
        b = ops.exp(a)
        return ops.tanh(b) * 2.0, b

    tanh, exp = cc.compile(Function(function), x.shape)(x)
    np.testing.assert_array_equal(exp, ops.exp(x))
    np.testing.assert_array_equal(tanh, ops.tanh(exp) * np.float32(2))
    found = steps(function, x)
    assert found == ["elementwise exp", "elementwise_chain tanh mul_scalar"]


def test_training_has_the_same_bits(unchained):
    x = np.random.default_rng(2).normal(size=(8, 3, 10, 10)).astype(np.float32)

    def trained():
        conv = nn.Conv2d(3, 6, 3)
        for parameter in conv.parameters():
            parameter.assign(np.random.default_rng(3).normal(size=parameter.shape))
        step = cc.train_step(lambda a: composed_gelu(conv(a)).mean(), cc.optim.SGD(conv.parameters(), lr=0.1))
        loss = [float(step(x)) for _ in range(3)]
        return loss, np.array(conv.weight), [row["step"] for row in step.explain()]

    loss, weight, found = trained()
    assert sum(name.startswith("elementwise_chain") for name in found) >= 2
    unchained()
    plain_loss, plain_weight, plain = trained()
    assert not any(name.startswith("elementwise_chain") for name in plain)
    assert loss == plain_loss
    np.testing.assert_array_equal(weight, plain_weight)


def test_what_setup_computes_stays_at_setup():
    x = np.ones((2, 40), np.float32)
    scale = nn.Parameter(np.full(40, 2.0, np.float32))

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = scale

        def forward(self, a):
            return ops.exp(ops.neg(self.scale)) * a

    program = cc.compile(Scaled(), x.shape)
    assert [row["step"] for row in program.explain()] == ["elementwise mul"]


def test_a_chain_that_reads_what_is_not_there_is_refused():
    zeros = [0.0, 0.0]
    spec = {"function": "exp neg", "operands": [0, -1, -1, 5, -1, -1], "alpha": zeros, "beta": zeros}
    with pytest.raises(ValueError, match="neg reads value 5"):
        run_step("elementwise_chain", [np.ones(3, np.float32)], [((3,), "float32", "c")], spec)
