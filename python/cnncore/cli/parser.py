# SPDX-License-Identifier: Apache-2.0
"""The arguments of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .._version import __version__

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_MODEL_FILE = "cnncore-model.safetensors"

_DATASET = (
    "digits (comes with cnncore), mnist, cifar10, or a folder or zip file of images in folders by class"
)
_DATA = "the folder (or zip file) that mnist or cifar10 is in"
_SOURCE = "a file that train or cc.save wrote, an ONNX file, or a network's name"
_EXIT_CODES = (
    "exit codes: 0 done, 1 failed, or some files could not be read (stderr says why), 2 wrong usage, 3 loss "
    "NaN or infinite (the last finite model is saved), 130 interrupted"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser; what it returns has `run`, the command's function."""
    top = argparse.ArgumentParser(
        prog="cnncore", description="Train and run convolutional networks on CPUs.", epilog=_EXIT_CODES
    )
    top.add_argument("--version", action="version", version=f"cnncore {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _train,
        _evaluate,
        _predict,
        _summary,
        _profile,
        _export,
        _convert,
        _report,
        _explore,
        _info,
        _bench,
    ):
        command = add(commands)
        command.add_argument(
            "--json", action="store_true", help="print the result as JSON, and nothing else, on stdout"
        )
        command.add_argument(
            "--threads", type=_from(1, 1024), metavar="N", help="threads to use at most; default: all cores"
        )
    return top


def _train(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "train",
        help="train a network and save it",
        description="Train a network, print its test accuracy and save it with all that predict needs. "
        "Without options every data set has its own network, epochs and learning rate. An image folder "
        "without train/ and test/ is tested on every fifth image of each class.",
    )
    command.set_defaults(run=_call("train"))
    command.add_argument("dataset", metavar="DATASET", help=_DATASET)
    command.add_argument("--data", metavar="DIR", help=_DATA)
    command.add_argument(
        "--download", action="store_true", help="fetch mnist or cifar10 into --data if not there"
    )
    command.add_argument("--model", metavar="NAME", help="the network; `cnncore info` lists them")
    command.add_argument(
        "--epochs", type=_from(1, 2**31 - 1), metavar="N", help="times to go through the data"
    )
    command.add_argument("--batch-size", type=_from(1), metavar="N", help="images a training step")
    command.add_argument(
        "--lr", type=_positive, metavar="X", help="the highest learning rate of the schedule"
    )
    command.add_argument(
        "--optimizer",
        choices=("adamw", "adam", "lion", "rmsprop", "sgd"),
        default="adamw",
        help="default: adamw",
    )
    command.add_argument(
        "--schedule",
        choices=("cosine", "linear", "step", "constant"),
        default="cosine",
        help="of the learning rate after the warm-up; default: %(default)s",
    )
    start = command.add_mutually_exclusive_group()
    start.add_argument(
        "--init",
        metavar="FILE",
        help="begin with the weights in a model file, a safetensors file or a torch checkpoint, as far as "
        "they fit; images get the size and the preprocessing of a model file",
    )
    start.add_argument(
        "--transfer",
        metavar="FILE",
        help="as --init, with a new last layer; the other layers are kept fixed for the first quarter of the "
        "epochs",
    )
    command.add_argument(
        "--augment",
        choices=("none", "shift", "photo", "randaugment", "trivial"),
        help="how training images are changed at random; photo: parts of them, mirrored, in other brightness "
        "and colours; default: photo for folders of photos, shift for mnist, else none",
    )
    command.add_argument(
        "--mixup", type=_positive, metavar="ALPHA", help="mix images and labels in pairs, as with 0.2"
    )
    command.add_argument(
        "--label-smoothing", type=_share, metavar="X", help="share of the target spread over all classes"
    )
    command.add_argument(
        "--best",
        action=argparse.BooleanOptionalAction,
        help="save the epoch that is best on the images in val/ or, where there are none beside test/, on a "
        "fifth of the training images, which is held out; default: for folders of images",
    )
    command.add_argument(
        "--resume", action="store_true", help="go on with a training of the same command that was stopped"
    )
    command.add_argument(
        "--report",
        metavar="DIR",
        help="write settings, figures of epochs and classes, the confusion matrix, best and last model and, "
        "with matplotlib, curves; default for folders of images: runs/1, runs/2, ...",
    )
    command.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help="height and width to give the images of a folder; default: chosen by them, and said",
    )
    command.add_argument(
        "--fit",
        choices=("crop", "letterbox", "stretch"),
        help="of images of other proportions take the middle part, all in a grey border, or all in wrong "
        "proportions; default: crop",
    )
    command.add_argument(
        "--cache",
        type=_from(0),
        metavar="MB",
        default=1024,
        help="memory for the decoded images of a folder; those beyond are read again; default: %(default)s",
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        default=DEFAULT_MODEL_FILE,
        help="the model's file, replaced if it exists; default: %(default)s, of which older ones are kept "
        "under names with a number",
    )
    command.add_argument(
        "--seed", type=_from(0, 2**63 - 1), metavar="N", default=0, help="of all random numbers; default: 0"
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")
    return command


def _evaluate(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "evaluate",
        help="measure a saved model's accuracy",
        description="Score a saved model: on all images of a folder, <class>/<image>, or those in its test/ "
        "folder where it has one; on the test images of mnist, cifar10 or digits; or, without DATASET, on "
        "those that were kept for the test of its training. A folder may have a part of the classes.",
    )
    command.set_defaults(run=_call("evaluate"))
    command.add_argument("model", metavar="MODEL", help="a file that train wrote")
    command.add_argument(
        "dataset", metavar="DATASET", nargs="?", help=_DATASET + "; default: what it was trained on"
    )
    command.add_argument(
        "--mistakes", action="store_true", help="name the images of a folder that are taken for another class"
    )
    command.add_argument("--data", metavar="DIR", help=_DATA)
    command.add_argument(
        "--download", action="store_true", help="fetch mnist or cifar10 into --data if not there"
    )
    command.add_argument("--batch-size", type=_from(1), metavar="N", default=256, help="default: %(default)s")
    return command


def _predict(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "predict",
        help="classify image files",
        description="Print class and probability of each image. PGM, PPM and NPY files need nothing else, "
        "other formats need Pillow. Images get the network's size and colours as it was trained; colours are "
        "not inverted: digits are light on dark there. A file that cannot be read is told on stderr, the "
        "others are classified, and the exit code is 1.",
    )
    command.set_defaults(run=_call("predict"))
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a file that train or cc.save wrote, or an ONNX file that classifies images",
    )
    command.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="image files, folders, with all folders in them, or - for standard input: the bytes of an "
        "image, or names of files and folders, one a line or ended by NUL",
    )
    command.add_argument("--top", type=_from(1), metavar="N", default=1, help="show the N likeliest classes")
    command.add_argument(
        "--csv",
        metavar="FILE",
        nargs="?",
        const="-",
        type=_csv_name,
        help="write file, class and probability as a table, too; without a FILE.csv to stdout instead of the "
        "lines",
    )
    command.add_argument(
        "--copy-to", metavar="DIR", help="copy each image to DIR/<class>/; nothing there is replaced"
    )
    command.add_argument(
        "--lowest-first", action="store_true", help="show the least certain images first, once all are done"
    )
    return command


