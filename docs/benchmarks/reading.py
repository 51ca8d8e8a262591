"""Measure how fast images are read, and the memory that takes; write reading.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python reading.py --page reading.rst

Needs Linux. Writes JPEG files and an array into a temporary folder, which takes some
gigabytes. What is compared takes turns; what memory is measured of are processes of
their own. Without --page the tables are printed.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import prod
from pathlib import Path
from statistics import median

import numpy as np
from _anonymous import anonymous_bytes, peak_above, run_apart
from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _targets import Target
from _turns import ratio, run_alternating
from PIL import Image

from skvit import Architecture, ImageOptions, ViTClassifier
from skvit._images import ReadOptions
from skvit._images._read import FileReader

BATCH = 256
CHUNK = 64  # files that a thread of the comparison takes at a time
EPOCHS = 40  # at most, without the first, which fills the cache
TRAINED = 30_000  # images of these epochs together
ROUNDS = 5
MIB = 2**20
CACHE = 2 * MIB  # where memory is measured: less than the fewer files take
MAPPED = (64, 64, 3)  # an image of the mapped array
HEADROOM = 192 * MIB  # for training, beyond the data pages of the libraries
RATE = Target(0.8, 1.0)
EPOCH = Target(1.15, 1.0)
N_THREADS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Files:
    """Square photographs to write, and the size to read them at."""

    count: int
    side: int
    size: tuple | None

    def __str__(self):
        """Words for a table."""
        return f"{self.count:,} of {self.side} x {self.side}"


SMALL, LARGE = Files(10_000, 32, None), Files(500, 1024, (64, 64))


def write_files(folder, files):
    """Write smooth colour images of random content; return their paths."""
    rng = np.random.default_rng(0)
    paths = [f"{folder}/{files.side}_{number}.jpg" for number in range(files.count)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((files.side, files.side)).save(path, quality=90)
    return paths


def open_files(paths, size, cache=2**30):
    """Read the heads of all files."""
    return FileReader(paths, "auto", ReadOptions(size=size, cache=cache))


def decode_all(reader):
    """Decode all files by batches."""
    n_files = len(reader.paths)
    for start in range(0, n_files, BATCH):
        reader.read(np.arange(start, min(start + BATCH, n_files)))


def decode_with_pillow(paths, size):
    """Decode all files with as many threads and nothing else."""

    def decode(chunk):
        for path in chunk:
            with Image.open(path) as image:
                if size is not None:
                    image.draft("RGB", (2 * size[1], 2 * size[0]))
                    image = image.resize(size[::-1], Image.Resampling.BILINEAR)
                np.asarray(image)

    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        list(pool.map(decode, chunks))


def rate_row(files, paths, rounds):
    """Rates of decoding, heads and all, and of decoding again without a cache."""
    opened = open_files(paths, files.size, cache=0)
    pillow = partial(decode_with_pillow, paths, files.size)
    seconds = run_alternating(
        {
            "pillow": partial(seconds_of, pillow),
            "first": partial(
                seconds_of, lambda: decode_all(open_files(paths, files.size))
            ),
            "again": partial(seconds_of, partial(decode_all, opened)),
        },
        rounds,
    )
    ratios = [ratio(seconds["pillow"], seconds[name]) for name in ("first", "again")]
    rate = files.count / median(seconds["pillow"])
    return files, f"{rate:,.0f}", *map(RATE.cell, ratios)


def fastest(side, epochs, options=None):
    """Return a classifier of 16 patches that takes little time itself."""
    return ViTClassifier(
        patch_size=side // 4,
        embed_dim=32,
        depth=1,
        augment=None,
        max_epochs=epochs,
        batch_size=BATCH,
        architecture=Architecture(patch_embed="linear", patch_drop_rate=0.0),
        image_options=options,
    )


def epoch_seconds(side, X, y, options=None):
    """Median seconds of an epoch after the first."""
    epochs = 1 + min(EPOCHS, TRAINED // len(y))
    clf = fastest(side, epochs, options).fit(X, y)
    return len(y) / clf.history_["images_per_second"][1:].median()


def epoch_row(files, paths, rounds):
    """Rates of training from an array and from files in the cache."""
    array = open_files(paths, files.size).read(np.arange(files.count))
    means = array.mean(axis=(1, 2, 3))
    y = means > np.median(means)
    options, side = ImageOptions(resize=files.size), array.shape[1]
    seconds = run_alternating(
        {
            "array": partial(epoch_seconds, side, array, y),
            "files": partial(epoch_seconds, side, paths, y, options),
        },
        rounds,
    )
    rates = (f"{files.count / median(times):,.0f}" for times in seconds.values())
    return files, *rates, EPOCH.cell(ratio(seconds["files"], seconds["array"]))


def fit_shortly(side, X, epochs=1, options=None):
    """Train for few epochs."""
    fastest(side, epochs, options).fit(X, np.arange(len(X)) % 2)


def measure_files(folder, count):
    """Peak of anonymous memory, in this process, of training on some of the files.

    However few they are, as many images are seen in all.
    """
    paths = [f"{folder}/{SMALL.side}_{number}.jpg" for number in range(count)]
    options = ImageOptions(cache=CACHE)
    fit = partial(fit_shortly, SMALL.side, options=options)
    fit(paths[: 2 * BATCH])  # loads the libraries
    start = anonymous_bytes()
    return start + peak_above(start, partial(fit, paths, SMALL.count // count))


def data_bytes():
    """Size of the data pages of this process, which RLIMIT_DATA limits."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmData:"))
    return 1024 * int(line.split()[1])


