# SPDX-License-Identifier: Apache-2.0
"""`cnncore export`."""

from __future__ import annotations

import argparse
import json
import os

from .onnx_file import CLASSES, MEAN, STD, is_onnx
from .output import UsageError, print_result
from .sources import find


def run(options: argparse.Namespace) -> None:
    """Write a network as an ONNX file."""
    if not is_onnx(options.target):
        raise ValueError(f"{options.target}: expected the name of an ONNX file, such as model.onnx")
    from .. import onnx

    source = find(options.model, options.input, options.classes, options.weights)
    about = source.description
    normalize = None
    metadata = {}
    if about is not None:
        metadata[CLASSES] = json.dumps(about.classes)
        if options.normalize:
            normalize = (about.mean, about.std)
        else:
            metadata.update({MEAN: json.dumps(about.mean), STD: json.dumps(about.std)})
    elif options.normalize:
        raise UsageError(
            "--normalize goes with a model that knows its images, of cnncore train or cc.save, "
            f"got {options.model!r}"
        )
    proto = onnx.export(
        source.model,
        options.target,
        source.shape,
        input_dtype=source.dtype,
        dynamic_batch=options.dynamic_batch,
        dynamic_size=options.dynamic_size,
        opset=options.opset,
        normalize=normalize,
        softmax=options.softmax,
        metadata=metadata,
    )
    size = os.path.getsize(options.target)
    print_result(
        options,
        f"{options.target}: {len(proto.graph.node)} nodes of opset {options.opset}, {size:,} bytes",
        {
            "file": options.target,
            "nodes": len(proto.graph.node),
            "opset": options.opset,
            "inputs": [value.name for value in proto.graph.input],
            "outputs": [value.name for value in proto.graph.output],
            "bytes": size,
        },
    )
