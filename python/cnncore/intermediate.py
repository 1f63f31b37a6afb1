# SPDX-License-Identifier: Apache-2.0
"""Outputs of the layers inside a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from .compiler.call import call_module
from .graph.trace import call_traced, current_graph
from .nn.module import Module


def capture(model: Module, names: str | Iterable[str], *inputs: Any, **kwargs: Any) -> dict[str, Any]:
    """Call a model and return what layers inside it return, as forward hooks would see it.

    Inside a traced function (a loss on features, say) the outputs are tensors that gradients flow through;
    otherwise arrays. The model is called in its present mode. Layers are fused up to the outputs asked for.

    Args:
        model: a Module.
        names: a path such as "layer3.1", or several; "" is the model's own output.
        inputs, kwargs: what the model is called with.

    Returns:
        The outputs by path, in the order of `names`; a tuple of them for a layer called several times.

    Raises:
        ValueError: nothing stands at a path, or the call does not come by it.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> outputs = cc.capture(model, ["1", ""], np.zeros((2, 1, 8, 8)))
    >>> {name: output.shape for name, output in outputs.items()}
    {'1': (2, 4, 6, 6), '': (2, 10)}
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module, got {type(model).__name__}")
    wanted = check_names(model, names)
    outputs: dict[str, Any] = call_module(model, inputs, kwargs, partial(traced, names=wanted), wanted)
    return outputs


def check_names(model: Module, names: str | Iterable[str]) -> tuple[str, ...]:
    """Return paths of a model's modules as a tuple, or raise where nothing stands at one."""
    if not isinstance(names, str) and not hasattr(names, "__iter__"):
        raise TypeError(f"expected the path of a layer, or several, got {names!r}")
    wanted = (names,) if isinstance(names, str) else tuple(names)
    if not wanted:
        raise ValueError("expected the path of at least one layer, got none")
    known = [path for path, _ in model.named_modules(remove_duplicate=False)]
    for name in wanted:
        if not isinstance(name, str):
            raise TypeError(f"expected the path of a layer such as 'layer3.1', got {name!r}")
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known) or known[1:6]
            raise ValueError(
                f"no layer {name!r} in {type(model).__name__}; there are {', '.join(map(repr, near))}, ..."
            )
    return wanted


def traced(
    model: Module, args: Sequence[Any], kwargs: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """Call a model in a traced function; return the outputs of the layers at `names`."""
    captures = current_graph().captures
    layers = {name: model.get_submodule(name) for name in names}
    outer = {id(layer): captures.get(id(layer)) for layer in layers.values()}
    found: dict[int, list[Any]] = {key: [] for key in outer}
    captures.update(found)
    try:
        call_traced(model, args, kwargs)
    finally:
        for key, outputs in outer.items():
            if outputs is None:
                del captures[key]
            else:
                outputs.extend(found[key])
                captures[key] = outputs
    for name, layer in layers.items():
        if not found[id(layer)]:
            raise ValueError(f"[{name}] the model's call does not come by this layer: it has no output")
    calls = {name: found[id(layer)] for name, layer in layers.items()}
    return {name: outputs[0] if len(outputs) == 1 else tuple(outputs) for name, outputs in calls.items()}


def outputs_of(model: Module, names: str | Iterable[str] | None) -> Callable[..., dict[str, Any]] | None:
    """Return a function of the model's inputs, to be traced, that returns outputs of its layers."""
    if names is None:
        return None
    wanted = check_names(model, names)
    return lambda *inputs: traced(model, inputs, {}, wanted)
