# SPDX-License-Identifier: Apache-2.0
"""Classifier and regressor: what scikit-learn's own checks do not ask."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="needs scikit-learn")

from joblib import parallel_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
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
