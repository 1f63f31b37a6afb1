# SPDX-License-Identifier: Apache-2.0
"""Policies of augmentation: which changes an image gets, and how strong."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..settings import natural
from . import colours
from .arguments import fill_of, one_of
from .draws import Draws
from .policy_tables import CIFAR10, IMAGENET, SVHN
from .samples import Samples
from .transform import Transform
from .warps import MODES, about_middle, linear_maps, warped

__all__ = ["AutoAugment", "RandAugment", "TrivialAugmentWide"]


class _Strength(NamedTuple):
    """How strong a change is at the weakest and at the strongest setting, and whether its sign is drawn."""

    weakest: float
    strongest: float
    signed: bool


_SHIFT = 150 / 331
"""The largest shift as a share of the extent; the paper's images have 331 x 331 pixels."""
_GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_NARROW = {
    "ShearX": _Strength(0, 0.3, True),
    "ShearY": _Strength(0, 0.3, True),
    "TranslateX": _Strength(0, _SHIFT, True),
    "TranslateY": _Strength(0, _SHIFT, True),
    "Rotate": _Strength(0, 30, True),
    "Brightness": _Strength(0, 0.9, True),
    "Color": _Strength(0, 0.9, True),
    "Contrast": _Strength(0, 0.9, True),
    "Sharpness": _Strength(0, 0.9, True),
    "Posterize": _Strength(8, 4, False),
    "Solarize": _Strength(1, 0, False),
    "AutoContrast": _Strength(0, 0, False),
    "Equalize": _Strength(0, 0, False),
    "Invert": _Strength(0, 0, False),
    "Identity": _Strength(0, 0, False),
}
_WIDE = _NARROW | {
    "ShearX": _Strength(0, 0.99, True),
    "ShearY": _Strength(0, 0.99, True),
    "Rotate": _Strength(0, 135, True),
    "Brightness": _Strength(0, 0.99, True),
    "Color": _Strength(0, 0.99, True),
    "Contrast": _Strength(0, 0.99, True),
    "Sharpness": _Strength(0, 0.99, True),
    "Posterize": _Strength(8, 2, False),
}
_WIDE_SHIFT = 32
"""Pixels."""
_OF_RAND_AUGMENT = tuple(name for name in _NARROW if name != "Invert")


class _Policy(Transform):
    """Changes of a table, applied to groups of samples that get the same one."""

    spatial = (2,)

    def __init__(self, interpolation: str, fill: Any) -> None:
        self.interpolation = one_of(interpolation, "interpolation", MODES)
        self.fill = fill_of(fill)

    def change(self, samples: Samples, name: str, strength: NDArray[Any]) -> Samples:
        """Apply one kind of change of colours, of its own strength to each sample."""
        images = samples.images
        if name in _WITHOUT_STRENGTH:
            return samples.with_images(_WITHOUT_STRENGTH[name](images))
        if name == "Posterize":
            return samples.with_images(colours.posterize(images, np.rint(strength)))
        if name == "Solarize":
            unit = 255 if images.dtype == np.uint8 else 1
            return samples.with_images(colours.solarize(images, strength * unit))
        return samples.with_images(_BY_FACTOR[name](images, 1 + strength))

    def _move(self, samples: Samples, names: NDArray[Any], strength: NDArray[Any]) -> Samples:
        """Move each sample's pixels by the geometric change of its name."""
        size = samples.extents
        forward = np.tile(np.eye(3), (len(samples), 1, 1))
        turned = names == "Rotate"
        forward[turned] = linear_maps(-strength[turned])
        for row, axis in enumerate("XY"):
            sheared, shifted = names == f"Shear{axis}", names == f"Translate{axis}"
            forward[sheared, row, 1 - row] = strength[sheared]
            forward[shifted, row, 2] = np.trunc(strength[shifted])
        backward = np.linalg.inv(forward)
        backward[turned] = about_middle(backward[turned], size, size)
        return warped(samples, backward, (size[0], size[1]), self.interpolation, self.fill)

    def change_groups(
        self, samples: Samples, names: NDArray[Any], strength: NDArray[Any], active: NDArray[np.bool_]
    ) -> Samples:
        """Apply to each active sample the change of its name."""
        result = samples.copy()
        kinds, kind = np.unique(names, return_inverse=True)
        moved = np.flatnonzero(np.isin(kinds, _GEOMETRIC)[kind] & active)
        if len(moved):
            result.put(moved, self._move(samples.take(moved), names[moved], strength[moved]))
        for number, name in enumerate(kinds.tolist()):
            chosen = np.flatnonzero(active & (kind == number))
            if len(chosen) and name not in (*_GEOMETRIC, "Identity"):
                result.put(chosen, self.change(samples.take(chosen), name, strength[chosen]))
        return result


_WITHOUT_STRENGTH = {
    "AutoContrast": colours.autocontrast,
    "Equalize": colours.equalize,
    "Invert": colours.invert,
}
_BY_FACTOR = {
    "Brightness": colours.adjust_brightness,
    "Color": colours.adjust_saturation,
    "Contrast": colours.adjust_contrast,
    "Sharpness": colours.adjust_sharpness,
}


