# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a transform is refused by its name when the transform is made."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from cnncore.data import DataLoader, transforms

NEEDED: dict[str, dict[str, Any]] = {
    "CenterCrop": {"size": 4},
    "FrequencyMasking": {"param": 2},
    "GaussianBlur": {"kernel_size": 3},
    "Normalize": {"mean": 0.5, "std": 0.5},
    "Pad": {"padding": 1},
    "RandomAdjustSharpness": {"sharpness_factor": 2},
    "RandomAffine": {"degrees": 10},
    "RandomCrop": {"size": 4},
    "RandomPosterize": {"bits": 4},
    "RandomResizedCrop": {"size": 4},
    "RandomRotation": {"degrees": 10},
    "RandomSolarize": {"threshold": 128},
    "Resize": {"size": 4},
    "TimeMasking": {"param": 2},
}
OF_OTHERS = {"Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder", "Transform"}
"""Made of transforms or functions."""


class Nonsense:
    """What no argument may be."""


def rows() -> list[Any]:
    found = []
    for name in transforms.__all__:
        kind = getattr(transforms, name)
        if not inspect.isclass(kind) or name in OF_OTHERS:
            continue
        for parameter in inspect.signature(kind).parameters.values():
            if isinstance(parameter.default, bool) or parameter.kind is parameter.VAR_KEYWORD:
                continue
            for wrong in ("no such word", math.nan, {}, [None], Nonsense()):
                found.append(
                    pytest.param(kind, parameter.name, wrong, id=f"{name}-{parameter.name}-{wrong}"[:50])
                )
    return found


@pytest.mark.parametrize(("kind", "name", "wrong"), rows())
def test_settings_of_transforms(kind: Any, name: str, wrong: Any) -> None:
    given = NEEDED.get(kind.__name__, {})
    kind(**given)
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        kind(**{**given, name: wrong})


@pytest.mark.parametrize("kind", [transforms.TimeMasking, transforms.FrequencyMasking])
@pytest.mark.parametrize("wrong", [-1, 0.5, True])
def test_counts_of_masks(kind: Any, wrong: Any) -> None:
    for name in ("param", "count"):
        with pytest.raises((TypeError, ValueError), match=name):
            kind(**{"param": 2, name: wrong})


def test_no_fill_is_black() -> None:
    """As in torchvision, where it is the usual one of policies."""
    image = np.full((3, 8, 8), 200, np.uint8)
    assert np.array_equal(transforms.Pad(2, fill=None)(image), transforms.Pad(2, fill=0)(image))


@pytest.mark.parametrize("name", ["transform", "collate", "targets"])
def test_settings_of_loaders(name: str) -> None:
    for wrong in (7, math.nan, "no such word"):
        with pytest.raises((TypeError, ValueError), match=name):
            DataLoader([(np.zeros(2), 1)], **{name: wrong})
