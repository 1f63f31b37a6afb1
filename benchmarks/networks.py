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


def _of_zoo(name: str, size: int = 224, trains: bool = True) -> Network:
    """A network of torchvision, which trains with dropout unless its losses have several parts."""
    return Network(name, 3, size, 1000, (1, 32), (16,) if trains else (), random=True)


ZOO = {
    network.name: network
    for network in (
        *map(_of_zoo, ("squeezenet1_1", "resnext50_32x4d", "wide_resnet50_2", "densenet121")),
        *map(_of_zoo, ("efficientnet_b0", "efficientnet_v2_s", "mobilenet_v3_small", "mobilenet_v3_large")),
        *map(_of_zoo, ("mnasnet1_0", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0")),
        *map(_of_zoo, ("regnet_x_400mf", "regnet_y_400mf", "convnext_tiny", "vit_b_16")),
        _of_zoo("googlenet", trains=False),
        _of_zoo("inception_v3", 299, trains=False),
    )
}
"""Further networks, one of each family, measured where they are asked for."""

KNOWN = {**NETWORKS, **ZOO}
"""All that can be asked for."""

GROUPS = ("inference, batch 1", "inference, batch 32 (vgg16: 16)", "training")
"""What geometric means are taken over: all networks, each with one of its batches."""

ZOO_GROUPS = ("zoo: inference, batch 1", "zoo: inference, batch 32", "zoo: training")


def group_of(network: str, mode: str, batch: int) -> str | None:
    """The group that a measurement belongs to, if it belongs to one; single layers do not."""
    listed = KNOWN.get(network)
    if listed is None:
        return None
    belonging = (("inference", listed.inference[0]), ("inference", listed.inference[1]))
    places = (*belonging, *(("training", batch) for batch in listed.training[:1]))
    groups = GROUPS if network in NETWORKS else ZOO_GROUPS
    return groups[places.index((mode, batch))] if (mode, batch) in places else None


def with_statistics(state: State) -> State:
    """The same weights as training leaves them: fresh statistics hide a wrong fold, and a last layer that
    begins with zeros (ViT's) hides every wrong answer."""
    generator = np.random.default_rng(7)
    result = dict(state)
    for name, value in state.items():
        if name.endswith("running_mean"):
            result[name] = (0.1 * generator.standard_normal(value.shape)).astype(np.float32)
        elif name.endswith("running_var"):
            result[name] = generator.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif name.endswith("weight") and value.ndim > 1 and not value.any():
            result[name] = (0.02 * generator.standard_normal(value.shape)).astype(np.float32)
    return result
