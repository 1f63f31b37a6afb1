# SPDX-License-Identifier: Apache-2.0
"""Mean average precision of detections as COCO defines it (Lin et al., 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.arrays import to_array
from .base import Array, Metric

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which on a detection is right."""
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}
"""Square pixels of objects."""
MOST = (1, 10, 100)
"""Detections of a class in an image that count, the likeliest first."""


class _Found(NamedTuple):
    """The detections of one class in one image, the likeliest first, for every threshold."""

    scores: Array
    right: Array
    ignored: Array
    objects: int


class MeanAveragePrecision(Metric):
    """See `mean_average_precision`; `update` takes the images of a batch.

    Raises:
        ValueError: in `update`, not as many outputs as targets.

    >>> box, label = np.array([[0.0, 0.0, 10.0, 10.0]]), np.array([0])
    >>> metric = MeanAveragePrecision()
    >>> metric.reset()
    >>> found = {"boxes": box, "labels": label, "scores": np.ones(1)}
    >>> metric.update([found], [{"boxes": box, "labels": label}])
    >>> metric.result()["map_50"]
    1.0
    """

    name = "map"
    counted = ("images",)
    additive = True
    at_end = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.images: list[dict[str, Array]] = []

    def update(self, output: Sequence[Mapping[str, Any]], target: Sequence[Mapping[str, Any]]) -> None:
        for what, images in (("outputs", output), ("targets", target)):
            if not isinstance(images, Sequence) or not all(isinstance(image, Mapping) for image in images):
                raise TypeError(
                    f"map: expected {what} as a list of dicts, one for each image, got {images!r}"
                )
        if len(output) != len(target):
            raise ValueError(f"map: expected as many outputs as targets, got {len(output)} and {len(target)}")
        self.images += [
            {**_checked("output", found, ("boxes", "scores", "labels")), **_reference(objects)}
            for found, objects in zip(output, target, strict=True)
        ]

    def result(self) -> dict[str, float]:
        classes = sorted({int(label) for image in self.images for label in image["true_labels"]})
        figures: dict[str, float] = {}
        for suffix, bounds in AREAS.items():
            table = [_curves([_match(image, c, bounds) for image in self.images]) for c in classes]
            precision = np.array([entry[0] for entry in table]).reshape(-1, len(THRESHOLDS))
            recall = np.array([entry[1] for entry in table]).reshape(-1, len(MOST), len(THRESHOLDS))
            figures[f"map{suffix}"] = _mean(precision)
            if suffix:
                figures[f"mar{suffix}"] = _mean(recall[:, -1])
            else:
                figures.update(map_50=_mean(precision[:, 0]), map_75=_mean(precision[:, 5]))
                figures.update({f"mar_{most}": _mean(recall[:, i]) for i, most in enumerate(MOST)})
        return figures


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _checked(what: str, entry: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Array]:
    missing = [name for name in names if name not in entry]
    if missing:
        raise ValueError(
            f"map: expected {', '.join(names)} in each {what}, got {', '.join(entry) or 'nothing'}"
        )
    arrays = {name: to_array(entry[name]) for name in names}
    boxes = arrays["boxes"] = arrays["boxes"].astype(np.float64).reshape(-1, 4)
    for name, array in arrays.items():
        if len(array) != len(boxes):
            raise ValueError(
                f"map: expected a row of {name} for each of {len(boxes)} boxes, got {len(array)}"
            )
    return arrays


def _reference(entry: Mapping[str, Any]) -> dict[str, Array]:
    arrays = _checked("target", entry, ("boxes", "labels"))
    boxes = arrays["boxes"]
    crowd = to_array(entry.get("iscrowd", np.zeros(len(boxes), np.bool_))).astype(np.bool_)
    area = to_array(entry.get("area", _area(boxes))).astype(np.float64)
    return {"true_boxes": boxes, "true_labels": arrays["labels"], "crowd": crowd, "area": area}


def _area(boxes: Array) -> Array:
    area: Array = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def _overlap(boxes: Array, objects: Array, crowd: Array) -> Array:
    """Return the intersection over union, with a crowd over the detection's own area."""
    low = np.maximum(boxes[:, None, :2], objects[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], objects[None, :, 2:])
    common: Array = np.clip(high - low, 0, None).prod(axis=2)
    own = _area(boxes)[:, None]
    whole = np.where(crowd[None], own, own + _area(objects)[None] - common)
    share: Array = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return share