class RandAugment(_Policy):
    """Apply `num_ops` random changes of one strength (Cubuk et al., 2019).

    Args:
        num_ops: changes, one after the other.
        magnitude: their strength, 0 to num_magnitude_bins - 1.
        num_magnitude_bins: levels of strength.
        interpolation: "nearest" or "bilinear".
        fill: the colour of what comes in from outside, in the image's own unit.

    Raises:
        ValueError: `magnitude` is not below `num_magnitude_bins`.

    >>> RandAugment()(np.zeros((3, 32, 32), np.uint8)).shape
    (3, 32, 32)
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: str = "nearest",
        fill: Any = 0,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_ops = natural("num_ops", num_ops, 0)
        self.num_magnitude_bins = natural("num_magnitude_bins", num_magnitude_bins, 2)
        self.magnitude = natural("magnitude", magnitude, 0)
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(f"expected magnitude below {num_magnitude_bins}, got {magnitude}")

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        names = np.array(_OF_RAND_AUGMENT)
        everything = np.ones(len(samples), bool)
        for _ in range(self.num_ops):
            chosen = names[draws.integers(len(names))]
            level = np.full(len(samples), self.magnitude)
            signs = np.where(draws.chance(0.5), -1, 1)
            strength = _strengths(_NARROW, chosen, level, self.num_magnitude_bins, signs, samples.extents)
            samples = self.change_groups(samples, chosen, strength, everything)
        return samples


class TrivialAugmentWide(_Policy):
    """Apply one random change of a random strength (Müller and Hutter, 2021).

    Args:
        num_magnitude_bins: levels of strength.
        interpolation: "nearest" or "bilinear".
        fill: the colour of what comes in from outside, in the image's own unit.

    Raises:
        ValueError: fewer than 2 magnitudes.

    >>> TrivialAugmentWide()(np.zeros((3, 32, 32), np.uint8)).shape
    (3, 32, 32)
    """

    def __init__(self, num_magnitude_bins: int = 31, interpolation: str = "nearest", fill: Any = 0) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = natural("num_magnitude_bins", num_magnitude_bins, 2)

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        names = np.array(_OF_RAND_AUGMENT)
        chosen = names[draws.integers(len(names))]
        level = draws.integers(self.num_magnitude_bins)
        signs = np.where(draws.chance(0.5), -1, 1)
        height, width = samples.extents
        table = _WIDE | {
            "TranslateX": _Strength(0, _WIDE_SHIFT / width, True),
            "TranslateY": _Strength(0, _WIDE_SHIFT / height, True),
        }
        strength = _strengths(table, chosen, level, self.num_magnitude_bins, signs, samples.extents)
        return self.change_groups(samples, chosen, strength, np.ones(len(samples), bool))


class AutoAugment(_Policy):
    """Apply one of 25 pairs of changes that were found by search (Cubuk et al., 2018).

    Args:
        policy: "imagenet", "cifar10" or "svhn", the data the search was made for.
        interpolation: "nearest" or "bilinear".
        fill: the colour of what comes in from outside, in the image's own unit.

    Raises:
        ValueError: an unknown policy.

    >>> AutoAugment("cifar10")(np.zeros((3, 32, 32), np.uint8)).shape
    (3, 32, 32)
    """

    def __init__(self, policy: str = "imagenet", interpolation: str = "nearest", fill: Any = 0) -> None:
        super().__init__(interpolation, fill)
        self.policy = one_of(policy, "policy", tuple(_POLICIES))

    def apply(self, samples: Samples, draws: Draws) -> Samples:
        pairs = _POLICIES[self.policy]
        chosen = draws.integers(len(pairs))
        for half in range(2):
            names = np.array([pairs[i][half].name for i in chosen])
            level = np.array([pairs[i][half].level for i in chosen])
            p = np.array([pairs[i][half].p for i in chosen])
            signs = np.where(draws.chance(0.5), -1, 1)
            active = draws.uniform(0, 1) < p
            strength = _strengths(_NARROW, names, level, 10, signs, samples.extents)
            samples = self.change_groups(samples, names, strength, active)
        return samples


_POLICIES = {"imagenet": IMAGENET, "cifar10": CIFAR10, "svhn": SVHN}


def _strengths(
    table: dict[str, _Strength],
    names: NDArray[Any],
    levels: NDArray[Any],
    bins: int,
    signs: NDArray[Any],
    extents: tuple[int, ...],
) -> NDArray[np.float64]:
    """Each sample's strength: between the weakest at level 0 and the strongest at level bins - 1."""
    kinds, kind = np.unique(names, return_inverse=True)
    rows = [table[name] for name in kinds.tolist()]
    weakest, strongest = (np.array([row[i] for row in rows], np.float64)[kind] for i in range(2))
    strength = weakest + (strongest - weakest) * levels / (bins - 1)
    pixels = {"TranslateX": extents[1], "TranslateY": extents[0]}
    strength *= np.array([pixels.get(name, 1) for name in kinds.tolist()])[kind]
    return np.asarray(
        np.where(np.array([row.signed for row in rows])[kind], signs * strength, strength), np.float64
    )
