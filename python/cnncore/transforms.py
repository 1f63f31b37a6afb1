# SPDX-License-Identifier: Apache-2.0
"""Functions of functions: gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ._checks import is_integer
from .compiler.autodiff import add_gradients
from .compiler.call import Validity
from .compiler.layout import decide_layouts
from .compiler.pipeline import Compiled, Rebuild, compile_training, set_outputs
from .graph.arrays import to_input
from .graph.cache import LRU
from .graph.limits import parse_size
from .graph.mode import get_mode
from .graph.tensor import Graph, Layout, Tensor
from .graph.trace import as_tensor, building, current_graph, is_stored, is_tracing, trace
from .ops.build import alias, cast

CAPACITY = 16
"""Programs kept for a function: one for each combination of input shapes."""


def input_arrays(inputs: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...]]:
    """Return the inputs as arrays, and what a program for them is kept under: mode, shapes and dtypes."""
    arrays = [x if type(x) is np.ndarray else to_input(x) for x in inputs]
    return arrays, (get_mode(), *[(a.shape, a.dtype.char) for a in arrays])


class Function:
    """A function compiled for each combination of input shapes it meets."""

    def __init__(self, fn: Callable[..., Any], max_memory: int | str | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"expected a function, got {type(fn).__name__}")
        self._fn = fn
        self._max_memory = None if max_memory is None else parse_size(max_memory, "max_memory")
        self._programs: LRU[Compiled] = LRU(CAPACITY, Compiled.nbytes)

    def _program(self, key: tuple[Any, ...], arrays: list[Any]) -> Compiled:
        program = self._programs.get(key)
        if program is None or not program.validity.holds():
            for i, array in enumerate(arrays):
                to_input(array, f"input {i}")  # raises for arrays no program takes
            program = self._programs.put(key, self._compile(arrays))
        return program

    def _positional(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return inputs given by position and by name in the order of the function's arguments."""
        if not named:
            return inputs
        try:
            bound = inspect.signature(self._fn).bind(*inputs, **named)
        except TypeError as error:
            raise TypeError(f"the inputs are those of the function: {error}") from None
        if bound.kwargs:
            raise TypeError(
                f"expected inputs for all arguments up to {', '.join(bound.kwargs)}, taken by position"
            )
        return bound.args

    def _compile(self, arrays: list[Any]) -> Compiled:
        raise NotImplementedError

    def _trace(self, arrays: list[Any]) -> tuple[Graph, Tensor, Any]:
        """Trace the function; return its graph, the loss and all that it returned."""
        graph, result = trace(self._fn, arrays)
        return graph, _loss_of(graph, result), result


def _loss_of(graph: Graph, result: Any) -> Tensor:
    """Return the loss among what a traced function returned."""
    loss = result[0] if isinstance(result, (tuple, list)) and result else result
    if is_stored(loss):
        with building(graph):
            loss = as_tensor(loss)
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"expected the function to return a scalar loss, or (loss, ...), got {type(loss).__name__}"
        )
    return loss


def _zeros_like(tensor: Tensor) -> Tensor:
    return Tensor(tensor.shape, "float32", Layout.C, np.zeros(tensor.shape, np.float32))


