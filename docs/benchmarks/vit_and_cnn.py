"""Measure what is said of ViTs and CNNs, and write the tables of vit_and_cnn.rst.

    cd docs/benchmarks
    python vit_and_cnn.py --data PATH --page vit_and_cnn.rst

Everything is computed on the CPU. Without --page the tables are only printed.
"""

import argparse
from statistics import mean

import torch
from _cifar10 import HELP, NAMES, load_cifar10, split
from _common import describe_commit, describe_machine, rst_table, update_page
from _cost import SIDES, cost_rows, count_flops, measure_costs
from _learning import ESTIMATOR, NETWORKS, learn_all, training_dtype
from _reach import grid_rows, reach_rows, shuffle_rows

from skvit.nn import VisionTransformer

SIZES = (100, 300, 1000, 3000, 10_000)
N_TEST = 2000
N_WATCHED = 64  # images whose gradients are added up
COMPARED = ("ViT", "CNN", ESTIMATOR)


def measure_learning(data, sizes, seconds, seeds):
    """Return trained networks by number of images and seed, then by name.

    The largest training set gets the seconds, smaller ones less, in proportion to the
    root of their size. The first seed's largest set also trains the network without
    positions.
    """
    X, y, *_ = data
    learners = {}
    for n in sorted(sizes):
        budget = seconds * (n / max(sizes)) ** 0.5
        for seed in range(seeds):
            is_watched = n == max(sizes) and seed == 0
            names = (*NETWORKS, ESTIMATOR) if is_watched else COMPARED
            learners[n, seed] = learn_all(names, X[:n], y[:n], budget, seed)
    return learners


def accuracy_table(learners, X, y):
    """Accuracy of each network by size of the training set, with what it took."""
    rows = []
    for n in sorted({n for n, _ in learners}):
        runs = [run for (size, _), run in learners.items() if size == n]
        for name in COMPARED:
            trained = [run[name] for run in runs]
            accuracy = mean(learner.score(X, y) for learner in trained)
            epochs = mean(learner.epochs for learner in trained)
            seconds = mean(learner.seconds for learner in trained)
            rows.append((n, name, f"{accuracy:.3f}", f"{seconds:.0f}", f"{epochs:.0f}"))
    header = "images", "network", "accuracy", "seconds", "epochs"
    return rst_table(header, rows)


def speed_table(learners, X):
    """Size and pace of each network."""
    rows = []
    for name in COMPARED:
        learner = learners[name]
        image = learner.to_tensor(X[:1])
        with torch.no_grad():
            flops = sum(count_flops(lambda m=learner.module, i=image: m(i)))
        weights = sum(p.numel() for p in learner.module.parameters())
        pace = learner.pace
        rows.append((name, f"{weights:,}", f"{flops / 1e6:.0f}", f"{pace:.1f}"))
    header = "network", "weights", "million operations", "seconds for 1000 images"
    return rst_table(header, rows)


def reach_table(learners, X):
    """What the middle cell of each layer sees."""
    header = "network", "layer", "window", "share of pixels", "gradient from afar"
    return rst_table(header, reach_rows(learners, X))


def shuffle_table(learners, X, y):
    """What becomes of the outputs when patches change places."""
    chosen = {name: learners[name] for name in NETWORKS}
    header = "network", "largest change", "accuracy", "accuracy, shuffled"
    return rst_table(header, shuffle_rows(chosen, X, y))


def grid_table(vit):
    """Similarity of learned positions before and after training."""
    untrained = VisionTransformer(vit.config, torch.Generator().manual_seed(0))
    header = "positions", "of neighbours", "far apart", "rank correlation"
    return rst_table(header, grid_rows({"as drawn": untrained, "trained": vit}))


def cost_table(sides, repeats):
    """Costs by size of the image."""
    header = (
        *("image", "tokens", "attention, Mops", "rest of ViT, Mops", "CNN, Mops"),
        *("attention, ms", "feed-forward, ms", "CNN, ms"),
    )
    return rst_table(header, cost_rows(measure_costs(sides, repeats)))


def machine_text(seeds):
    """Where and how often the numbers were measured."""
    precision = str(training_dtype()).removeprefix("torch.")
    return (
        f"Measured on {describe_machine()}, commit {describe_commit()}.\n"
        f"Training in {precision}; number of seeds that accuracies are averaged over: "
        f"{seeds}."
    )


def measure(data, sizes, seconds, seeds, sides=SIDES, repeats=15):
    """Yield the name of each section of the page, and its text."""
    _, _, X_test, y_test = data
    yield "machine", machine_text(seeds)
    yield "cost", cost_table(sides, repeats)
    learners = measure_learning(data, sizes, seconds, seeds)
    largest = learners[max(sizes), 0]
    yield "reach", reach_table(largest, X_test[:N_WATCHED])
    yield "shuffle", shuffle_table(largest, X_test, y_test)
    yield "speed", speed_table(largest, X_test)
    yield "accuracy", accuracy_table(learners, X_test, y_test)
    yield "grid", grid_table(largest["ViT"].module)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help=HELP)
    parser.add_argument("--page", help="page whose tables are to be written")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="numbers of training images"
    )
    parser.add_argument(
        "--seconds", type=float, default=240, help="of training, for the largest size"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings to average")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    X, y = load_cifar10(asked.data)
    data = split(X, NAMES[y], max(asked.sizes), N_TEST)
    for name, text in measure(data, asked.sizes, asked.seconds, asked.seeds):
        print(text, end="\n\n", flush=True)
        if asked.page:
            update_page(asked.page, {name: text})


if __name__ == "__main__":
    main()
