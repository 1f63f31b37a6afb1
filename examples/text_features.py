# SPDX-License-Identifier: Apache-2.0
"""What a text CNN adds to TF-IDF and to a table: out-of-fold features.

Reviews are made of products, some of which people like, and of a verdict that another word some places before
may turn around ("hardly a very good ..."). TF-IDF sees which words are there, a convolution also how they
stand. `CNNFeatures` gives the network's opinion as columns that do not know the row they are for.

    python examples/text_features.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from cnncore.sklearn import CNNClassifier, CNNFeatures

GOOD, BAD = ("good", "fine", "great", "useful"), ("bad", "poor", "weak", "useless")
TURNS, FILLERS = ("not", "never", "hardly"), ("really", "very", "such", "all", "that", "the", "a")
COLOURS, KINDS = ("blue", "green", "red", "grey"), ("cup", "pen", "hat", "map")
PRODUCTS = [f"{colour}{kind}" for colour in COLOURS for kind in KINDS]


def reviews(count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts, a table (price, stars of the shop) and whether the customer would buy again."""
    rng = np.random.default_rng(seed)
    liking = np.random.default_rng(1).normal(size=len(PRODUCTS))
    texts, table, labels = [], rng.normal(size=(count, 2)), []
    for row in range(count):
        product, good, turned = rng.integers(len(PRODUCTS)), rng.random() < 0.5, rng.random() < 0.5
        word, turn = str(rng.choice(GOOD if good else BAD)), str(rng.choice(TURNS))
        before, between, behind = (
            [str(filler) for filler in rng.choice(FILLERS, number)] for number in (1, rng.integers(1, 4), 1)
        )
        # A word that turns stands before the verdict; the same word behind it means nothing.
        first, last = (turn, word) if turned else (word, turn)
        verdict = [*before, first, *between, last, *behind]
        texts.append(" ".join(["the", PRODUCTS[product], "is", *verdict]))
        opinion = 2.5 * (1 if good != turned else -1)
        labels.append(opinion + 1.5 * liking[product] + table[row, 0] - table[row, 1] + rng.logistic() > 0)
    return texts, table, np.array(labels)


def main() -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less data, for a test")
    quick = parser.parse_args().quick
    train, test = (1200, 600) if quick else (4000, 4000)
    texts, table, y = reviews(train, 0)
    new_texts, new_table, new_y = reviews(test, 1)

    network = CNNClassifier(epochs=8 if quick else 12)
    features = CNNFeatures(network, cv=3 if quick else 5, method="predict_log_proba", random_state=0)
    words = TfidfVectorizer(ngram_range=(1, 2))
    figures = {}

    alone = make_pipeline(words, LogisticRegression()).fit(texts, y)
    figures["TF-IDF, logistic regression"] = alone.score(new_texts, new_y)
    combined = make_pipeline(make_union(words, features), LogisticRegression()).fit(texts, y)
    figures["TF-IDF and out-of-fold features, logistic regression"] = combined.score(new_texts, new_y)

    boosting = GradientBoostingClassifier(random_state=0)
    figures["table, gradient boosting"] = boosting.fit(table, y).score(new_table, new_y)
    column, new_column = features.fit_transform(texts, y), features.transform(new_texts)
    boosting.fit(np.hstack([table, column]), y)
    joined = np.hstack([new_table, new_column])
    figures["table and out-of-fold features, gradient boosting"] = boosting.score(joined, new_y)
    seen = features.transform(texts)  # by networks of which most know the row: too good to be true
    boosting.fit(np.hstack([table, seen]), y)
    figures["table and features of rows the network knows"] = boosting.score(joined, new_y)

    for name, accuracy in figures.items():
        print(f"{name:56} {accuracy:.1%}")
    return figures


if __name__ == "__main__":
    main()
