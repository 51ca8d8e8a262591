"""Measure the speed of training and prediction against peers, and write speed.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python speed.py --page speed.rst

It needs timm, torchvision, vit-pytorch and skorch beside the package's dependencies.
What is compared takes turns, each in a process of its own; ratios are medians over the
rounds. "Compiled" needs what torch.compile does, a C++ compiler. For CUDA devices there
is accelerator.py. Without --page the tables are printed.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from _apart import apart
from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _contest import (
    SIZES,
    draw_images,
    find_device,
    list_contests,
    make_classifier,
    make_training,
    to_float,
)
from _cost import count_flops
from _peers import make_skorch, make_timm
from _targets import Target
from _turns import ratio, run_alternating

WIDE = {"A", "D", "E"}
REDUCED, PLAIN = "bfloat16", "float32"
LATENCY_ROUNDS = 100
_PRODUCTS = 2e11  # operations at a time, enough for cores to reach their pace


def by_width(wide, narrow):
    """Targets of the configurations of width 192 and up, and of the others."""
    return {name: wide if name in WIDE else narrow for name in SIZES}


SKORCH = by_width(Target(1.8, 2.2), Target(1.7, 2.2))
LOOP = by_width(Target(1.7, 2.0), Target(1.5, 2.0)) | {
    "B 512": Target(1.7, 2.0),
    "C 512": Target(1.7, 2.0),
}
AUTOCAST = by_width(Target(1.4, 1.8), Target(1.4, 1.8))
SAME = by_width(Target(1.0, 1.1), Target(1.2, 1.4))
# label, what is slower, what is faster, targets
RATIOS = (
    ("skorch + timm, float32", f"skorch + timm {PLAIN}", "ours", SKORCH),
    ("skorch + vit-pytorch, float32", f"skorch + vit-pytorch {PLAIN}", "ours", SKORCH),
    ("loop + timm, float32", f"loop + timm {PLAIN}", "ours", LOOP),
    ("skorch + timm, bfloat16", f"skorch + timm {REDUCED}", "ours", AUTOCAST),
    (
        "skorch + vit-pytorch, bfloat16",
        f"skorch + vit-pytorch {REDUCED}",
        "ours",
        AUTOCAST,
    ),
    ("loop + timm, bfloat16", f"loop + timm {REDUCED}", "ours", AUTOCAST),
    (
        "skorch + vit-pytorch, bfloat16; ours compiled",
        f"skorch + vit-pytorch {REDUCED}",
        "ours compiled",
        AUTOCAST,
    ),
    ("skorch + timm, all float32", f"skorch + timm {PLAIN}", "ours float32", SAME),
    (
        "skorch + vit-pytorch, all float32",
        f"skorch + vit-pytorch {PLAIN}",
        "ours float32",
        SAME,
    ),
    ("loop + timm, all float32", f"loop + timm {PLAIN}", "ours float32", SAME),
)
OVERHEAD = by_width(Target(0.03, 0.01), Target(0.08, 0.04))
PRODUCTS = by_width(Target(0.70, 0.80), Target(0.35, 0.50))
PREDICTION, LATENCY = Target(1.7, 2.5), Target(1.3, 1.1)


def training_flops(module, size):
    """Operations of one training step for one image: three times the forward pass."""
    image = torch.empty(1, size.channels, size.side, size.side, device=find_device())
    with torch.no_grad():
        return 3 * sum(count_flops(lambda: module.forward_features(image)))


def products_flops(size):
    """Operations of a training step in the blocks' linear maps, by `make_products`."""
    return sum(6 * m * n * k for m, n, k in product_shapes(size))


