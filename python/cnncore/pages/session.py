# SPDX-License-Identifier: Apache-2.0
"""What the page to explore a model with asks for: answers, maps, and how they bear moving the input."""

from __future__ import annotations

import base64
import binascii
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..viz import arrays
from ..viz.arrays.probe import look
from ..viz.colours import Array, maps_picture, overlaid, picture
from ..viz.png import data_uri
from .opened import Opened, as_probabilities

MAX_SIDE = 512
"""Pixels that an image from the page may be wide or high."""

_LAYERS = 60
"""Layers that are shown at most, evenly among all."""

MOVED = 1 << 22
"""Elements of the moved images that are made at a time."""

_THUMBNAIL = 32
_TOP = 10


class Sample(NamedTuple):
    """An image to begin with: of 0 to 1, (channels, height, width) of the network, and what it shows."""

    image: Array
    label: str


class Move(NamedTuple):
    """How an image is moved: pixels of the network to the right and down, and degrees against the clock."""

    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0


def moved(image: Array, moves: Sequence[Move], size: tuple[int, int], border: bool) -> Array:
    """Return an image moved in several ways, (moves, channels, height, width).

    Args:
        image: (channels, height, width) of 0 to 1.
        moves: see `Move`.
        size: (height, width) of the network's input, in whose pixels shifts count.
        border: whether what comes in at an edge is like the edge, as for photos; else it is 0.
    """
    height, width = image.shape[1:]
    theta = np.zeros((len(moves), 2, 3))
    for matrix, move in zip(theta, moves, strict=True):
        angle = math.radians(move.turn)
        cos, sin = math.cos(angle), math.sin(angle)
        # Output places are shifted back, then turned back, in units of half the image.
        matrix[:, :2] = [[cos, -sin * height / width], [sin * width / height, cos]]
        matrix[:, 2] = -matrix[:, :2] @ [2 * move.right / size[1], 2 * move.down / size[0]]
    images = np.repeat(image[None].astype(np.float32), len(moves), axis=0)
    grid = ops.affine_grid(theta.astype(np.float32), images.shape)
    return np.asarray(ops.grid_sample(images, grid, padding_mode="border" if border else "zeros"))


