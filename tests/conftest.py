"""Fixtures shared by all tests; everything here works offline."""

import os

# Both are read when the libraries are first imported: scikit-learn's array API
# checks are skipped without the first, the second keeps the tests on the CPU.
os.environ["SCIPY_ARRAY_API"] = "1"
os.environ["SKVIT_DISABLE_ACCELERATORS"] = "1"

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images


@pytest.fixture(scope="session")
def digits():
    """X of shape (1797, 8, 8), float64 with the whole values 0 to 16, and y."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)
    X.setflags(write=False)
    y.setflags(write=False)
    return X, y


@pytest.fixture(scope="session")
def photo_tiles():
    """X of shape (40, 32, 32, 3), uint8, cut from two photographs, and their names."""
    pytest.importorskip("PIL")
    tiles = [
        image[top : top + 32, left : left + 32]
        for image in load_sample_images().images
        for top in range(0, 128, 32)
        for left in range(0, 160, 32)
    ]
    return np.stack(tiles), np.repeat(["china", "flower"], 20)


@pytest.fixture
def tiny_params():
    """Keyword arguments of the smallest classifier that still learns something."""
    return {
        "embed_dim": 16,
        "depth": 1,
        "num_heads": 2,
        "max_epochs": 2,
        "random_state": 0,
    }


@pytest.fixture(scope="session")
def few_digits(digits):
    """The first 120 of `digits`: enough for augmentation to be on by default."""
    return tuple(part[:120] for part in digits)


@pytest.fixture
def make_tiny(tiny_params):
    """Return a function that makes a tiny classifier with some settings changed."""
    from skvit import ViTClassifier

    def make(**changes):
        return ViTClassifier(**tiny_params | changes)

    return make


@pytest.fixture(scope="module")
def fitted(few_digits):
    """A tiny classifier fitted on the plain array, with its probabilities."""
    from skvit import ViTClassifier

    X, y = few_digits
    clf = ViTClassifier(
        embed_dim=16, depth=1, num_heads=2, max_epochs=2, random_state=0
    ).fit(X, y)
    return clf, clf.predict_proba(X)


@pytest.fixture
def one_thread():
    """Let PyTorch compute in one thread, as in a worker process beside another."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pyplot():
    """Yield matplotlib.pyplot drawing to memory, every figure closed after the test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture
def device(monkeypatch):
    """Name of this machine's accelerator, for tests marked ``gpu``."""
    torch = pytest.importorskip("torch")
    if not torch.accelerator.is_available():
        pytest.skip("needs an accelerator")
    monkeypatch.delenv("SKVIT_DISABLE_ACCELERATORS")
    return torch.accelerator.current_accelerator().type
