"""Measure the speed of training on a CUDA device, and write accelerator.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python accelerator.py --page accelerator.rst

It needs timm, torchvision and skorch beside the package's dependencies. Trainings
take turns in one process; ratios are medians over the rounds. Compiling takes a minute
for each configuration. Without --page the tables are printed.
"""

import argparse
import time
from dataclasses import replace
from statistics import median

import torch
from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _contest import SIZES, draw_images, make_classifier, make_training
from _targets import Target
from _turns import ratio, run_alternating
from speed import training_flops

# As many batches as real sets of such images have, and one network more.
N_BATCHES = {"A": 40, "B 128": 60, "B 512": 30, "C 128": 60, "C 512": 30}
N_BATCHES |= {"D": 20, "E": 20, "S/16": 4}
GPU_SIZES = SIZES | {"S/16": replace(SIZES["E"], batch=256)}
ROUNDS = 2
SKORCH, LOOP = Target(5.0, 8.0), Target(1.0, 1.2)
CONTESTS = (
    ("ours", "skorch + timm float32", "loop + timm bfloat16"),
    ("ours compiled", "loop + timm compiled"),
)
_SIDE, _REPEATS = 8192, 20


def matrix_rate():
    """Operations a second of large products in bfloat16, the most that can be had."""
    a = torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.bfloat16)

    def multiply():
        for _ in range(_REPEATS):
            a @ a

    multiply()
    seconds = median(seconds_of(multiply) for _ in range(3))
    return 2 * _SIDE**3 * _REPEATS / seconds


def find_size(name):
    """A configuration with as many batches as are worth timing on a GPU."""
    return replace(GPU_SIZES[name], n_batches=N_BATCHES[name], rounds=ROUNDS)


def measure(size, with_compiled=True):
    """Return seconds of an epoch of each training, by name."""
    seconds = {}
    for names in CONTESTS[: 2 if with_compiled else 1]:
        calls = {name: make_training(name, size) for name in names}
        seconds |= run_alternating(calls, size.rounds)
        del calls
        torch.cuda.empty_cache()
    return seconds


def row(name, size, seconds, rate):
    """Cells of a configuration: rates, ratios, utilisation."""
    X, y = draw_images(size, size.batch)
    module = make_classifier(size).fit(X, y)._runtime_on_device()[2]
    operations = training_flops(module, size) * size.n_images
    best = min(median(seconds[own]) for own in seconds if own.startswith("ours"))
    compiled = "ours compiled" in seconds
    return (
        name,
        f"{size.n_images / median(seconds['ours']):,.0f}",
        f"{size.n_images / median(seconds['ours compiled']):,.0f}" if compiled else "",
        SKORCH.cell(ratio(seconds["skorch + timm float32"], seconds["ours"])),
        f"{ratio(seconds['loop + timm bfloat16'], seconds['ours']):.2f}x",
        LOOP.cell(ratio(seconds["loop + timm compiled"], seconds["ours compiled"]))
        if compiled
        else "",
        f"{operations / best / 1e12:.1f}",
        f"{operations / best / rate:.1%}",
    )


HEADER = (
    "name",
    "images/s",
    "compiled",
    "skorch + timm",
    "loop",
    "loop, both compiled",
    "TFLOP/s",
    "utilisation",
)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose tables are to be written")
    names = list(N_BATCHES)
    parser.add_argument("--configurations", nargs="+", choices=names, default=names)
    parser.add_argument("--not-compiled", action="store_true", help="save its minutes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    rate, rows = matrix_rate(), []
    for name in asked.configurations:
        start, size = time.perf_counter(), find_size(name)
        seconds = measure(size, not asked.not_compiled)
        rows.append(row(name, size, seconds, rate))
        print(*rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    machine = f"Measured on {describe_machine()}, commit {describe_commit()}; "
    machine += f"products of {_SIDE} x {_SIDE}: {rate / 1e12:.0f} TFLOP/s."
    sections = {"training": rst_table(HEADER, rows), "setting": machine}
    for text in sections.values():
        print(text, end="\n\n")
    if asked.page:
        update_page(asked.page, sections)


if __name__ == "__main__":
    main()
