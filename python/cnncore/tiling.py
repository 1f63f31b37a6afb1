# SPDX-License-Identifier: Apache-2.0
"""Inference on images of any extents in bounded memory: tile by tile, with the whole image's results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._checks import is_index
from .compiler.pipeline import prepare_predictor
from .compiler.program import Memory
from .compiler.serialize import describe, restore
from .compiler.tiles import Place, Resized, resized
from .graph.cache import LRU
from .graph.tensor import Graph
from .predictor import Predictor

PROGRAMS = 4
"""Programs that are kept, for images of different extents."""


class Tiled:
    """A fully convolutional predictor for images of any extents; made by `tiled`.

    Processes that are spawned get it by pickle, as they do predictors; programs are compiled there again.
    """

    def __init__(self, predictor: Predictor, traced: Graph, tile: tuple[int, ...]) -> None:
        resized(traced, tile)  # raises for what cannot be tiled
        self._take(traced, predictor._graph.accuracy, predictor._rebuild, tile)

    def _take(self, traced: Graph, accuracy: Any, rebuild: Any, tile: tuple[int, ...]) -> None:
        self._source, self._accuracy, self._rebuild, self.tile = traced, accuracy, rebuild, tile
        self._programs: LRU[Predictor] = LRU(PROGRAMS)

    def __call__(self, image: Any, out: Any = None) -> Any:
        """Return what the predictor would return for the whole images.

        Args:
            image: (batch, channels, ...), or anything with `shape` that is sliced as an array is, such as
                `numpy.memmap`: a tile is read at a time. Images go one by one.
            out: an array to write to, such as `numpy.memmap`, where the predictor returns one.

        Raises:
            ValueError: other channels or another number of axes; a tile too small for the network.
        """
        if not hasattr(image, "shape"):
            image = np.asarray(image)
        shape, batch = tuple(image.shape), int(image.shape[0]) if len(image.shape) else 0
        (known,) = self._source.inputs
        if len(shape) != known.ndim or shape[1] != known.shape[1] or batch < 1 or min(shape) < 1:
            raise ValueError(f"expected images of shape (batch, {known.shape[1]}, ...), got {shape}")
        plan = self._plan(shape[2:])
        outputs = self._outputs(plan, batch, out)
        program = self._program(plan)
        for number in range(batch):
            for starts in product(*plan.starts):
                window = tuple(slice(s, s + n) for s, n in zip(starts, plan.tile, strict=True))
                # A copy in C order: inputs of one memory layout are not looked at for another.
                place = (slice(number, number + 1), slice(None), *window)
                given = np.ascontiguousarray(image[place])
                found = program._executable([given])
                for target, result, where in zip(outputs, found, plan.resized.outputs, strict=True):
                    _paste(target[number], result[0], where, starts, plan)
        return self._rebuild(outputs)

    @property
    def halo(self) -> tuple[tuple[int, int], ...]:
        """For each axis, the pixels at a tile's begin and end that the next tiles read again."""
        found = resized(self._source, self.tile)
        return tuple(_halo(found, axis) for axis in range(len(self.tile)))

    def memory(self, extents: Sequence[int]) -> Memory:
        """Return the bytes for an image of these spatial extents, beside image and results themselves.

        >>> import cnncore as cc
        >>> from cnncore import nn
        >>> tiles = cc.tiled(cc.compile(nn.Conv2d(1, 8, 3, padding=1), (1, 1, 64, 64)))
        >>> tiles.memory((64 * 100, 64 * 100)).activations <= tiles.memory((64, 64)).activations
        True
        """
        return self._program(self._plan(tuple(map(int, extents)))).memory

    def __getstate__(self) -> dict[str, Any]:
        graph = describe(self._source, {})
        return {"graph": graph, "accuracy": self._accuracy, "rebuild": self._rebuild, "tile": self.tile}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._take(restore(state["graph"]), state["accuracy"], state["rebuild"], state["tile"])

    # -- planning -------------------------------------------------------------------------------

    def _plan(self, extents: tuple[int, ...]) -> _Plan:
        """Choose tiles of one shape, at multiples of a period, that end where the image ends."""
        found = resized(self._source, self.tile)
        # In "fast" accuracy with Winograd's tiles at the same places, where there is room for it.
        for period in (found.aligned, found.period) if self._accuracy == "fast" else (found.period,):
            tile = tuple(
                n if n <= t else t - (t - n) % p for n, t, p in zip(extents, self.tile, period, strict=True)
            )
            if min(tile) < 1:
                continue
            chosen = resized(self._source, tile)
            steps = _steps(chosen, period)
            if all(n == t or step > 0 for n, t, step in zip(extents, tile, steps, strict=True)):
                starts = [
                    [0] if n == t else [min(s, n - t) for s in range(0, n - t + step, step)]
                    for n, t, step in zip(extents, tile, steps, strict=True)
                ]
                return _Plan(tile, tuple(starts), chosen)
        least = [sum(_halo(found, axis)) + 2 * period - 1 for axis, period in enumerate(found.period)]
        raise ValueError(
            f"expected a tile of at least {tuple(least)}, which the network's receptive field and strides "
            f"need, got {self.tile}"
        )

    def _program(self, plan: _Plan) -> Predictor:
        program = self._programs.get(plan.tile)
        if program is None:
            graph = plan.resized.graph
            graph.accuracy = self._accuracy
            prepare_predictor(graph)
            program = Predictor(graph, self._rebuild)
            self._programs.put(plan.tile, program)
        return program

    def _outputs(self, plan: _Plan, batch: int, out: Any) -> list[Any]:
        """Return arrays for the results of whole images, with the channels of a pixel together."""
        found: list[Any] = []
        for tensor, place in zip(plan.resized.graph.outputs, plan.resized.outputs, strict=True):
            shape = [batch, *tensor.shape[1:]]
            for axis, span, starts in zip(place.axes, place.spans, plan.starts, strict=True):
                shape[axis] = int(starts[-1] * span.scale) + span.extent
            if out is not None:
                if len(plan.resized.outputs) > 1 or tuple(out.shape) != tuple(shape):
                    raise ValueError(f"expected out of shape {tuple(shape)}, got {tuple(out.shape)}")
                return [out]
            rest = [axis for axis in range(1, len(shape)) if axis not in place.axes]
            order = [0, *place.axes, *rest]
            memory = np.empty([shape[axis] for axis in order], tensor.dtype)
            found.append(memory.transpose(np.argsort(order)))
        return found


