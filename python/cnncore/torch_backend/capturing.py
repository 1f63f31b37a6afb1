# SPDX-License-Identifier: Apache-2.0
"""`from_torch`: networks of torch as modules."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from ..nn.parameter import Buffer, Parameter
from .compiling import decompositions
from .emitting import unsupported
from .graph import Graph, Mode, Node, Ref
from .in_place import without_changes
from .module import TorchModel
from .reading import array_of, read

BATCH = 2
"""Rows that an example of one row is captured with: torch takes an extent of 1 for one that stays."""

FOLLOWING = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "instance_norm": 5}
"""Operators that behave otherwise in training, and which of their arguments says so."""

LAYERS = tuple(name for name in FOLLOWING if name != "instance_norm")


def from_torch(module: Any, example: Any, kwargs: Mapping[str, Any] | None = None) -> TorchModel:
    """Capture a torch module, by `torch.export`, as a module of cnncore.

    Args:
        module: a torch.nn.Module of float32 parameters, which are copied.
        example: an input, or a tuple of inputs; arrays or torch's tensors. Their batch may differ in later
            calls, where the network allows it.
        kwargs: further inputs, by name; they follow the others in calls of the result.

    Returns:
        A module with the same `state_dict` keys, in the mode in which the torch module is. It predicts,
        compiles, trains and is saved without torch.

    Raises:
        TypeError: no torch module.
        ValueError: torch cannot capture the module, or operators of it cannot be run: all are named.

    >>> import numpy as np
    >>> import torch
    >>> import cnncore as cc
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()).eval()
    >>> x = torch.randn(1, 3, 8, 8)
    >>> module = cc.from_torch(model, x)
    >>> bool(np.allclose(module(x), model(x).detach(), atol=1e-5))
    True
    >>> cc.compile(module, (4, 3, 8, 8))(np.zeros((4, 3, 8, 8), np.float32)).shape
    (4, 8, 6, 6)
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    _check_norms(module)
    args = tuple(map(_tensor, example if isinstance(example, (tuple, list)) else (example,)))
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"expected kwargs as a dict of tensors by name, got {kwargs!r}")
    named = {name: _tensor(value) for name, value in (kwargs or {}).items()}
    state = _state(module)
    trained = {name for name, part in module.named_modules() if part.training}
    try:
        module.eval()
        captured = _captured(module, args, named)
    finally:
        for name, part in module.named_modules():
            part.training = name in trained
    graph = _graph(captured)
    _follow(graph, trained if module.training else None, _counters(captured))
    found = TorchModel(graph, _sources(captured), state)
    found.train(module.training)
    return found


def _check_norms(module: Any) -> None:
    """Refuse what torch.export would capture as a batch norm whose statistics stay."""
    for name, part in module.named_modules():
        if getattr(part, "num_batches_tracked", None) is not None and part.momentum is None:
            raise ValueError(
                f"[{name}] expected a batch norm with a number as momentum, got None (an average), which "
                "torch.export cannot capture; set momentum, 0.1 say, before"
            )


def _tensor(value: Any) -> Any:
    """Return an example as torch's tensor; what is no array stays as it is."""
    if isinstance(value, (torch.Tensor, bool, int, float, str, type(None))):
        return value
    return torch.from_numpy(np.array(value))


