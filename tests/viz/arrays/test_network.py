# SPDX-License-Identifier: Apache-2.0
"""Models as graphs of layers."""

from __future__ import annotations

from typing import Any

from cnncore import models, nn, ops
from cnncore.viz import arrays


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 1)

    def forward(self, x: Any) -> Any:
        return ops.relu(self.left(x)) + self.right(x)


def test_branches_meet() -> None:
    found = arrays.network(Branches(), (1, 1, 4, 4))
    names = [layer.name for layer in found.layers]
    assert names == ["(input)", "left", "relu", "right", "add"]
    edges = {(names[source], names[number]) for source, number in found.edges}
    assert edges == {
        ("(input)", "left"),
        ("left", "relu"),
        ("(input)", "right"),
        ("relu", "add"),
        ("right", "add"),
    }


def test_every_layer_is_on_a_way_from_the_input() -> None:
    found = arrays.network(models.resnet20(), (1, 3, 32, 32))
    reached = {0}
    for source, number in found.edges:  # in order of their sources
        assert source < number
        assert source in reached
        reached.add(number)
    assert reached == set(range(len(found.layers)))
    sums = [number for number, layer in enumerate(found.layers) if layer.kind == "add"]
    assert len(sums) == 9
    assert all(sum(number == other for _, other in found.edges) == 2 for number in sums)


def test_numbers_of_words() -> None:
    found = arrays.network(nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)), (1, 4), "int64")
    assert found.edges == ((0, 1), (1, 2))
