# SPDX-License-Identifier: Apache-2.0
"""Classifier and regressor: what scikit-learn's own checks do not ask."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="needs scikit-learn")

from joblib import parallel_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import cnncore as cc
from cnncore import data, nn, optim, train
from cnncore.sklearn import CNNClassifier, CNNRegressor

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(90, 4))
CLASSES = (TABLE[:, 0] > 0).astype(int) + (TABLE[:, 1] > 0)
TEXTS = [f"{word} {RNG.choice(['a', 'b', 'c'])} film" for word in ["good", "bad"] * 30]
OPINIONS = ["yes", "no"] * 30


def shaped(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return rows of a shape, and whether there is a bright element in their first half."""
    x = RNG.normal(size=(96, *shape)).astype(np.float32)
    y = np.arange(96) % 2
    x[y == 1, ..., 1] += 3
    return x, y


@pytest.mark.parametrize("shape", [(6,), (2, 24), (1, 12, 10), (3, 9, 9), (1, 4, 4, 4)])
def test_arrays_of_each_rank(shape: tuple[int, ...]) -> None:
    x, y = shaped(shape)
    classifier = CNNClassifier(epochs=15, random_state=0).fit(x, y)
    assert classifier.score(x, y) > 0.9
    assert classifier.predict_proba(x).shape == (96, 2)
    numbers = CNNRegressor(epochs=2, random_state=0).fit(x, np.stack([y, -y], 1)).predict(x)
    assert numbers.shape == (96, 2)
    with pytest.raises(ValueError, match=r"features|rows of shape"):
        classifier.predict(x[:, :, :-1] if len(shape) > 1 else x[:, :-1])


def test_real_digits() -> None:
    (x, y), (x_test, y_test) = data.digits()
    assert CNNClassifier(epochs=3, random_state=0).fit(x, y).score(x_test, y_test) > 0.97


@pytest.mark.parametrize(
    "form", [list, np.array, lambda t: np.array(t, object), lambda t: np.array(t)[:, None]]
)
def test_texts(form: Any) -> None:
    classifier = CNNClassifier(epochs=10, random_state=0).fit(form(TEXTS), OPINIONS)
    assert classifier.score(form(TEXTS), OPINIONS) == 1.0
    assert classifier.predict(["a good film", "the bad one", "", "unknown"])[:2].tolist() == ["yes", "no"]
    assert not hasattr(classifier, "n_features_in_")
    with pytest.raises(ValueError, match="expected texts"):
        classifier.predict(TABLE)


def test_texts_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS, "number": np.arange(60.0)})
    for X in (frame["text"], frame[["text"]], frame["text"].astype("category")):
        assert CNNClassifier(epochs=10, random_state=0).fit(X, OPINIONS).score(X, OPINIONS) == 1.0
    frame.loc[3, "text"] = None
    with pytest.raises(ValueError, match="row 3"):
        CNNClassifier().fit(frame["text"], OPINIONS)


def test_what_is_no_text() -> None:
    with pytest.raises(ValueError, match="in row 1"):
        CNNClassifier().fit(["a", 1.0], [0, 1])
    with pytest.raises(ValueError, match="one text"):
        CNNClassifier().fit("a text", [0, 1])
    with pytest.raises(ValueError, match="at least one word"):
        CNNClassifier().fit(["", " "], [0, 1])
    with pytest.raises(ValueError, match="got texts"):
        CNNClassifier(epochs=1).fit(TABLE, CLASSES).predict(TEXTS)


def test_same_bits_on_any_number_of_threads_and_beside_other_draws() -> None:
    x, y = shaped((1, 12, 12))

    def bits(threads: int) -> Any:
        with cc.threads(threads):
            return CNNClassifier(epochs=2, random_state=3).fit(x, y).predict_proba(x)

    first = bits(1)
    cc.manual_seed(5)
    state = np.asarray(nn.Linear(3, 3).weight)
    cc.manual_seed(5)
    again = bits(2)
    assert np.array_equal(first, again)
    assert np.array_equal(np.asarray(nn.Linear(3, 3).weight), state)  # the process' own numbers are untouched


def test_a_row_of_a_table_has_the_same_bits_in_any_company() -> None:
    classifier = CNNClassifier(epochs=2, random_state=0).fit(TABLE, CLASSES)
    whole = classifier.predict_proba(TABLE)
    assert np.array_equal(classifier.predict_proba(TABLE[40:41]), whole[40:41])
    assert np.array_equal(classifier.predict_proba(TABLE[::-1]), whole[::-1])


