# SPDX-License-Identifier: Apache-2.0
"""What a network answers to files, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data.images import decode_fitted, with_channels
from .model_file import Description
from .threads import in_threads

BATCH = 32

Item = TypeVar("Item")


def answers(
    model: Any,
    description: Description,
    items: Sequence[Item],
    read: Callable[[Item], tuple[bytes, str]],
    batch_size: int = BATCH,
) -> Iterator[tuple[Item, NDArray[Any] | Exception]]:
    """Return each item with the network's output for its image, (classes,), or why it cannot be read.

    Files are read and decoded in threads while the network works; a few batches of images are in memory.

    Args:
        model: the network.
        description: what images it takes.
        items: what stands for an image.
        read: returns an item's content and name.
        batch_size: images at a time.
    """
    channels, *size = description.image

    def image(item: Item) -> NDArray[np.uint8] | Exception:
        try:
            content, name = read(item)
            fitted = decode_fitted(content, name, (size[0], size[1]), description.fit)
            return with_channels(fitted, channels)
        except (OSError, ValueError) as error:
            return error

    images = zip(items, in_threads(image, items), strict=True)
    while part := list(islice(images, batch_size)):
        readable = [found for _, found in part if not isinstance(found, Exception)]
        outputs: Iterator[Any] = iter(())
        if readable:
            outputs = iter(np.asarray(model.predict(description.preprocessing(np.stack(readable)))))
        for item, found in part:
            yield item, found if isinstance(found, Exception) else next(outputs)


def reason(error: Exception, name: str) -> str:
    """Return what an error says of a file, without the file's name.

    >>> reason(ValueError("a.png: expected an image, got an empty file"), "a.png")
    'expected an image, got an empty file'
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.removeprefix(f"{name}: ").split()) or type(error).__name__
