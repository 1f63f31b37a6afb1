# SPDX-License-Identifier: Apache-2.0
"""Loss and metrics of the rows of an epoch so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..nn.loss import BCEWithLogitsLoss, CrossEntropyLoss
from ..ops.loss import cross_entropy
from ..ops.loss_margin import binary_cross_entropy_with_logits
from .metrics import Metric, find_metric
from .metrics.base import Array, ratio
from .metrics.shares import Accuracy, MultilabelAccuracy

DEFAULT_METRICS = ("accuracy",)
"""Given as they are, they stand for what `usual_metrics` chooses."""

_TAKEN = ("loss", "seconds", "images_per_second")
"""Names that other figures have."""

Metrics = dict[str, Metric]
MetricLike = str | Metric | Callable[[Any, Any], Any]
MetricsLike = MetricLike | Iterable[MetricLike] | Mapping[Any, MetricLike | Iterable[MetricLike]] | None


class OfOutput(Metric):
    """A metric of one of a model's outputs and the target of the same key or position."""

    def __init__(self, key: Any, metric: Metric) -> None:
        self.key = key
        self.metric = metric
        self.at_end = metric.at_end

    def reset(self) -> None:
        self.metric = self.metric.fresh()

    def update(self, output: Any, target: Any) -> None:
        self.metric.update(output[self.key], target[self.key])

    def result(self) -> Any:
        return self.metric.result()

    def merge(self, other: OfOutput) -> None:
        self.metric.merge(other.metric)

    def state_dict(self) -> dict[str, Any]:
        return self.metric.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.metric.load_state_dict(state_dict)


def usual_metrics(loss: Any, output: Array, target: Array) -> Metrics:
    """Return the metrics of a training that names none: accuracy where there are classes, else nothing."""
    if not isinstance(output, np.ndarray) or not isinstance(target, np.ndarray):
        return {}
    if isinstance(loss, BCEWithLogitsLoss) or loss is binary_cross_entropy_with_logits:
        several = output.ndim > 1 and output.shape[1] > 1
        return {"multilabel_accuracy": MultilabelAccuracy()} if several else {"accuracy": Accuracy()}
    classes = target.dtype.kind in "iu" and output.ndim == target.ndim + 1 and output.shape[1] > 1
    if isinstance(loss, CrossEntropyLoss):
        return {"accuracy": Accuracy(loss.ignore_index)}
    return {"accuracy": Accuracy()} if classes or loss is cross_entropy else {}


def named_metrics(metrics: MetricsLike) -> Metrics:
    """Return metrics by name from names, functions and objects, or from such by the key of a model's output.

    A function goes by its own name; another of the same name gets a number behind it.

    >>> list(named_metrics([lambda output, target: 0, lambda output, target: 1]))
    ['<lambda>', '<lambda>_2']
    """
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        return {
            f"{key}_{name}": OfOutput(key, metric)
            for key, some in metrics.items()
            for name, metric in named_metrics(some).items()
        }
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable):
        raise TypeError(f"expected metrics as a list of names, functions and objects, got {metrics!r}")
    found: Metrics = {}
    given: dict[str, Any] = {}
    for metric in metrics:
        name, counting = find_metric(metric)
        if name in _TAKEN or name.startswith("val_"):
            raise ValueError(
                f"expected a metric's name other than {', '.join(_TAKEN)} and val_..., got {name!r}"
            )
        count, unique = 1, name
        while unique in found and given[unique] is not metric:
            count += 1
            unique = f"{name}_{count}"
        given[unique] = metric
        found[unique] = counting
    return found


class RunningMeans:
    """Loss and metrics of the rows seen so far.

    Args:
        metrics: metrics by name, or a function of the first batch's output and target that returns them.
    """

    def __init__(self, metrics: Metrics | Callable[[Any, Any], Metrics]) -> None:
        self._choose = metrics if callable(metrics) else None
        self.metrics = {} if callable(metrics) else _fresh(metrics)
        self.rows = 0
        self.weight = 0.0
        self.loss = 0.0
        self._counted: Mapping[str, Any] | None = None

    def update(
        self,
        loss: Any,
        output: Any,
        target: Any,
        rows: int,
        weight: float | None = None,
        counted: bool = True,
    ) -> None:
        """Count a batch.

        Args:
            loss: its mean loss.
            output: what the model returned; of a tuple metrics without a key take the first entry.
            target: what it should be, likewise.
            rows: of the batch.
            weight: the sum of its rows' weights; without, all weigh 1.
            counted: whether metrics count output and target.
        """
        first = output[0] if isinstance(output, (tuple, list)) else output
        first_target = target[0] if isinstance(target, tuple) else target
        if self._choose is not None:
            self.metrics, self._choose = _fresh(self._choose(first, first_target)), None
            self._load(self._counted or {})
        self.rows += rows
        weight = float(rows) if weight is None else weight
        self.weight += weight
        self.loss += float(loss) * weight
        for name, metric in self.metrics.items() if counted else ():
            if isinstance(metric, OfOutput):
                metric.update(output, target)
            elif isinstance(first, dict) or isinstance(first_target, dict):
                raise TypeError(f"metric {name!r}: say of which output, metrics={{key: {name!r}}}")
            else:
                metric.update(first, first_target)

    def means(self, at_end: bool = True) -> dict[str, Any]:
        """Return the figures by name; NaN before the first row.

        Args:
            at_end: also those that are worked out at the end of an epoch only.
        """
        figures: dict[str, Any] = {"loss": ratio(self.loss, self.weight)}
        for name, metric in self.metrics.items():
            if at_end or not metric.at_end:
                figures[name] = metric.result()
        return figures

    def merged(self, ranks: Any) -> RunningMeans:
        """Return the metrics of what all processes have counted, in their order, beside the loss of here."""
        total = RunningMeans(self.metrics)
        total.rows, total.weight, total.loss = self.rows, self.weight, self.loss
        for state in ranks.all(self.state_dict()["metrics"]):
            for name, counted in state.items():
                other = total.metrics[name].fresh()
                other.load_state_dict(counted)
                total.metrics[name].merge(other)
        return total

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        metrics = {name: metric.state_dict() for name, metric in self.metrics.items()}
        return {"rows": self.rows, "weight": self.weight, "loss": self.loss, "metrics": metrics}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self.rows, self.weight, self.loss = (state_dict[name] for name in ("rows", "weight", "loss"))
        if self._choose is None:
            self._load(state_dict["metrics"])
        else:
            # Those of a training that names none, which have their names; the next batch says their settings.
            self._counted = state_dict["metrics"]
            self.metrics = {name: find_metric(name)[1] for name in self._counted}
            self._load(self._counted)

    def _load(self, counted: Mapping[str, Any]) -> None:
        for name, state in counted.items():
            if name not in self.metrics:
                raise ValueError(f"the state was made with the metric {name!r}, which this Trainer lacks")
            self.metrics[name].load_state_dict(state)


def _fresh(metrics: Metrics) -> Metrics:
    return {name: metric.fresh() for name, metric in metrics.items()}
