# SPDX-License-Identifier: Apache-2.0
"""Data sets, image files and batches.

`digits`, `mnist` and `cifar10` return ``(x, y), (x, y)``: train and test, x (samples, channels, height,
width) float32 from 0 to 1 (or uint8 with ``dtype="uint8"``), y int64 class numbers.
"""

from . import transforms
from .audio import mel_filters, mel_spectrogram, mfcc, resample, spectrogram, stft
from .cifar import cifar10
from .collate import pad_collate
from .dataset import Dataset
from .folder import ImageArrays, image_folder
from .idx import read_idx
from .image_files import ImageFiles, ImageFolder, ImageTable
from .images import read_image, with_channels
from .loader import DataLoader
from .mnist_files import mnist
from .preparation import ImagePreprocessing, image_files
from .resizing import resize
from .samplers import (
    GroupSampler,
    LengthSampler,
    ShardedSampler,
    StratifiedSampler,
    WeightedSampler,
    k_fold,
    train_test_split,
)
from .sequences import DNA, PROTEIN, RNA, one_hot_sequences, reverse_complement, sequence_letters
from .sounds import SoundArrays, fsdd, wav_folder
from .text import Tokenizer, hash_tokens, pad_sequences
from .uci_digits import digits
from .wav import Sound, read_wav, write_wav

__all__ = [
    "DNA",
    "PROTEIN",
    "RNA",
    "DataLoader",
    "Dataset",
    "GroupSampler",
    "ImageArrays",
    "ImageFiles",
    "ImageFolder",
    "ImagePreprocessing",
    "ImageTable",
    "LengthSampler",
    "ShardedSampler",
    "Sound",
    "SoundArrays",
    "StratifiedSampler",
    "Tokenizer",
    "WeightedSampler",
    "cifar10",
    "digits",
    "fsdd",
    "hash_tokens",
    "image_files",
    "image_folder",
    "k_fold",
    "mel_filters",
    "mel_spectrogram",
    "mfcc",
    "mnist",
    "one_hot_sequences",
    "pad_collate",
    "pad_sequences",
    "read_idx",
    "read_image",
    "read_wav",
    "resample",
    "resize",
    "reverse_complement",
    "sequence_letters",
    "spectrogram",
    "stft",
    "train_test_split",
    "transforms",
    "wav_folder",
    "with_channels",
    "write_wav",
]