def test_partial_fit_and_warm_start_do_what_one_fit_does() -> None:
    x, y = shaped((1, 12, 12))
    whole = CNNClassifier(epochs=3, random_state=0).fit(x, y)
    parts = CNNClassifier(random_state=0)
    for _ in range(3):
        parts.partial_fit(x, y, classes=[0, 1])
    warm = CNNClassifier(epochs=1, warm_start=True, random_state=0).fit(x, y)
    warm = pickle.loads(pickle.dumps(warm.fit(x, y))).fit(x, y)
    for other in (parts, warm):
        assert other.n_iter_ == 3
        assert np.array_equal(other.predict_proba(x), whole.predict_proba(x))


def test_going_on_needs_the_same_form() -> None:
    with pytest.raises(ValueError, match="classes="):
        CNNClassifier().partial_fit(TABLE, CLASSES)
    classifier = CNNClassifier(epochs=1, warm_start=True).fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="warm_start"):
        classifier.fit(TABLE, CLASSES > 0)
    with pytest.raises(ValueError, match="among"):
        classifier.partial_fit(TABLE, CLASSES + 1)
    with pytest.raises(ValueError, match="first call"):
        classifier.partial_fit(TABLE, CLASSES, classes=[0, 1])
    with pytest.raises(ValueError, match="balanced"):
        CNNClassifier(class_weight="balanced").partial_fit(TABLE, CLASSES, classes=[0, 1, 2])
    regressor = CNNRegressor(epochs=1).fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="1 targets"):
        regressor.partial_fit(TABLE, TABLE)


@pytest.mark.parametrize("kind", [CNNClassifier, CNNRegressor])
def test_weights_are_repetitions(kind: Any) -> None:
    """With all rows in one batch, so that their order and the batches play no part."""
    counts = RNG.integers(0, 3, len(TABLE))
    settings = {"epochs": 20, "batch_size": 1000, "random_state": 0}
    weighted = kind(**settings).fit(TABLE, CLASSES, sample_weight=counts)
    repeated = kind(**settings).fit(np.repeat(TABLE, counts, 0), np.repeat(CLASSES, counts))
    predict = "predict_proba" if kind is CNNClassifier else "predict"
    np.testing.assert_allclose(
        getattr(weighted, predict)(TABLE), getattr(repeated, predict)(TABLE), atol=1e-5
    )


def test_class_weights_are_row_weights() -> None:
    by_class = CNNClassifier(epochs=3, class_weight={0: 1.0, 1: 5.0, 2: 0.5}, random_state=0)
    by_row = CNNClassifier(epochs=3, random_state=0)
    weights = np.array([1.0, 5.0, 0.5])[CLASSES]
    same = by_row.fit(TABLE, CLASSES, weights).predict_proba(TABLE)
    assert np.array_equal(by_class.fit(TABLE, CLASSES).predict_proba(TABLE), same)


@pytest.mark.parametrize("bad", [[1.0], -np.ones(90), np.full(90, np.nan), np.zeros(90)])
def test_weights_that_are_none(bad: Any) -> None:
    with pytest.raises(ValueError, match="weight"):
        CNNClassifier(epochs=1).fit(TABLE, CLASSES, sample_weight=bad)


def test_early_stopping_keeps_the_best_epoch() -> None:
    noise = RNG.integers(0, 2, len(TABLE))
    stopped = CNNClassifier(
        epochs=200, early_stopping=True, validation_fraction=0.3, n_iter_no_change=3, learning_rate=0.02
    ).fit(TABLE, noise)
    losses = stopped.history_["val_loss"]
    assert len(losses) == stopped.n_iter_ < 200
    assert len(losses) - 1 - int(np.argmin(losses)) == 3


def test_networks_and_optimizers_of_ones_own() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    before = network.state_dict()
    fitted = CNNClassifier(network, epochs=2).fit(TABLE, CLASSES)
    assert all(np.array_equal(before[name], array) for name, array in network.state_dict().items())
    assert not np.array_equal(np.asarray(fitted.network_[0].weight), before["0.weight"])

    seen: list[Any] = []

    def make(*form: Any) -> nn.Module:
        seen.append(form)
        return nn.Sequential(nn.Embedding(form[2], 3), nn.Flatten(), nn.Linear(3 * form[0][0], form[1]))

    by_function = CNNClassifier(make, optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9), epochs=2)
    by_function.fit(TEXTS, OPINIONS)
    assert seen == [((5,), 2, 2 + 6)]
    with pytest.raises(TypeError, match="network"):
        CNNClassifier(lambda shape, outputs: 3).fit(TABLE, CLASSES)
    with pytest.raises(TypeError, match="optimizer"):
        CNNClassifier(optimizer=lambda parameters: 3).fit(TABLE, CLASSES)
    for wrong in (nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1)))):
        with pytest.raises(ValueError, match=r"\(rows, 3\)"):
            CNNClassifier(wrong).fit(TABLE, CLASSES)


