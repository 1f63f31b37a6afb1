# SPDX-License-Identifier: Apache-2.0
"""The module that `from_torch` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..graph.tensor import Tensor
from ..nn.module import Module
from ..nn.parameter import Buffer, Parameter
from ..ops.conversions import converted
from .emitting import emit_nodes
from .graph import Graph, Ref, Spec, map_args
from .table import PROGRAM


class Scope(Module):
    """Holds the parameters whose names begin with its path."""


class TorchModel(Module):
    """A network captured from a torch module: made by `cnncore.from_torch`.

    Called with arrays in the order of the torch module's inputs. Parameters and buffers have the names that
    they have there. `train()` and `eval()` change what dropout and batch normalization do, except in layers
    that were in inference mode inside a module that trained.

    Raises:
        TypeError: another number of inputs than the module was exported with.

    >>> from cnncore.torch_backend.graph import Graph, Node, Ref, Spec
    >>> x = Spec("float32", shape=(None, 2), example=(1, 2), order=(0, 1))
    >>> graph = Graph(["x"], [x], [Node("y", "relu", (Ref("x"),), {})], Ref("y"))
    >>> TorchModel(graph, {}, {})([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, graph: Graph, sources: Mapping[str, str], state: Mapping[str, Any]) -> None:
        """
        Args:
            graph: what is computed.
            sources: for the inputs that are parameters or buffers, their names.
            state: all parameters and buffers, by name; those that are the same object are shared.
        """
        super().__init__()
        self._graph = graph
        self._sources = dict(sources)
        for name, array in state.items():
            self._adopt(name, array)
        self._given = [name for name in graph.inputs if name not in sources]
        self._specs = dict(zip(graph.inputs, graph.specs, strict=True))

    def _adopt(self, name: str, array: Parameter | Buffer) -> None:
        *path, last = name.split(".")
        module: Module = self
        for part in path:
            if part not in module._modules:
                module.add_module(part, Scope())
            module = module._modules[part]
        if isinstance(array, Parameter):
            module.register_parameter(last, array)
        else:
            module.register_buffer(last, array)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in their order."""
        return list(self._given)

    @property
    def graph(self) -> Graph:
        """The nodes as they were captured."""
        return self._graph

    def forward(self, *inputs: Any) -> Any:
        """Add the network to the program being traced.

        Raises:
            ValueError: an input's shape is not one that the network was captured for.
        """
        if len(inputs) != len(self._given):
            names = ", ".join(self._given)
            raise TypeError(f"expected {len(self._given)} inputs ({names}), got {len(inputs)}")
        values: dict[str, Any] = dict(self._graph.constants)
        for name, given in zip(self._given, inputs, strict=True):
            values[name] = _checked(name, given, self._specs[name])
        state = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        for name, source in self._sources.items():
            spec, value = self._specs[name], self._find(source, state)
            is_bool = isinstance(spec, Spec) and spec.dtype == "bool"
            values[name] = converted(value, "bool") if is_bool else value
        emit_nodes(self._graph.nodes, values, self.training)
        return map_args(lambda v: values[v.name] if isinstance(v, Ref) else v, self._graph.outputs)

    def _find(self, name: str, state: Mapping[str, Any]) -> Any:
        """Return a parameter or buffer by its name; of shared ones, `state` has one name."""
        if name in state:
            return state[name]
        module: Any = self
        *path, last = name.split(".")
        for part in path:
            module = module._modules[part]
        return getattr(module, last)

    def extra_repr(self) -> str:
        return f"{', '.join(self._given)}, {len(self._graph.nodes)} nodes"

    def __repr__(self) -> str:
        return f"TorchModel({self.extra_repr()})"


def _checked(name: str, given: Any, spec: Spec | None) -> Any:
    """Return an input in the type that the network was captured with.

    Raises:
        ValueError: an extent is not the one that the network needs.
    """
    if spec is None or not isinstance(given, Tensor):
        return given
    wanted: Sequence[int | None] = spec.shape
    fits = len(wanted) == given.ndim and all(
        w is None or w == n for w, n in zip(wanted, given.shape, strict=True)
    )
    if not fits:
        text = ", ".join("?" if extent is None else str(extent) for extent in wanted)
        raise ValueError(
            f"[{name}] expected an array of shape ({text}), for which the network was captured, "
            f"got {given.shape}"
        )
    return converted(given, spec.dtype) if spec.dtype in PROGRAM else given
