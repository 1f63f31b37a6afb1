# SPDX-License-Identifier: Apache-2.0
"""Values inside of a model, and gradients of its answers by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import ops
from ...compiler.call import Validity, programs_of
from ...compiler.pipeline import Compiled, compile_inference, compile_training, set_outputs
from ...graph.arrays import input_examples, to_array, to_input
from ...graph.tensor import Graph, Layout, Tensor
from ...graph.trace import current_graph, trace
from ...intermediate import traced
from ...model_summary import traced_layers
from ...nn.arguments import positive, several
from ...nn.module import Module
from ...nn.predict import inference_mode

Array = NDArray[Any]
Shape = tuple[int, ...]

INPUT = "(input)"
"""The name under which `look` gives the input and its gradient; no layer has it."""


class Layer(NamedTuple):
    """A row of `layers`.

    `feature_maps`, `grad_cam` and others take the name: the path of a module; for operations that a module's
    `forward` calls itself its path and the operation, such as "layer1.0.relu"; with "#2" and so on where it
    comes again.

    Fields:
        name: see above.
        kind: the class of the module, or the operation.
        shape: of the output, batch included.
        parameters: numbers of its own; those of a module called several times count once.
        flops: operations of convolutions and matrix products, a multiply-add being 2.

    >>> from cnncore import nn
    >>> from cnncore.viz import arrays
    >>> (layer,) = arrays.layers(nn.Conv2d(1, 4, 3), (1, 1, 8, 8))
    >>> layer.kind, layer.shape, layer.parameters
    ('Conv2d', (1, 4, 6, 6), 40)
    """

    name: str
    kind: str
    shape: Shape
    parameters: int
    flops: int


class Seen(NamedTuple):
    """What `look` returns: the model's output, and values and gradients by the names asked for."""

    output: Array
    values: dict[str, Array]
    gradients: dict[str, Array]


class Outline(NamedTuple):
    """What is known of a model without computing anything: `widest` is the last layer with more than one
    place, None where there is none."""

    layers: tuple[Layer, ...]
    output_shape: Shape
    widest: str | None


def layers(model: Module, input_shape: Sequence[int]) -> list[Layer]:
    """Return the layers of a model in the order they run in inference. Nothing is computed.

    Args:
        model: a Module of one input.
        input_shape: shape of the input, batch included.

    Raises:
        TypeError: `model` is no Module.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> [(layer.name, layer.kind, layer.shape) for layer in layers(net, (1, 1, 8, 8))[:2]]
    [('0', 'Conv2d', (1, 8, 6, 6)), ('1', 'ReLU', (1, 8, 6, 6))]
    """
    return list(outline(model, check_shape(input_shape)).layers)


def check_model(model: Any) -> Module:
    """Return the model, or raise where it is no Module."""
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module, got {type(model).__name__}")
    return model


def check_layer(layer: Any) -> None:
    """Raise where it is no path of a layer."""
    if not isinstance(layer, str):
        raise TypeError(f"expected layer as the path of a layer such as '0' or 'layer3.1', got {layer!r}")


def check_shape(input_shape: Any) -> Shape:
    """Return the model's input shape as a tuple, or raise where it is none."""
    extents = several("input_shape", input_shape, "extents")
    return tuple(positive("each of input_shape", extent) for extent in extents)


def check_input(x: Any) -> Array:
    """Return the model's input as an array (rows, ...) that is not written to, float32 where it is float."""
    array = to_input(x, "x")
    if array.ndim < 2 or not len(array):
        raise ValueError(f"expected x of shape (rows, ...), got {array.shape}; one row is x[None]")
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def check_fill(name: str, value: Any, x: Array) -> Array:
    """Return what stands for x, broadcast to its shape, or raise naming the argument."""
    fill = to_array(value, name)
    try:
        return np.broadcast_to(fill.astype(x.dtype), x.shape)
    except ValueError:
        raise ValueError(f"expected {name} that broadcasts to x {x.shape}, got shape {fill.shape}") from None


def outline(model: Module, shape: Shape, dtype: str = "float32") -> Outline:
    """Return a model's layers, the shape of its output, and the last layer with more than one place."""
    check_model(model)

    def make() -> _Kept:
        with inference_mode(model):
            graph, result = trace(model, input_examples([shape], [np.dtype(dtype)]))
        named = named_layers(model, graph)
        wide = [
            layer.name
            for layer, tensor in named
            if len(layer.shape) == len(shape) > 2 and prod(layer.shape[2:]) > 1 and tensor is not result
        ]
        rows = tuple(layer for layer, _ in named)
        found = Outline(rows, _single(model, result).shape, wide[-1] if wide else None)
        return _Kept(found, Validity(graph))

    found: Outline = _kept(model, ("outline", shape, dtype), make).value
    return found


