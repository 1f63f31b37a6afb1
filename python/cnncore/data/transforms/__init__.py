# SPDX-License-Identifier: Apache-2.0
"""Transforms of images, signals and volumes for training, by torchvision's names.

Every transform is a function of one sample, ``transform(image)`` or ``transform(image, mask=...,
boxes=...)``, and works on whole batches in a `DataLoader`, where the random numbers of a sample follow from
(seed, epoch, sample number). Images are (channels, height, width), uint8 from 0 to 255 or floats from 0 to 1;
the transforms that do not speak of rows take signals (channels, time), too, and most take volumes
(channels, depth, height, width).
"""

from .colour import (
    ColorJitter,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from .crops import CenterCrop, Pad, RandomCrop, RandomFlip, RandomHorizontalFlip, RandomVerticalFlip
from .mixing import CutMix, MixUp, Mixup, Mosaic
from .policies import AutoAugment, RandAugment, TrivialAugmentWide
from .signals import (
    FrequencyMasking,
    RandomGain,
    RandomReverseComplement,
    RandomTimeShift,
    SpecAugment,
    TimeMasking,
)
from .sizes import RandomResizedCrop, Resize
from .transform import Compose, Lambda, RandomApply, RandomChoice, RandomOrder, Transform
from .values import Normalize, RandomErasing, ToFloat
from .warps import ElasticTransform, RandomAffine, RandomPerspective, RandomRotation

__all__ = [
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "ElasticTransform",
    "FrequencyMasking",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Lambda",
    "MixUp",
    "Mixup",
    "Mosaic",
    "Normalize",
    "Pad",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomFlip",
    "RandomGain",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomReverseComplement",
    "RandomRotation",
    "RandomSolarize",
    "RandomTimeShift",
    "RandomVerticalFlip",
    "Resize",
    "SpecAugment",
    "TimeMasking",
    "ToFloat",
    "Transform",
    "TrivialAugmentWide",
]