class _Plan(NamedTuple):
    """Tiles of an image: their extents, where they begin along each axis, and the graph for one."""

    tile: tuple[int, ...]
    starts: tuple[list[int], ...]
    resized: Resized


def _steps(found: Resized, period: tuple[int, ...]) -> tuple[int, ...]:
    """Return how far tiles may be apart along each axis: multiples of the period, 0 or less for none."""
    steps = []
    for axis, multiple in enumerate(period):
        spans = [place.spans[axis] for place in found.outputs]
        step = min(floor((span.high - span.low) / span.scale) for span in spans)
        steps.append(step // multiple * multiple)
    return tuple(steps)


def _halo(found: Resized, axis: int) -> tuple[int, int]:
    spans = [place.spans[axis] for place in found.outputs]
    low = max(ceil(span.low / span.scale) for span in spans)
    high = max(ceil((span.extent - span.high) / span.scale) for span in spans)
    return low, high


def _paste(
    target: NDArray[Any], result: NDArray[Any], place: Place, starts: tuple[int, ...], plan: _Plan
) -> None:
    """Write what is right of a tile's result: up to the borders where these are the image's own."""
    there, here = [slice(None)] * result.ndim, [slice(None)] * result.ndim
    for axis, span, start, all_starts in zip(place.axes, place.spans, starts, plan.starts, strict=True):
        low = 0 if start == all_starts[0] else span.low
        high = span.extent if start == all_starts[-1] else span.high
        offset = int(start * span.scale)
        here[axis - 1], there[axis - 1] = slice(low, high), slice(offset + low, offset + high)
    target[tuple(there)] = result[tuple(here)]


def tiled(predictor: Predictor, tile: int | Sequence[int] | None = None, overlap: str = "exact") -> Tiled:
    """Return a predictor for images of any extents, which works tile by tile in bounded memory.

    The network must be fully convolutional: convolutions, transposed ones, pooling, batch norm, elementwise
    functions, concatenation, padding, shuffles, upsampling by integer factors. How far tiles overlap follows
    from kernels, strides, paddings and dilations, and where they begin from the strides; padding is only
    added at the image's own borders. So results are those of the whole image: bit by bit where both use the
    same algorithms, as in "exact" accuracy (`set_accuracy`); in "fast" accuracy the cost model may choose
    others for the tile's extents, and results then differ by rounding.

    Args:
        predictor: a compiled network of one input (batch, channels, ...) with one to three spatial axes. Its
            snapshot of the weights is what the tiles use.
        tile: extents of a tile at most, its overlap included: an integer or one for each axis. By default
            what the predictor was compiled for. Tiles may be smaller, by less than the network's strides.
        overlap: "exact", the receptive field.

    Raises:
        ValueError: a layer that takes more than a window of the image, such as global pooling or attention,
            by its path; a tile smaller than the receptive field needs.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 2, 1))
    >>> tiles = cc.tiled(cc.compile(network, (1, 3, 64, 64)))
    >>> image = np.random.default_rng(0).normal(size=(1, 3, 250, 333)).astype(np.float32)
    >>> whole = cc.compile(network, image.shape)
    >>> bool(np.allclose(tiles(image), whole(image), atol=1e-5)), tiles.halo
    (True, ((2, 2), (2, 2)))
    """
    if not isinstance(predictor, Predictor):
        raise TypeError(
            f"expected a Predictor, got {type(predictor).__name__}: cc.tiled(cc.compile(model, input_shape))"
        )
    if not isinstance(overlap, str) or overlap != "exact":
        raise ValueError(f"expected overlap 'exact', which follows from the network, got {overlap!r}")
    if predictor._traced is None:
        raise ValueError("this predictor was pickled by an earlier version: compile the model again")
    traced = predictor._traced.copy()
    inputs = traced.inputs
    if len(inputs) != 1 or not 3 <= inputs[0].ndim <= 5 or inputs[0].dtype != "float32":
        raise ValueError("expected a predictor of one image (batch, channels, ...) of 1 to 3 spatial axes")
    rank = inputs[0].ndim - 2
    if tile is None:
        tile = inputs[0].shape[2:]
    extents = tuple(tile) if isinstance(tile, Iterable) else (tile,) * rank
    if len(extents) != rank or not all(is_index(n) and n >= 1 for n in extents):
        raise ValueError(f"expected tile as {rank} extents of at least 1, got {tile!r}")
    return Tiled(predictor, traced, tuple(int(n) for n in extents))
