# SPDX-License-Identifier: Apache-2.0
"""Images turned, sheared, seen from aside or bent; volumes slice by slice along their first axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from .arguments import around, fill_colours, fill_of, finite, interval, one_of
from .colours import gaussian_kernels
from .draws import Draws
from .samples import Samples, map_boxes, white
from .transform import Transform, probability

__all__ = ["ElasticTransform", "RandomAffine", "RandomPerspective", "RandomRotation"]

MODES = ("nearest", "bilinear")
_LARGEST_MASK = 1 << 24
"""Numbers of masks pass through float32."""


class RandomRotation(Transform):
    """Turn images by a random angle.

    Args:
        degrees: the most to either side, or (from, to); positive is counter-clockwise.
        interpolation: "nearest" or "bilinear"; masks take the nearest.
        expand: make the result large enough for all of the image; only for samples one at a time.
        fill: the colour of what comes in from outside, in the image's own unit, a number or one a channel.

    Raises:
        ValueError: several images at once with `expand`, which gives each a size of its own.

    >>> image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    >>> RandomRotation((90, 90))(image).tolist()
    [[[1, 3], [0, 2]]]
    """

    spatial = (2, 3)

    def __init__(
        self, degrees: Any, interpolation: str = "nearest", expand: bool = False, fill: Any = 0
    ) -> None:
        self.degrees = around(degrees, "degrees", 0.0)
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.expand = bool(expand)
        self.fill = fill_of(fill)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        height, width = samples.extents[-2:]
        forward = linear_maps(-draws.uniform(*self.degrees))
        size = (height, width)
        if self.expand:
            if len(samples) > 1:
                raise ValueError(
                    "[RandomRotation] expand=True gives each image its own size: apply it to one at a time"
                )
            reach = np.abs(forward[0, :2, :2]) @ np.array([width, height]) - 1e-6
            size = (int(np.ceil(reach[1])), int(np.ceil(reach[0])))
        matrices = about_middle(np.linalg.inv(forward), (height, width), size)
        return warped(samples, matrices, size, self.interpolation, self.fill)


class RandomAffine(Transform):
    """Turn, shift, scale and shear images at random about their middle.

    Args:
        degrees: the most to either side, or (from, to); positive is clockwise.
        translate: the most shift as shares of (width, height); None for none.
        scale: factors (from, to); None for none.
        shear: degrees along the rows, the most or (from, to), or (from, to, from, to) with those along the
            columns; None for none.
        interpolation: "nearest" or "bilinear"; masks take the nearest.
        fill: the colour of what comes in from outside, in the image's own unit.

    Raises:
        ValueError: `translate` that is no pair, or a scale of 0.

    >>> RandomAffine(0, scale=(0.5, 0.5))(np.ones((1, 4, 4), np.float32)).sum()
    np.float32(4.0)
    """

    spatial = (2, 3)

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: str = "nearest",
        fill: Any = 0,
    ) -> None:
        self.degrees = around(degrees, "degrees", 0.0)
        if translate is not None and (not isinstance(translate, (tuple, list)) or len(translate) != 2):
            raise ValueError(f"expected translate as shares of (width, height), got {translate}")
        self.translate = None if translate is None else tuple(probability(t, "translate") for t in translate)
        self.scale = None if scale is None else interval(scale, "scale", 0)
        if self.scale is not None and self.scale[0] == 0:
            raise ValueError(f"expected scale above 0, got {scale}")
        self.shear = _shears(shear)
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.fill = fill_of(fill)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        height, width = samples.extents[-2:]
        turn = draws.uniform(*self.degrees)
        scale = draws.uniform(*(self.scale or (1.0, 1.0)))
        along_rows = draws.uniform(*self.shear[0])
        along_columns = draws.uniform(*self.shear[1])
        forward = linear_maps(turn, scale, along_rows, along_columns)
        if self.translate is not None:
            limit = np.array(self.translate) * (width, height)
            forward[:, :2, 2] = np.rint(draws.uniform(-limit, limit, (2,)))
        matrices = about_middle(np.linalg.inv(forward), (height, width), (height, width))
        return warped(samples, matrices, (height, width), self.interpolation, self.fill)


class RandomPerspective(Transform):
    """See images from a random point of view with probability `p`.

    Args:
        distortion_scale: how far corners move inwards, as a share of half of the image, 0 to 1.
        p: the probability.
        interpolation: "nearest" or "bilinear"; masks take the nearest.
        fill: the colour of what comes in from outside, in the image's own unit.

    Raises:
        ValueError: `distortion_scale` is not from 0 to 1.

    >>> RandomPerspective(0.5, p=1.0)(np.ones((3, 8, 8), np.uint8)).shape
    (3, 8, 8)
    """

    spatial = (2, 3)

    def __init__(
        self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: str = "bilinear", fill: Any = 0
    ) -> None:
        self.distortion_scale = finite(distortion_scale, "distortion_scale", 0)
        if self.distortion_scale > 1:
            raise ValueError(f"expected distortion_scale from 0 to 1, got {distortion_scale}")
        self.p = probability(p)
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.fill = fill_of(fill)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        height, width = samples.extents[-2:]
        reach = np.array([width, height]) // 2 * self.distortion_scale
        inwards = draws.uniform(0, reach, (4, 2))
        chosen = np.flatnonzero(draws.chance(self.p))
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
        signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        matrices = homographies(corners + signs * inwards, np.broadcast_to(corners, inwards.shape))
        if len(chosen) == 0:
            return samples
        size = (height, width)
        result = samples.copy()
        some = samples.take(chosen)
        result.put(chosen, warped(some, matrices[chosen], size, self.interpolation, self.fill))
        return result


class ElasticTransform(Transform):
    """Bend images by a smooth random field (Simard et al., 2003).

    Args:
        alpha: twice the length of the displacements before smoothing, in pixels; a number or (along the rows,
            along the columns).
        sigma: of the Gaussian that smooths them, in pixels.
        interpolation: "nearest" or "bilinear"; masks take the nearest.
        fill: the colour of what comes in from outside, in the image's own unit.

    Boxes are refused: a bent box is none.

    Raises:
        ValueError: more than two alphas, a sigma of 0; samples with boxes, which bent are none.

    >>> ElasticTransform()(np.ones((1, 16, 16), np.uint8)).shape
    (1, 16, 16)
    """

    spatial = (2, 3)

    def __init__(
        self, alpha: Any = 50.0, sigma: Any = 5.0, interpolation: str = "bilinear", fill: Any = 0
    ) -> None:
        pair = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
        self.alpha = tuple(finite(value, "alpha", 0) for value in pair)
        self.sigma = finite(sigma, "sigma", 0)
        if len(self.alpha) != 2 or self.sigma == 0:
            raise ValueError(f"expected one or two alphas and a sigma above 0, got {alpha} and {sigma}")
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.fill = fill_of(fill)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        if samples.boxes is not None:
            raise ValueError("[ElasticTransform] expected no boxes: a bent box is none")
        height, width = samples.extents[-2:]
        noise = draws.uniform(-1, 1, (2, height, width)).astype(np.float32)
        kernels = gaussian_kernels(np.full(len(samples), self.sigma), int(8 * self.sigma + 1) | 1)
        field = _core.filter_images(noise, kernels)
        field *= np.array(self.alpha[::-1], np.float32)[:, None, None] / 2
        places = field + np.indices((height, width), np.float32)
        images = _by_planes(
            samples.images,
            lambda planes: _core.remap_images(
                planes, places, self.interpolation, _fills(self.fill, samples.images, planes.shape[1])
            ),
        )
        masks = samples.masks
        if masks is not None:
            masks = _mask_planes(
                masks, lambda planes: _core.remap_images(planes, places, "nearest", _black(planes))
            )
        return Samples(images, masks, None, samples.labels)


def linear_maps(turn: Any, scale: Any = 1.0, along_rows: Any = 0.0, along_columns: Any = 0.0) -> NDArray[Any]:
    """(samples, 3, 3) from (x, y, 1) of an image to those of the turned one about the origin; degrees."""
    turn, scale, sx, sy = np.broadcast_arrays(turn, scale, along_rows, along_columns)
    angle, sx, sy = np.radians(turn), np.radians(sx), np.radians(sy)
    result = np.zeros((len(angle), 3, 3))
    cos, sin = np.cos(angle - sy) / np.cos(sy), np.sin(angle - sy) / np.cos(sy)
    result[:, 0, 0], result[:, 0, 1] = cos, -cos * np.tan(sx) - np.sin(angle)
    result[:, 1, 0], result[:, 1, 1] = sin, -sin * np.tan(sx) + np.cos(angle)
    result[:, :2, :2] *= scale[:, None, None]
    result[:, 2, 2] = 1
    return result


def about_middle(matrices: NDArray[Any], old: Sequence[int], new: Sequence[int]) -> NDArray[Any]:
    """Maps from the new image to the old one, given those about the origin, about the middles instead."""
    to_origin, back = np.eye(3), np.eye(3)
    to_origin[:2, 2] = -(new[1] - 1) / 2, -(new[0] - 1) / 2
    back[:2, 2] = (old[1] - 1) / 2, (old[0] - 1) / 2
    result: NDArray[Any] = back @ matrices @ to_origin
    return result


def homographies(corners: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """(samples, 3, 3) that map four points (samples, 4, 2) to others."""
    count = len(corners)
    x, y = corners[..., 0], corners[..., 1]
    u, v = targets[..., 0], targets[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = [
        np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1),
        np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1),
    ]
    solved = np.linalg.solve(np.concatenate(rows, 1), np.concatenate([u, v], 1)[..., None])[..., 0]
    return np.concatenate([solved, np.ones((count, 1))], 1).reshape(count, 3, 3)


def warped(samples: Samples, matrices: NDArray[Any], size: tuple[int, int], mode: str, fill: Any) -> Samples:
    """Samples seen through maps (samples, 3, 3) from the new image's (x, y, 1) to the old one's."""
    images = _by_planes(
        samples.images,
        lambda planes: _core.warp_images(
            planes, matrices, *size, mode, _fills(fill, samples.images, planes.shape[1])
        ),
    )
    masks = samples.masks
    if masks is not None:
        masks = _mask_planes(
            masks, lambda planes: _core.warp_images(planes, matrices, *size, "nearest", _black(planes))
        )
    boxes = samples.boxes
    if boxes is not None:
        forward = np.linalg.inv(matrices)
        boxes = map_boxes(samples, lambda i, b: _moved(b, forward[i]), size)
    return Samples(images, masks, boxes, samples.labels)


def _fills(fill: Any, images: NDArray[Any], planes: int) -> NDArray[np.float32]:
    """The colours of planes: of volumes each channel has several."""
    colours = fill_colours(fill, images.shape[1], white(images))
    return np.repeat(colours, planes // images.shape[1])


def _by_planes(images: NDArray[Any], run: Any) -> NDArray[Any]:
    """Run a function of images on volumes: slices are channels meanwhile."""
    if images.ndim == 4:
        result: NDArray[Any] = run(images)
        return result
    count, channels, depth = images.shape[:3]
    moved = run(images.reshape(count, channels * depth, *images.shape[3:]))
    return np.asarray(moved).reshape(count, channels, depth, *moved.shape[2:])


def _mask_planes(masks: NDArray[Any], run: Any) -> NDArray[Any]:
    """Run a function of images on masks (samples, [depth,] height, width) of any integers."""
    if masks.size and max(abs(int(masks.min())), abs(int(masks.max()))) > _LARGEST_MASK:
        raise ValueError(f"expected masks of numbers up to {_LARGEST_MASK}, got {masks.max()}")
    planes = masks[:, None] if masks.ndim == 3 else masks
    moved = run(planes.astype(np.float32))
    return np.asarray(moved[:, 0] if masks.ndim == 3 else moved).astype(masks.dtype)


def _black(planes: NDArray[Any]) -> NDArray[np.float32]:
    return np.zeros(planes.shape[1], np.float32)


def _moved(boxes: NDArray[np.float32], forward: NDArray[Any]) -> NDArray[Any]:
    """The boxes around moved boxes; borders of pixels lie half a pixel beside their middles."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] - 0.5
    points = np.concatenate([corners, np.ones((*corners.shape[:2], 1))], -1) @ forward.T
    places = points[..., :2] / points[..., 2:] + 0.5
    return np.concatenate([places.min(1), places.max(1)], 1)


def _shears(shear: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    if shear is None:
        return (0.0, 0.0), (0.0, 0.0)
    if isinstance(shear, (tuple, list)) and len(shear) == 4:
        return interval(tuple(shear[:2]), "shear"), interval(tuple(shear[2:]), "shear")
    return around(shear, "shear", 0.0), (0.0, 0.0)