class _ValueAndGrad(Function):
    """Returned by `value_and_grad` for parameters, and by `grad` for inputs (`params` None)."""

    def __init__(
        self,
        fn: Callable[..., Any],
        params: Any,
        argnums: tuple[int, ...],
        max_memory: int | str | None = None,
    ) -> None:
        super().__init__(fn, max_memory)
        self._params = params
        self._argnums = argnums

    def __call__(self, *inputs: Any, **named: Any) -> tuple[Any, list[Any]]:
        inputs = self._positional(inputs, named)
        if any(not -len(inputs) <= i < len(inputs) for i in self._argnums):
            raise ValueError(f"expected argnums below the {len(inputs)} inputs, got {self._argnums}")
        if is_tracing():
            return self._within(current_graph(), list(inputs))
        arrays, key = input_arrays(inputs)
        program = self._program(key, arrays)
        value, grads = program(arrays)
        return value, grads

    def _within(self, graph: Graph, inputs: list[Any]) -> tuple[Any, list[Any]]:
        """Add the function and its gradients to a graph being traced, as part of a larger function."""
        if self._params is None:
            for i in self._positions(len(inputs)):
                inputs[i] = alias(cast(as_tensor(inputs[i]), "float32"))
        result = self._fn(*inputs)
        wrt = self._wrt(graph, inputs)
        known = [tensor for tensor in wrt if tensor is not None]
        decide_layouts(graph)
        found = dict(zip(known, add_gradients(graph, _loss_of(graph, result), known), strict=True))
        grads = []
        for i, tensor in enumerate(wrt):
            gradient = None if tensor is None else found[tensor]
            shape = self._params[i].shape if tensor is None else tensor.shape
            grads.append(_zeros_like(Tensor(shape)) if gradient is None else gradient)
        return result, grads

    def _wrt(self, graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        if self._params is None:
            return [inputs[i] for i in self._argnums]
        return [graph.stored.get(id(parameter)) for parameter in self._params]

    def _compile(self, arrays: list[Any]) -> Compiled:
        if self._params is None:
            arrays = [
                a.astype(np.float32) if i in self._positions(len(arrays)) else a for i, a in enumerate(arrays)
            ]
        graph, _, result = self._trace(arrays)
        validity = Validity(graph)
        rebuild = set_outputs(graph, result)
        wrt = self._wrt(graph, graph.inputs)
        count = len(graph.outputs)

        def use(found: list[Tensor | None]) -> None:
            gradients = iter(found)
            del graph.outputs[count:]
            for i, tensor in enumerate(wrt):
                if tensor is None:
                    graph.outputs.append(_zeros_like(Tensor(self._params[i].shape, "float32", Layout.C)))
                else:
                    gradient = next(gradients)
                    graph.outputs.append(_zeros_like(tensor) if gradient is None else gradient)

        if self._params is None:  # `grad` returns no value: what only that needs is not computed
            rebuild, count = Rebuild(None), 0
        known = [tensor for tensor in wrt if tensor is not None]
        executable = compile_training(graph, known, use, self._max_memory)

        def split(outputs: list[Any]) -> tuple[Any, list[Any]]:
            return rebuild(outputs[:count]), outputs[count:]

        return Compiled(executable, split, validity)

    def _positions(self, count: int) -> set[int]:
        return {i % count for i in self._argnums}


def value_and_grad(
    fn: Callable[..., Any], params: Any, *, max_memory: int | str | None = None
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes `fn` and the gradient of its loss by parameters.

    Args:
        fn: function of tensors that returns a scalar loss, or (loss, anything else...).
        params: Parameters as a list or another iterable, or a dict such as
            ``dict(model.named_parameters())``.
        max_memory: as in `train_step`: activations are computed again rather than kept where memory asks for
            that; not used inside of a function that is itself differentiated.

    Returns:
        A function of fn's inputs (arrays) that returns (what fn returns, grads). grads is a list in the
        order of `params`, or a dict with its keys; parameters that the loss does not depend on have
        gradient 0.

    Raises:
        TypeError: `params` are no list or dict of Parameters.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> w = nn.Parameter(np.array([2.0, 3.0]))
    >>> loss, grads = cc.value_and_grad(lambda x: (w * x).sum(), [w])(np.array([1.0, 5.0]))
    >>> float(loss), grads[0].tolist()
    (17.0, [1.0, 5.0])
    """
    names = list(params) if isinstance(params, dict) else None
    if is_stored(params):
        raise TypeError("expected a list or dict of Parameters, got one Parameter; write [parameter]")
    if hasattr(params, "parameters"):
        raise TypeError(
            f"expected Parameters, got a {type(params).__name__}; pass list(model.parameters()) "
            "or dict(model.named_parameters())"
        )
    if not isinstance(params, Iterable):
        raise TypeError(f"expected a list or dict of Parameters, got {params!r}")
    listed = list(params.values()) if isinstance(params, dict) else list(params)
    for parameter in listed:
        if not is_stored(parameter):
            raise TypeError(f"expected Parameters, got {type(parameter).__name__}")
    function = _ValueAndGrad(fn, listed, (), max_memory)
    if names is None:
        return function

    def with_names(*inputs: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        value, grads = function(*inputs, **named)
        return value, dict(zip(names, grads, strict=True))

    return with_names


def grad(fn: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that computes the gradient of `fn` by its inputs.

    Args:
        fn: function of tensors that returns a scalar, or (scalar, anything else...).
        argnums: the input to differentiate by, or several.

    Returns:
        A function of the same inputs that returns one array, or a tuple of arrays for several argnums.

    Raises:
        TypeError: `argnums` is no number of an input.
        ValueError: the function returns no scalar.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> cc.grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).tolist()
    [2.0, 4.0]

    In a function that is itself differentiated, or in that of a training step, its gradients count: a
    penalty of gradients, for example.

    >>> slope = cc.grad(lambda x: (x ** 3).sum())
    >>> cc.grad(lambda x: (slope(x) ** 2).sum())(np.array([1.0, 2.0])).tolist()
    [36.0, 288.0]
    """
    several = isinstance(argnums, (tuple, list))
    positions = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for position in positions:
        if not is_integer(position):
            raise TypeError(f"expected argnums as an input's number, or several, got {argnums!r}")
    function = _ValueAndGrad(fn, None, positions)

    def gradient(*inputs: Any, **named: Any) -> Any:
        _, grads = function(*inputs, **named)
        return tuple(grads) if several else grads[0]

    return gradient