def test_the_search_of_a_grid_in_two_processes() -> None:
    x, y = shaped((1, 8, 8))
    search = GridSearchCV(CNNClassifier(random_state=0), {"epochs": [1, 6]}, n_jobs=2, cv=2).fit(x, y)
    assert search.best_params_ == {"epochs": 6}
    alone = cross_val_score(CNNClassifier(epochs=6, random_state=0), x, y, cv=2)
    assert search.best_score_ == alone.mean()
    with parallel_config(backend="threading", n_jobs=2):
        beside = cross_val_score(CNNClassifier(epochs=6, random_state=0), x, y, cv=2)
    assert np.array_equal(beside, alone)


def test_pipelines_and_columns() -> None:
    pipeline = make_pipeline(FunctionTransformer(lambda x: x.reshape(-1, 1, 12, 12)), CNNClassifier(epochs=8))
    x, y = shaped((144,))
    x = x.reshape(96, 12, 12)
    x[y == 1] += 2
    assert clone(pipeline).fit(x.reshape(96, 144), y).score(x.reshape(96, 144), y) > 0.9
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": TABLE[:, 0], "b": TABLE[:, 1]})
    classifier = CNNClassifier(epochs=1).fit(frame, CLASSES)
    assert classifier.feature_names_in_.tolist() == ["a", "b"]
    columns = make_pipeline(ColumnTransformer([("kept", "passthrough", ["b", "a"])]), CNNClassifier(epochs=1))
    assert columns.fit(frame, CLASSES).predict(frame).shape == (90,)


def test_columns_with_a_large_mean_and_constant_ones() -> None:
    x = TABLE + np.array([1e9, 0, 0, 0])
    x[:, 3] = 7
    assert CNNClassifier(epochs=60, random_state=0).fit(x, CLASSES).score(x, CLASSES) > 0.95


def test_verbose_and_history(capsys: pytest.CaptureFixture[str]) -> None:
    classifier = CNNClassifier(epochs=2, verbose=2).fit(TABLE, CLASSES)
    assert isinstance(classifier.history_, train.History)
    assert classifier.loss_curve_ == classifier.history_["loss"]
    assert "loss" in "".join(capsys.readouterr())


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_sizes_that_float32_does_not_hold(factor: float) -> None:
    """Squares of such numbers overflow or vanish in float64, too."""
    settings: dict[str, Any] = {"epochs": 3, "random_state": 0}
    y = TABLE[:, 0]
    near = CNNRegressor(**settings).fit(TABLE, y).predict(TABLE)
    far = CNNRegressor(**settings).fit(TABLE * factor, y * factor)
    np.testing.assert_allclose(far.predict(TABLE * factor) / factor, near, atol=1e-5)
    texts = CNNClassifier(**settings).fit(TABLE, CLASSES).predict_proba(TABLE)
    scaled = CNNClassifier(**settings).fit(TABLE * factor, CLASSES).predict_proba(TABLE * factor)
    np.testing.assert_allclose(scaled, texts, atol=1e-5)
    weighted = CNNClassifier(**settings).fit(TABLE, CLASSES, np.full(90, factor)).predict_proba(TABLE)
    np.testing.assert_allclose(weighted, texts, atol=1e-7)


def test_values_beyond_float32_are_refused() -> None:
    classifier = CNNClassifier(epochs=1, random_state=0).fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="float32"):
        classifier.predict(TABLE * 1e300)
    with pytest.raises(ValueError, match="float32"):
        CNNClassifier(epochs=1, standardize=False).fit(TABLE * 1e300, CLASSES)
    regressor = CNNRegressor(epochs=1, random_state=0).fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="targets that float32"):
        regressor.partial_fit(TABLE, CLASSES * 1e300)


def test_weights_that_float32_does_not_hold_count_as_absent() -> None:
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 4, "random_state": 0}
    weights = np.where(np.arange(90) < 30, 1, 1e-60)
    some = CNNClassifier(**settings).fit(TABLE[:30], CLASSES[:30]).predict_proba(TABLE)
    assert np.array_equal(CNNClassifier(**settings).fit(TABLE, CLASSES, weights).predict_proba(TABLE), some)


