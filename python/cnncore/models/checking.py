# SPDX-License-Identifier: Apache-2.0
"""Checks of the arguments that networks share, made before the first layer so that the error names them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from ..nn.arguments import at_least, count, finite, flag, fraction, maker, ntuple, positive, several
from .arguments import weights_file

P = ParamSpec("P")
R = TypeVar("R")
Config = TypeVar("Config")
Check = Callable[[str, Any], Any]


def checked(build: Callable[P, R]) -> Callable[P, R]:
    """Let a network's `__init__`, or a function that builds one, refuse by name what no argument can be."""
    signature = inspect.signature(build)

    @wraps(build)
    def checking(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in _CHECKS:
                bound.arguments[name] = check(name, value)
        return build(*bound.args, **bound.kwargs)

    return checking


def check(name: str, value: Any, prefix: str = "") -> Any:
    """Return an argument as what those of its name are, or raise; `prefix` stands before it in messages."""
    return _CHECKS[name](prefix + name, value)


def configurations(name: str, value: Any, kind: type[Config]) -> tuple[Config, ...]:
    """Return what describes a network's stages as a tuple, or raise naming the argument."""
    items = several(name, value, kind.__name__)
    if not items or not all(isinstance(item, kind) for item in items):
        raise TypeError(f"expected {name} as a list of {kind.__name__}, got {value!r}")
    return items


def stages(name: str, items: Sequence[Config], number: int) -> Sequence[Config]:
    """Return what there has to be for each of so many stages, or raise naming the argument."""
    if len(items) != number:
        raise ValueError(f"expected {name} for {number} stages, got {len(items)}")
    return items


def makers(name: str, value: Any, number: int) -> tuple[Callable[..., Any], ...]:
    """Return so many classes or functions that make modules, or raise naming the argument."""
    items = several(name, value, "classes or functions that make modules")
    if len(items) != number:
        raise ValueError(f"expected {name} as {number} classes or functions that make modules, got {value!r}")
    return tuple(maker(f"each of {name}", item) for item in items)


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _list_of(check: Check) -> Check:
    return lambda name, value: tuple(check(f"each of {name}", item) for item in several(name, value))


def _size(name: str, value: Any) -> tuple[int, ...]:
    return ntuple(name, value, 1, 2)


def _layers(name: str, value: Any) -> int:
    return count(name, value, 0)


def _from_0(name: str, value: Any) -> int:
    return at_least(name, value, 0)


def _at_least_0(name: str, value: Any) -> float:
    return finite(name, value, 0.0)


def _above_0(name: str, value: Any) -> float:
    number = finite(name, value, 0.0)
    if number == 0:
        raise ValueError(f"expected {name} above 0, got {value}")
    return number


def _table(**checks: tuple[Check, str]) -> dict[str, Check]:
    return {name: check for check, names in checks.values() for name in names.split()}


_CHECKS = _table(
    sizes=(
        positive,
        "classes in_channels width width_per_group groups growth_rate num_init_features bn_size "
        "round_nearest image_size patch_size num_heads hidden_dim mlp_dim stem_width low_channels "
        "high_channels inter_channels min_size max_size detections_per_img topk_candidates "
        "batch_size_per_image pre_nms_top_n_train pre_nms_top_n_test post_nms_top_n_train "
        "post_nms_top_n_test",
    ),
    pairs=(_size, "size"),
    optional_sizes=(_optional(positive), "last_channel representation_size"),
    optional_numbers=(_optional(_from_0), "trainable_backbone_layers"),
    depths=(count, "num_layers"),
    lists_of_depths=(_list_of(count), "layers block_config stages_repeats"),
    lists_of_depths_from_0=(_list_of(_layers), "depths"),
    lists_of_sizes=(_list_of(positive), "stages_out_channels atrous_rates"),
    probabilities=(
        fraction,
        "dropout dropout_aux attention_dropout drop_rate stochastic_depth_prob score_thresh nms_thresh "
        "iou_thresh fg_iou_thresh bg_iou_thresh positive_fraction",
    ),
    numbers=(_at_least_0, "alpha width_mult layer_scale"),
    lists_of_numbers=(_list_of(finite), "image_mean"),
    lists_of_deviations=(_list_of(_above_0), "image_std"),
    positive_numbers=(_above_0, "min_ratio max_ratio"),
    lists_of_lists=(_list_of(_list_of(_above_0)), "sizes aspect_ratios"),
    flags=(flag, "zero_init_residual aux_logits transform_input batch_norm memory_efficient"),
    optional_flags=(_optional(flag), "init_weights aux_loss"),
    files=(weights_file, "weights_backbone"),
    makers=(maker, "stem inverted_residual"),
    optional_makers=(_optional(maker), "norm_layer activation stem_type block_type block"),
    lists_of_makers=(_list_of(maker), "convolutions"),
)
"""The check of an argument of each name, whichever network has it."""
