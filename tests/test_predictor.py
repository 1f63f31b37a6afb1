# SPDX-License-Identifier: Apache-2.0
"""Predictors: snapshots, several inputs and outputs, pickling, threads, tables, errors."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops, optim

X = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)


def test_a_predictor_is_a_snapshot():
    model = models.lenet5()
    predictor = cc.compile(model, X.shape)
    expected = model.eval()(X)
    assert np.array_equal(predictor(X), expected)
    for parameter in model.parameters():
        parameter.assign(np.zeros(parameter.shape))
    assert np.array_equal(predictor(X), expected)
    assert not np.array_equal(model(X), expected)


def test_compiling_leaves_modes_and_statistics_as_they_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[1].eval()
    state = model.state_dict()
    cc.compile(model, X.shape)(X)
    assert [module.training for module in model] == [True, False, True]
    for name, value in model.state_dict().items():
        assert np.array_equal(value, state[name])


def test_several_inputs_and_outputs():
    def fn(a, b):
        return {"sum": a + b, "parts": (a, ops.relu(b))}

    predictor = cc.compile(fn, [(2, 3), (3,)])
    a, b = np.ones((2, 3), np.float32), np.arange(-1.0, 2.0, dtype=np.float32)
    result = predictor(a, b)
    assert np.array_equal(result["sum"], a + b)
    assert np.array_equal(result["parts"][1], [0, 0, 1])
    assert predictor.input_shape == ((2, 3), (3,))
    with pytest.raises(ValueError, match="expected 2 inputs, got 1"):
        predictor(a)


def test_inputs_of_other_types_and_strides():
    predictor = cc.compile(models.lenet5(), X.shape)
    expected = predictor(X)
    assert np.array_equal(predictor(X.astype(np.float64)), expected)
    assert np.array_equal(predictor(X.tolist()), expected)
    assert np.array_equal(predictor(X.transpose(3, 2, 1, 0).copy().transpose(3, 2, 1, 0)), expected)
    last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    last.flags.writeable = False
    assert np.array_equal(predictor(last), expected)


def test_pickles_work_without_the_models_class(tmp_path: Path):
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            y = ops.relu(self.norm(self.conv(x)))
            return y, y.mean((2, 3))

    predictor = cc.compile(Local(), X.shape)
    images, means = predictor(X)
    again = pickle.loads(pickle.dumps(predictor))
    assert np.array_equal(again(X)[0], images)
    (tmp_path / "predictor.pickle").write_bytes(pickle.dumps(predictor))
    np.save(tmp_path / "x.npy", X)
    code = (
        "import pickle, numpy as np; from pathlib import Path; "
        "p = pickle.loads(Path('predictor.pickle').read_bytes()); np.save('y.npy', p(np.load('x.npy'))[1])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cc.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)
    assert np.array_equal(np.load(tmp_path / "y.npy"), means)


def test_calls_from_several_threads():
    predictor = cc.compile(models.lenet5(), X.shape)
    inputs = [X + i for i in range(4)]
    expected = [predictor(x) for x in inputs]
    wrong = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(predictor(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_tables_have_a_row_a_step():
    predictor = cc.compile(models.lenet5(), X.shape)
    rows = predictor.explain()
    assert [row["layer"] for row in rows if row["step"] in ("conv_forward", "conv_pool")] == [
        "conv1",
        "conv2",
        "fc1",
        "fc2",
        "fc3",
    ]
    assert all(row["algorithm"] for row in rows)
    measured = predictor.profile(X, repeats=2)
    assert [row["layer"] for row in measured] == [row["layer"] for row in rows]
    for row in measured:
        assert row["ms"] > 0
        assert row["gflops"] >= 0
        assert row["gbytes"] > 0
        assert row["percent_of_peak"] >= 0
    text = str(measured)
    assert text.splitlines()[0].split() == list(measured[0])
    assert len(text.splitlines()) == len(rows) + 3  # header, total, note


def test_operations_in_bytes_and_flops():
    predictor = cc.compile(nn.Conv2d(3, 8, 3), (2, 3, 10, 10))
    (row,) = predictor.profile(np.ones((2, 3, 10, 10), np.float32), repeats=1)
    flops = 2 * 2 * 8 * 8 * 8 * 27
    assert row["gflops"] * row["ms"] * 1e6 == pytest.approx(flops)


def test_errors_name_the_compiled_shape():
    predictor = cc.compile(models.lenet5(), X.shape)
    with pytest.raises(ValueError, match=r"expected input of shape \(2, 1, 28, 28\).* got \(1, 1, 28, 28\)"):
        predictor(X[:1])
    with pytest.raises(TypeError, match="complex"):
        predictor(X.astype(np.complex64))
    with pytest.raises(ValueError, match="expected extents of at least 1"):
        cc.compile(models.lenet5(), (1, 1, 0, 28))
    with pytest.raises(TypeError, match="expected input_shape as a tuple of ints"):
        cc.compile(models.lenet5(), 28)
    with pytest.raises(ValueError, match=r"\[conv1\] expected input with 1 channels"):
        cc.compile(models.lenet5(), (1, 3, 28, 28))
    with pytest.raises(TypeError, match="expected a Module or a function"):
        cc.compile(3, (1,))


@pytest.mark.parametrize(("shape", "converts"), [((1, 1, 1, 4096), False), ((1, 4, 1, 1024), True)])
def test_memory_counts_inputs_where_they_are_converted(shape: tuple[int, ...], converts: bool) -> None:
    """Channels side by side always are; what comes as it is used takes nothing, until it does not."""
    predictor = cc.compile(nn.Conv2d(shape[1], 1, 1), shape)
    output = 4 * shape[3]
    before = predictor.memory
    assert before.activations == (16384 if converts else 0)
    x = np.ones(shape, np.float32)
    assert predictor(x).nbytes == output
    assert predictor.memory == before
    predictor(x.astype(np.float64))
    assert predictor.memory.activations == 16384
    predictor(x.astype(np.uint8))
    assert predictor.memory.activations == 16384


def test_memory_of_a_program_for_known_dtypes_counts_their_conversion() -> None:
    model = nn.Linear(256, 1)
    step = cc.train_step(lambda x: ops.sum(model(x)), optim.SGD(model.parameters(), lr=0.1))
    bytes_of = {d: step.memory_of(np.ones((16, 256), d)).activations for d in (np.float32, np.float64)}
    assert bytes_of[np.float64] - bytes_of[np.float32] == 16 * 256 * 4


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, words, weights=None):
        vectors = self.embedding(words)
        return self.head((vectors if weights is None else vectors * weights).mean(1))


@pytest.mark.parametrize("dtype", ["int64", np.int32, int, np.dtype("uint8"), "int16"])
def test_inputs_of_integers(dtype):
    model, words = Words().eval(), np.array([[1, 2, 0], [9, 9, 3]])
    predictor = cc.compile(model, (2, 3), input_dtype=dtype)
    for given in (words, words.astype(np.int32), words.tolist()):
        np.testing.assert_array_equal(predictor(given), model(words))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(predictor))(words), model(words))
    with pytest.raises(ValueError, match="indices from 0 to 9, got 2 outside"):
        predictor(words + 1)
    with pytest.raises(TypeError, match="expected integers"):
        predictor(words + 0.5)


def test_inputs_of_several_dtypes():
    model, words = Words().eval(), np.array([[1, 2, 0], [9, 9, 3]])
    weights = np.random.default_rng(0).random((2, 3, 1), np.float32)
    predictor = cc.compile(model, [(2, 3), (2, 3, 1)], input_dtype=["int64", "float32"])
    np.testing.assert_array_equal(predictor(words, weights), model(words, weights))


@pytest.mark.parametrize(
    ("dtype", "kind", "message"),
    [
        ("word", TypeError, "a dtype of real numbers, such as 'int64', got 'word'"),
        ("complex64", TypeError, "got 'complex64'"),
        (None, TypeError, "got None"),
        (["int64", "int64"], ValueError, "one for each of 1 inputs"),
    ],
)
def test_dtypes_that_are_none(dtype, kind, message):
    with pytest.raises(kind, match=message):
        cc.compile(Words(), (2, 3), input_dtype=dtype)
