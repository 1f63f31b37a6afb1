# SPDX-License-Identifier: Apache-2.0
"""What are no processes is refused by its name, without waiting for any."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnncore import distributed, nn, ops, optim


def step(ranks: Any, **settings: Any) -> Any:
    model = nn.Linear(3, 2)
    return distributed.make_step(
        ranks, lambda x: ops.mean(model(x)), optim.SGD(model.parameters(), lr=0.1), **settings
    )


@pytest.mark.parametrize("wrong", [5, True, math.nan, "world", [], np.ones(2), 2**70, object])
def test_what_are_no_processes(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"expected ranks as distributed\.ranks_of\(comm\) returns them, got"):
        step(wrong)
    for function in (distributed.Ranks, distributed.ranks_of):
        with pytest.raises(TypeError, match=r"expected comm as an MPI communicator .*, got"):
            function(wrong)


@pytest.mark.parametrize("name", ["accumulate", "clip_grad_norm", "clip_grad_value", "max_memory"])
@pytest.mark.parametrize("wrong", [True, math.nan, -1, "many", [2]])
def test_settings_of_a_step(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        step(None, **{name: wrong})
