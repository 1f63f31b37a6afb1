# SPDX-License-Identifier: Apache-2.0
"""Recordings and their features."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import data
from cnncore.data import transforms as t
from cnncore.data.transforms.draws import Draws

RNG = np.random.default_rng(0)


def _wav(
    body: bytes, code: int, channels: int, bits: int, rate: int = 8000, extensible: bool = False
) -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * frame, frame, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, code) + b"\0" * 14
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    parts = (
        odd + b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(body)) + body
    )
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts


WHOLE = np.array([[0, 5], [-128, 127], [64, -1]])
"""Times, channels: eight bits."""


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers(bits: int, extensible: bool, tmp_path: Path) -> None:
    wide = WHOLE << (bits - 8)
    if bits == 8:
        body = (wide + 128).astype(np.uint8).tobytes()
    else:
        body = b"".join(int(v).to_bytes(bits // 8, "little", signed=True) for v in wide.ravel())
    (tmp_path / "a.wav").write_bytes(_wav(body, 1, 2, bits, extensible=extensible))
    samples, rate = data.read_wav(tmp_path / "a.wav")
    assert rate == 8000
    assert samples.dtype == np.float32
    assert np.array_equal(samples, WHOLE.T / 128)


@pytest.mark.parametrize("bits", [32, 64])
def test_floats(bits: int, tmp_path: Path) -> None:
    values = RNG.normal(size=(5, 3))
    (tmp_path / "a.wav").write_bytes(_wav(values.astype(f"<f{bits // 8}").tobytes(), 3, 3, bits))
    assert np.array_equal(data.read_wav(tmp_path / "a.wav").samples, values.T.astype(np.float32))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    samples = RNG.uniform(-1.2, 1.2, (2, 100))
    data.write_wav(tmp_path / "a.wav", samples, 44100)
    sound = data.read_wav(tmp_path / "a.wav")
    assert sound.rate == 44100
    assert np.abs(sound.samples - samples.clip(-1, 32767 / 32768)).max() <= 2.0**-16
    with pytest.raises(ValueError, match="finite samples"):
        data.write_wav(tmp_path / "b.wav", [np.nan], 8000)
    assert not (tmp_path / "b.wav").exists()


GOOD = _wav(np.arange(8, dtype="<i2").tobytes(), 1, 1, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a WAV file"),
        (b"RIFF0000WAVE", "format or its samples are missing"),
        (GOOD.replace(b"data", b"date"), "samples are missing"),
        (_wav(b"", 2, 1, 4), "got format 2 of 4 bits"),
        (_wav(b"", 1, 0, 16), "0 channels"),
        (_wav(b"", 1, 1, 16, rate=0), "0 Hz"),
    ],
)
def test_damaged_files(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.wav.*{message}"):
        data.read_wav(tmp_path / "a.wav")


def test_any_damage_is_a_sound_or_a_clear_error(tmp_path: Path) -> None:
    for _ in range(300):
        content = bytearray(GOOD)
        for place in RNG.integers(0, len(content), 3):
            content[place] = RNG.integers(256)
        (tmp_path / "a.wav").write_bytes(bytes(content[: RNG.integers(1, len(content) + 1)]))
        try:
            found = data.read_wav(tmp_path / "a.wav").samples.size
        except ValueError as error:
            found = 0 if "a.wav" in str(error) else 1000
        assert found <= 100


def test_folders_and_zips(tmp_path: Path) -> None:
    for name, length in (("b/1.wav", 4), ("a/1.wav", 6), ("a/2.WAV", 2)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data.write_wav(tmp_path / name, np.full(length, 0.5), 8000)
    sounds = data.wav_folder(tmp_path)
    assert sounds.classes == ("a", "b")
    assert sounds.y.tolist() == [0, 0, 1]
    assert sounds.x.shape == (3, 1, 6)
    assert sounds.lengths.tolist() == [6, 2, 4]
    assert sounds.x[:, 0].sum(1).tolist() == [3, 1, 2]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in sounds.names:
            archive.write(tmp_path / name, name)
    zipped = data.wav_folder(tmp_path / "all.zip", length=3, label=lambda name: name[-5])
    assert zipped.classes == ("1", "2")
    assert zipped.x.shape == (3, 1, 3)
    data.write_wav(tmp_path / "a/3.wav", [0.0], 16000)
    with pytest.raises(ValueError, match=r"3.wav: expected 1 channels at 8000 Hz.*data.resample"):
        data.wav_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected WAV files, got none"):
        data.wav_folder(tmp_path / "empty")


def test_spoken_digits(tmp_path: Path) -> None:
    for digit in range(3):
        for number in range(7):
            data.write_wav(tmp_path / f"{digit}_ann_{number}.wav", [digit / 10], 8000)
    train, test = data.fsdd(tmp_path, length=4)
    assert train.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.y.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    with pytest.raises(FileNotFoundError, match="fetch them from https"):
        data.fsdd(tmp_path / "nothing")


def test_the_real_spoken_digits() -> None:
    root = os.environ.get("CNNCORE_DATA")
    if not root:
        pytest.skip("CNNCORE_DATA does not name the folder with the data sets")
    train, test = data.fsdd(root)
    assert (train.x.shape, test.x.shape) == ((2700, 1, 8000), (300, 1, 8000))
    assert np.bincount(test.y).tolist() == [30] * 10


@pytest.mark.parametrize(
    ("n_fft", "hop", "width", "center"), [(16, 4, None, True), (17, 5, 11, True), (16, 16, 9, False)]
)
def test_stft_is_the_sum_of_its_definition(n_fft: int, hop: int, width: Any, center: bool) -> None:
    x = RNG.normal(size=70)
    done = data.stft(x, n_fft, hop, width, center)
    size = width or n_fft
    window = np.zeros(n_fft)
    window[(n_fft - size) // 2 :][:size] = np.sin(np.pi * np.arange(size) / size) ** 2
    wide = np.pad(x, n_fft // 2, mode="reflect") if center else x
    frames = [wide[i : i + n_fft] * window for i in range(0, len(wide) - n_fft + 1, hop)]
    basis = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) / n_fft)
    expected = basis @ np.stack(frames, 1)
    assert done.shape == expected.shape
    np.testing.assert_allclose(done, expected, atol=1e-6 * n_fft)
    np.testing.assert_allclose(
        data.spectrogram(x, n_fft=n_fft, hop_length=hop, win_length=width, center=center),
        np.abs(expected) ** 2,
        rtol=1e-5,
        atol=1e-5,
    )


def test_stft_as_torch() -> None:
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(2, 500)).astype(np.float32)
    window = torch.hann_window(50)
    expected = torch.stft(torch.tensor(x), 64, 20, 50, window, return_complex=True)
    np.testing.assert_allclose(data.stft(x, 64, 20, 50), expected.numpy(), atol=2e-5)


@pytest.mark.parametrize(("old", "new"), [(16000, 8000), (8000, 16000), (44100, 16000), (3, 2)])
def test_tones_stay_at_another_rate(old: int, new: int) -> None:
    tone = 0.05 * min(old, new)
    signal = np.sin(2 * np.pi * tone * np.arange(4000) / old)
    done = data.resample(np.stack([signal, -signal]), old, new)
    times = np.arange(done.shape[1]) / new
    inside = (times > 100 / min(old, new)) & (times < 4000 / old - 100 / min(old, new))
    expected = np.sin(2 * np.pi * tone * times)
    # A filter of six zeros to a side leaves ripples of a thousandth.
    np.testing.assert_allclose(done[0][inside], expected[inside], atol=2e-3)
    assert np.array_equal(done[0], -done[1])
    assert done.shape[1] == -(-4000 * new // old)


def test_tones_beyond_the_lower_rate_are_removed() -> None:
    signal = np.sin(2 * np.pi * 7000 * np.arange(4000) / 16000)
    assert np.abs(data.resample(signal, 16000, 8000)[50:-50]).max() < 2e-2
    assert np.array_equal(data.resample([1.0, 2.0], 5, 5), [1, 2])


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_filters(scale: str) -> None:
    filters = data.mel_filters(20, 512, 16000, 100, 7000, scale)
    assert filters.shape == (20, 257)
    frequencies = np.arange(257) * 16000 / 512
    peaks = frequencies[filters.argmax(1)]
    assert (np.diff(peaks) > 0).all()
    assert (filters[:, (frequencies < 100) | (frequencies > 7000)] == 0).all()
    areas = filters.sum(1) * 16000 / 512
    if scale == "slaney":
        np.testing.assert_allclose(areas[10:], 1, rtol=0.02)
    else:
        # Between the middles of the first and the last band neighbours add up to one.
        inside = (frequencies > peaks[0] + 40) & (frequencies < peaks[-1] - 40)
        np.testing.assert_allclose(filters.sum(0)[inside], 1, atol=1e-5)


def test_cepstral_coefficients_are_the_cosine_transform_of_log_energies() -> None:
    x = RNG.normal(size=2000)
    logs = data.mel_spectrogram(x, 8000, 16, log=True, n_fft=128).astype(np.float64)
    done = data.mfcc(x, 8000, 5, 16, n_fft=128)
    for k in range(5):
        factor = np.sqrt((1 if k == 0 else 2) / 16)
        expected = factor * sum(np.cos(np.pi * k * (m + 0.5) / 16) * logs[m] for m in range(16))
        np.testing.assert_allclose(done[k], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.stft(np.zeros(4), 16), "more than 8 times to mirror"),
        (lambda: data.stft(np.zeros(4), 16, center=False), "at least n_fft 16"),
        (lambda: data.stft(np.zeros(40), 16, win_length=17), "win_length up to n_fft"),
        (lambda: data.mel_filters(4, 64, 8000, f_max=5000), "f_max <= 4000"),
        (lambda: data.mel_filters(4, 64, 8000, scale="bark"), "'htk' or 'slaney'"),
        (lambda: data.mfcc(np.zeros(800), 8000, 41, 40), "n_mfcc from 1 to n_mels 40"),
        (lambda: data.resample([], 1, 2), "at least one time"),
        (lambda: data.resample([1.0], 0, 2), "old of at least 1, got 0"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_hidden_stretches() -> None:
    ones = np.ones((200, 1, 20, 30), np.float32)
    draws = Draws.of(0, 0, range(200))
    times = t.TimeMasking(10, count=1).batch(ones, draws).images
    assert np.array_equal(times, np.broadcast_to(times[:, :, :1], times.shape))
    hidden = (times[:, 0, 0] == 0).sum(1)
    assert hidden.min() == 0
    assert hidden.max() == 10
    both = t.SpecAugment(5, 8).batch(ones, draws).images
    assert (both == 0).any(3).any()
    assert ((both == 0).all(3).sum((1, 2)) <= 5).all()


def test_shifts_and_gains() -> None:
    signal = np.arange(1, 11, dtype=np.float32)[None, None].repeat(100, 0)
    moved = t.RandomTimeShift(0.3).batch(signal, Draws.of(0, 0, range(100))).images[:, 0]
    starts = {tuple(row) for row in moved.tolist()}
    expected = set()
    for shift in range(-3, 4):
        row = np.zeros(10)
        row[max(0, shift) : 10 + min(0, shift)] = np.arange(1, 11)[max(0, -shift) : 10 - max(0, shift)]
        expected.add(tuple(row.tolist()))
    assert starts == expected
    gains = t.RandomGain((-20, 20)).batch(signal, Draws.of(0, 0, range(100))).images[:, 0, 0]
    assert 0.1 <= gains.min() < 0.15
    assert 7 < gains.max() <= 10
