# SPDX-License-Identifier: Apache-2.0
"""Which operations take over what follows them, one family a file; importing this registers the rules."""

from ...graph.rewrite import RULES
from . import inverted_residual, linear, norm, pool

__all__ = ["RULES", "inverted_residual", "linear", "norm", "pool"]
