"""Measure how far maps of a network can be trusted, and write faithfulness.rst.

    cd docs/benchmarks
    python faithfulness.py --page faithfulness.rst --data PATH

Without --data only scikit-learn's digits are used, without --page the tables are only
printed.
"""

import argparse
from statistics import mean, stdev

import numpy as np
from _cifar10 import HELP, NAMES, load_cifar10, split
from _common import describe_commit, describe_machine, rst_table, update_page
from inspection import cost_table
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

N_STEPS = 8
PLAIN = Architecture(patch_embed="linear", pos_bias="none", patch_drop_rate=0.0)
NETWORKS = {
    "ViTClassifier()": {},
    "linear patches": {"architecture": PLAIN},
    "linear patches, class token": {"architecture": PLAIN, "pool": "token"},
}


def attention_of(clf, X, layers):
    """Attention from what stands for the image, averaged over heads and layers."""
    maps = attention_maps(clf, X, layers=layers, queries="pool").mean(axis=(1, 2))
    rows, columns = clf.module_.grid
    return maps[:, -rows * columns :].reshape(len(X), rows, columns)


def centre_first(clf, X):
    """A map that knows nothing: patches nearer to the middle come first."""
    rows, columns = (np.linspace(-1, 1, n) ** 2 for n in clf.module_.grid)
    return np.tile(-(rows[:, None] + columns), (len(X), 1, 1))


METHODS = {
    "attention, last layer": lambda clf, X: attention_of(clf, X, -1),
    "attention, mean of layers": lambda clf, X: attention_of(clf, X, None),
    "rollout, mean of heads": attention_rollout,
    "rollout, max of heads": lambda clf, X: attention_rollout(
        clf, X, head_fusion="max"
    ),
    "rollout, min of heads": lambda clf, X: attention_rollout(
        clf, X, head_fusion="min"
    ),
    "rollout, 90% discarded": lambda clf, X: attention_rollout(
        clf, X, discard_ratio=0.9
    ),
    "relevance": attention_relevance,
    "occlusion": occlusion_map,
    "centre first": centre_first,
}


def measure(clf, X, seed):
    """Areas under the deletion and the insertion curve of each image, by method.

    Random orders, one measured beside each method, are averaged: half of them stand for
    deletion and the others, backwards, for insertion.
    """
    rng = np.random.RandomState(seed)
    options = {"n_steps": N_STEPS, "n_random": 1, "random_state": rng}
    measured, randoms = {}, []
    for name, make in METHODS.items():
        curves = deletion_insertion_curve(clf, X, make(clf, X), **options)
        both = np.stack([curves.deletion, curves.insertion])
        measured[name] = np.trapezoid(both, curves.fraction, axis=2)
        randoms.append(np.trapezoid(curves.random, curves.fraction, axis=1))
    halves = [np.mean(randoms[start::2], axis=0) for start in (0, 1)]
    return measured | {"random order": np.stack(halves)}


def learn(train, test, seeds, n_images, params):
    """Train each network with each seed; return accuracies and areas by name."""
    accuracies, measured = {}, {}
    X, y = test
    for name, choices in NETWORKS.items():
        clfs = [
            ViTClassifier(random_state=seed, **choices, **params).fit(*train)
            for seed in range(seeds)
        ]
        accuracies[name] = [clf.score(X, y) for clf in clfs]
        measured[name] = [
            measure(clf, X[:n_images], seed) for seed, clf in enumerate(clfs)
        ]
    return accuracies, measured


def spread(values):
    """Standard deviation over the seeds, as a string."""
    return f"{stdev(values):.3f}" if len(values) > 1 else "-"


def row(network, name, runs):
    """What one method comes to on one network, over all seeds."""
    deletion, insertion = np.mean([run[name] for run in runs], axis=(0, 2))
    gains = [run[name][1] - run[name][0] for run in runs]
    by_seed = [gain.mean() for gain in gains]
    share = np.mean(np.concatenate(gains) > 0)
    numbers = f"{deletion:.3f}", f"{insertion:.3f}", f"{mean(by_seed):+.3f}"
    return network, name, *numbers, spread(by_seed), f"{share:.0%}"


def tables(accuracies, measured):
    """The table of the accuracies, then that of the methods."""
    rows = [(name, f"{mean(a):.3f}", spread(a)) for name, a in accuracies.items()]
    yield rst_table(("network", "accuracy", "± seeds"), rows)
    rows = [row(name, m, runs) for name, runs in measured.items() for m in runs[0]]
    header = "network", "map", "deletion", "insertion", "gain", "± seeds", "images"
    yield rst_table(header, rows)


def digits():
    """Training and test images of scikit-learn's digits, with their labels."""
    data = load_digits()
    X, X_test, y, y_test = train_test_split(data.images, data.target, random_state=0)
    return (X, y), (X_test, y_test)


def photographs(path, n_train, n_test):
    """Training and test images of CIFAR-10, with their labels."""
    X, y = load_cifar10(path)
    X, y, X_test, y_test = split(X, NAMES[y], n_train, n_test)
    return (X, y), (X_test, y_test)


def describe_run():
    """Where the numbers were measured."""
    return f"Measured on {describe_machine()}, commit {describe_commit()}."


def sections(asked):
    """Yield the name of each section of the page, and its text."""
    yield "cost", f"{describe_run()}\n\n{cost_table()}"
    parts = [("digits", digits(), asked.seeds, {})]
    if asked.data:
        data = photographs(asked.data, asked.train, asked.test)
        params = {"max_epochs": asked.epochs}
        parts.append(("CIFAR-10", data, asked.cifar_seeds, params))
    for name, (train, test), seeds, params in parts:
        text = (
            f"{len(train[0])} training images, {params.get('max_epochs', 'default')} "
            f"epochs, {seeds} seeds; accuracy on {len(test[0])} test images, maps of "
            f"the first {asked.images}. {describe_run()}"
        )
        measured = learn(train, test, seeds, asked.images, params)
        yield name, "\n\n".join([text, *tables(*measured)])


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help=HELP)
    parser.add_argument("--page", help="page whose tables are to be written")
    parser.add_argument("--images", type=int, default=200, help="images with maps")
    parser.add_argument("--seeds", type=int, default=3, help="trainings on digits")
    parser.add_argument("--cifar-seeds", type=int, default=2, help="on CIFAR-10")
    parser.add_argument("--train", type=int, default=5000, help="images of CIFAR-10")
    parser.add_argument("--test", type=int, default=1000, help="images of CIFAR-10")
    parser.add_argument("--epochs", type=int, default=12, help="on CIFAR-10")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    for name, text in sections(asked):
        print(name, text, sep="\n\n", end="\n\n", flush=True)
        if asked.page:
            update_page(asked.page, {name: text})


if __name__ == "__main__":
    main()
