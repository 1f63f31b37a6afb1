# SPDX-License-Identifier: Apache-2.0
"""From FX graphs of ATen's operators to plain data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from .graph import Graph, Node, Ref, Spec, map_args
from .table import OPERATORS

_IGNORED = ("layout", "device", "pin_memory", "memory_format", "non_blocking", "copy", "implicit")
"""Named arguments that change no number."""


def dtype_of(dtype: Any) -> str:
    """Return the name of one of torch's element types."""
    return str(dtype).removeprefix("torch.")


def read(graph: Any, constant: Callable[[str], Any]) -> Graph:
    """Return an FX graph as plain data.

    Args:
        graph: a torch.fx.Graph of ATen's operators, whose nodes know their results ("val").
        constant: gives the tensor that a node "get_attr" names.
    """
    found = Graph([], [], [], None)
    for node in graph.nodes:
        if node.op == "placeholder":
            found.inputs.append(node.name)
            found.specs.append(spec_of(node.meta.get("val")))
        elif node.op == "get_attr":
            with unset_fake_temporarily():  # the tensor itself, not what it would be on no device
                found.constants[node.name] = _array_or_none(constant(node.target))
        elif node.op == "output":
            found.outputs = map_args(_argument, node.args[0])
        else:
            found.nodes.append(_node(node))
    return found


def array_of(tensor: Any) -> Any:
    """Return a tensor's elements as an array on the same memory.

    Raises:
        TypeError: numpy has no such elements.
    """
    return tensor.detach().numpy()


def _array_or_none(tensor: Any) -> Any:
    try:
        return array_of(tensor)
    except (TypeError, RuntimeError):  # of a type that numpy has not, sparse, or on another device
        return None


def operator_name(target: Any) -> str:
    """Return the table's name of what a node calls."""
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target._schema.name.partition("::")
        overload = target._schema.overload_name
        name = name if namespace == "aten" else f"{namespace}.{name}"
        return f"{name}.{overload}" if overload else name
    plain = f"number.{getattr(target, '__name__', type(target).__name__)}"
    return plain if plain in OPERATORS else f"{getattr(target, '__module__', '')}.{plain}"


def _node(node: Any) -> Node:
    name = operator_name(node.target) if node.op == "call_function" else f"{node.op}.{node.target}"
    kwargs = {
        "input" if key == "self" else key: map_args(_argument, value)
        for key, value in node.kwargs.items()
        if key not in _IGNORED
    }
    args = tuple(map_args(_argument, value) for value in node.args)
    return Node(node.name, name, args, kwargs, path_of(node), _results(node.meta.get("val")))


def _argument(value: Any) -> Any:
    if isinstance(value, torch.fx.Node):
        return Ref(value.name)
    if isinstance(value, torch.dtype):
        return dtype_of(value)
    if isinstance(value, (torch.memory_format, torch.device, torch.layout)):
        return None
    if isinstance(value, (torch.SymInt, torch.SymFloat)):
        raise TypeError("a size that is not a node of the graph")
    return value


def _results(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_results, value))
    return spec_of(value)


def spec_of(value: Any) -> Spec | None:
    """Return the type and shape of a fake tensor; None for anything else, or when extents are unknown."""
    if not isinstance(value, torch.Tensor):
        return None
    example = tuple(extent_of(n) for n in value.shape)
    if any(n is None for n in example) or value.layout is not torch.strided or value.device.type != "cpu":
        return Spec("elsewhere", (), (), ())
    strides = [extent_of(n) for n in value.stride()]
    extents = [n or 0 for n in example]
    axes = sorted(range(len(extents)), key=lambda axis: (-(strides[axis] or 0), axis))
    shape = tuple(n if isinstance(n, int) else None for n in value.shape)
    order = tuple(axes) if _matters(extents, strides) else tuple(range(len(extents)))
    return Spec(dtype_of(value.dtype), shape, tuple(extents), order)


def _matters(extents: list[int], strides: list[int | None]) -> bool:
    """Whether strides differ from those of C order where there is more than one element."""
    wanted = 1
    for extent, stride in zip(reversed(extents), reversed(strides), strict=True):
        if extent > 1 and stride != wanted:
            return True
        wanted *= extent
    return False


def extent_of(value: Any) -> int | None:
    """Return an extent, or the one that a symbolic size was met with; None where that is not known."""
    if isinstance(value, int):
        return value
    hint = getattr(value.node, "hint", None)
    return None if hint is None else int(hint)


def path_of(node: Any) -> str:
    """Return the path of the layer that a node belongs to, such as "layer1.0.conv2"."""
    stack = node.meta.get("nn_module_stack") or {}
    path = ""
    for entry in stack.values():
        path = entry[0]
    return _clean(path)


def _clean(path: str) -> str:
    path = re.sub(r"^L\['\w+'\]\.?|^L__self___?", "", path)
    path = re.sub(r"\._modules\['([^']*)'\]|\['?([^\]']*)'?\]", r".\1\2", path)
    return path.strip(".")
