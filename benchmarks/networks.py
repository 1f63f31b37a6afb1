# SPDX-License-Identifier: Apache-2.0
"""The networks of the benchmark, one line each, and the data every runner gets for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
State = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Network:
    """A network under its name in `cnncore.models`, its input, and the batches it is measured at."""

    name: str
    channels: int
    size: int
    classes: int
    inference: tuple[int, ...]
    training: tuple[int, ...]
    random: bool = False
    """Its training draws random numbers (dropout), so losses of different libraries cannot be compared."""
    per_pixel: bool = False
    """It classifies pixels: there is a label for each."""

    def shape(self, batch: int) -> tuple[int, int, int, int]:
        """Of a batch of images."""
        return batch, self.channels, self.size, self.size

    def data(self, batch: int) -> tuple[Array, Labels]:
        """Images and labels, the same in every call."""
        generator = np.random.default_rng(batch)
        x = generator.standard_normal(self.shape(batch), dtype=np.float32)
        shape = (batch, self.size, self.size) if self.per_pixel else (batch,)
        return x, generator.integers(0, self.classes, shape)


NETWORKS = {
    network.name: network
    for network in (
        Network("lenet5", 1, 28, 10, inference=(1, 32, 64), training=(64,)),
        Network("mnist_cnn", 1, 28, 10, inference=(1, 32, 64), training=(64,), random=True),
        Network("resnet20", 3, 32, 10, inference=(1, 32, 128), training=(128,)),
        Network("alexnet", 3, 224, 1000, inference=(1, 32), training=(32,), random=True),
        Network("vgg16", 3, 224, 1000, inference=(1, 16), training=(8,), random=True),
        Network("resnet18", 3, 224, 1000, inference=(1, 32), training=(16,)),
        Network("resnet50", 3, 224, 1000, inference=(1, 32), training=(16,)),
        Network("mobilenet_v2", 3, 224, 1000, inference=(1, 32), training=(16,), random=True),
        Network("unet", 3, 128, 2, inference=(1, 32), training=(8,), per_pixel=True),
    )
}

GROUPS = ("inference, batch 1", "inference, batch 32 (vgg16: 16)", "training")
"""What geometric means are taken over: all networks, each with one of its batches."""


def group_of(network: str, mode: str, batch: int) -> str | None:
    """The group that a measurement belongs to, if it belongs to one; single layers do not."""
    listed = NETWORKS.get(network)
    if listed is None:
        return None
    belonging = (("inference", listed.inference[0]), ("inference", listed.inference[1]))
    places = (*belonging, ("training", listed.training[0]))
    return GROUPS[places.index((mode, batch))] if (mode, batch) in places else None


def with_statistics(state: State) -> State:
    """The same weights with running statistics as training leaves them: fresh ones hide a wrong fold."""
    generator = np.random.default_rng(7)
    result = dict(state)
    for name, value in state.items():
        if name.endswith("running_mean"):
            result[name] = (0.1 * generator.standard_normal(value.shape)).astype(np.float32)
        elif name.endswith("running_var"):
            result[name] = generator.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return result
