# SPDX-License-Identifier: Apache-2.0
"""Steps `sgd_update` and `adam_update` against float64 and against torch, in place, over many tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import _core

Array = np.ndarray

# One element up to more than a task of 16384, so that tensors are split and share tasks.
SIZES = [1, 3, 15, 16, 17, 64, 1009, 16384, 16385, 70_001]
EPS = np.finfo(np.float32).eps


def tensors(seed: int, sizes: list[int] = SIZES) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=n).astype(np.float32) for n in sizes]


def hyper(*values: float) -> Array:
    return np.array(values, np.float64).view(np.int64)


class Updater:
    """A program of one update step on arrays that it changes in place."""

    def __init__(
        self,
        op: str,
        settings: Array,
        groups: list[list[Array | None]],
        scale: Array | None = None,
        attrs: dict[str, Any] | None = None,
    ) -> None:
        self.program = _core.Program()
        inputs = [self.bound(settings, "int64"), -1 if scale is None else self.bound(scale, "float32")]
        outputs = []
        for group in groups:
            ids = [-1 if array is None else self.bound(array, "float32") for array in group]
            inputs += ids
            for base in [ids[0], *ids[2:]]:  # every tensor but the gradient is replaced
                if base < 0:
                    outputs.append(-1)
                    continue
                shape = group[ids.index(base)].shape
                outputs.append(self.program.add_value(list(shape), "float32", "c"))
                self.program.alias(outputs[-1], base)
        step = self.program.add_step(op, inputs, outputs, attrs or {})
        self.program.place_workspace(step, 0)
        self.program.set_inputs([])
        self.program.set_outputs([])
        self.program.finish(self.program.step_info(step)["workspace"])

    def bound(self, array: Array, dtype: str) -> int:
        value = self.program.add_value(list(array.shape), dtype, "c")
        self.program.bind(value, array, True)
        return value

    def step(self) -> None:
        self.program.run([])


SGD_CASES = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2},
    {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 1e-2},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    {"lr": 0.05, "weight_decay": 0.1},
]


@pytest.mark.parametrize("case", SGD_CASES)
def test_sgd_follows_torch(case: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    momentum = case.get("momentum", 0.0)
    parameters = tensors(0)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in parameters]
    optimizer = torch.optim.SGD(theirs, **case)
    gradients = [np.empty_like(p) for p in parameters]
    # What a buffer holds before the first step must not matter.
    buffers = [np.full_like(p, np.nan) if momentum else None for p in parameters]
    settings = hyper(case["lr"], momentum, case.get("dampening", 0.0), case.get("weight_decay", 0.0), 0)
    groups = [list(group) for group in zip(parameters, gradients, buffers, strict=True)]
    ours = Updater("sgd_update", settings, groups, attrs={"nesterov": int(case.get("nesterov", False))})
    for step in range(5):
        for gradient, their, fresh in zip(gradients, theirs, tensors(10 + step), strict=True):
            gradient[...] = fresh
            their.grad = torch.from_numpy(fresh)
        settings[4] = hyper(step)[0]
        ours.step()
        optimizer.step()
    for p, their in zip(parameters, theirs, strict=True):
        # Five steps of at most six roundings on numbers below 8.
        np.testing.assert_allclose(p, their.detach().numpy(), rtol=0, atol=30 * EPS * 8)


ADAM_CASES = [
    ("Adam", {"lr": 1e-2}),
    ("Adam", {"lr": 1e-3, "weight_decay": 1e-2, "betas": (0.8, 0.99)}),
    ("AdamW", {"lr": 1e-2, "weight_decay": 0.1}),
    ("AdamW", {"lr": 1e-3, "weight_decay": 0.0, "eps": 1e-4}),
]


@pytest.mark.parametrize(("name", "case"), ADAM_CASES)
def test_adam_follows_torch(name: str, case: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    parameters = tensors(1)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in parameters]
    optimizer = getattr(torch.optim, name)(theirs, **case)
    gradients, means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(3))
    beta1, beta2 = case.get("betas", (0.9, 0.999))
    settings = hyper(case["lr"], beta1, beta2, case.get("eps", 1e-8), case.get("weight_decay", 0.0), 1)
    groups = [list(group) for group in zip(parameters, gradients, means, squares, strict=True)]
    ours = Updater("adam_update", settings, groups, attrs={"decoupled": int(name == "AdamW")})
    for step in range(1, 7):
        for gradient, their, fresh in zip(gradients, theirs, tensors(20 + step), strict=True):
            gradient[...] = fresh
            their.grad = torch.from_numpy(fresh)
        settings[5] = hyper(step)[0]
        ours.step()
        optimizer.step()
    for p, m, v, their in zip(parameters, means, squares, theirs, strict=True):
        state = optimizer.state[their]
        np.testing.assert_allclose(m, state["exp_avg"].numpy(), rtol=0, atol=40 * EPS)
        np.testing.assert_allclose(v, state["exp_avg_sq"].numpy(), rtol=40 * EPS, atol=1e-12)
        # A mean near 0 has lost digits, which its quotient with the root keeps, times the learning rate.
        np.testing.assert_allclose(p, their.detach().numpy(), rtol=0, atol=60 * EPS * 4)


def test_sgd_against_float64() -> None:
    parameters, gradients, buffers = tensors(2), tensors(3), tensors(4)
    wanted = []
    for p, g, m in zip(parameters, gradients, buffers, strict=True):
        p64, g64, m64 = (x.astype(np.float64) for x in (p, g, m))
        g64 = 0.5 * g64 + 0.01 * p64
        m64 = 0.9 * m64 + 0.7 * g64
        wanted.append((p64 - 0.1 * (g64 + 0.9 * m64), m64))
    scale = np.array(0.5, np.float32)
    groups = [list(group) for group in zip(parameters, gradients, buffers, strict=True)]
    settings = hyper(0.1, 0.9, 0.3, 0.01, 7)
    Updater("sgd_update", settings, groups, scale, {"nesterov": 1}).step()
    for p, m, (p64, m64) in zip(parameters, buffers, wanted, strict=True):
        np.testing.assert_allclose(p, p64, rtol=0, atol=6 * EPS * 8)
        np.testing.assert_allclose(m, m64, rtol=0, atol=6 * EPS * 8)


@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam_against_float64(decoupled: int) -> None:
    parameters, gradients, means = tensors(5), tensors(6), tensors(7)
    squares = [np.abs(v) for v in tensors(8)]
    lr, beta1, beta2, eps, decay, step = 1e-2, 0.9, 0.999, 1e-3, 0.1, 12345
    wanted = []
    for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
        p64, g64, m64, v64 = (x.astype(np.float64) for x in (p, g, m, v))
        if decoupled:
            p64 = p64 * (1 - lr * decay)
        else:
            g64 = g64 + decay * p64
        m64 = beta1 * m64 + (1 - beta1) * g64
        v64 = beta2 * v64 + (1 - beta2) * g64 * g64
        root = np.sqrt(v64) / np.sqrt(1 - beta2**step) + eps
        wanted.append((p64 - lr / (1 - beta1**step) * m64 / root, m64, v64))
    groups = [list(group) for group in zip(parameters, gradients, means, squares, strict=True)]
    attrs = {"decoupled": decoupled}
    Updater("adam_update", hyper(lr, beta1, beta2, eps, decay, step), groups, attrs=attrs).step()
    for p, m, v, (p64, m64, v64) in zip(parameters, means, squares, wanted, strict=True):
        np.testing.assert_allclose(m, m64, rtol=0, atol=4 * EPS * 8)
        np.testing.assert_allclose(v, v64, rtol=6 * EPS)
        # The step is lr times a quotient with a relative error of some EPS.
        bound = 2 * EPS * np.abs(p64) + 16 * EPS * lr * (np.abs(m64) + 1) / (np.sqrt(v64) + eps)
        assert (np.abs(p - p64) <= bound).all()


@pytest.mark.parametrize("op", ["sgd_update", "adam_update"])
def test_same_bits_on_any_number_of_threads(op: str) -> None:
    before = _core.num_threads()
    results = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        state = [tensors(30 + i, [70_001, 5, 200_003]) for i in range(3 if op == "sgd_update" else 4)]
        state[-1] = [np.abs(v) for v in state[-1]]
        groups: list[list[Array | None]] = [list(group) for group in zip(*state, strict=True)]
        settings = (
            hyper(0.1, 0.9, 0.0, 1e-3, 1) if op == "sgd_update" else hyper(0.1, 0.9, 0.99, 1e-8, 1e-3, 3)
        )
        Updater(op, settings, groups).step()
        results.append(b"".join(x.tobytes() for x in state[0]))
    _core.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("op", ["sgd_update", "adam_update"])
def test_thousands_of_tensors_in_a_group(op: str) -> None:
    """The same bits as in groups of a few tensors: 2000 tensors are 12,000 and 14,000 inputs and outputs."""
    state = 3 if op == "sgd_update" else 4
    settings = hyper(0.1, 0.9, 0.0, 1e-3, 1) if op == "sgd_update" else hyper(0.1, 0.9, 0.99, 1e-8, 1e-3, 3)
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 40, 2000)
    groups: list[list[Array | None]] = [
        [np.abs(rng.normal(size=n)).astype(np.float32) for _ in range(state)] for n in sizes
    ]
    copies: list[list[Array | None]] = [[None if a is None else a.copy() for a in group] for group in groups]
    Updater(op, settings, groups).step()
    for start in range(0, len(copies), 100):
        Updater(op, settings, copies[start : start + 100]).step()
    for group, copy in zip(groups, copies, strict=True):
        for array, expected in zip(group, copy, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_hyperparameters_are_read_at_every_run() -> None:
    p, g = np.ones(5, np.float32), np.ones(5, np.float32)
    settings = hyper(0.5, 0, 0, 0, 0)
    updater = Updater("sgd_update", settings, [[p, g, None]])
    updater.step()
    np.testing.assert_array_equal(p, 0.5)
    settings[0] = hyper(0.25)[0]
    updater.step()
    np.testing.assert_array_equal(p, 0.25)


RULES: dict[str, tuple[int, int]] = {
    "moments": (3, 10),
    "adamax": (2, 6),
    "rmsprop": (3, 6),
    "adagrad": (1, 3),
    "adadelta": (2, 5),
    "asgd": (1, 4),
    "rprop": (2, 4),
    "lion": (1, 6),
    "muon_momentum": (1, 4),
    "descend": (0, 2),
    "lamb": (2, 12),
    "lars": (1, 8),
}
"""State arrays and numbers."""


@pytest.mark.parametrize("rule", RULES)
def test_rules_give_the_same_bits_on_any_number_of_threads_and_in_pieces(rule: str) -> None:
    """What a chunk does is compared with float64 in tests/optim."""
    state, count = RULES[rule]
    numbers = hyper(*np.linspace(0.3, 0.7, count))
    before, results = _core.num_threads(), []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        arrays = [[np.abs(v) for v in tensors(30 + i, [70_001, 5, 200_003])] for i in range(2 + state)]
        groups: list[list[Array | None]] = [list(group) for group in zip(*arrays, strict=True)]
        Updater("rule_update", numbers, groups, attrs={"rule": rule, "state": state}).step()
        results.append(b"".join(x.tobytes() for i in (0, *range(2, 2 + state)) for x in arrays[i]))
    _core.set_num_threads(before)
    assert results[0] == results[1] == results[2]
    if rule in ("lamb", "lars"):
        return  # whose steps depend on the whole tensor
    arrays = [[np.abs(v) for v in tensors(30 + i, [70_001, 5, 200_003])] for i in range(2 + state)]
    pieces: list[list[Array | None]] = [
        [v[lo : lo + 999] for v in group]
        for group in zip(*arrays, strict=True)
        for lo in range(0, group[0].size, 999)
    ]
    Updater("rule_update", numbers, pieces, attrs={"rule": rule, "state": state}).step()
    assert results[0] == b"".join(x.tobytes() for i in (0, *range(2, 2 + state)) for x in arrays[i])


def test_wrong_rules() -> None:
    p = np.zeros(4, np.float32)
    for attrs, groups, message in (
        ({"rule": "sgd", "state": 0}, [[p, p]], "unknown rule 'sgd'"),
        ({"rule": "lamb", "state": 1}, [[p, p, p]], "expected 2 to 2 state arrays for rule lamb, got 1"),
        ({"rule": "lion", "state": 1}, [[p, p, None]], "lion needs 1 state arrays of each tensor"),
        ({"rule": "lars", "state": 0}, [[p, p]], "expected 8 numbers for rule lars"),
    ):
        with pytest.raises(ValueError, match=message):
            Updater("rule_update", hyper(*[0.1] * 7), groups, attrs=attrs)


def test_errors() -> None:
    p = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="5 float64 bit patterns"):
        Updater("sgd_update", hyper(0.1, 0.9), [[p, p, None]])
    with pytest.raises(ValueError, match="expected 3 inputs for each tensor"):
        Updater("sgd_update", hyper(0.1, 0, 0, 0, 0), [[p, p]])
    with pytest.raises(ValueError, match=r"state: expected the shape and layout of \(4,\)"):
        Updater("sgd_update", hyper(0.1, 0, 0, 0, 0), [[p, np.zeros(5, np.float32), None]])
    with pytest.raises(ValueError, match="expected parameter, gradient, mean and square"):
        Updater("adam_update", hyper(0.1, 0.9, 0.99, 1e-8, 0, 1), [[p, p, p, None]])
