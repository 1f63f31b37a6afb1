# SPDX-License-Identifier: Apache-2.0
"""Inference with everything decided beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .graph.compiler import Rebuild, separate_outputs, set_outputs
from .graph.fuse import fuse
from .graph.program import Executable, Memory
from .graph.serialize import describe, freeze_sources, restore
from .graph.simplify import simplify
from .graph.tensor import Graph
from .graph.trace import to_array, trace
from .runtime import get_num_threads, measure_peak


class Table(list[dict[str, Any]]):
    """A list of rows (dicts) that prints as a table."""

    def __repr__(self) -> str:
        if not self:
            return "(no rows)"
        columns = list(self[0])
        cells = [columns, *([_text(row[name]) for name in columns] for row in self)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        )


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@lru_cache(maxsize=8)
def _peak(threads: int) -> dict[str, Any]:
    return dict(measure_peak())


class Predictor:
    """A model compiled for inference: a snapshot of its weights, folded and packed for this machine.

    Made by `compile`. Calls may come from several threads. Pickling keeps the graph and the weights; they
    are packed anew on the machine that loads them, which does not need the model's class.
    """

    def __init__(self, graph: Graph, rebuild: Rebuild) -> None:
        self._graph = graph
        self._rebuild = rebuild
        self._executable = Executable(graph)
        self._shapes = self._executable.input_shapes
        self._run = self._executable.run_machine
        self._direct = rebuild.single and not graph.checks and self._executable.rng is None

    @property
    def input_shape(self) -> Any:
        """The shape compiled for; a tuple of shapes when there are several inputs."""
        return self._shapes[0] if len(self._shapes) == 1 else tuple(self._shapes)

    def __call__(self, *inputs: Any) -> Any:
        """Return what the model returns, as arrays.

        Raises:
            ValueError: an input's shape is not the one compiled for.
            TypeError: complex, object or text arrays.
        """
        shapes = self._shapes
        if len(inputs) != len(shapes):
            raise ValueError(f"expected {len(shapes)} inputs, got {len(inputs)}")
        arrays = []
        for x, shape in zip(inputs, shapes, strict=True):
            if type(x) is not np.ndarray:
                x = to_array(x)
            if x.shape != shape:
                raise ValueError(
                    f"expected input of shape {shape}, which this predictor was compiled for, got {x.shape}; "
                    "compile for that shape, or use model.predict for any number of rows"
                )
            arrays.append(x)
        if self._direct:
            return self._run(arrays)[0]
        return self._rebuild(self._executable(arrays))

    @property
    def memory(self) -> Memory:
        """Bytes: weights, activations, workspace."""
        return self._executable.memory

    def explain(self) -> Table:
        """Return a row for each step of a run: layer, step, algorithm, and why others were not taken."""
        rows = Table()
        for step in self._executable.run_steps:
            info = self._executable.step_info(step)
            refused = "; ".join(f"{name}: {reason}" for name, reason in step.refused)
            function = step.attrs.get("function")
            rows.append(
                {
                    "layer": step.label,
                    "step": f"{step.op} {function}" if function else step.op,
                    "algorithm": info["algorithm"],
                    "refused": refused,
                }
            )
        return rows

    def profile(self, *inputs: Any, repeats: int = 5) -> Table:
        """Return a row for each step of a run: ms (the least of `repeats`), GFLOP/s, GB/s, % of peak."""
        arrays = [to_array(x) for x in inputs]
        self(*arrays)
        seconds = np.min([self._executable.profile(arrays)[1] for _ in range(max(1, repeats))], axis=0)
        peak = _peak(get_num_threads())
        rows = Table()
        for step in self._executable.run_steps:
            info = self._executable.step_info(step)
            time = max(float(seconds[step.index]), 1e-9)
            gflops = info["flops"] / time / 1e9
            rows.append(
                {
                    "layer": step.label,
                    "step": step.op,
                    "algorithm": info["algorithm"],
                    "ms": time * 1e3,
                    "gflops": gflops,
                    "gbytes": info["bytes"] / time / 1e9,
                    "percent_of_peak": 100.0 * gflops / peak["gflops"],
                }
            )
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": describe(self._graph), "rebuild": self._rebuild}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(restore(state["graph"]), state["rebuild"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Predictor(input_shape={self.input_shape}, steps={len(self._executable.run_steps)})"


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    """Return one shape for each input."""
    several = isinstance(input_shape, Sequence) and any(isinstance(s, Sequence) for s in input_shape)
    shapes = []
    for shape in input_shape if several else [input_shape]:
        if not isinstance(shape, Sequence) or not all(hasattr(n, "__index__") for n in shape):
            raise TypeError(
                f"expected input_shape as a tuple of ints (or a list of such), got {input_shape!r}"
            )
        extents = tuple(n.__index__() for n in shape)
        if min(extents, default=1) < 1:
            raise ValueError(f"expected extents of at least 1, got input_shape {input_shape!r}")
        shapes.append(extents)
    return shapes


def compile(model: Callable[..., Any], input_shape: Any) -> Predictor:
    """Compile a model, in inference mode, for one input shape.

    Args:
        model: a Module (its own mode stays as it is) or a function of tensors.
        input_shape: with the batch, such as (1, 3, 224, 224); a list of shapes for several inputs.

    Returns:
        A Predictor with a snapshot of the weights: training on does not change it.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> predictor = cc.compile(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()), (1, 1, 8, 8))
    >>> predictor(np.zeros((1, 1, 8, 8), np.float32)).shape
    (1, 2, 6, 6)
    """
    from .nn.module import Module
    from .nn.predict import inference_mode

    if not callable(model):
        raise TypeError(f"expected a Module or a function, got {type(model).__name__}")
    examples = [np.broadcast_to(np.float32(0.0), shape) for shape in _shapes(input_shape)]
    if isinstance(model, Module):
        with inference_mode(model):
            graph, result = trace(model, examples)
    else:
        graph, result = trace(model, examples)
    rebuild = set_outputs(graph, result)
    graph.updates, graph.counted = [], []
    simplify(graph)
    fuse(graph, inference=True)
    separate_outputs(graph)
    freeze_sources(graph)
    return Predictor(graph, rebuild)
