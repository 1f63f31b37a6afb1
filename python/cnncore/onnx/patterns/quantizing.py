# SPDX-License-Identifier: Apache-2.0
"""Values that are quantized and dequantized at once."""

from __future__ import annotations

from ..graph import Node
from .matching import DOMAIN, Values, pattern


@pattern("DequantizeLinear")
def rounding(values: Values, last: Node) -> Node | None:
    """A pair of QuantizeLinear and DequantizeLinear with the same scale and zero point."""
    first = values.maker(last.inputs[0], "QuantizeLinear")
    if first is None or first.inputs[1:] != last.inputs[1:] or first.attr("axis", 1) != last.attr("axis", 1):
        return None
    if first.output_types[0] not in ("uint8", "int8"):
        return None
    attributes = {"axis": first.attr("axis", 1), "type": first.output_types[0]}
    return values.new(last, "Rounding", first.inputs, DOMAIN, **attributes)
