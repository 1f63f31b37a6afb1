# SPDX-License-Identifier: Apache-2.0
"""Inference with everything decided beforehand."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import profiling
from ._checks import duration, is_index
from ._importing import importing
from .compiler import choices as algorithms
from .compiler.pipeline import Rebuild, prepare_predictor, set_outputs
from .compiler.program import Executable, Memory
from .compiler.serialize import describe, freeze_sources, restore
from .graph.arrays import input_dtypes, input_examples, to_input
from .graph.dtype import ITEM_SIZE
from .graph.limits import require_memory
from .graph.locks import fork_safe
from .graph.tensor import EarlierGraph, Graph
from .graph.trace import trace
from .intermediate import outputs_of
from .nn.arguments import real
from .profiling import Table


class Predictor:
    """A model compiled for inference: a snapshot of its weights, folded and packed for this machine.

    Made by `compile`. Calls may come from several threads. The snapshot shares the parameters' memory until
    they change. Pickling keeps the graph, the weights and the choices of `autotune`; weights are packed anew
    on the machine that loads them, which does not need the model's class.

    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> predictor = cc.compile(nn.Conv2d(3, 8, 3, padding=1), (1, 3, 32, 32))
    >>> predictor(np.zeros((1, 3, 32, 32))).shape
    (1, 8, 32, 32)
    >>> predictor.memory.total > 0
    True
    """

    def __init__(self, graph: Graph, rebuild: Rebuild, traced: EarlierGraph | None = None) -> None:
        self._graph = graph
        self._traced = traced  # as it was before the passes, which tiles of other extents begin with
        self._rebuild = rebuild
        self._tuning = fork_safe(self, "_tuning", threading.Lock)
        freeze_sources(graph, *([] if traced is None else [traced.shallow]))
        executable = Executable(graph)
        self._shapes = executable.input_shapes
        self._direct = rebuild.single and not graph.checks
        self._use(executable)

    def _use(self, executable: Executable) -> None:
        self._executable = executable
        self._run = executable.run_machine

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
        arrays = self._arrays(inputs)
        if self._direct:
            return self._run(arrays)[0]
        return self._rebuild(self._executable(arrays))

    def _arrays(self, inputs: Sequence[Any]) -> list[NDArray[Any]]:
        """Return the inputs as arrays of the shapes compiled for."""
        shapes = self._shapes
        if len(inputs) != len(shapes):
            raise ValueError(f"expected {len(shapes)} inputs, got {len(inputs)}")
        arrays = []
        for x, shape in zip(inputs, shapes, strict=True):
            if type(x) is not np.ndarray:
                x = to_input(x)
            if x.shape != shape:
                raise ValueError(
                    f"expected input of shape {shape}, which this predictor was compiled for, got {x.shape}; "
                    "compile for that shape, or use model.predict for any number of rows"
                )
            arrays.append(x)
        return arrays

    @property
    def memory(self) -> Memory:
        """Bytes: weights, activations, workspace; and weights shared with the model."""
        return self._executable.memory

    def explain(self) -> Table:
        """Return a row for each step of a run: layer, step, algorithm, and why others were not taken."""
        return profiling.explain(self._executable)

    def profile(self, *inputs: Any, repeats: int = 5) -> Table:
        """Measure each step of a run.

        Args:
            inputs: as for a call.
            repeats: runs measured; each step's least time counts.

        Returns:
            A row for each step: layer, step, algorithm, ms, percent_of_time, gflops, gbytes, their shares of
            the machine's measured peaks, and which of the two binds: "compute", "memory", or "overhead" for
            a step too small for either.

        Raises:
            ValueError: an input's shape is not the one compiled for.
        """
        arrays = self._arrays([to_input(x) for x in inputs])
        executable = self._executable
        executable(arrays)
        return profiling.profile(executable, executable.measure(arrays, profiling.check_repeats(repeats)))

    def autotune(self, *inputs: Any, seconds: float = 1.0, margin: float = 0.05) -> Table:
        """Measure the algorithms that can compute each convolution, and keep the fastest.

        Without this, a cost model chooses, the same on every machine and for any number of threads. What is
        measured fastest may differ from one machine, or run, to the next, and with it the last bits of the
        answers; accuracy stays what `set_accuracy` asked for when the predictor was compiled. Other threads
        may go on calling the predictor; while this runs, memory holds up to three programs.

        Args:
            inputs: as for a call; their values do not matter.
            seconds: time for one comparison, at most 3600; there are at most as many as a convolution has
                algorithms.
            margin: an algorithm is replaced by one that takes at least this fraction less time.

        Returns:
            A row for each convolution: its algorithm before, the one chosen, ms before and after, and ms of
            each candidate.

        Raises:
            ValueError: seconds or a margin out of range.

        >>> import numpy as np
        >>> import cnncore as cc
        >>> from cnncore import nn
        >>> predictor = cc.compile(nn.Conv2d(16, 16, 3, padding=1), (1, 16, 32, 32))
        >>> table = predictor.autotune(np.zeros((1, 16, 32, 32), np.float32), seconds=0.01)
        >>> sorted(table[0]["candidates"])
        ['direct', 'winograd_f2', 'winograd_f4']
        """
        with importing:
            from .compiler.autotune import tune

        seconds, margin = duration("seconds", seconds, above=True), real("margin", margin)
        if not 0.0 <= margin < 1.0:
            raise ValueError(f"expected a margin of at least 0 and below 1, got {margin}")
        arrays = self._arrays([to_input(x) for x in inputs])
        with self._tuning:
            executable, choices, table = tune(self._graph, self._executable, arrays, seconds, margin)
            algorithms.set_choices(self._graph, choices)
            self._use(executable)
        return table

    def save_choices(self, path: str | os.PathLike[str]) -> None:
        """Write the algorithm of each convolution to a JSON file, for `load_choices`.

        Raises:
            OSError: the file cannot be written; one that was there is as before.
        """
        with importing:
            from . import choices_file

        choices_file.save(path, algorithms.get_choices(self._graph))

    def load_choices(self, path: str | os.PathLike[str]) -> None:
        """Compile again with the algorithms in a file that `save_choices` wrote.

        Raises:
            ValueError: the file is not one of choices, or of another version; is for another network or
                input shape; names an algorithm that is unknown or that `set_accuracy` excludes. The predictor
                is as before then.
        """
        with importing:
            from . import choices_file

        with self._tuning:
            choices = choices_file.load(path, self._graph)
            executable = algorithms.build(self._graph, choices)
            algorithms.set_choices(self._graph, choices)
            self._use(executable)

    def __getstate__(self) -> dict[str, Any]:
        contents: dict[int, Any] = {}
        traced = None if self._traced is None else describe(self._traced.copy(), contents)
        return {"graph": describe(self._graph, contents), "rebuild": self._rebuild, "traced": traced}

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph = restore(state["graph"])
        algorithms.choose_again(graph)
        traced = state.get("traced")
        self.__init__(  # type: ignore[misc]
            graph, state["rebuild"], None if traced is None else EarlierGraph(restore(traced))
        )

    def __repr__(self) -> str:
        return f"Predictor(input_shape={self.input_shape}, steps={len(self._executable.run_steps)})"


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    """Return one shape for each input."""
    several = isinstance(input_shape, Sequence) and any(isinstance(s, Sequence) for s in input_shape)
    shapes = []
    for shape in input_shape if several else [input_shape]:
        if not isinstance(shape, Sequence) or not all(map(is_index, shape)):
            raise TypeError(
                f"expected input_shape as a tuple of ints (or a list of such), got {input_shape!r}"
            )
        extents = tuple(n.__index__() for n in shape)
        if min(extents, default=1) < 0 or 0 in extents[1:]:
            raise ValueError(
                f"expected extents of at least 1, and a batch of at least 0, got input_shape {input_shape!r}"
            )
        require_memory(ITEM_SIZE["float32"] * prod(extents), f"an input of shape {extents}")
        shapes.append(extents)
    return shapes


def compile(
    model: Callable[..., Any],
    input_shape: Any,
    *,
    outputs: str | Iterable[str] | None = None,
    input_dtype: Any = "float32",
) -> Predictor:
    """Compile a model, in inference mode, for one input shape.

    Args:
        model: a Module (its own mode stays as it is) or a function of tensors.
        input_shape: with the batch, such as (1, 3, 224, 224); a list of shapes for several inputs.
        outputs: paths of layers inside a Module, such as ["layer3.1", ""]: the predictor returns a dict of
            their outputs, as `capture` does, and leaves out what they do not need.
        input_dtype: "float32", or "int64" and the like for numbers of words; a list for several inputs.

    Returns:
        A Predictor with a snapshot of the weights: training on does not change it.

    Raises:
        TypeError: `model` is neither a Module nor a function, or returns no tensors.
        ValueError: shapes that a layer cannot take; the message begins with its path.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> predictor = cc.compile(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()), (1, 1, 8, 8))
    >>> predictor(np.zeros((1, 1, 8, 8), np.float32)).shape
    (1, 2, 6, 6)
    """
    from .nn.module import Module
    from .nn.predict import inference_mode

    if isinstance(model, type):
        raise TypeError(f"expected a Module or a function, got the class itself: pass {model.__name__}(...)")
    if not callable(model):
        raise TypeError(f"expected a Module or a function, got {type(model).__name__}")
    shapes = _shapes(input_shape)
    examples = input_examples(shapes, input_dtypes(input_dtype, len(shapes)))
    if isinstance(model, Module):
        layers = outputs_of(model, outputs)
        with inference_mode(model):
            graph, result = trace(layers or model, examples, watch=False)
    elif outputs is not None:
        raise TypeError(f"outputs are paths of layers in a Module, got {type(model).__name__}: return them")
    else:
        graph, result = trace(model, examples, watch=False)
    rebuild = set_outputs(graph, result)
    if not graph.outputs:
        raise TypeError(
            f"expected the model to return a tensor, or several, got {result!r}: is a return missing?"
        )
    graph.updates, graph.counted = [], []
    traced = EarlierGraph(graph)
    prepare_predictor(graph)
    return Predictor(graph, rebuild, traced)
