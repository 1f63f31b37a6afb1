# SPDX-License-Identifier: Apache-2.0
"""What all transforms are: functions of an image, of an image with its mask and boxes, or of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._checks import real
from .draws import Draws
from .samples import Samples

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder", "Transform"]

_free = np.random.default_rng()


class Transform:
    """A function of samples, with random numbers that belong to each sample.

    ``transform(image)`` returns the changed image; ``transform(image, mask=..., boxes=...)`` a dict with the
    same names, all moved alike. Calls draw new numbers each time; a `DataLoader` draws those that follow from
    (seed, epoch, sample number), whatever the number of its workers. Images are (channels, *extents), uint8
    from 0 to 255 or floats from 0 to 1: signals of one axis, images of two, volumes of three.

    A subclass overrides `apply`.

    Raises:
        ValueError: in a call, arrays that are no image, mask or boxes, or of a number of axes that the
            transform does not take.

    >>> from dataclasses import replace
    >>> class Brighter(Transform):
    ...     def apply(self, samples, draws):
    ...         return replace(samples, images=samples.images + np.float32(0.5))
    >>> Brighter()(np.zeros((1, 2, 2), np.float32)).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """

    spatial: tuple[int, ...] = (1, 2, 3)
    """Numbers of axes, channels aside, that it works on."""

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        """Return the changed samples; `draws` has their random numbers."""
        raise NotImplementedError(f"{type(self).__name__} does not override apply")

    def included_in(self, following: Transform) -> bool:
        """Whether `following` does first what this transform does, which is then left out before it."""
        return False

    def __call__(self, image: Any, mask: Any = None, boxes: Any = None, seed: int | None = None) -> Any:
        """Transform one sample.

        Args:
            image: (channels, *extents).
            mask: (*extents), moved as the image is.
            boxes: (boxes, 4 or more): left, top, right, bottom in pixels, and what else belongs to a box.
            seed: of the random numbers; None draws new ones.

        Returns:
            The image, or with a mask or boxes a dict of "image" and these.
        """
        array = as_image(image)
        samples = Samples(
            array[None],
            None if mask is None else _as_mask(mask, array)[None],
            None if boxes is None else [_as_boxes(boxes)],
        )
        number = int(_free.integers(2**63)) if seed is None else seed
        done = self.run(samples, Draws.of(number, 0, [0]))
        if done.masks is None and done.boxes is None:
            return done.images[0]
        result = {"image": done.images[0]}
        if done.masks is not None:
            result["mask"] = done.masks[0]
        if done.boxes is not None:
            result["boxes"] = done.boxes[0]
        return result

    def run(self, samples: Samples, draws: Draws) -> Samples:
        """Check that the samples have a number of axes that this transform knows, and apply it.

        Raises:
            ValueError: images with another number of axes than this transform takes.
        """
        if len(samples.extents) not in self.spatial:
            known = " or ".join(map(str, self.spatial))
            raise ValueError(
                f"[{type(self).__name__}] expected images (channels, *extents) of {known} axes beside the "
                f"channels, got shape {samples.images.shape[1:]}"
            )
        return self.apply(samples, draws)

    def batch(
        self, images: Any, draws: Draws, masks: Any = None, boxes: Any = None, labels: Any = None
    ) -> Samples:
        """Transform a batch: an array of images, or a sequence of images of several extents.

        Args:
            images: (samples, channels, *extents), or a sequence of (channels, *extents).
            draws: the samples' random numbers.
            masks: (samples, *extents), or a sequence of (*extents).
            boxes: a sequence of (boxes, 4 or more).
            labels: (samples, ...).

        Raises:
            ValueError: images that have not all become of one size.
        """
        moved = None if boxes is None else [_as_boxes(b) for b in boxes]
        numbers = None if labels is None else np.asarray(labels)
        if isinstance(images, np.ndarray) and images.dtype != object:
            pixels = None if masks is None else np.asarray(masks)
            return self.run(Samples(as_batch(images), pixels, moved, numbers), draws)
        done = []
        for i, image in enumerate(images):
            array = as_image(image)
            one = Samples(
                array[None],
                None if masks is None else _as_mask(masks[i], array)[None],
                None if moved is None else [moved[i]],
                None if numbers is None else numbers[i : i + 1],
            )
            done.append(self.run(one, draws.take([i])))
        return _joined(done, self)

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({settings})"


def _joined(parts: list[Samples], transform: Transform) -> Samples:
    shapes = sorted({part.images.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise ValueError(
            f"[{type(transform).__name__}] expected images of one shape in the end, got {shapes[0]} and "
            f"{shapes[1]}: Resize((height, width)) or a crop makes sizes equal, Grayscale the channels"
        )
    masks = [part.masks for part in parts if part.masks is not None]
    boxes = [part.boxes for part in parts if part.boxes is not None]
    labels = [part.labels for part in parts if part.labels is not None]
    return Samples(
        np.concatenate([part.images for part in parts]),
        np.concatenate(masks) if masks else None,
        [b for part in boxes for b in part] if boxes else None,
        np.concatenate(labels) if labels else None,
    )


def as_image(image: Any) -> NDArray[Any]:
    """An image as an array, floats as float32."""
    array = np.asarray(image)
    if array.dtype.kind not in "uif" or (array.dtype.kind in "ui" and array.dtype != np.uint8):
        raise TypeError(f"expected an image of uint8 (0 to 255) or floats (0 to 1), got {array.dtype}")
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"expected an image (channels, *extents) with elements, got shape {array.shape}")
    return array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)


def as_batch(images: NDArray[Any]) -> NDArray[Any]:
    """A batch (samples, channels, *extents) as an array, floats as float32."""
    if images.ndim < 3:
        raise ValueError(f"expected a batch (samples, channels, *extents), got shape {images.shape}")
    return as_image(images) if images.size else images


def _as_mask(mask: Any, image: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(mask)
    if array.shape != image.shape[1:]:
        raise ValueError(f"expected a mask of the image's extents {image.shape[1:]}, got {array.shape}")
    return array


def _as_boxes(boxes: Any) -> NDArray[np.float32]:
    array = np.asarray(boxes, np.float32)
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] < 4:
        raise ValueError(
            f"expected boxes (boxes, 4 or more): left, top, right, bottom, ..., got shape {array.shape}"
        )
    return array.astype(np.float32)


class Compose(Transform):
    """Transforms one after the other.

    Args:
        transforms: objects of `Transform`, or functions of one image.

    Raises:
        TypeError: something that is neither a Transform nor a function.

    >>> from cnncore.data import transforms
    >>> chain = transforms.Compose([transforms.CenterCrop(4), transforms.ToFloat()])
    >>> chain(np.full((1, 6, 6), 51, np.uint8)).shape
    (1, 4, 4)
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = [as_transform(transform) for transform in transforms]

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        following = [*self.transforms[1:], Transform()]
        for i, transform in enumerate(self.transforms):
            if not transform.included_in(following[i]):
                samples = transform.run(samples, draws.fork(i))
        return samples

    def __repr__(self) -> str:
        inner = "".join(f"    {transform!r},\n" for transform in self.transforms)
        return f"Compose([\n{inner}])"


