# SPDX-License-Identifier: Apache-2.0
"""`cnncore explore`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.cli import main
from cnncore.cli.explore import samples
from cnncore.pages.opened import open_model


def digits_model(tmp_path: Path, side: int) -> str:
    path = str(tmp_path / "m.safetensors")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * (side - 2) ** 2, 10))
    cc.save(model, path, classes=list("0123456789"), preprocessing={"size": (side, side)})
    return path


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"dataset": None, "data": None, "download": False, "images": 100, **given})


@pytest.mark.parametrize("side", [8, 28])
def test_digits_to_begin_with(tmp_path: Path, side: int) -> None:
    found = samples(options(), open_model(digits_model(tmp_path, side)))
    assert [sample.label for sample in found] == list("0123456789")
    assert all(sample.image.shape == (1, side, side) for sample in found)
    assert all(0.5 < sample.image.max() <= 1 for sample in found)
    if side == 28:  # a border of 4, as MNIST has it; scaling blurs edges by a pixel
        assert all(not (sample.image[0, :3] > 0.1).any() for sample in found)


def test_samples_of_a_folder(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            image = np.full(30, 100 if name == "cat" else 200, np.uint8)
            (tmp_path / "photos" / name / f"{number}.pgm").write_bytes(b"P5 6 5 255\n" + image.tobytes())
    path = str(tmp_path / "m.safetensors")
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    cc.save(model, path, classes=["cat", "dog"], preprocessing={"size": (4, 4), "mean": [0.3], "std": [0.2]})
    found = samples(options(dataset=str(tmp_path / "photos")), open_model(path))
    assert [(sample.label, round(float(sample.image.mean()) * 255)) for sample in found] == [
        ("cat", 100),
        ("dog", 200),
    ]
    assert samples(options(), open_model(path)) == []


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cnncore", "explore", digits_model(tmp_path, 8), "--port", "0", "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, _default()),
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(url + "model") as reply:
            assert len(json.load(reply)["samples"]) == 10
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def _default() -> Any:
    """SIGINT is ignored at start in background jobs."""
    return signal.default_int_handler


def test_a_port_that_is_taken(tmp_path: Path, capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["explore", digits_model(tmp_path, 8), "--port", port]) == 1
    assert f"port {port} is taken: --port 0 takes any that is free" in capsys.readouterr().err


@pytest.mark.parametrize(("port", "words"), [("65536", "at most 65535"), ("-1", "at least 0")])
def test_ports_that_are_none(port: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explore", "m.safetensors", "--port", port])
    assert words in capsys.readouterr().err
