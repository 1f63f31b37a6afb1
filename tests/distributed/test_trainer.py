# SPDX-License-Identifier: Apache-2.0
"""Trainers of several processes against one with batches as large as theirs together."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpi_ranks
from cnncore.train.metrics import AUC, R2, Accuracy, ConfusionMatrix, Metric
from cnncore.train.shards import part


@pytest.mark.parametrize(
    ("ranks", "rows", "batch_size", "settings"),
    [
        (3, 31, 5, {"clip_grad_norm": 1.0, "ema": 0.9, "metrics": ["accuracy", "f1", "auc"]}),
        (4, 26, 3, {"accumulate": 2, "weighted": True}),
        (2, 21, 4, {"ignored": True}),
        (2, 21, 4, {"reduction": "sum", "clip_grad_norm": 1.0}),
    ],
)
def test_figures_are_those_of_one_process(
    ranks: int, rows: int, batch_size: int, settings: dict[str, Any]
) -> None:
    """With last batches that do not reach all processes, and whatever losses are divided by."""
    found = mpi_ranks.results(ranks, "fitted", rows, batch_size, settings)
    for each in found:
        bound = 1e-5 * (rows if "reduction" in settings else 1)
        assert {name: apart for name, apart in each["figures"].items() if not apart < bound} == {}
        assert each["apart"] < 1e-5
    assert len({each["digest"] for each in found}) == 1
    assert len({str(each["history"]) for each in found}) == 1


def test_synchronised_batch_norm_is_that_of_one_process() -> None:
    """Weights, running statistics and figures, with unequal parts and a process without rows."""
    found = mpi_ranks.results(3, "synchronised")
    for each in found:
        apart = {**each["figures"], **each["apart"]}
        assert {name: value for name, value in apart.items() if not value < 1e-5} == {}
    assert len({each["digest"] for each in found}) == 1


def test_loaders_and_iterables() -> None:
    found = mpi_ranks.results(3, "loaders")
    np.testing.assert_allclose(found[0]["losses"], found[0]["alone"], rtol=0, atol=1e-5)
    for each in found[1:]:
        assert each["found"] == found[0]["found"]


def test_a_run_goes_on_with_the_same_bits_and_one_process_writes(tmp_path: Path) -> None:
    found = mpi_ranks.results(2, "resumed", str(tmp_path))
    assert found[0] == found[1]
    epoch, resumed, whole, averaged = found[0]
    assert epoch == 4
    assert resumed == whole != averaged
    with open(tmp_path / "log.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "log.csv",
        "run.previous.safetensors",
        "run.safetensors",
    ]


@pytest.mark.parametrize("how", ["callback", "signal"])
def test_one_process_stops_all_after_the_same_step(how: str) -> None:
    found = mpi_ranks.results(3, "stopped", how)
    assert found == [[True, 3, 0]] * 3


def test_a_loss_that_is_nan_in_one_process_ends_training_in_all() -> None:
    """All say where it comes from and go back to the same weights; rank 0 warns."""
    found = mpi_ranks.results(3, "nonfinite")
    assert [each[0] for each in found] == ["input 0"] * 3
    assert [each[1] for each in found] == [1, 1, 1]
    assert len({each[2] for each in found}) == 1
    assert [each[3] for each in found] == [1, 0, 0]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "nothing to be found"),
        ("my way out", "my way out"),
        ("rows", "got 16 rows in 2 batches in rank 0, 12 rows in 2 in rank 1"),
        ("kinds", "got 16 rows in 2 batches in rank 0, an iterable in None in rank 1"),
        ("model", "the first that differ are (3, 4) and (4, 4)"),
        ("one alone", "rank 1 has ended while rank 0 waits"),
    ],
)
def test_a_process_that_fails_in_fit_ends_all(how: str, message: str) -> None:
    done = mpi_ranks.run(2, "fail_in_fit", how)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize("metric", [Accuracy(), ConfusionMatrix(), AUC(), R2()])
def test_metrics_of_parts_are_joined(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    if isinstance(metric, R2):
        target = rng.normal(size=(20, 4))
    parts = [metric.fresh() for _ in range(3)]
    for rank, each in enumerate(parts[:2]):  # the third has no rows
        rows = slice(*part(0, 20, rank, 2))
        each.update(output[rows], target[rows])
    for other in parts[1:]:
        parts[0].merge(other)
    np.testing.assert_allclose(parts[0].result(), metric(output, target), rtol=1e-12)


def test_a_metric_that_does_not_say_how_it_is_joined() -> None:
    class Largest(Metric):
        counted = ("most",)

        def reset(self) -> None:
            self.most = 0.0

    with pytest.raises(TypeError, match="additive = True"):
        Largest().fresh().merge(Largest().fresh())
