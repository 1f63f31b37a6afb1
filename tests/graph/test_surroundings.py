# SPDX-License-Identifier: Apache-2.0
"""What a traced function takes from around it is compared at each call."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

ONES = np.ones(3, np.float32)
FACTOR = 2.0
SETTINGS = {"scale": {"inner": 2.0}}
GENERATOR = np.random.default_rng(0)


class Config:
    scale = 2.0


def helper(x: Any) -> Any:
    return x * FACTOR


def closure_of(value: Any, use: Callable[[Any, Any], Any]) -> tuple[Any, Callable[[Any], None]]:
    """Return a function that reads a cell, and one that sets it."""

    def fn(x: Any) -> Any:
        return use(x, value)

    def change(new: Any) -> None:
        nonlocal value
        value = new

    return fn, change


def times(x: Any, factor: Any) -> Any:
    return x * factor


def sum_of(fn: Any) -> Callable[[], float]:
    """Return the value of a function as value_and_grad computes it, by programs that it keeps."""
    weight = nn.Parameter(np.ones(3))
    compiled = cc.value_and_grad(lambda x: ops.sum(fn(x) * weight), [weight])
    return lambda: float(compiled(ONES)[0])


def test_closure_cells() -> None:
    fn, change = closure_of(2.0, times)
    value = sum_of(fn)
    assert value() == 6.0
    change(3.0)
    assert value() == 9.0
    change(True)
    assert value() == 3.0
    change(np.full(3, 4.0))
    assert value() == 12.0


def test_none_and_text_in_a_closure() -> None:
    fn, change = closure_of(
        None, lambda x, mode: x if mode is None else (x * 2 if mode == "twice" else x * 3)
    )
    value = sum_of(fn)
    found = [value()]
    for mode in ("twice", "thrice", None):
        change(mode)
        found.append(value())
    assert found == [3.0, 6.0, 9.0, 3.0]


def test_globals_also_of_functions_that_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [sum_of(lambda x: x * FACTOR), sum_of(helper), sum_of(lambda x: helper(x))]
    assert [value() for value in values] == [6.0] * 3
    monkeypatch.setattr(f"{__name__}.FACTOR", 5.0)
    assert [value() for value in values] == [15.0] * 3
    monkeypatch.setattr(f"{__name__}.helper", lambda x: x)
    assert values[2]() == 3.0


def test_dicts_lists_and_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    config, factors = SimpleNamespace(beta=2.0, other=0), [2.0]
    values = [
        sum_of(lambda x: x * SETTINGS["scale"]["inner"]),
        sum_of(lambda x: x * config.beta),
        sum_of(lambda x: x * factors[0]),
        sum_of(lambda x: x * Config.scale),
        sum_of(lambda x: x * len(factors) * 2),
    ]
    assert [value() for value in values] == [6.0] * 5
    monkeypatch.setitem(SETTINGS["scale"], "inner", 1.0)
    config.beta, factors[0] = 1.0, 1.0
    monkeypatch.setattr(Config, "scale", 1.0)
    assert [value() for value in values] == [3.0, 3.0, 3.0, 3.0, 6.0]
    factors.append(1.0)
    assert values[4]() == 12.0


def test_arrays_changed_in_place() -> None:
    array = np.full(3, 2.0)
    fn, _ = closure_of(array, times)
    value, of_view = sum_of(fn), sum_of(lambda x: x * array[::-1])
    assert (value(), of_view()) == (6.0, 6.0)
    array[0] = 5.0
    assert (value(), of_view()) == (9.0, 9.0)


def test_defaults_partial_and_methods() -> None:
    class Model:
        def __init__(self) -> None:
            self.beta = 2.0

        def scale(self) -> float:
            return self.beta

        def loss(self, x: Any) -> Any:
            return x * self.scale()

        def __call__(self, x: Any) -> Any:
            return self.loss(x)

    def with_default(x: Any, settings: dict[str, float] = {"beta": 2.0}) -> Any:  # noqa: B006
        return x * settings["beta"]

    model, settings = Model(), {"beta": 2.0}
    values = [
        sum_of(with_default),
        sum_of(partial(with_default, settings=settings)),
        sum_of(model.loss),
        sum_of(model),
    ]
    assert [value() for value in values] == [6.0] * 4
    with_default.__defaults__[0]["beta"] = 1.0  # type: ignore[index]
    settings["beta"] = 1.0
    model.beta = 1.0
    assert [value() for value in values] == [3.0] * 4


def test_forward_methods() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.settings = {"scale": 2.0}
            self.array = np.full(3, 1.0)

        def forward(self, x: Any) -> Any:
            return x * self.settings["scale"] * FACTOR * self.array

    layer = Scale()
    model = nn.Sequential(layer)
    assert model(ONES[None]).sum() == 12.0
    layer.settings["scale"] = 1.0
    assert model(ONES[None]).sum() == 6.0
    layer.array[:] = 3.0
    assert model(ONES[None]).sum() == 18.0
    assert layer(ONES[None]).sum() == 18.0
    layer.array = np.zeros(3)
    assert model(ONES[None]).sum() == 0.0


def test_a_loss_given_to_a_trainer() -> None:
    weights = {"a": 1.0}
    model = nn.Linear(2, 1)
    trainer = cc.Trainer(
        model,
        lambda output, target: ops.mse_loss(output, target) * weights["a"],
        optim.SGD(model.parameters(), lr=0.0),
        metrics=(),
    )
    data = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    first = trainer.evaluate(data)["loss"]
    weights["a"] = 2.0
    assert math.isclose(trainer.evaluate(data)["loss"], 2 * first, rel_tol=1e-6)


def test_a_training_step_is_traced_again_only_when_something_differs() -> None:
    weight, traced = nn.Parameter(np.ones(3)), []
    beta, unused = 1.0, 0.0

    def loss(x: Any) -> Any:
        traced.append(beta)
        return ops.sum(weight * x) * beta

    step = cc.train_step(loss, optim.SGD([weight], lr=0.0))
    for beta in (1.0, float("1.0"), 2.0, float("2"), float("nan"), float("nan"), 1, 1.0, -0.0, 0.0):
        unused += beta
        for _ in range(3):
            step(ONES)
    assert [str(value) for value in traced] == ["1.0", "2.0", "nan", "1", "1.0", "-0.0", "0.0"]


def test_what_tracing_changes_itself_does_not_trace_again() -> None:
    calls = {"count": 0}

    def fn(x: Any) -> Any:
        calls["count"] += 1
        return x * 2

    value = sum_of(fn)
    assert [value() for _ in range(5)] == [6.0] * 5
    assert calls["count"] == 1


@pytest.mark.parametrize(
    "factor",
    [
        random.random,
        np.random.rand,
        GENERATOR.normal,
        partial(GENERATOR.uniform, 1, 2),
        lambda: random.random() + np.random.rand(),
        lambda: GENERATOR.random(),
    ],
)
def test_random_numbers_drawn_while_tracing_warn(factor: Callable[[], float]) -> None:
    def fn(x: Any) -> Any:
        return x * factor() * (GENERATOR is not None)

    with pytest.warns(UserWarning, match=r"random numbers were drawn .*ops.dropout .* as an input"):
        sum_of(fn)()


def test_random_numbers_of_a_layer_warn() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            return x * self.generator.random()

    with pytest.warns(UserWarning, match="random numbers were drawn"):
        nn.Sequential(Noisy())(ONES[None])
    with pytest.warns(UserWarning, match="random numbers were drawn"):
        cc.compile(Noisy(), (1, 3))


@pytest.mark.parametrize(
    "fn",
    [
        partial(lambda draw, x: x * draw(), np.random.default_rng(0).random),
        partial(lambda x, draw: x * draw(), draw=partial(np.random.default_rng(0).normal, 0, 1)),
        partial(lambda generator, x: x * generator.random(), np.random.default_rng(0)),
    ],
)
def test_random_numbers_of_partial_functions_warn(fn: Any) -> None:
    with pytest.warns(UserWarning, match="random numbers were drawn"):
        cc.grad(lambda x: ops.sum(fn(x=x)))(ONES)
    with pytest.warns(UserWarning, match="random numbers were drawn"):
        cc.compile(fn, (1, 3))


def test_random_numbers_from_elsewhere_do_not_warn() -> None:
    def fn(x: Any) -> Any:
        make = np.random.default_rng  # names the module, draws nothing
        return ops.dropout(x, 0.0) * (make is not None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sum_of(fn)()


class Scaled(nn.Module):
    """A layer whose attribute is an object that is no plain value."""

    def __init__(self) -> None:
        super().__init__()
        self.config: Any = SimpleNamespace(scale=2.0)

    def forward(self, x: Any) -> Any:
        return x * self.config.scale


def test_the_same_objects_do_not_trace_again() -> None:
    layer, holder = Scaled(), SimpleNamespace(values=(1.0, 2.0), other=ONES)
    traced: list[int] = []

    def fn(x: Any) -> Any:
        traced.append(1)
        return layer(x) * holder.values[1] + holder.other

    value = sum_of(fn)
    assert [value() for _ in range(3)] == [15.0] * 3
    assert len(traced) == 1
    layer.config = SimpleNamespace(scale=3.0)
    assert value() == 21.0
    assert len(traced) == 2


TRACES = iter(range(100))


def counted(x: Any) -> Any:
    next(TRACES)
    return x * 2.0


def test_functions_that_stay_are_traced_once() -> None:
    value = sum_of(lambda x: counted(x))
    assert [value(), value(), value()] == [6.0, 6.0, 6.0]
    assert next(TRACES) == 1


def test_defaults_that_change() -> None:
    def scaled(x: Any, factor: float = 2.0) -> Any:
        return x * factor

    value = sum_of(lambda x: scaled(x))
    assert value() == 6.0
    scaled.__defaults__ = (3.0,)
    assert value() == 9.0


def test_containers_as_deep_as_the_page_says() -> None:
    innermost = [2.0]
    held: Any = [[[[innermost]]]]
    derivative = cc.grad(lambda x: ops.sum(x * held[0][0][0][0][0]))
    assert derivative(np.ones(1, np.float32))[0] == 2.0
    innermost[0] = 5.0
    assert derivative(np.ones(1, np.float32))[0] == 5.0
