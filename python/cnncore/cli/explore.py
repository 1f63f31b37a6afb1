# SPDX-License-Identifier: Apache-2.0
"""`cnncore explore`."""

from __future__ import annotations

import argparse
import errno
import sys
import webbrowser

import numpy as np

from ..data import digits
from ..pages.opened import Opened, open_model
from ..pages.server import ADDRESS, Server
from ..pages.session import Sample, Session, centred
from .output import print_result
from .report_page import labelled_images

_SAMPLES = 12


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    opened = open_model(options.model, options.input)
    session = Session(opened, samples(options, opened))
    try:
        server = Server(session, options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {options.port} is taken: --port 0 takes any that is free") from None
        raise
    with server:
        print_result(options, f"{server.url} (Ctrl-C ends it)", {"url": server.url, "address": ADDRESS})
        sys.stdout.flush()
        if options.open:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("cnncore: ended", file=sys.stderr)


def samples(options: argparse.Namespace, opened: Opened) -> list[Sample]:
    """Return an image of each class: of the data that were named, or of digits where the model reads them."""
    if options.dataset is not None:
        found = labelled_images(options.dataset, options, opened)
        x, y = opened.shown(found.x), found.y
    elif opened.image[0] == 1 and opened.classes == tuple("0123456789"):
        _, (x, y) = digits()
        if opened.image[1] >= 28:  # as MNIST's, whose digits have a border
            size = opened.image[1:]
            large = np.repeat(np.repeat(x[:100], 8, axis=2), 8, axis=3)
            x, y = np.stack([centred(image, 20 / 28) for image in large]), y[:100]
            x = opened.shown(np.stack([opened.prepare(image) for image in x])).reshape(-1, 1, *size)
    else:
        return []
    chosen = [np.flatnonzero(y == label)[:1] for label in range(len(opened.classes))]
    numbers = np.concatenate([np.zeros(0, np.intp), *chosen])[:_SAMPLES]
    return [Sample(x[number], opened.classes[y[number]]) for number in numbers]