def _match(image: Mapping[str, Array], label: int, bounds: tuple[float, float]) -> _Found:
    """Give each object its likeliest detection that overlaps enough, as the reference implementation does."""
    mine, true = image["labels"] == label, image["true_labels"] == label
    order = np.argsort(-image["scores"][mine], kind="stable")[: MOST[-1]]
    boxes, scores = image["boxes"][mine][order], image["scores"][mine][order]
    area, crowd = image["area"][true], image["crowd"][true]
    beside = crowd | (area < bounds[0]) | (area > bounds[1])
    last = np.argsort(beside, kind="stable")  # objects that count come first
    beside, crowd = beside[last], crowd[last]
    overlap = _overlap(boxes, image["true_boxes"][true][last], crowd)
    right = np.zeros((len(THRESHOLDS), len(boxes)), np.bool_)
    ignored = np.zeros_like(right)
    for t, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(last), np.bool_)
        for d in range(len(boxes)):
            chosen = _choice(overlap[d], beside, taken & ~crowd, threshold)
            if chosen is not None:
                taken[chosen] = True
                right[t, d], ignored[t, d] = True, beside[chosen]
    outside = (_area(boxes) < bounds[0]) | (_area(boxes) > bounds[1])
    return _Found(scores, right, ignored | (~right & outside), int(np.count_nonzero(~beside)))


def _choice(overlap: Array, beside: Array, taken: Array, threshold: float) -> int | None:
    """Return the free object of the largest overlap, the last of equal ones; those that count go first."""
    enough = (overlap >= min(threshold, 1 - 1e-10)) & ~taken
    for group in (enough & ~beside, enough & beside):
        if group.any():
            places = np.flatnonzero(group)
            return int(places[len(places) - 1 - int(np.argmax(overlap[places][::-1]))])
    return None


def _curves(found: list[_Found]) -> tuple[Array, Array]:
    """Return the mean precision over recalls, and the recall for each limit of detections, by threshold."""
    objects = sum(entry.objects for entry in found)
    if not objects:
        return np.full(len(THRESHOLDS), np.nan), np.full((len(MOST), len(THRESHOLDS)), np.nan)
    recalls = []
    for most in MOST:
        counted = [entry.right[:, :most] & ~entry.ignored[:, :most] for entry in found]
        recalls.append(np.concatenate(counted, axis=1).sum(axis=1) / objects)
    order = np.argsort(-np.concatenate([entry.scores for entry in found]), kind="stable")
    right, ignored = (
        np.concatenate([getattr(entry, name) for entry in found], axis=1)[:, order]
        for name in ("right", "ignored")
    )
    precisions = [_precision(right[t][~ignored[t]], objects) for t in range(len(THRESHOLDS))]
    return np.array(precisions), np.array(recalls)


def _precision(right: Array, objects: int) -> float:
    """Return the mean over recalls of the largest precision at that recall or a higher one."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / objects, RECALLS, side="left")
    return float(np.append(envelope, 0.0)[place].mean())


def mean_average_precision(
    output: Sequence[Mapping[str, Any]], target: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return COCO's figures of detections.

    Args:
        output: for each image a dict of "boxes" (detections, 4), x1, y1, x2, y2 in pixels, "scores" and
            "labels".
        target: for each image a dict of "boxes", "labels" and, where known, "area" (square pixels) and
            "iscrowd" (an object that any number of detections may match, and that does not count).

    Returns:
        "map": the precision averaged over 101 recalls, ten thresholds of overlap from 0.5 to 0.95 and the
        classes that occur in targets, of at most 100 detections of a class and image; "map_50" and "map_75":
        of one threshold; "map_small", "map_medium", "map_large": of objects up to 32x32, up to 96x96 and
        larger ones; "mar_1", "mar_10", "mar_100": the largest recall of so many detections; "mar_small",
        "mar_medium", "mar_large". NaN where there are no such objects (the reference implementation says -1).

    >>> found = {"boxes": [[0, 0, 10, 10]], "scores": [0.9], "labels": [1]}
    >>> figures = mean_average_precision([found], [{"boxes": [[0, 0, 10, 8]], "labels": [1]}])
    >>> figures["map_50"], figures["map_75"], round(figures["map"], 3)
    (1.0, 1.0, 0.7)
    """
    found: dict[str, float] = MeanAveragePrecision()(output, target)
    return found
