"""Try everyday calls on three classifiers and print the README's table of them."""

import os

# Read when SciPy is first imported; without it one of the checks is skipped.
os.environ["SCIPY_ARRAY_API"] = "1"

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import check_estimator
from skorch import NeuralNetClassifier

from skvit import ViTClassifier

X, y = load_digits(return_X_y=True)
X, y = X[:300], y[:300]
NAMES = np.array([f"digit {i}" for i in range(10)])


class Perceptron(torch.nn.Sequential):
    """A module as one would write it for skorch."""

    def __init__(self):
        super().__init__(
            torch.nn.Flatten(),
            torch.nn.LazyLinear(64),
            torch.nn.ReLU(),
            torch.nn.LazyLinear(10),
        )


CLASSIFIERS = {
    "skvit": ViTClassifier(),
    "skorch": NeuralNetClassifier(
        Perceptron, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, verbose=0
    ),
    "MLPClassifier": MLPClassifier(),
}
# Plain skorch takes only float32; give it what it takes where the row is about
# something else.
FLOAT = X.astype(np.float32)


def fits(classifier, X=FLOAT, y=y, **kwargs):
    """Fit, and predict the kind of labels that came."""
    return set(classifier.fit(X, y, **kwargs).predict(X)) <= set(y)


def refuses(classifier, wrong):
    """Fit well, then meet wrong input with an error and not with predictions."""
    classifier.fit(FLOAT, y)
    try:
        classifier.predict_proba(wrong)
    except ValueError:
        return True
    return False


def repeats(classifier):
    """Fit twice with one seed to equal probabilities."""
    classifier.set_params(random_state=0)
    first, second = (clone(classifier).fit(FLOAT, y) for _ in range(2))
    return np.array_equal(first.predict_proba(FLOAT), second.predict_proba(FLOAT))


def leaves_generators_alone(classifier):
    """Fit without moving the global generators of NumPy and PyTorch."""
    if "random_state" in classifier.get_params():
        classifier.set_params(random_state=0)
    classifier.fit(FLOAT, y)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one
    clone(classifier).fit(FLOAT, y)
    after = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002 - the global one
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def survives_pickling(classifier):
    """Predict the same after a round trip."""
    copy = pickle.loads(pickle.dumps(classifier.fit(FLOAT, y)))
    return np.array_equal(copy.predict_proba(FLOAT), classifier.predict_proba(FLOAT))


def stops_early(classifier):
    """Take early stopping as a parameter."""
    return fits(classifier.set_params(early_stopping=True))


def balances(classifier):
    """Take class weights as a parameter."""
    return fits(classifier.set_params(class_weight="balanced"))


def boosts(classifier):
    """Serve as the base of AdaBoost."""
    return fits(AdaBoostClassifier(classifier, n_estimators=2))


def runs_checks(classifier):
    """Count what passes of those checks of scikit-learn that apply."""
    results = check_estimator(classifier, on_fail=None, on_skip=None)
    statuses = [result["status"] for result in results]
    return f"{statuses.count('passed')} of {len(statuses) - statuses.count('skipped')}"


ROWS = {
    "image arrays (n, 8, 8)": partial(fits, X=FLOAT.reshape(-1, 8, 8)),
    "float64 rows": partial(fits, X=X),
    "uint8 rows": partial(fits, X=X.astype(np.uint8)),
    "a data frame of pixels": partial(fits, X=pd.DataFrame(X).add_prefix("pixel")),
    "nested lists": partial(fits, X=X.tolist()),
    "string labels": partial(fits, y=NAMES[y]),
    "labels from 1 to 10": partial(fits, y=y + 1),
    "`fit(sample_weight=)`": partial(fits, sample_weight=np.ones(len(y))),
    '`class_weight="balanced"`': balances,
    "`early_stopping=True`": stops_early,
    "NaN is refused": partial(refuses, wrong=np.full_like(FLOAT, np.nan)),
    "same `random_state`, same result": repeats,
    "global random generators left alone": leaves_generators_alone,
    "pickled and read back": survives_pickling,
    "base of `AdaBoostClassifier`": boosts,
    "checks of `check_estimator` passed": runs_checks,
}


def outcome(trial, classifier):
    """Yes, no, or what the trial counted; an error is a no."""
    try:
        result = trial(clone(classifier))
    except Exception:
        return "no"
    return result if isinstance(result, str) else ("yes" if result else "no")


def main():
    """Print the table in Markdown."""
    warnings.simplefilter("ignore")
    print("|", *CLASSIFIERS, sep=" | ", end=" |\n")
    print("|---" * (len(CLASSIFIERS) + 1), end="|\n")
    for row, trial in ROWS.items():
        cells = [outcome(trial, classifier) for classifier in CLASSIFIERS.values()]
        print("|", row, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
