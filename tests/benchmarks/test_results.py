# SPDX-License-Identifier: Apache-2.0
"""Ratios, their means, and the file they are kept in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RowOf = Callable[..., Any]


def test_the_best_peer_is_the_fastest_of_all(row_of: RowOf) -> None:
    row = row_of("lenet5", "inference", 1, cnncore=2.0, cnncore__exact=2.5, torch=9.0, torch__compile=5.0)
    assert row.best_peer == "torch compile"
    assert row.ratio() == pytest.approx(2.5)
    assert row.ratio(by="minimum") == pytest.approx(2.5)
    assert row.ratio("cnncore exact") == pytest.approx(2.0)
    assert row_of("lenet5", "inference", 1, cnncore=2.0, cnncore__exact=1.0).ratio() is None
    assert row_of("lenet5", "inference", 1, torch=2.0).ratio() is None


def test_geometric_means_are_taken_over_one_batch_of_each_network(module_of: Any, row_of: RowOf) -> None:
    results, groups = module_of("results"), module_of("networks").GROUPS
    rows = [
        row_of("lenet5", "inference", 1, cnncore=1.0, torch=2.0),
        row_of("resnet20", "inference", 1, cnncore=1.0, torch=8.0),
        row_of("vgg16", "inference", 16, cnncore=2.0, cnncore__exact=4.0, torch=8.0),
        row_of("lenet5", "inference", 64, cnncore=1.0, torch=100.0),
        row_of("lenet5", "training", 64, torch=3.0),
    ]
    first, second = results.means(rows)
    assert (first.group, first.networks, first.lowest) == (groups[0], 2, "lenet5")
    assert first.ratio_median == pytest.approx(4.0)
    assert first.lowest_ratio == pytest.approx(2.0)
    assert first.ratio_exact is None
    assert (second.group, second.networks) == (groups[1], 1)
    assert second.ratio_exact == pytest.approx(2.0)


def test_every_network_is_in_every_group(module_of: Any) -> None:
    networks = module_of("networks")
    for name, network in (networks.NETWORKS | networks.ZOO).items():
        known = networks.GROUPS if name in networks.NETWORKS else networks.ZOO_GROUPS
        batches = [("inference", batch) for batch in network.inference]
        batches += [("training", batch) for batch in network.training]
        groups = [networks.group_of(name, mode, batch) for mode, batch in batches]
        expected = known if network.training else known[:2]
        assert sorted(group for group in groups if group) == sorted(expected)


def test_a_row_survives_its_file(module_of: Any, row_of: RowOf, tmp_path: Path) -> None:
    results = module_of("results")
    row = row_of("lenet5", "inference", 1, cnncore=1.0, torch=2.0)
    row.errors["torch"], row.notes = 1e-7, ["a note"]
    file = results.ResultFile(tmp_path / "results.json", {"threads": 2})
    file.add("networks", row.as_json())
    file.set(geometric_means=[mean.as_json() for mean in results.means([row])])
    content = results.load(tmp_path / "results.json")
    assert content["threads"] == 2
    assert content["networks"][0]["ratio_median"] == pytest.approx(2.0)
    assert content["networks"][0]["best_peer"] == "torch"
    assert content["geometric_means"][0]["lowest"] == "lenet5"
    assert results.rows_of(content) == [row]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_file_is_whole_after_each_row(module_of: Any, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    file = module_of("results").ResultFile(path, {})
    for count in range(1, 4):
        file.add("rows", count)
        assert json.loads(path.read_text()) == {"rows": list(range(1, count + 1))}
    assert path.read_text().splitlines()[1:-1] == ['"rows": [', "1,", "2,", "3", "]"]
    module_of("results").ResultFile(None, {}).add("rows", 1)


def test_weights_that_begin_with_zeros_are_drawn(module_of: Any) -> None:
    shapes = {"head.weight": (3, 4), "norm.weight": (3,), "head.bias": (3,), "bn.running_var": (3,)}
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    made = module_of("networks").with_statistics(state)
    assert made["head.weight"].all()
    assert made["bn.running_var"].min() >= 0.5
    assert not made["norm.weight"].any()
    assert not made["head.bias"].any()
    assert not any(value.any() for value in state.values())
