# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.train import Callback, Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 1, 8, 8)).astype(np.float32)
Y = (X.mean((1, 2, 3)) > 0).astype(np.int64)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    cc.manual_seed(0)
    threads = cc.get_num_threads()
    yield
    cc.set_num_threads(threads)


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(128, 2),
    )


def make(model: nn.Module | None = None, lr: float = 0.01, **options: Any) -> Trainer:
    model = model or net()
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=lr), **options)


def weights(trainer: Trainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.model.state_dict().values())


def test_learns() -> None:
    trainer = make()
    history = trainer.fit((X, Y), epochs=15, batch_size=16, validation=(X, Y), verbose=0)
    assert set(history) == {
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "seconds",
        "images_per_second",
    }
    assert all(len(values) == 15 for values in history.values())
    assert history["loss"][-1] < history["loss"][0] / 3
    assert history["val_accuracy"][-1] > 0.95
    figures = trainer.evaluate((X, Y))
    assert figures["loss"] == history["val_loss"][-1]
    output = trainer.predict(X)
    assert (output.argmax(1) == Y).mean() == figures["accuracy"]
    assert trainer.epoch == 15
    assert all(module.training for module in trainer.model.modules())


def test_overfits_a_regression() -> None:
    model = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1))
    x = RNG.normal(size=(32, 3))
    y = np.sin(x).sum(1, keepdims=True)
    trainer = Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), 0.02), metrics=("mse", "mae"))
    history = trainer.fit((x, y), epochs=200, batch_size=32, verbose=0)
    assert history["mse"][-1] < 0.01
    assert history["mse"][-1] == pytest.approx(history["loss"][-1], rel=1e-4)
    assert history["mae"][-1] ** 2 < history["mse"][-1]


def test_same_bits_on_any_number_of_threads() -> None:
    model = models.lenet5()
    start = model.state_dict()
    x = RNG.normal(size=(200, 1, 28, 28)).astype(np.float32)
    y = RNG.integers(0, 10, 200)
    results = set()
    for threads in (1, 2, 3):
        with cc.threads(threads):
            cc.manual_seed(0)
            model.load_state_dict(start)
            trainer = make(model)
            trainer.fit((x, y), epochs=2, batch_size=64, verbose=0)
            results.add(weights(trainer))
    assert len(results) == 1


def test_same_bits_with_batch_norm_and_dropout_on_any_number_of_threads() -> None:
    model = models.resnet20()
    start = model.state_dict()
    x = RNG.normal(size=(40, 3, 32, 32)).astype(np.float32)
    results = set()
    for threads in (1, 2, 3):
        with cc.threads(threads):
            model.load_state_dict(start)
            trainer = make(model)
            trainer.fit((x, Y[:40]), epochs=1, batch_size=16, verbose=0)
            results.add(weights(trainer))
    assert len(results) == 1


def test_two_calls_of_fit_do_what_one_does() -> None:
    model = net()
    start = model.state_dict()
    whole = make(model)
    whole.fit((X, Y), epochs=4, batch_size=16, verbose=0)
    expected = weights(whole)
    model.load_state_dict(start)
    cc.manual_seed(0)
    parts = make(model)
    parts.fit((X, Y), epochs=1, batch_size=16, verbose=0)
    parts.fit((X, Y), epochs=3, batch_size=16, verbose=0)
    assert weights(parts) == expected
    assert parts.epoch == 4


def test_order_of_rows_follows_from_the_seed() -> None:
    def train(**options: Any) -> bytes:
        cc.manual_seed(0)
        trainer = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
        trainer.fit((X, Y), epochs=2, batch_size=16, verbose=0, **options)
        return weights(trainer)

    assert train(seed=1) == train(seed=1)
    assert len({train(seed=1), train(seed=2), train(shuffle=False)}) == 3


@pytest.mark.parametrize(
    "form",
    [
        lambda: (X, Y),
        lambda: (X.astype(np.float64), Y.astype(np.int32)),
        lambda: data.Dataset(X, Y),
        lambda: data.DataLoader((X, Y), 10, shuffle=True, seed=3),
        lambda: data.DataLoader((X, Y), 10, shuffle=True, seed=3, workers=2),
    ],
)
def test_every_form_of_data_trains_alike(form: Any) -> None:
    trainer = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    trainer.fit(form(), epochs=2, batch_size=10, seed=3, verbose=0)
    cc.manual_seed(0)
    expected = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    expected.fit((X, Y), epochs=2, batch_size=10, seed=3, verbose=0)
    assert weights(trainer) == weights(expected)