def _captured(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return torch's exported program: with an open batch where it allows that."""
    error: Exception | None = None
    for prepare, shape in ((_rows, _open), (_as_given, None)):
        given, named = pytree.tree_map(prepare, (args, kwargs))
        shapes = None if shape is None else _by_argument(module, *pytree.tree_map(shape, (given, named)))
        try:
            return torch.export.export(module, given, named or None, dynamic_shapes=shapes)
        except Exception as caught:  # torch raises what its own parts raise
            error = error or caught
    raise ValueError(f"torch.export cannot capture {type(module).__name__}: {error}") from error


def _by_argument(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return values by the names of the arguments they are for: those of *args, and of **kwargs, together."""
    return dict(signature(module.forward).bind(*args, **kwargs).arguments)


def _rows(value: Any) -> Any:
    """Return an example with a batch of more than one row."""
    if isinstance(value, torch.Tensor) and value.ndim and value.shape[0] == 1:
        return value.repeat(BATCH, *[1] * (value.ndim - 1))
    return value


def _as_given(value: Any) -> Any:
    return value


def _open(value: Any) -> Any:
    """Return which extents of an input may change: the first."""
    return {0: torch.export.Dim.AUTO} if isinstance(value, torch.Tensor) and value.ndim else None


def _graph(captured: Any) -> Graph:
    """Return the captured nodes, without those that change what they read.

    Raises:
        ValueError: nodes that cannot be run.
    """
    graph = _read(captured)
    problems = without_changes(graph)
    problems = problems or unsupported(graph)
    if problems and not any(_behaves(node) for node in graph.nodes):
        # Other forms of the same, where it is the same in both modes.
        graph = _read(captured.run_decompositions(decompositions()))
        problems = without_changes(graph) or unsupported(graph)
    if problems:
        labels = {node.name: node.label for node in graph.nodes}
        rows = "\n".join(f"  {labels.get(name, name)}: {reason}" for name, reason in problems.items())
        raise ValueError(f"operators that cannot be run:\n{rows}")
    return graph


def _read(captured: Any) -> Graph:
    tensors = {**captured.state_dict, **captured.constants}
    graph = read(captured.graph, tensors.__getitem__)
    facts = captured.graph_signature
    for name, source in facts.inputs_to_lifted_tensor_constants.items():
        place = graph.inputs.index(name)
        del graph.inputs[place], graph.specs[place]
        graph.constants[name] = array_of(captured.constants[source]).copy()
    changed = [*facts.buffers_to_mutate.values(), *facts.user_inputs_to_mutate.values()]
    if changed:
        raise ValueError(f"it changes buffers or inputs in inference: {', '.join(changed)}")
    graph.outputs = _plain(pytree.tree_unflatten(list(graph.outputs), captured.call_spec.out_spec))
    return graph


def _plain(tree: Any) -> Any:
    """Return results in lists, tuples and dicts."""
    if isinstance(tree, Ref):
        return tree
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        plain = [_plain(value) for value in tree]
        return plain if isinstance(tree, list) else tuple(plain)
    return tree


def _behaves(node: Node) -> bool:
    return node.op.partition(".")[0] in LAYERS


def _follow(graph: Graph, trained: set[str] | None, counters: Mapping[str, str]) -> None:
    """Let layers follow the module's mode: all, or those that were in training.

    Args:
        trained: paths of the layers in training; None for all.
        counters: the input that counts batches, by the input that holds a running mean.
    """
    for node in graph.nodes:
        place = FOLLOWING.get(node.op.partition(".")[0])
        if place is None or len(node.args) <= place or not _behaves(node):
            continue
        if trained is None or node.path in trained:
            node.args = (*node.args[:place], Mode.TRAINING, *node.args[place + 1 :])
            mean = node.args[3] if node.op.startswith("batch_norm") else None
            if isinstance(mean, Ref) and mean.name in counters:
                node.kwargs["count"] = Ref(counters[mean.name])


def _counters(captured: Any) -> dict[str, str]:
    names = {source: name for name, source in captured.graph_signature.inputs_to_buffers.items()}
    ending = "running_mean"
    return {
        name: names[source.removesuffix(ending) + "num_batches_tracked"]
        for source, name in names.items()
        if source.endswith(ending) and source.removesuffix(ending) + "num_batches_tracked" in names
    }


def _sources(captured: Any) -> dict[str, str]:
    facts = captured.graph_signature
    return {**facts.inputs_to_parameters, **facts.inputs_to_buffers}


def _state(module: Any) -> dict[str, Any]:
    """Return copies of a module's parameters and buffers; what is shared is copied once."""
    found: dict[str, Any] = {}
    copies: dict[int, Any] = {}
    kept = set(module.state_dict(keep_vars=True))
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) not in copies:
            array = array_of(parameter)
            if array.dtype != np.float32:
                raise ValueError(f"[{name}] expected float32 parameters, got {parameter.dtype}: use .float()")
            copies[id(parameter)] = Parameter(array, parameter.requires_grad, name)
        found[name] = copies[id(parameter)]
    for name, buffer in module.named_buffers(remove_duplicate=False):
        if id(buffer) not in copies:
            copies[id(buffer)] = Buffer(array_of(buffer), persistent=name in kept, name=name)
        found[name] = copies[id(buffer)]
    return {name: found[name] for name in (*module.state_dict(), *found) if name in found}
