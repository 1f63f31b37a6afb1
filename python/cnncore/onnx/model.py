# SPDX-License-Identifier: Apache-2.0
"""The module that a loaded ONNX model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.call import call_module
from ..graph.arrays import to_array
from ..graph.tensor import Tensor
from ..graph.trace import is_tracing
from ..nn.module import Module
from ..nn.parameter import Buffer, Parameter
from ..ops.conversions import converted as as_dtype
from .dtypes import FLOATS, PROGRAM, converted, numpy_type
from .emitting import Emitted, NeedsValuesError, mode, requires_program
from .graph import Graph, Value
from .parameters import roles
from .running import Runner


class Scope(Module):
    """Holds the parameters whose names begin with its path."""


class OnnxModel(Module):
    """An ONNX model as a module: made by `load`.

    Called with arrays in the order of the model's inputs, or by their names; returns its only output, or a
    tuple of them. Floating-point weights are parameters under their ONNX names; statistics of batch
    normalization are buffers. It begins in inference mode; `train()` makes dropout and batch normalization
    behave as in training.

    Raises:
        ValueError: in a compiled or trained model, a node that needs the values of an input and not its shape
            alone.

    >>> import os, tempfile
    >>> import numpy as np
    >>> import cnncore.onnx
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "linear.onnx")
    >>> proto = cnncore.onnx.export(nn.Linear(3, 2), path, (1, 3))
    >>> model = cnncore.onnx.load(path)
    >>> isinstance(model, OnnxModel), model(np.zeros((1, 3), np.float32)).shape
    (True, (1, 2))
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self._base: dict[str, Any] = dict(graph.constants)
        taken = _Names(self)
        for name, role in roles(graph).items():
            array = graph.constants[name].astype(np.float32)
            self._base[name] = taken.add(name, Parameter(array) if role == "parameter" else Buffer(array))
        self._runner: Runner | None = None
        self.eval()

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in their order."""
        return [value.name for value in self._graph.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in their order."""
        return [value.name for value in self._graph.outputs]

    @property
    def metadata(self) -> dict[str, str]:
        """Texts by name that the file holds beside the network."""
        return dict(self._graph.metadata)

    @property
    def graph(self) -> Graph:
        """The nodes, with operators in the place of groups that exporters write for them."""
        return self._graph

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        values = self._bind(inputs, named)
        if is_tracing():
            module: Any = self
            return call_module(module, list(values.values()), {})
        if self._runner is None:
            self._runner = Runner(self._graph, self._base, self)
        given = {value.name: _given(value, values[value.name]) for value in self._graph.inputs}
        results = self._runner(given)
        return results[0] if len(results) == 1 else tuple(results)

    def forward(self, *inputs: Any) -> Any:
        """Add the model to the program being traced.

        Raises:
            ValueError: a node cannot be part of a program.
        """
        values = {}
        for value, given in zip(self._graph.inputs, inputs, strict=True):
            if isinstance(given, Tensor) and value.dtype not in FLOATS and given.dtype == "float32":
                given = _own_type(given, value.dtype)
            values[value.name] = given
        done = Emitted({**self._base, **values}, frozenset(values))
        try:
            with mode(self.training):
                done.nodes(self._graph.nodes)
        except NeedsValuesError as needed:
            names = ", ".join(sorted(needed.names))
            raise ValueError(
                f"[{needed.node.label}] needs the values of {names} while a program is made: call the model "
                "on arrays instead of compiling or training it"
            ) from None
        requires_program(done)
        results = [done.values[value.name] for value in self._graph.outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def _bind(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs by name, in their order."""
        names = self.input_names
        if len(inputs) > len(names):
            raise TypeError(f"expected {len(names)} inputs ({', '.join(names)}), got {len(inputs)}")
        values = dict(zip(names, inputs, strict=False))
        for name, value in named.items():
            if name not in names or name in values:
                raise TypeError(
                    f"expected inputs {', '.join(names)}, got {name!r}" + " twice" * (name in values)
                )
            values[name] = value
        missing = [name for name in names if name not in values]
        if missing:
            raise TypeError(f"expected inputs {', '.join(names)}: missing {', '.join(missing)}")
        return {name: values[name] for name in names}

    def extra_repr(self) -> str:
        return (
            f"{', '.join(self.input_names)} -> {', '.join(self.output_names)}, {len(self._graph.nodes)} nodes"
        )

    def __repr__(self) -> str:
        return f"OnnxModel({self.extra_repr()})"

    def __getstate__(self) -> dict[str, Any]:
        return dict(super().__getstate__(), _runner=None)


def _own_type(tensor: Any, dtype: str | None) -> Any:
    """Return a float tensor, which `compile` gives for every input, as one of the input's own type."""
    return as_dtype(tensor, dtype if dtype in PROGRAM else "int64")


def _given(value: Value, given: Any) -> Any:
    """Return an input as an array of the declared type.

    Raises:
        ValueError: its shape is not the declared one.
        TypeError: it is text where numbers are declared, or complex.
    """
    if value.shape is None and value.dtype is None:
        return given
    if value.dtype == "string":
        return np.asarray(given, object)
    array: NDArray[Any] = np.asarray(given) if isinstance(given, np.ndarray) else to_array(given, value.name)
    if value.dtype is not None:
        if array.dtype.kind in "OUSM" or (array.dtype.kind == "c" and "complex" not in value.dtype):
            raise TypeError(f"[{value.name}] expected an array of {value.dtype}, got dtype {array.dtype}")
        if not np.can_cast(array.dtype, numpy_type(value.dtype), "same_kind") and array.dtype.kind in "fc":
            raise TypeError(f"[{value.name}] expected an array of {value.dtype}, got {array.dtype}")
        array = converted(array, value.dtype)
    wanted = value.shape
    if wanted is not None and not _fits(array.shape, wanted):
        text = ", ".join("?" if extent is None else str(extent) for extent in wanted)
        raise ValueError(f"[{value.name}] expected an array of shape ({text}), got {array.shape}")
    return array


def _fits(shape: tuple[int, ...], wanted: tuple[int | str | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        not isinstance(w, int) or w == n for n, w in zip(shape, wanted, strict=True)
    )


class _Names:
    """Registers arrays under dotted names, in scopes below a module."""

    def __init__(self, root: Module) -> None:
        self._root = root

    def add(self, name: str, array: Any) -> Any:
        """Register an array, and return it. Where a name's parts cannot be attributes, dots become "_"."""
        array.name = name
        *path, last = name.split(".")
        if not all([*path, last]) or not self._fits(path, last):
            path, last = [], name.replace(".", "_") or "_"
            while self._taken(self._root, last):
                last += "_"
        module = self._root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Scope())
            module = module._modules[part]
        table = "register_parameter" if isinstance(array, Parameter) else "register_buffer"
        getattr(module, table)(last, array)
        return array

    @staticmethod
    def _taken(module: Module, name: str) -> bool:
        return name in module._modules or hasattr(module, name)

    def _fits(self, path: list[str], last: str) -> bool:
        module: Module | None = self._root
        for part in path:
            if module is None:
                break
            below = module._modules.get(part)
            if below is None and hasattr(module, part):
                return False
            if isinstance(below, Scope) or below is None:
                module = below
        return not (hasattr(Scope if module is None else module, last))
