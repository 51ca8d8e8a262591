"""Seventeen things that people do with images every day, here and with plain skorch.

Each begins with what skorch likes best, flat rows of float32 and labels from zero on,
and changes one thing.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, VotingClassifier
from sklearn.model_selection import cross_val_score
from skorch import NeuralNetClassifier

LETTERS = np.array(list("abcdefghij"))


def learns(estimator, X, y):
    """Whether an estimator predicts labels that it was given, better than chance."""
    predicted = np.asarray(estimator.fit(X, y).predict(X))
    known = set(np.unique(np.asarray(y)).tolist())
    is_better = (predicted == np.asarray(y)).mean() > 1.5 / len(known)
    return set(predicted.tolist()) <= known and is_better


def refuses(act, *words):
    """Whether a ValueError that says why is raised."""
    try:
        act()
    except ValueError as error:
        return all(word in str(error) for word in words)
    return False


def pixels_as_columns(make, X, y):
    return learns(make(), pd.DataFrame(X).add_prefix("pixel"), y)


def two_labels_with_a_gap(make, X, y):
    return learns(make(), X, np.where(y < 5, 0, 2))


def weights(make, X, y):
    weighted = make().fit(X, y, sample_weight=np.where(y == 0, 50.0, 1.0)).predict(X)
    return (weighted == 0).sum() > (make().fit(X, y).predict(X) == 0).sum()


def voting(make, X, y):
    return learns(VotingClassifier([("a", make()), ("b", make())]), X, y)


def bagging(make, X, y):
    return learns(BaggingClassifier(make(), n_estimators=2, random_state=0), X, y)


def wrong_number_of_features(make, X, y):
    fitted = make().fit(X, y)
    return refuses(lambda: fitted.predict(X[:, :60]), "60 features", "expecting 64")


def missing_values(make, X, y):
    with_gap = X.copy()
    with_gap[3, 5] = np.nan
    return refuses(lambda: make().fit(with_gap, y), "NaN")


def fitted_twice(make, X, y):
    estimator = make()
    first = estimator.fit(X, y).predict_proba(X)
    return np.array_equal(estimator.fit(X, y).predict_proba(X), first)


def validated_twice(make, X, y):
    first, second = (
        cross_val_score(make(), X, y, cv=2, scoring="neg_log_loss") for _ in range(2)
    )
    return np.array_equal(first, second)


def every_row_is_learned_from(make, X, y):
    fitted = make().fit(X, y)
    if isinstance(fitted, NeuralNetClassifier):
        n_rows = sum(fitted.history[-1, "batches", :, "train_batch_size"])
    else:
        last = fitted.history_.iloc[-1]
        n_rows = round(last["images_per_second"] * last["seconds"])
    return n_rows == len(X)


# Each entry: what is done, and whether plain skorch does it right, or what it raises.
EVERYDAY = {
    "float64": (
        lambda make, X, y: learns(make(), X.astype(np.float64), y),
        RuntimeError("dtype"),
    ),
    "uint8": (
        lambda make, X, y: learns(make(), (X * 16).astype(np.uint8), y),
        RuntimeError("dtype"),
    ),
    "lists": (
        lambda make, X, y: learns(make(), X.tolist(), y.tolist()),
        TypeError("data type"),
    ),
    "a frame of pixels": (pixels_as_columns, TypeError("keyword argument 'pixel0'")),
    "labels that are strings": (
        lambda make, X, y: learns(make(), X, LETTERS[y]),
        TypeError("str_"),
    ),
    "labels from one on": (
        lambda make, X, y: learns(make(), X, y + 1),
        IndexError("out of bounds"),
    ),
    "two labels with a gap": (two_labels_with_a_gap, True),
    "sample weights": (weights, TypeError("argument 'sample_weight'")),
    "AdaBoost": (
        lambda make, X, y: learns(
            AdaBoostClassifier(make(), n_estimators=2, random_state=0), X, y
        ),
        ValueError("doesn't support sample_weight"),
    ),
    "voting": (voting, True),
    "bagging": (bagging, True),
    "calibration": (
        lambda make, X, y: learns(CalibratedClassifierCV(make(), cv=2), X, y),
        True,
    ),
    "another number of features": (wrong_number_of_features, RuntimeError("shapes")),
    "missing values": (missing_values, False),
    "fitted twice": (fitted_twice, False),
    "validated twice": (validated_twice, False),
    "every row is learned from": (every_row_is_learned_from, False),
}


@pytest.fixture(scope="module")
def rows(digits):
    """300 flat rows of float32 between 0 and 1, and their digits."""
    X, y = digits
    return (X[:300].reshape(300, 64) / 16).astype(np.float32), y[:300].copy()


class Linear(torch.nn.Module):
    """Multinomial logistic regression."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, X):
        return self.linear(X)


def plain_skorch():
    return NeuralNetClassifier(
        Linear,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=15,
        verbose=0,
    )


def test_there_are_seventeen():
    assert len(EVERYDAY) == 17
    assert sum(outcome is True for _, outcome in EVERYDAY.values()) == 4


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_input(make_tiny, rows, name):
    act, _ = EVERYDAY[name]

    def make():
        return make_tiny(learning_rate=1e-2, max_epochs=8, batch_size=32, augment=None)

    assert act(make, *rows)


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_input_with_plain_skorch(rows, name):
    act, expected = EVERYDAY[name]
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)  # which no parameter of skorch does
        if isinstance(expected, Exception):
            with pytest.raises(type(expected), match=str(expected)):
                act(plain_skorch, *rows)
        else:
            assert bool(act(plain_skorch, *rows)) == expected
