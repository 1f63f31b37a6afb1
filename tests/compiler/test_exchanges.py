# SPDX-License-Identifier: Apache-2.0
"""Where sums over processes begin: as early as they can, in the order of all processes."""

from __future__ import annotations

from cnncore import ops
from cnncore.compiler.exchanges import begin_exchanges
from cnncore.graph.tensor import Graph, Tensor
from cnncore.graph.trace import building
from cnncore.ops.exchange import summed


def names(graph: Graph) -> list[str]:
    return [
        f"{node.op.name} {node.attrs.number}" if node.op.name.startswith("exchange") else node.op.label(node)
        for node in graph.nodes
    ]


def test_sums_begin_where_their_last_input_is_made_and_keep_their_order() -> None:
    graph = Graph()
    x = Tensor((4,))
    graph.inputs = [x]
    with building(graph):
        a = ops.cumsum(x, 0)
        b = ops.sort(a)[0]
        c = ops.cumprod(b, 0)
        late = summed([c, a], 0, 2)
        early = summed([ops.neg(a)], 1, 2)
        last = ops.cumsum(late[0] + early[0], 0)
    graph.outputs = [last, b]
    before = set(graph.nodes)
    begin_exchanges(graph)
    assert set(graph.nodes) == before
    assert names(graph) == [
        "scan",
        "neg",
        "sort",
        "scan",
        "exchange_begin 0",
        "exchange_begin 1",
        "exchange_end 0",
        "exchange_end 1",
        "add",
        "scan",
    ]
    made = set(graph.inputs)
    for node in graph.nodes:
        assert made.issuperset(t for t in node.inputs if t is not None)
        made.update(node.outputs)


def test_sums_of_what_is_there_begin_before_others_end() -> None:
    graph = Graph()
    x, y = Tensor((4,)), Tensor((3,))
    graph.inputs = [x, y]
    with building(graph):
        long = ops.cumsum(ops.cumsum(y, 0), 0)
        made = ops.cumsum(x, 0)
        (first,) = summed([x], 0, 2)
        (second,) = summed([made], 1, 2)
        total = ops.concat([long, first, second], 0)
    graph.outputs = [total]
    begin_exchanges(graph)
    ends = ["exchange_end 0", "exchange_end 1"]
    assert names(graph) == ["scan"] * 3 + ["exchange_begin 0", "exchange_begin 1", *ends, "concat"]


def test_what_others_read_stays() -> None:
    graph = Graph()
    x = Tensor((4,))
    graph.inputs = [x]
    with building(graph):
        slow = ops.cumsum(x, 0)
        read = ops.neg(x)
        (found,) = summed([read], 0, 2)
        total = slow + found + read
    graph.outputs = [total]
    begin_exchanges(graph)
    assert names(graph)[:3] == ["scan", "neg", "exchange_begin 0"]