class Lambda(Transform):
    """A function of one image (channels, *extents), called for each.

    Raises:
        TypeError: `function` cannot be called.

    >>> Lambda(lambda image: image[:, ::-1])(np.array([[0.0, 1.0]])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, function: Callable[[NDArray[Any]], Any]) -> None:
        if not callable(function):
            raise TypeError(f"expected a Transform or a function of an image, got {function!r}")
        self.function = function

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        return samples.with_images(np.stack([np.asarray(self.function(image)) for image in samples.images]))


def as_transform(value: Any) -> Transform:
    """A Transform as it is, a function as one."""
    return value if isinstance(value, Transform) else Lambda(value)


class RandomApply(Transform):
    """Apply transforms to a sample with probability `p`; they keep its extents.

    Raises:
        TypeError: something that is neither a Transform nor a function.
        ValueError: `p` is not from 0 to 1.

    >>> RandomApply([Lambda(lambda image: image * 0)], p=1.0)(np.ones((1, 2, 2))).sum()
    np.float32(0.0)
    """

    def __init__(self, transforms: Sequence[Any], p: float = 0.5) -> None:
        self.transforms = Compose(transforms)
        self.p = probability(p)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        chosen = np.flatnonzero(draws.chance(self.p))
        return apply_to(self.transforms, samples, draws.fork(0), chosen)


class RandomChoice(Transform):
    """Apply one of several transforms to each sample; they keep its extents.

    Args:
        transforms: to choose from.
        p: their weights; equal by default.

    Raises:
        ValueError: nothing to choose from; weights that are not as many, negative or all 0.

    >>> RandomChoice([Lambda(lambda x: x * 0), Lambda(lambda x: x)], p=[1, 0])(np.ones((1, 2, 2))).sum()
    np.float32(0.0)
    """

    def __init__(self, transforms: Sequence[Any], p: Sequence[float] | None = None) -> None:
        self.transforms = [as_transform(transform) for transform in transforms]
        if not self.transforms:
            raise ValueError("expected at least one transform to choose from, got none")
        weights = [1.0] * len(self.transforms) if p is None else [float(weight) for weight in p]
        if len(weights) != len(self.transforms) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise ValueError(f"expected {len(self.transforms)} weights, not all of them 0, got p={p}")
        self.p = weights

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        limits = np.cumsum(self.p) / np.sum(self.p)
        choice = np.searchsorted(limits[:-1], draws.uniform(0, 1), side="right")
        for i, transform in enumerate(self.transforms):
            samples = apply_to(transform, samples, draws.fork(i), np.flatnonzero(choice == i))
        return samples


class RandomOrder(Transform):
    """Apply transforms that keep the extents in an order of each sample's own.

    Raises:
        TypeError: something that is neither a Transform nor a function.

    >>> RandomOrder([Lambda(lambda x: x + 1), Lambda(lambda x: x + 2)])(np.zeros((1, 1, 1))).item()
    3.0
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = [as_transform(transform) for transform in transforms]

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        order = np.argsort(draws.words((len(self.transforms),)), axis=1, kind="stable")
        for place in range(len(self.transforms)):
            for i, transform in enumerate(self.transforms):
                chosen = np.flatnonzero(order[:, place] == i)
                samples = apply_to(transform, samples, draws.fork(i), chosen)
        return samples


def apply_to(transform: Transform, samples: Samples, draws: Draws, chosen: NDArray[np.intp]) -> Samples:
    """Apply a transform to some of the samples."""
    if len(chosen) == 0:
        return samples
    if len(chosen) == len(samples):
        return transform.run(samples, draws)
    changed = transform.run(samples.take(chosen), draws.take(chosen))
    if changed.images.shape[1:] != samples.images.shape[1:]:
        raise ValueError(
            f"[{type(transform).__name__}] expected a transform of some samples to keep their shape "
            f"{samples.images.shape[1:]}, got {changed.images.shape[1:]}"
        )
    result = samples.copy()
    result.put(chosen, changed)
    return result


def probability(p: Any, name: str = "p") -> float:
    """A number from 0 to 1."""
    value = real(f"{name} to be a number", p)
    if not 0 <= value <= 1:
        raise ValueError(f"expected a probability from 0 to 1, got {name}={p}")
    return value
