# SPDX-License-Identifier: Apache-2.0
"""What is no setting of a data set, loader, sampler or feature is refused by its name."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import data

TONE = np.ones(1000, np.float32)
LABELS = np.arange(8) % 2
NEEDED: dict[Any, dict[str, Any]] = {
    data.DataLoader: {"dataset": (TONE, TONE)},
    data.GroupSampler: {"groups": LABELS},
    data.ImagePreprocessing: {},
    data.LengthSampler: {"lengths": [1, 2, 3], "batch_size": 2},
    data.ShardedSampler: {"samples": 8, "rank": 0, "ranks": 2},
    data.StratifiedSampler: {"labels": LABELS},
    data.Tokenizer: {},
    data.WeightedSampler: {"weights": [1.0, 2.0]},
    data.hash_tokens: {"texts": ["a b"], "buckets": 9},
    data.k_fold: {"samples": LABELS, "k": 2},
    data.mel_filters: {"n_mels": 4, "n_fft": 64, "rate": 8000},
    data.mel_spectrogram: {"signal": TONE, "rate": 8000},
    data.mfcc: {"signal": TONE, "rate": 8000},
    data.one_hot_sequences: {"sequences": ["ACGT"]},
    data.pad_sequences: {"sequences": [[1, 2], [3]]},
    data.resample: {"signal": TONE, "old": 2, "new": 3},
    data.spectrogram: {"signal": TONE},
    data.stft: {"signal": TONE},
    data.train_test_split: {"samples": LABELS},
}
MEANS_OTHERS = {"dataset", "signal", "transform", "settings"}
"""Named otherwise in messages, or of the caller's own making."""


class Nonsense:
    """What no argument may be."""


def rows() -> list[Any]:
    return [
        pytest.param(call, name, id=f"{call.__name__}-{name}")
        for call in NEEDED
        for name in inspect.signature(call).parameters
        if name not in MEANS_OTHERS
    ]


@pytest.mark.parametrize(("call", "name"), rows())
def test_settings(call: Any, name: str) -> None:
    default = inspect.signature(call).parameters[name].default
    wrong: list[Any] = [Nonsense(), {}]
    wrong += [np.ones((2, 3, 4))] * (name not in ("texts", "sequences"))
    wrong += ["no such word"] * (name not in ("alphabet", "samples", "targets"))
    wrong += [math.inf] * isinstance(default, int) + [math.nan] * isinstance(default, float)
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            call(**{**NEEDED[call], name: value})


@pytest.mark.parametrize("wrong", [("a", "b"), [0.5], [True], [None], "text", {}, np.ones(2)])
def test_samplers_give_numbers(wrong: Any) -> None:
    with pytest.raises(TypeError, match="sampler"):
        data.DataLoader((TONE,), sampler=wrong)


def test_indices_are_integers() -> None:
    samples = data.Dataset(TONE)
    for wrong in ([0.5], "text", [None], math.inf, [[0], [1, 2]]):
        with pytest.raises(TypeError, match="expected indices to be integers"):
            samples.batch(wrong)


def test_shares_of_many_ranks_need_no_memory() -> None:
    order = data.ShardedSampler(5, 2**30 + 1, 2**31 - 1, shuffle=False).order(0)
    assert order.tolist() == [(2**30 + 1) % 5]


def test_no_lengths_are_an_empty_order() -> None:
    assert data.LengthSampler([], 4).order(0).tolist() == []


@pytest.mark.parametrize("rate", [0, -1, 2**32, 0.5, math.inf, "x"])
def test_rates_of_files(tmp_path: Path, rate: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="rate"):
        data.write_wav(tmp_path / "tone.wav", TONE, rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, 3, 1.5, ["a"], "a\0b"])
def test_paths(path: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="expected a file's path"):
        data.write_wav(path, TONE, 8000)


@pytest.mark.parametrize("value", [0.5, math.nan, 2**70, "x", [1]])
def test_what_fills_rows_of_integers(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="expected value to be"):
        data.pad_sequences([[1, 2], [3]], value=value)
    assert np.isnan(data.pad_sequences([[1.5, 2.0], [3.0]], value=math.nan)[1, 1])


def test_ratios_whose_filters_are_too_large() -> None:
    with pytest.raises(ValueError, match="old and new in the ratio of smaller integers"):
        data.resample(TONE, 44100, 44101)
