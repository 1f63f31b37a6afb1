# SPDX-License-Identifier: Apache-2.0
"""Functions whose intermediate results are computed again for gradients instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .graph.trace import current_graph, current_origin, is_tracing, originating
from .nn.arguments import integer, several


def checkpoint(
    fn: Callable[..., Any],
    *inputs: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **named: Any,
) -> Any:
    """Call a function whose intermediate results gradients compute again instead of keeping them.

    Within `train_step`, `value_and_grad` and `grad` the memory for these results is free until the backward
    pass comes to the function, which costs its forward pass a second time (Chen et al., 2016, "Training Deep
    Nets with Sublinear Memory Cost"). Results, gradients and random numbers are the same bits as without;
    running statistics are updated once. Elsewhere it is a plain call. A checkpoint inside of another one is
    part of that one.

    Args:
        fn: a module or function of tensors.
        inputs, named: its arguments.
        use_reentrant, preserve_rng_state: taken for torch's sake; random numbers are always the same.

    Returns:
        What `fn` returns.

    Raises:
        TypeError: `fn` is neither a module nor a function.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> block = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> x = np.ones((3, 2), np.float32)
    >>> plain = cc.grad(lambda x: block(x).sum())(x)
    >>> again = cc.grad(lambda x: cc.checkpoint(block, x).sum())(x)
    >>> np.array_equal(plain, again)
    True
    """
    if not callable(fn):
        raise TypeError(f"expected a module or function to checkpoint, got {type(fn).__name__}")
    if not is_tracing() or current_origin().checkpoint:
        return fn(*inputs, **named)
    graph = current_graph()
    graph.checkpoints += 1
    with originating(checkpoint=graph.checkpoints):
        return fn(*inputs, **named)


def checkpoint_sequential(
    functions: Iterable[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """Call functions one after the other, in segments of which all but the last one are a `checkpoint`.

    Args:
        functions: a `Sequential` or a list of modules or functions.
        segments: how many; about the root of the number of functions keeps least.
        input: the argument of the first one.
        use_reentrant, preserve_rng_state: as in `checkpoint`.

    Returns:
        The result of the last one.

    Raises:
        ValueError: fewer functions than segments, or no segment.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> cc.checkpoint_sequential([np.exp, np.log, np.sqrt, np.square], 2, np.array([4.0])).round(6).tolist()
    [4.0]
    """
    each = list(several("functions", functions, "modules or functions"))
    if not all(callable(function) for function in each):
        raise TypeError(f"expected functions as a list of modules or functions, got {functions!r}")
    count = integer("segments", segments)
    if not 1 <= count <= len(each):
        raise ValueError(f"expected 1 to {len(each)} segments of {len(each)} functions, got {count}")
    size = len(each) // count
    for begin in range(0, size * (count - 1), size):
        input = checkpoint(_Chain(each[begin : begin + size]), input)
    return _Chain(each[size * (count - 1) :])(input)


class _Chain:
    """Functions that are called one after the other."""

    def __init__(self, functions: list[Callable[..., Any]]) -> None:
        self._functions = functions

    def __call__(self, value: Any) -> Any:
        for function in self._functions:
            value = function(value)
        return value
