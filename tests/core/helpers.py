"""Runs a single C++ step on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnncore import _core

Spec = tuple[Sequence[int], str] | tuple[Sequence[int], str, str]


def run_step(
    op: str,
    inputs: Sequence[np.ndarray | tuple[np.ndarray, str] | None],
    outputs: Sequence[Spec | None],
    attrs: Mapping[str, Any] | None = None,
) -> list[np.ndarray | None]:
    """Builds a program of one step and runs it.

    Args:
        op: name of the step.
        inputs: arrays, `(array, layout)` pairs, or None for an absent optional tensor.
        outputs: `(shape, dtype)` or `(shape, dtype, layout)` of each output, or None where it is not wanted.
        attrs: attributes of the step.

    Returns:
        One array for each output, None for the absent ones. The layout is "channels_last" unless given.
    """
    program = _core.Program()
    arrays, input_ids, output_ids = [], [], []
    for item in inputs:
        if item is None:
            input_ids.append(-1)
            continue
        array, layout = item if isinstance(item, tuple) else (item, "channels_last")
        value = program.add_value(list(array.shape), str(array.dtype), layout)
        input_ids.append(value)
        arrays.append(array)
    for spec in outputs:
        if spec is None:
            output_ids.append(-1)
        else:
            output_ids.append(program.add_value(list(spec[0]), spec[1], spec[2] if len(spec) == 3 else "channels_last"))
    step = program.add_step(op, input_ids, output_ids, dict(attrs or {}))
    program.set_inputs([v for v in input_ids if v >= 0])
    program.set_outputs([v for v in output_ids if v >= 0])
    offset = 0
    for value, array in zip((v for v in input_ids if v >= 0), arrays, strict=True):
        program.place(value, "arena", offset)
        offset += (array.nbytes + 127) // 64 * 64
    program.place_workspace(step, offset)
    program.finish(offset + program.step_info(step)["workspace"] + 64, 0)
    results = iter(program.run(arrays))
    return [next(results) if value >= 0 else None for value in output_ids]
