# SPDX-License-Identifier: Apache-2.0
"""The Program: values, places, aliases, staging of inputs, bound memory, threads."""

import threading

import numpy as np
import pytest

from cnncore import _core


def scaled_add_program(
    shape: tuple[int, ...], layout: str = "channels_last", planned: bool = True
) -> "_core.Program":
    """y = 2 * (a + b), with the sum in the arena; `planned`: and memory there to convert the inputs in."""
    program = _core.Program()
    a, b, total, y = (program.add_value(shape, "float32", layout) for _ in range(4))
    program.add_step("elementwise", [a, b], [total], {"function": "add"})
    program.add_step("elementwise", [total], [y], {"function": "mul_scalar", "alpha": 2.0})
    program.set_inputs([a, b])
    program.set_outputs([y])
    size = (4 * int(np.prod(shape)) + 63) // 64 * 64
    if planned:
        program.place(a, "arena", 0)
        program.place(b, "arena", size)
    program.place(total, "arena", 2 * size)
    program.finish(3 * size)
    return program


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8", "uint8", "bool", ">f4"])
@pytest.mark.parametrize("order", ["C", "F", "channels_last", "sliced", "reversed"])
@pytest.mark.parametrize("planned", [True, False])
def test_run_accepts_any_dtype_and_strides(dtype: str, order: str, planned: bool) -> None:
    shape = (2, 3, 5, 4)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2 if dtype == "bool" else 100, (2, 3, 10, 4)).astype(dtype)
    array = {
        "C": lambda: np.ascontiguousarray(base[:, :, :5]),
        "F": lambda: np.asfortranarray(base[:, :, :5]),
        "channels_last": lambda: np.ascontiguousarray(base[:, :, :5].transpose(0, 2, 3, 1)).transpose(
            0, 3, 1, 2
        ),
        "sliced": lambda: base[:, :, ::2],
        "reversed": lambda: base[:, ::-1, 4::-1],
    }[order]()
    before = array.copy()
    program = scaled_add_program(shape, planned=planned)
    for _ in range(2):
        (y,) = program.run([array, array])
        np.testing.assert_array_equal(y, 4 * array.astype(np.float32))
    as_it_comes = dtype in ("float32", ">f4") and order == "channels_last"
    assert program.staged_bytes == (0 if planned or as_it_comes else 2 * y.nbytes)
    np.testing.assert_array_equal(array, before)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_run_accepts_read_only_lists_and_dlpack() -> None:
    program = scaled_add_program((2, 2))
    fixed = np.ones((2, 2), np.float32)
    fixed.flags.writeable = False

    class OnlyDlpack:
        def __dlpack__(self, **kwargs: object) -> object:
            return np.ones((2, 2), np.float32).__dlpack__()

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    for b in ([[1, 2], [3, 4]], OnlyDlpack()):
        expected = 2 * (1 + np.asarray(b if isinstance(b, list) else np.ones((2, 2))))
        np.testing.assert_array_equal(program.run([fixed, b])[0], expected)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.ones((2, 3), np.complex64), TypeError, "real numbers, got dtype complex64"),
        (np.array([[None] * 3] * 2), TypeError, "real numbers, got dtype object"),
        (np.ones((3, 2), np.float32), ValueError, r"input 1: expected shape \(2, 3\), got \(3, 2\)"),
        (np.ones(3, np.float32), ValueError, r"got \(3,\)"),
    ],
)
def test_run_refuses(bad: object, error: type[Exception], message: str) -> None:
    program = scaled_add_program((2, 3))
    with pytest.raises(error, match=message):
        program.run([np.ones((2, 3)), bad])
    with pytest.raises(ValueError, match="expected 2 input arrays, got 1"):
        program.run([np.ones((2, 3))])


def test_float_labels_are_refused() -> None:
    program = _core.Program()
    a, y = program.add_value((4,), "int64"), program.add_value((4,), "float32")
    program.add_step("elementwise", [a], [y], {"function": "cast"})
    program.set_inputs([a])
    program.set_outputs([y])
    program.place(a, "arena", 0)
    program.finish(64)
    np.testing.assert_array_equal(program.run([np.arange(4, dtype=np.uint8)])[0], np.arange(4.0))
    with pytest.raises(TypeError, match="expected integers"):
        program.run([np.ones(4)])


