# SPDX-License-Identifier: Apache-2.0
"""Estimates of many ranks, where they can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def scale(module_of: Any) -> Any:
    """The benchmark as a module."""
    return module_of("scale")


def test_one_rank_and_an_endless_rate_cost_nothing(scale: Any) -> None:
    timeline = scale.Timeline((1.0, 2.0), (800, 800), 2.0)
    slow, endless = scale.Network(1.0, 1.0, 1.0), scale.Network(0.0, 0.0, float("inf"))
    assert scale.estimate(timeline, 3.0, 1, slow)["efficiency"] == 1
    assert scale.estimate(timeline, 3.0, 1024, endless)["seconds"] == 3.0


def test_a_sum_that_begins_early_hides_behind_the_computation(scale: Any) -> None:
    """A round of 4 of 8 bytes takes 0.5 s; only the last bucket's second one is left when all is computed."""
    network = scale.Network(0.0, 0.0, 8.0)
    assert scale.simulated(scale.Timeline((1.0, 5.0), (8, 8), 10.0), 2, network) == 10.5
    assert scale.simulated(scale.Timeline((1.0,), (8,), 1.0), 2, network) == 2.0


def test_a_slow_network_is_what_counts(scale: Any) -> None:
    """Each process sends and receives 2 (n - 1) / n times the bytes."""
    timeline = scale.Timeline((0.0, 0.0), (400, 400), 0.0)
    assert scale.simulated(timeline, 4, scale.Network(0.0, 0.0, 1.0)) == 2 * 3 / 4 * 800
    assert scale.simulated(timeline, 4, scale.Network(0.0, 1.0, float("inf"))) == 2 * 2 * 3
