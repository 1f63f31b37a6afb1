# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from cnncore import nn
from cnncore.graph.changes import changes


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(np.ones(1))

    def forward(self, x: Any) -> Any:
        return self.norm(self.conv(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(3, 2)
        self.register_buffer("mean", np.zeros(2), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(x))


def test_names_and_order() -> None:
    net = Net()
    assert [name for name, _ in net.named_modules()] == [
        "",
        "blocks",
        "blocks.0",
        "blocks.0.conv",
        "blocks.0.norm",
        "blocks.1",
        "blocks.1.conv",
        "blocks.1.norm",
        "head",
    ]
    names = [name for name, _ in net.named_parameters()]
    assert names[:4] == [
        "blocks.0.scale",
        "blocks.0.conv.weight",
        "blocks.0.norm.weight",
        "blocks.0.norm.bias",
    ]
    assert names[-2:] == ["head.weight", "head.bias"]
    assert [name for name, _ in net.named_children()] == ["blocks", "head"]
    assert "mean" in dict(net.named_buffers())
    assert "mean" not in net.state_dict()
    assert net.get_submodule("blocks.1.norm") is net.blocks[1].norm
    with pytest.raises(AttributeError, match="no module 'tail' in Net; it has: blocks, head"):
        net.get_submodule("tail.0")


def test_shared_parts_are_listed_once_but_saved_under_each_name() -> None:
    net = Net()
    net.again = net.head
    net.tied = net.head.weight
    names = [name for name, _ in net.named_parameters()]
    assert len({id(p) for p in net.parameters()}) == len(names)
    assert "again.weight" not in names
    assert {"tied", "head.weight", "again.weight", "again.bias"} <= set(net.state_dict())


def test_modes_and_freezing() -> None:
    net = Net()
    assert net.train() is net
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    net.head.requires_grad_()
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    with pytest.raises(TypeError, match="expected mode True or False"):
        net.train("yes")  # type: ignore[arg-type]


def test_apply_visits_children_first() -> None:
    seen: list[str] = []
    Net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Conv2d", "BatchNorm2d", "Block"] * 2 + ["Sequential", "Linear", "Net"]


def test_attributes_move_between_the_tables() -> None:
    module = nn.Module()
    module.thing = nn.Parameter([1.0])
    module.thing = nn.ReLU()
    assert dict(module.named_parameters()) == {}
    module.thing = None
    assert module.thing is None
    module.thing = nn.Tanh()
    del module.thing
    assert not hasattr(module, "thing")
    module.plain = 3
    module.plain = nn.Parameter([1.0])
    assert "plain" not in module.__dict__


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head", np.ones(3), "cannot assign ndarray to 'head', a Module of Net"),
        ("mean", np.ones(2), "a Buffer of Net; expected a Buffer or None .to change its values, use .assign"),
    ],
)
def test_parts_are_not_overwritten_by_other_things(name: str, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        setattr(Net(), name, value)


def test_misuse_is_explained() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(1, 1, 1)

    with pytest.raises(AttributeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\) first"):
        Forgetful()
    with pytest.raises(AttributeError, match="Net has no attribute 'tail'"):
        _ = Net().tail
    with pytest.raises(ValueError, match="name without dots"):
        nn.Module().add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match="expected a Module or None"):
        nn.Module().add_module("a", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a Parameter or None"):
        nn.Module().register_parameter("a", np.ones(3))  # type: ignore[arg-type]


def test_changes_are_announced_to_compiled_programs() -> None:
    net = Net()

    def announced(change: Any) -> bool:
        before = changes.structure
        change()
        return changes.structure > before

    version = net.structure_version
    assert announced(lambda: setattr(net, "head", nn.Linear(3, 2)))
    assert net.structure_version > version
    assert announced(net.eval)
    assert announced(lambda: net.requires_grad_(False))
    assert announced(lambda: delattr(net, "head"))
    assert announced(lambda: setattr(net, "alpha", 0.5))
    assert not announced(lambda: list(net.parameters()))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_independent(duplicate: Any) -> None:
    net = Net().eval()
    net.tied = net.head.weight
    other = duplicate(net)
    assert not other.head.training
    assert other.tied is other.head.weight
    state = net.state_dict()
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    other.head.weight.assign(np.zeros((2, 3)))
    np.testing.assert_array_equal(net.head.weight, state["head.weight"])


def test_repr_reads_like_torch() -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.Flatten())
            self.head = nn.Linear(3, 2)

    assert repr(Small()).splitlines() == [
        "Small(",
        "  (body): Sequential(",
        "    (0): Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), bias=False)",
        "    (1): Flatten(start_dim=1, end_dim=-1)",
        "  )",
        "  (head): Linear(in_features=3, out_features=2, bias=True)",
        ")",
    ]


