"""Measure a grid search against skorch around vit-pytorch, and write grid.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python grid.py --page grid.rst

Both search the same grid on scikit-learn's digits, one after the other, each in two
workers of its own. Without --page the tables are printed.
"""

import argparse
import warnings
from functools import partial

import numpy as np
import torch
from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _contest import Size, make_classifier
from _peers import build_vit_pytorch
from _targets import Target
from joblib.externals.loky import get_reusable_executor
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skvit import ViTClassifier

PATCHES, DEPTHS = (2, 4), (1, 2, 3, 4, 5, 6)
SIZE = Size(8, 1, 2, 64, 4, 2, batch=128, n_batches=1, rounds=1)
EPOCHS, FOLDS, WORKERS = 5, 5, 2
SAME, DEFAULTS = Target(1.7, 2.5), Target(3.0, 6.0)
# vit-pytorch has no defaults for these; its README's example has these numbers.
README_NETWORK = {"dim": 1024, "heads": 16, "mlp_dim": 2048}
SAMPLE = {"patches": (4,), "depths": (1, 2), "folds": 2}


def load_images():
    """Digits as bytes, and as the peers take them."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.uint8).reshape(-1, 8, 8, 1)
    floats = (X.transpose(0, 3, 1, 2).astype(np.float32) - 4.9) / 6
    return X, np.ascontiguousarray(floats), y


def make_plain(**network):
    """A plain skorch classifier of vit-pytorch's network, as skorch comes."""
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    settings = {f"module__{name}": value for name, value in network.items()}
    return NeuralNetClassifier(
        build_vit_pytorch,
        module__image_size=8,
        module__channels=1,
        module__num_classes=10,
        criterion=torch.nn.CrossEntropyLoss,
        verbose=0,
        **settings,
    )


def search(estimator, prefix, X, y, patches, depths, folds):
    """Return a fitted search over patch size and depth."""
    grid = {f"{prefix}patch_size": patches, f"{prefix}depth": depths}
    return GridSearchCV(estimator, grid, cv=folds, n_jobs=WORKERS).fit(X, y)


def same_networks(epochs):
    """Both estimators with the same networks, optimizer, batch and epochs."""
    ours = make_classifier(SIZE, max_epochs=epochs, warm_start=False)
    ours.set_params(recipe__final_rate=1.0)  # skorch keeps its rate
    network = {"dim": SIZE.width, "heads": SIZE.heads, "mlp_dim": 4 * SIZE.width}
    plain = make_plain(dim_head=SIZE.width // SIZE.heads, **network).set_params(
        optimizer=torch.optim.AdamW,
        lr=ours.learning_rate,
        batch_size=SIZE.batch,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
    )
    return ours, plain


def start_workers(estimator, prefix, X, y):
    """Start workers that have imported what the estimator needs, and nothing else."""
    get_reusable_executor().shutdown()
    search(estimator, prefix, X[:200], y[:200], (4,), (1,), 2)


def compare(pair, patches, depths, folds):
    """Return seconds and best score of our search and of the peers'."""
    X, floats, y = load_images()
    results = []
    for estimator, prefix, images in zip(
        pair, ("", "module__"), (X, floats), strict=True
    ):
        found = []
        start_workers(estimator, prefix, images, y)
        grid = (patches, depths, folds)
        run = partial(search, estimator, prefix, images, y, *grid)
        seconds = seconds_of(lambda run=run, found=found: found.append(run()))
        results.append((seconds, found[0].best_score_))
        print(type(estimator).__name__, *results[-1], flush=True)
    return results


def row(label, target, results):
    """A row of the table."""
    (ours, our_score), (peers, peers_score) = results
    seconds = f"{ours:.0f}", f"{peers:.0f}"
    scores = f"{our_score:.3f}", f"{peers_score:.3f}"
    return (label, *seconds, target.cell(peers / ours), *scores)


def measure(defaults, quick=False):
    """Return the table."""
    whole = {"patches": PATCHES, "depths": DEPTHS, "folds": FOLDS}
    same = same_networks(1 if quick else EPOCHS)
    rows = [
        row(
            "same networks and epochs",
            SAME,
            compare(same, **(SAMPLE if quick else whole)),
        )
    ]
    if defaults != "none":
        pair = ViTClassifier(random_state=0), make_plain(**README_NETWORK)
        searched = whole if defaults == "whole" else SAMPLE
        label = f"defaults, {defaults} of the grid"
        rows.append(row(label, DEFAULTS, compare(pair, **searched)))
    header = "", "ours, s", "peers, s", "ratio", "our best score", "peers' best score"
    return rst_table(header, rows)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose table is to be written")
    parser.add_argument(
        "--defaults",
        choices=("sample", "whole", "none"),
        default="sample",
        help="how much of the grid is searched with either's own settings",
    )
    parser.add_argument("--quick", action="store_true", help="one epoch, no defaults")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    warnings.simplefilter("ignore")  # four patches are few, and the grid wants them
    table = measure("none" if asked.quick else asked.defaults, asked.quick)
    print(table)
    if asked.page:
        setting = f"Measured on {describe_machine()}, commit {describe_commit()}."
        update_page(asked.page, {"grid": table, "setting": setting})


if __name__ == "__main__":
    main()
