# SPDX-License-Identifier: Apache-2.0
"""What the page asks for: images from bytes, answers, maps, moves."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.pages.opened import open_model
from cnncore.pages.session import MAX_SIDE, Move, Sample, Session, centred, moved
from cnncore.viz import arrays

RNG = np.random.default_rng(0)
IMAGE = RNG.random((1, 8, 8)).astype(np.float32)


def session_of(tmp_path: Path, model: nn.Module, channels: int = 1) -> Session:
    path = str(tmp_path / "m.safetensors")
    cc.save(model, path, preprocessing={"size": (8, 8), "mean": [0.0] * channels, "std": [1.0] * channels})
    return Session(open_model(path), [Sample(IMAGE, "seven")])


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_of(tmp_path, nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)))


def bytes_of(image: Any) -> dict[str, Any]:
    pixels = np.moveaxis(np.rint(image * 255).astype(np.uint8), 0, 2)
    return {
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }


def decoded(source: str) -> Any:
    image_module: Any = pytest.importorskip("PIL.Image")
    with image_module.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return np.asarray(image)


def test_quarter_turns_and_shifts_by_pixels_are_exact() -> None:
    found = moved(IMAGE, [Move(), Move(turn=90), Move(turn=180), Move(right=2), Move(down=-3)], (8, 8), False)
    expected = [IMAGE, np.rot90(IMAGE, axes=(1, 2)), np.rot90(IMAGE, 2, (1, 2))]
    expected += [np.zeros((1, 8, 8)), np.zeros((1, 8, 8))]
    expected[3][:, :, 2:] = IMAGE[:, :, :-2]
    expected[4][:, :-3] = IMAGE[:, 3:]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_shifts_count_in_pixels_of_the_network() -> None:
    """An image twice as large as the network's input moves by twice as many of its own pixels."""
    large = RNG.random((1, 16, 16)).astype(np.float32)
    found = moved(large, [Move(right=1)], (8, 8), False)[0]
    np.testing.assert_allclose(found[:, :, 2:], large[:, :, :-2], atol=2e-6)


def test_edges_go_on_where_photos_are_shifted() -> None:
    found = moved(IMAGE, [Move(right=3)], (8, 8), True)[0]
    np.testing.assert_allclose(found[:, :, :3], np.repeat(IMAGE[:, :, :1], 3, axis=2), atol=2e-6)


def test_turns_of_images_that_are_not_square_keep_shapes() -> None:
    image = np.zeros((1, 20, 40), np.float32)
    image[0, 8:12, 10:30] = 1.0  # 20 wide, 4 high, in the middle
    found = moved(image, [Move(turn=90)], (20, 40), False)[0, 0] > 0.5
    assert (found.any(axis=0).sum(), found.any(axis=1).sum()) == (4, 20)


def test_drawings_are_centred_and_scaled() -> None:
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 2:12, 20:24] = 1.0
    found = centred(image, 20 / 28)[0] > 0.5
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert (rows[0], rows[-1]) == (4, 23)
    assert (columns[0], columns[-1]) == (10, 17)
    np.testing.assert_array_equal(centred(np.zeros((1, 4, 4), np.float32), 1.0), np.zeros((1, 4, 4)))


def test_answers_are_those_of_the_model(session: Session) -> None:
    found = session.look({"sample": 0})
    odds = session.opened.probabilities(IMAGE[None])[0]
    assert [name for name, _ in found["odds"]] == [str(number) for number in np.argsort(-odds)]
    assert found["odds"][0][1] == pytest.approx(odds.max(), abs=1e-4)
    assert len(found["layers"]) == len(session.describe()["layers"]) == 4
    np.testing.assert_array_equal(decoded(found["input"]), np.rint(IMAGE[0] * 255))


def test_pixels_are_read_as_the_page_sends_them(session: Session) -> None:
    rounded = np.rint(IMAGE * 255) / 255
    found = session.look({**bytes_of(IMAGE), "kind": "drawing", "centre": False})
    np.testing.assert_array_equal(decoded(found["input"]), np.rint(rounded[0] * 255))


def test_colours(tmp_path: Path) -> None:
    session = session_of(tmp_path, nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2)), 3)
    image = RNG.random((3, 8, 8))
    found = session.look({**bytes_of(image), "kind": "photo"})
    np.testing.assert_array_equal(decoded(found["input"]), np.moveaxis(np.rint(image * 255), 0, 2))


