# SPDX-License-Identifier: Apache-2.0
"""Checks of settings that optimisers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .optimizer import non_negative, real


def check_numbers(group: Mapping[str, Any], *names: str) -> None:
    """Raise unless the settings are finite and at least 0."""
    for name in names:
        non_negative(name, group[name])


def check_flags(group: Mapping[str, Any], *names: str) -> None:
    """Raise unless the settings are True or False."""
    for name in names:
        if group[name] not in (True, False):
            raise TypeError(f"expected {name} as True or False, got {group[name]!r}")


def check_betas(betas: Any) -> None:
    """Raise unless the two decays are from 0 to below 1."""
    if not all(0.0 <= beta < 1.0 for beta in pair("betas", betas)):
        raise ValueError(f"expected two betas from 0 to below 1, got {betas}")


def pair(name: str, values: Any) -> tuple[float, float]:
    """Return a setting as two numbers, or raise."""
    if not isinstance(values, (tuple, list)) or len(values) != 2:
        raise TypeError(f"expected {name} as two numbers, got {values!r}")
    first, second = (real(name, value) for value in values)
    return first, second


def refuse_differentiable(differentiable: bool) -> None:
    """Raise where a step is asked for that can be differentiated itself."""
    if differentiable:
        raise ValueError("expected differentiable False: a training step has no gradient of its own")
