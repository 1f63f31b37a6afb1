# SPDX-License-Identifier: Apache-2.0
"""`cnncore.from_torch`: the same keys and numbers, in both modes; training, compiling, saving, pickling."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import optim

torch = pytest.importorskip("torch", "2.6")

import torch_networks  # noqa: E402

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def assert_close(found: Any, wanted: Any, tolerance: float = TOLERANCE) -> None:
    wanted = wanted.detach().numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("name", torch_networks.NETWORKS)
def test_networks(name: str) -> None:
    model = torch_networks.settle(torch_networks.NETWORKS[name]())
    module = cc.from_torch(model, torch.randn(1, 3, 32, 32))
    assert {k: v.shape for k, v in module.state_dict().items()} == {
        k: tuple(v.shape) for k, v in model.state_dict().items()
    }
    assert list(module.state_dict()) == list(model.state_dict())
    assert not module.training
    for rows in (1, 3):
        x = torch.randn(rows, 3, 32, 32)
        assert_close(module(x), model(x))
    predictor = cc.compile(module, (2, 3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    assert_close(predictor(x), model(x))
    assert not {"batch_norm_apply", "activation"} & {row["step"] for row in predictor.explain()}


def test_training_as_torch_trains() -> None:
    model = torch_networks.settle(torch_networks.ResNet((1,), 8, 5)).train()
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    module = cc.from_torch(model, x)
    assert module.training
    step = cc.train_step(
        lambda x, y: cc.ops.cross_entropy(module(x), y),
        optim.SGD(module.parameters(), lr=0.1, momentum=0.9),
    )
    theirs = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        theirs.step()
        assert step(x.numpy(), y.numpy()) == pytest.approx(loss.item(), rel=1e-4)
    for key, value in model.state_dict().items():
        assert_close(module.state_dict()[key], value, 1e-3)
    assert module.state_dict()["stem.1.num_batches_tracked"] == 3


def test_layers_in_inference_mode_stay_so() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(2))
    model[0].eval()
    model[1].eval()
    module = cc.from_torch(model, torch.randn(4, 2, 3, 3))
    assert module.training
    assert [part.training for part in model] == [False, False, True]
    before = {key: np.array(value) for key, value in module.state_dict().items()}
    x = torch.randn(4, 2, 3, 3)
    assert_close(module(x), model(x))
    after = module.state_dict()
    assert np.array_equal(before["0.running_mean"], after["0.running_mean"])
    assert_close(after["2.running_mean"], model.state_dict()["2.running_mean"])
    module.eval()
    assert_close(module(x), model.eval()(x))


def test_dropout_follows_the_mode() -> None:
    module = cc.from_torch(torch.nn.Dropout(0.5).eval(), torch.randn(4, 8))
    x = np.ones((64, 8), np.float32)
    assert (module(x) == 1).all()
    module.train()
    cc.manual_seed(0)
    assert set(np.unique(module(x))) == {0.0, 2.0}


def test_several_inputs_and_nested_results() -> None:
    class Model(torch.nn.Module):
        def forward(self, a: Any, words: Any, scale: Any = None) -> Any:
            return {"sum": a * scale, "both": (a.relu(), [words + 1])}

    a, words, scale = torch.randn(2, 3), torch.tensor([[1], [2]]), torch.randn(2, 1)
    module = cc.from_torch(Model(), (a, words), {"scale": scale})
    found, wanted = module(a, words, scale), Model()(a, words, scale)
    assert_close(found["sum"], wanted["sum"])
    assert_close(found["both"][0], wanted["both"][0])
    assert found["both"][1][0].tolist() == [[2], [3]]
    assert found["both"][1][0].dtype == np.int64
    assert module.input_names == ["a", "words", "scale"]


def test_any_number_of_inputs() -> None:
    class Sum(torch.nn.Module):
        def forward(self, *parts: Any, **named: Any) -> Any:
            return sum(parts) * torch.tensor([1.0, 2.0]) + named["last"]

    parts = [torch.randn(2, 2) for _ in range(4)]
    module = cc.from_torch(Sum(), tuple(parts[:3]), {"last": parts[3]})
    assert_close(module(*parts), Sum()(*parts[:3], last=parts[3]))


def test_shared_parameters_stay_shared() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    module = cc.from_torch(model, torch.randn(1, 3))
    assert list(module.state_dict()) == list(model.state_dict())
    assert len(list(module.parameters())) == 3
    x = torch.randn(2, 3)
    assert_close(module(x), model(x))


def test_changes_in_place() -> None:
    class Good(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            y += 1
            z = y.view(-1)
            return torch.relu_(z) + z.mul_(2)

    class Bad(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            z = y.view(-1)
            z.add_(1)
            return y

    class Outside(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.add_(1)

    x = torch.randn(2, 3)
    assert_close(cc.from_torch(Good(), x)(x), Good()(x.clone()))
    # Torch takes this one apart into operators that change nothing.
    assert_close(cc.from_torch(Bad(), x)(x), Bad()(x.clone()))
    with pytest.raises(ValueError, match=r"it changes buffers or inputs in inference: x"):
        cc.from_torch(Outside(), x)


def test_errors_name_what_is_wrong() -> None:
    class Bessel(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.special.bessel_j0(x)

    class Branch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"special_bessel_j0"):
        cc.from_torch(Bessel(), torch.randn(2))
    with pytest.raises(ValueError, match=r"torch.export cannot capture Branch"):
        cc.from_torch(Branch(), torch.randn(2))
    averaged = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2, momentum=None))
    with pytest.raises(ValueError, match=r"\[1\] expected a batch norm with a number as momentum"):
        cc.from_torch(averaged, torch.zeros(1, 1, 2, 2))
    with pytest.raises(TypeError, match=r"expected a torch.nn.Module, got function"):
        cc.from_torch(lambda x: x, torch.randn(2))
    with pytest.raises(ValueError, match=r"\[weight\] expected float32 parameters, got torch.float64"):
        cc.from_torch(torch.nn.Linear(2, 2).double(), torch.randn(2, 2).double())
    module = cc.from_torch(torch.nn.Linear(2, 2), torch.randn(2, 2))
    with pytest.raises(ValueError, match=r"\[input\] expected an array of shape \(\?, 2\).*got \(4, 3\)"):
        module(np.zeros((4, 3), np.float32))
    with pytest.raises(TypeError, match=r"expected 1 inputs \(input\), got 2"):
        module(np.zeros((4, 2), np.float32), np.zeros(1))


def test_saving_and_loading(tmp_path: Path) -> None:
    model = torch_networks.settle(torch_networks.NETWORKS["mobilenet_v2"]())
    module = cc.from_torch(model, torch.randn(1, 3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    cc.save(module, tmp_path / "m.safetensors")
    other = cc.from_torch(torch_networks.NETWORKS["mobilenet_v2"]().eval(), torch.randn(1, 3, 32, 32))
    cc.load_into(other, tmp_path / "m.safetensors")
    assert np.array_equal(other(x), module(x))
    model.load_state_dict({key: torch.from_numpy(np.array(v)) for key, v in module.state_dict().items()})


def test_pickles_run_without_torch(tmp_path: Path) -> None:
    model = torch_networks.settle(torch_networks.NETWORKS["unet"]())
    module = cc.from_torch(model, torch.randn(1, 3, 16, 16))
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32)
    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps((module, cc.compile(module, (2, 3, 16, 16)), x, module(x))))
    code = (
        "import pickle, sys, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "module, predictor, x, y = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert np.array_equal(module(x), y) and np.array_equal(predictor(x), y)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