def _summary(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser("summary", help="show a network's layers, shapes, parameters and FLOPs")
    command.set_defaults(run=_call("summary"))
    command.add_argument("model", metavar="MODEL|NAME", help=_SOURCE)
    command.add_argument(
        "--input", type=_shape, metavar="N,C,H,W", help="input shape; default: the model's, batch 1"
    )
    return command


def _profile(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser("profile", help="measure each step of a network's inference")
    command.set_defaults(run=_call("profile"))
    command.add_argument("model", metavar="MODEL|NAME", help=_SOURCE)
    command.add_argument(
        "--input", type=_shape, metavar="N,C,H,W", help="input shape; default: the model's, batch 1"
    )
    command.add_argument(
        "--repeats",
        type=_from(1, 1_000_000),
        metavar="N",
        default=5,
        help="runs of which each step's least time counts",
    )
    return command


def _export(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "export",
        help="write a network as an ONNX file",
        description="Write a network, as it computes in inference, as an ONNX file that the official checker "
        "accepts. Needs the package onnx: pip install 'cnncore[onnx]'.",
    )
    command.set_defaults(run=_call("export"))
    command.add_argument("model", metavar="MODEL|NAME", help=_SOURCE)
    command.add_argument("target", metavar="FILE.onnx", help="the file to write, replaced if it exists")
    command.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of a network that is named: safetensors, torch, .npz",
    )
    command.add_argument(
        "--classes",
        type=_from(1),
        metavar="N",
        help="of a network that is named; default: 1000, 10 of those for small images",
    )
    command.add_argument(
        "--input", type=_shape, metavar="N,C,H,W", help="input shape; default: the model's, batch 1"
    )
    command.add_argument("--dynamic-batch", action="store_true", help="leave the number of images open")
    command.add_argument("--dynamic-size", action="store_true", help="leave height and width open")
    command.add_argument(
        "--opset", type=_from(1), metavar="N", default=17, help="from 13 to the newest; default: %(default)s"
    )
    command.add_argument(
        "--normalize",
        action="store_true",
        help="let the file take images from 0 to 1, and normalize them as the model was trained",
    )
    command.add_argument("--softmax", action="store_true", help="let it give probabilities")
    return command


def _convert(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "convert",
        help="write the weights of a file in another format",
        description="Write the arrays of a safetensors file, torch checkpoint, Keras or ONNX file or .npz as "
        "safetensors or .npz. Names stay; Keras's layouts become those of layers here.",
    )
    command.set_defaults(run=_call("convert"))
    command.add_argument("source", metavar="SOURCE", help="the file to read")
    command.add_argument("target", metavar="TARGET", help="the file to write: .safetensors or .npz")
    command.add_argument("--key", metavar="NAME", help="the entry of a torch checkpoint, such as ema")
    return command


def _report(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "report",
        help="write a page about a model: layers, memory, speed, results, mistakes, what it sees",
        description="Write one HTML file that needs nothing from outside: the network with shapes, "
        "parameters and FLOPs, its memory plan and roofline, the curves of its training, and of labelled "
        "images the confusion matrix, the worst mistakes and where the network looks (Grad-CAM).",
    )
    command.set_defaults(run=_call("report_page"))
    command.add_argument("model", metavar="MODEL", help="a file that train or cc.save wrote, or model.onnx")
    command.add_argument(
        "dataset", metavar="DATA", nargs="?", help=_DATASET + "; default: digits, if trained on them"
    )
    command.add_argument("-o", "--output", metavar="FILE", default="report.html", help="default: %(default)s")
    command.add_argument("--data", metavar="DIR", help=_DATA)
    command.add_argument(
        "--download", action="store_true", help="fetch mnist or cifar10 into --data if not there"
    )
    command.add_argument(
        "--images", type=_from(1), metavar="N", default=2000, help="images at most; default: %(default)s"
    )
    command.add_argument(
        "--history",
        metavar="FILE",
        help="figures of the training, a CSV file of train --report or CSVLogger; default: history.csv "
        "beside the model",
    )
    _add_input(command)
    return command


def _explore(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "explore",
        help="draw or show images to a model in the browser and see every layer",
        description="Serve a page to this computer alone, where one draws a digit, drops a picture or "
        "opens the camera and sees the answer, every layer's feature maps and Grad-CAM, and how far the "
        "input can be shifted and turned before the answer changes.",
    )
    command.set_defaults(run=_call("explore"))
    command.add_argument("model", metavar="MODEL", help="a file that train or cc.save wrote, or model.onnx")
    command.add_argument(
        "dataset", metavar="DATA", nargs="?", help=_DATASET + "; samples to choose from, one of each class"
    )
    command.add_argument("--data", metavar="DIR", help=_DATA)
    command.add_argument(
        "--port", type=_from(0, 65_535), metavar="N", default=8765, help="default: %(default)s"
    )
    command.add_argument("--open", action="store_true", help="open the page in the browser")
    _add_input(command)
    command.set_defaults(download=False, images=2000)
    return command


def _add_input(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--input", type=_shape, metavar="N,C,H,W", help="input shape, where the file does not say it"
    )


def _info(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser("info", help="show version, instruction set, cores, threads and networks")
    command.set_defaults(run=_call("info"))
    command.add_argument("--peak", action="store_true", help="measure the arithmetic and memory peaks, too")
    return command


def _bench(commands: Commands) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "bench", help="measure this installation's speed", description="Measure this installation's speed."
    )
    command.set_defaults(run=_call("bench"))
    command.add_argument(
        "model", metavar="MODEL", nargs="?", help="measure this one: " + _SOURCE + "; default: the library's"
    )
    command.add_argument(
        "--input", type=_shape, metavar="N,C,H,W", help="MODEL's input shape; default: its own, batch 1"
    )
    command.add_argument(
        "--networks", type=_names, metavar="NAMES", help="comma-separated; default: all measured ones"
    )
    command.add_argument(
        "--batch", type=_numbers, metavar="N,...", help="batch sizes instead of the usual ones"
    )
    command.add_argument("--mode", choices=("inference", "training"), help="default: both")
    command.add_argument(
        "--layers", action="store_true", help="convolutions in percent of the arithmetic peak instead"
    )
    command.add_argument("--quick", action="store_true", help="a rough answer in a fraction of the time")
    return command


def _call(name: str) -> Callable[[argparse.Namespace], None]:
    """Return the command's function, which loads its module only when it runs."""

    def run(options: argparse.Namespace) -> None:
        from importlib import import_module

        import_module(f"{__package__}.{name}").run(options)

    return run


def _from(least: int, most: int | None = None) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {value}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"expected at most {most}, got {value}")
        return value

    return number


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text!r}")
    return value


def _csv_name(text: str) -> str:
    if text != "-" and not text.lower().endswith(".csv"):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in .csv, got {text!r}; put --csv last to print the table"
        )
    return text


def _numbers(text: str) -> list[int]:
    return [_from(1)(part) for part in text.split(",")]


def _shape(text: str) -> tuple[int, ...]:
    return tuple(_numbers(text.replace("x", ",")))


def _size(text: str) -> tuple[int, int]:
    extents = _shape(text)
    if len(extents) not in (1, 2):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, got {text!r}")
    return extents[0], extents[-1]


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise argparse.ArgumentTypeError(f"expected names, separated by commas, got {text!r}")
    return names
