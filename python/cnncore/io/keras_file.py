# SPDX-License-Identifier: Apache-2.0
"""Weights of Keras 3 (`.keras` and `.weights.h5`) in the names and layouts of layers here.

A file has a group `layers/<kind>_<number>` for each layer with its variables, numbered, and its name.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from io import BufferedReader
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .archives import damage
from .hdf5 import Layer, read_layers

Array = NDArray[Any]

_CONFIG_BYTES = 1 << 26


def _kernel(kernel: Array) -> Array:
    """Turn (*kernel, inputs, outputs) into (outputs, inputs, *kernel)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _depthwise(kernel: Array) -> Array:
    """Turn (*kernel, channels, multiplier) into (channels * multiplier, 1, *kernel)."""
    turned = np.moveaxis(kernel, (-2, -1), (0, 1))
    return turned.reshape(-1, 1, *turned.shape[2:])


def _same(values: Array) -> Array:
    return values


_WEIGHT = (("weight", _kernel), ("bias", _same))
_SEPARABLE = (("depthwise.weight", _depthwise), ("pointwise.weight", _kernel), ("pointwise.bias", _same))
_SCALED = (("weight", _same), ("bias", _same))
_STATISTICS = (("running_mean", _same), ("running_var", _same))

Variables = tuple[tuple[str, Callable[[Array], Array]], ...]

_KINDS: dict[str, Variables] = {
    **dict.fromkeys((f"conv{rank}d" for rank in (1, 2, 3)), _WEIGHT),
    **dict.fromkeys((f"conv{rank}d_transpose" for rank in (1, 2, 3)), _WEIGHT),
    **dict.fromkeys(("depthwise_conv1d", "depthwise_conv2d"), (("weight", _depthwise), ("bias", _same))),
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), _SEPARABLE),
    "dense": (("weight", np.transpose), ("bias", _same)),
    "embedding": (("weight", _same),),
    "batch_normalization": (*_SCALED, *_STATISTICS),
    "layer_normalization": _SCALED,
    "group_normalization": _SCALED,
}
"""Names and layouts of a layer's variables, in Keras's order, by the kind in the group's name."""


def read(
    file: BufferedReader,
    path: str | os.PathLike[str],
    flattened: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Array]:
    """Return the arrays of an open file; `load_keras` says the rest."""

    def refusal(text: str) -> ValueError:
        return ValueError(f"{os.fsdecode(path)}: cannot be read as weights of Keras 3: {text}")

    zipped = file.peek(4)[:4] == b"PK\x03\x04"
    configs: dict[str, Any] = {}
    stream: IO[bytes]
    with TemporaryFile() if zipped else nullcontext(file) as stream:
        if zipped:
            with damage(refusal):
                configs = _unpacked(file, stream)
        available = stream.seek(0, os.SEEK_END)
        try:
            layers = read_layers(stream, available)
        except ValueError as error:
            raise refusal(str(error)) from None
    arrays: dict[str, Array] = {}
    with damage(refusal):
        for layer in layers:
            arrays.update(_converted(layer, configs.get(layer.name, {})))
        for name, shape in (flattened or {}).items():
            arrays[f"{name}.weight"] = _from_flattened(name, arrays, shape)
        return arrays


def _unpacked(file: BufferedReader, weights: IO[bytes]) -> dict[str, Any]:
    """Write the HDF5 file in an archive to `weights`; return the settings of layers by name."""
    with zipfile.ZipFile(file) as archive:
        parts = {info.filename: info for info in archive.infolist()}
        info = parts.get("model.weights.h5")
        config = parts.get("config.json")
        if info is None or config is None:
            raise ValueError("expected model.weights.h5 and config.json in the archive")
        if info.compress_type != zipfile.ZIP_STORED or config.file_size > _CONFIG_BYTES:
            raise ValueError("its weights are compressed, as Keras does not do")
        found: dict[str, Any] = {}
        waiting = [json.loads(archive.read(config))]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                settings = value.get("config")
                if isinstance(settings, dict) and isinstance(settings.get("name"), str):
                    found[settings["name"]] = settings
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
        with archive.open(info) as member:
            copyfileobj(member, weights)
        weights.flush()
        return found


def _converted(layer: Layer, config: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    """Yield a layer's variables by the names and in the layouts of layers here."""
    key, path, _, arrays = layer
    kind = re.sub(r"_\d+$", "", key)
    wanted = _KINDS.get(kind)
    if wanted is None:
        for number, values in enumerate(arrays):
            yield f"{path}vars.{number}", values
        return
    absent = {
        "weight" if setting == "scale" else "bias"
        for setting in ("scale", "center")
        if kind.endswith("normalization") and config.get(setting) is False
    }
    wanted = tuple(variable for variable in wanted if variable[0] not in absent)
    if len(arrays) < len(wanted) and wanted[-1][0].endswith("bias") and not kind.endswith("normalization"):
        wanted = wanted[:-1]
    if len(arrays) != len(wanted):
        raise ValueError(
            f"{path[:-1]}: expected {len(wanted)} variables of a {kind}, got {len(arrays)}; "
            "a .keras file says which of them there are"
        )
    for (name, turn), values in zip(wanted, arrays, strict=True):
        yield path + name, np.ascontiguousarray(turn(values))


def _from_flattened(name: str, arrays: Mapping[str, Array], shape: Sequence[int]) -> Array:
    """Return a dense layer's weight for maps flattened with channels first."""
    weight = arrays.get(f"{name}.weight")
    channels, *extents = shape
    if weight is None or weight.ndim != 2 or weight.shape[1] != np.prod(shape):
        raise ValueError(
            f"flattened: expected a dense layer {name!r} of {int(np.prod(shape))} inputs, "
            f"got {None if weight is None else weight.shape}"
        )
    last = weight.reshape(-1, *extents, channels)
    return np.ascontiguousarray(np.moveaxis(last, -1, 1).reshape(weight.shape))
