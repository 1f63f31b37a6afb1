# SPDX-License-Identifier: Apache-2.0
"""The comparison of augmentation with training steps runs and reports plausible numbers."""

from __future__ import annotations

from typing import Any

from cnncore import nn


def test_every_transform_takes_time(module_of: Any) -> None:
    augmentation = module_of("augmentation")
    times = augmentation.transform_times(16, 2, 0.01)
    assert times.keys() == augmentation.TRANSFORMS.keys()
    assert min(times.values()) > 0


def test_steps_beside_a_loader(module_of: Any) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    assert module_of("augmentation").held_back(network, 16, 4, 2) > 0
