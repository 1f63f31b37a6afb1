# SPDX-License-Identifier: Apache-2.0
"""What images have to look like for published weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import ops
from .._checks import is_index
from ..nn.arguments import finite, flag, ntuple, one_of, positive, several

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Preprocessing(NamedTuple):
    """Resizing, cropping and normalisation of images for a network's published weights.

    Fields:
        resize: extent of the shorter side, or (height, width); None keeps the size.
        crop: extent of the square cut from the middle, or (height, width); None cuts nothing.
        mean, std: of each channel, for values of 0 to 1.
        interpolation: "bilinear" or "bicubic".
        antialias: whether shrinking takes all pixels into account.
        video: whether images are frames of a video.

    Called with an image or images (..., channels, height, width), uint8 or floats of 0 to 1; returns
    float32. A video is (..., frames, channels, height, width) and becomes (..., channels, frames, height,
    width).

    Raises:
        ValueError: images of other axes or channels than (..., channels, height, width).
        TypeError: images of another dtype than uint8 or floats.

    >>> import numpy as np
    >>> Preprocessing(resize=16, crop=12)(np.zeros((3, 20, 32), np.uint8)).shape
    (3, 12, 12)
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    interpolation: str = "bilinear"
    antialias: bool = True
    video: bool = False

    def __call__(self, images: Any) -> NDArray[np.float32]:
        self._check()
        array = np.asarray(images)
        if array.ndim < 3 + self.video or array.shape[-3] != len(self.mean) or 0 in array.shape:
            what = "videos (..., frames" if self.video else "images (..."
            raise ValueError(f"expected {what}, {len(self.mean)}, height, width), got shape {array.shape}")
        values = array.astype(np.float32)
        if array.dtype == np.uint8:
            values /= 255
        elif array.dtype.kind != "f":
            raise TypeError(f"expected images of uint8 or floats, got dtype {array.dtype}")
        flat = values.reshape(-1, *values.shape[-3:])
        size = self._resized(flat.shape[2], flat.shape[3])
        if size != flat.shape[2:]:
            flat = ops.interpolate(flat, size=size, mode=self.interpolation, antialias=self.antialias)
            if array.dtype == np.uint8:
                flat = np.rint(np.clip(flat, 0, 1) * 255) / np.float32(255)
        flat = self._cropped(np.asarray(flat))
        mean, std = (np.array(value, np.float32).reshape(-1, 1, 1) for value in (self.mean, self.std))
        result: NDArray[np.float32] = (flat - mean) / std
        result = result.reshape(*values.shape[:-2], *flat.shape[2:])
        return np.ascontiguousarray(np.swapaxes(result, -4, -3)) if self.video else result

    def _check(self) -> None:
        """Raise for settings that are none: a named tuple takes whatever it is made with."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            for value in several(name, values, "numbers"):
                finite(name, value)
        if len(self.std) != len(self.mean) or 0 in self.std:
            raise ValueError(f"expected std other than 0 of {len(self.mean)} channels, got {self.std!r}")
        one_of("interpolation", self.interpolation, ("bilinear", "bicubic"))
        flag("antialias", self.antialias)
        flag("video", self.video)

    def _resized(self, height: int, width: int) -> tuple[int, ...]:
        if self.resize is None:
            return height, width
        if not is_index(self.resize):
            return ntuple("resize", self.resize, 1, 2)
        shorter = positive("resize", self.resize)
        short, long = sorted((height, width))
        other = int(shorter * long / short)
        return (shorter, other) if height <= width else (other, shorter)

    def _cropped(self, images: NDArray[Any]) -> NDArray[Any]:
        """Cut from the middle; where the image is smaller, zeros surround it."""
        if self.crop is None:
            return images
        extents = ntuple("crop", self.crop, 1, 2)
        missing = [max(extent - has, 0) for extent, has in zip(extents, images.shape[2:], strict=True)]
        if any(missing):
            around = [(0, 0), (0, 0), *((n // 2, (n + 1) // 2) for n in missing)]
            images = np.pad(images, around)
        top, left = (round((has - extent) / 2) for extent, has in zip(extents, images.shape[2:], strict=True))
        return images[:, :, top : top + extents[0], left : left + extents[1]]


_FIRST: dict[Preprocessing, str] = {
    Preprocessing(): """
        alexnet densenet121 densenet161 densenet169 densenet201 googlenet mnasnet0_5 mnasnet1_0 mobilenet_v2
        mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf
        regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf
        regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50
        resnext101_32x8d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1
        vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_l_32
        wide_resnet101_2 wide_resnet50_2""",
    Preprocessing(230): "convnext_small",
    Preprocessing(232): """
        convnext_base convnext_large mnasnet0_75 mnasnet1_3 resnext101_64x4d shufflenet_v2_x1_5
        shufflenet_v2_x2_0""",
    Preprocessing(236): "convnext_tiny",
    Preprocessing(242): "vit_l_16",
    Preprocessing(342, 299): "inception_v3",
    Preprocessing(256, 224, interpolation="bicubic"): "efficientnet_b0",
    Preprocessing(256, 240, interpolation="bicubic"): "efficientnet_b1",
    Preprocessing(288, 288, interpolation="bicubic"): "efficientnet_b2",
    Preprocessing(320, 300, interpolation="bicubic"): "efficientnet_b3",
    Preprocessing(384, 380, interpolation="bicubic"): "efficientnet_b4",
    Preprocessing(456, 456, interpolation="bicubic"): "efficientnet_b5",
    Preprocessing(528, 528, interpolation="bicubic"): "efficientnet_b6",
    Preprocessing(600, 600, interpolation="bicubic"): "efficientnet_b7",
    Preprocessing(384, 384): "efficientnet_v2_s",
    Preprocessing(480, 480): "efficientnet_v2_m",
    Preprocessing(480, 480, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic"): "efficientnet_v2_l",
    Preprocessing(None, None): "resnet20 resnet32 resnet44 resnet56 resnet110",
    Preprocessing(520, None): """
        segmentation.deeplabv3_mobilenet_v3_large segmentation.deeplabv3_resnet101
        segmentation.deeplabv3_resnet50 segmentation.fcn_resnet101 segmentation.fcn_resnet50
        segmentation.lraspp_mobilenet_v3_large""",
    Preprocessing(
        (128, 171),
        112,
        (0.43216, 0.394666, 0.37645),
        (0.22803, 0.22145, 0.216989),
        antialias=False,
        video=True,
    ): "video.mc3_18 video.r2plus1d_18 video.r3d_18",
}
"""For the first weights published for a network: IMAGENET1K_V1, KINETICS400_V1 and the like."""

_SECOND: dict[Preprocessing, str] = {
    Preprocessing(232): """
        mobilenet_v2 mobilenet_v3_large regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf
        regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf
        regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet50 resnext101_32x8d
        resnext50_32x4d wide_resnet101_2 wide_resnet50_2""",
    Preprocessing(255, 240): "efficientnet_b1",
}
_END_TO_END: dict[Preprocessing, str] = {
    Preprocessing(384, 384, interpolation="bicubic"): "regnet_y_128gf regnet_y_16gf regnet_y_32gf vit_b_16",
    Preprocessing(512, 512, interpolation="bicubic"): "vit_l_16",
    Preprocessing(518, 518, interpolation="bicubic"): "vit_h_14",
}
_LINEAR: dict[Preprocessing, str] = {
    Preprocessing(224, 224, interpolation="bicubic"): """
        regnet_y_128gf regnet_y_16gf regnet_y_32gf vit_b_16 vit_h_14 vit_l_16""",
}

_WEIGHTS = {
    "V1": _FIRST,
    "V2": _SECOND,
    "SWAG_E2E_V1": _END_TO_END,
    "SWAG_LINEAR_V1": _LINEAR,
}


def preprocessing(name: str, weights: str = "DEFAULT") -> Preprocessing:
    """Return what images have to look like for a network's published weights.

    Args:
        name: a network of `models.list()`; "video." and the like may be left out.
        weights: which weights: "V1", "V2", "SWAG_E2E_V1", "SWAG_LINEAR_V1" or torchvision's longer names,
            such as "IMAGENET1K_V2"; "DEFAULT" are those that torchvision calls so, its best ones.

    Returns:
        A `Preprocessing`, to be called with images.

    Raises:
        ValueError: no weights of that name are known for the network.

    >>> preprocessing("resnet50", "IMAGENET1K_V1").resize, preprocessing("resnet50").resize
    (256, 232)
    """
    if not isinstance(weights, str):
        raise TypeError(f"expected weights as a name such as 'DEFAULT' or 'IMAGENET1K_V1', got {weights!r}")
    short = weights.split("_", 1)[1] if weights.startswith(("IMAGENET1K_", "KINETICS400_")) else weights
    short = "V1" if short == "COCO_WITH_VOC_LABELS_V1" else short
    known = {}
    for version, table in _WEIGHTS.items():
        for settings, names in table.items():
            if str(name) in [form for full in names.split() for form in (full, full.rpartition(".")[2])]:
                known[version] = settings
    if short == "DEFAULT" and known:
        # torchvision's default is the second set where there is one.
        return known.get("V2") or known.get("V1") or known["SWAG_E2E_V1"]
    if short not in known:
        raise ValueError(f"expected weights of {name} among {', '.join(known) or 'none'}, got {weights!r}")
    return known[short]