def measure_mapped(folder, headroom):
    """Train here on a mapped array of four times the headroom; return what it took."""
    fit = partial(fit_shortly, MAPPED[0])
    fit(np.zeros((2 * BATCH, *MAPPED), np.uint8))  # loads the libraries
    limit = data_bytes() + headroom
    n_images = 4 * headroom // prod(MAPPED) + 1
    images = np.lib.format.open_memmap(
        f"{folder}/images.npy", "w+", dtype=np.uint8, shape=(n_images, *MAPPED)
    )
    rng = np.random.default_rng(0)
    for start in range(0, n_images, 1000):
        part = images[start : start + 1000]
        part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start, began = anonymous_bytes(), time.perf_counter()
    peak = start + peak_above(start, partial(fit, images))
    seconds = time.perf_counter() - began
    return images.nbytes, headroom, start, peak, seconds


def mapped_row(folder, headroom):
    """What training on a mapped array took, in MiB and seconds."""
    *sizes, seconds = run_apart(__file__, "mapped", folder, headroom)
    return *(f"{size / MIB:,.0f}" for size in sizes), f"{seconds:.0f}"


def files_row(folder, count):
    """Peak of training on some files, in MiB."""
    peak = run_apart(__file__, "files", folder, count)
    return f"{count:,}", f"{peak / MIB:,.1f}"


def measure(folder, files=(SMALL, LARGE), rounds=ROUNDS):
    """Yield the name of each table of the page, and its text."""
    paths = {one: write_files(folder, one) for one in files}
    header = ("files", "Pillow, images/s", "first reading", "again")
    rows = [rate_row(one, paths[one], rounds) for one in files]
    yield "rates", rst_table(header, rows)
    header = ("files", "from an array, images/s", "from files", "seconds, files/array")
    rows = [epoch_row(one, paths[one], rounds) for one in files]
    yield "epochs", rst_table(header, rows)


def measure_memory(folder, count=SMALL.count, headroom=HEADROOM):
    """Yield the name of each table of memory, and its text."""
    rows = [files_row(folder, number) for number in (count // 10, count)]
    yield "files", rst_table(("files", "peak, MiB"), rows)
    header = ("array, MiB", "allowed, MiB", "before, MiB", "peak, MiB", "seconds")
    yield "mapped", rst_table(header, [mapped_row(folder, headroom)])


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose tables are to be written")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run_child(what, folder, number):
    """Print what a process of its own measures."""
    function = {"files": measure_files, "mapped": measure_mapped}[what]
    print(json.dumps(function(folder, int(number))))


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    if asked.child:
        run_child(*asked.child)
        return
    setting = f"Measured on {describe_machine()}, commit {describe_commit()}; "
    setting += f"{N_THREADS} threads decode."
    with tempfile.TemporaryDirectory() as folder:
        rounds = 1 if asked.quick else ROUNDS
        tables = measure(folder, rounds=rounds)
        texts = chain([("setting", setting)], tables, measure_memory(folder))
        for name, text in texts:
            print(text, end="\n\n", flush=True)
            if asked.page:
                update_page(asked.page, {name: text})


if __name__ == "__main__":
    main()
