"""Measure how cost grows with images, depth and length, and write growth.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python growth.py --page growth.rst

Times are those of an epoch of training, memory is the peak of one update in a process
of its own. It needs Linux and none of the peers. Without --page the tables are printed.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from _anonymous import anonymous_bytes, peak_above, run_apart
from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _contest import Size, draw_images, make_classifier, train_ours
from _cost import exponent
from _targets import Target
from _turns import ratio, run_alternating

from skvit.nn import attention_weights

PATCH = 4
BASE = Size(32, 3, PATCH, 64, 2, 2, batch=64, n_batches=8, rounds=3)
IMAGES = (256, 512, 1024, 2048, 4096)
DEPTHS = (1, 2, 4, 8, 16)
LENGTHS = (16, 36, 64, 144, 256, 576, 1024)
BATCH_OF_MEMORY = 32
TOKENS_OF_EPOCH = 2**15  # in the epochs that are timed by the length of sequences
LINEAR = Target(1.1, 1.0)
HEADS, HEAD_DIM = 4, 32
TOKENS_OF_CROSSOVER = 2**13
FORMS = {
    "explicit": lambda q, k, v: attention_weights(q, k) @ v,
    "fused": F.scaled_dot_product_attention,
}


def with_length(length, batch=BASE.batch):
    """A configuration whose images have so many patches."""
    n_batches = max(1, TOKENS_OF_EPOCH // (batch * length))
    side = PATCH * round(length**0.5)
    return replace(BASE, side=side, batch=batch, n_batches=n_batches)


def epoch_seconds(sizes):
    """Median seconds of an epoch of each configuration, by its key."""
    calls = {key: train_ours(size, *draw_images(size)) for key, size in sizes.items()}
    seconds = run_alternating(calls, BASE.rounds)
    return {key: median(taken) for key, taken in seconds.items()}


def peak_of_update(length):
    """Bytes that one update needs at most in this process, above what is there."""
    size = replace(with_length(length, BATCH_OF_MEMORY), n_batches=1)
    small = replace(with_length(LENGTHS[0], 1), n_batches=1)
    make_classifier(small).fit(*draw_images(small, 2))  # what any training loads
    X, y = draw_images(size)
    clf = make_classifier(size)
    return peak_above(anonymous_bytes(), lambda: clf.fit(X, y))


def measure_growth(images, depths, lengths):
    """Yield what grows, its amounts, and what they cost."""
    times = {
        "images": {n: replace(BASE, n_batches=n // BASE.batch) for n in images},
        "depth": {depth: replace(BASE, depth=depth) for depth in depths},
        "length": {length: with_length(length) for length in lengths},
    }
    for name, sizes in times.items():
        seconds = epoch_seconds(sizes)
        per_image = {
            key: 1e3 * taken / (1 if name == "images" else sizes[key].n_images)
            for key, taken in seconds.items()
        }
        yield name, "ms" if name == "images" else "ms for an image", per_image
    peaks = {length: run_apart(__file__, length) / 2**20 for length in lengths}
    yield "length", f"MiB for {BATCH_OF_MEMORY} images", peaks


def growth_table(measured):
    """One row for each kind of cost, with the fitted exponent."""
    rows = []
    for name, unit, costs in measured:
        slope = exponent(list(costs), list(costs.values()))
        pairs = ", ".join(f"{key}: {cost:.3g}" for key, cost in costs.items())
        shown = LINEAR.cell(slope, "") if unit.startswith("MiB") else f"{slope:.2f}"
        rows.append((name, unit, pairs, shown))
    return rst_table(("of", "cost", "measured", "exponent"), rows)


def time_forms(length, dtype, rounds):
    """Seconds of attention with its gradients, computed in each form."""
    batch = max(1, TOKENS_OF_CROSSOVER // length)
    generator = torch.Generator().manual_seed(0)
    shape = (3, batch, HEADS, length, HEAD_DIM)
    inputs = torch.randn(shape, generator=generator).to(dtype).requires_grad_()

    def differentiate(form):
        inputs.grad = None
        form(*inputs.unbind(0)).sum().backward()

    calls = {
        name: partial(seconds_of, partial(differentiate, form))
        for name, form in FORMS.items()
    }
    return run_alternating(calls, rounds)


def crossover_table(lengths, rounds):
    """Time of fused attention over that of explicit, by length and type."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        ratios = (
            ratio(seconds["fused"], seconds["explicit"])
            for seconds in (time_forms(length, dtype, rounds) for length in lengths)
        )
        name = str(dtype).removeprefix("torch.")
        rows.append((name, *(f"{value:.2f}" for value in ratios)))
    return rst_table(("tokens", *lengths), rows)


def measure(quick=False):
    """Yield the name of each section of the page, and its text."""
    count = 3 if quick else None
    amounts = (values[:count] for values in (IMAGES, DEPTHS, LENGTHS))
    yield "growth", growth_table(list(measure_growth(*amounts)))
    yield "crossover", crossover_table(LENGTHS[:count], 1 if quick else 5)
    yield "setting", f"Measured on {describe_machine()}, commit {describe_commit()}."


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose tables are to be written")
    parser.add_argument("--quick", action="store_true", help="the smallest amounts")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    if asked.child:
        print(json.dumps(peak_of_update(asked.child)))
        return
    for name, text in measure(asked.quick):
        print(text, end="\n\n", flush=True)
        if asked.page:
            update_page(asked.page, {name: text})


if __name__ == "__main__":
    main()
