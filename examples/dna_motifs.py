# SPDX-License-Identifier: Apache-2.0
"""A CNN over DNA that tells bound sequences from others, and shows in its filters what it has found.

The sequences are made: random bases, into half of which a motif is planted at a random place, each letter of
it changed now and then. Afterwards, the places that a filter likes best are laid over one another.

    python examples/dna_motifs.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

import cnncore as cc
from cnncore import data, nn, ops, optim

MOTIF, LENGTH, TAPS = "TGACTCAGC", 80, 12


def sequences(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Return sequences, and whether the motif is planted."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("ACGT"), (count, LENGTH))
    labels = np.arange(count) % 2
    for row in np.flatnonzero(labels):
        kept = rng.random(len(MOTIF)) < 0.9
        start = rng.integers(LENGTH - len(MOTIF))
        place = letters[row, start : start + len(MOTIF)]
        place[kept] = np.array(list(MOTIF))[kept]
    return ["".join(row) for row in letters], labels


class Scanner(nn.Module):
    """Filters that move over the sequence, and the best match of each (DeepBind, Alipanahi et al., 2015)."""

    def __init__(self, filters: int = 16) -> None:
        super().__init__()
        self.scan = nn.Conv1d(4, filters, TAPS, padding=TAPS // 2)
        self.head = nn.Linear(filters, 2)

    def forward(self, x):
        return self.head(ops.amax(ops.relu(self.scan(x)), 2))


def found_motif(model: Scanner, x: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the consensus and the shares of bases (4, taps) at the main filter's favourite places."""
    weights = np.asarray(model.head.weight)
    number = int((weights[1] - weights[0]).argmax())
    padded = np.pad(x, ((0, 0), (0, 0), (TAPS // 2, TAPS // 2)))
    response = cc.ops.conv1d(padded, np.asarray(model.scan.weight)[number : number + 1])[:, 0]
    place, best = response.argmax(1), response.max(1)
    rows = np.argsort(best)[-len(x) // 4 :]
    shares = np.mean([padded[row, :, place[row] : place[row] + TAPS] for row in rows], axis=0)
    sure = shares.max(0) > 0.5
    letters = ["ACGT"[base] if known else "." for base, known in zip(shares.argmax(0), sure, strict=True)]
    return "".join(letters), shares


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, for a test")
    quick = parser.parse_args().quick
    cc.manual_seed(0)
    texts, y = sequences(2000 if quick else 6000, 0)
    new_texts, new_y = sequences(1000, 1)
    x, new_x = data.one_hot_sequences(texts), data.one_hot_sequences(new_texts)

    figures: dict[str, float] = {}
    for name, model in (
        ("linear", nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2))),
        ("CNN", Scanner()),
    ):
        trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=5e-3))
        trainer.fit(x, y, epochs=15, batch_size=64, verbose=0)
        figures[name] = trainer.evaluate(new_x, new_y)["accuracy"]
        print(f"{name:7} {figures[name]:.1%} of new sequences")

    consensus, shares = found_motif(model, x)
    matches = max(
        sum(a == b for a, b in zip(MOTIF[max(0, -s) :], consensus[max(0, s) :], strict=False))
        for s in range(-4, TAPS)
    )
    figures["letters found"] = matches
    print(f"planted {MOTIF}, found {consensus}: {matches} of {len(MOTIF)} letters")
    for letter, row in zip("ACGT", shares, strict=True):
        print(letter, " ".join(f"{share:.2f}" for share in row))
    return figures


if __name__ == "__main__":
    main()
