# SPDX-License-Identifier: Apache-2.0
"""Models in other formats on the command line: convert, export, and ONNX files as models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn
from cnncore.cli import main
from cnncore.cli.onnx_file import Classifier

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: Capture, *arguments: str) -> Any:
    """Run a command that must succeed; return what it prints as JSON."""
    assert main([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fails(capsys: Capture, *arguments: str) -> str:
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == (2 if re.search("goe?s? with", err) else 1)  # options that do not go together
    assert out == ""
    assert err.count("\n") == 1
    return err


def small_model() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    model[1].running_mean.assign([0.1, 0.2, 0.3, 0.4])
    return model.eval()


PREPARATION = data.ImagePreprocessing(size=(8, 8), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25])


@pytest.fixture
def saved() -> nn.Module:
    """A model, that also lies in model.safetensors, and an image, image.npy."""
    model = small_model()
    cc.save(model, "model.safetensors", classes=["cat", "dog", "owl"], preprocessing=PREPARATION)
    np.save("image.npy", np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8))
    return model


# -- convert --------------------------------------------------------------------------------------------


def test_weights_keep_names_and_values(capsys: Capture, saved: nn.Module) -> None:
    state = saved.state_dict()
    assert main(["convert", "model.safetensors", "a.npz"]) == 0
    numbers = sum(value.size for value in state.values())
    assert capsys.readouterr().out == f"a.npz: {len(state)} arrays, {numbers:,} numbers\n"
    (result,) = run(capsys, "convert", "a.npz", "b.safetensors")
    assert result["arrays"] == {name: list(value.shape) for name, value in state.items()}
    for path in ("a.npz", "b.safetensors"):
        found = cc.load(path)
        assert found.keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(found[name], value)


def test_torch_checkpoints(capsys: Capture) -> None:
    torch = pytest.importorskip("torch")
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    torch.save({"model": {"a.weight": torch.zeros(1)}, "ema": tensors}, "m.pt")
    run(capsys, "convert", "m.pt", "m.safetensors", "--key", "ema")
    np.testing.assert_array_equal(cc.load("m.safetensors")["a.weight"], np.arange(6.0).reshape(2, 3))


def test_keras_files(capsys: Capture) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("m.weights.h5", "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables["0"] = np.arange(6, dtype=np.float32).reshape(3, 2)
        variables["1"] = np.zeros(2, np.float32)
    run(capsys, "convert", "m.weights.h5", "m.npz")
    np.testing.assert_array_equal(cc.load("m.npz")["dense.weight"], np.arange(6).reshape(3, 2).T)


def test_weights_of_onnx_files(capsys: Capture, onnx: Any, saved: nn.Module) -> None:
    run(capsys, "export", "model.safetensors", "m.onnx")
    run(capsys, "convert", "m.onnx", "again.safetensors")
    state = saved.state_dict()
    found = cc.load("again.safetensors")
    assert len(found) == len(state) - 1  # num_batches_tracked
    for name, value in found.items():
        np.testing.assert_array_equal(value, state[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pt", "a.npz"], "absent.pt: No such file or directory"),
        (["model.safetensors", "a.pt"], "written are .safetensors and .npz; torch reads safetensors"),
        (["model.safetensors", "a.onnx"], "cnncore export NAME FILE.onnx --weights WEIGHTS"),
        (["model.safetensors", "a.keras"], "Keras reads .npz"),
        (["model.safetensors", "a"], "choose one of these endings"),
        (["model.safetensors", "a.npz", "--key", "ema"], "--key goes with torch checkpoints"),
        (["image.npy", "a.npz"], "image.npy"),
        ([".", "a.npz"], "expected a file, got a folder"),
    ],
)
def test_what_is_not_converted(capsys: Capture, saved: nn.Module, arguments: list[str], message: str) -> None:
    assert message in fails(capsys, "convert", *arguments)
    assert not Path("a.npz").exists()


# -- export and ONNX files --------------------------------------------------------------------------------


@pytest.fixture
def onnx() -> Any:
    pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
    import cnncore.onnx

    return cnncore.onnx


@pytest.mark.parametrize(
    "options", [[], ["--normalize"], ["--softmax"], ["--dynamic-batch", "--opset", "13"]]
)
def test_predictions_of_an_exported_model(
    capsys: Capture, onnx: Any, saved: nn.Module, options: list[str]
) -> None:
    (result,) = run(capsys, "export", "model.safetensors", "m.onnx", *options)
    assert result["opset"] == (13 if "13" in options else 17)
    assert result["bytes"] == Path("m.onnx").stat().st_size
    wanted = run(capsys, "predict", "model.safetensors", "image.npy", "--top", "3")
    found = run(capsys, "predict", "m.onnx", "image.npy", "--top", "3")
    for a, b in zip(wanted[0]["top"], found[0]["top"], strict=True):
        assert a["class"] == b["class"]
        assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)


def test_batches_of_a_file_for_some_images(onnx: Any) -> None:
    model = small_model()
    x = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    for batch in (1, 2):
        loaded = onnx.load(onnx.export(model, None, (batch, 3, 8, 8)))
        classifier = Classifier(loaded, False, batch, False)
        np.testing.assert_allclose(classifier.predict(x), model(x), atol=1e-6)


def test_images_with_channels_last(capsys: Capture, onnx: Any, saved: nn.Module) -> None:
    turned = nn.Sequential(nn.Permute([0, 3, 1, 2]), saved).eval()
    metadata = {"cnncore.classes": '["cat", "dog", "owl"]'}
    onnx.export(turned, "last.onnx", (1, 8, 8, 3), metadata=metadata)
    onnx.export(saved, "first.onnx", (1, 3, 8, 8), metadata=metadata)
    last, first = (run(capsys, "predict", f"{name}.onnx", "image.npy") for name in ("last", "first"))
    assert last[0]["top"] == first[0]["top"]


def test_summary_profile_and_bench(capsys: Capture, onnx: Any, saved: nn.Module) -> None:
    run(capsys, "export", "model.safetensors", "m.onnx", "--dynamic-batch")
    (table,) = run(capsys, "summary", "m.onnx")
    assert table["input"] == [1, 3, 8, 8]
    assert table["parameters"] == sum(p.size for p in saved.parameters())
    (profile,) = run(capsys, "profile", "m.onnx", "--input", "2,3,8,8", "--repeats", "2")
    assert profile["input"] == [2, 3, 8, 8]
    assert {row["step"] for row in profile["steps"]} >= {"conv_forward"}
    (bench,) = run(capsys, "bench", "m.onnx", "--batch", "1,4", "--quick")
    assert [row["batch"] for row in bench["networks"]] == [1, 4]
    assert all(row["images_per_second"] > 0 for row in bench["networks"])


def test_a_named_network_with_weights(capsys: Capture, onnx: Any) -> None:
    model = cc.models.lenet5(classes=4)
    cc.save(model.state_dict(), "w.safetensors")
    run(
        capsys,
        *("export", "lenet5", "m.onnx", "--classes", "4", "--weights", "w.safetensors", "--dynamic-batch"),
    )
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(onnx.load("m.onnx")(x), model.eval()(x))


def test_what_fails(capsys: Capture, onnx: Any, saved: nn.Module) -> None:
    onnx.export(nn.Sequential(nn.Conv2d(3, 4, 3)), "open.onnx", (1, 3, 8, 8), dynamic_size=True)
    onnx.export(nn.Linear(3, 2), "table.onnx", (1, 3))
    Path("broken.onnx").write_bytes(b"not a model")
    for arguments, message in [
        (["export", "model.safetensors", "m.txt"], "expected the name of an ONNX file"),
        (["export", "model.safetensors", "m.onnx", "--opset", "12"], "expected an opset from 13 to"),
        (["export", "model.safetensors", "m.onnx", "--classes", "3"], "go with a network's name"),
        (
            ["export", "lenet5", "m.onnx", "--normalize"],
            "--normalize goes with a model that knows",
        ),
        (["export", "model.safetensors", "m.onnx", "--dynamic-size"], "expected input"),
        (["export", "absent", "m.onnx"], "expected a model file, an ONNX file or one of"),
        (["summary", "open.onnx"], "open.onnx: its input 'input' has open sizes (1,3,height,width)"),
        (["summary", "open.onnx", "--input", "1,4,8,8"], "expected an input of shape 1,3,height,width"),
        (["predict", "open.onnx", "image.npy"], "expected images of 1 or 3 channels and a fixed size"),
        (["predict", "table.onnx", "image.npy"], "expected a model that classifies images"),
        (["predict", "broken.onnx", "image.npy"], "broken.onnx: not an ONNX model"),
        (["profile", "absent"], "got 'absent'"),
        (["bench", "open.onnx"], "has open sizes"),
        (["bench", "open.onnx", "--layers"], "go without a MODEL"),
    ]:
        assert message in fails(capsys, *arguments)
    assert not Path("m.onnx").exists()
