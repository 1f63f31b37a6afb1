# SPDX-License-Identifier: Apache-2.0
"""What the operators compute, a family a file; importing them fills the table."""

from importlib import import_module

FAMILIES = (
    "activation",
    "control",
    "convolution",
    "elementwise",
    "fused",
    "indexing",
    "microsoft",
    "norms",
    "pooling",
    "products",
    "quantizing",
    "randoms",
    "recurrent",
    "reducing",
    "resizing",
    "sampling",
    "sequences",
    "shaping",
    "signals",
    "text",
    "updates",
)

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")