LAYERS = [
    "Conv2d(4, 8, 3)",
    "Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=2, groups=4, bias=False)",
    "Conv2d(4, 8, 3, padding='same')",
    "Linear(3, 4, bias=False)",
    "AdaptiveAvgPool2d((1, 1))",
    "Flatten()",
    "LeakyReLU(0.2)",
    "ReLU()",
    "Sigmoid()",
    "Identity(3)",
    "Softmax(dim=1)",
]


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_have_torchs_repr_and_keys(layer: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = eval(f"nn.{layer}"), eval(f"torch.nn.{layer}", {"torch": torch})
    assert repr(ours) == repr(theirs)
    expected = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 4, 3), "in_channels of at least 1, got 0"),
        (
            lambda: nn.Conv2d(4, 6, 3, groups=4),
            "expected out_channels to be a multiple of groups, got 6 and 4",
        ),
        (
            lambda: nn.Conv2d(6, 4, 3, groups=4),
            "expected in_channels to be a multiple of groups, got 6 and 4",
        ),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3)), "kernel_size to be an int or a pair"),
        (lambda: nn.Conv1d(4, 4, (3, 3)), r"kernel_size to be an int or \(length,\)"),
        (lambda: nn.Conv3d(4, 4, (3, 3)), "kernel_size to be an int or a triple"),
        (lambda: nn.Conv3d(4, 4, 3, padding=((1, 1), (0, 0))), "padding of 3 pairs"),
        (lambda: nn.AdaptiveMaxPool3d((1, 2)), "output_size as a number or 3 of them"),
        (
            lambda: nn.BatchNorm1d(4)(np.zeros((2, 4, 3, 3))),
            r"\(batch, features\) or \(batch, channels, length",
        ),
        (lambda: nn.Conv2d(4, 4, 3, padding=-1), "padding of at least 0, got -1"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), "padding 'same', 'valid' or numbers, got 'full'"),
        (lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same"), "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), "padding_mode 'zeros' or 'reflect'"),
        (lambda: nn.MaxPool2d(2, padding=2), "padding of at most half the kernel"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), "divisor_override of at least 1"),
        (lambda: nn.BatchNorm2d(4, eps=float("nan")), "finite eps"),
        (lambda: nn.BatchNorm2d(4, momentum=2), "momentum from 0 to 1, got 2"),
        (lambda: nn.Dropout(1.5), "p from 0 to 1, got 1.5"),
        (lambda: nn.CrossEntropyLoss(reduction="avg"), "reduction 'mean', 'sum' or 'none', got 'avg'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=-0.1), "label_smoothing from 0 to 1"),
        (lambda: nn.AdaptiveAvgPool2d(0), "output_size of at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused_when_the_layer_is_built(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(2.5, 3), lambda: nn.Conv2d(True, 3, 1), lambda: nn.Dropout("half")]
)
def test_wrong_types_are_refused_when_the_layer_is_built(make: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        make()


def test_attributes_are_listed_and_taken_away() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    model.note = 5
    model.register_buffer("count", np.zeros(2))
    assert {"0", "note", "count", "forward", "state_dict"} <= set(dir(model))
    assert {"weight", "bias"} <= set(dir(model[0]))
    assert dir(model) == sorted(dir(model))
    for name in ("note", "count", "0"):
        delattr(model, name)
        assert not hasattr(model, name)
    with pytest.raises(AttributeError):
        del model.note
    assert repr(nn.Parameter([1.5])) == "Parameter([1.5])"
    assert repr(nn.Buffer(np.array([1, 2], np.int64))) == "Buffer([1, 2], dtype=int64)"
    assert nn.Parameter([1.5]).__dlpack_device__() == (1, 0)  # the CPU


def test_a_forward_that_an_instance_was_given_is_watched_as_others_are() -> None:
    class Bare(nn.Module):
        pass

    factor = 3.0
    model, x = Bare(), np.ones((2, 3), np.float32)
    model.forward = lambda x: x * factor
    assert (model(x) == 3.0).all()
    factor = 4.0
    assert (model(x) == 4.0).all()
