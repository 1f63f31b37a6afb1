# SPDX-License-Identifier: Apache-2.0
"""Random numbers of an estimator beside those of the process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import runtime
from ..graph.locks import fork_safe
from ..graph.random import rng_state, set_rng_state

training = fork_safe(sys.modules[__name__], "training", threading.RLock)
"""One estimator of a process draws at a time, so that threads beside it change nothing in what it draws."""


@contextmanager
def drawing(seed: int, step: int = 0) -> Iterator[None]:
    """Draw initial weights and dropout from `seed` inside a ``with`` block, dropout from its step `step` on;
    the process' own state is what it was afterwards."""
    with training:
        weights, draws = runtime.init_state(), rng_state()
        runtime.manual_seed(seed)
        set_rng_state((seed, step))
        try:
            yield
        finally:
            runtime.set_init_state(weights)
            set_rng_state(draws)
