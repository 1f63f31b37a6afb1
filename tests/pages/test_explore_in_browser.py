# SPDX-License-Identifier: Apache-2.0
"""The page to explore a model with, in headless Chromium; skipped where playwright or Chromium is absent."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.cli.networks import build
from cnncore.pages.opened import open_model
from cnncore.pages.server import Server
from cnncore.pages.session import Sample, Session

pytestmark = pytest.mark.slow

ZERO = [(0.5 + 0.2 * math.sin(t * math.pi / 10), 0.5 - 0.32 * math.cos(t * math.pi / 10)) for t in range(21)]
THREE = [(0.3, 0.2), (0.6, 0.2), (0.65, 0.35), (0.45, 0.47), (0.65, 0.6), (0.6, 0.8), (0.3, 0.8)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = data.digits()
    model = build("digits_cnn", 10, 1)
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=3e-3))
    trainer.fit(x, y, epochs=5, batch_size=32, verbose=0)
    path = str(tmp_path_factory.mktemp("model") / "digits.safetensors")
    cc.save(model, path, classes=list("0123456789"), preprocessing={"size": (8, 8)})
    samples = [Sample(x_test[np.flatnonzero(y_test == label)[0]], str(label)) for label in range(10)]
    with Server(Session(open_model(path), samples)) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        # Fake devices are a camera that shows a moving picture.
        arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda message: message.type == "error" and problems.append(message.text))
    found.on("request", lambda request: _inside(request.url, server) or problems.append(request.url))
    found.goto(server.url)
    found.wait_for_selector("#layers button")
    yield found
    found.close()
    assert problems == []


def _inside(url: str, server: Server) -> bool:
    return url.startswith((server.url, "data:", "blob:"))


def draw(page: Any, points: Sequence[tuple[float, float]]) -> None:
    box = page.locator("#draw").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def answers(page: Any, digit: str) -> None:
    page.wait_for_function(
        "d => document.getElementById('answer').textContent.startsWith(d + ',')", arg=digit
    )


def source(page: Any, selector: str) -> str:
    return str(page.get_attribute(selector, "src"))


def test_a_digit_is_drawn_and_read_and_its_maps_change(page: Any) -> None:
    draw(page, ZERO)
    answers(page, "0")
    page.locator("#layers button").nth(3).click()
    page.wait_for_selector("#maps:not([hidden])")
    assert page.inner_text("#maps-words").startswith("conv2: 64 x 8 x 8")
    maps, cam, seen, layer = (
        source(page, s) for s in ("#maps", "#cam", "#seen", "#layers li:first-child img")
    )
    page.click("#clear")
    draw(page, THREE)
    answers(page, "3")
    page.wait_for_function("s => document.getElementById('maps').src !== s", arg=maps)
    assert source(page, "#cam") != cam
    assert source(page, "#seen") != seen
    assert source(page, "#layers li:first-child img") != layer
    assert page.locator("#odds li").count() == 10


def test_keys_alone(page: Any) -> None:
    """Tab leads to the drawing area, arrows and Space draw a zero, Enter chooses a layer and a sample."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "draw"
    assert page.is_visible("#pen")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for key in ["ArrowUp"] * 5 + [" "]:
        page.keyboard.press(key)
    steps = {"r": "ArrowRight", "l": "ArrowLeft", "u": "ArrowUp", "d": "ArrowDown"}
    for step in "rdrdrddddddldldll" + "lululuuuuuurur":
        page.keyboard.press(steps[step])
    page.keyboard.press(" ")
    answers(page, "0")
    assert page.get_attribute("#answer", "aria-live") in ("polite", "off")
    page.wait_for_function("() => document.getElementById('answer').getAttribute('aria-live') === 'polite'")
    assert page.get_attribute("#answer", "role") == "status"

    _tab_to(page, "document.activeElement.getAttribute('aria-label') === 'Sample 7'")
    page.keyboard.press("Enter")
    answers(page, "7")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    _tab_to(page, "document.activeElement.id === 'right'")
    before = source(page, "#seen")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("s => document.getElementById('seen').src !== s", arg=before)
    assert page.inner_text("#right-value") == "1"
    _tab_to(page, "document.activeElement.id === 'try'")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => /shifts of up to 2 pixels/.test(document.getElementById('moves-words').textContent)"
    )
    assert page.get_attribute("#shifts", "aria-label").startswith(page.inner_text("#moves-words")[:10])
    _tab_to(page, "document.activeElement.textContent.startsWith('conv1')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#maps:not([hidden])")


def _tab_to(page: Any, condition: str) -> None:
    for _ in range(60):
        if page.evaluate(condition):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not come to {condition}")


def test_everything_that_can_be_used_has_a_name(page: Any) -> None:
    names = page.evaluate(
        """() => [...document.querySelectorAll('button, input, canvas[tabindex], a')].map(e =>
        (e.getAttribute("aria-label") || e.textContent || (e.labels && e.labels[0] && e.labels[0].textContent)
        || '').trim())"""
    )
    assert len(names) > 25
    assert "" not in names


def test_pictures_are_shown(page: Any, tmp_path: Path) -> None:
    (_, _), (x, y) = data.digits()
    image_module: Any = pytest.importorskip("PIL.Image")
    digit = np.rint(x[np.flatnonzero(y == 6)[0], 0] * 255).astype(np.uint8)
    path = tmp_path / "six.png"
    image_module.fromarray(np.kron(digit, np.ones((20, 20), np.uint8))).save(path)
    page.set_input_files("#file", path)
    answers(page, "6")
    (tmp_path / "no.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "no.png")
    page.wait_for_function("() => document.getElementById('answer').textContent.includes('no picture')")


def test_the_camera_is_shown_until_it_is_stopped(page: Any) -> None:
    page.click("#camera")
    page.wait_for_function("() => document.getElementById('camera').getAttribute('aria-pressed') === 'true'")
    page.wait_for_selector("#seen:not([hidden])")
    first = source(page, "#seen")
    page.wait_for_function("s => document.getElementById('seen').src !== s", arg=first)
    page.click("#camera")
    assert page.get_attribute("#camera", "aria-pressed") == "false"


@pytest.mark.parametrize("width", [320, 700, 1280])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.get_by_label("Sample 5").click()
    answers(page, "5")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
