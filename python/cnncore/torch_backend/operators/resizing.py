# SPDX-License-Identifier: Apache-2.0
"""Resizing of images, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ..table import operator, pulled, tensor

MODES = {
    "nearest1d": "nearest",
    "nearest2d": "nearest",
    "nearest3d": "nearest",
    "_nearest_exact1d": "nearest-exact",
    "_nearest_exact2d": "nearest-exact",
    "_nearest_exact3d": "nearest-exact",
    "linear1d": "linear",
    "bilinear2d": "bilinear",
    "bicubic2d": "bicubic",
    "trilinear3d": "trilinear",
}


def _resize(x: Any, size: Any, mode: str, corners: bool, factors: Any) -> Any:
    given = [factor for factor in (factors or ()) if factor is not None]
    aligned = None if mode.startswith("nearest") else corners
    if not size:
        return ops.interpolate(x, None, tuple(given), mode, aligned)
    known = tensor(x).shape[2:]
    if given and tuple(int(n * f) for n, f in zip(known, given, strict=True)) == tuple(size):
        # By the factor: it decides where the elements lie, not the ratio of the extents.
        return ops.interpolate(x, None, tuple(given), mode, aligned)
    return ops.interpolate(x, tuple(size), None, mode, aligned)


def _names(name: str) -> tuple[str, str]:
    """Return the names of an operator and of its gradient."""
    base = f"_upsample{name}" if name.startswith("_") else f"upsample_{name}"
    return base, f"{base}_backward"


def _enter(name: str, mode: str) -> None:
    nearest = mode.startswith("nearest")
    forward, backward = _names(name)

    def vec(input: Any, output_size: Any, *rest: Any) -> Any:
        *corners, factors = rest
        return _resize(input, output_size, mode, bool(corners and corners[0]), factors)

    def sized(input: Any, output_size: Sequence[int], *rest: Any, **named: Any) -> Any:
        corners = False if nearest else rest[0]
        factors = rest[0 if nearest else 1 :] or tuple(named.values())
        return _resize(input, output_size, mode, corners, factors)

    def gradient(
        grad: Any, output_size: Sequence[int], input_size: Sequence[int], *rest: Any, **named: Any
    ) -> Any:
        start = ops.zeros(tuple(input_size))
        return pulled(lambda x: sized(x, output_size, *rest, **named), [start], grad, [True])[0]

    operator(f"{forward}.vec")(vec)
    operator(forward)(sized)
    operator(backward)(gradient)


for _name, _mode in MODES.items():
    _enter(_name, _mode)