def test_class_weights_count_rows_that_are_there() -> None:
    settings: dict[str, Any] = {"epochs": 3, "class_weight": "balanced", "random_state": 0}
    some = CNNClassifier(**settings).fit(TABLE[:30], CLASSES[:30]).predict_proba(TABLE)
    weights = np.arange(90) < 30
    assert np.array_equal(CNNClassifier(**settings).fit(TABLE, CLASSES, weights).predict_proba(TABLE), some)
    counts = np.bincount(CLASSES)
    by_hand = dict(enumerate(90 / (3 * counts)))
    same = CNNClassifier(epochs=3, class_weight=by_hand, random_state=0).fit(TABLE, CLASSES)
    balanced = CNNClassifier(**settings).fit(TABLE, CLASSES)
    assert np.array_equal(balanced.predict_proba(TABLE), same.predict_proba(TABLE))
    part = CNNClassifier(class_weight={2: 5.0}, random_state=0)  # a part of the rows has none of class 2
    part.partial_fit(TABLE[CLASSES < 2], CLASSES[CLASSES < 2], classes=[0, 1, 2])


@pytest.mark.parametrize("bad", [{0: -1}, {0: np.nan}, {5: 1}, "balance", [1, 2, 3]])
def test_class_weights_that_are_none(bad: Any) -> None:
    with pytest.raises(ValueError, match="class_weight"):
        CNNClassifier(epochs=1, class_weight=bad).fit(TABLE, CLASSES)


@pytest.mark.parametrize(("rows", "share"), [(2, 0.1), (90, 0.0), (90, 1.0), (90, 0.01)])
def test_rows_that_cannot_be_held_out(rows: int, share: float) -> None:
    stopped = CNNClassifier(epochs=1, early_stopping=True, validation_fraction=share)
    with pytest.raises(ValueError, match="validation_fraction"):
        stopped.fit(TABLE[:rows], np.arange(rows) % 3)
    for estimator in (stopped, CNNRegressor(early_stopping=True)):
        with pytest.raises(ValueError, match="early_stopping"):
            estimator.partial_fit(TABLE, CLASSES, [0, 1, 2] if estimator is stopped else None)


def test_settings_that_are_none() -> None:
    for settings in ({"epochs": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} of at least 1, got 0"):
            CNNClassifier(**settings).fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="max_length of at least 1"):
        CNNClassifier(epochs=1, max_length=0).fit(TEXTS, OPINIONS)
    with pytest.raises(ValueError, match="bytes: decode"):
        CNNClassifier(epochs=1).fit([text.encode() for text in TEXTS], OPINIONS)
    with pytest.raises(TypeError, match="from_torch"):
        CNNClassifier(SomebodysModule(), epochs=1).fit(TABLE, CLASSES)


class SomebodysModule:
    """Looks like torch's."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def __call__(self, x: Any) -> Any:
        return x


def test_what_failed_is_not_fitted() -> None:
    classifier = CNNClassifier(epochs=1, random_state=0).fit(TABLE, CLASSES)
    classifier.set_params(network=nn.Linear(3, 3))
    for failing in (classifier, CNNClassifier(batch_size=0)):
        with pytest.raises(ValueError, match=r"features|batch_size"):
            failing.fit(TABLE, CLASSES)
        with pytest.raises(NotFittedError):
            failing.predict(TABLE)
    again = CNNClassifier(batch_size=0, random_state=0)
    with pytest.raises(ValueError, match="batch_size"):
        again.partial_fit(TABLE, CLASSES, [0, 1, 2])
    again.set_params(batch_size=32).partial_fit(TABLE, CLASSES, [0, 1, 2])
    new = CNNClassifier(random_state=0).partial_fit(TABLE, CLASSES, [0, 1, 2])
    assert np.array_equal(again.predict_proba(TABLE), new.predict_proba(TABLE))


@pytest.mark.parametrize(
    "name",
    [
        "early_stopping",
        "standardize",
        "warm_start",
        "validation_fraction",
        "n_iter_no_change",
        "vocabulary_size",
        "max_length",
        "learning_rate",
        "weight_decay",
        "epochs",
        "batch_size",
    ],
)
def test_settings_are_looked_at_in_fit(name: str) -> None:
    x, y = np.ones((8, 2), np.float32), np.arange(8) % 2
    for wrong in ("no such word", math.nan, np.ones((2, 3)), []):
        with pytest.raises((TypeError, ValueError), match=rf"\b({name}|lr)\b"):
            CNNClassifier(**{"epochs": 1, name: wrong}).fit(x, y)
