# SPDX-License-Identifier: Apache-2.0
"""What `Trainer.fit` does beside its loop: weights, labels, several inputs, schedules, averages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, nn, ops, optim
from cnncore.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1)
START = {"weight": RNG.normal(size=(3, 4)).astype(np.float32), "bias": np.zeros(3, np.float32)}


def make(loss: Any = None, lr: float = 0.1, model: nn.Module | None = None, **options: Any) -> Trainer:
    if model is None:
        model = nn.Linear(4, 3)
        model.load_state_dict(START)
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr), **options)


def bits(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.model.state_dict().values())


def softmax_step(weights: np.ndarray, decay: float = 1.0) -> dict[str, np.ndarray]:
    """One step of gradient descent at rate 0.1 on the weighted mean cross-entropy, in float64."""
    logits = X.astype(float) @ START["weight"].T.astype(float)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    slope = (shares - np.eye(3)[Y]) * (weights / weights.sum())[:, None]
    return {"weight": START["weight"] - 0.1 * slope.T @ X, "bias": -0.1 * slope.sum(0)}


def assert_close(trainer: Trainer, expected: dict[str, np.ndarray]) -> None:
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


def test_weights_of_rows_weigh_the_loss_and_its_gradient() -> None:
    weights = RNG.random(60)
    trainer = make()
    history = trainer.fit(X, Y, 1, 60, shuffle=False, sample_weight=weights, verbose=0)
    assert_close(trainer, softmax_step(weights))
    logits = X.astype(float) @ START["weight"].T.astype(float)
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(60), Y]
    assert history["loss"][0] == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    for call in (
        lambda t: t.fit((X, Y, weights), 1, 60, shuffle=False, verbose=0),
        lambda t: t.fit([(X, Y, weights)], 1, verbose=0),
        lambda t: t.fit(data.Dataset(X, Y, weights), 1, 60, shuffle=False, verbose=0),
    ):
        same = make()
        call(same)
        assert bits(same) == bits(trainer)
    assert make().evaluate(X, Y, sample_weight=weights)["loss"] == pytest.approx(history["loss"][0], rel=1e-6)


def test_weights_of_classes_are_those_of_the_loss() -> None:
    weights = [0.5, 2.0, 4.0]
    expected = make(nn.CrossEntropyLoss(weight=weights))
    expected.fit(X, Y, 3, 16, verbose=0)
    for given in (weights, {0: 0.5, 1: 2.0, 2: 4.0}):
        trainer = make()
        trainer.fit(X, Y, 3, 16, class_weight=given, verbose=0)
        assert_close(trainer, expected.model.state_dict())
    one_hot = make()
    one_hot.fit(X, np.eye(3)[Y], 3, 16, class_weight=weights, verbose=0)
    assert_close(one_hot, expected.model.state_dict())
    balanced = make()
    balanced.fit(X, Y, 1, 60, shuffle=False, class_weight="balanced", verbose=0)
    assert_close(balanced, softmax_step((60 / 3 / np.bincount(Y))[Y]))


def test_equal_weights_and_weights_of_nothing() -> None:
    plain, weighted, nothing = make(), make(), make()
    plain.fit(X, Y, 2, 16, verbose=0)
    weighted.fit(X, Y, 2, 16, sample_weight=np.full(60, 7.0), verbose=0)
    assert_close(weighted, plain.model.state_dict())
    before = bits(nothing)
    history = nothing.fit(X, Y, 1, 60, sample_weight=np.zeros(60), verbose=0)
    assert bits(nothing) == before
    assert np.isnan(history["loss"][0])


@pytest.mark.parametrize(
    ("loss", "x", "y", "outputs"),
    [
        (nn.MSELoss(), X, X[:, :2], 2),
        (nn.L1Loss(), X, X[:, :2], 2),
        (nn.BCEWithLogitsLoss(), X, (X[:, :2] > 0).astype(float), 2),
        (nn.HuberLoss(), X, X[:, :2], 2),
        (ops.mse_loss, X, X[:, :2], 2),
        (ops.cross_entropy, X, Y, 3),
        (nn.CrossEntropyLoss(label_smoothing=0.1), X, Y, 3),
        (nn.CrossEntropyLoss(ignore_index=1), X, Y, 3),
        (nn.MSELoss(reduction="sum"), X, X[:, :2], 2),
        (lambda output, target: ((output - target) ** 2).mean(1), X, X[:, :2], 2),
    ],
)
def test_equal_weights_change_no_loss(loss: Any, x: Any, y: Any, outputs: int) -> None:
    model = nn.Linear(4, outputs)
    plain = (lambda o, t: ops.mean(loss(o, t))) if getattr(loss, "__name__", "") == "<lambda>" else loss
    expected = make(plain, model=model, metrics=None).evaluate(x, y)["loss"]
    weighted = make(loss, model=model, metrics=None).evaluate(x, y, sample_weight=np.full(60, 2.0))["loss"]
    factor = 2.0 if getattr(loss, "reduction", "") == "sum" else 1.0
    assert weighted == pytest.approx(expected * factor, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            nn.CrossEntropyLoss(weight=[1, 2, 3]),
            "CrossEntropyLoss has weights of classes: pass them as class_weight=",
        ),
        (lambda output, target: ops.mean(output), "weights of rows need the loss of each row"),
        (nn.CTCLoss(), "CTCLoss is no mean of losses of rows"),
    ],
)
def test_losses_that_cannot_be_weighted(loss: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(loss).fit(X, Y, 1, sample_weight=np.ones(60), verbose=0)


def test_pixels_that_do_not_count_have_no_weight() -> None:
    model = nn.Conv2d(1, 3, 1)
    x, y = RNG.normal(size=(4, 1, 5, 5)), RNG.integers(0, 3, (4, 5, 5))
    y[0, :3] = -100
    trainer = make(model=model)
    assert trainer.evaluate(x, y, sample_weight=np.ones(4))["loss"] == pytest.approx(
        trainer.evaluate(x, y)["loss"], rel=1e-5
    )
    weights = np.array([1.0, 0.0, 0.0, 0.0])
    assert trainer.evaluate(x, y, sample_weight=weights)["loss"] == pytest.approx(
        trainer.evaluate(x[:1], y[:1])["loss"], rel=1e-5
    )


def test_texts_as_labels() -> None:
    names = np.array(["ant", "bee", "cow"])
    numbers, texts = make(), make()
    numbers.fit(X, Y, 3, 16, validation=(X, Y), verbose=0)
    history = texts.fit(X, names[Y].tolist(), 3, 16, validation=(X, names[Y]), verbose=0)
    assert bits(texts) == bits(numbers)
    assert texts.class_names == texts.model.class_names == ("ant", "bee", "cow")
    assert history["val_accuracy"][-1] == texts.evaluate(X, names[Y])["accuracy"]
    assert texts.predict_classes(X).tolist() == names[texts.predict(X).argmax(1)].tolist()
    # A part with fewer classes keeps the numbers, also in batches.
    some = names[Y] != "ant"
    assert texts.evaluate([(X[some], names[Y][some])]) == texts.evaluate(X[some], Y[some])
    texts.fit(X[some], names[Y][some], 1, verbose=0)
    with pytest.raises(ValueError, match=r"expected labels among ant, bee, cow, got 'dog'"):
        texts.evaluate(X[:1], ["dog"])
    with pytest.raises(TypeError, match=r"expected y of batches as class numbers, got texts"):
        make().fit([(X, names[Y])], 1, verbose=0)


def test_classes_of_an_image_folder_and_weights_by_name() -> None:
    arrays = data.ImageArrays(X, Y)
    arrays.classes = ("ant", "bee", "cow")
    trainer = make()
    trainer.fit(arrays, 1, class_weight={"cow": 3.0}, verbose=0)
    assert trainer.class_names == ("ant", "bee", "cow")
    other = data.ImageArrays(X[:5], np.zeros(5, np.int64))
    other.classes = ("cow",)
    assert trainer.evaluate(other) == trainer.evaluate(X[:5], np.full(5, 2))


def test_one_hot_labels_of_integers() -> None:
    floats, integers = make(), make()
    floats.fit(X, np.eye(3)[Y], 2, 16, verbose=0)
    history = integers.fit(X, np.eye(3, dtype=np.int64)[Y], 2, 16, verbose=0)
    assert bits(integers) == bits(floats)
    assert history["accuracy"][-1] <= 1.0
    trainer = make()
    before = bits(trainer)
    with pytest.raises(ValueError, match=r"one-hot targets.* expected labels from 0 to 1"):
        trainer.fit(X, np.eye(3, dtype=np.int64)[Y] * 2, 1, verbose=0)
    assert bits(trainer) == before


class TwoInTwoOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(2, 3)
        self.number = nn.Linear(3, 1)

    def forward(self, image: Any, meta: Any) -> Any:
        hidden = ops.tanh(self.first(image) + self.second(meta))
        return {"kind": hidden, "size": self.number(hidden)}


class TwoInTuple(TwoInTwoOut):
    def forward(self, image: Any, meta: Any) -> Any:
        found = super().forward(image, meta)
        return found["kind"], found["size"]


def test_several_inputs_and_outputs() -> None:
    x = {"meta": X[:, :2], "image": X}
    y = {"kind": Y, "size": X[:, :1]}
    losses = {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()}
    metrics = {"kind": ["accuracy", "f1"], "size": "mae"}
    model = TwoInTwoOut()
    start = model.state_dict()
    trainer = Trainer(model, losses, optim.Adam(model.parameters(), 0.05), metrics)
    history = trainer.fit(x, y, 40, 20, validation_split=0.2, verbose=0)
    assert {"kind_accuracy", "kind_f1", "size_mae", "val_kind_accuracy"} <= set(history)
    assert history["kind_accuracy"][-1] > history["kind_accuracy"][0] + 0.2
    assert history["loss"][-1] < history["loss"][0] / 2
    output = trainer.predict(x, 7)
    assert (output["kind"].shape, output["size"].shape) == ((60, 3), (60, 1))
    figures = trainer.evaluate(x, y, 60)
    assert figures["size_mae"] == pytest.approx(np.abs(output["size"] - y["size"]).mean(), rel=1e-5)
    np.testing.assert_allclose(model.predict(x, 60)["kind"], output["kind"], rtol=0, atol=1e-6)

    cc.manual_seed(0)
    pairs = TwoInTuple()
    pairs.load_state_dict(start)
    by_place = Trainer(
        pairs,
        [nn.CrossEntropyLoss(), nn.MSELoss()],
        optim.Adam(pairs.parameters(), 0.05),
        {0: ["accuracy", "f1"], 1: "mae"},
    )
    again = by_place.fit((X, X[:, :2]), (Y, X[:, :1]), 40, 20, validation_split=0.2, verbose=0)
    assert again["loss"] == history["loss"]
    assert again["0_accuracy"] == history["kind_accuracy"]
    weighted = by_place.evaluate((X, X[:, :2]), (Y, X[:, :1]), sample_weight=np.full(60, 3.0))
    assert weighted["loss"] == pytest.approx(figures["loss"], rel=1e-5)
    with pytest.raises(TypeError, match=r"metric 'accuracy': say of which output"):
        Trainer(model, losses, optim.SGD(model.parameters(), 0.1), ["accuracy"]).evaluate(x, y)
    with pytest.raises(TypeError, match=r"need as many targets, got one"):
        trainer.evaluate(x, Y)


def test_a_model_that_takes_a_dict_itself() -> None:
    class Takes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, batch: Any) -> Any:
            return self.layer(batch["image"])

    trainer = make(model=Takes())
    trainer.fit({"image": X}, Y, 1, verbose=0)
    assert trainer.predict({"image": X}).shape == (60, 3)


def test_predict_takes_loaders_generators_and_datasets() -> None:
    model = nn.Linear(4, 3)
    expected = model.predict(X)
    for given in (
        data.DataLoader((X, Y), 7),
        (X[i : i + 7] for i in range(0, 60, 7)),
        ((X[i : i + 7], Y[i : i + 7]) for i in range(0, 60, 7)),
        data.Dataset(X, Y),
    ):
        np.testing.assert_allclose(model.predict(given), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"at least one batch, got none"):
        model.predict(iter([]))


def test_probabilities_follow_from_the_loss() -> None:
    trainer = make()
    shares = trainer.predict_proba(X)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert (trainer.predict_classes(X) == trainer.predict(X).argmax(1)).all()
    yes = make(nn.BCEWithLogitsLoss(), model=nn.Linear(4, 1))
    np.testing.assert_allclose(yes.predict_proba(X), 1 / (1 + np.exp(-yes.predict(X))), rtol=1e-5)
    assert (yes.predict_classes(X) == (yes.predict(X) > 0)).all()
    with pytest.raises(TypeError, match=r"MSELoss does not say how outputs become probabilities"):
        make(nn.MSELoss()).predict_proba(X)


def test_schedulers_by_epoch_and_by_step() -> None:
    rates: list[float] = []

    def watch(batch: int, logs: Any) -> None:
        rates.append(trainer.optimizer.lr)

    for by, expected in [("epoch", [1, 1, 0.5, 0.5, 0.25, 0.25]), ("step", [0.5**n for n in range(1, 7)])]:
        rates.clear()
        trainer = make(lr=1.0)
        trainer.schedulers = [optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.5)]
        trainer.schedule_by = by
        trainer.fit(X, Y, 3, 30, callbacks=cc.train.Lambda(on_batch_end=watch), verbose=0)
        assert rates == expected
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    optimizer.lr = 1e-9
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=plateau)
    trainer.fit(X, Y, 3, 60, validation=(X, Y), verbose=0)
    assert plateau.last_epoch == 3
    with pytest.raises(ValueError, match=r"follows a figure of epochs"):
        Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=plateau, schedule_by="step")
    with pytest.raises(ValueError, match=r"a scheduler of the Trainer's optimizer"):
        make(scheduler=plateau)
    with pytest.raises(TypeError, match=r"expected a scheduler of optim.lr_scheduler"):
        make(scheduler=[5])


def test_accumulation_and_clipping() -> None:
    whole, parts = make(), make(accumulate=2)
    whole.fit(X, Y, 1, 40, shuffle=False, sample_weight=np.repeat([1.0, 0.0], [40, 20]), verbose=0)
    parts.fit((X[:40], Y[:40]), 1, 20, shuffle=False, verbose=0)
    assert parts.optimizer.step_count == 1
    assert_close(parts, whole.model.state_dict())
    clipped = make(clip_grad_norm=1e-3)
    clipped.fit(X, Y, 1, 60, verbose=0)
    moved = [array - START[name] for name, array in clipped.model.state_dict().items()]
    norm = np.sqrt(sum((part.astype(float) ** 2).sum() for part in moved))
    assert norm == pytest.approx(1e-3 * 0.1, rel=1e-2)
    with pytest.raises(ValueError, match=r"accumulate of at least 1, got 0"):
        make(accumulate=0)


def test_averages_of_the_weights_are_what_is_used() -> None:
    trainer = make(ema=0.5)
    assert trainer.final_model is trainer.model
    steps: list[dict[str, np.ndarray]] = []
    keep = cc.train.Lambda(on_batch_end=lambda batch, logs: steps.append(trainer.model.state_dict()))
    history = trainer.fit(X, Y, 2, 30, validation=(X, Y), callbacks=keep, verbose=0)
    expected = steps[0]["weight"].astype(float)
    for state in steps[1:]:
        expected = 0.5 * expected + 0.5 * state["weight"]
    assert trainer.averaged is not None
    np.testing.assert_allclose(trainer.final_model.weight.numpy(), expected, rtol=1e-5)
    assert not np.allclose(trainer.final_model.weight.numpy(), trainer.model.weight.numpy())
    assert history["val_loss"][-1] == trainer.evaluate(X, Y)["loss"]
    assert (trainer.predict(X) == trainer.averaged.module.predict(X, 128)).all()
    with pytest.raises(ValueError, match=r"expected ema as a decay"):
        make(ema=1.5)


def test_steps_of_an_epoch_and_the_first_one() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield X[:20], Y[:20]

    trainer = make()
    history = trainer.fit(endless(), 3, steps_per_epoch=4, verbose=0)
    assert (history.epochs, trainer.optimizer.step_count) == (3, 12)
    history = trainer.fit(X, Y, epochs=5, initial_epoch=3, batch_size=60, verbose=0)
    assert (history.epochs, trainer.epoch) == (2, 5)
    history = trainer.fit(X, Y, epochs=12, initial_epoch=10, batch_size=60, verbose="auto")
    assert (history.epochs, trainer.epoch) == (2, 12)
    for options, message in [
        ({"steps_per_epoch": 0}, "steps_per_epoch as an integer of at least 1, got 0"),
        ({"initial_epoch": -1}, "initial_epoch as an integer of at least 0, got -1"),
        ({"validation_split": 2.0}, "validation_split as a share between 0 and 1"),
        ({"verbose": "loud"}, "got 'loud'"),
    ]:
        with pytest.raises(ValueError, match=message):
            trainer.fit(X, Y, 1, **options)
    with pytest.raises(TypeError, match=r"expected validation or validation_split, got both"):
        trainer.fit(X, Y, 1, validation=(X, Y), validation_split=0.1)
    with pytest.raises(TypeError, match=r"fit has no argument 'validation_data': pass validation="):
        trainer.fit(X, Y, 1, validation_data=(X, Y))


def test_validation_split_is_validated_and_not_trained() -> None:
    trainer, expected = make(), make()
    history = trainer.fit(X, Y, 2, 16, validation_split=0.25, verbose=0)
    other = expected.fit(X[:45], Y[:45], 2, 16, validation=(X[45:], Y[45:]), verbose=0)
    assert bits(trainer) == bits(expected)
    assert history["val_loss"] == other["val_loss"]


def test_torch_datasets_and_loaders() -> None:
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    expected = make()
    expected.fit(X, Y, 2, 20, shuffle=False, validation=(X, Y), verbose=0)
    for form in (dataset, torch.utils.data.DataLoader(dataset, 20)):
        trainer = make()
        trainer.fit(form, 2, 20, shuffle=False, validation=form, verbose=0)
        assert bits(trainer) == bits(expected)
    weighted = torch.utils.data.TensorDataset(*map(torch.from_numpy, (X, Y, np.ones(60, np.float32))))
    trainer = make()
    trainer.fit(weighted, 2, 20, shuffle=False, verbose=0)
    assert_close(trainer, expected.model.state_dict())


def test_metrics_by_name() -> None:
    trainer = make(metrics=["accuracy", "f1", "auc", "confusion_matrix", "top2_accuracy"])
    history = trainer.fit(X, Y, 2, 16, validation=(X, Y), verbose=0)
    matrix = history["val_confusion_matrix"][-1]
    assert (matrix.sum(), matrix.shape) == (60, (3, 3))
    assert np.trace(matrix) / 60 == history["val_accuracy"][-1]
    assert history["val_auc"][-1] == cc.train.metrics.auc(trainer.predict(X), Y)


def test_repr() -> None:
    assert repr(make()) == "Trainer(Linear, CrossEntropyLoss, SGD, metrics=usual, epoch=0)"


def test_history_is_drawn() -> None:
    history = make(metrics=["accuracy", "confusion_matrix"]).fit(X, Y, 2, validation=(X, Y), verbose=0)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install 'cnncore\[viz\]'"):
            history.plot()
        return
    figure = history.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    lines = {line.get_label(): line.get_ydata().tolist() for axes in figure.axes for line in axes.lines}
    assert lines == {name: history[name] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    with pytest.raises(ValueError, match=r"expected figures among loss, .*, got .'mse'"):
        history.plot(["mse"])


def test_predict_takes_memory_of_other_kinds() -> None:
    model = nn.Linear(4, 3)
    expected = model.predict(X)
    memory = memoryview(np.ascontiguousarray(X))

    class OnlyArray:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return X

    for given in (memory, OnlyArray(), X.tolist()):
        np.testing.assert_array_equal(model.predict(given), expected)
