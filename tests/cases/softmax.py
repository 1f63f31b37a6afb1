# SPDX-License-Identifier: Apache-2.0
"""Softmax and its logarithm along every axis."""

from __future__ import annotations

import reference

from .case import LARGE, case, draw

# A log-softmax is a difference of numbers of the logits' size.
CASES = [
    case(
        name,
        draw(*shape, low=-4.0, high=4.0),
        lambda x, f=f, a=a: f(x, a),
        dim=a,
        ulps=16.0,
        **rest,
    )
    for name, f, rest in (
        ("softmax", reference.softmax, {}),
        ("log_softmax", reference.log_softmax, {"magnitude": 8.0}),
    )
    for shape in ((7,), (3, 4), (2, 5, 4), (2, 4, 3, 5), (1, 1), LARGE)
    for a in range(-1, len(shape))
]
