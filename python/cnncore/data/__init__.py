# SPDX-License-Identifier: Apache-2.0
"""Data sets, image files and batches.

`digits`, `mnist` and `cifar10` return ``(x, y), (x, y)``: train and test, x (samples, channels, height,
width) float32 from 0 to 1 (or uint8 with ``dtype="uint8"``), y int64 class numbers.
"""

from . import transforms
from .cifar import cifar10
from .dataset import Dataset
from .folder import ImageArrays, image_folder
from .idx import read_idx
from .images import read_image, with_channels
from .loader import DataLoader
from .mnist_files import mnist
from .resizing import resize
from .uci_digits import digits

__all__ = [
    "DataLoader",
    "Dataset",
    "ImageArrays",
    "cifar10",
    "digits",
    "image_folder",
    "mnist",
    "read_idx",
    "read_image",
    "resize",
    "transforms",
    "with_channels",
]
