# SPDX-License-Identifier: Apache-2.0
"""Settings, groups and state of optimisers; the arithmetic is in test_against_torch.py."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim


def params() -> list[nn.Parameter]:
    return [nn.Parameter(np.zeros(3), name="a"), nn.Parameter(np.zeros((2, 2)), name="b")]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay"])
def test_sgd_refuses_settings(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected a finite {name} of at least 0, got {value}"):
        optim.SGD(params(), **{"lr": 0.1, name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(params(), 0.1, nesterov=True), "nesterov needs momentum > 0 and dampening 0"),
        (lambda: optim.SGD(params(), 0.1, 0.9, 0.1, nesterov=True), "nesterov needs"),
        (lambda: optim.SGD(params(), 0.1, 0.9, math.nan), "finite dampening"),
        (lambda: optim.Adam(params(), betas=(0.9, 1.0)), "two betas from 0 to below 1, got .0.9, 1.0."),
        (lambda: optim.Adam(params(), betas=(math.nan, 0.9)), "two betas"),
        (lambda: optim.Adam(params(), eps=-1e-8), "finite eps of at least 0"),
        (lambda: optim.AdamW(params(), weight_decay=math.nan), "finite weight_decay"),
        (lambda: optim.SGD([], 0.1), "expected at least one parameter, got none"),
        (lambda: optim.SGD(params() * 2, 0.1), r"parameter a \(3,\) is given twice"),
        (
            lambda: optim.SGD([{"params": params(), "rate": 1.0}], 0.1),
            r"unknown settings \['rate'\]; SGD has",
        ),
        (lambda: optim.SGD([{"params": params(), "lr": -1.0}], 0.1), "finite lr of at least 0, got -1.0"),
    ],
)
def test_wrong_settings(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(nn.Linear(2, 2), 0.1), r"got a Linear; pass model.parameters\(\)"),
        (lambda: optim.SGD(nn.Parameter([1.0]), 0.1), r"pass \[parameter\]"),
        (lambda: optim.SGD([np.zeros(3)], 0.1), "expected Parameters, got ndarray"),
        (
            lambda: optim.SGD(dict(nn.Linear(2, 2).named_parameters()), 0.1),
            "list of dicts with 'params', got dict",
        ),
        (lambda: optim.SGD([{"lr": 0.1}], 0.1), "every group to be a dict with 'params'"),
        (lambda: optim.SGD(params(), "fast"), "expected a number for lr, got 'fast'"),
    ],
)
def test_wrong_parameters(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_defaults_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.zeros(1))]
    for name in ("SGD", "Adam", "AdamW"):
        expected = getattr(torch.optim, name)(theirs).defaults
        assert getattr(optim, name)(params()).defaults.items() <= expected.items()


def test_groups() -> None:
    a, b = params()
    optimizer = optim.SGD([{"params": a, "lr": 1.0}, {"params": [b]}], lr=0.1, momentum=0.9)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]
    assert optimizer.param_groups[0]["params"] == [a]
    assert optimizer.lr == 1.0
    optimizer.lr = 0.5
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    optimizer.add_param_group({"params": [nn.Parameter([1.0])], "momentum": 0.0})
    assert len(optimizer.param_groups) == 3
    with pytest.raises(ValueError, match="is given twice"):
        optimizer.add_param_group({"params": [a]})
    with pytest.raises(ValueError, match="finite lr"):
        optimizer.lr = math.nan


def test_numbers_reach_the_step() -> None:
    optimizer = optim.Adam(params(), lr=0.1, betas=(0.8, 0.9))
    memory = optimizer.hyper(0)
    optimizer.step_count = 1
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.prepare()
    assert memory.read().view(np.float64).tolist()[:6] == [0.25, 0.8, 0.9, 1e-8, 0.0, 2.0]
    assert optimizer.step_count == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", math.nan, "a finite lr of at least 0, got nan"),
        ("lr", None, "a number for lr, got None"),
        ("lr", "x", "a number for lr, got 'x'"),
        ("weight_decay", math.nan, "a finite weight_decay of at least 0, got nan"),
        ("weight_decay", -1.0, "a finite weight_decay of at least 0, got -1.0"),
        ("momentum", math.inf, "a finite momentum of at least 0, got inf"),
        ("dampening", None, "a number for dampening, got None"),
        ("dampening", math.nan, "a finite dampening, got nan"),
        ("nesterov", "yes", "nesterov as True or False, got 'yes'"),
        ("weight_dekay", 1.0, r"unknown settings \['weight_dekay'\]; SGD has \['lr', 'momentum'"),
    ],
)
def test_every_setting_is_checked_at_each_step(name: str, value: Any, message: str) -> None:
    (a, b) = params()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1, momentum=0.9)
    step = cc.train_step(lambda x: ops.sum(a * x) + ops.sum(b), optimizer)
    step(np.ones(3))
    before = a.numpy().copy()
    optimizer.param_groups[1][name] = value
    with pytest.raises((TypeError, ValueError), match=rf"param_groups\[1\]: .*{message}"):
        step(np.ones(3))
    assert optimizer.step_count == 1
    assert np.array_equal(a.numpy(), before)


@pytest.mark.parametrize("name", ["lr", "betas"])
def test_settings_changed_in_place_are_checked_and_used(name: str) -> None:
    (a, _) = params()
    optimizer = optim.Adam([a], lr=0.1)
    value: Any = {"lr": np.array(0.1), "betas": [0.9, 0.999]}[name]
    optimizer.param_groups[0][name] = value
    step = cc.train_step(lambda x: ops.sum(a * x), optimizer)
    step(np.ones(3))
    if name == "lr":
        value[...] = 0.5
    else:
        value[0] = 0.5
    step(np.ones(3))
    assert 0.5 in optimizer.hyper(0).read().view(np.float64)
    if name == "lr":
        value[...] = math.nan
    else:
        value[0] = math.nan
    with pytest.raises(ValueError, match=r"param_groups\[0\]: .*(lr|betas)"):
        step(np.ones(3))


def test_settings_are_checked_again_where_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    (a, b) = params()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    step = cc.train_step(lambda x: ops.sum(a * x) + ops.sum(b), optimizer)
    step(np.ones(3))
    seen: list[Any] = []
    monkeypatch.setattr(optimizer, "check", seen.append)
    step(np.ones(3))
    assert seen == []
    optimizer.param_groups[1]["lr"] = 0.2
    step(np.ones(3))
    step(np.ones(3))
    assert seen == [optimizer.param_groups[1]]


def test_groups_are_added_by_add_param_group() -> None:
    (a, b) = params()
    optimizer = optim.SGD([a], lr=0.1)
    optimizer.param_groups.append({**optimizer.param_groups[0], "params": [b]})
    with pytest.raises(ValueError, match=r"expected 1 param_groups, got 2; add_param_group"):
        optimizer.check_settings()


def test_a_missing_setting_is_named() -> None:
    optimizer = optim.Adam(params())
    del optimizer.param_groups[0]["eps"]
    with pytest.raises(ValueError, match=r"param_groups\[0\]: the setting 'eps' is missing"):
        optimizer.check_settings()


@pytest.mark.parametrize("betas", [0.9, None, (0.9,), (0.9, "x"), (0.9, math.nan)])
def test_betas_are_two_numbers(betas: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="betas"):
        optim.Adam(params(), betas=betas)
    optimizer = optim.Adam(params())
    optimizer.param_groups[0]["betas"] = betas
    with pytest.raises((TypeError, ValueError), match=r"param_groups\[0\]: .*betas"):
        optimizer.check_settings()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (5, "a dict with 'state' and 'param_groups', got int"),
        ({"state": {}}, "with 'state' and 'param_groups'"),
        ({"state": {}, "param_groups": [{}]}, r"param_groups\[0\] has no 'params'"),
        ({"state": {}, "param_groups": [5]}, r"param_groups\[0\] as a dict with 'params', got int"),
        ({"state": {}, "param_groups": 5}, "param_groups as a list of dicts, got int"),
        ({"state": 5, "param_groups": [{"params": [0, 1]}]}, "state as a dict of dicts"),
        ({"state": {0: 5}, "param_groups": [{"params": [0, 1]}]}, r"state\[0\] as a dict, got int"),
    ],
)
def test_what_is_no_state_of_an_optimiser(state: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"expected .*{message}|{message}"):
        optim.Adam(params()).load_state_dict(state)


def test_state_arrays_are_made_once() -> None:
    a, b = params()
    optimizer = optim.SGD([{"params": [a], "momentum": 0.9}, {"params": [b]}], lr=0.1)
    (momentum,) = optimizer.state_slots(a)
    assert momentum.shape == (3,)
    assert not momentum.read().any()
    assert optimizer.state_slots(a)[0] is momentum
    assert optimizer.state_slots(b) == [None]
    assert [slot.shape for slot in optim.Adam([a]).state_slots(a)] == [(3,), (3,)]


def fill(optimizer: optim.Optimizer) -> None:
    rng = np.random.default_rng(0)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for slot in optimizer.state_slots(parameter):
                slot.write(rng.random(slot.shape).astype(np.float32))
    optimizer.step_count = 2


@pytest.mark.parametrize("kind", [lambda p: optim.SGD(p, 0.1, momentum=0.9), optim.Adam, optim.AdamW])
def test_state_round_trip(kind: Callable[[Any], optim.Optimizer]) -> None:
    source, target = kind(params()), kind(params())
    fill(source)
    source.lr = 0.03
    state = source.state_dict()
    slots = [target.state_slots(parameter) for parameter in target.param_groups[0]["params"]]
    target.load_state_dict(copy.deepcopy(state))
    assert (target.lr, target.step_count) == (0.03, 2)
    for parameter, before in zip(target.param_groups[0]["params"], slots, strict=True):
        assert all(new is old for new, old in zip(target.state_slots(parameter), before, strict=True))
    assert str(target.state_dict()) == str(state)
    name = source.slot_names[0]
    state["state"][0][name][...] = -1
    assert source.state_slots(source.param_groups[0]["params"][0])[0].read().min() >= 0


def test_state_of_untouched_parameters_is_zeroed() -> None:
    target = optim.Adam(params())
    fill(target)
    target.load_state_dict(optim.Adam(params()).state_dict())
    assert target.step_count == 0
    assert not any(
        slot.read().any() for p in target.param_groups[0]["params"] for slot in target.state_slots(p)
    )


def test_wrong_state_changes_nothing() -> None:
    optimizer = optim.Adam(params(), lr=0.5)
    fill(optimizer)
    before = str(optimizer.state_dict())
    state = optimizer.state_dict()
    for change, message in [
        (lambda s: s.pop("state"), "expected an optimiser's state_dict"),
        (
            lambda s: s["param_groups"].append({"params": []}),
            r"groups of \[2\] parameters, got groups of \[2, 0\]",
        ),
        (lambda s: s["param_groups"][0].update(lr=-1.0), "finite lr"),
        (
            lambda s: s["state"][1].update(exp_avg=np.zeros(5)),
            r"exp_avg of parameter 1 b \(2, 2\): expected shape",
        ),
    ]:
        broken = copy.deepcopy(state)
        broken["param_groups"][0]["lr"] = 0.25
        change(broken)
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(broken)
        assert str(optimizer.state_dict()) == before


def test_a_state_without_a_number_of_steps_is_one_step_old() -> None:
    """torch's SGD keeps buffers, but does not count."""
    optimizer = optim.SGD(params(), lr=0.5, momentum=0.5)
    state = optimizer.state_dict()
    arrays = {i: {"momentum_buffer": np.ones(p.shape)} for i, p in enumerate(params())}
    optimizer.load_state_dict({"state": arrays, "param_groups": state["param_groups"]})
    assert optimizer.state_dict()["step"] == 1


