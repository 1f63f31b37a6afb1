# SPDX-License-Identifier: Apache-2.0
"""Whole programs of small functions as `programs.txt` has them: steps, what they read and write, and where.

`python tests/compiler/test_programs.py` writes the file anew; its difference is what a change of the compiler
does to programs. Only functions without convolutions: their steps are the same on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.compiler import gradient_portions, portions
from cnncore.compiler.pipeline import compile_function

FILE = Path(__file__).with_name("programs.txt")
KINDS = {"input": "in", "output": "out", "bound": "kept", "temp": "value", "persistent": "known"}
ROWS, IMAGES = (4, 8), (2, 6, 4, 4)


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def described(program: Any) -> list[str]:
    """A line a step, then one for each place in memory with the steps that use it."""
    names: dict[Any, str] = {}

    def name(slot: Any) -> str:
        if slot is None:
            return "-"
        root = slot.root()
        text = names.setdefault(root, f"{KINDS[root.kind]}{len(names)}")
        text += f"+{slot.offset_in_root()}" if slot.offset_in_root() else ""
        text += f"*{slot.advance_in_root()}" if slot.advance_in_root() else ""
        return text + (f"/{slot.pitch}" if slot.pitch else "")

    lines = []
    for step in program.steps:
        function, settings = step.attrs.get("function", ""), step.attrs.get("activation", "none")
        words = ["setup:" if step.setup else "", step.op, function, settings if settings != "none" else ""]
        words += ["(again)" if step.recomputed else "", f"[{step.label}]" if step.label else ""]
        words.append(f"{step.portions.count} times" if step.portions else "")
        read, made = (" ".join(map(name, slots)) for slots in (step.inputs, step.outputs))
        lines.append(f"{' '.join(filter(None, words))}: {read} -> {made}")
    plan = program.plan
    regions = [*plan.setup_regions, *plan.regions]
    if all(region.slot is not None for region in regions):  # workspaces depend on the machine's vectors
        lines += [f"{names[r.slot]}: {r.nbytes} at {r.offset}, from {r.first} to {r.last}" for r in regions]
        lines.append(f"activations: {program.memory.activations}")
    if program.memory.recomputed:
        lines.append(f"recomputed: {program.memory.recomputed}")
    return lines + [f"{names[slot]}: {slot.nbytes} at {offset}" for slot, offset in plan.persistent]


def compiled(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    return cc.compile(function, shapes if len(shapes) > 1 else shapes[0])._executable


def trained(loss: Callable[[Any], Any], optimizer: Any, *shape: int, **settings: Any) -> Any:
    return cc.train_step(loss, optimizer, **settings)._compile([ones(*shape)]).executable


def drawn(*shape: int) -> nn.Parameter:
    return nn.Parameter(np.random.default_rng(0).normal(size=shape))


def needed_by_others() -> Any:
    def function(x: Any) -> Any:
        y = ops.exp(x)
        z = ops.cumsum(ops.tanh(y) * 2.0, 0)
        return ops.neg(ops.abs(z)) + y, ops.sum(z)

    return compiled(function, ROWS)


def many_operands() -> Any:
    """Eight tensors and a chain of thirteen functions: each more than one step takes."""

    def function(*inputs: Any) -> Any:
        total = inputs[0]
        for x in inputs[1:]:
            total = total * x
        y = total
        for _ in range(7):
            y = ops.tanh(ops.exp(y))
        return y

    return compiled(function, *[ROWS] * 8)


def operands_kept() -> Any:
    """A product of two inputs does not wait behind a scan, one of an input and a row does."""
    row = ones(8)

    def function(x: Any, y: Any) -> Any:
        early, light = x * y, y * row
        late = ops.cumsum(x, 0)
        return ops.exp(early + late), ops.exp(light - late)

    return compiled(function, ROWS, ROWS)


def numbers_written_out() -> Any:
    def function(x: Any) -> Any:
        number = ops.expand(ops.sum(x), ROWS)
        return ops.exp(x) * number, ops.expand(ops.mean(x), ROWS) + number

    return compiled(function, ROWS)


def known_before() -> Any:
    """Functions of parameters and constants are computed once; equal ones are one."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.shift = drawn(8), drawn(1, 8)

        def forward(self, x: Any) -> Any:
            factor = ops.softmax(ops.exp(self.scale), 0)
            again = ops.softmax(ops.exp(self.scale), 0)
            return x * factor + again + ops.cumsum(ops.neg(self.shift), 1)

    return compiled(Scaled(), ROWS)


def views() -> Any:
    """The same elements in other shapes are the same memory, also of a result."""

    def function(x: Any) -> Any:
        y = ops.cumsum(x, 0)
        return ops.reshape(y, (2, 16)), ops.cumsum(ops.reshape(y, (8, 4)), 1)

    return compiled(function, ROWS)


def outputs_apart() -> Any:
    def function(x: Any) -> Any:
        y = ops.exp(x)
        return x, y, y, ops.reshape(y, (32,))

    return compiled(function, ROWS)


def joined() -> Any:
    """Parts of a concatenation along the rows' ends, one of which is needed itself."""

    def function(x: Any) -> Any:
        first, second = ops.cumsum(x, 0), ops.softmax(x, 1)
        return ops.concat([first, ops.exp(second)], 1), second

    return compiled(function, ROWS)


