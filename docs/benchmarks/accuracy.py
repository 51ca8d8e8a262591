"""Compare the default estimator with what people try, and write accuracy.rst.

    cd docs/benchmarks
    python accuracy.py digits --page accuracy.rst
    python accuracy.py cifar10 --data PATH --log cifar10.jsonl --page accuracy.rst
    python accuracy.py whole --data PATH --page accuracy.rst

"whole" trains the default estimator on all of CIFAR-10, which asks for a GPU. The
environment must also hold vit-pytorch. Every test image is looked at once by each
trained estimator; nothing is chosen by it. Hours can be cut into pieces: what --log
holds is not run again, and each table is made of all that it holds.
"""

import argparse
import json
import time
from collections import defaultdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from _cifar10 import HELP, load_cifar10, split
from _common import describe_commit, describe_machine, rst_table, update_page
from _contest import find_device
from _rivals import make_rivals
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier

N_TEST, N_TRAIN_OF_WHOLE, N_TEST_OF_WHOLE = 2000, 50_000, 10_000
ORDER = list(make_rivals(None, 0))
OURS = [name for name in ORDER if name.startswith("ViTClassifier(")]
# The last mirrors images, which changes digits.
NAMES = {"digits": ORDER[:-1], "cifar10": ORDER, "whole": OURS}
HEADER = "estimator", "seeds", "accuracy", "spread", "seconds"


def digits_splits(seeds):
    """Yield a seed and its stratified split of scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        parts = train_test_split(X.reshape(-1, 8, 8), y, stratify=y, random_state=seed)
        yield seed, parts


def cifar_splits(path, n_train, seeds, n_test=N_TEST):
    """Yield a seed and the first images of the training and of the test set."""
    X, y = load_cifar10(path)
    X_test, y_test = X[-10_000:][:n_test], y[-10_000:][:n_test]
    X_train, y_train, *_ = split(X, y, n_train, n_test)
    for seed in seeds:
        yield seed, (X_train, X_test, y_train, y_test)


def chosen_augmentation(X, y):
    """Return the variations that the default estimator chooses for a set."""
    return ViTClassifier(max_epochs=1, random_state=0).fit(X, y).recipe_.augment


class Log:
    """Runs that are finished, one JSON object to a line of a file if there is one."""

    def __init__(self, path=None):
        self.path = Path(path) if path else None
        known = self.path and self.path.exists()
        lines = self.path.read_text(encoding="utf-8").splitlines() if known else []
        self.runs = [json.loads(line) for line in lines]

    def holds(self, key):
        """Say whether there is a run with these values."""
        return any(key.items() <= run.items() for run in self.runs)

    def add(self, run):
        """Keep a run."""
        self.runs.append(run)
        print(json.dumps(run), flush=True)
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")


def measure(splits, names, log):
    """Fit and judge the named estimators, on every split where the log has not."""
    for seed, parts in splits:
        rivals = make_rivals(chosen_augmentation(parts[0], parts[2]), seed)
        for name in names:
            key = {"images": len(parts[0]), "seed": seed, "name": name}
            key |= {"device": find_device()}
            if not log.holds(key):
                log.add(key | judge(rivals[name], *parts))


def judge(clf, X_train, X_test, y_train, y_test):
    """Return accuracy on the test images, and seconds that fit took.

    On a CPU those of all cores, on an accelerator those of a clock.
    """
    clock = time.process_time if find_device() == "cpu" else time.perf_counter
    start = clock()
    clf.fit(X_train, y_train)
    seconds = clock() - start
    accuracy = float(np.mean(clf.predict(X_test) == y_test))
    where = {"machine": describe_machine(), "commit": describe_commit()}
    return {"accuracy": accuracy, "seconds": seconds} | where


def to_rows(runs):
    """Rows of the table: mean, standard deviation over seeds, seconds of a fit.

    Where some runs were on a CPU and others were not, seconds are those on the CPU.
    """

    def place(run):
        return ORDER.index(run["name"])

    for _, group in groupby(sorted(runs, key=place), place):
        same = list(group)
        by_seed = {run["seed"]: run["accuracy"] for run in same}
        spread = f"{stdev(by_seed.values()):.4f}" if len(by_seed) > 1 else ""
        here = [run["seconds"] for run in same if run["device"] == "cpu"]
        seconds = mean(here or [run["seconds"] for run in same])
        accuracy = f"{mean(by_seed.values()):.4f}"
        cells = len(by_seed), accuracy, spread, f"{seconds:.1f}"
        yield (same[0]["name"], *cells)


def to_sections(name, runs):
    """Text by the name of a set and its number of images."""
    size, sections = itemgetter("images"), {}
    for n_images, group in groupby(sorted(runs, key=size), size):
        alike = list(group)
        table = rst_table(HEADER, list(to_rows(alike)))
        text = f"{table}\n\nMeasured on {describe_settings(alike)}."
        sections[f"{name} {n_images}"] = text
    return sections


def describe_settings(runs):
    """Return each machine and the commits that ran on it."""
    commits = defaultdict(set)
    for run in runs:
        commits[run["machine"]].add(run["commit"])
    return "; ".join(
        f"{machine}, commit{'s' * (len(those) > 1)} {', '.join(sorted(those))}"
        for machine, those in sorted(commits.items())
    )


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=["digits", "cifar10", "whole"])
    parser.add_argument("--data", help=HELP)
    parser.add_argument("--sizes", type=int, nargs="+", default=(1000, 5000, 20_000))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--names", nargs="+", help="estimators; default: all")
    parser.add_argument("--log", help="file of finished runs, to go on from")
    parser.add_argument("--page", help="page whose tables are to be written")
    asked = parser.parse_args(arguments)
    if asked.set != "digits" and not asked.data:
        parser.error(f"{asked.set} needs --data: {HELP}")
    return asked


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    log = Log(asked.log)
    for splits in find_splits(asked):
        measure(splits, asked.names or NAMES[asked.set], log)
    sections = to_sections(asked.set, log.runs)
    print(*sections.values(), sep="\n\n")
    if asked.page:
        update_page(asked.page, sections)


def find_splits(asked):
    """Yield the splits of each number of images that is asked for."""
    if asked.set == "digits":
        yield digits_splits(asked.seeds)
    elif asked.set == "whole":
        sizes = N_TRAIN_OF_WHOLE, asked.seeds, N_TEST_OF_WHOLE
        yield cifar_splits(asked.data, *sizes)
    else:
        for n_train in asked.sizes:
            yield cifar_splits(asked.data, n_train, asked.seeds)


if __name__ == "__main__":
    main()
