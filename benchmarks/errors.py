# SPDX-License-Identifier: Apache-2.0
"""Rounding errors against float64: of whole networks, and of the layers that Winograd's algorithm takes.

The unit is the root mean square error of cnncore's own direct convolution ("exact" mode) on the same numbers:
so a figure tells what "fast" costs, whatever the depth or the scale. PyTorch in float64 is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

import cnncore as cc
from cnncore.runtime import ACCURACIES
from networks import Array, Network, State, with_statistics
from peers import UnavailableError, ours, pytorch

NETWORK_BATCH = 2
LAYER_BATCH = 4
LAYERS = (
    *(("resnet50 layer1", 64, 64, 3, 56), ("resnet50 layer2", 128, 128, 3, 28)),
    *(("resnet50 layer3", 256, 256, 3, 14), ("resnet50 layer4", 512, 512, 3, 7)),
    *(("vgg16 features.2", 64, 64, 3, 224), ("vgg16 features.5", 64, 128, 3, 112)),
    *(("vgg16 features.10", 128, 256, 3, 56), ("vgg16 features.17", 256, 512, 3, 28)),
    *(("vgg16 features.24", 512, 512, 3, 14), ("alexnet features.6", 192, 384, 3, 13)),
    *(("unet down.0", 32, 32, 3, 128), ("resnet20 layer2", 32, 32, 3, 16)),
    ("alexnet features.3", 64, 192, 5, 27),
)
"""Convolutions with stride 1: where they stand, channels in and out, side of the kernel and of the image."""

Numbers = Any
"""An array or a tensor of torch."""


@dataclass(frozen=True)
class Error:
    """One result's error; ratios are in units of `exact_rms`."""

    is_layer: bool
    subject: str
    """The network, or the layer and its problem."""
    result: str
    """ "output", "gradient by the weight" and so on."""
    exact_rms: float
    """The error of "exact" mode, as a share of the result's own root mean square."""
    fast: float
    """The error in "fast" mode: what `LIMIT` is for."""
    torch: float
    """The error of PyTorch's float32."""

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def networks(listed: Iterable[Network]) -> Iterator[Error]:
    """Outputs of the compiled networks.

    Not their gradients: a rounding decides on which side of zero a ReLU's input lies, and the few that change
    sides outweigh all other errors, in any library.
    """
    for network in listed:
        state = with_statistics(ours.initial_state(network))
        x, _ = network.data(NETWORK_BATCH)
        try:
            yield _error(False, network.name, "output", partial(_outputs, network=network, state=state, x=x))
        except UnavailableError as reason:
            print(f"skipped {network.name}: {reason}")


def layers(listed: Sequence[tuple[str, int, int, int, int]] = LAYERS) -> Iterator[Error]:
    """Forward and both gradients of single convolutions, each only where "fast" is not direct."""
    for name, inputs, outputs, kernel, size in listed:
        generator = np.random.default_rng(inputs + outputs)
        x = generator.standard_normal((LAYER_BATCH, inputs, size, size), dtype=np.float32)
        grad = generator.standard_normal((LAYER_BATCH, outputs, size, size), dtype=np.float32)
        bound = (kernel * kernel * inputs) ** -0.5
        weight = generator.uniform(-bound, bound, (outputs, inputs, kernel, kernel)).astype(np.float32)
        subject = f"{name}, {inputs} > {outputs}, {kernel}x{kernel} on {size}x{size}"
        for result, function in _DIRECTIONS.items():
            error = _error(True, subject, result, partial(function, x=x, weight=weight, grad=grad))
            # Direct in both modes gives the same bits where channels fill the tiles, as here; elsewhere
            # "exact" adds up in an order of its own.
            if error.fast != 1.0:
                yield error


def _error(is_layer: bool, subject: str, result: str, compute: Callable[[str], Numbers]) -> Error:
    """Of what `compute` gives as "float64", "exact", "fast" and "torch"."""
    reference = compute("float64")
    exact, fast, peer = (_distance(compute(kind), reference) for kind in ("exact", "fast", "torch"))
    return Error(is_layer, subject, result, exact, fast / exact, peer / exact)


def _distance(numbers: Numbers, reference: Numbers) -> float:
    """Root mean square of the difference, as a share of the reference's."""
    right = np.asarray(reference, np.float64)
    return float(np.linalg.norm(np.asarray(numbers, np.float64) - right) / np.linalg.norm(right))


def _outputs(kind: str, network: Network, state: State, x: Array) -> Numbers:
    if kind in ACCURACIES:
        model = ours.model_of(network)
        model.load_state_dict(state)
        with ours.accuracy_of(kind):
            return cc.compile(model.eval(), input_shape=x.shape)(x)
    peer = pytorch.module(network, state).eval().to(_torch_type(kind))
    with torch.inference_mode():
        return peer(_torch_tensor(kind, x))


def _torch_tensor(kind: str, x: Array) -> torch.Tensor:
    return torch.from_numpy(x).to(_torch_type(kind))


def _torch_type(kind: str) -> torch.dtype:
    return torch.float64 if kind == "float64" else torch.float32


def _forward(kind: str, x: Array, weight: Array, grad: Array) -> Any:
    if kind in ACCURACIES:
        with ours.accuracy_of(kind):
            return cc.compile(_conv(weight), input_shape=x.shape)(x)
    return nn.functional.conv2d(_torch_tensor(kind, x), _torch_tensor(kind, weight), padding=_half(weight))


def _gradient_by_input(kind: str, x: Array, weight: Array, grad: Array) -> Any:
    if kind in ACCURACIES:
        layer = _conv(weight)
        with ours.accuracy_of(kind):
            return cc.grad(lambda x: (layer(x) * grad).sum())(x)
    tensors = (_torch_tensor(kind, weight), _torch_tensor(kind, grad))
    return nn.grad.conv2d_input(x.shape, *tensors, padding=_half(weight))


def _gradient_by_weight(kind: str, x: Array, weight: Array, grad: Array) -> Any:
    if kind in ACCURACIES:
        layer = _conv(weight)
        with ours.accuracy_of(kind):
            of_sum = cc.value_and_grad(lambda x: (layer(x) * grad).sum(), [layer.weight])
            return of_sum(x)[1][0]
    tensors = (_torch_tensor(kind, x), _torch_tensor(kind, grad))
    return nn.grad.conv2d_weight(tensors[0], weight.shape, tensors[1], padding=_half(weight))


_DIRECTIONS = {
    "output": _forward,
    "gradient by the input": _gradient_by_input,
    "gradient by the weight": _gradient_by_weight,
}


def _conv(weight: Array) -> cc.nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    layer = cc.nn.Conv2d(inputs, outputs, kernel, padding=_half(weight), bias=False)
    layer.weight.assign(weight)
    return layer


def _half(weight: Array) -> int:
    """The padding that keeps the image's size."""
    return int(weight.shape[2]) // 2
