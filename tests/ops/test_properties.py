# SPDX-License-Identifier: Apache-2.0
"""What operations let the compiler do with their nodes stays as `properties.txt` has it.

A line is an operation with its properties that are not everybody's, and what it says of its nodes, each with
the values that occur among the cases of the table, in values and gradients.
`python tests/ops/test_properties.py` writes the file anew; its difference is what fusion, the cutting of
batches and the sharing of memory may do more or less.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cases import CASES
from cases.case import Case
from cnncore import ops
from cnncore.compiler import pipeline
from cnncore.graph.tensor import OPS, Node, Op, Tensor
from cnncore.graph.trace import trace

FILE = Path(__file__).with_name("properties.txt")

OF_OPERATIONS = (
    "varies",
    "writes_updates",
    "may_alias",
    "keeps_elements",
    "reads_parts",
    "joins_portions",
    "adds",
    "activates",
    "argument_output",
    "differentiable",
)


def _chosen() -> list[Case]:
    """One case for each operation and set of settings."""
    chosen: dict[tuple[Any, ...], Case] = {}
    for case in CASES:
        if not case.large:
            chosen.setdefault((case.name, *sorted(case.settings), case.arrays[0].ndim), case)
    return [*chosen.values()]


def _nodes(case: Case) -> Iterator[Node]:
    """The nodes that a case's value becomes, and those of the gradient of its sum."""

    def total(*tensors: Any) -> Any:
        found = case(*tensors)
        results = found if isinstance(found, tuple) else (found,)
        return results, sum(result.sum() for result in results if result.dtype == "float32")

    graph, (results, _) = trace(total, list(case.arrays))
    graph.outputs = [*results]
    pipeline.run(pipeline.FUNCTION, graph)
    yield from graph.nodes
    if case.places:
        graph, (_, loss) = trace(total, list(case.arrays))
        graph.outputs = [loss]
        wanted = [graph.inputs[i] for i in case.places]

        def use(found: list[Tensor | None]) -> None:
            graph.outputs += [gradient for gradient in found if gradient is not None]

        pipeline.compile_training(graph, wanted, use)
        yield from graph.nodes


def _of_node(node: Node) -> Iterator[tuple[str, Any]]:
    """What an operation says of a node, but for what most say."""
    op = node.op
    yield "images", tuple(op.images(node))
    yield "rows", op.maps_rows(node)
    yield "sum", op.is_sum(node)
    yield "chainable", op.is_chainable(node)
    yield "activation", op.as_activation(node)
    yield "recomputes", op.recomputes_argument(node)
    yield "takes channels", op.takes_channels(node)
    yield "joins channels", op.joins_channels(node)
    yield "flops", bool(op.flops(node))
    again = op.with_batch(node.attrs, 11)
    pairs = zip(node.attrs._fields, again, node.attrs, strict=True) if node.attrs else ()
    yield "of a batch", tuple(name for name, new, old in pairs if new != old)
    yield "rearranges", sum(1 for _ in op.to_rearrange(node))
    with suppress(ValueError):
        yield "of nothing", f"{op.of_nothing(node):g}"


def _lines() -> dict[str, str]:
    import_module("cnncore.ops.sync_norm")  # which nothing imports before it is needed
    known = {name: op for name, op in sorted(OPS.items()) if type(op).__module__.startswith(ops.__name__)}
    said: dict[str, dict[str, set[str]]] = {name: {} for name in known}
    for case in _chosen():
        for node in _nodes(case):
            for name, value in _of_node(node):
                if value not in ((), None, False, 0):
                    said[node.op.name].setdefault(name, set()).add(str(value))
    lines = {}
    for name, op in known.items():
        own = [f"{p}: {v}" for p in OF_OPERATIONS if (v := getattr(op, p)) != getattr(Op, p)]
        own += [f"{what}: {', '.join(sorted(values))}" for what, values in sorted(said[name].items())]
        if own:
            lines[name] = "; ".join(own)
    return lines


def test_the_compiler_may_do_what_it_might() -> None:
    assert _lines() == dict(line.split(" = ", 1) for line in FILE.read_text().splitlines())


if __name__ == "__main__":
    FILE.write_text("".join(f"{name} = {line}\n" for name, line in _lines().items()))
