# SPDX-License-Identifier: Apache-2.0
"""Loading the C++ core with an OpenMP runtime that goes to sleep soon after a parallel loop."""

from __future__ import annotations

import os
from importlib import import_module

SPIN_COUNT = "4000"
"""Rounds an idle OpenMP worker spins before it sleeps: some tens of microseconds.

libgomp's default of 300,000 keeps cores busy for milliseconds after every call, which slows down whatever
else the process does. Gaps between the steps of one program are shorter than this count lasts.
"""


def load_core() -> None:
    """Import the extension module; libgomp reads its settings once, at that moment.

    The environment is left as it was, for child processes and other libraries. A user's own
    OMP_WAIT_POLICY or GOMP_SPINCOUNT wins.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        import_module("cnncore._core")
        return
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    try:
        import_module("cnncore._core")
    finally:
        del os.environ["GOMP_SPINCOUNT"]
