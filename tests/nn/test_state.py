# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import models, nn


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))


def test_state_is_a_snapshot() -> None:
    model = net()
    state = model.state_dict()
    before = state["2.weight"].copy()
    model[2].weight.assign(np.zeros((5, 4)))
    np.testing.assert_array_equal(state["2.weight"], before)


def test_round_trip_gives_the_same_bits() -> None:
    source, target = net(), net()
    source[1].num_batches_tracked.assign(7)
    source[1].running_mean.assign([np.nan, np.inf, -0.0])
    assert target.load_state_dict(source.state_dict()) == ([], [])
    for name, array in source.state_dict().items():
        assert array.tobytes() == target.state_dict()[name].tobytes()


def test_every_problem_is_listed_and_nothing_is_loaded() -> None:
    model = net()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["0.bias"], state["2.bias"]
    state["0.weight"] = np.zeros((3, 2, 5, 5))
    state["1.bias"] = np.zeros(3, complex)
    state["1.num_batches_tracked"] = np.float32(1.5)
    state["extra"] = np.zeros(1)
    with pytest.raises(ValueError, match="does not fit Sequential") as caught:
        model.load_state_dict(state)
    for line in (
        "missing: 0.bias",
        "missing: 2.bias",
        "unexpected: extra",
        "0.weight: expected shape (3, 2, 3, 3), got (3, 2, 5, 5)",
        "1.bias: expected an array of real numbers, got dtype complex128",
        "1.num_batches_tracked: expected integers (int64), got float32",
    ):
        assert line in str(caught.value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_not_strict_reports() -> None:
    model = net()
    state = model.state_dict()
    del state["0.bias"]
    state["extra"] = np.zeros(1)
    assert model.load_state_dict(state, strict=False) == (["0.bias"], ["extra"])
    state["0.weight"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"0.weight: expected shape \(3, 2, 3, 3\), got \(1,\)"):
        model.load_state_dict(state, strict=False)


def test_num_batches_tracked_may_be_missing() -> None:
    model = net()
    state = model.state_dict()
    del state["1.num_batches_tracked"]
    assert model.load_state_dict(state) == ([], [])


def test_a_prefix_on_all_keys_is_pointed_out() -> None:
    state = {f"module.{name}": array for name, array in net().state_dict().items()}
    with pytest.raises(ValueError, match=r"carries the prefix 'module.': remove it"):
        net().load_state_dict(state)
    with pytest.raises(TypeError, match="expected a dict of arrays"):
        net().load_state_dict([1, 2])  # type: ignore[arg-type]


def torch_lenet(torch: Any) -> Any:
    t = torch.nn
    layers = {
        "conv1": t.Conv2d(1, 6, 5, padding=2),
        "conv2": t.Conv2d(6, 16, 5),
        "fc1": t.Linear(400, 120),
        "fc2": t.Linear(120, 84),
        "fc3": t.Linear(84, 10),
    }
    return t.ModuleDict(layers)


def test_torch_round_trip() -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch_lenet(torch), models.lenet5()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    fresh = torch_lenet(torch)
    fresh.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name])


def test_arrays_under_two_names_of_a_module_are_there_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.second = nn.Parameter(np.ones(2))
            self.third = self.fourth = nn.Buffer(np.zeros(3))

    model = Twice()
    assert list(model.state_dict()) == ["first", "second", "third", "fourth"]
    assert len(list(model.parameters())) == 1
