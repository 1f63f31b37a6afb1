# SPDX-License-Identifier: Apache-2.0
"""How outputs of a model become probabilities, as its loss takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..nn.loss import BCEWithLogitsLoss
from ..nn.loss_elements import BCELoss
from ..nn.loss_labels import NLLLoss
from .objective import is_of_classes


def probabilities(loss: Any, output: Any) -> Any:
    """Return the probabilities of the classes, (rows, classes, ...), or of yes.

    Raises:
        TypeError: a loss that is none of classes.
    """
    if isinstance(loss, NLLLoss):
        return np.exp(output)
    if is_of_classes(loss):
        return ops.softmax(output, 1)
    if isinstance(loss, BCEWithLogitsLoss) or loss is ops.binary_cross_entropy_with_logits:
        return ops.sigmoid(output)
    if isinstance(loss, BCELoss):
        return output
    name = getattr(loss, "__name__", type(loss).__name__)
    raise TypeError(f"{name} does not say how outputs become probabilities: apply it to predict(x)")
