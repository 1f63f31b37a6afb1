# SPDX-License-Identifier: Apache-2.0
"""cnncore as a backend in the sense of `onnx.backend.base`, which onnx's own tests run.

import onnx.backend.test
import cnncore.onnx.backend as backend

tests = onnx.backend.test.BackendTest(backend.CnncoreBackend, __name__)
"""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, namedtupledict

from ..runtime import get_accuracy, set_accuracy
from .loading import load, unsupported
from .model import OnnxModel

__all__ = ["CnncoreBackend", "CnncoreRep", "prepare", "run_model", "run_node", "supports_device"]


class CnncoreRep(BackendRep):  # type: ignore[misc]
    """A loaded model, in the form that onnx's tests call."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the outputs, by position and by name.

        Args:
            inputs: a list of arrays, or one array.
        """
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        before = get_accuracy()
        # Results of the suite's networks of equal weights stay equal only where sums have one order.
        set_accuracy("exact")
        try:
            results = self.model(*given)
        finally:
            set_accuracy(before)
        results = results if isinstance(results, tuple) else (results,)
        named: tuple[Any, ...] = namedtupledict("Outputs", self.model.output_names)(*results)
        return named


class CnncoreBackend(Backend):  # type: ignore[misc]
    """Runs ONNX models by cnncore."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> CnncoreRep:
        """Load a model.

        Raises:
            unittest.SkipTest: some of its nodes cannot run; the reason names them.
        """
        if not cls.supports_device(device):
            raise unittest.SkipTest(f"cnncore computes on CPUs, not on {device}")
        found = unsupported(model)
        if found:
            raise unittest.SkipTest("; ".join(map(str, found)))
        return CnncoreRep(load(model))

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node on arrays.

        Args:
            outputs_info: (dtype, shape) of each output; float32 where it is absent.
            kwargs: `opset_version`, by default the newest.
        """
        helper = onnx.helper
        arrays = [np.asarray(x) for x in inputs]
        names = [name for name in node.input if name]

        def info(name: str, dtype: Any, shape: Any) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
            )

        types = [dtype for dtype, _ in outputs_info] if outputs_info else [np.float32] * len(node.output)
        graph = helper.make_graph(
            [node],
            "node",
            [info(name, x.dtype, x.shape) for name, x in zip(names, arrays, strict=True)],
            [info(name, dtype, None) for name, dtype in zip(node.output, types, strict=True)],
        )
        opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the device is the CPU."""
        return device.split(":")[0] == "CPU"


prepare = CnncoreBackend.prepare
run_model = CnncoreBackend.run_model
run_node = CnncoreBackend.run_node
supports_device = CnncoreBackend.supports_device
