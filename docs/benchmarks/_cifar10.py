"""CIFAR-10 from a local copy.

The data set is published at https://www.cs.toronto.edu/~kriz/cifar.html; its "python
version" unpacks to the folder that is read here.
"""

import pickle
from pathlib import Path

import numpy as np

NAMES = np.array(
    [
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ]
)
_BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
HELP = (
    "folder of CIFAR-10's python version (https://www.cs.toronto.edu/~kriz/cifar.html),"
    " or an .npz file with X of shape (n, 32, 32, 3) and y, test images last"
)


def load_cifar10(path):
    """Return images of shape (n, 32, 32, 3), uint8, and their classes' indices.

    `path` is the folder of the python version, or an .npz file of the arrays X and y.
    The test images come last.
    """
    path = Path(path)
    if path.is_dir():
        parts = [_read_batch(path / name) for name in _BATCHES]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    with np.load(path) as arrays:
        return arrays["X"], arrays["y"]


def _read_batch(path):
    batch = pickle.loads(path.read_bytes(), encoding="latin1")
    images = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, np.array(batch["labels"])


def split(X, y, n_train, n_test):
    """Return the first `n_train` images and labels, and the last `n_test`."""
    if n_train + n_test > len(X):
        raise ValueError(
            f"{n_train} training and {n_test} test images were asked for, but the data "
            f"has {len(X)}; ask for fewer."
        )
    return X[:n_train], y[:n_train], X[-n_test:], y[-n_test:]
