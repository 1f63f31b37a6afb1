# SPDX-License-Identifier: Apache-2.0
"""Every operation of the table: values, gradients, second derivatives, bits, layouts, the roster.

Expected gradients are differences of the float64 reference, so that nothing here needs torch; where it is
installed, it is asked as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cases import CASES
from cases.case import Array, Case
from cnncore import nn, ops
from cnncore.compiler.autodiff import add_gradients
from cnncore.graph.tensor import OPS, Op
from cnncore.graph.trace import current_graph, trace
from cnncore.ops.elementwise import GRADIENTS
from oracle import EPS
from reference import float64, numerical_gradient

every_case = pytest.mark.parametrize("case", CASES, ids=str)
SMALL = [case for case in CASES if case.places and not case.large]
differentiable = pytest.mark.parametrize("case", SMALL, ids=str)


def results(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def weights(value: Any, seed: int = 7) -> Array:
    """Different factors for the elements of a result; whole numbers, so that exact results stay exact."""
    array = np.asarray(value)
    return np.random.default_rng(seed).choice([-2.0, -1.0, 1.0, 3.0], array.shape).astype(np.float32)


def weighted(case: Case, values: Sequence[Any], factors: Sequence[Any], power: int = 1) -> Any:
    """The scalar that gradients are of: every floating-point result, or its square, times its factors."""
    total: Any = 0.0
    for value, factor in zip(results(case(*values)), factors, strict=True):
        if factor is not None:
            total = (value**power * factor).sum() + total
    return total


def expected_results(case: Case, arrays: Sequence[Any] | None = None) -> list[Any]:
    given = case.arrays if arrays is None else arrays
    return results(case.reference(*(float64(a) if a.dtype.kind == "f" else a for a in given)))


def factors_of(case: Case) -> list[Any]:
    return [None if np.asarray(v).dtype.kind in "iub" else weights(v) for v in expected_results(case)]


def reference_loss(case: Case, arrays: Sequence[Any], factors: Sequence[Any], power: int = 1) -> float:
    pairs = zip(results(case.reference(*arrays)), factors, strict=True)
    return float(sum(np.sum(float64(v) ** power * float64(f)) for v, f in pairs if f is not None))


def assert_matches(case: Case, actual: Any, expected: Any, ulps: float, least: float = 0.0) -> None:
    """Nothing may be off in exact cases; elsewhere `ulps` roundings of the largest element or `least`."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    if expected.dtype.kind in "iub":
        assert actual.dtype.kind == expected.dtype.kind
        assert np.array_equal(actual, expected)
        return
    expected = float64(expected)
    bound = 0.0 if case.exact else ulps * EPS * max(float(np.abs(expected).max(initial=0.0)), least)
    error = float(np.abs(float64(actual) - expected).max(initial=0.0))
    assert error <= bound, f"off by {error:.3g}, allowed {bound:.3g}"


@every_case
def test_value(case: Case) -> None:
    actual, expected = results(case(*case.arrays)), expected_results(case)
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert_matches(case, ours, theirs, case.ulps, case.magnitude or 0.0)


def gradients(case: Case, arrays: Sequence[Any], factors: Sequence[Any]) -> list[Array]:
    found = cc.grad(lambda *tensors: weighted(case, tensors, factors), case.places)(*arrays)
    return list(found)


@differentiable
def test_gradient(case: Case) -> None:
    """By inputs and by parameters, whose memory is laid out otherwise."""
    factors, places = factors_of(case), case.places
    wide = [float64(a) if i in places else a for i, a in enumerate(case.arrays)]
    parameters = [nn.Parameter(case.arrays[i]) for i in places]

    def by_parameters() -> Any:
        mixed: list[Any] = list(case.arrays)
        for place, parameter in zip(places, parameters, strict=True):
            mixed[place] = parameter
        return weighted(case, mixed, factors)

    by_input = gradients(case, case.arrays, factors)
    _, by_parameter = cc.value_and_grad(by_parameters, parameters)()
    for i, *ours in zip(places, by_input, by_parameter, strict=True):

        def moved(x: Any, i: int = i) -> float:
            return reference_loss(case, [*wide[:i], x, *wide[i + 1 :]], factors)

        # Differences of piecewise linear and bilinear functions of whole numbers have no error.
        expected = numerical_gradient(moved, wide[i], 0.25 if case.exact else 1e-5)
        for gradient in ours:
            assert_matches(case, gradient, expected, 8 * case.ulps, 1.0)


