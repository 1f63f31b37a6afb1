# SPDX-License-Identifier: Apache-2.0
"""Graphs in which nodes change what they read, as graphs in which they make something new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .graph import Graph, Node, Ref, map_args
from .table import is_in_place

VIEWING = frozenset(
    {
        "alias",
        "chunk",
        "contiguous",
        "detach",
        "diagonal",
        "dropout",
        "expand",
        "expand_as",
        "feature_dropout",
        "flatten",
        "movedim",
        "narrow",
        "numpy_T",
        "permute",
        "positive",
        "reshape",
        "reshape_as",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "swapaxes",
        "swapdims",
        "t",
        "to",
        "transpose",
        "type_as",
        "unbind",
        "unflatten",
        "unfold",
        "unsqueeze",
        "view",
        "view_as",
    }
)
"""Operators whose result may be the memory of their first input."""


def without_changes(graph: Graph) -> dict[str, str]:
    """Let what reads a changed value read the node that changed it.

    Returns:
        The nodes for which that is not possible, by name, each with the reason: another name of the memory
        is read later, or what they change belongs to the caller.
    """
    memory: dict[str, str] = {name: name for name in graph.inputs}
    last = _last_reads(graph)
    renamed: dict[str, str] = {}
    problems: dict[str, str] = {}
    outside = set(graph.inputs) | set(graph.constants)
    for place, node in enumerate(graph.nodes):
        node.args, node.kwargs = _renamed(node.args, renamed), _renamed(node.kwargs, renamed)
        first = _first(node)
        name = node.op.partition(".")[0].removeprefix("number")
        viewing = node.op.startswith("number.getitem") or name in VIEWING
        memory[node.name] = (
            memory.get(first, first) if first and (viewing or is_in_place(node.op)) else node.name
        )
        if not is_in_place(node.op) or first is None:
            continue
        root = memory[node.name]
        others = [
            other
            for other, base in memory.items()
            if base == root and other not in (first, node.name) and last.get(other, -1) > place
        ]
        if root in outside:
            problems[node.name] = "it changes what the module is given"
        elif others:
            problems[node.name] = f"it changes memory that is read as {', '.join(others)} later"
        renamed = {old: node.name if new == first else new for old, new in renamed.items()}
        renamed[first] = node.name
    graph.outputs = _renamed(graph.outputs, renamed)
    return problems


def _is_view(node: Node) -> bool:
    return node.op == "number.getitem" or node.op.partition(".")[0] in VIEWING


def _first(node: Node) -> str | None:
    return node.args[0].name if node.args and isinstance(node.args[0], Ref) else None


def _renamed(tree: Any, names: dict[str, str]) -> Any:
    return map_args(lambda v: Ref(names.get(v.name, v.name)) if isinstance(v, Ref) else v, tree)


def _last_reads(graph: Graph) -> dict[str, int]:
    """Return where each value is read for the last time."""
    found: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        found.update(dict.fromkeys(node.refs(), place))
    end: Sequence[str] = list(Node("", "", (graph.outputs,), {}).refs())
    found.update(dict.fromkeys(end, len(graph.nodes)))
    return found
