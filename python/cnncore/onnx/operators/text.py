# SPDX-License-Identifier: Apache-2.0
"""Text, and tables that map values to others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..graph import Node
from ..table import host

Array = Any


def _each(x: Array) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in x.reshape(-1)]


@host("StringConcat")
def string_concat(node: Node, a: Array, b: Array) -> Array:
    a, b = np.broadcast_arrays(a, b)
    joined = [left + right for left, right in zip(_each(a), _each(b), strict=True)]
    return np.array(joined, object).reshape(a.shape)


@host("StringSplit")
def string_split(node: Node, x: Array) -> tuple[Array, Array]:
    delimiter, limit = node.attr("delimiter") or None, node.attr("maxsplit", -1)
    rows = [text.split(delimiter, limit) if text else [] for text in _each(x)]
    width = max(map(len, rows), default=0)
    padded = [row + [""] * (width - len(row)) for row in rows]
    counts = np.array([len(row) for row in rows], np.int64).reshape(x.shape)
    return np.array(padded, object).reshape(*x.shape, width), counts


@host("StringNormalizer")
def string_normalizer(node: Node, x: Array) -> Array:
    stop = node.attr("stopwords", ())
    sensitive = bool(node.attr("is_case_sensitive", 0))
    action = node.attr("case_change_action", "NONE")
    dropped = set(stop) if sensitive else {word.lower() for word in stop}
    kept = [word for word in _each(x) if (word if sensitive else word.lower()) not in dropped]
    change = {"LOWER": str.lower, "UPPER": str.upper}.get(action, str)
    changed = [change(word) for word in kept] or [""]
    return np.array(changed, object).reshape((1, -1) if x.ndim == 2 else (-1,))


@host("RegexFullMatch")
def regex_full_match(node: Node, x: Array) -> Array:
    pattern = re.compile(node.attr("pattern"))
    return np.array([pattern.fullmatch(text) is not None for text in _each(x)], bool).reshape(x.shape)


@host("LabelEncoder", domain="ai.onnx.ml")
def label_encoder(node: Node, x: Array) -> Array:
    kinds = ("strings", "int64s", "floats", "tensor")
    keys = next(node.attr(f"keys_{kind}") for kind in kinds if node.attr(f"keys_{kind}") is not None)
    values = next(node.attr(f"values_{kind}") for kind in kinds if node.attr(f"values_{kind}") is not None)
    default: Any = node.attr("default_tensor")
    if default is not None:
        default = default.reshape(-1)[0]
    elif isinstance(values[0], str):
        default = node.attr("default_string", "_Unused")
    elif isinstance(values[0], float):
        default = node.attr("default_float", -0.0)
    else:
        default = node.attr("default_int64", -1)
    table = {_label(key): value for key, value in zip(np.asarray(keys).tolist(), values, strict=True)}
    found = [table.get(_label(v), default) for v in x.reshape(-1).tolist()]
    kind = object if isinstance(values[0], str) else np.asarray(values).dtype
    return np.array(found, np.float32 if kind == np.float64 and node.attr("values_floats") else kind).reshape(
        x.shape
    )


def _label(value: Any) -> Any:
    return "nan" if isinstance(value, float) and value != value else value


@host("Binarizer", domain="ai.onnx.ml")
def binarizer(node: Node, x: Array) -> Array:
    return (x > node.attr("threshold", 0.0)).astype(x.dtype)


@host("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(node: Node, x: Array, places: Array) -> Array:
    return np.take(x, places.reshape(-1), -1).reshape(-1 if x.ndim > 1 else 1, places.size)
