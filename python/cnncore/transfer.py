# SPDX-License-Identifier: Apache-2.0
"""Training on top of trained weights: frozen layers, new heads, learning rates of groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .nn.arguments import flag, positive, several
from .nn.conv import Conv1d, Conv2d, Conv3d
from .nn.linear import Linear
from .nn.module import Module
from .nn.norm import BatchNorm
from .nn.parameter import Parameter

Patterns = str | Sequence[str]

HEADS = ("fc", "classifier", "head", "heads", "linear")
"""Names that networks give their last layers."""


def freeze(model: Module, pattern: Patterns = "", statistics: bool = True) -> list[str]:
    """Keep parameters as they are: no gradient is computed for them and optimisers leave them alone.

    A batch norm whose parameters are all frozen normalises with its running statistics and leaves them as
    they are, in training mode, too. `unfreeze` undoes both.

    Args:
        model: the Module.
        pattern: a regular expression, or several, that the begin of a parameter's name matches, such as
            `r"layer[12]\\."`; "" for all of them.
        statistics: False leaves batch norms as they are.

    Returns:
        The names of the parameters that are frozen now and match.

    Raises:
        TypeError: no Module, or a pattern that is no text.
        ValueError: a pattern that matches no parameter.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    >>> freeze(net, "[01]")
    ['0.weight', '0.bias', '1.weight', '1.bias']
    >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    ['3.weight', '3.bias']
    """
    return _set(model, pattern, False, statistics)


def unfreeze(model: Module, pattern: Patterns = "") -> list[str]:
    """Let parameters be trained again, and batch norms use their batches. Arguments as those of `freeze`.

    A training step whose optimiser has the parameters changes them from its next call on: layers can be
    unfrozen one after another.

    Raises:
        ValueError: a pattern that names no parameter.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> names = freeze(net)
    >>> unfreeze(net, "1")
    ['1.weight', '1.bias']
    """
    return _set(model, pattern, True, True)


def _set(model: Module, pattern: Patterns, trained: bool, statistics: bool) -> list[str]:
    found: dict[str, Parameter] = {}
    statistics = flag("statistics", statistics)
    parameters = dict(_parameters(model))
    for expression in _expressions(pattern):
        matching = {name: p for name, p in parameters.items() if expression.match(name)}
        if not matching:
            raise ValueError(f"{expression.pattern!r} matches no parameter; there are {_some(parameters)}")
        found.update(matching)
    for parameter in found.values():
        parameter.requires_grad = trained
    for path, layer in model.named_modules() if statistics else ():
        if isinstance(layer, BatchNorm) and layer.track_running_stats:
            own = [f"{path}.{name}" if path else name for name, _ in layer.named_parameters()]
            if any(name in found for name in own):
                layer.frozen = not any(parameter.requires_grad for parameter in layer.parameters())
    return [name for name in parameters if name in found]


def parameter_groups(
    model: Module, rules: Sequence[tuple[str, Mapping[str, Any]]] | Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser, by names.

    Args:
        model: the Module.
        rules: pairs (regular expression, settings), or a dict of them; the first whose expression matches
            the begin of a parameter's name has it. A number as settings is the learning rate.

    Returns:
        A list of dicts: a group for each rule, and a last one, without settings of its own, for parameters
        that no rule matches. Frozen ones are in them, so that they can be unfrozen.

    Raises:
        TypeError: no Module or no such rules.
        ValueError: an expression that has no parameter.

    >>> from cnncore import nn, optim
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    >>> optimizer = optim.SGD(parameter_groups(net, {"1": 0.1}), lr=0.01)
    >>> [(group["lr"], len(group["params"])) for group in optimizer.param_groups]
    [(0.1, 2), (0.01, 2)]
    """
    pairs = rules.items() if isinstance(rules, Mapping) else several("rules", rules, "pairs")
    rest = dict(_parameters(model))
    groups = []
    for rule in pairs:
        if not isinstance(rule, tuple | list) or len(rule) != 2:
            raise TypeError(f"expected rules as pairs (pattern, settings), got {rule!r}")
        (expression,) = _expressions(rule[0])
        mine = [name for name in rest if expression.match(name)]
        if not mine:
            raise ValueError(
                f"{expression.pattern!r} matches no parameter that no rule has; left are {_some(rest)}"
            )
        settings = rule[1] if isinstance(rule[1], Mapping) else {"lr": rule[1]}
        groups.append({"params": [rest.pop(name) for name in mine], **settings})
    return [*groups, {"params": list(rest.values())}] if rest else groups


def replace_head(model: Module, classes: int, name: str | None = None) -> str:
    """Put a new layer of so many outputs in the place of a network's last linear layer or convolution.

    The new layer has the old one's inputs and settings, and the initial values of its class.

    Args:
        model: the Module.
        classes: outputs of the new layer.
        name: path of the layer to replace; None for the last one inside "fc", "classifier", "head", "heads"
            or "linear", the names that networks give their heads.

    Returns:
        The path of the layer.

    Raises:
        TypeError: no Module, or a layer that is neither linear nor a convolution.
        ValueError: there is no layer of that name.

    >>> from cnncore import models
    >>> net = models.resnet20()
    >>> replace_head(net, 2), net.linear
    ('linear', Linear(in_features=64, out_features=2, bias=True))
    """
    layers = {path: layer for path, layer in _modules(model) if path}
    if name is None:
        heads = [
            path
            for path, layer in layers.items()
            if path.split(".")[0] in HEADS and isinstance(layer, _LAYERS)
        ]
        if not heads:
            raise ValueError(
                f"{type(model).__name__} has no linear layer or convolution inside {', '.join(HEADS)}: "
                f"expected name=, a path such as {_some(layers)}"
            )
        name = heads[-1]
    if not isinstance(name, str) or name not in layers:
        raise ValueError(f"expected name as the path of a layer, got {name!r}; there are {_some(layers)}")
    model.set_submodule(name, _like(layers[name], positive("classes", classes), name))
    return name


_LAYERS = (Linear, Conv1d, Conv2d, Conv3d)


def _like(layer: Module, outputs: int, name: str) -> Module:
    """Return a new layer of another number of outputs."""
    if isinstance(layer, Linear):
        return Linear(layer.in_features, outputs, layer.bias is not None)
    if not isinstance(layer, Conv1d | Conv2d | Conv3d):
        raise TypeError(f"[{name}] expected a linear layer or a convolution, got {type(layer).__name__}")
    return type(layer)(
        layer.in_channels,
        outputs,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
        layer.padding_mode,
    )


def _modules(model: Module) -> Iterator[tuple[str, Module]]:
    if not isinstance(model, Module):
        raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
    return model.named_modules()


def _parameters(model: Module) -> Iterator[tuple[str, Parameter]]:
    if not isinstance(model, Module):
        raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
    return model.named_parameters()


def _expressions(pattern: Patterns) -> list[re.Pattern[str]]:
    texts = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"expected pattern as a regular expression or several, got {pattern!r}")
    try:
        return [re.compile(text) for text in texts]
    except re.error as error:
        raise ValueError(f"expected pattern as a regular expression, got {pattern!r}: {error}") from None


def _some(names: Mapping[str, Any]) -> str:
    return ", ".join(list(names)[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
