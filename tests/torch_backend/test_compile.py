# SPDX-License-Identifier: Apache-2.0
"""`torch.compile(model, backend="cnncore")`: inference, parameters that change, sizes, what torch keeps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.6")

import torch_networks  # noqa: E402
from cnncore.torch_backend import backend, left, programs  # noqa: E402

TOLERANCE = 1e-5
"""Of the largest value: that of a float32 network whose sums run in another order."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    left.forget()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list of the programs that are made from now on."""
    entries: list[Any] = []
    build = programs.Part._build

    def noted(part: Any, args: Any) -> Any:
        entries.append(build(part, args))
        return entries[-1]

    monkeypatch.setattr(programs.Part, "_build", noted)
    return entries


def assert_close(found: Any, wanted: Any, tolerance: float = TOLERANCE) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert found.stride() == wanted.stride()
    scale = wanted.abs().max().item()
    assert (found - wanted).abs().max().item() <= tolerance * scale


def steps_of(entry: Any) -> list[str]:
    return [step.op for step in entry.executable.run_steps]


@pytest.mark.parametrize("name", torch_networks.NETWORKS)
def test_networks_are_one_program_of_fused_steps(name: str, made: list[Any]) -> None:
    model = torch_networks.settle(torch_networks.NETWORKS[name]())
    compiled = torch.compile(model, backend=backend)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert_close(compiled(x), model(x))
    (entry,) = made
    steps = steps_of(entry)
    assert not {"batch_norm_apply", "activation", "elementwise"} & set(steps)
    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))]
    convolutions = [step for step in steps if step.startswith("conv") or step == "inverted_residual"]
    assert len(convolutions) <= len(layers) + 1  # the linear layer is one, too


@pytest.mark.skipif(
    not hasattr(torch.compiler, "skip_guard_on_all_nn_modules_unsafe"), reason="an older torch"
)
def test_parameters_that_change_are_seen_without_guards() -> None:
    model = torch_networks.settle(torch_networks.NETWORKS["resnet"]())
    unguarded = {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}
    compiled = torch.compile(model, backend=backend, options=unguarded)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = compiled(x)
        for parameter in model.parameters():
            parameter.mul_(0.5)
        assert not torch.equal(compiled(x), before)
        assert_close(compiled(x), model(x))


def test_any_batch_runs_by_one_graph(made: list[Any]) -> None:
    model = torch_networks.settle(torch_networks.NETWORKS["resnet"]())
    graphs = []

    def noted(module: Any, inputs: Any) -> Any:
        graphs.append(module)
        return backend(module, inputs)

    compiled = torch.compile(model, backend=noted)
    with torch.no_grad():
        for rows in (2, 3, 5, 3, 7):
            x = torch.randn(rows, 3, 16, 16)
            assert_close(compiled(x), model(x))
    assert len(graphs) == 2  # for 2 rows, and for any number
    assert len(made) == 4


def test_changed_parameters_are_seen() -> None:
    model = torch_networks.settle(torch_networks.NETWORKS["mobilenet_v2"]())
    compiled = torch.compile(model, backend=backend)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(2, 3, 32, 32)
    for _ in range(5):
        with torch.no_grad():
            assert_close(compiled(x), model(x))
        model(x).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
        next(model.parameters()).data = torch.randn_like(next(model.parameters()))
        assert_close(compiled(x), model(x))


def test_parameters_that_change_before_each_call_become_inputs(made: list[Any]) -> None:
    layer = torch.nn.Linear(4, 3)
    compiled = torch.compile(layer, backend=backend)
    x = torch.randn(2, 4)
    with torch.no_grad():
        for _ in range(8):
            layer.weight.mul_(1.5)
            assert_close(compiled(x), layer(x))
    assert len(made) == programs.CHANGES_IN_A_ROW + 1


def test_parameters_share_memory() -> None:
    layer = torch.nn.Conv2d(64, 64, 1)
    found = programs._constant(layer.weight)
    assert np.shares_memory(found.source, layer.weight.detach().numpy())


def test_outputs_share_the_memory_of_the_program() -> None:
    """Views of arrays, without copies: a channels-last result stays so."""
    model = torch.nn.Conv2d(3, 8, 3).eval().to(memory_format=torch.channels_last)
    compiled = torch.compile(model, backend=backend)
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    with torch.no_grad():
        y = compiled(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert_close(y, model(x))


def test_inputs_of_any_strides() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Sigmoid()).eval()
    compiled = torch.compile(model, backend=backend)
    base = torch.randn(2, 9, 3, 16)
    with torch.no_grad():
        for x in (
            base.permute(0, 2, 1, 3),
            base.permute(0, 2, 1, 3)[..., ::2],
            base[:, :3].expand(2, 3, 3, 16),
        ):
            assert_close(compiled(x), model(x))


def test_what_cannot_run_stays_with_torch_and_is_named_once() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 3)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.first(x))
            y = torch.special.bessel_j0(y)
            return torch.relu(self.second(y)), y.double().sum()

    model = Model().eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        with pytest.warns(UserWarning, match=r"special_bessel_j0.*the operator is not known"):
            found = torch.compile(model, backend=backend)(x)
        torch._dynamo.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            torch.compile(model, backend=backend)(x)
        for one, other in zip(found, model(x), strict=True):
            assert_close(one, other)


def test_doubles_and_short_floats_stay_with_torch() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model = torch.nn.Conv2d(3, 4, 3).to(dtype).eval()
        x = torch.randn(1, 3, 8, 8, dtype=dtype)
        torch._dynamo.reset()
        left.forget()
        with torch.no_grad(), pytest.warns(UserWarning, match=str(dtype).removeprefix("torch.")):
            assert torch.equal(torch.compile(model, backend=backend)(x), model(x))


def test_inference_mode() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()).eval()
    compiled = torch.compile(model, backend=backend)
    x = torch.randn(2, 4)
    with torch.inference_mode():
        assert_close(compiled(x), model(x))
        layer = torch.nn.Linear(4, 3)
        other = torch.compile(layer, backend=backend)
        assert_close(other(x), layer(x))
        layer.weight.mul_(2)
        assert_close(other(x), layer(x))


def test_blocks_of_one_class_share_code_and_keep_their_parameters() -> None:
    blocks = [torch.nn.Linear(4, 4).eval() for _ in range(3)]
    compiled = torch.compile(lambda block, x: block(x).relu(), backend=backend)
    x = torch.randn(2, 4)
    with torch.no_grad():
        for _ in range(2):
            for block in blocks:
                assert_close(compiled(block, x), block(x).relu())


def test_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match="no options, got fast"):
        backend(None, (), fast=True)


def test_the_entry_point() -> None:
    try:
        metadata.distribution("cnncore")
    except metadata.PackageNotFoundError:
        pytest.skip("cnncore is imported from its sources: no installed package names the entry point")
    (entry,) = [e for e in metadata.entry_points(group="torch_dynamo_backends") if e.name == "cnncore"]
    assert entry.load() is backend
    layer = torch.nn.Linear(4, 3).eval()
    with torch.no_grad():
        x = torch.randn(2, 4)
        assert_close(torch.compile(layer, backend="cnncore")(x), layer(x))