def test_list_of_batches_and_uint8_images() -> None:
    images = RNG.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    batches = [(images[:9], Y[:9]), (images[9:], Y[9:20])]
    trainer = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), lr=1e-5)
    history = trainer.fit(batches, epochs=1, verbose=0)
    again = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), lr=1e-5)
    again.model.load_state_dict(trainer.model.state_dict())
    assert again.evaluate((images.astype(np.float32), Y[:20])) == again.evaluate((images, Y[:20]))
    assert np.isfinite(history["loss"][0])


def test_every_row_is_seen_once_an_epoch() -> None:
    seen: list[int] = []

    def record(output: Any, target: Any) -> float:
        seen.extend(target.tolist())
        return 0.0

    trainer = make(nn.Linear(4, 100), metrics=[record])
    trainer.fit((np.zeros((33, 4)), np.arange(33)), epochs=1, batch_size=8, verbose=0)
    assert sorted(seen) == list(range(33))
    assert seen != sorted(seen)


def test_one_row_left_over_does_not_upset_batch_norm() -> None:
    # The convolution leaves one pixel: a batch of one row has no variance.
    trainer = make(nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)))
    history = trainer.fit((X[:33], Y[:33]), epochs=1, batch_size=16, verbose=0)
    assert history.epochs == 1
    assert trainer.optimizer.step_count == 2