def test_state_of_an_option_that_is_not_there() -> None:
    state = optim.Adam(params(), amsgrad=True).state_dict()
    with pytest.raises(ValueError, match="made with amsgrad=True, which Lion lacks"):
        optim.Lion(params()).load_state_dict(state)


KINDS = [n for n in optim.__all__ if n[0].isupper() and n not in ("Optimizer", "EMA", "Muon")]


@pytest.mark.parametrize("name", KINDS)
def test_every_optimizer(name: str) -> None:
    """Groups of their own, refusals, frozen parameters, state that goes on with the same bits."""
    kind: Any = getattr(optim, name)
    with pytest.raises(ValueError, match="finite lr of at least 0, got -1"):
        kind(params(), lr=-1.0)
    with pytest.raises(TypeError, match="maximize as True or False, got 'yes'"):
        kind(params(), maximize="yes")
    with pytest.raises(ValueError, match=r"unknown settings \['rate'\]"):
        kind([{"params": params(), "rate": 1.0}])
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=s).astype(np.float32) for s in ((3,), (2, 2), (4,))] for _ in range(6)]

    def begin() -> tuple[list[nn.Parameter], optim.Optimizer, Any]:
        made = [nn.Parameter(np.ones(s), name=str(s)) for s in ((3,), (2, 2), (4,))]
        made[2].requires_grad = False
        optimizer = kind([{"params": made[:1], "foreach": None}, {"params": made[2:]}])
        optimizer.add_param_group({"params": made[1:2], "lr": 0.02})
        step = cc.train_step(
            lambda *g: ops.sum(made[0] * g[0]) + ops.sum(made[1] * g[1]) + ops.sum(made[2] * g[2]), optimizer
        )
        return made, optimizer, step

    whole, _, step = begin()
    for grads in gradients:
        step(*grads)
    first, optimizer, step = begin()
    for grads in gradients[:3]:
        step(*grads)
    assert set(optimizer.state_dict()["state"]) <= {0, 2}
    second, resumed, step = begin()
    for parameter, source in zip(second, first, strict=True):
        parameter.assign(source)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for grads in gradients[3:]:
        step(*grads)
    for a, b in zip(whole, second, strict=True):
        assert a.data.tobytes() == b.data.tobytes()
    assert (whole[0].numpy() != 1).any()
    assert (whole[2].numpy() == 1).all()
    up = [nn.Parameter(np.ones(3))]
    cc.train_step(lambda g: ops.sum(up[0] * g), kind(up, lr=0.1, maximize=True))(np.ones(3))
    assert (up[0].numpy() > 1 - 1e-6).all()


