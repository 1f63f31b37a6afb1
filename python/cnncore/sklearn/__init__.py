# SPDX-License-Identifier: Apache-2.0
"""Networks as scikit-learn's estimators, on tables, sequences, images, volumes and texts (extra `sklearn`).

classifier = cnncore.sklearn.CNNClassifier(random_state=0).fit(images, labels)
"""

from __future__ import annotations

try:
    import sklearn.base as _base  # noqa: F401
except ModuleNotFoundError as _error:  # pragma: no cover
    raise ModuleNotFoundError(
        "cnncore.sklearn needs the package scikit-learn: pip install 'cnncore[sklearn]'", name="sklearn"
    ) from _error

from .classifier import CNNClassifier
from .features import CNNFeatures
from .regressor import CNNRegressor

__all__ = ["CNNClassifier", "CNNFeatures", "CNNRegressor"]
