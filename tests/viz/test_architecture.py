# SPDX-License-Identifier: Apache-2.0
"""Pictures of networks."""

from __future__ import annotations

from xml.etree import ElementTree

from cnncore import models, nn
from cnncore.viz import architecture
from cnncore.viz.architecture import _places, drawn
from cnncore.viz.arrays import Layer, Network, network

SPACE = "{http://www.w3.org/2000/svg}"


def test_a_box_for_each_layer_and_a_line_for_each_way() -> None:
    net = network(models.resnet20(), (1, 3, 32, 32))
    root = ElementTree.fromstring(architecture(models.resnet20(), (1, 3, 32, 32)))
    assert len(list(root.iter(f"{SPACE}rect"))) == len(net.layers)
    lines = [path for path in root.iter(f"{SPACE}path") if path.get("marker-end")]
    assert len(lines) == len(net.edges)
    words = " ".join(text.text or "" for text in root.iter(f"{SPACE}text"))
    assert "layer1.0.conv1  Conv2d" in words
    assert "1 x 16 x 32 x 32, 2,304 parameters" in words


def test_layers_lie_below_what_they_read_and_beside_each_other() -> None:
    net = network(models.googlenet(aux_logits=False, init_weights=False), (1, 3, 64, 64))
    places = _places(net)
    assert len(set(places)) == len(places)
    assert all(places[source][1] < places[number][1] for source, number in net.edges)
    assert max(column for column, _ in places) == 3  # four branches


def test_names_are_escaped() -> None:
    picture = drawn(Network((Layer("<script>", "a&b", (1,), 0, 0),), ()), '"<title>')
    assert "<script>" not in picture
    ElementTree.fromstring(picture)


def test_long_names_keep_their_ends() -> None:
    model = nn.ModuleDict({"a" * 60: nn.Linear(2, 2)})
    layer = Layer("a" * 60 + ".last", "Linear", (1, 2), 6, 8)
    assert "last  Linear" in drawn(Network((layer,), ()), type(model).__name__)
