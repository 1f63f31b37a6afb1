# SPDX-License-Identifier: Apache-2.0
"""What ATen's operators compute, a family a file; importing them fills the table."""

from importlib import import_module

FAMILIES = (
    "activation",
    "convolution",
    "creation",
    "elementwise",
    "gradients",
    "indexing",
    "losses",
    "norms",
    "numbers",
    "pooling",
    "products",
    "reducing",
    "resizing",
    "shaping",
)

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")
