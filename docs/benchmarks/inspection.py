"""Measure what looking inside costs, and how far to trust what is seen.

Prints, for each way to make a map, the time for 100 images as a multiple of their
prediction (which may be in bfloat16, where maps are always exact), and the areas under
the deletion and the insertion curve beside those of a random order. Without arguments
the data are scikit-learn's digits:

    python docs/benchmarks/inspection.py
    python docs/benchmarks/inspection.py --data cifar10.npz --epochs 12

The file must hold the arrays X_train, y_train, X_test and y_test.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import Architecture, ViTClassifier
from skvit.inspection import (
    attention_maps,
    attention_relevance,
    attention_rollout,
    deletion_insertion_curve,
    occlusion_map,
)

N_IMAGES = 100
N_REPEATS = 7
MAX_SECONDS = 5.0
MODELS = {
    "defaults": {},
    "linear patches, class token": {
        "pool": "token",
        "architecture": Architecture(patch_embed="linear"),
    },
}


def last_attention(clf, X):
    """The last layer's attention from what stands for the image."""
    maps = attention_maps(clf, X, layers=-1, queries="pool").mean(axis=(1, 2))
    grid = clf._config.grid
    return maps[:, -grid[0] * grid[1] :].reshape(len(X), *grid)


METHODS = {
    "attention, last layer": last_attention,
    "attention_rollout": attention_rollout,
    "  head_fusion='max'": lambda clf, X: attention_rollout(clf, X, head_fusion="max"),
    "  discard_ratio=0.9": lambda clf, X: attention_rollout(clf, X, discard_ratio=0.9),
    "attention_relevance": attention_relevance,
    "occlusion_map": occlusion_map,
}


def seconds(function, *args):
    """Best time of several calls, fewer where they are slow; the first warms up."""
    times = []
    while len(times) <= N_REPEATS and sum(times) < MAX_SECONDS:
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)


def load(path):
    """Training images and labels, then those to test on."""
    if path is None:
        digits = load_digits()
        parts = train_test_split(digits.images, digits.target, random_state=0)
        return parts[0], parts[2], parts[1], parts[3]
    file = np.load(path)
    return tuple(file[name] for name in ("X_train", "y_train", "X_test", "y_test"))


def report(clf, X):
    """Print a row for each method."""
    predicting = seconds(clf.predict_proba, X)
    print(f"predict_proba of {len(X)} images: {1000 * predicting:.1f} ms")
    print(f"{'map':24} {'x predict':>9} {'deletion':>9} {'insertion':>9} {'random':>9}")
    for name, method in METHODS.items():
        ratio = seconds(method, clf, X) / predicting
        curves = deletion_insertion_curve(clf, X, method(clf, X), random_state=0)
        areas = (curves.deletion_auc, curves.insertion_auc, curves.random_auc)
        print(f"{name:24} {ratio:9.1f}", *(f"{area:9.3f}" for area in areas))


def main():
    """Fit each model and report on it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="an npz file; the digits if left out")
    parser.add_argument(
        "--epochs", type=int, help="as the estimator chooses if left out"
    )
    arguments = parser.parse_args()
    X_train, y_train, X_test, y_test = load(arguments.data)
    for name, params in MODELS.items():
        clf = ViTClassifier(
            max_epochs=arguments.epochs or "auto", random_state=0, **params
        )
        clf.fit(X_train, y_train)
        print(f"\n{name}: accuracy {clf.score(X_test, y_test):.3f}")
        print(clf.summary().partition("resolved")[0])
        report(clf, X_test[:N_IMAGES])


if __name__ == "__main__":
    main()
