# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import nn


def test_sequential_by_position_and_by_name() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).append(nn.Linear(3, 1))
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert (len(net), net[0], net[-1]) == (3, next(iter(net)), net.get_submodule("2"))
    assert [type(m).__name__ for m in net[1:]] == ["ReLU", "Linear"]
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh)
    named = nn.Sequential({"first": nn.Linear(2, 3), "act": nn.ReLU()})
    assert [name for name, _ in named.named_children()] == ["first", "act"]
    with pytest.raises(IndexError, match="expected an index from -3 to 2, got 3"):
        net[3]
    with pytest.raises(TypeError, match="expected modules, got int at position 1"):
        nn.Sequential(nn.ReLU(), 3)  # type: ignore[arg-type]


def test_module_list() -> None:
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    last = layers[2]
    layers.insert(0, nn.ReLU())
    assert len(layers) == 4
    assert layers[-1] is last
    assert layers.get_submodule("3") is last
    layers[0] = nn.Tanh()
    assert [type(m).__name__ for m in layers[:2]] == ["Tanh", "Linear"]
    assert len(list(layers.parameters())) == 6


def test_module_dict() -> None:
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Linear(2, 2)})
    heads["c"] = nn.ReLU()
    del heads["a"]
    assert ("b" in heads, "a" in heads, heads.keys(), len(heads)) == (True, False, ["b", "c"], 2)
    assert list(heads) == ["b", "c"]
    assert [name for name, _ in heads.items()] == ["b", "c"]
    assert isinstance(heads.values()[1], nn.ReLU)
    assert list(heads.state_dict()) == ["b.weight", "b.bias"]


def kinds(modules: Any) -> str:
    return " ".join(type(module).__name__ for module in modules)


def test_sequential_as_a_list() -> None:
    net = nn.Sequential({"a": nn.ReLU(), "b": nn.Tanh(), "c": nn.Sigmoid()})
    assert kinds(net.insert(1, nn.Flatten())) == "ReLU Flatten Tanh Sigmoid"
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert kinds([net.pop(1), net.pop()]) == "Flatten Sigmoid"
    net += [nn.ReLU6()]
    assert kinds(net.extend([nn.Flatten(), nn.ReLU()])) == "ReLU Tanh ReLU6 Flatten ReLU"
    del net[1:3]
    del net[-1]
    assert kinds(net) == "ReLU Flatten"
    assert kinds(net + nn.Sequential(nn.Tanh())) == "ReLU Flatten Tanh"
    assert kinds(net * 2) == kinds(2 * net) == "ReLU Flatten ReLU Flatten"
    net *= 2
    assert len(net) == 4
    assert kinds(reversed(net)) == "Flatten ReLU Flatten ReLU"
    assert net[1] in list(net)


def test_what_is_added_to_a_slice_replaces_nothing() -> None:
    tail = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())[1:]
    assert kinds(tail.append(nn.Flatten())) == "Tanh Sigmoid Flatten"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda net: net.insert(5, nn.ReLU()), IndexError, "expected a position from -2 to 2, got 5"),
        (lambda net: net.insert("a", nn.ReLU()), TypeError, "expected an integer position, got 'a'"),
        (lambda net: net.insert(0, nn.ReLU), TypeError, r"expected a Module, got type: pass ReLU\(...\)"),
        (lambda net: net.append(5), TypeError, "expected a Module, got int"),
        (lambda net: net.extend([nn.ReLU(), 5]), TypeError, "expected a Module, got int"),
        (lambda net: net.extend(5), TypeError, "expected a list of entries, got int"),
        (lambda net: net.pop(2), IndexError, "expected an index from -2 to 1, got 2"),
        (lambda net: net.__delitem__(7), IndexError, "expected an index from -2 to 1, got 7"),
        (lambda net: net.__setitem__(0, "a"), TypeError, "expected a Module, got str"),
        (lambda net: net + 5, TypeError, "expected a list of entries, got int"),
    ],
)
@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_bad_changes_change_nothing(kind: Any, change: Any, error: type[Exception], message: str) -> None:
    net = kind(*[nn.ReLU(), nn.Tanh()]) if kind is nn.Sequential else kind([nn.ReLU(), nn.Tanh()])
    with pytest.raises(error, match=message):
        change(net)
    assert kinds(net) == "ReLU Tanh"


