"""Compare the default estimator with what people try, and write accuracy.rst.

    cd docs/benchmarks
    python accuracy.py digits --page accuracy.rst
    python accuracy.py cifar10 --data PATH --sizes 1000 5000 --page accuracy.rst

The environment must also hold vit-pytorch. Every test image is looked at once by each
trained estimator; nothing is chosen by it.
"""

import argparse
import time
from statistics import mean, stdev

import numpy as np
from _cifar10 import HELP, load_cifar10, split
from _common import describe_machine, rst_table, update_page
from _rivals import make_rivals
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier

N_TEST = 2000
HEADER = "images", "estimator", "accuracy", "spread", "seconds"


def digits_splits(seeds):
    """Yield a seed and its stratified split of scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    for seed in range(seeds):
        parts = train_test_split(X.reshape(-1, 8, 8), y, stratify=y, random_state=seed)
        X_train, X_test, y_train, y_test = parts
        yield seed, (X_train, y_train, X_test, y_test)


def cifar_splits(path, n_train, seeds):
    """Yield a seed and the first images of the training and of the test set."""
    X, y = load_cifar10(path)
    X_test, y_test = X[-10_000:][:N_TEST], y[-10_000:][:N_TEST]
    X_train, y_train, *_ = split(X, y, n_train, N_TEST)
    for seed in range(seeds):
        yield seed, (X_train, y_train, X_test, y_test)


def chosen_augmentation(X, y):
    """Return the variations that the default estimator chooses for a set."""
    return ViTClassifier(max_epochs=1, random_state=0).fit(X, y).recipe_.augment


def measure(splits, names):
    """Return accuracies and seconds by estimator, one of each for every split."""
    results = {}
    for seed, (X_train, y_train, X_test, y_test) in splits:
        rivals = make_rivals(chosen_augmentation(X_train, y_train), seed)
        for name in names or rivals:
            start = time.perf_counter()
            clf = rivals[name].fit(X_train, y_train)
            seconds = time.perf_counter() - start
            accuracy = float(np.mean(clf.predict(X_test) == y_test))
            results.setdefault(name, []).append((accuracy, seconds))
            print(f"{seed} {name}: {accuracy:.4f} in {seconds:.1f} s", flush=True)
    return results


def to_rows(n_train, results):
    """Rows of the table: mean, standard deviation over seeds, seconds of a fit."""
    for name, runs in results.items():
        accuracies, seconds = zip(*runs, strict=True)
        spread = stdev(accuracies) if len(runs) > 1 else 0.0
        cells = f"{mean(accuracies):.4f}", f"{spread:.4f}", f"{mean(seconds):.1f}"
        yield (n_train, name, *cells)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=["digits", "cifar10"])
    parser.add_argument("--data", help=HELP)
    parser.add_argument("--sizes", type=int, nargs="+", default=(1000, 5000, 20_000))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--names", nargs="+", help="estimators; default: all")
    parser.add_argument("--page", help="page whose tables are to be written")
    asked = parser.parse_args(arguments)
    if asked.set == "cifar10" and not asked.data:
        parser.error("cifar10 needs --data: " + HELP)
    return asked


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    if asked.set == "digits":
        rows = list(to_rows(1347, measure(digits_splits(asked.seeds), asked.names)))
    else:
        rows = []
        for n_train in asked.sizes:
            splits = cifar_splits(asked.data, n_train, asked.seeds)
            rows += to_rows(n_train, measure(splits, asked.names))
    machine = f"{describe_machine()}; {asked.seeds} seeds."
    text = f"{rst_table(HEADER, rows)}\n\nMeasured on {machine}"
    print(text)
    if asked.page:
        update_page(asked.page, {asked.set: text})


if __name__ == "__main__":
    main()