def test_maps_change_with_the_input_and_its_moves(session: Session) -> None:
    first = session.look({"sample": 0, "layer": "1"})
    again = session.look({"sample": 0, "layer": "1", "right": 2})
    assert first["layer"]["words"] == "1: 3 x 6 x 6, 3 of 3 maps"
    assert first["layer"]["picture"] != again["layer"]["picture"]
    assert first["cam"] != again["cam"]


def test_moves_are_counted(session: Session) -> None:
    found = session.moves({"sample": 0})
    assert len(found["shifts"]) == len(found["shifts"][0]) == 5
    same, sure = found["shifts"][2][2]
    assert same
    assert sure == pytest.approx(session.look({"sample": 0})["odds"][0][1], abs=1e-4)
    turns = {turn: (same, sure) for turn, same, sure in found["turns"]}
    assert turns[0] == (True, sure)
    kept = sum(same for row in found["shifts"] for same, _ in row)
    assert found["words"].startswith(f"{kept} of 25 shifts")
    x = moved(IMAGE, [Move(right=1, down=-2)], (8, 8), False)
    odds = session.opened.probabilities(x)[0]
    assert found["shifts"][0][3][1] == pytest.approx(odds[int(found["answer"])], abs=1e-4)


def test_moves_of_large_images_are_made_in_parts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = session.moves({"sample": 0})
    monkeypatch.setattr("cnncore.pages.session.MOVED", 7 * 64)
    rows: list[int] = []
    prepared = session._prepared
    monkeypatch.setattr(
        session,
        "_prepared",
        lambda image, moves, border: rows.append(len(moves)) or prepared(image, moves, border),
    )
    assert session.moves({"sample": 0}) == whole
    assert (max(rows), sum(rows)) == (7, 1 + 25 + 25)


def test_answers_that_are_no_numbers_are_said(session: Session) -> None:
    session.opened.model[0].weight.assign(np.full((3, 1, 3, 3), np.nan, np.float32))
    for ask in (session.look, session.moves):
        with pytest.raises(ValueError, match="NaN"):
            ask({"sample": 0})


def test_a_model_that_sees_means_bears_all_turns_by_quarters(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = session_of(tmp_path, model).moves({"sample": 0})
    turns = {turn: sure for turn, _, sure in found["turns"]}
    assert turns[90] == pytest.approx(turns[0], abs=1e-3)


def test_models_without_classes_show_their_layers(tmp_path: Path) -> None:
    session = session_of(tmp_path, nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()))
    found = session.look({"sample": 0})
    assert (found["odds"], found["cam"], len(found["layers"])) == ([], None, 2)
    with pytest.raises(ValueError, match="no classes"):
        session.moves({"sample": 0})


def test_onnx_of_a_fixed_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)).eval()
    path = str(tmp_path / "m.onnx")
    cc.onnx.export(model, path, (2, 1, 8, 8))
    session = Session(open_model(path), [Sample(IMAGE, "a")])
    found = session.look({"sample": 0})
    assert found["odds"][0][0] == str(np.asarray(model(IMAGE[None])).argmax())
    assert found["cam"] is not None
    assert len(session.moves({"sample": 0})["turns"]) == 25


def test_deep_models_show_some_of_their_layers(tmp_path: Path) -> None:
    model = nn.Sequential(*[nn.ReLU() for _ in range(80)], nn.Flatten(), nn.Linear(64, 2))
    session = session_of(tmp_path, model)
    assert len(session.layers) == 60
    assert session.layers[-1].name == arrays.layers(model, (1, 1, 8, 8))[-1].name


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "a width and height"),
        ({"sample": 1}, "no sample 1"),
        ({"sample": "0"}, "no sample '0'"),
        ({"sample": True}, "no sample True"),
        ({"sample": 0, "layer": "nowhere"}, "no layer 'nowhere'"),
        ({"sample": 0, "turn": "much"}, "expected turn as a number"),
        ({"sample": 0, "right": float("nan")}, "expected right as a number"),
        ({"sample": 0, "down": 1e9}, "expected down as a number"),
        ({"pixels": "AA==", "width": 2, "height": 1}, "expected 2 bytes of pixels, got 1"),
        ({"pixels": "?", "width": 1, "height": 1}, "bytes in base64"),
        ({"pixels": 5, "width": 1, "height": 1}, "bytes in base64"),
        ({"pixels": "", "width": MAX_SIDE + 1, "height": 1}, "from 1 to 512"),
        ({"pixels": "", "width": True, "height": 1}, "from 1 to 512"),
        ({"pixels": "", "width": 0, "height": 1}, "from 1 to 512"),
    ],
)
def test_requests_that_are_none(session: Session, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        session.look(request_)
