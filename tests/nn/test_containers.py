# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

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
