# SPDX-License-Identifier: Apache-2.0
"""Operations are told by records: inputs have names, attributes are frozen, the operation is a class.

What the sources may not say, read from them, and what a node keeps to.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import cnncore.ops
from cnncore.graph.tensor import OPS, Graph, Node, Tensor
from cnncore.ops.build import ElementwiseAttributes

ROOT = Path(__file__).parents[1] / "python/cnncore"
SOURCES = sorted(ROOT.glob("**/*.py"))
INNER = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("graph", "ops", "compiler")]

FORBIDDEN = {
    "an input by its position": r"\b(inputs|needs)\[-?\d",
    "attributes as a dict": r"\.attrs(\[|\.(get|items|keys|pop|setdefault|update)\()",
    "a change of a node": r"\b(node|before|fused|filtered|convolution)\.(attrs|inputs|outputs|op|path) = ",
    "a layout as a text": r"\"channels_last\"|\"c\"",
    "a float's size as a number": r"\b4 \*|(?<!\)) \* 4\b|// ?4\b|(?i:item_?size)\w* = \d",
}


def places(pattern: str, path: Path) -> list[str]:
    """Each line of code that a pattern is found in."""
    lines = path.read_text().splitlines()
    return [f"{path.name}:{i}: {line}" for i, line in enumerate(lines, 1) if re.search(pattern, line)]


LAYOUTS = ['CHANNELS_LAST = "channels_last"', 'C = "c"']


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_graph_ops_and_compiler_do_not_say(what: str) -> None:
    found = [place for path in INNER for place in places(FORBIDDEN[what], path)]
    assert [place for place in found if not place.endswith(tuple(LAYOUTS))] == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("an input by its position", "x = node.inputs[0]"),
        ("an input by its position", "if needs[3]:"),
        ("attributes as a dict", 'node.attrs["alpha"] = 0.5'),
        ("attributes as a dict", 'before.attrs.update(activation="none")'),
        ("a change of a node", "node.inputs = list(inputs)"),
        ("a layout as a text", 'with_layout(x, "c")'),
        ("a float's size as a number", "size = 4 * x.size"),
        ("a float's size as a number", "_ITEM_SIZE = 4"),
    ],
)
def test_the_patterns_find_what_they_are_for(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what], line)


def named_outside(source: str, own: set[str]) -> list[str]:
    """The places of a source that name an operation by a string; `own` are those defined in it."""
    public = set(cnncore.ops.__all__)
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}

    def names(node: ast.AST) -> bool:
        if isinstance(node, ast.Subscript):
            literal = isinstance(node.slice, (ast.Constant, ast.JoinedStr))
            return literal and ast.unparse(node.value) == "OPS"
        if isinstance(node, ast.Compare):
            return ast.unparse(node.left).endswith("op.name")
        if isinstance(node, ast.JoinedStr):
            return re.search(r"\.name\}_", ast.unparse(node)) is not None
        constant = isinstance(node, ast.Constant) and id(node) not in parts
        return constant and node.value in OPS.keys() - own - public

    return [ast.unparse(node) for node in ast.walk(tree) if names(node)]


def test_an_operation_is_named_in_its_own_file_alone() -> None:
    own: dict[str, set[str]] = {}
    for name, op in OPS.items():
        own.setdefault(type(op).__module__, set()).add(name)
    for path in SOURCES:
        if path.name != "__init__.py":
            module = ".".join(("cnncore", *path.relative_to(ROOT).with_suffix("").parts))
            assert named_outside(path.read_text(), own.get(module, set())) == [], module


@pytest.mark.parametrize(
    "line",
    [
        'emit(OPS["softmax"], [x])',
        'OPS[f"{self.name}_backward"]',
        'node.op.name == "conv_forward"',
        'node.op.name in ("sort", "mode")',
        'step = "relayout"',
    ],
)
def test_names_are_found(line: str) -> None:
    assert named_outside(line, {"reshape"})
    assert not named_outside('name = "reshape"', {"reshape"})


@pytest.mark.parametrize("name", OPS)
def test_every_operation_has_records(name: str) -> None:
    op = OPS[name]
    assert issubclass(op.Inputs, tuple)
    assert issubclass(op.Attributes, tuple)
    assert isinstance(op.Attributes._fields, tuple)
    places = {*op.reads_parts, *([op.adds] if op.adds else [])}
    names = getattr(op.Inputs, "_fields", None)
    if names is None:  # any number of inputs, told by their positions
        assert all(isinstance(place, int) and place >= 0 for place in places)
    else:
        assert places <= set(names)


def node() -> Node:
    x, y = Tensor((2, 3)), Tensor((2, 3))
    return Node(OPS["elementwise"], [x], [y], ElementwiseAttributes("elu", 0.5))


def test_attributes_do_not_change() -> None:
    before = node()
    attrs: Any = before.attrs
    with pytest.raises(AttributeError):
        attrs.alpha = 1.0
    with pytest.raises(TypeError):
        before.inputs[0] = None  # type: ignore[index]
    with pytest.raises(ValueError, match="slope"):
        before.with_(slope=1.0)


def test_a_node_is_replaced() -> None:
    before, graph = node(), Graph()
    graph.nodes = [before]
    after = before.with_(alpha=1.0)
    assert (before.attrs.alpha, after.attrs.alpha) == (0.5, 1.0)
    assert after.output is before.output
    assert after.output.node is after
    graph.replace({before: after})
    assert graph.nodes == [after]


def test_a_copy_of_a_graph_leaves_it_alone() -> None:
    graph = Graph()
    graph.nodes = [node()]
    (first,) = graph.nodes
    graph.inputs, graph.outputs = list(first.inputs), [first.output]
    twin = graph.copy()
    assert first.output.node is first
    assert [tensor.shape for tensor in twin.outputs] == [(2, 3)]
    assert not {*twin.inputs, *twin.outputs} & {*graph.inputs, *graph.outputs}
