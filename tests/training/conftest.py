"""A network of a few hundred weights, with data and a plan to train it by."""

import numpy as np
import pytest
import torch

from skvit._training import ImageData, Normalizer, TrainingPlan, build_module
from skvit.nn import ViTConfig

CPU = torch.device("cpu")


@pytest.fixture
def rng_is_untouched():
    """Fail a test that draws from torch's or NumPy's global generator."""
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002 (the global one)
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    after = np.random.get_state()  # noqa: NPY002 (the global one)
    assert all(np.array_equal(a, b) for a, b in zip(after, before[1], strict=True))


class Limited(torch.nn.Module):
    """A network whose device holds no more than so many images."""

    def __init__(self, network, limit, error):
        super().__init__()
        self.network, self.limit, self.error, self.sizes = network, limit, error, []
        self.config = network.config

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.limit:
            raise self.error
        return self.network(images)


@pytest.fixture
def make_limited():
    """Return what puts a network on a device with little memory."""
    return Limited


@pytest.fixture
def make_module():
    """Return a function that builds a network of 8 x 8 images and 3 classes."""

    def make(dtype=torch.float64, device=CPU, seed=0, **changes):
        settings = {
            "image_size": (8, 8),
            "patch_size": (4, 4),
            "in_channels": 1,
            "num_outputs": 3,
            "embed_dim": 8,
            "depth": 2,
            "num_heads": 2,
        }
        return build_module(ViTConfig(**settings | changes), device, dtype, seed)

    return make


@pytest.fixture
def make_data():
    """Return a function that draws labelled images whose mean tells their class."""

    def make(n=23, dtype=torch.float64, device=CPU, weight=None, seed=0):
        rng = np.random.default_rng(seed)
        target = rng.integers(3, size=n)
        images = rng.normal(size=(n, 8, 8, 1)) + target[:, None, None, None]
        normalize = Normalizer(np.array([1.0]), np.array([2.0]), dtype)
        return ImageData(images, normalize, device, target, weight)

    return make


@pytest.fixture
def make_plan():
    """Return a function that makes a plan without warm-up, decay or augmentation."""

    def make(**changes):
        settings = {
            "max_epochs": 3,
            "batch_size": 8,
            "optimizer": "adamw",
            "learning_rate": 1e-2,
            "weight_decay": 0.1,
            "warmup": 0,
            "total_updates": None,
            "final_rate": 0.0,
            "clip_norm": None,
            "label_smoothing": 0.0,
            "averaging": None,
            "averaging_start": 0,
            "dropping_epochs": None,
            "augmentation": None,
            "precision": "float64",
            "compile": False,
            "n_classes": 3,
        }
        return TrainingPlan(**settings | changes)

    return make
