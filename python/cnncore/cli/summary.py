# SPDX-License-Identifier: Apache-2.0
"""`cnncore summary`."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..model_summary import summary
from .onnx_file import is_onnx
from .output import print_result
from .sources import check_image, find

_TOTALS = ("parameters", "trainable_parameters", "buffers", "flops", "parameter_bytes", "output_bytes")


def run(options: argparse.Namespace) -> None:
    """Print the table of a saved model's, or a named network's, layers."""
    source = find(options.model, options.input)
    if not is_onnx(options.model):
        check_image(source.shape)
    table = summary(source.model, source.shape, input_dtype=source.dtype)
    print_result(
        options,
        str(table),
        {
            "model": options.model,
            "input": list(source.shape),
            **{name: getattr(table, name) for name in _TOTALS},
            "layers": [asdict(layer) for layer in table.layers],
        },
    )
