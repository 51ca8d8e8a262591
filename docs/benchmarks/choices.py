"""What each choice of the default estimator is worth, and the table of small_data.rst.

    cd docs/benchmarks
    python choices.py --data PATH --page ../guide/small_data.rst

Each row changes one setting of the default estimator. Trained on the first images of
CIFAR-10's training set, judged on others of the *training* set: test images stay
unseen, so that choices can be made by this table.
"""

import argparse
import time
from statistics import mean

from _cifar10 import HELP, load_cifar10
from _common import describe_commit, describe_machine, rst_table, update_page

from skvit import Architecture, Recipe, ViTClassifier

FIRST_JUDGED = 40_000  # of the training images, far from those that are trained on
N_JUDGED = 10_000
CHOICES = {
    "default": {},
    'optimizer="adamw"': {"optimizer": "adamw"},
    "filters drawn, not whitened": {"architecture": Architecture(whiten=False)},
    'patch_embed="linear"': {"architecture": Architecture(patch_embed="linear")},
    'patch_embed="shifted"': {"architecture": Architecture(patch_embed="shifted")},
    'init="jax"': {"architecture": Architecture(init="jax")},
    'init="mimetic"': {"architecture": Architecture(init="mimetic")},
    'pool="mean"': {"pool": "mean"},
    'pool="token"': {"pool": "token"},
    'pos_embed="none"': {"pos_embed": "none"},
    'pos_embed="rope"': {"pos_embed": "rope"},
    'pos_bias="none"': {"architecture": Architecture(pos_bias="none")},
    "four heads": {"num_heads": 4},
    "depth=2": {"depth": 2},
    "stem_width=64": {"architecture": Architecture(stem_width=64)},
    "embed_dim=96": {"embed_dim": 96},
    "all patches": {"architecture": Architecture(patch_drop_rate=0.0)},
    "augment=None": {"augment": None},
    'augment="light"': {"augment": "light"},
    "five views in prediction": {"recipe": Recipe(test_views=5)},
}


def measure(data, names, seeds):
    """Yield rows: choice, mean accuracy, lowest and highest, CPU-seconds of a fit."""
    X, y, X_judged, y_judged = data
    for name in names:
        scores, seconds = [], []
        for seed in range(seeds):
            clf = ViTClassifier(random_state=seed, **CHOICES[name])
            start = time.process_time()
            clf.fit(X, y)
            seconds.append(time.process_time() - start)
            scores.append(clf.score(X_judged, y_judged))
        spread = f"{min(scores):.3f} to {max(scores):.3f}" if seeds > 1 else ""
        row = name, f"{mean(scores):.3f}", spread, f"{mean(seconds):.0f}"
        print(*row, sep="  ", flush=True)
        yield row


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help=HELP)
    parser.add_argument("--size", type=int, default=1000, help="training images")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--names", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--page", help="page whose table is to be written")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    X, y = load_cifar10(asked.data)
    judged = slice(FIRST_JUDGED, FIRST_JUDGED + N_JUDGED)
    data = X[: asked.size], y[: asked.size], X[judged], y[judged]
    header = "choice", "accuracy", "range", "seconds"
    table = rst_table(header, list(measure(data, asked.names, asked.seeds)))
    plural = "s" * (asked.seeds > 1)
    size = f"{asked.size} images, {asked.seeds} seed{plural}"
    machine = f"{size}; measured on {describe_machine()}, commit {describe_commit()}."
    text = f"{table}\n\n{machine}"
    print(text)
    if asked.page:
        update_page(asked.page, {"choices": text})


if __name__ == "__main__":
    main()
