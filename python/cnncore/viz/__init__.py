# SPDX-License-Identifier: Apache-2.0
"""Pictures of what networks are, see and answer (extra `viz`).

Each function returns a matplotlib Figure; `architecture` returns SVG and needs nothing else. What they draw
is computed by the functions of the same names in `cc.viz.arrays`, with numpy alone.

figure = cc.viz.grad_cam(model, x)
figure.savefig("grad_cam.png")
"""

from . import arrays
from .architecture import architecture
from .figures import (
    activation_maximisation,
    confusion_matrix,
    embedding,
    feature_maps,
    filters,
    grad_cam,
    grad_cam_plus_plus,
    history,
    integrated_gradients,
    occlusion,
    profile,
    roc,
    saliency,
)

__all__ = [
    "activation_maximisation",
    "architecture",
    "arrays",
    "confusion_matrix",
    "embedding",
    "feature_maps",
    "filters",
    "grad_cam",
    "grad_cam_plus_plus",
    "history",
    "integrated_gradients",
    "occlusion",
    "profile",
    "roc",
    "saliency",
]
