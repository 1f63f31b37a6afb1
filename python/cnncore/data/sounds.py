# SPDX-License-Identifier: Apache-2.0
"""Folders and zip files of recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._files import check_path
from .sources import open_source
from .wav import decode_wav

__all__ = ["SoundArrays", "fsdd", "wav_folder"]

_FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_FSDD_TESTS = 5
"""Recordings 0 to 4 of each digit and speaker are the test set."""


class _Arrays(NamedTuple):
    x: NDArray[np.float32]
    y: NDArray[np.int64]


class SoundArrays(_Arrays):
    """The tuple ``(x, y)`` with what else is known of the recordings.

    Attributes:
        x: samples (recordings, channels, time), float32 from -1 to 1.
        y: class numbers (recordings,), int64.
        classes: the classes' names.
        names: the recordings' paths in the folder or zip file.
        lengths: times that a recording has before zeros fill it up, (recordings,).
        rate: times a second.

    >>> import os, tempfile
    >>> from cnncore import data
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("no", "yes"):
    ...     os.mkdir(os.path.join(folder, name))
    ...     data.write_wav(os.path.join(folder, name, "1.wav"), np.zeros(800), 8000)
    >>> x, y = sounds = data.wav_folder(folder)
    >>> sounds.classes, sounds.rate
    (('no', 'yes'), 8000)
    """

    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    lengths: NDArray[np.int64] = np.empty(0, np.int64)
    rate: int = 0

    def take(self, chosen: Any) -> SoundArrays:
        """Some of the recordings."""
        numbers = np.flatnonzero(chosen) if np.asarray(chosen).dtype == bool else np.asarray(chosen)
        names = tuple(self.names[int(i)] for i in numbers)
        return _sounds(
            self.x[numbers], self.y[numbers], self.classes, names, self.lengths[numbers], self.rate
        )


def wav_folder(
    path: str | os.PathLike[str],
    length: int | None = None,
    label: Callable[[str], str] | None = None,
) -> SoundArrays:
    """Read the WAV files of a folder or zip file.

    Args:
        path: a folder or a zip file.
        length: times of each recording; longer ones are cut at the end, zeros follow shorter ones. By default
            that of the longest.
        label: gives a recording's class by its path; by default the folder it lies in.

    Returns:
        A `SoundArrays`, ``(x, y)``: x (recordings, channels, time); classes are numbered in alphabetical
        order.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no recordings, damaged ones, or ones of different rates or channels.

    >>> import os, tempfile
    >>> from cnncore import data
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("no", "yes"):
    ...     os.mkdir(os.path.join(folder, name))
    ...     data.write_wav(os.path.join(folder, name, "1.wav"), np.zeros(800), 8000)
    >>> sounds = wav_folder(folder, length=1000)
    >>> sounds.x.shape, sounds.y.tolist(), sounds.lengths.tolist()
    ((2, 1, 1000), [0, 1], [800, 800])
    """
    source = open_source(path)
    with source:
        names = [name for name in source.names()[0] if _is_sound(name)]
        sounds = [decode_wav(source.read(name), source.label(name)) for name in names]
    if not sounds:
        raise ValueError(f"{os.fsdecode(path)}: expected WAV files, got none")
    first = sounds[0]
    for name, sound in zip(names, sounds, strict=True):
        if sound.rate != first.rate or len(sound.samples) != len(first.samples):
            raise ValueError(
                f"{os.fsdecode(path)}:{name}: expected {len(first.samples)} channels at {first.rate} Hz as "
                f"in {names[0]}, got {len(sound.samples)} at {sound.rate} Hz; data.resample changes a rate"
            )
    labels = [(label or _folder_of)(name) for name in names]
    classes = tuple(sorted(set(labels)))
    lengths = np.array([sound.samples.shape[1] for sound in sounds], np.int64)
    time = int(lengths.max()) if length is None else int(length)
    if time < 1:
        raise ValueError(f"expected a length of at least 1, got {length}")
    x = np.zeros((len(sounds), len(first.samples), time), np.float32)
    for row, sound in zip(x, sounds, strict=True):
        kept = sound.samples[:, :time]
        row[:, : kept.shape[1]] = kept
    y = np.array([classes.index(name) for name in labels], np.int64)
    return _sounds(x, y, classes, tuple(names), np.minimum(lengths, time), first.rate)


def fsdd(root: str | os.PathLike[str], length: int = 8000) -> tuple[SoundArrays, SoundArrays]:
    """Return the Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, 8 kHz.

    Args:
        root: the folder of recordings, a zip file of them, or a folder that holds ``recordings`` or
            ``fsdd-wav.zip``.
        length: times of each recording, one second by default; longer ones are cut, zeros follow shorter
            ones.

    Returns:
        Train and test, the recordings 0 to 4 of each digit and speaker: `SoundArrays` with x
        (recordings, 1, length).

    Raises:
        FileNotFoundError: there is none; the message has the address to fetch it from.

    >>> import os, tempfile
    >>> from cnncore import data
    >>> folder = tempfile.mkdtemp()
    >>> for number in (0, 7):      # <digit>_<speaker>_<number>.wav
    ...     data.write_wav(os.path.join(folder, f"3_jackson_{number}.wav"), np.zeros(4000), 8000)
    >>> train, test = fsdd(folder)
    >>> train.names, test.names, train.x.shape
    (('3_jackson_7.wav',), ('3_jackson_0.wav',), (1, 1, 8000))
    """
    place = check_path(root, "the path of a folder")
    inside = [os.path.join(place, name) for name in ("recordings", "fsdd-wav.zip")]
    place = next((path for path in inside if os.path.exists(path)), place)
    if not os.path.exists(place):
        raise FileNotFoundError(f"{place}: no recordings there; fetch them from {_FSDD}")
    sounds = wav_folder(place, length, lambda name: PurePosixPath(name).stem.split("_")[0])
    numbers = np.array([_fsdd_number(name) for name in sounds.names])
    return sounds.take(numbers >= _FSDD_TESTS), sounds.take(numbers < _FSDD_TESTS)


def _fsdd_number(name: str) -> int:
    parts = PurePosixPath(name).stem.split("_")
    if len(parts) != 3 or not parts[2].isdecimal():
        raise ValueError(f"{name}: expected recordings named <digit>_<speaker>_<number>.wav")
    return int(parts[2])


def _sounds(
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    classes: tuple[str, ...],
    names: tuple[str, ...],
    lengths: NDArray[np.int64],
    rate: int,
) -> SoundArrays:
    sounds = SoundArrays(x, y)
    sounds.classes, sounds.names, sounds.lengths, sounds.rate = classes, names, lengths, rate
    return sounds


def _is_sound(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == ".wav" and not any(
        part.startswith((".", "__MACOSX")) for part in path.parts
    )


def _folder_of(name: str) -> str:
    return PurePosixPath(name).parent.name