@differentiable
def test_second_derivatives(case: Case) -> None:
    """The gradient's own gradient in a drawn direction, with a loss whose gradient depends on the result.

    Where an operation has none, the error says so.
    """
    factors, places = factors_of(case), case.places
    directions = {i: weights(case.arrays[i], seed=i + 1) / 4 for i in places}

    def along(*tensors: Any) -> Any:
        loss = ops.reshape(weighted(case, tensors, factors, power=2), ())
        found = add_gradients(current_graph(), loss, [tensors[i] for i in places])
        total: Any = (tensors[places[0]] * 0.0).sum()
        for i, gradient in zip(places, found, strict=True):
            total = total if gradient is None else total + (gradient * directions[i]).sum()
        return total

    function = cc.grad(along, places)
    if not case.twice:
        with pytest.raises(NotImplementedError, match="has no gradient"):
            function(*case.arrays)
        return
    # Truncation grows as step**2 and rounding as float64's eps / step**2: both are below 1e-6 of the terms.
    step = 3e-4
    wide = [float64(a) if i in places else a for i, a in enumerate(case.arrays)]
    ahead, back = (
        [a + sign * step * directions[i] if i in places else a for i, a in enumerate(wide)]
        for sign in (1, -1)
    )
    terms = reference_loss(case, wide, [None if f is None else np.abs(f) for f in factors], power=2)
    for i, ours in zip(places, function(*case.arrays), strict=True):

        def slope(x: Any, i: int = i) -> float:
            shift = x - wide[i]
            ends = ([*e[:i], e[i] + shift, *e[i + 1 :]] for e in (ahead, back))
            above, below = (reference_loss(case, end, factors, power=2) for end in ends)
            return (above - below) / (2 * step)

        expected = numerical_gradient(slope, wide[i], step)
        bound = 1e-6 * (1.0 + terms) + 64 * case.ulps * EPS * float(np.abs(expected).max(initial=1.0))
        error = np.abs(ours - expected).max(initial=0.0)
        assert error <= bound, f"off by {error:.3g}, allowed {bound:.3g}"


@pytest.mark.parametrize("case", [c for c in CASES if c.kinks], ids=str)
def test_gradient_where_pieces_meet(case: Case) -> None:
    for arrays, expected in case.kinks:
        inputs = [np.asarray(a, np.float32) for a in arrays]
        found = cc.grad(lambda *t: case(*t).sum(), list(range(len(inputs))))(*inputs)
        for gradient, wanted in zip(found, expected, strict=True):
            assert gradient.tolist() == np.asarray(wanted, np.float32).tolist()


