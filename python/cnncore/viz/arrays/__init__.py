# SPDX-License-Identifier: Apache-2.0
"""What the pictures of `cc.viz` show, as arrays: needs numpy alone.

The functions have the names of those that draw. Models run in inference mode whatever mode they are in, and
are compiled once for a shape.
"""

from .cam import grad_cam, grad_cam_plus_plus
from .curves import Curve, roc
from .embedding import Projection, embedding, pca
from .gradients import gradient, integrated_gradients, saliency
from .layers import feature_maps, filters
from .maximise import activation_maximisation
from .network import Network, network
from .occlusion import occlusion
from .probe import Layer, layers
from .roofline import Point, Roofline, roofline

__all__ = [
    "Curve",
    "Layer",
    "Network",
    "Point",
    "Projection",
    "Roofline",
    "activation_maximisation",
    "embedding",
    "feature_maps",
    "filters",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "integrated_gradients",
    "layers",
    "network",
    "occlusion",
    "pca",
    "roc",
    "roofline",
    "saliency",
]
