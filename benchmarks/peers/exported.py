# SPDX-License-Identifier: Apache-2.0
"""The network as ONNX bytes, for the peers that only run models others have made."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from networks import Network, State

from . import UnavailableError, ours


def onnx_bytes(network: Network, state: State, batch: int) -> bytes:
    """The network in inference mode with these weights and a fixed batch.

    Written by torch or, of networks that torch does not have here, by cnncore.
    """
    try:
        from . import pytorch

        model = pytorch.module(network, state).eval()
    except (ImportError, UnavailableError):
        return _written_by_cnncore(network, state, batch)
    import torch

    example = torch.zeros(network.shape(batch))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that is not deprecated needs onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It tells of each slice of constants that it leaves to the runtime to fold.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(model, (example,), buffer, dynamo=False, input_names=["x"], output_names=["y"])
    return buffer.getvalue()


def _written_by_cnncore(network: Network, state: State, batch: int) -> bytes:
    try:
        import cnncore.onnx
    except ImportError as error:
        raise UnavailableError(f"nothing writes the ONNX file; {error.name} is not installed") from error
    model = ours.model_of(network)
    model.load_state_dict(state)
    shape = network.shape(batch)
    proto = cnncore.onnx.export(model.eval(), None, shape, input_names=["x"], output_names=["y"])
    written: bytes = proto.SerializeToString()
    return written


def onnx_file(network: Network, batch: int, folder: Path) -> Path:
    """Where a folder holds the network for this batch."""
    return folder / f"{network.name}-{batch}.onnx"
