"""Measure what looking inside costs: maps of 100 images, in times of their prediction.

    cd docs/benchmarks
    python inspection.py

Predictions may run in bfloat16, where the processor is faster in it; maps are always
exact. Each map takes turns with the prediction, and ratios are medians over the turns,
so that other work on the machine slows both.
"""

import argparse
from functools import partial
from statistics import median

import numpy as np
from _common import describe_machine, rst_table, seconds_of
from sklearn.datasets import load_digits

from skvit import ViTClassifier
from skvit.inspection import (
    attention_maps,
    attention_relevance,
    attention_rollout,
    occlusion_map,
)

N_IMAGES = 100
MAPS = {
    "``attention_maps(layers=-1)``": partial(attention_maps, layers=-1),
    "``attention_maps()``": attention_maps,
    "``attention_rollout()``": attention_rollout,
    "``attention_rollout(discard_ratio=0.9)``": partial(
        attention_rollout, discard_ratio=0.9
    ),
    "``attention_rollout(upsample=True)``": partial(attention_rollout, upsample=True),
    "``attention_rollout(discard_ratio=0.9, upsample=True)``": partial(
        attention_rollout, discard_ratio=0.9, upsample=True
    ),
    "``attention_relevance()``": attention_relevance,
    "``occlusion_map()``": occlusion_map,
}


def samples():
    """Images by name, with labels; what is on them does not change the cost."""
    digits = load_digits()
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    return {
        "digits": (digits.images[:200], digits.target[:200]),
        "32 x 32 in colour": (noise, np.arange(200) % 10),
    }


def ratio(compute, clf, X, turns):
    """Median of the time of a map over that of the prediction next to it."""
    compute(clf, X)
    clf.predict_proba(X)
    return median(
        seconds_of(lambda: compute(clf, X)) / seconds_of(lambda: clf.predict_proba(X))
        for _ in range(turns)
    )


def cost_table(turns=9):
    """Ratios of each map on the default network of each kind of images."""
    data = samples()
    columns = []
    for X, y in data.values():
        clf = ViTClassifier(max_epochs=1, random_state=0).fit(X, y)
        images = X[:N_IMAGES]
        columns.append(
            [
                # Occlusion takes as long as a prediction for each patch.
                ratio(compute, clf, images, 1 if compute is occlusion_map else turns)
                for compute in MAPS.values()
            ]
        )
    rows = [
        (name, *(f"{value:.1f}" for value in values))
        for name, *values in zip(MAPS, *columns, strict=True)
    ]
    return rst_table(("map", *data), rows)


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9, help="of map and prediction")
    asked = parser.parse_args(arguments)
    print(describe_machine(), cost_table(asked.turns), sep="\n\n")


if __name__ == "__main__":
    main()