def look(model: Module, x: Array, names: Iterable[str] = (), weights: Any = None) -> Seen:
    """Run a model in inference mode and return values inside of it.

    Args:
        model: a Module of one input and one output.
        x: its input, (rows, ...).
        names: of layers, as `layers` lists them, or paths of modules; `INPUT` is the input.
        weights: an array of the output's shape: the gradients are those of the sum of output * weights. None:
            no gradients.

    Raises:
        ValueError: there is no such layer, or the model cannot be traced.
    """
    check_model(model)
    wanted = tuple(names)
    graded = weights is not None

    key = ("look", x.shape, x.dtype.char, wanted, graded)
    program = _kept(model, key, lambda: _compiled(model, x, wanted, graded))
    given = [x, np.asarray(weights, np.float32)] if graded else [x]
    found = program.executable(given)
    if not graded:
        return Seen(found[0], dict(zip(wanted, found[1:], strict=True)), {})
    values, gradients = found[2 : 2 + len(wanted)], found[3 + len(wanted) :]
    return Seen(found[1], dict(zip(wanted, values, strict=True)), dict(zip(wanted, gradients, strict=True)))


def _compiled(model: Module, x: Array, names: tuple[str, ...], graded: bool) -> Compiled:
    output_shape = outline(model, x.shape, str(x.dtype)).output_shape

    def run(x: Any, weights: Any = None) -> list[Any]:
        output, values = values_of(model, x, names)
        if weights is None:
            return [output, *values]
        return [ops.sum(output * weights), output, *values]

    arrays = [x, np.zeros(output_shape, np.float32)] if graded else [x]
    with inference_mode(model):
        graph, result = trace(run, input_examples([a.shape for a in arrays], [a.dtype for a in arrays]))
    validity = Validity(graph)
    rebuild = set_outputs(graph, result)
    graph.updates, graph.counted = [], []
    if not graded:
        return Compiled(compile_inference(graph), rebuild, validity)

    def use(gradients: list[Tensor | None]) -> None:
        values = graph.outputs[1:]
        graph.outputs += [_or_zero(g, value) for g, value in zip(gradients, values, strict=True)]

    return Compiled(compile_training(graph, None, use), rebuild, validity)


def _or_zero(gradient: Tensor | None, value: Tensor) -> Tensor:
    if gradient is not None:
        return gradient
    return Tensor(value.shape, "float32", Layout.C, np.zeros(value.shape, np.float32))


def values_of(model: Module, x: Tensor, names: Sequence[str]) -> tuple[Tensor, list[Tensor]]:
    """Call a model in a traced function; return its output and the tensors of the layers at `names`."""
    for name in names:
        check_layer(name)
    modules = dict(model.named_modules(remove_duplicate=False))
    paths = tuple(name for name in names if name in modules and name != "")
    graph = current_graph()
    captured = traced(model, (x,), {}, ("", *paths))
    found = {name: value[0] if isinstance(value, tuple) else value for name, value in captured.items()}
    rows = {layer.name: tensor for layer, tensor in named_layers(model, graph)}
    found = {**found, **rows, INPUT: x}
    unknown = [name for name in names if not isinstance(found.get(name), Tensor)]
    if unknown:
        near = get_close_matches(unknown[0], rows, 3, 0.4) or list(rows)[:5]
        raise ValueError(
            f"no layer {unknown[0]!r} with an array as its result in {type(model).__name__}; there are "
            f"{', '.join(map(repr, near))}, ... (cc.viz.arrays.layers lists them)"
        )
    return _single(model, captured[""]), [found[name] for name in names]


def named_layers(model: Module, graph: Graph) -> list[tuple[Layer, Tensor]]:
    """Return each layer and its output."""
    leaves = {path for path, module in model.named_modules(remove_duplicate=False) if _is_leaf(module)}
    inner = {path for path, _ in model.named_modules(remove_duplicate=False)} - leaves
    times: dict[str, int] = {}
    named = []
    for row, nodes in traced_layers(model, graph.nodes):
        name = row.path
        if name == type(model).__name__ and not _is_leaf(model):
            name = row.kind
        elif name in inner:
            name = f"{name}.{row.kind}"
        times[name] = times.get(name, 0) + 1
        if times[name] > 1:
            name = f"{name}#{times[name]}"
        layer = Layer(name, row.kind, row.output_shape, row.parameters, row.flops)
        named.append((layer, nodes[-1].output))
    return named


def _is_leaf(module: Module) -> bool:
    return not any(True for _ in module.children())


def _single(model: Module, result: Any) -> Tensor:
    if isinstance(result, Tensor):
        return result
    raise ValueError(
        f"expected a model that returns one array, got {type(result).__name__} from {type(model).__name__}: "
        "wrap it in a Module whose forward returns the array to look at"
    )


class _Kept(NamedTuple):
    value: Any
    validity: Validity

    def nbytes(self) -> int:
        """Return the memory that is held for it."""
        return 0


def _kept(model: Module, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """Return what `make` makes, from before where the model's structure is as it was then."""
    programs = programs_of(model)
    kept = programs.get(key)
    if kept is None or not kept.validity.holds():
        kept = programs.put(key, make())
    return kept
