# SPDX-License-Identifier: Apache-2.0
"""Nodes that exporters write for one function, replaced by the operator that computes it: a family a file."""

from importlib import import_module

from .matching import replace_patterns

__all__ = ["replace_patterns"]

for _family in ("activations", "transposes", "layers", "norms", "quantizing"):
    import_module(f"{__name__}.{_family}")