def layouts(x: Array) -> list[Array]:
    """The same values in other memory: channels-last, reversed, sliced from more, at an odd address."""
    found = []
    if x.ndim >= 2:
        found.append(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1))
        found.append(np.asfortranarray(x))
    if x.ndim:
        found.append(np.ascontiguousarray(x[..., ::-1])[..., ::-1])
        more = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
        more[..., 1::2] = x
        found.append(more[..., 1::2])
    memory = np.zeros(x.nbytes + 1, np.uint8)
    odd = memory[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    return [*found, odd]


@every_case
def test_every_memory_layout_gives_the_same_bits(case: Case) -> None:
    expected = results(case(*case.arrays))
    for i, array in enumerate(case.arrays):
        for other in layouts(array):
            moved = [*case.arrays[:i], other, *case.arrays[i + 1 :]]
            for ours, theirs in zip(results(case(*moved)), expected, strict=True):
                assert np.array_equal(ours, theirs)
            assert np.array_equal(other, array, equal_nan=True)


class _Model(nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def forward(self, *tensors: Any) -> Any:
        return self.case(*tensors)


@every_case
def test_bits_do_not_depend_on_the_call(case: Case) -> None:
    """A second call, another number of threads, inside a compiled module."""
    expected = results(case(*case.arrays))
    factors = factors_of(case)
    with cc.threads(1):
        again = [results(case(*case.arrays))]
        first = gradients(case, case.arrays, factors) if case.places else []
    with cc.threads(2):
        again.append(results(case(*case.arrays)))
        second = gradients(case, case.arrays, factors) if case.places else []
    if all(a.dtype == np.float32 for a in case.arrays):
        compiled = cc.compile(_Model(case), [a.shape for a in case.arrays])
        again.append(results(compiled(*case.arrays)))
    for found in again:
        for ours, theirs in zip(found, expected, strict=True):
            assert np.array_equal(ours, theirs)
    for ours, theirs in zip(first, second, strict=True):
        assert np.array_equal(ours, theirs)


def torch_function(case: Case) -> Any:
    torch = pytest.importorskip("torch")
    if callable(case.torch):
        return case.torch
    name = case.torch if isinstance(case.torch, str) else case.name
    found = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    return lambda *tensors: found(*tensors, **case.settings)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("case", [c for c in CASES if c.torch and not c.large], ids=str)
def test_against_torch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    places, factors = case.places, factors_of(case)
    leaves = [torch.tensor(float64(a) if a.dtype.kind == "f" else a) for i, a in enumerate(case.arrays)]
    for i in places:
        leaves[i].requires_grad_(True)
    theirs = results(torch_function(case)(*leaves))
    for ours, value in zip(results(case(*case.arrays)), theirs, strict=True):
        wanted = value.detach().numpy()
        assert_matches(case, ours, wanted, case.ulps, case.magnitude or 0.0)
    if not places:
        return
    pairs = zip(theirs, factors, strict=True)
    sum((v * torch.tensor(f)).sum() for v, f in pairs if f is not None).backward()
    for i, gradient in zip(places, gradients(case, case.arrays, factors), strict=True):
        assert_matches(case, gradient, leaves[i].grad.numpy(), 8 * case.ulps, 1.0)


# -- the roster ----------------------------------------------------------------------------------------

MADE_BY_FUSION = {"conv_pool", "inverted_residual", "activation_backward"}
"""No public function makes these: `test_conv_pool.py`, `test_inverted_residual.py`, `graph/test_fuse.py`."""

OWN_TESTS: dict[str, str] = {
    "dropout": "test_dropout.py: its values are random",
    "gumbel_softmax": "test_noise.py: its values are random",
    "arange": "test_creation.py: it takes no tensors",
    "eye": "test_creation.py: it takes no tensors",
    "full": "test_creation.py: it takes no tensors",
    "linspace": "test_creation.py: it takes no tensors",
    "ones": "test_creation.py: it takes no tensors",
    "zeros": "test_creation.py: it takes no tensors",
    "remove_small_boxes": "test_regions.py: how many are left depends on values",
    "masked_select": "test_indexing.py: it is refused",
    "sync_batch_norm_apply": "test_sync_norm.py, tests/distributed: it takes several processes",
}


def test_every_public_operation_has_a_case() -> None:
    assert set(ops.__all__) - {case.name for case in CASES} - set(OWN_TESTS) == set()


def test_every_gradient_has_a_case() -> None:
    """Each operation and each elementwise function with a rule is differentiated by some case."""
    seen: set[str] = set()
    functions: set[str] = set()

    def note(nodes: Sequence[Any]) -> None:
        for node in nodes:
            seen.add(node.op.name)
            functions.add(getattr(node.attrs, "function", ""))

    for case in SMALL:
        graph, value = trace(lambda *t, c=case: weighted(c, t, factors_of(c), power=2), list(case.arrays))
        if case.twice:
            add_gradients(graph, value, [graph.inputs[i] for i in case.places])
        note(graph.nodes)
    with_rule = {n for n, op in OPS.items() if op.differentiable and type(op).gradient is not Op.gradient}
    assert with_rule - seen - MADE_BY_FUSION - set(OWN_TESTS) == set()
    assert {n for n, rules in GRADIENTS.items() if any(rules)} - functions == set()
