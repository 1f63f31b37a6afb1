# SPDX-License-Identifier: Apache-2.0
"""Weights of Keras 3, in files written as Keras writes them."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import io, nn

h5py = pytest.importorskip("h5py")

RNG = np.random.default_rng(0)
KERNEL, DENSE = RNG.normal(size=(3, 5, 2, 4)).astype("f4"), RNG.normal(size=(24, 6)).astype("f4")
LAYERS: dict[str, tuple[str, list[Any]]] = {
    "conv2d": ("first", [KERNEL, np.arange(4.0)]),
    "conv2d_transpose": ("up", [RNG.normal(size=(2, 2, 3, 5))]),
    "depthwise_conv2d": ("deep", [RNG.normal(size=(3, 3, 4, 2)), np.arange(8.0)]),
    "separable_conv2d": (
        "apart",
        [RNG.normal(size=(3, 3, 2, 1)), RNG.normal(size=(1, 1, 2, 5)), np.arange(5.0)],
    ),
    "batch_normalization": ("norm", [np.arange(4.0) + n for n in range(4)]),
    "dense": ("dense", [DENSE, np.arange(6.0)]),
    "re_lu": ("re_lu", []),
    "special": ("special", [np.arange(3.0)]),
}


def write(target: Any, layers: dict[str, tuple[str, list[Any]]] = LAYERS) -> None:
    with h5py.File(target, "w") as file:
        file.create_group("vars").attrs["name"] = "sequential"
        for key, (name, arrays) in layers.items():
            group = file.create_group(f"layers/{key}/vars")
            group.attrs["name"] = name
            for number, values in enumerate(arrays):
                group[str(number)] = np.asarray(values, np.float32)


def test_names_and_layouts(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    write(path)
    arrays = cc.load_keras(path)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "first.weight": (4, 2, 3, 5),
        "first.bias": (4,),
        "up.weight": (5, 3, 2, 2),
        "deep.weight": (8, 1, 3, 3),
        "deep.bias": (8,),
        "apart.depthwise.weight": (2, 1, 3, 3),
        "apart.pointwise.weight": (5, 2, 1, 1),
        "apart.pointwise.bias": (5,),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "norm.running_var": (4,),
        "dense.weight": (6, 24),
        "dense.bias": (6,),
        "special.vars.0": (3,),
    }
    assert arrays["first.weight"][3, 1, 2, 4] == KERNEL[2, 4, 1, 3]
    assert arrays["deep.weight"][5, 0, 1, 2] == np.float32(LAYERS["depthwise_conv2d"][1][0][1, 2, 2, 1])
    assert arrays["up.weight"][4, 2, 1, 0] == np.float32(LAYERS["conv2d_transpose"][1][0][1, 0, 2, 4])
    np.testing.assert_array_equal(arrays["norm.running_var"], np.arange(4) + 3)


def test_dense_layers_behind_maps(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    write(path)
    turned = cc.load_keras(path, flattened={"dense": (4, 2, 3)})["dense.weight"]
    maps = RNG.normal(size=(2, 4, 2, 3)).astype(np.float32)
    theirs = np.moveaxis(maps, 1, -1).reshape(2, -1) @ DENSE
    np.testing.assert_allclose(maps.reshape(2, -1) @ turned.T, theirs, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"a dense layer 'dense' of 30 inputs, got \(6, 24\)"):
        cc.load_keras(path, flattened={"dense": (5, 2, 3)})


def test_models_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    write(path, {name: LAYERS[name] for name in ("conv2d", "batch_normalization")})
    model = nn.Sequential(nn.Conv2d(2, 4, (3, 5)), nn.BatchNorm2d(4, eps=1e-3, momentum=0.01))
    assert io.load_into(model, path, rename=[("^first", "0"), ("^norm", "1")]) == ([], [])
    np.testing.assert_array_equal(model[0].weight, KERNEL.transpose(3, 2, 0, 1))


def archive(path: Path, config: Any, layers: dict[str, tuple[str, list[Any]]]) -> Path:
    stream = BytesIO()
    write(stream, layers)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", stream.getvalue())
    return path


def test_settings_say_what_norms_have(tmp_path: Path) -> None:
    layers = {"batch_normalization": ("norm", [np.arange(4.0) + n for n in range(3)])}
    config = {"config": {"layers": [{"config": {"name": "norm", "scale": False, "center": True}}]}}
    arrays = cc.load_keras(archive(tmp_path / "m.keras", config, layers))
    assert list(arrays) == ["norm.bias", "norm.running_mean", "norm.running_var"]
    write(tmp_path / "m.weights.h5", layers)
    with pytest.raises(
        ValueError, match=r"norm: expected 4 variables of a batch_normalization, got 3; a \.keras"
    ):
        cc.load_keras(tmp_path / "m.weights.h5")


def test_what_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    write(tmp_path / "other.h5", {"conv2d": LAYERS["conv2d"]})
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("other.h5", "/layers")
    with pytest.raises(ValueError, match="layers is a link to another place"):
        cc.load_keras(path)
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars").create_dataset("0", (1 << 40,), "f4", chunks=(1 << 20,))
    with pytest.raises(ValueError, match="that the file has no bytes for"):
        cc.load_keras(path)
    for contents in (b"", b"\x89HDF\r\n\x1a\n" + bytes(100), b"PK\x03\x04"):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match="cannot be read as weights of Keras 3"):
            cc.load_keras(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    with pytest.raises(ValueError, match=r"expected model\.weights\.h5 and config\.json"):
        cc.load_keras(path)
