# SPDX-License-Identifier: Apache-2.0
"""Arguments, exit codes and errors, without training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import cnncore as cc
from cnncore.cli import main
from cnncore.cli.recipes import learning_rate

HUGE = str(2**70)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fails(capsys: Capture, *arguments: str) -> str:
    """Run a command that must fail; return its one line on stderr."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cnncore: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train"], "the following arguments are required: DATASET"),
        (["train", "digits", "--epochs", "0"], "argument --epochs: expected at least 1, got 0"),
        (["train", "digits", "--epochs", "two"], "argument --epochs: expected a whole number, got 'two'"),
        (["train", "digits", "--lr", "-1"], "argument --lr: expected a number above 0, got '-1'"),
        (["train", "digits", "--lr", "inf"], "argument --lr: expected a number above 0, got 'inf'"),
        (["train", "digits", "--size", "8x8x8"], "argument --size: expected HEIGHTxWIDTH, got '8x8x8'"),
        (["predict", "model"], "the following arguments are required: IMAGE"),
        (["summary", "lenet5", "--input", "1,x"], "argument --input: expected a whole number, got ''"),
        (["info", "--threads", "0"], "argument --threads: expected at least 1, got 0"),
        (["info", "--threads", "1025"], "argument --threads: expected at most 1024, got 1025"),
        (["train", "digits", "--epochs", HUGE], f"--epochs: expected at most 2147483647, got {HUGE}"),
        (["train", "digits", "--seed", HUGE], f"--seed: expected at most {2**63 - 1}, got {HUGE}"),
        (["train", "digits", "--mixup", "nan"], "--mixup: expected a number above 0, got 'nan'"),
        (["train", "digits", "--label-smoothing", "1"], "expected a share from 0 to below 1, got '1'"),
        (["profile", "lenet5", "--repeats", HUGE], f"--repeats: expected at most 1000000, got {HUGE}"),
        (["bench", "--networks", ","], "--networks: expected names, separated by commas, got ','"),
        (["bench", "--batch", "1,,2"], "--batch: expected a whole number, got ''"),
        (["bench", "--mode", "both"], "--mode: invalid choice: 'both'"),
        (["explore", "model", "--port", HUGE], f"--port: expected at most 65535, got {HUGE}"),
    ],
)
def test_wrong_usage_ends_with_2(capsys: Capture, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "mnist"], "mnist is read from a folder: say which with --data DIR"),
        (["train", "mnist", "--data", "absent"], "absent: MNIST is not there: missing train-images"),
        (["train", "cifar10", "--data", "absent"], "absent: CIFAR-10 is not there. Fetch https://"),
        (
            ["train", "absent"],
            "expected digits, mnist, cifar10 or a folder or zip file of images, got 'absent'",
        ),
        (["train", "/dev/zero"], "/dev/zero: expected a folder or zip file of images"),
        (["train", "digits", "--model", "lenet"], "expected a network among "),
        (
            ["train", "digits", "--model", "lenet5"],
            "lenet5 takes images of 28x28, got 8x8; choose another --model",
        ),
        (["train", "digits", "--out", "absent/model"], "absent/model: there is no folder "),
        (["train", "digits", "--out", "."], ".: expected a file to write, got a folder"),
        (["predict", "absent", "image"], "absent: No such file or directory"),
        (["evaluate", "absent"], "absent: No such file or directory"),
        (["predict", "", "image"], "'': No such file or directory"),
        (
            ["bench", "--networks", "lenet5", "--batch", HUGE],
            "expected each of batches of at most 2147483647",
        ),
        (["summary", "lenet5", "--input", f"{HUGE},1,28,28"], "EB (64-bit addresses): make the batch"),
        (["summary", "absent"], "expected a model file, an ONNX file or one of alexnet, convnext_base"),
        (
            ["summary", "lenet5", "--input", "1,1,28"],
            "expected an input of batch,channels,height,width, got (1, 1, 28)",
        ),
        (
            ["bench", "--networks", "absent"],
            "expected networks among lenet5, mnist_cnn, resnet20, got 'absent'",
        ),
    ],
)
def test_failures_end_with_1_and_one_line(capsys: Capture, arguments: list[str], message: str) -> None:
    assert message in fails(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--layers", "--batch", "2"], "--networks, --batch and --mode go without --layers"),
        (["bench", "--input", "1,1,28,28"], "--input goes with a MODEL"),
        (["bench", "lenet5", "--networks", "lenet5"], "go without a MODEL"),
        (["export", "lenet5", "m.onnx", "--normalize"], "--normalize goes with a model that knows"),
        (["train", "digits", "--fit", "crop"], "--size and --fit are for folders of images"),
        (["predict", "m", "a", "--json", "--csv"], "both print on stdout; choose one"),
    ],
)
def test_options_that_do_not_go_together_end_with_2(
    capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("cnncore: error: ")
    assert message in err


def test_files_that_are_no_models(capsys: Capture) -> None:
    Path("text").write_text("hello")
    assert "text: " in fails(capsys, "predict", "text", "image")
    cc.save({"weight": np.zeros(3, np.float32)}, "weights.safetensors")
    assert "expected a model that `cnncore train` wrote" in fails(capsys, "evaluate", "weights.safetensors")
    for description, message in [
        ("{", "damaged description: JSONDecodeError"),
        ("{}", "damaged description: KeyError: 'model'"),
        (
            json.dumps({"model": "lenet5", "classes": ["a"], "image": [1, 28, 28], "mean": [], "std": [1.0],
                        "dataset": "x", "test_accuracy": 1}),
            "expected 1 means and deviations",
        ),
        (
            json.dumps({"model": "rm -rf", "classes": ["a"], "image": [1, 28, 28], "mean": [0], "std": [1.0],
                        "dataset": "x", "test_accuracy": 1}),
            "expected a network among ",
        ),
    ]:  # fmt: skip
        cc.save({"weight": np.zeros(3, np.float32)}, "weights.safetensors", metadata={"cnncore": description})
        assert message in fails(capsys, "evaluate", "weights.safetensors")


def test_summary_of_a_network(capsys: Capture) -> None:
    assert main(["summary", "lenet5"]) == 0
    assert "conv1" in capsys.readouterr().out
    assert main(["summary", "resnet20", "--input", "2,1,32,32", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["input"] == [2, 1, 32, 32]
    assert result["parameters"] == sum(p.size for p in cc.models.resnet20(in_channels=1).parameters())


def test_info(capsys: Capture) -> None:
    assert main(["info"]) == 0
    assert cc.__version__ in capsys.readouterr().out
    before = cc.get_num_threads()
    try:
        assert main(["info", "--json", "--threads", "1"]) == 0
    finally:
        cc.set_num_threads(before)
    result = json.loads(capsys.readouterr().out)
    assert (result["threads"], result["version"]) == (1, cc.__version__)
    assert {"lenet5", "digits_cnn"} <= set(result["networks"])


def test_help_names_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(
        name in text for name in ("train", "evaluate", "predict", "summary", "info", "bench", "exit codes")
    )


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cnncore", *arguments], capture_output=True, text=True, check=False
    )


def test_as_a_module_without_a_traceback() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"cnncore {cc.__version__}")
    done = command("train", "mnist", "--data", "absent")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "cnncore", "info"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(0.5, step, 100) for step in range(100)]
    assert max(rates) == rates[9] == 0.5
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert 0 < rates[-1] < 1e-3
    assert learning_rate(0.5, 0, 1) == 0.5


def test_warnings_are_a_line_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.pgm").write_bytes(b"P5 8 8 255\n" + bytes([number * 9] * 64))
    (tmp_path / "empty").mkdir()
    command = ["train", str(tmp_path), "--model", "digits_cnn", "--epochs", "1", "--quiet"]
    assert main([*command, "--out", str(tmp_path / "m.safetensors")]) == 0
    shown = capsys.readouterr().err
    assert shown == f"cnncore: warning: {tmp_path}: no images in 'empty', which is no class\n"


def test_summary_for_machines(capsys: Capture) -> None:
    assert main(["summary", "lenet5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["parameters"], result["input"]) == (61_706, [1, 1, 28, 28])
    first = result["layers"][0]
    assert first == {
        "path": "conv1",
        "kind": "Conv2d",
        "output_shape": [1, 6, 28, 28],
        "parameters": 156,
        "flops": 2 * 6 * 28 * 28 * 25,
        "output_bytes": 4 * 6 * 28 * 28,
    }
    assert sum(layer["parameters"] for layer in result["layers"]) == 61_706


def test_a_file_without_a_name_is_told_before_training(capsys: Capture) -> None:
    assert "--out: expected a file's name, got ''" in fails(capsys, "train", "digits", "--out", "")
