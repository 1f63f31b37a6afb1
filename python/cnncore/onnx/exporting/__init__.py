# SPDX-License-Identifier: Apache-2.0
"""Writing networks as ONNX models: what each operation becomes, a family a file."""

from importlib import import_module

for _family in ("elementwise", "layers", "recurrent", "regions", "shapes"):
    import_module(f"{__name__}.{_family}")
