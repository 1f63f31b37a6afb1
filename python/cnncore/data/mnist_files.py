# SPDX-License-Identifier: Apache-2.0
"""MNIST from its four IDX files, or from images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import check_path
from .arrays import Split, as_dtype, check_dtype
from .fetch import fetch
from .folder import image_split
from .idx import read_idx

ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""The files' names and the SHA-256 digests of their gzip forms at `ADDRESS`."""

_INSIDE = (".", "mnist", "raw", "MNIST/raw")


def mnist(root: str | os.PathLike[str], download: bool = False, dtype: Any = "float32") -> Split:
    """Return MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels.

    Other data in the same files (Fashion-MNIST, KMNIST, ...) are read as well.

    Args:
        root: the folder of the four IDX files (`FILES`; gzip or not), or a folder or zip file of images
            ``train|test/<class>/<image>``.
        download: fetch missing IDX files into `root` and check their digests.
        dtype: "float32" (0 to 1) or "uint8" (0 to 255).

    Returns:
        ``(x, y), (x, y)``: train and test; x (samples, 1, 28, 28), y (samples,) int64.

    Raises:
        FileNotFoundError: the data are not there; says where to fetch them.
        ValueError: a damaged or different file; names it, what was expected and what came.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for part in ("train", "test"):
    ...     for number in range(10):
    ...         os.makedirs(os.path.join(folder, part, str(number)))
    ...         np.save(os.path.join(folder, part, str(number), "1.npy"), np.zeros((28, 28), np.uint8))
    >>> (x, y), (x_test, y_test) = mnist(folder)
    >>> x.shape, y.tolist()
    ((10, 1, 28, 28), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    name = check_dtype(dtype)
    root = Path(check_path(root, "the path of a folder or zip file"))
    if root.is_file() or (root / "train").is_dir():
        return image_split(root, 1, name)
    paths = [_find(root, file) for file in FILES]
    if download:
        for index, (file, digest) in enumerate(FILES.items()):
            if paths[index] is None:
                paths[index] = root / f"{file}.gz"
                fetch(f"{ADDRESS}{file}.gz", root / f"{file}.gz", digest)
    found = [path for path in paths if path is not None]
    if len(found) < len(FILES):
        missing = [file for file, path in zip(FILES, paths, strict=True) if path is None]
        raise FileNotFoundError(
            f"{root}: MNIST is not there: missing {', '.join(f'{file}[.gz]' for file in missing)}. "
            f"Fetch {'them' if len(missing) > 1 else 'it'} from {ADDRESS} or pass download=True"
        )
    return _pair(found[0], found[1], name), _pair(found[2], found[3], name)


def _find(root: Path, file: str) -> Path | None:
    for folder in _INSIDE:
        for name in (file, file.replace("-idx", ".idx")):
            for path in (root / folder / name, root / folder / f"{name}.gz"):
                if path.is_file():
                    return path
    return None


def _pair(images_path: Path, labels_path: Path, dtype: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"{images_path}: expected uint8 images (n, height, width), got {images.dtype} {images.shape}"
        )
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise ValueError(f"{labels_path}: expected uint8 labels (n,), got {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path}: expected {len(images)} labels as {images_path} has, got {len(labels)}"
        )
    return as_dtype(images[:, None], dtype), labels.astype(np.int64)