@pytest.mark.parametrize("name", [*KINDS, "Muon"])
def test_an_update_has_room_for_its_numbers_and_no_more(name: str) -> None:
    optimizer = getattr(optim, name)([nn.Parameter(np.ones((2, 3)))])
    assert len(optimizer.hyper_values(optimizer.param_groups[0], 1)) == optimizer.hyper_size


def test_repr() -> None:
    assert repr(optim.Adam(params())) == (
        "Adam(\n  group 0: 2 parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0, "
        "amsgrad=False, maximize=False, decoupled_weight_decay=False\n)"
    )


def test_state_in_any_order_of_memory() -> None:
    parameter = nn.Parameter(np.zeros((3, 5)))
    values = np.arange(15, dtype=np.float32).reshape(3, 5)
    optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9)
    state = {"state": {0: {"momentum_buffer": np.asfortranarray(values)}}, "step": 1}
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})
    np.testing.assert_array_equal(optimizer.state_dict()["state"][0]["momentum_buffer"], values)


@pytest.mark.parametrize("key", ["state", "param_groups"])
def test_a_state_has_arrays_and_groups(key: str) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(2))], lr=0.1)
    state = optimizer.state_dict()
    del state[key]
    with pytest.raises(ValueError, match=r"expected .*, got keys \["):
        optimizer.load_state_dict(state)
