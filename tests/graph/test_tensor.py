# SPDX-License-Identifier: Apache-2.0
"""What a graph knows of its tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from cnncore.graph.trace import trace


def test_users_are_readers_and_results() -> None:
    def function(x: Any) -> Any:
        y = ops.relu(x)
        return y, ops.exp(y) + y * x

    graph, outputs = trace(function, [np.ones((2, 3), np.float32)])
    graph.outputs = list(outputs)
    y, total = outputs
    (x,) = graph.inputs
    graph.updates = [(None, y)]
    graph.checks = [(y, "")]
    users = graph.users()
    assert (users[x], users[y], users[total]) == (2, 5, 1)
