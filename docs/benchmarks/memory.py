"""Measure how the peak of memory grows with the number of images; write memory.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python memory.py --page memory.rst

Needs Linux, and timm and skorch for the comparison. Each measurement is a process of
its own, which trains for one epoch and then predicts. Without --page the table is
printed.
"""

import argparse
import json

import numpy as np
import torch
from _anonymous import anonymous_bytes, peak_above, run_apart
from _common import describe_commit, describe_machine, rst_table, update_page
from _contest import Size, draw_images, find_device, make_classifier
from _peers import make_skorch, make_timm
from _targets import Target

SMALL, LARGE = 10_000, 50_000
SIZE = Size(32, 3, 8, 64, 1, 2, 128, n_batches=1, rounds=1)
TARGET = Target(0.15, 0.0)
OURS, PEER = "ours", "skorch + timm"


def to_floats(X):
    """The peers' copy of images in single precision, made without any other."""
    floats = np.empty((len(X), SIZE.channels, SIZE.side, SIZE.side), np.float32)
    for row, image in enumerate(X):
        floats[row] = image.transpose(2, 0, 1)
    floats /= 255
    return floats


def make_calls(who, X, y):
    """Return fit and predict of one of the two."""
    if who == OURS:
        clf = make_classifier(SIZE, warm_start=False)
        return lambda: clf.fit(X, y), lambda: clf.predict_proba(X)
    net = make_skorch(make_timm(SIZE), SIZE.batch, find_device())
    return lambda: net.fit(to_floats(X), y), lambda: net.predict_proba(to_floats(X))


def measure_here(who, n_images):
    """Return the peaks of fit and predict in this process, above images and imports."""
    torch.manual_seed(0)
    X, y = draw_images(SIZE, n_images)
    fit, predict = make_calls(who, X, y)
    start = anonymous_bytes()
    return [peak_above(start, fit), peak_above(start, predict)]


def growth(who, small, large):
    """Bytes of memory per further byte of images, of fit and of predict."""
    peaks = np.array([run_apart(__file__, who, n) for n in (small, large)])
    return (peaks[1] - peaks[0]) / ((large - small) * SIZE.side**2 * SIZE.channels)


def measure(small=SMALL, large=LARGE):
    """Return the table."""
    rows = []
    for who in (OURS, PEER):
        grown = growth(who, small, large)
        print(who, grown, flush=True)
        as_cell = "{:.2f}".format if who == PEER else (lambda x: TARGET.cell(x, ""))
        rows.append((who, *map(as_cell, grown)))
    return rst_table(("", "fit", "predict"), rows)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose table is to be written")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    if asked.child:
        who, n_images = asked.child
        print(json.dumps(measure_here(who, int(n_images))))
        return
    parts = 10 if asked.quick else 1
    table = measure(SMALL // parts, LARGE // parts)
    print(table)
    if asked.page:
        setting = f"Measured on {describe_machine()}, commit {describe_commit()}."
        update_page(asked.page, {"memory": table, "setting": setting})


if __name__ == "__main__":
    main()
