# SPDX-License-Identifier: Apache-2.0
"""What a training step does with gradients before its update: clipping."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph.tensor import Tensor
from .build import elementwise, reduce


def clipped(gradient: Tensor, most: float) -> Tensor:
    """Return a gradient with elements from -most to most."""
    return elementwise("clamp", gradient, alpha=-most, beta=most)


def norm_scale(gradients: Sequence[Tensor], most: float) -> Tensor:
    """Return the factor, a scalar of at most 1, that brings the norm of all gradients down to `most`.

    It is most / (norm + 1e-6), as torch's `clip_grad_norm_` has it.
    """
    total: Tensor | None = None
    for gradient in gradients:
        squares = reduce("sum_squares", gradient, tuple(range(gradient.ndim)))
        total = squares if total is None else elementwise("add", total, squares)
    assert total is not None
    norm = elementwise("add_scalar", elementwise("sqrt", total), alpha=1e-6)
    return elementwise("min_scalar", elementwise("rdiv_scalar", norm, alpha=most), alpha=1.0)