def test_bound_memory_is_read_and_written_in_place() -> None:
    program = _core.Program()
    x, state, updated = (program.add_value((7,), layout="c") for _ in range(3))
    memory = np.zeros(7, np.float32)
    program.add_step("elementwise", [x, state], [updated], {"function": "add"})
    program.bind(state, memory, True)
    program.alias(updated, state)
    program.set_inputs([x])
    program.place(x, "arena", 0)
    program.finish(64)
    for _ in range(3):
        assert program.run([np.arange(7)]) == []
    np.testing.assert_array_equal(memory, 3.0 * np.arange(7))
    with pytest.raises(ValueError, match="bound array: expected dense float32"):
        program.bind(state, np.zeros(14, np.float32)[::2], True)
    fixed = np.zeros(7, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        program.bind(state, fixed, True)


def test_setup_steps_run_again_when_what_they_read_has_changed() -> None:
    program = _core.Program()
    weight, doubled, x, y = (program.add_value((5,), layout="c") for _ in range(4))
    storage = _core.Storage(np.arange(5, dtype=np.float32))
    program.bind_storage(weight, storage, False)
    program.add_step("elementwise", [weight], [doubled], {"function": "mul_scalar", "alpha": 2.0}, setup=True)
    program.add_step("elementwise", [x, doubled], [y], {"function": "add"})
    program.place(doubled, "persistent", 0)
    program.set_inputs([x])
    program.set_outputs([y])
    program.place(x, "arena", 0)
    program.finish(64, 64)
    program.setup()
    np.testing.assert_array_equal(program.run([np.zeros(5)])[0], 2.0 * np.arange(5))
    storage.write(np.full(5, 100, np.float32))
    np.testing.assert_array_equal(program.run([np.zeros(5)])[0], 200.0 * np.ones(5))


def test_a_guard_ends_the_run() -> None:
    program = _core.Program()
    labels, bad = program.add_value((3,), "int64"), program.add_value((), "int64")
    state, updated = program.add_value((3,)), program.add_value((3,))
    memory = np.zeros(3, np.float32)
    program.add_step("count_bad_labels", [labels], [bad], {"classes": 2})
    program.add_step("elementwise", [state], [updated], {"function": "add_scalar", "alpha": 1.0})
    program.bind(state, memory, True)
    program.alias(updated, state)
    program.set_inputs([labels])
    program.set_outputs([bad])
    program.set_guards([bad])
    program.place(labels, "arena", 0)
    program.finish(64)
    assert program.run([[0, 1, 0]]) == [0]
    np.testing.assert_array_equal(memory, 1.0)
    assert program.run([[0, 2, -1]]) == [2]
    np.testing.assert_array_equal(memory, 1.0)


def test_steps_repeated_for_portions() -> None:
    """Two steps run for each half of x before the next; the step after them sees all of y."""
    program = _core.Program()
    x, y, z = (program.add_value((6,)) for _ in range(3))
    half_x, between, half_y = (program.add_value((3,)) for _ in range(3))
    program.add_step("elementwise", [half_x], [between], {"function": "add_scalar", "alpha": 1.0})
    program.add_step("elementwise", [between], [half_y], {"function": "mul_scalar", "alpha": 2.0})
    program.add_step("elementwise", [y], [z], {"function": "neg"})
    for first, last, portions in ((-1, 0, 2), (0, 3, 2), (1, 0, 2), (0, 1, 0)):
        with pytest.raises(ValueError, match="cannot repeat steps"):
            program.repeat(first, last, portions)
    program.repeat(0, 1, 2)
    program.set_inputs([x])
    program.set_outputs([z])
    program.place(x, "arena", 0)
    program.place(y, "arena", 64)
    program.place(between, "arena", 128)
    program.alias(half_x, x, 0, 12)
    program.alias(half_y, y, 0, 12)
    program.finish(192)
    for given in (np.arange(6, dtype=np.float32), np.arange(6.0)):  # as it lies, and converted
        np.testing.assert_array_equal(program.run([given])[0], -2.0 * (np.arange(6) + 1.0))
    _, seconds = program.measure([np.zeros(6)], 1)
    assert len(seconds) == 3
    assert [program.step_info(i)["bytes"] for i in range(3)] == [48, 48, 48]
    with pytest.raises(ValueError, match="finished"):
        program.repeat(0, 1, 2)


def test_bad_programs_are_refused() -> None:
    program = _core.Program()
    a = program.add_value((2, 3))
    with pytest.raises(ValueError, match="unknown step 'nope'"):
        program.add_step("nope", [a], [a], {})
    with pytest.raises(ValueError, match="dtype"):
        program.add_value((2,), "complex64")
    with pytest.raises(ValueError, match="not finished"):
        program.run([])
    b = program.add_value((2, 3))
    program.add_step("elementwise", [a], [b], {"function": "relu"})
    program.set_inputs([a])
    with pytest.raises(ValueError, match="has no place"):
        program.finish(0)


def test_threads_share_a_program() -> None:
    program = scaled_add_program((64, 33))
    failures = []

    def work(seed: int) -> None:
        array = np.random.default_rng(seed).standard_normal((64, 33)).astype(np.float32)
        for _ in range(50):
            if not np.array_equal(program.run([array, array])[0], 4 * array):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_measuring_times_each_step() -> None:
    program = scaled_add_program((1000, 100))
    a = np.ones((1000, 100), np.float32)
    (y,), seconds = program.measure([a, a], 2)
    assert len(seconds) == 2
    assert all(s > 0 for s in seconds)
    np.testing.assert_array_equal(y, 4 * a)
    assert program.step_info(1)["op"] == "elementwise"
