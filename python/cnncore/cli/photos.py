# SPDX-License-Identifier: Apache-2.0
"""Folders of photos: of any sizes, kinds and states."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import data
from ..data.arrays import TEST_EVERY, every_fifth_of_each_class
from ..data.folder import LabelledFile, check_classes, image_parts
from ..data.images import image_extents
from ..data.sources import Source, open_source
from .answers import reason
from .datasets import Images, Part
from .threads import in_threads

FIT_TEXTS = {
    "crop": "the middle part of these proportions",
    "letterbox": "all of it, in a grey border",
    "stretch": "stretched to these proportions",
}
"""What becomes of images of other proportions."""

MEMORY = 1 << 30
"""Bytes of decoded images that are kept; the others are decoded again whenever they are needed."""

SMALL, LARGE = 32, 64
"""Height and width that photos get where nobody says which, few and many: minutes of training on 2 cores.

Of 36 photos in three classes resnet20 learns at 32x32 to tell 89 % of others, at 64x64 34 %.
"""

MANY = 1000
"""Photos from which on the larger size is taken."""

MOST_PREPARED = 128
"""The longer side up to which images that are all of one size keep it."""

_SAMPLE = 64
"""Files whose sizes decide about the size of all."""

_SHOWN = 20
"""Files of those left out that are named one by one."""

_SECONDS_BETWEEN_LINES = 10.0


class Wanted(NamedTuple):
    """What the command line, or the model to begin with, says about the images."""

    size: tuple[int, int] | None = None
    """Height and width; None chooses them by the images."""
    fit: str = "crop"
    channels: int | None = None
    """1 or 3; None: 1 where all images are grey."""
    mean: tuple[float, ...] = ()
    """Instead of that of the images, with `std`."""
    std: tuple[float, ...] = ()
    memory: int = MEMORY


def read_photos(path: str, wanted: Wanted, quiet: bool = False) -> Images:
    """Return the images of a folder or zip file, ``<class>/<image>`` or ``train|val|test/<class>/<image>``.

    Every file is decoded once: those that cannot be are left out.

    Args:
        path: the folder or zip file.
        wanted: size, fit and channels.
        quiet: whether progress is not shown.

    Raises:
        ValueError: too few classes or images.
        OSError: it cannot be read.
    """
    with open_source(path) as source:
        found_parts = image_parts(source, path)
        check_classes(path, list(found_parts.values()))
        files = [file for part in found_parts.values() for file in part]
        found = some_extents(source, files)
    size = wanted.size or choose_size(found, len(files))
    samples = data.ImageFiles(
        path,
        [file.name for file in files],
        np.zeros(len(files), np.int64),
        size=size,
        channels=None,
        fit=wanted.fit,
        cache_bytes=wanted.memory,
    )
    read = read_all(samples, f"reading {path}", quiet)
    ends = np.cumsum([len(part) for part in found_parts.values()])
    ranges = {
        name: range(end - len(part), end) for (name, part), end in zip(found_parts.items(), ends, strict=True)
    }
    classes = tuple(sorted({files[i].label for i in ranges["train"] if i not in read.failed}))
    if len(classes) < 2:
        unread = f"; {read.left_out[0][0]}: {read.left_out[0][1]}" if read.left_out else ""
        raise ValueError(f"{path}: expected at least two classes with images that can be read{unread}")
    numbers = {label: number for number, label in enumerate(classes)}
    labels = np.array([numbers.get(file.label, -1) for file in files], np.int64)

    def part(name: str) -> Part:
        usable = [i for i in ranges.get(name, ()) if i not in read.failed and labels[i] >= 0]
        return Part(samples, labels, np.array(usable, np.intp))

    train, test, validation = part("train"), part("test"), part("validation")
    if len(test) == 0:
        train, test, validation = _tested(path, train, validation)
    channels = wanted.channels or int(read.channels.max())
    samples.channels = channels
    mean, std = read.moments(train.numbers, channels)
    return Images(
        name=path,
        classes=classes,
        train=train,
        test=test,
        image=(channels, *size),
        mean=wanted.mean or mean,
        std=wanted.std or std,
        validation=validation if len(validation) else None,
        fit=wanted.fit,
        prepared=set(found) == {size},
        left_out=tuple(read.left_out),
    )


def _tested(path: str, train: Part, validation: Part) -> tuple[Part, Part, Part]:
    """Return train, test and validation where there is no test: the validation, or every fifth image."""
    if len(validation):
        return train, validation, Part(train.samples, np.zeros(0, np.int64), np.zeros(0, np.intp))
    chosen = every_fifth_of_each_class(train.labels)
    if not chosen.any():
        raise ValueError(
            f"{path}: expected at least {TEST_EVERY} images of some class, one of them for the test, or a "
            f"folder test/ beside train/; got {len(train)} images of {len(np.unique(train.labels))} classes"
        )
    return train.take(~chosen), train.take(chosen), validation


def some_extents(source: Source, files: Sequence[LabelledFile]) -> list[tuple[int, int]]:
    """Return height and width of some of the images, spread over all of them."""
    found = []
    for number in np.unique(np.linspace(0, len(files) - 1, _SAMPLE).astype(int)):
        name = files[number].name
        with suppress(OSError, ValueError):
            found.append(image_extents(source.read(name), source.label(name)))
    return found


def choose_size(found: Sequence[tuple[int, int]], count: int) -> tuple[int, int]:
    """Return height and width to train so many images at, some of which have these extents.

    Images that are all of one size, up to `MOST_PREPARED`, keep it. Others become squares: large ones where
    there are many and most of them need not be enlarged.

    >>> choose_size([(28, 28)] * 9, 60), choose_size([(480, 640), (600, 400), (40, 90)], 2000)
    ((28, 28), (64, 64))
    """
    if len(set(found)) == 1 and max(found[0]) <= MOST_PREPARED:
        return found[0]
    shorter = float(np.median([min(extents) for extents in found])) if found else 0.0
    side = LARGE if count >= MANY and shorter >= LARGE else SMALL
    return side, side


class Read(NamedTuple):
    """What decoding all files has shown."""

    failed: dict[int, str]
    """Numbers of files that cannot be read, and why."""
    left_out: list[tuple[str, str]]
    """Their names, and why."""
    channels: NDArray[np.int64]
    """Of each file, 1 or 3."""
    sums: NDArray[np.int64]
    """(files, 3, 2): sums of the channels' pixels and of their squares; those of grey images three times."""
    pixels: int
    """Of one image."""

    def moments(self, chosen: Any, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and deviation of each channel of some files, of pixels from 0 to 1."""
        total = self.sums[chosen, :channels].sum(axis=0)
        mean, square = (total / (len(chosen) * self.pixels)).T
        deviations = np.sqrt(np.maximum(square - mean**2, 0)) / 255
        return tuple(float(m) / 255 for m in mean), tuple(float(d) or 1.0 for d in deviations)


def read_all(samples: data.ImageFiles, title: str, quiet: bool) -> Read:
    """Decode all files, as many at once as there are cores, and tell how far that is."""
    count = len(samples)
    failed: dict[int, str] = {}
    channels, sums = np.zeros(count, np.int64), np.zeros((count, 3, 2), np.int64)
    pixels = 0

    def decode(index: int) -> NDArray[Any] | Exception:
        try:
            image = samples.image(index)
        except (OSError, ValueError) as error:
            return error
        values = image.reshape(len(image), -1).astype(np.int64)
        channels[index] = len(image)
        sums[index] = np.stack([values.sum(1), (values * values).sum(1)], 1)
        return image

    for index, image in enumerate(_shown(in_threads(decode, range(count)), count, title, quiet)):
        if isinstance(image, Exception):
            failed[index] = reason(image, samples.source.label(samples.names[index]))
        else:
            pixels = image[0].size
    left_out = [(samples.source.label(samples.names[i]), why) for i, why in failed.items()]
    return Read(failed, left_out, channels, sums, pixels)


def _shown(items: Iterable[Any], count: int, title: str, quiet: bool) -> Iterator[Any]:
    """Return items, and show on stderr how many have come: a tqdm bar on a terminal, else lines."""
    if quiet:
        yield from items
        return
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            yield from tqdm(items, desc=title, total=count, unit=" images", leave=False, dynamic_ncols=True)
            return
    started = shown = time.monotonic()
    print(f"{title}: {count:,} images", file=sys.stderr, flush=True)
    for number, item in enumerate(items, 1):
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            left = (now - started) / number * (count - number)
            print(f"{title}: {number:,} of {count:,} images, {left:.0f} s left", file=sys.stderr, flush=True)
        yield item


def report_left_out(left_out: Sequence[tuple[str, str]], count: int) -> None:
    """Name the files, of so many in all, that cannot be read, on stderr."""
    if not left_out:
        return
    are = "are" if left_out[1:] else "is"
    print(f"{len(left_out):,} of {count:,} images cannot be read and {are} left out:", file=sys.stderr)
    for name, why in left_out[:_SHOWN]:
        print(f"  {name}: {why}", file=sys.stderr)
    if len(left_out) > _SHOWN:
        print(f"  and {len(left_out) - _SHOWN:,} more", file=sys.stderr)


def counts_text(images: Images) -> str:
    """Return the classes with their numbers of images, training and others together."""
    counts = sum(np.bincount(part.labels, minlength=len(images.classes)) for part in images.parts)
    return ", ".join(
        f"{name} {count:,}" for name, count in zip(images.classes, np.asarray(counts).tolist(), strict=True)
    )


def left_out_rows(left_out: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return files that could not be read as `--json` shows them."""
    return [{"file": name, "reason": why} for name, why in left_out]
