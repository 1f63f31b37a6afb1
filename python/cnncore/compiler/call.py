# SPDX-License-Identifier: Apache-2.0
"""Running modules: on symbolic tensors by tracing on, on arrays by a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import numpy as np

from ..graph.arrays import to_input
from ..graph.cache import LRU, constant_key
from ..graph.changes import changes
from ..graph.mode import get_mode
from ..graph.protocols import ModuleLike
from ..graph.tensor import Graph, Tensor
from ..graph.trace import call_traced, is_stored, is_tracing, map_tree, trace
from .pipeline import Compiled, compile_inference, set_outputs

CAPACITY = 16
"""Programs kept for a module: one for each input shape and mode."""


class Validity:
    """What a traced program depends on besides the shapes of its inputs."""

    def __init__(self, graph: Graph) -> None:
        self._modules = _with_parts([*graph.modules.values(), *graph.surroundings.layers])
        self._parameters = [t.source for t in graph.stored.values() if is_stored(t.source)]
        self._state = self._read()
        self._seen = changes.structure
        self._surroundings = graph.surroundings if graph.surroundings.any else None
        self._values_read = graph.values_read

    @property
    def stored(self) -> list[Any]:
        """Parameters and buffers that the program uses."""
        return self._parameters

    def _read(self) -> list[Any]:
        state: list[Any] = [(module.training, module.structure_version) for module in self._modules]
        return state + [parameter.requires_grad for parameter in self._parameters]

    def holds(self) -> bool:
        """Whether every module and parameter, and what the function took from around it, is as it was when
        the program was traced."""
        if any(stored.version != version for stored, version in self._values_read):
            return False
        if self._surroundings is not None and not self._surroundings.same():
            return False
        if self._seen == changes.structure:
            return True
        seen = changes.structure
        if self._read() != self._state:
            return False
        self._seen = seen
        return True


def _with_parts(modules: Sequence[ModuleLike]) -> list[ModuleLike]:
    """Return modules and all below them: what holds parameters or layers is not always called itself."""
    found: dict[int, ModuleLike] = {}
    for module in modules:
        if id(module) not in found:
            found.update((id(part), part) for _, part in module.named_modules())
    return list(found.values())


Call = Callable[[ModuleLike, Sequence[Any], dict[str, Any]], Any]


def call_module(
    module: ModuleLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    call: Call = call_traced,
    names: tuple[str, ...] = (),
) -> Any:
    """Run a module: add its nodes when a function is being traced, compute otherwise.

    Args:
        call: adds the nodes and returns the result.
        names: tells results of other `call`s than the usual one apart.
    """
    if is_tracing():
        return call(module, args, kwargs)
    arrays: Sequence[Any] = args
    if kwargs or any(type(arg) is not np.ndarray for arg in args):
        args = map_tree(_to_input, tuple(args))
        kwargs = map_tree(_to_input, kwargs)
        arrays = leaf_arrays([*args, *kwargs.values()])
    key = (module.training, get_mode(), _signature(args), _signature(kwargs) if kwargs else None, names)
    programs: LRU[Compiled] | None = module.__dict__.get("_programs")
    if programs is None:
        programs = programs_of(module)
    program = programs.get(key)
    if program is None or not program.validity.holds():
        program = programs.put(key, _compile_module(module, args, kwargs, call))
    return program(arrays)


def programs_of(module: ModuleLike) -> LRU[Any]:
    """Return what is kept for a module as long as it lives, neither copied nor pickled with it.

    Entries have `nbytes` and `validity`; the keys of others than `call_module` begin with a text.
    """
    programs: LRU[Any] | None = module.__dict__.get("_programs")
    if programs is None:
        programs = LRU(CAPACITY, methodcaller("nbytes"))
        module._programs = programs  # type: ignore[attr-defined]
    return programs


def _compile_module(module: ModuleLike, args: Sequence[Any], kwargs: dict[str, Any], call: Call) -> Compiled:
    for array in leaf_arrays([*args, *kwargs.values()]):
        to_input(array)  # raises for arrays no program takes
    graph, result = trace(lambda *a, **k: call(module, a, k), args, kwargs)
    if result is None:
        raise TypeError(f"{type(module).__name__}.forward returned None: is a return missing?")
    rebuild = set_outputs(graph, result)
    validity = Validity(graph)
    return Compiled(compile_inference(graph), rebuild, validity)


def _to_input(value: Any) -> Any:
    if type(value) is np.ndarray:
        return to_input(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        raise RuntimeError("symbolic tensors can only be used inside a traced function")
    return to_input(value)


def leaf_arrays(tree: Any) -> list[Any]:
    """Return the arrays in nested lists, tuples and dicts, in order."""
    found: list[Any] = []
    map_tree(lambda value: found.append(value) if isinstance(value, np.ndarray) else None, tree)
    return found


def _signature(tree: Any) -> Any:
    """Return something hashable that tells shapes, dtypes and other arguments apart."""
    if type(tree) is np.ndarray:
        return tree.shape, tree.dtype.char
    if isinstance(tree, dict):
        return tuple((key, _signature(value)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        return tuple([_signature(value) for value in tree])
    return constant_key(tree)
