# SPDX-License-Identifier: Apache-2.0
"""Connectionist temporal classification."""

from __future__ import annotations

import numpy as np

from reference.ctc import ctc_batch

from .case import case, draw

X = draw(7, 3, 4, low=-3.0, high=-0.2)
TARGETS = np.array([[1, 2, 2], [3, 1, 0], [2, 2, 2]])
TIMES, COUNTS = np.array([7, 5, 6]), np.array([3, 2, 3])

CASES = [
    case(
        "ctc_loss",
        (X, targets, TIMES, COUNTS),
        lambda x, t, i, n, r=r, b=b: ctc_batch(x, t, i, n, b, r),
        blank=b,
        reduction=r,
        twice=False,
        # torch adds the softmax to the gradient, which log_softmax takes off again: test_ctc.py.
        torch=False,
        ulps=4.0,
    )
    for targets, b in ((TARGETS, 0), (np.array([1, 2, 2, 3, 1, 2, 2, 2]), 0), (TARGETS % 3, 3))
    for r in ("mean", "sum", "none")
]