class Recorder(Callback):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_train_begin(self) -> None:
        self.events.append("begin")

    def on_epoch_begin(self, epoch: int) -> None:
        self.events.append(("epoch", epoch))

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.events.append((batch, sorted(logs)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.events.append(("end", epoch, sorted(logs)))

    def on_train_end(self) -> None:
        self.events.append("done")


def test_callbacks() -> None:
    recorder, trainer = Recorder(), make()
    trainer.fit((X[:40], Y[:40]), 1, 20, validation=(X, Y), callbacks=[recorder], verbose=0)
    figures = ["accuracy", "images_per_second", "loss", "seconds", "val_accuracy", "val_loss"]
    assert recorder.events == [
        "begin",
        ("epoch", 0),
        (0, ["accuracy", "loss"]),
        (1, ["accuracy", "loss"]),
        ("end", 0, figures),
        "done",
    ]
    assert recorder.trainer is trainer


def test_callbacks_can_stop_training_and_change_settings() -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            self.trainer.optimizer.lr /= 2
            self.trainer.stop_training = epoch == 1

    class StopInside(Callback):
        def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            self.trainer.stop_training = batch == 2

    trainer = make(lr=0.01)
    history = trainer.fit((X, Y), 9, 16, callbacks=[Stop()], verbose=0)
    assert (history.epochs, history.interrupted, trainer.optimizer.lr) == (2, False, 0.0025)
    history = trainer.fit((X, Y), 9, 16, callbacks=[StopInside()], verbose=0)
    assert (history.epochs, history.interrupted) == (0, True)


class PressCtrlC(Callback):
    """Sends the signal in the middle of the second epoch."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.trainer.epoch == 1 and batch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """Python's own handler: a parent such as `nohup` may have made this process ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_another_handler_of_ctrl_c_is_left_alone(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        history = make().fit((X, Y), 3, 16, callbacks=[PressCtrlC()], verbose=0)
        assert (history.epochs, history.interrupted) == (3, False)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_keeps_the_model_and_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    trainer, recorder = make(), Recorder()
    history = trainer.fit((X, Y), 5, 16, callbacks=[PressCtrlC(), recorder])
    assert (history.epochs, history.interrupted, trainer.epoch) == (1, True, 1)
    assert recorder.events[-1] == "done"
    assert "stopped by Ctrl-C after 1 of 5 epochs" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert np.isfinite(trainer.predict(X)).all()
    assert trainer.optimizer.step_count == 5 + 2
    assert all(module.training for module in trainer.model.modules())
    assert trainer.fit((X, Y), 1, 16, verbose=0).epochs == 1


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize(("epochs", "interrupted"), [(2, True), (1, False)])
def test_ctrl_c_between_epochs_is_told(epochs: int, interrupted: bool) -> None:
    def press(epoch: int, logs: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    history = make().fit((X, Y), epochs, 16, callbacks=press, verbose=0)
    assert (history.epochs, history.interrupted) == (1, interrupted)


def test_interrupt_raised_by_the_data_is_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupting:
        def __iter__(self) -> Iterator[Any]:
            yield X[:20], Y[:20]
            raise KeyboardInterrupt

    history = make().fit(Interrupting(), 3)
    assert (history.epochs, history.interrupted) == (0, True)
    assert "stopped by Ctrl-C" in capsys.readouterr().err


@pytest.mark.usefixtures("ctrl_c_raises")
def test_a_failing_callback_leaves_everything_in_order() -> None:
    class Failing(Callback):
        def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            raise RuntimeError("from the callback")

    trainer, recorder = make(), Recorder()
    trainer.model.eval()
    with pytest.raises(RuntimeError, match="from the callback"):
        trainer.fit((X, Y), 1, 16, callbacks=[recorder, Failing()], verbose=0)
    assert recorder.events[-1] == "done"
    assert not any(module.training for module in trainer.model.modules())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_frozen_parameters_stay() -> None:
    trainer = make()
    trainer.model[0].requires_grad_(False)
    before = np.array(trainer.model[0].weight)
    trainer.fit((X, Y), 1, 16, verbose=0)
    np.testing.assert_array_equal(trainer.model[0].weight, before)
    trainer.model[0].requires_grad_(True)
    trainer.fit((X, Y), 1, 16, verbose=0)
    assert not np.array_equal(trainer.model[0].weight, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_data_end_training_and_are_named(value: float) -> None:
    x = X.copy()
    x[40] = value
    trainer = make()
    before = weights(trainer)
    with pytest.warns(UserWarning, match=r"in epoch 1, batch 3: input 0 has NaN or infinity\. Training ends"):
        history = trainer.fit((x, Y), 2, 16, shuffle=False, verbose=0)
    assert history.nonfinite == ("0", "input", "0")
    assert (history.epochs, trainer.epoch, trainer.optimizer.step_count) == (0, 0, 0)
    assert weights(trainer) == before


def test_ctrl_c_while_the_cause_is_sought_goes_back_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    x = X.copy()
    x[40] = np.nan
    trainer = make()
    before = weights(trainer)
    monkeypatch.setattr(importlib.import_module("cnncore.train.run"), "find_nonfinite", interrupted)
    history = trainer.fit((x, Y), 2, 16, shuffle=False, verbose=0)
    assert history.interrupted
    assert (history.epochs, trainer.epoch, trainer.optimizer.step_count) == (0, 0, 0)
    assert weights(trainer) == before


def test_a_loss_that_grows_out_of_bounds_gives_back_the_last_finite_state() -> None:
    class TooFast(Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            self.trainer.optimizer.lr = 1e30 if epoch == 1 else 0.01

    trainer, same = make(), make()
    same.fit((X, Y), 1, 16, verbose=0)
    trainer.model.load_state_dict(make().model.state_dict())
    with pytest.warns(UserWarning, match=r"in epoch 2, .*the (weights|output|gradient) of .*NaN or infinity"):
        history = trainer.fit((X, Y), 3, 16, callbacks=[TooFast()], verbose=0)
    assert history.nonfinite is not None
    assert (history.epochs, trainer.epoch) == (1, 1)
    assert np.isfinite(trainer.predict(X)).all()
    assert trainer.optimizer.step_count == same.optimizer.step_count


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.fit((X, Y), epochs=-1), ValueError, "epochs as an integer of at least 0, got -1"),
        (lambda t: t.fit((X, Y), epochs=1.5), ValueError, "epochs as an integer of at least 0, got 1.5"),
        (lambda t: t.fit((X, Y), 1, batch_size=0), ValueError, "batch_size of at least 1, got 0"),
        (lambda t: t.fit((X, Y[:-1]), 1), ValueError, "as many rows in x as in y"),
        (lambda t: t.fit((X, Y), 1, validation=3), TypeError, "got int"),
        (lambda t: t.fit((X[:, 0], Y), 1, verbose=0), ValueError, r"\[0\] expected input with 4 axes"),
        (lambda t: t.evaluate((X, Y - 1)), ValueError, "labels"),
        (lambda t: t.evaluate((X[:, 0], Y)), ValueError, r"\[0\] expected input with 4 axes"),
        (lambda t: t.evaluate((X, Y[:3])), ValueError, "as many rows"),
        (lambda t: t.predict(X[0, 0, 0]), ValueError, r"x of shape \(rows, ...\)"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    trainer = make()
    before = weights(trainer)
    with pytest.raises(error, match=message):
        call(trainer)
    assert weights(trainer) == before


def test_a_label_out_of_range_does_not_spoil_the_weights() -> None:
    trainer = make()
    labels = Y.copy()
    labels[7] = 2
    with pytest.raises(ValueError, match=r"expected labels from 0 to 1 .*, got 1 outside"):
        trainer.fit((X, labels), 3, 16, verbose=0)
    assert all(np.isfinite(array).all() for array in trainer.model.state_dict().values())


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda m: Trainer(3, nn.MSELoss(), optim.SGD(m.parameters(), 0.1)), "model to be a Module, got int"),
        (
            lambda m: Trainer(m, "mse", optim.SGD(m.parameters(), 0.1)),
            "loss to be a loss layer or a function",
        ),
        (lambda m: Trainer(m, nn.MSELoss(), "sgd"), "optimizer to be an Optimizer, got str"),
    ],
)
def test_bad_parts(make_it: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_it(nn.Linear(2, 2))


def test_x_and_y_as_two_arguments() -> None:
    histories, figures = [], []
    for call in (
        lambda t: (t.fit((X, Y), 1, 16, verbose=0), t.evaluate((X, Y), 16)),
        lambda t: (t.fit(X, Y, 1, 16, verbose=0), t.evaluate(X, Y, 16)),
        lambda t: (t.fit(X, y=Y, epochs=1, batch_size=16, verbose=0), t.evaluate(X, y=Y, batch_size=16)),
        lambda t: (t.fit(x=X, y=Y, epochs=1, batch_size=16, verbose=0), t.evaluate(x=X, y=Y, batch_size=16)),
        lambda t: (t.fit(X.tolist(), Y.tolist(), 1, 16, verbose=0), t.evaluate((X.tolist(), Y.tolist()), 16)),
    ):
        cc.manual_seed(0)
        history, found = call(make())
        histories.append(history["loss"])
        figures.append(found)
    assert all(loss == histories[0] for loss in histories)
    assert all(found == figures[0] for found in figures)


def test_lists_of_two_are_batches_or_x_and_y() -> None:
    batches = [(X[:40], Y[:40]), (X[40:], Y[40:])]
    trainer = make()
    expected = trainer.evaluate(iter(batches))
    for data_ in (batches, tuple(batches), [list(batch) for batch in batches]):
        assert trainer.evaluate(data_) == expected
    assert trainer.evaluate(([X[0], X[1]], [0, 1])) == trainer.evaluate((X[:2], np.array([0, 1])))


def test_callbacks_that_are_none() -> None:
    class Keras(Callback):
        def on_train_batch_end(self, batch: int) -> None: ...

    class Own(Callback):
        def on_something(self) -> None: ...

    for callbacks, message in [
        (lambda epoch: None, "expected a function of 2 arguments as on_epoch_end"),
        ([5], "expected Callback objects, got 5"),
        (5, "expected Callback objects, got 5"),
        ([Callback], r"got the class itself: pass Callback\(\)"),
        (Callback, r"got the class itself: pass Callback\(\)"),
        ([Keras()], "Keras.on_train_batch_end would never be called: its name is on_batch_end here"),
        (Own(), "Own.on_something would never be called: the hooks are on_train_begin, "),
    ]:
        with pytest.raises(TypeError, match=message):
            make().fit((X, Y), 1, callbacks=callbacks, verbose=0)


def test_one_callback_none_and_hooks_of_an_object() -> None:
    counted = cc.Callback()
    seen: list[int] = []
    counted.on_batch_end = lambda batch, logs: seen.append(batch)  # type: ignore[method-assign]
    make().fit((X, Y), 1, 16, callbacks=counted, verbose=0)
    assert seen == [0, 1, 2, 3, 4]
    make().fit((X, Y), 1, 16, callbacks=None, verbose=0)


def test_usual_metrics_of_a_regression_are_none() -> None:
    model = nn.Linear(2, 1)
    x = RNG.normal(size=(20, 2))
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    history = trainer.fit(x, x[:, :1], 1, validation=(x, x[:, :1]), verbose=0)
    assert sorted(history) == ["images_per_second", "loss", "seconds", "val_loss"]
    assert Trainer(model, nn.MSELoss(), trainer.optimizer, metrics=None).evaluate(x, x[:, :1]).keys() == {
        "loss"
    }