def images() -> Any:
    """Norms, pooling and channels of images, which lie channels last; rows of them in C order."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.group = nn.BatchNorm2d(6), nn.GroupNorm(2, 6)

        def forward(self, x: Any) -> Any:
            y = ops.max_pool2d(ops.relu(self.group(x)), 2)
            z = ops.concat([self.norm(ops.avg_pool2d(x, 2)), y[:, 2:5]], 1)
            return z, ops.softmax(ops.flatten(z, 2), 2), ops.mean(y, (2, 3))

    return compiled(Model().eval(), IMAGES)


def residual() -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, x: Any) -> Any:
            y = ops.avg_pool2d(x, 3, 1, 1)
            return ops.silu(self.norm(y) + y)

    return compiled(Model().eval(), IMAGES)


def guarded() -> Any:
    """What is checked comes first; what is drawn is bound."""

    def function(x: Any) -> Any:
        y = ops.dropout(ops.exp(x), 0.5, training=True)
        return ops.index_select(y, 0, ops.argmax(y, 1))

    return compiled(function, ROWS)


def integers() -> Any:
    """Whole numbers come as floats where nothing reads them otherwise."""

    def function(x: Any, y: Any) -> Any:
        return ops.exp(x) + ops.tanh(x), ops.exp(y), y * 2

    whole = np.ones(ROWS, np.int64)
    return compile_function(function, [whole, whole], {}).executable


def sorted_twice() -> Any:
    return compiled(lambda x: (ops.sort(x, 1)[0], ops.argsort(x, 1), ops.max(x, 1)[1]), ROWS)


def descent() -> Any:
    weight = drawn(*ROWS)
    return trained(
        lambda x: ops.square(ops.tanh(ops.cumsum(x * weight, 0))).mean(),
        optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.1),
        *ROWS,
    )


def norms_in_training() -> Any:
    norm = nn.BatchNorm2d(6)
    return trained(
        lambda x: ops.square(ops.relu(norm(ops.avg_pool2d(x, 2)) + ops.max_pool2d(x, 2))).sum(),
        optim.Adam(norm.parameters(), lr=0.1),
        *IMAGES,
    )


def residual_in_training() -> Any:
    """What silu's gradient reads is the sum, which the norm does not work out again."""
    norm = nn.BatchNorm2d(6)

    def loss(x: Any) -> Any:
        y = ops.avg_pool2d(x, 2)
        return ops.silu(norm(y) + ops.max_pool2d(x, 2)).sum()

    return trained(loss, optim.SGD(norm.parameters(), lr=0.1), *IMAGES)


def checkpoints() -> Any:
    weight = drawn(*ROWS)

    def block(x: Any) -> Any:
        return ops.cumsum(ops.exp(x), 0) * ops.sin(x)

    return trained(
        lambda x: ops.cos(cc.checkpoint(block, cc.checkpoint(block, x * weight))).mean(),
        optim.SGD([weight], lr=0.1),
        *ROWS,
    )


def accumulated() -> Any:
    weight = drawn(*ROWS)
    return trained(
        lambda x: (ops.exp(x * weight) + ops.cumsum(weight, 1)).sum(),
        optim.AdamW([weight], lr=0.1),
        *ROWS,
        clip_grad_norm=1.0,
        accumulate=2,
    )


def limited() -> Any:
    """Of five scans whose results gradients read, some are made again."""
    weight = drawn(16, 64)

    def loss(x: Any) -> Any:
        y = x * weight
        for _ in range(5):
            y = ops.sin(ops.cumsum(ops.exp(y), 0))
        return y.mean()

    return trained(loss, optim.SGD([weight], lr=0.1), 16, 64, max_memory=40_000)


def images_in_portions() -> Any:
    """Values of more than a portion, between a scan and a mean over all."""

    def function(x: Any) -> Any:
        y = ops.cumsum(x, 0)
        z = ops.max_pool2d(ops.exp(ops.avg_pool2d(y, 3, 1, 1) + y), 2, 2)
        return ops.sum(ops.cumsum(ops.avg_pool2d(z, 2), 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "PORTION", 4 * 6 * 16 * 16 * 2)
        return compiled(function, (8, 6, 16, 16))


def gradients_by_rows() -> Any:
    """Norms and softmax with what reads them, but for the scale's gradient, and what an update writes."""
    scale, table = nn.Parameter(np.ones(32)), drawn(12, 32)

    def loss(x: Any) -> Any:
        y = ops.layer_norm(ops.cumsum(x * table, 0), (32,), scale)
        return ops.sum(ops.square(ops.softmax(ops.tanh(y), 1)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_portions, "ROWS", 4 * 32 * 4)
        patch.setattr(gradient_portions, "FAR", 0)
        return trained(loss, optim.SGD([scale, table], lr=0.1), 12, 32)


def gradients_of_gradients() -> Any:
    slope = cc.grad(lambda x: ops.sum(ops.exp(ops.sin(x))))
    return compiled(lambda x: cc.grad(lambda y: ops.sum(ops.square(slope(y))))(x), ROWS)


PROGRAMS = [
    needed_by_others,
    many_operands,
    operands_kept,
    numbers_written_out,
    known_before,
    views,
    outputs_apart,
    joined,
    images,
    residual,
    guarded,
    integers,
    sorted_twice,
    descent,
    norms_in_training,
    residual_in_training,
    checkpoints,
    accumulated,
    limited,
    images_in_portions,
    gradients_by_rows,
    gradients_of_gradients,
]


def text(make: Callable[[], Any]) -> str:
    cc.manual_seed(0)
    return "\n".join([f"# {make.__name__}", *described(make())])


@pytest.mark.parametrize("make", PROGRAMS)
def test_programs_are_as_recorded(make: Callable[[], Any]) -> None:
    recorded = dict(part.split("\n", 1) for part in FILE.read_text().rstrip().split("\n\n"))
    name, found = text(make).split("\n", 1)
    assert found == recorded[name]


if __name__ == "__main__":
    FILE.write_text("\n\n".join(map(text, PROGRAMS)) + "\n")
