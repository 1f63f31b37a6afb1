# SPDX-License-Identifier: Apache-2.0
"""Reports: one page, well-formed, without anything from outside, with everything escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn
from cnncore.pages.opened import Opened, open_model
from cnncore.pages.report import Labelled, report

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Checker(HTMLParser):
    """Asks that tags are closed in order, and keeps what the page has."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))
    path = str(tmp_path / "m.safetensors")
    cc.save(model, path, classes=["a", EVIL, "c"], preprocessing={"size": (8, 8)})
    return open_model(path)._replace(
        name=EVIL, history={"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], EVIL: [1.0]}
    )


def labelled(opened: Opened) -> Labelled:
    x = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    return Labelled(EVIL, x, np.arange(40) % 3)


def test_everything_is_there(opened: Opened) -> None:
    images = labelled(opened)
    found = report(opened, images)
    page = checked(found.page)
    titles = " ".join(page.texts)
    for words in ("Network", "Memory plan", "roofline", "Training", "Worst mistakes", "Filters", "Grad-CAM"):
        assert words in titles
    right = np.asarray(opened.model(images.x)).argmax(axis=1) == images.y
    assert found.figures["accuracy"] == right.mean()
    assert found.figures["parameters"] == 3 * 9 + 3 + 108 * 3 + 3
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    targets = {f"#{attrs['id']}" for _, attrs in page.tags if "id" in attrs}
    assert links
    assert set(links) <= targets


def test_nothing_comes_from_outside(opened: Opened) -> None:
    page = checked(report(opened, labelled(opened)).page)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,"))
        assert not any(name.startswith("on") for name in attrs)


def test_names_from_files_are_escaped(opened: Opened) -> None:
    text = report(opened, labelled(opened)).page
    assert "<script" not in text
    assert EVIL in " ".join(checked(text).texts)


def test_pictures_have_words(opened: Opened) -> None:
    page = checked(report(opened, labelled(opened)).page)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) >= 8
    assert all(attrs.get("alt") for attrs in images)
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in drawings)


def test_the_worst_mistakes_are_the_surest(opened: Opened) -> None:
    images = labelled(opened)
    odds = opened.probabilities(images.x)
    wrong = np.flatnonzero(odds.argmax(axis=1) != images.y)
    order = wrong[np.argsort(-odds[wrong].max(axis=1), kind="stable")][:12]
    found = re.findall(r"image (\d+): ", "".join(checked(report(opened, images).page).texts))
    assert [int(number) for number in found] == order.tolist()


def test_without_images_and_history(opened: Opened) -> None:
    found = report(opened._replace(history={}))
    titles = " ".join(checked(found.page).texts)
    assert "Training" not in titles
    assert "Results" not in titles
    assert "accuracy" not in found.figures


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),  # no maps
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()),  # no classes
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 60), nn.Softmax(1)),  # many classes
    ],
)
def test_other_models(model: nn.Module, tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    cc.save(model, path, preprocessing={"size": (8, 8)})
    images: Any = labelled(open_model(path))
    checked(report(open_model(path), images).page)


def test_of_an_onnx_model(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)).eval()
    path = str(tmp_path / "m.onnx")
    cc.onnx.export(model, path, (1, 1, 8, 8))
    (_, _), (x, y) = data.digits()
    chosen = y < 3
    found = report(open_model(path), Labelled("digits", x[chosen][:20], y[chosen][:20]))
    assert found.figures["parameters"] == 357
    assert "Grad-CAM of" in found.page
