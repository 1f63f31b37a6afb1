# SPDX-License-Identifier: Apache-2.0
"""The comparison of augmentation with training steps runs and reports plausible numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from cnncore import nn


def test_every_transform_takes_time(module_of: Any) -> None:
    augmentation = module_of("augmentation")
    times = augmentation.transform_times(16, 2, 0.01)
    assert times.keys() == augmentation.TRANSFORMS.keys()
    assert min(ours for ours, _ in times.values()) > 0


def test_steps_beside_a_loader(module_of: Any) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    assert min(module_of("augmentation").held_back(network, 16, 4, 2, turns=2)) > 0


def test_decoding(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL")
    augmentation = module_of("augmentation")
    monkeypatch.setattr(augmentation, "DECODED", (("small", (40, 30), (8, 8)), ("whole", (16, 24), None)))
    for ours, pillow, _ in augmentation.decode_times(0.01).values():
        assert ours > 0
        assert pillow > 0
    for size, wanted in ((None, (3, 16, 24)), ((8, 6), (3, 8, 6))):
        content = io.BytesIO()
        image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        pytest.importorskip("PIL.Image").fromarray(image).save(content, "JPEG")
        read = augmentation.decoders(content.getvalue(), size)
        assert read["cnncore"]().shape == read["Pillow"]().shape == wanted
