# SPDX-License-Identifier: Apache-2.0
"""How much augmentation holds a training step back, and what each transform takes beside Pillow.

    python benchmarks/augmentation.py [--seconds 2] [--steps 40]

The first tables have microseconds an image of each transform, on one thread. The last lines have the time of
an epoch of training steps whose batches come augmented from a `DataLoader` with one worker, through that of
the same steps on batches that are ready.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import _core, data, models, optim
from cnncore.bench.machine import describe
from cnncore.bench.timing import interleaved
from cnncore.data import transforms as t
from cnncore.data.transforms.draws import Draws

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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


def transform_times(size: int, count: int, seconds: float) -> dict[str, float]:
    """Microseconds an image of each transform."""
    batch = images(count, size)

    def call(transform: t.Transform) -> Callable[[], object]:
        return lambda: transform.batch(batch, Draws.of(0, 0, range(count)))

    calls = {name: call(make(size)) for name, make in TRANSFORMS.items()}
    return {name: 1e6 * spent.minimum / count for name, spent in interleaved(calls, seconds).items()}


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


def held_back(network: Any, size: int, batch: int, steps: int) -> float:
    """The time of steps on augmented batches through that of steps on batches that are ready."""
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

    return min(seconds(loader) / seconds([ready] * steps) for _ in range(3))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each table of transforms")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch")
    options = parser.parse_args()
    print(f"{describe()['processor']}, {cc.get_num_threads()} threads\n")
    print(f"{'us an image':24}{'32 x 32':>12}{'224 x 224':>12}")
    small, large = (transform_times(size, n, options.seconds) for size, n in ((32, 128), (224, 16)))
    for name in TRANSFORMS:
        print(f"{name:24}{small[name]:12.1f}{large[name]:12.1f}")
    print(f"\n{'us a photo':24}{'cnncore':>12}{'Pillow':>12}")
    for name, (ours, theirs) in beside_pillow(options.seconds).items():
        print(f"{name:24}{ours:12.0f}{theirs:12.0f}")
    print("\ntime of steps with RandAugment and the rest, through that of steps alone")
    print(f"resnet20, 128 of 32 x 32    {held_back(models.resnet20(), 32, 128, options.steps):.3f}")
    network = models.resnet18(num_classes=10)
    print(f"resnet18, 16 of 224 x 224   {held_back(network, 224, 16, max(options.steps // 8, 4)):.3f}")


if __name__ == "__main__":
    main()