def centred(image: Array, share: float) -> Array:
    """Return a drawing on black, scaled and moved so that it fills a share of the frame.

    Args:
        image: (channels, height, width) of 0 to 1.
        share: of the frame's height or width, whichever the drawing reaches first.
    """
    rows, columns = (np.flatnonzero((image > 0.1).any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows) or not len(columns):
        return image
    height, width = image.shape[1:]
    top, bottom = rows[0] / height, (rows[-1] + 1) / height
    left, right = columns[0] / width, (columns[-1] + 1) / width
    scale = max(bottom - top, right - left) / share
    theta = np.array([[[scale, 0, left + right - 1], [0, scale, top + bottom - 1]]], np.float32)
    grid = ops.affine_grid(theta, (1, *image.shape))
    found: Array = np.asarray(ops.grid_sample(image[None].astype(np.float32), grid))[0]
    return found


class Session:
    """Answers the page's questions about one model; from several threads one after the other.

    Args:
        opened: the model.
        samples: images to begin with.
    """

    def __init__(self, opened: Opened, samples: Sequence[Sample] = ()) -> None:
        self.opened = opened
        self.samples = list(samples)
        self._lock = threading.Lock()
        self._rows = opened.batch if opened.fixed else 1
        known = arrays.layers(opened.model, (self._rows, *opened.image))
        known = [layer for layer in known if len(layer.shape) > 1 and layer.shape[0] == self._rows]
        places = np.unique(np.linspace(0, len(known) - 1, min(len(known), _LAYERS)).astype(int))
        self.layers = [known[place] for place in places]
        self._wide = [layer.name for layer in self.layers if len(layer.shape) == 4 and layer.shape[2] > 1]

    def describe(self) -> dict[str, Any]:
        """Return what the page shows before anything is drawn."""
        channels, height, width = self.opened.image
        return {
            "name": self.opened.name,
            "kind": type(self.opened.model).__name__,
            "image": [channels, height, width],
            "side": int(min(MAX_SIDE, max(224, height, width))),
            "classes": list(self.opened.classes),
            "samples": [
                {"label": sample.label, "picture": data_uri(picture(sample.image))} for sample in self.samples
            ],
            "layers": [
                {"name": layer.name, "kind": layer.kind, "shape": list(layer.shape[1:])}
                for layer in self.layers
            ],
        }

    def look(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to an image, what each layer makes of it, and Grad-CAM.

        Args:
            request: "sample" (a number) or "pixels", "width", "height" (bytes in base64, grey or red, green,
                blue as the model takes); "kind" ("drawing", "photo"), "centre"; "right", "down", "turn";
                "layer", a name.

        Raises:
            ValueError: something else.
        """
        image, border = self._image(request)
        move = Move(*(_number(request.get(name, 0.0), name) for name in Move._fields))
        name = request.get("layer")
        if name is not None and name not in [layer.name for layer in self.layers]:
            raise ValueError(f"there is no layer {name!r}")
        with self._lock:
            x = self._prepared(image, [move], border)
            given = np.repeat(x, self._rows, axis=0)
            seen = look(self.opened.model, given, [layer.name for layer in self.layers])
            odds = _finite(as_probabilities(seen.output[:1]))[0] if self.opened.classes else None
            heat = self._heat(given, name, None if odds is None else int(odds.argmax()))
        shown = self.opened.shown(x[0])
        values = {layer: value[0] for layer, value in seen.values.items()}
        return {
            "input": data_uri(picture(shown), 1),
            "odds": [] if odds is None else self._odds(odds),
            "layers": [data_uri(_thumbnail(values[layer.name]), 1) for layer in self.layers],
            "layer": None if name is None else self._maps(name, values[name]),
            "cam": None if heat is None else data_uri(overlaid(shown, heat), 1),
        }

    def moves(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the answer to an image bears shifts and turns of it.

        Args:
            request: the image, as of `look`.

        Returns:
            "answer"; "shifts", for each shift down a list of one pair for each shift to the right, whether
            the answer is the same and the probability of the first one; "turns", triples (degrees, same,
            probability); "step", pixels from a shift to the next; "words", what came out.
        """
        if not self.opened.classes:
            raise ValueError("the model has no classes")
        image, border = self._image(request)
        size = self.opened.image[1:]
        step = max(1, round(min(size) / 28))
        reach = max(1, min(7, min(size) // (3 * step)))
        across = [step * n for n in range(-reach, reach + 1)]
        moves = [Move(right, down) for down in across for right in across]
        turns = list(range(-180, 181, 15))
        odds = self._moved_odds(image, [Move(), *moves, *(Move(turn=turn) for turn in turns)], border)
        answer = int(odds[0].argmax())
        same = (odds.argmax(axis=1) == answer)[1:].tolist()
        sure = odds[1:, answer].round(4).tolist()
        pairs = list(zip(same, sure, strict=True))
        count, width = len(moves), len(across)
        name = self.opened.classes[answer]
        stays = _around(turns, same[count:])
        words = (
            f"{sum(same[:count])} of {count} shifts of up to {across[-1]} pixels keep the answer {name}. "
            f"Turned, it stays {name} from {stays[0]} to {stays[1]} degrees."
        )
        return {
            "answer": name,
            "step": step,
            "shifts": [pairs[start : start + width] for start in range(0, count, width)],
            "turns": [(turn, *pair) for turn, pair in zip(turns, pairs[count:], strict=True)],
            "words": words,
        }

    # -- inside -------------------------------------------------------------------------------------

    def _image(self, request: Mapping[str, Any]) -> tuple[Array, bool]:
        """Return the image that a request has, of 0 to 1, and whether its edges go on."""
        sample = request.get("sample")
        if sample is not None:
            if isinstance(sample, bool) or not isinstance(sample, int) or not 0 <= sample < len(self.samples):
                raise ValueError(f"there is no sample {sample!r}")
            return self.samples[sample].image, False
        image = _pixels(request, self.opened.image[0])
        if request.get("kind") == "photo":
            return image, True
        if request.get("centre"):
            # MNIST's digits fill 20 of 28 pixels; smaller frames are filled.
            image = centred(image, 20 / 28 if self.opened.image[1] >= 28 else 1.0)
        return image, False

    def _prepared(self, image: Array, moves: Sequence[Move], border: bool) -> Array:
        images = moved(image, moves, self.opened.image[1:], border)
        return np.stack([self.opened.prepare(one) for one in images])

    def _moved_odds(self, image: Array, moves: Sequence[Move], border: bool) -> Array:
        """Return the probabilities for each move, (moves, classes), a few moves at a time: other questions
        are answered in between, and large images fit into memory."""
        largest = max(image.size, math.prod(self.opened.image))
        rows = self.opened.batch if self.opened.fixed else max(1, min(self.opened.batch, MOVED // largest))
        found = []
        for start in range(0, len(moves), rows):
            with self._lock:
                x = self._prepared(image, moves[start : start + rows], border)
                found.append(_finite(self.opened.probabilities(x)))
        return np.concatenate(found)

    def _heat(self, given: Array, name: str | None, target: int | None) -> Array | None:
        layer = name if name in self._wide else (self._wide[-1] if self._wide else None)
        if layer is None or target is None:
            return None
        try:
            heat: Array = arrays.grad_cam(self.opened.model, given, target, layer)[0]
            return heat
        except NotImplementedError:  # an operation without a gradient
            return None

    def _odds(self, odds: Array) -> list[tuple[str, float]]:
        order = np.argsort(-odds, kind="stable")[:_TOP]
        return [(self.opened.classes[number], round(float(odds[number]), 5)) for number in order]

    def _maps(self, name: str, values: Array) -> dict[str, Any]:
        pixels = maps_picture(values)
        shape = " x ".join(map(str, values.shape))
        maps = (
            f"{min(64, len(values))} of {len(values)} maps" if values.ndim > 1 else f"{len(values)} numbers"
        )
        return {"name": name, "picture": data_uri(pixels, 1), "words": f"{name}: {shape}, {maps}"}


def _finite(odds: Array) -> Array:
    if not np.isfinite(odds).all():
        raise ValueError("the model answers NaN or infinity to this image")
    return odds


def _around(turns: Sequence[int], same: Sequence[bool]) -> tuple[int, int]:
    """Return the ends of the run of turns around 0 that keep the answer."""
    low = high = turns.index(0)
    while low > 0 and same[low - 1]:
        low -= 1
    while high < len(turns) - 1 and same[high + 1]:
        high += 1
    return turns[low], turns[high]


def _thumbnail(values: Array) -> Array:
    """Return a small picture of a layer's first maps."""
    if values.ndim == 3:
        step = max(1, -(-values.shape[1] // _THUMBNAIL))
        return maps_picture(values[:8, ::step, ::step], columns=4)
    return maps_picture(values.reshape(-1)[:64], columns=16)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1e4:
        raise ValueError(f"expected {name} as a number, got {value!r}")
    return float(value)


def _pixels(request: Mapping[str, Any], channels: int) -> Array:
    """Return the pixels of a request as (channels, height, width) of 0 to 1."""
    width, height = request.get("width"), request.get("height")
    for extent in (width, height):
        if isinstance(extent, bool) or not isinstance(extent, int) or not 1 <= extent <= MAX_SIDE:
            raise ValueError(f"expected a width and height from 1 to {MAX_SIDE}, got {extent!r}")
    assert isinstance(width, int)
    assert isinstance(height, int)
    try:
        content = base64.b64decode(request.get("pixels") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("expected pixels as bytes in base64") from None
    if len(content) != width * height * channels:
        raise ValueError(f"expected {width * height * channels} bytes of pixels, got {len(content)}")
    pixels = np.frombuffer(content, np.uint8).reshape(height, width, channels)
    return np.moveaxis(pixels, 2, 0).astype(np.float32) / 255
