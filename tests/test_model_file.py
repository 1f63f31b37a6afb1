# SPDX-License-Identifier: Apache-2.0
"""`cc.save` with what a model needs, and `cc.load_model`."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.cli import main
from cnncore.io import safetensors
from cnncore.models.convnext import CNBlockConfig
from cnncore.nn.definition import Builder, Indescribable, describe
from cnncore.train import Trainer

RNG = np.random.default_rng(0)


def image(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


class Block(nn.Module):
    def __init__(self, channels: int, act: str = "relu", *, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = scale
        self.act = act

    def forward(self, x: Any) -> Any:
        return getattr(cc.ops, self.act)(self.conv(x)) * self.scale


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: Any) -> Any:
        return self.decode(self.encode(x))


def surgery() -> nn.Module:
    model = models.resnet18(classes=10, norm_layer=partial(nn.GroupNorm, 4))
    model.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 3))
    model.layer4[1] = nn.Identity()
    return model


def changed_sequence() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU(), nn.Flatten())
    model.insert(3, nn.MaxPool2d(2))
    del model[2]
    model.append(nn.Linear(8 * 16 * 16, 4))
    return model


def settings_changed_later() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1))
    model[1].negative_slope = 0.7
    return model


def tied() -> nn.Module:
    model = Tied()
    model.decode.weight = model.encode.weight
    return model


def shared() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer)


def lazy() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    model(image(1, 3, 32, 32))
    return model


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet5": (models.lenet5, (2, 1, 28, 28)),
    "resnet20": (lambda: models.resnet20(classes=3, in_channels=1), (2, 1, 32, 32)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=5), (1, 3, 32, 32)),
    "unet": (lambda: models.unet(in_channels=3, classes=2, width=4), (1, 3, 32, 32)),
    "vgg11": (lambda: nn.Sequential(*list(models.vgg11_bn(classes=2).children())[:1]), (1, 3, 32, 32)),
    "surgery": (surgery, (1, 3, 32, 32)),
    "changed sequence": (changed_sequence, (1, 3, 32, 32)),
    "settings changed": (settings_changed_later, (1, 3, 32, 32)),
    "lazy": (lazy, (2, 3, 32, 32)),
    "shared": (shared, (2, 4)),
    "dict": (lambda: nn.ModuleDict({"a": nn.Linear(4, 2)})["a"], (2, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_are_made_again(name: str, tmp_path: Path) -> None:
    make, shape = MODELS[name]
    model, x = make(), image(*shape)
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.assign(RNG.normal(size=buffer.shape).astype(np.float32))
    path = tmp_path / "m.safetensors"
    cc.save(model, path)
    cc.manual_seed(3)
    drawn = nn.Linear(2, 2).weight.numpy().copy()
    cc.manual_seed(3)
    again = cc.load_model(path)
    assert (nn.Linear(2, 2).weight.numpy() == drawn).all()
    assert repr(again) == repr(model)
    assert not any(module.training for module in again.modules())
    assert (again.predict(x) == model.predict(x)).all()
    assert again.class_names is again.preprocessing is None
    cc.save(again, tmp_path / "again.safetensors")
    assert cc.load(tmp_path / "again.safetensors").keys() == model.state_dict().keys()
    # Files are read by programs that know weights only.
    assert cc.load(path).keys() == model.state_dict().keys()
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        cc.save(copied, path)
        assert (cc.load_model(path).predict(x) == model.predict(x)).all()


def test_modules_and_parameters_that_stand_in_several_places(tmp_path: Path) -> None:
    cc.save(shared(), tmp_path / "m")
    again = cc.load_model(tmp_path / "m")
    assert again[0] is again[2]
    cc.save(tied(), tmp_path / "m")
    with pytest.raises(
        ValueError, match=r"modules of the class Tied, .*: cc.load_model\(path, custom=\[Tied\]\)"
    ):
        cc.load_model(tmp_path / "m")
    again = cc.load_model(tmp_path / "m", custom=[Tied])
    assert again.decode.weight is again.encode.weight


def test_own_modules(tmp_path: Path) -> None:
    model, x = nn.Sequential(Block(2, "tanh", scale=0.5), Block(2)), image(1, 2, 4, 4)
    cc.save(model, tmp_path / "m")
    again = cc.load_model(tmp_path / "m", custom=[Block])
    assert (again.predict(x) == model.predict(x)).all()
    assert again[0].scale == 0.5


def test_models_that_cannot_be_described_have_a_cure(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.layer, self.function = nn.Linear(4, 2), function

        def forward(self, x: Any) -> Any:
            return self.function(self.layer(x))

    model, x = Own(lambda x: x * 2), image(3, 4)
    path = tmp_path / "m.safetensors"
    cc.save(model, path, classes=["a", "b"])
    with pytest.raises(
        ValueError, match=r"the model \(Own\) was made with an argument of type function; make one"
    ):
        cc.load_model(path)
    again = cc.load_model(path, model=Own(lambda x: x * 2))
    assert (again.predict(x) == model.predict(x)).all()
    assert again.class_names == ("a", "b")
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
    cc.save(normed, path)
    with pytest.raises(
        ValueError, match=r"has parametrizations: nn.utils.parametrize.remove_parametrizations first"
    ):
        cc.load_model(path)
    cc.save({"weight": np.zeros((2, 4), np.float32), "bias": np.zeros(2, np.float32)}, path)
    with pytest.raises(ValueError, match=r"does not say how to make its model; make one and pass it"):
        cc.load_model(path)
    assert cc.load_model(path, nn.Linear(4, 2)).class_names is None


def photos(folder: Path) -> list[str]:
    for label, level in (("dark", 40), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(RNG.normal(level, 20, (10 + number, 9)), 0, 255).astype(np.uint8)
            head = b"P5 9 %d 255\n" % (10 + number)
            (folder / label / f"{number}.pgm").write_bytes(head + pixels.tobytes())
    return [str(folder / label / f"{number}.pgm") for label in ("dark", "light") for number in range(6)]


def trained(folder: Path) -> tuple[Trainer, data.ImagePreprocessing]:
    prepare = data.ImagePreprocessing((8, 8), [0.5], [0.25])
    arrays = data.image_folder(folder, size=(8, 8), dtype="uint8")
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01))
    x = prepare(arrays.x)
    trainer.fit(x, np.array(arrays.classes)[arrays.y], 30, 4, verbose=0)
    assert trainer.evaluate(x, np.array(arrays.classes)[arrays.y])["accuracy"] == 1.0
    return trainer, prepare


def test_files_and_folders_are_predicted(tmp_path: Path) -> None:
    files = photos(tmp_path / "photos")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    trainer, prepare = trained(tmp_path / "photos")
    path = tmp_path / "m.safetensors"
    cc.save(trainer.model, path, preprocessing=prepare)
    model = cc.load_model(path)
    assert (model.class_names, model.preprocessing) == (("dark", "light"), prepare)
    expected = model.predict(np.stack([prepare(data.read_image(file, dtype="uint8")) for file in files]))
    for given in (tmp_path / "photos", str(tmp_path / "photos"), files, [Path(file) for file in files]):
        np.testing.assert_allclose(model.predict(given, batch_size=5), expected, rtol=1e-5, atol=1e-5)
    assert model.predict_classes(tmp_path / "photos").tolist() == ["dark"] * 6 + ["light"] * 6
    np.testing.assert_allclose(model.predict(files[3]), expected[3:4], rtol=1e-5, atol=1e-5)
    assert data.image_files(tmp_path / "photos") == files
    cc.save(model, path)
    assert cc.load_model(path).predict_classes(files[0]).tolist() == ["dark"]
    with pytest.raises(TypeError, match=r"predict takes names of files where the model has a preprocessing"):
        trainer.model.predict(files)
    with pytest.raises(FileNotFoundError):
        model.predict("absent.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"got a folder without any"):
        model.predict(tmp_path / "empty")
    (tmp_path / "empty" / "bad.pgm").write_bytes(b"P5 no")
    with pytest.raises(ValueError, match=r"bad\.pgm"):
        model.predict(tmp_path / "empty")


def test_python_and_the_command_line_read_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = photos(tmp_path / "photos")
    trainer, prepare = trained(tmp_path / "photos")
    cc.save(trainer.model, "python", classes=["dark", "light"], preprocessing=prepare)
    assert main(["predict", "python", *files, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["class"] for row in rows] == ["dark"] * 6 + ["light"] * 6
    model = cc.load_model("python")
    shares = np.asarray(cc.ops.softmax(model.predict(files), 1)).max(1)
    np.testing.assert_allclose([row["probability"] for row in rows], shares, rtol=1e-4)
    assert main(["summary", "python", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == [1, 1, 8, 8]
    assert main(["evaluate", "python", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
    assert main(["evaluate", "python"]) == 1
    assert "does not name its data: say which" in capsys.readouterr().err
    cc.save(trainer.model, "bare")
    assert main(["predict", "bare", files[0]]) == 1
    assert (
        "does not say what images the model takes: cc.save(model, path, preprocessing="
        in capsys.readouterr().err
    )

    command = [
        "train",
        "photos",
        "--size",
        "8x8",
        "--model",
        "digits_cnn",
        "--epochs",
        "20",
        "--batch-size",
        "4",
    ]
    assert main([*command, "--out", "theirs", "--quiet", "--json"]) == 0
    capsys.readouterr()
    model = cc.load_model("theirs")
    assert model.class_names == ("dark", "light")
    assert main(["predict", "theirs", *files, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert model.predict_classes(files).tolist() == [row["class"] for row in rows]
    # What Python saves again is read by the command line, too.
    cc.save(model, "again")
    assert main(["predict", "again", *files, "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_preprocessing_of_published_weights(tmp_path: Path) -> None:
    prepare = models.preprocessing("resnet20")._replace(resize=(32, 32), crop=None)
    model = models.resnet20()
    cc.save(model, tmp_path / "m", preprocessing=prepare)
    again = cc.load_model(tmp_path / "m")
    assert again.preprocessing == prepare
    (tmp_path / "x.ppm").write_bytes(b"P6 40 30 255\n" + bytes(3600))
    expected = model.predict(prepare(np.zeros((1, 3, 30, 40), np.uint8)))
    np.testing.assert_allclose(again.predict(tmp_path / "x.ppm"), expected, rtol=1e-4, atol=1e-5)


def test_what_is_no_class_or_preprocessing() -> None:
    model = nn.Linear(4, 2)
    for options, error, message in [
        ({"classes": "ab"}, TypeError, "classes as a list of names, got 'ab'"),
        ({"preprocessing": 5}, TypeError, "a data.ImagePreprocessing, a dict of its arguments"),
        ({"preprocessing": {"mean": [0.5], "std": [0.0]}}, ValueError, "a std above 0"),
        ({"preprocessing": {"mean": [0.5, 1], "std": [1, 1]}}, ValueError, "1 or 3 channels"),
    ]:
        with pytest.raises(error, match=message):
            cc.save(model, "never", **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"classes and preprocessing go with a Module, got dict"):
        cc.save({}, "never", classes=["a"])


def test_definitions_that_are_damaged_or_evil(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = nn.Linear(4, 2)
    cc.save(model, path)
    arrays, metadata = safetensors.read(path)
    good = json.loads(metadata["cnncore"])
    tree = good["definition"]["tree"]

    def load(**changes: Any) -> Any:
        about = {**good, "definition": {"tree": {**tree, **changes}, "tied": []}}
        cc.save(arrays, path, metadata={"cnncore": json.dumps(about)})
        return cc.load_model(path)

    assert load().weight.shape == (2, 4)
    for changes, message in [
        ({"class": "os:system"}, "modules of the class system, which is not cnncore's own"),
        ({"class": "cnncore.nn.loss:np"}, "expected a function or class of cnncore"),
        ({"class": "cnncore.nn.functional:relu"}, "expected a (class of modules|function or class)"),
        ({"class": "cnncore.nn.linear:Absent"}, "damaged description: AttributeError"),
        ({"class": "cnncore.nn.absent:Linear"}, "damaged description: ModuleNotFoundError"),
        ({"args": [["name", "subprocess:run"]]}, "class run, which is not cnncore's own"),
        ({"args": [["plain", 10**12], ["plain", 10**9]]}, r"m\.safetensors: "),
        ({"args": 5}, "damaged description: TypeError"),
        ({"args": [["odd", 1]]}, "expected a value of a definition, got 'odd'"),
        ({"children": {"x": {"same": "nowhere"}}}, r"m\.safetensors: "),
    ]:
        with pytest.raises(ValueError, match=message):
            load(**changes)
    for text in ("{", "[]", "[" * 100_000, json.dumps({**good, "definition": 3}), json.dumps({"format": 2})):
        cc.save(arrays, path, metadata={"cnncore": text})
        with pytest.raises(ValueError, match=r"m\.safetensors: "):
            cc.load_model(path)


def test_batches_and_single_images_are_prepared_alike() -> None:
    prepare = data.ImagePreprocessing((6, 6), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    images = RNG.integers(0, 256, (4, 3, 6, 6), dtype=np.uint8)
    expected = (images / 255 - np.reshape(prepare.mean, (3, 1, 1))) / np.reshape(prepare.std, (3, 1, 1))
    np.testing.assert_allclose(prepare(images), expected, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(np.stack([prepare(one) for one in images]), prepare(images))
    np.testing.assert_allclose(prepare((images / 255).astype(np.float32)), expected, rtol=0, atol=2e-6)
    assert prepare(images).dtype == np.float32
    assert prepare(images[:, :1]).shape == (4, 3, 6, 6)
    with pytest.raises(ValueError, match=r"images \(..., channels, height, width\), got shape \(6, 6\)"):
        prepare(images[0, 0])
    with pytest.raises(TypeError, match=r"uint8 or floats from 0 to 1, got dtype int64"):
        prepare(images.astype(np.int64))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(np.int64(3), np.array(2)),
        lambda: nn.Conv2d(3, 2, [1, np.int32(1)], padding=((0, 0), (0, 0))),
        lambda: nn.Dropout(np.float32(0.25)),
        lambda: nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.ModuleList([nn.ReLU()])}),
        lambda: nn.Sequential(OrderedDict(first=nn.Linear(3, 2), second=nn.Sequential())),
        lambda: nn.MLP(3, [4, 2], norm_layer=nn.LayerNorm, activation_layer=partial(nn.LeakyReLU, 0.3)),
        lambda: nn.Conv2dNormActivation(3, 4, 5, norm_layer=None),
        lambda: nn.Sequential(Own(3, True), Own(2), Plain(nn.ReLU(), Own(2))),
        lambda: Given(nn.Linear(3, 2), {"k": [1, (2, 3)], 4: None}),
        lambda: Given(nn.ReLU(), {"record": CNBlockConfig(4, 8, 3)}),
    ],
)
def test_arguments_come_back(make: Any) -> None:
    model = make()
    text = json.dumps(describe(model))
    again = Builder([Given, Own, Plain]).build(json.loads(text))
    assert repr(again) == repr(model)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert json.dumps(describe(again)) == text
    if isinstance(model, Given):
        assert again.settings == model.settings
        kinds = [*map(type, again.settings.values())]
        assert kinds == [*map(type, model.settings.values())] != []


class Own(nn.Sequential):
    """Makes its parts of its arguments."""

    def __init__(self, features: int, bias: bool = False) -> None:
        super().__init__(nn.Linear(features, 2, bias), nn.ReLU())


class Plain(nn.Sequential):
    """Takes its parts."""


class Given(nn.Module):
    """Takes a module and a dict."""

    def __init__(self, layer: nn.Module, settings: dict[Any, Any]) -> None:
        super().__init__()
        self.layer, self.settings = layer, settings
        self.more: Any = nn.ReLU()


def test_what_was_changed_after_a_model_was_made_comes_back() -> None:
    model = Given(nn.Linear(3, 2), {})
    model.more = None
    del model.layer
    model.extra = nn.Linear(2, 5)
    model.note = [1, 2]
    again = Builder([Given]).build(json.loads(json.dumps(describe(model))))
    assert again.more is None
    assert again.note == [1, 2]
    assert list(again._modules) == list(model._modules)
    assert again.extra.weight.shape == (5, 2)
    assert not hasattr(again, "layer")


@pytest.mark.parametrize("value", [object(), np.zeros(3), lambda x: x, np.zeros((1, 1)), {"a": object()}])
def test_arguments_that_no_file_holds_are_said(value: Any) -> None:
    with pytest.raises(Indescribable, match=r"the model \(Given\) was made with an argument of type"):
        describe(Given(nn.ReLU(), value))


def test_attributes_that_no_file_holds_are_those_of_a_new_model() -> None:
    """And a part that was made with such is made anew by what the file has of it."""
    model = Given(nn.ReLU(), {})
    model.table = np.zeros(3)
    model.count = 4
    again = Builder([Given]).build(json.loads(json.dumps(describe(model))))
    assert again.count == 4
    assert not hasattr(again, "table")

    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Given(nn.ReLU(), np.zeros(3))

    wrapping = Wrapping()
    wrapping.part = nn.Linear(2, 3)
    part = Builder([Wrapping]).build(json.loads(json.dumps(describe(wrapping)))).part
    assert repr(part) == repr(nn.Linear(2, 3))


def test_parts_of_containers_are_held_once() -> None:
    for model in (nn.Sequential(nn.ReLU()), nn.ModuleList([nn.ReLU()]), Plain(nn.ReLU())):
        tree = describe(model)["tree"]
        assert (tree["args"], list(tree["children"])) == ([], ["0"])
    assert describe(Own(3))["tree"]["args"] == [["plain", 3]]
