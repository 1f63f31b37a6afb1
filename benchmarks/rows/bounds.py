# SPDX-License-Identifier: Apache-2.0
"""What the machine can do at the time of a row."""

from __future__ import annotations

import time

from cnncore import _core

SECONDS = 0.06
VALID_SECONDS = 15.0


class Bounds:
    """FMA rate and speed of memory: the highest so far, measured again every few rows.

    Other work on the machine can only lower what is measured.
    """

    def __init__(self) -> None:
        self._taken = -VALID_SECONDS
        self._rates = (0.0, 0.0)

    def now(self) -> tuple[float, float]:
        """GFLOP/s of multiply-adds from registers and GB/s read from memory, on the threads in use."""
        if time.monotonic() - self._taken > VALID_SECONDS:
            found = _core.measure_peak(SECONDS)
            self._rates = max(self._rates[0], found["gflops"]), max(self._rates[1], found["gbytes"])
            self._taken = time.monotonic()
        return self._rates