@pytest.mark.parametrize(("times", "error"), [(0, ValueError), ("2", TypeError), (True, TypeError)])
def test_sequential_times_what_is_no_count(times: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="to multiply a Sequential by, got"):
        nn.Sequential(nn.ReLU()) * times


def test_module_list_as_a_list() -> None:
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(layers) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    assert kinds(layers + nn.ModuleList([nn.Flatten()])) == "ReLU ReLU Tanh Flatten"
    layers += nn.ModuleList([nn.Sigmoid()])
    del layers[:2]
    assert kinds(layers) == "Tanh Sigmoid"
    assert kinds([layers.pop()]) == "Sigmoid"
    assert [name for name, _ in layers.append(nn.ReLU()).named_children()] == ["0", "1"]


def test_module_dict_as_a_dict() -> None:
    heads = nn.ModuleDict([("a", nn.ReLU()), ("b", nn.Tanh())])
    heads.update({"c": nn.Sigmoid()})
    assert list(reversed(heads)) == ["c", "b", "a"]
    assert heads.get("z") is None
    assert heads.setdefault("a", nn.Flatten()) is heads["a"]
    assert kinds([heads.setdefault("d", nn.Flatten()), heads.pop("a")]) == "Flatten ReLU"
    assert heads.popitem()[0] == "d"
    assert heads.pop("z", None) is None
    with pytest.raises(KeyError, match="no entry 'z'; there are: 'b', 'c'"):
        heads["z"]
    with pytest.raises(TypeError, match=r"a dict or \(key, entry\) pairs, got int"):
        heads.update(5)
    with pytest.raises(ValueError, match="has an attribute 'items' already"):
        heads["items"] = nn.ReLU()
    heads.clear()
    assert len(heads) == 0
    with pytest.raises(KeyError, match="no entry is left"):
        heads.popitem()


def test_parameter_list() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterList([np.full(2, 2.0), nn.Parameter([1.0, 3.0])])

        def forward(self, x: Any) -> Any:
            for scale in self.scales:
                x = x * scale
            return x

    net = Scaled()
    ones = np.ones((1, 2), np.float32)
    assert net(ones).tolist() == [[2, 6]]
    net.scales.append([10.0, 10.0])
    assert net(ones).tolist() == [[20, 60]]
    assert list(net.state_dict()) == ["scales.0", "scales.1", "scales.2"]
    net.scales[0] = [1.0, 1.0]
    net.scales.insert(0, nn.Parameter([0.5, 0.5]))
    assert net.scales.pop().numpy().tolist() == [10, 10]
    assert net(ones).tolist() == [[0.5, 1.5]]
    assert len(net.scales + nn.ParameterList([np.ones(2)])) == 4
    assert len(net.scales[1:]) == 2
    assert net.scales[1:][0] is net.scales[1]
    with pytest.raises(TypeError, match="expected a Parameter or an array, got None"):
        net.scales.append(None)


def test_parameter_dict() -> None:
    parts = nn.ParameterDict({"a": np.ones(2), "b": nn.Parameter([3.0])})
    assert [name for name, _ in parts.named_parameters()] == ["a", "b"]
    assert parts.copy()["b"] is parts["b"]
    assert list((parts | {"c": np.ones(1)}).keys()) == ["a", "b", "c"]
    assert list(({"c": np.ones(1)} | parts).keys()) == ["c", "a", "b"]
    parts |= {"d": np.zeros(1)}
    assert "d" in parts
    assert list(parts.fromkeys(["x", "y"], np.ones(1))) == ["x", "y"]
    assert parts.pop("a").shape == (2,)
    assert repr(parts) == (
        "ParameterDict(\n  (b): Parameter containing: [float32 of size 1]\n"
        "  (d): Parameter containing: [float32 of size 1]\n)"
    )
    assert repr(nn.ParameterDict()) == "ParameterDict()"
