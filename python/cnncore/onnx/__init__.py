# SPDX-License-Identifier: Apache-2.0
"""ONNX models: loading them as modules that run and train, and exporting networks (extra `onnx`).

model = cnncore.onnx.load("network.onnx")
y = model(x)
"""

from __future__ import annotations

try:
    import onnx as _onnx  # noqa: F401
except ModuleNotFoundError as _error:  # pragma: no cover
    raise ModuleNotFoundError(
        "cnncore.onnx needs the package onnx: pip install 'cnncore[onnx]'", name="onnx"
    ) from _error

from . import operators as _operators  # noqa: F401  (fills the table)
from .export import export
from .loading import load, unsupported
from .model import OnnxModel
from .unsupported_nodes import UnsupportedNode

__all__ = ["OnnxModel", "UnsupportedNode", "export", "load", "unsupported"]
