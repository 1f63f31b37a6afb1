# SPDX-License-Identifier: Apache-2.0
"""Batches of a data set that have gone through transforms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .dataset import Arrays, Dataset, stack
from .transforms import Transform
from .transforms.draws import Draws

_ROLES = ("image", "mask", "boxes", "label")


def check_targets(targets: Any) -> tuple[str | None, ...]:
    """Return what each array of a sample is to a transform."""
    if not isinstance(targets, Iterable) or isinstance(targets, np.ndarray):
        raise TypeError(f"expected targets among {', '.join(_ROLES)}, each once, or None, got {targets!r}")
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    for name in names:
        if name is not None and (name not in _ROLES or names.count(name) > 1):
            raise ValueError(
                f"expected targets among {', '.join(_ROLES)}, each once, or None, got {targets!r}"
            )
    if "image" not in names:
        raise ValueError(f"expected 'image' among the targets, got {targets!r}")
    return names


def transformed_batch(
    dataset: Dataset, indices: Any, transform: Transform, draws: Draws, targets: Sequence[str | None]
) -> Arrays:
    """Return a batch whose images, masks, boxes and labels have been transformed together.

    Boxes stay a list with one array a sample; everything else is an array.
    """
    has_columns = isinstance(dataset, Dataset)
    columns = dataset.columns(indices) if has_columns else list(dataset.batch(indices))
    place = {name: i for i, name in enumerate(targets) if name is not None and i < len(columns)}
    if "image" not in place:
        raise ValueError(
            f"expected samples with an image as number {targets.index('image')}, got {len(columns)}"
        )
    labels = columns[place["label"]] if "label" in place else None
    done = transform.batch(
        columns[place["image"]],
        draws,
        masks=columns[place["mask"]] if "mask" in place else None,
        boxes=columns[place["boxes"]] if "boxes" in place else None,
        labels=None if labels is None else stack(labels),
    )
    changed: dict[str, Any] = {
        "image": done.images,
        "mask": done.masks,
        "boxes": done.boxes,
        "label": done.labels,
    }
    result: list[Any] = [
        stack(column) if i not in place.values() else None for i, column in enumerate(columns)
    ]
    for name, i in place.items():
        result[i] = changed[name]
    return tuple(result)
