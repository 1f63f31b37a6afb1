# SPDX-License-Identifier: Apache-2.0
"""A text CNN over learnt vectors of words, against a linear model of the same words.

The texts are made: commands whose meaning changes with the order of words ("the lamp after the door" is not
"the door after the lamp"), which a bag of words cannot see.

    python examples/text_cnn.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim

VERBS, THINGS = ("open", "close", "move", "check"), ("door", "lamp", "valve", "fan", "pump", "gate")
POLITE = ("please", "now", "then", "quickly", "carefully", "again", "just")
ORDERS = {"before": 0, "and then": 0, "after": 1, "but first": 1}


def commands(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Return texts, and which of two things comes first: class 1 for the alphabetically smaller one."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        one, other = rng.choice(THINGS, 2, replace=False)
        link = list(ORDERS)[rng.integers(len(ORDERS))]
        words = [rng.choice(VERBS), "the", one, *link.split(), rng.choice(VERBS), "the", other]
        for _ in range(rng.integers(0, 4)):
            # Words that say nothing, not inside the part that tells.
            words.insert(int(rng.choice([0, len(words)])), rng.choice(POLITE))
        texts.append(" ".join(map(str, words)))
        labels.append(int((one < other) == (ORDERS[link] == 0)))
    return texts, np.array(labels)


class TextCNN(nn.Module):
    """Vectors of words, filters over 3 to 6 of them, the largest value of each (Kim, 2014)."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, 32, padding_idx=0)
        self.filters = nn.ModuleList([nn.Conv1d(32, 32, taps) for taps in (3, 4, 5, 6)])
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4 * 32, classes)

    def forward(self, numbers):
        vectors = ops.transpose(self.vectors(numbers), 1, 2)
        largest = [ops.amax(ops.relu(layer(vectors)), 2) for layer in self.filters]
        return self.head(self.dropout(ops.concat(largest, 1)))


class BagOfWords(nn.Module):
    """The sum of a weight for each word and class."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Embedding(words, classes, padding_idx=0)

    def forward(self, numbers):
        return ops.sum(self.weights(numbers), 1)


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, for a test")
    quick = parser.parse_args().quick
    cc.manual_seed(0)
    texts, y = commands(1500 if quick else 4000, 0)
    new_texts, new_y = commands(1000, 1)
    tokenizer = data.Tokenizer().fit(texts)
    x, new_x = tokenizer(texts, length=16), tokenizer(new_texts, length=16)

    figures = {}
    for name, model in (
        ("bag of words", BagOfWords(len(tokenizer), 2)),
        ("text CNN", TextCNN(len(tokenizer), 2)),
    ):
        trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=3e-3))
        trainer.fit(x, y, epochs=8 if quick else 10, batch_size=64, verbose=0)
        figures[name] = trainer.evaluate(new_x, new_y)["accuracy"]
        print(f"{name:14} {figures[name]:.1%} of new texts")
    text = "please open the valve but first check the door"
    first = trainer.predict_classes(tokenizer([text], length=16))[0]
    print(f"{text!r}: the {'door' if first else 'valve'} first")
    return figures


if __name__ == "__main__":
    main()
