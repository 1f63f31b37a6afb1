# SPDX-License-Identifier: Apache-2.0
"""Networks by what commands are given: a model file, an ONNX file, or a network's name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import io, nn
from . import model_file
from .networks import build, names, usual_input
from .onnx_file import is_onnx
from .output import UsageError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A network in inference mode, with the shapes and types of its inputs."""

    model: nn.Module
    shapes: list[Shape]
    types: list[str]
    description: model_file.Description | None = None

    @property
    def shape(self) -> Any:
        """What `compile`, `summary` and `export` take as `input_shape`."""
        return self.shapes[0] if len(self.shapes) == 1 else self.shapes

    @property
    def dtype(self) -> Any:
        """What they take as `input_dtype`."""
        return self.types[0] if len(self.types) == 1 else self.types

    def inputs(self) -> list[Any]:
        """Return random inputs: normally distributed, zeros where they are whole numbers."""
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal(shape).astype(np.float32) if "float" in dtype else np.zeros(shape, dtype)
            for shape, dtype in zip(self.shapes, self.types, strict=True)
        ]


def find(
    name: str, shape: Shape | None = None, classes: int | None = None, weights: str | None = None
) -> Source:
    """Return the network that a command is given.

    Args:
        name: a file that `cnncore train` or `cc.save` wrote, an ONNX file, or a network's name.
        shape: of the input, instead of the network's own.
        classes: of a network that is named; by default 10 for small images, else 1000.
        weights: a file of weights for it.

    Raises:
        ValueError: no such file or network, or one whose input's shape is not known.
    """
    if name in names() and not os.path.exists(name):
        return _named(name, shape, classes, weights)
    if classes is not None or weights is not None:
        raise UsageError(f"--classes and --weights go with a network's name, got {name!r}")
    if not os.path.exists(name):
        raise ValueError(f"expected a model file, an ONNX file or one of {', '.join(names())}, got {name!r}")
    if is_onnx(name):
        return _of_onnx(name, shape)
    model, description = model_file.load(name)
    return Source(model, [shape or (1, *description.image)], ["float32"], description)


def _named(name: str, shape: Shape | None, classes: int | None, weights: str | None) -> Source:
    usual = usual_input(name)
    shape = shape or (1, *usual)
    check_image(shape)
    model = build(name, classes or (1000 if usual[1] > 200 else 10), shape[1])
    if weights is not None:
        io.load_into(model, weights)
    return Source(model.eval(), [shape], ["float32"])


def check_image(shape: Shape) -> None:
    """Raise where a shape is not one of images."""
    if len(shape) != 4:
        raise ValueError(f"expected an input of batch,channels,height,width, got {shape}")


def _of_onnx(path: str, shape: Shape | None) -> Source:
    from .. import onnx

    model = onnx.load(path)
    values = model.graph.inputs
    if shape is not None and len(values) != 1:
        raise UsageError(f"{path}: --input is for models of one input, this one has {len(values)}")
    shapes = [shape] if shape is not None else [_declared(path, value) for value in values]
    for value, given in zip(values, shapes, strict=True):
        declared = value.shape
        if declared is not None and (
            len(declared) != len(given)
            or any(isinstance(n, int) and n != m for n, m in zip(declared, given, strict=True))
        ):
            text = ",".join("?" if n is None else str(n) for n in declared)
            raise ValueError(f"{path}: expected an input of shape {text}, got {','.join(map(str, given))}")
    return Source(model, shapes, [value.dtype or "float32" for value in values])


def _declared(path: str, value: Any) -> Shape:
    """Return the shape that a file declares, with a batch of 1 where that is open."""
    first, *rest = value.shape or (None, None)
    extents = (first if isinstance(first, int) else 1, *rest)
    if not all(isinstance(n, int) for n in extents):
        text = ",".join("?" if n is None else str(n) for n in value.shape or ())
        raise ValueError(
            f"{path}: its input {value.name!r} has open sizes ({text}): say which, --input N,C,H,W"
        )
    return extents