def product_shapes(size):
    """Rows, inputs and outputs of the linear maps of one block."""
    tokens = (size.side // size.patch) ** 2 + 1
    maps = ((1, 3), (1, 1), (1, 4), (4, 1))
    width = size.width
    return [(size.batch * tokens, width * i, width * o) for i, o in maps]


def make_products(size, precision):
    """Return a call that times a block's products, there and back."""
    device, dtype = find_device(), getattr(torch, precision)
    operands = []
    for rows, inputs, outputs in product_shapes(size):
        shapes = (rows, inputs), (outputs, inputs), (rows, outputs)
        operands.append([torch.ones(s, dtype=dtype, device=device) for s in shapes])
    repeats = max(1, int(_PRODUCTS // products_flops(size)))

    @torch.inference_mode()
    def multiply():
        for _ in range(repeats):
            for x, weight, gradient in operands:
                F.linear(x, weight)
                torch.mm(gradient, weight)
                torch.mm(gradient.T, x)

    return lambda: seconds_of(multiply) / repeats


def measure_training(size):
    """Return columns of the training tables for one configuration."""
    X, y = draw_images(size, size.batch)
    _, precision, module = make_classifier(size).fit(X, y)._runtime_on_device()
    ratios, seconds = {}, {}
    for names in list_contests():
        makers = {n: partial(make_training, n, size) for n in names}
        makers["products"] = partial(make_products, size, precision)
        with apart(makers) as contest:
            taken = run_alternating(contest, size.rounds)
        ratios |= ratios_of(taken)
        seconds = taken | seconds  # where both tell, the first
    pace = size.n_images / median(seconds["ours"])
    rate = products_flops(size) / median(seconds["products"])
    return {
        "precision": precision,
        "pace": pace,
        "rate": rate,
        "share": pace * training_flops(module, size) / rate,
        "overhead": ratio(seconds["ours"], seconds["bare"]) - 1,
        "ratios": ratios,
    }


def ratios_of(seconds):
    """Return the ratios that one contest tells, by label."""
    return {
        label: ratio(seconds[slow], seconds[fast])
        for label, slow, fast, _ in RATIOS
        if slow in seconds and fast in seconds
    }


def training_table(measured):
    """Ratios against the peers, by configuration."""
    rows = []
    for label, _, _, targets in RATIOS:
        cells = [
            targets[name].cell(column["ratios"][label])
            for name, column in measured.items()
            if label in column["ratios"]
        ]
        if cells:
            rows.append((label, *cells))
    return rst_table(("against", *measured), rows)


def machine_table(measured):
    """Speed in itself, and against what the machine can do."""
    rows = [
        ("precision", *(m["precision"] for m in measured.values())),
        ("images per second", *(f"{m['pace']:.0f}" for m in measured.values())),
        ("products, GFLOP/s", *(f"{m['rate'] / 1e9:.0f}" for m in measured.values())),
        (
            "share of that rate",
            *(PRODUCTS[name].cell(m["share"], "%") for name, m in measured.items()),
        ),
        (
            "overhead over the bare step",
            *(OVERHEAD[name].cell(m["overhead"], "%") for name, m in measured.items()),
        ),
    ]
    return rst_table(("", *measured), rows)


def make_prediction(name, size):
    """Return a call that predicts many images or one, and returns its seconds."""
    torch.manual_seed(0)
    X, y = draw_images(size, max(64, size.n_images // 2))
    floats, first = to_float(X), slice(0, size.batch)
    if name == "skorch":
        net = make_skorch(make_timm(size), size.batch, find_device()).initialize()
        net.partial_fit(floats[first], y[first])
        return lambda: seconds_of(lambda: net.predict_proba(floats))
    clf = make_classifier(size).fit(X[first], y[first])
    if name == "ours":
        return lambda: seconds_of(lambda: clf.predict_proba(X))
    if name == "ours, one image":
        return lambda: seconds_of(lambda: clf.predict_proba(X[:1]))
    device, precision, module = clf._runtime_on_device()
    image = torch.from_numpy(floats[:1]).to(device)
    enabled = precision == "bfloat16"

    @torch.inference_mode()
    def predict_bare():
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            module(image).cpu()

    return lambda: seconds_of(predict_bare)


def measure_prediction(size, rounds):
    """Return throughput against skorch with timm, and latency against the module."""
    results = []
    for names, times in (
        (("ours", "skorch"), rounds),
        (("ours, one image", "bare, one image"), LATENCY_ROUNDS),
    ):
        with apart({n: partial(make_prediction, n, size) for n in names}) as calls:
            results.append(run_alternating(calls, times).values())
    (many, peers), (one, bare) = results
    n_images = max(64, size.n_images // 2)
    pace, latency = n_images / median(many), 1e3 * median(one)
    return pace, ratio(peers, many), latency, ratio(one, bare)


def prediction_table(measured):
    """Throughput and latency by configuration."""
    paces, ratios, latencies, excesses = zip(*measured.values(), strict=True)
    rows = [
        ("images per second", *(f"{pace:.0f}" for pace in paces)),
        ("against skorch + timm, float32", *map(PREDICTION.cell, ratios)),
        ("one image, ms", *(f"{latency:.2f}" for latency in latencies)),
        ("against the bare module", *map(LATENCY.cell, excesses)),
    ]
    return rst_table(("", *measured), rows)


def shorten(size):
    """The configuration with as little measuring as shows that it works."""
    n_batches = max(1, size.n_batches // 8)
    return replace(size, n_batches=n_batches, rounds=1)


def measure_one(name, quick):
    """Return the columns of a configuration in the tables."""
    size = shorten(SIZES[name]) if quick else SIZES[name]
    training = measure_training(size)
    prediction = measure_prediction(size, size.rounds)
    return {"name": name, "training": training, "prediction": prediction}


def measure(names, quick=False, log=None):
    """Yield the name of each section of the page, and its text.

    What the file `log` holds, one JSON object to a line, is not measured again.
    """
    log = Path(log) if log else None
    known = log and log.exists()
    lines = log.read_text(encoding="utf-8").splitlines() if known else []
    columns = {column["name"]: column for column in map(json.loads, lines)}
    for name in names:
        if name not in columns:
            columns[name] = measure_one(name, quick)
            line = json.dumps(columns[name], default=float)
            print(line, flush=True)
            if log:
                with log.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    training, prediction = (
        {name: columns[name][table] for name in names}
        for table in ("training", "prediction")
    )
    yield "training", training_table(training)
    yield "machine", machine_table(training)
    yield "prediction", prediction_table(prediction)
    yield "setting", f"Measured on {describe_machine()}, commit {describe_commit()}."


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose tables are to be written")
    parser.add_argument(
        "--configurations", nargs="+", choices=SIZES, default=list(SIZES)
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--log", help="file of finished configurations, to go on from")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    sections = dict(measure(asked.configurations, asked.quick, asked.log))
    for text in sections.values():
        print(text, end="\n\n")
    if asked.page:
        update_page(asked.page, sections)


if __name__ == "__main__":
    main()
