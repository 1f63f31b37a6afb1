# SPDX-License-Identifier: Apache-2.0
"""How much augmentation holds a training step back, and what transforms take beside torchvision and Pillow.

    python benchmarks/augmentation.py [--seconds 2] [--steps 40]

The first tables have microseconds an image of each transform, and of decoding, on one thread; cnncore
transforms batches, torchvision, where it is installed, each image by itself as in its data sets. The last
lines have the time of an epoch of training steps whose batches come augmented from a `DataLoader` with one
worker, through that of the same steps on batches that are ready, by the least and the median of several
turns.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

import arguments
import cnncore as cc
from cnncore import _core, data, models, optim
from cnncore.bench.machine import describe
from cnncore.bench.timing import interleaved
from cnncore.data import transforms as t
from cnncore.data.images import decode
from cnncore.data.transforms.draws import Draws

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NOT_INSTALLED = (ImportError, OSError, RuntimeError)
"""What torchvision's import raises where it is missing or made for another build of torch."""
TRANSFORMS: dict[str, Callable[[int], t.Transform]] = {
    "crop with border": lambda size: t.RandomCrop(size, padding=size // 8),
    "horizontal flip": lambda size: t.RandomHorizontalFlip(),
    "rotation, bilinear": lambda size: t.RandomRotation(15, "bilinear"),
    "colour jitter": lambda size: t.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "RandAugment": lambda size: t.RandAugment(),
    "TrivialAugmentWide": lambda size: t.TrivialAugmentWide(),
    "erasing": lambda size: t.RandomErasing(),
    "blur": lambda size: t.GaussianBlur(5),
    "normalize": lambda size: t.Normalize(MEAN, STD),
}


def images(count: int, size: int) -> Any:
    """Smooth noise, as photos are rather than white noise."""
    small = np.random.default_rng(0).integers(0, 256, (count, 3, size // 4, size // 4), dtype=np.uint8)
    return data.resize(small, (size, size))


def torchvision_transforms(size: int) -> dict[str, Callable[[Any], Any]]:
    """The same of torchvision, by our names; empty where it is not installed."""
    try:
        import torch
        from torchvision.transforms import v2
    except NOT_INSTALLED:
        return {}
    bilinear = v2.InterpolationMode.BILINEAR
    return {
        "crop with border": v2.RandomCrop(size, padding=size // 8),
        "horizontal flip": v2.RandomHorizontalFlip(),
        "rotation, bilinear": v2.RandomRotation(15, bilinear),
        "colour jitter": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "RandAugment": v2.RandAugment(),
        "TrivialAugmentWide": v2.TrivialAugmentWide(),
        "erasing": v2.RandomErasing(),
        "blur": v2.GaussianBlur(5),
        "normalize": v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]),
    }


def transform_times(size: int, count: int, seconds: float) -> dict[str, tuple[float, float | None]]:
    """Microseconds an image of each transform, ours and torchvision's."""
    batch = images(count, size)

    def call(transform: t.Transform) -> Callable[[], object]:
        return lambda: transform.batch(batch, Draws.of(0, 0, range(count)))

    def call_each(transform: Callable[[Any], Any]) -> Callable[[], object]:
        import torch

        tensors = list(torch.from_numpy(batch))
        return lambda: [transform(tensor) for tensor in tensors]

    theirs = torchvision_transforms(size)
    calls = {("ours", name): call(make(size)) for name, make in TRANSFORMS.items()}
    calls |= {("theirs", name): call_each(transform) for name, transform in theirs.items()}
    spent = {key: 1e6 * timing.minimum / count for key, timing in interleaved(calls, seconds).items()}
    return {name: (spent["ours", name], spent.get(("theirs", name))) for name in TRANSFORMS}


def decode_times(seconds: float) -> dict[str, tuple[float, float, float | None]]:
    """Microseconds from JPEG bytes to (3, height, width): ours, Pillow's, torchvision's."""
    try:
        from PIL import Image
    except ImportError:
        return {}
    result = {}
    for name, (height, width), size in DECODED:
        file = io.BytesIO()
        photo = data.resize(images(1, 256)[0], (height, width))
        Image.fromarray(photo.transpose(1, 2, 0)).save(file, "JPEG", quality=90)
        calls = decoders(file.getvalue(), size) | torchvision_decoder(file.getvalue(), size)
        times = {reader: 1e6 * spent.minimum for reader, spent in interleaved(calls, seconds).items()}
        result[name] = (times["cnncore"], times["Pillow"], times.get("torchvision"))
    return result


DECODED = (
    ("500 x 375", (375, 500), None),
    ("500 x 375 to 224 x 224", (375, 500), (224, 224)),
    ("4000 x 3000 to 224 x 224", (3000, 4000), (224, 224)),
)


def decoders(content: bytes, size: tuple[int, int] | None) -> dict[str, Callable[[], object]]:
    """Ours and Pillow's, which reads large files at an eighth, too (draft)."""
    from PIL import Image

    def ours() -> object:
        photo = decode(content, "photo", size)
        return photo if size is None else data.resize(photo, size)

    def pillow() -> object:
        photo: Any = Image.open(io.BytesIO(content))
        if size is not None:
            photo.draft(None, (2 * size[1], 2 * size[0]))
            photo = photo.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(photo).transpose(2, 0, 1))

    return {"cnncore": ours, "Pillow": pillow}


def torchvision_decoder(content: bytes, size: tuple[int, int] | None) -> dict[str, Callable[[], object]]:
    """torchvision's decoder and resizing; empty where it is not installed or built without JPEG."""
    try:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms import v2

        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        decode_jpeg(encoded)
    except NOT_INSTALLED:
        return {}
    resize = v2.Identity() if size is None else v2.Resize(size, antialias=True)
    return {"torchvision": lambda: resize(decode_jpeg(encoded, ImageReadMode.RGB))}


def beside_pillow(seconds: float) -> dict[str, tuple[float, float]]:
    """Microseconds of ours and of Pillow's, on one photo of 500 x 375 pixels."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return {}
    photo = data.resize(images(1, 124)[0], (375, 500))
    theirs = Image.fromarray(photo.transpose(1, 2, 0))
    one, draws = photo[None], Draws.of(0, 0, [0])
    box = (50, 40, 350, 320)
    crop = np.array([[40.0, 50, 280, 300]])
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "resize to 224 x 224": (
            lambda: t.Resize((224, 224)).batch(one, draws),
            lambda: theirs.resize((224, 224), Image.Resampling.BILINEAR),
        ),
        "a part, resized": (
            lambda: _core.resample_images(one, crop, 224, 224, "bilinear", True),
            lambda: theirs.resize((224, 224), Image.Resampling.BILINEAR, box=box),
        ),
        "rotate, bilinear": (
            lambda: t.RandomRotation((10, 10), "bilinear").batch(one, draws),
            lambda: theirs.rotate(10, Image.Resampling.BILINEAR),
        ),
        "equalize": (
            lambda: t.RandomEqualize(1.0).batch(one, draws),
            lambda: ImageOps.equalize(theirs),
        ),
    }
    calls = {f"{name} {i}": pair[i] for name, pair in pairs.items() for i in range(2)}
    times = interleaved(calls, seconds)
    return {name: (1e6 * times[f"{name} 0"].minimum, 1e6 * times[f"{name} 1"].minimum) for name in pairs}


def held_back(network: Any, size: int, batch: int, steps: int, turns: int = 3) -> tuple[float, float]:
    """The time of steps on augmented batches through that of steps on batches that are ready.

    Returns:
        The ratio of the least times of all turns, and that of their medians.
    """
    classes = 10
    x, y = images(batch * steps, size), np.arange(batch * steps) % classes
    chain = [t.RandomCrop(size, padding=size // 8), t.RandomHorizontalFlip(), t.RandAugment(), t.ToFloat()]
    loader = data.DataLoader(
        (x, y), batch, shuffle=True, transform=t.Compose([*chain, t.Normalize(MEAN, STD)]), workers=1
    )
    step = cc.train_step(
        lambda x, y: cc.ops.cross_entropy(network(x), y), optim.SGD(network.parameters(), 0.01, 0.9)
    )
    ready = next(iter(loader))
    step(*ready)

    def seconds(batches: Any) -> float:
        begin = time.perf_counter()
        for one in batches:
            step(*one)
        return time.perf_counter() - begin

    augmented, bare = zip(*((seconds(loader), seconds([ready] * steps)) for _ in range(turns)), strict=True)
    return min(augmented) / min(bare), median(augmented) / median(bare)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=arguments.seconds, default=2.0, help="for each transform")
    parser.add_argument("--steps", type=arguments.count, default=40, help="of an epoch")
    parser.add_argument("--turns", type=arguments.count, default=5, help="of both kinds of epochs")
    options = parser.parse_args()
    print(f"{describe()['processor']}, {cc.get_num_threads()} threads\n")
    for size, count in ((32, 128), (224, 16)):
        print(f"{f'us an image of {size} x {size}':28}{'cnncore':>12}{'torchvision':>12}")
        for name, times in transform_times(size, count, options.seconds).items():
            print(_row(name, times))
        print()
    print(f"{'us a photo of 500 x 375':28}{'cnncore':>12}{'Pillow':>12}")
    for name, times in beside_pillow(options.seconds).items():
        print(_row(name, times))
    print(f"\n{'us a JPEG file, decoded':28}{'cnncore':>12}{'Pillow':>12}{'torchvision':>12}")
    for name, times in decode_times(options.seconds).items():
        print(_row(name, times))
    print("\ntime of steps with RandAugment and the rest, through that of steps alone: least, median")
    least, middle = held_back(models.resnet20(), 32, 128, options.steps, options.turns)
    print(f"resnet20, 128 of 32 x 32    {least:.3f} {middle:.3f}")
    network, steps = models.resnet18(num_classes=10), max(options.steps // 8, 4)
    least, middle = held_back(network, 224, 16, steps, options.turns)
    print(f"resnet18, 16 of 224 x 224   {least:.3f} {middle:.3f}")


def _row(name: str, times: Sequence[float | None]) -> str:
    return f"{name:28}" + "".join(f"{'-' if time is None else format(time, '.1f'):>12}" for time in times)


if __name__ == "__main__":
    main()
