# SPDX-License-Identifier: Apache-2.0
"""Training images moved at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .. import data


class ShiftedImages(data.Dataset):
    """Images and labels; in a batch each image is moved by up to `pixels` in both directions.

    The movements follow from the seed and the batch's sample numbers, so that they can be repeated, do not
    depend on the threads that prepare batches, and differ between epochs of different order.

    Args:
        images: (samples, channels, height, width).
        labels: (samples,).
        pixels: the farthest movement; what enters at a border repeats its outermost pixel.
        seed: of the movements.
    """

    def __init__(self, images: NDArray[Any], labels: NDArray[Any], pixels: int, seed: int) -> None:
        super().__init__(images, labels)
        self.pixels = pixels
        self.seed = seed

    def batch(self, indices: Any) -> tuple[NDArray[Any], ...]:
        images, labels = super().batch(indices)
        if self.pixels == 0:
            return images, labels
        entropy = (self.seed, *(int(index) for index in indices))
        words = np.random.Philox(np.random.SeedSequence(entropy)).random_raw(2 * len(images))
        down, right = (words % np.uint64(2 * self.pixels + 1)).astype(np.intp).reshape(2, -1)
        border = (self.pixels, self.pixels)
        padded = np.pad(images, ((0, 0), (0, 0), border, border), mode="edge")
        windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
        return windows[np.arange(len(images)), :, down, right], labels
