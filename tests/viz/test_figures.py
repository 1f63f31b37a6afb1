# SPDX-License-Identifier: Apache-2.0
"""Pictures by matplotlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.viz.figures import filter_picture

RNG = np.random.default_rng(0)
X = RNG.random((2, 3, 8, 8)).astype(np.float32)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def drawings() -> dict[str, Any]:
    model = small()
    predictor = cc.compile(model, X.shape)
    return {
        "filters": lambda: cc.viz.filters(model[0]),
        "filters of many channels": lambda: cc.viz.filters(nn.Conv2d(20, 70, 3)),
        "filters of grey": lambda: cc.viz.filters(nn.Conv2d(1, 6, 3)),
        "feature_maps": lambda: cc.viz.feature_maps(model, X, "1"),
        "feature_maps of features": lambda: cc.viz.feature_maps(model, X, "3"),
        "grad_cam": lambda: cc.viz.grad_cam(model, X),
        "grad_cam_plus_plus": lambda: cc.viz.grad_cam_plus_plus(model, X, 1),
        "saliency": lambda: cc.viz.saliency(model, X, 1),
        "integrated_gradients": lambda: cc.viz.integrated_gradients(model, X, 1, steps=3),
        "occlusion": lambda: cc.viz.occlusion(model, X, 1, window=4, stride=4),
        "activation_maximisation": lambda: cc.viz.activation_maximisation(
            model, (1, 3, 8, 8), [0, 4], steps=2
        ),
        "confusion_matrix": lambda: cc.viz.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2]),
        "confusion_matrix of counts": lambda: cc.viz.confusion_matrix(np.eye(30)),
        "history": lambda: cc.viz.history({"loss": [2.0, 1.0]}),
        "roc": lambda: cc.viz.roc(RNG.random((20, 8)), np.arange(20) % 8),
        "embedding": lambda: cc.viz.embedding(model, RNG.random((9, 3, 8, 8)), np.arange(9), None),
        "profile": lambda: cc.viz.profile(predictor.profile(X, repeats=1)),
    }


@pytest.mark.parametrize("name", drawings())
def test_they_draw(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = drawings()[name]()
    figure.savefig(tmp_path / "p.png", dpi=50)
    image_module: Any = pytest.importorskip("PIL.Image")
    with image_module.open(tmp_path / "p.png") as image:
        assert len(np.unique(np.asarray(image).reshape(-1, 4), axis=0)) > 10


def test_every_name_is_drawn() -> None:
    names = {name.partition(" ")[0] for name in drawings()} | {"architecture", "arrays"}
    assert names == set(cc.viz.__all__)


def test_what_cannot_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(
        ValueError, match=r"images \(rows, 1 or 3, height, width\) to draw, got \(2, 4, 8, 8\)"
    ):
        cc.viz.saliency(nn.Conv2d(4, 2, 8), np.zeros((2, 4, 8, 8)), 1)
    with pytest.raises(ValueError, match=r"a matrix of counts .* got shape \(2, 3\)"):
        cc.viz.confusion_matrix(np.ones((2, 3)))
    with pytest.raises(ValueError, match="expected 2 names of classes, got 1"):
        cc.viz.confusion_matrix(np.eye(2), classes=["a"])
    with pytest.raises(ValueError, match="a label for each of 2 rows"):
        cc.viz.embedding(small(), X, [1])


def test_without_matplotlib_arrays_are_computed_and_pictures_say_what_to_install() -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
        "import numpy as np, cnncore as cc\n"
        "from cnncore import nn\n"
        "layer = nn.Conv2d(3, 4, 3)\n"
        "print(cc.viz.arrays.filters(layer).shape, cc.viz.architecture(layer, (1, 3, 8, 8))[:4])\n"
        "try: cc.viz.filters(layer)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(4, 3, 3, 3) <svg",
        "cnncore.viz needs matplotlib: pip install 'cnncore[viz]'",
    ]


def test_computing_and_svg_load_no_matplotlib() -> None:
    script = (
        "import sys, cnncore as cc\n"
        "from cnncore import nn\n"
        "cc.viz.arrays.filters(nn.Conv2d(3, 4, 3))\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_filters_of_three_by_three_are_no_colours() -> None:
    """(filters, 1, 3, 3) is a grey filter of three columns, not a row of three colours."""
    weight = np.zeros((1, 1, 3, 3), np.float32)
    weight[0, 0, 1, 2] = 1.0
    picture = filter_picture(weight)
    assert picture.shape == (3, 3, 3)
    assert [tuple(picture[1, 2]), tuple(picture[0, 0])] == [(190, 75, 0), (247, 247, 247)]
    colours = filter_picture(np.ones((1, 3, 5, 3), np.float32))
    assert colours.shape == (5, 3, 3)
