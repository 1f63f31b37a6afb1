# SPDX-License-Identifier: Apache-2.0
"""Class labels as indices: checked when a program runs, then used to pick values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.dtype import is_float
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, shape_error, where
from .build import cast, elementwise, reshape_to
from .gather import GatherAxis, GatherInputs
from .loss import CountBadLabels, LabelsAttributes, LabelsInputs
from .softmax import AxisAttributes


def class_labels(op: str, target: Any, shape: Shape, classes: int, ignored: int) -> Tensor:
    """Return int64 labels of `shape`; a run raises where one is neither a class nor `ignored`."""
    labels = as_tensor(target, op)
    if is_float(labels.dtype):
        raise dtype_error(op, f"expected integer class labels of shape {shape}, got floats of {labels.shape}")
    if labels.shape != shape:
        raise shape_error(op, f"expected labels of shape {shape}, got {labels.shape}")
    labels = cast(labels, "int64")
    bad = emit(CountBadLabels, LabelsInputs(labels), LabelsAttributes(classes, ignored)).output
    known = f"0 to {classes - 1} (or {ignored} to ignore)"
    message = f"[{where(op)}] expected labels from {known}, got {{}} outside"
    current_graph().checks.append((bad, message))
    return labels


def constant(value: float) -> Tensor:
    """Return a number as a tensor."""
    return Tensor((), "float32", Layout.C, np.array(value, np.float32))


def counted(labels: Tensor, ignored: int) -> Tensor:
    """Return 1.0 where a label is not `ignored`, 0.0 elsewhere."""
    same = elementwise("equal", cast(labels, "float32"), constant(ignored))
    return elementwise("rsub_scalar", same, alpha=1.0)


def picked(x: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """Return x[n, labels[n, ...], ...], 0 where `kept` is.

    Args:
        x: (batch, classes, ...).
        labels: (batch, ...) of int64.
        kept: 1 or 0 for each label, as `counted` returns them.
    """
    places = elementwise("mul", cast(labels, "float32"), kept)  # classes below 2^24 are exact
    shape = (labels.shape[0], 1, *labels.shape[1:])
    indices = cast(reshape_to(places, shape), "int64")
    values = reshape_to(emit(GatherAxis, GatherInputs(x, indices), AxisAttributes(1)).output, labels.shape)
    return elementwise("select", kept, values, constant(0.0))
