"""Measure what importing costs, beside scikit-learn and PyTorch; write startup.rst.

    cd docs/benchmarks
    PYTHONPATH=../.. python startup.py --page startup.rst

Whole processes take turns. Without --page the table is printed.
"""

import argparse
import subprocess
import sys
from functools import partial
from statistics import median

from _common import (
    describe_commit,
    describe_machine,
    rst_table,
    seconds_of,
    update_page,
)
from _targets import Target
from _turns import ratio, run_alternating

ROUNDS = 9
SKLEARN = "from sklearn.preprocessing import StandardScaler; "
# what is imported, what it is compared with, target
COMPARED = {
    "from skvit import PatchTransformer": (SKLEARN, Target(1.10, 1.0)),
    "from skvit import ViTClassifier; ViTClassifier().get_params()": (
        SKLEARN + "import torch",
        Target(1.0, 0.95),
    ),
}
NAMES = {SKLEARN: "scikit-learn", SKLEARN + "import torch": "scikit-learn and torch"}


def run_process(code):
    """Seconds of a process that runs some code."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    return seconds_of(partial(subprocess.run, command, check=True))


def measure(rounds=ROUNDS):
    """Return the table."""
    codes = [*COMPARED, *NAMES]
    calls = {code: partial(run_process, code) for code in codes}
    seconds = run_alternating(calls, rounds)
    rows = [
        (
            f"``{ours}``",
            f"{median(seconds[ours]):.2f}",
            NAMES[other],
            f"{median(seconds[other]):.2f}",
            target.cell(ratio(seconds[ours], seconds[other])),
        )
        for ours, (other, target) in COMPARED.items()
    ]
    return rst_table(("process", "seconds", "against", "seconds", "ratio"), rows)


def parse(arguments=None):
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", help="page whose table is to be written")
    parser.add_argument("--quick", action="store_true", help="one round")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the page."""
    asked = parse(arguments)
    table = measure(1 if asked.quick else ROUNDS)
    print(table)
    if asked.page:
        setting = f"Measured on {describe_machine()}, commit {describe_commit()}."
        update_page(asked.page, {"startup": table, "setting": setting})


if __name__ == "__main__":
    main()
