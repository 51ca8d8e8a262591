"""Train each network of the comparison for the same number of seconds.

Seconds are the processor's, of all threads together, so that what else the machine does
favours none.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _networks import make_cnn, make_vit
from torch import nn

from skvit import Architecture, ViTClassifier
from skvit._training._device import has_bfloat16_units

NETWORKS = {
    "ViT without positions": partial(make_vit, pos_embed="none"),
    "ViT": make_vit,
    "CNN": make_cnn,
}
ESTIMATOR = "ViTClassifier()"
_BATCH_SIZE = 64
_RATE = 1e-3
_PROBE_IMAGES = 512


def training_dtype():
    """Type of the matrix products, as the estimator chooses it on a CPU."""
    is_fast = has_bfloat16_units(torch.device("cpu"))
    return torch.bfloat16 if is_fast else torch.float32


@dataclass
class Learner:
    """A trained network, with what its training took."""

    module: nn.Module
    predict: Callable
    to_tensor: Callable
    n_images: int
    epochs: float
    seconds: float

    def score(self, X, y):
        """Accuracy on images."""
        return float(np.mean(self.predict(X) == y))

    @property
    def pace(self):
        """Seconds that 1000 images take in training."""
        return self.seconds / self.epochs * 1000 / self.n_images


def make_to_tensor(mean, std):
    """Return a function from (n, height, width, channels) to normalised tensors."""

    def to_tensor(X):
        normalised = torch.from_numpy((X - mean) / std).float().permute(0, 3, 1, 2)
        return normalised.contiguous(memory_format=torch.channels_last)

    return to_tensor


def endless_batches(n, generator):
    """Yield indices of batches, in a new order each time all were seen."""
    while True:
        yield from torch.randperm(n, generator=generator).split(_BATCH_SIZE)


def train_for(module, X, y, seconds, seed):
    """Train with AdamW for some seconds, over which the rate falls along a cosine.

    Returns the number of epochs.
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=_RATE, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    dtype, seen, start = training_dtype(), 0, time.process_time()
    module.train()
    for batch in endless_batches(len(X), generator):
        done = (time.process_time() - start) / seconds
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = _RATE * (1 + math.cos(math.pi * done)) / 2
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = module(X[batch])
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), y[batch]).backward()
        optimizer.step()
        seen += len(batch)
    module.eval()
    return seen / len(X)


def learn_network(make, X, y, seconds, seed):
    """Make a network and train it for the seconds."""
    to_tensor = make_to_tensor(X.mean((0, 1, 2)), X.std((0, 1, 2)))
    classes, codes = np.unique(y, return_inverse=True)
    module = make(X.shape[1:], len(classes), seed)
    inputs, start = to_tensor(X), time.process_time()
    epochs = train_for(module, inputs, torch.from_numpy(codes), seconds, seed)
    taken = time.process_time() - start

    @torch.inference_mode()
    def predict(X):
        parts = to_tensor(X).split(500)
        return classes[torch.cat([module(part).argmax(1) for part in parts]).numpy()]

    return Learner(module, predict, to_tensor, len(X), epochs, taken)


def learn_estimator(X, y, seconds, seed):
    """Fit the default estimator for as many epochs as the seconds allow."""
    # With all patches in every epoch, so that few images tell the pace of many.
    whole = Architecture(patch_drop_rate=0.0)
    clf = ViTClassifier(architecture=whole, device="cpu", random_state=seed)
    few = X[:_PROBE_IMAGES], y[:_PROBE_IMAGES]
    # The first loads what is loaded once, the second has what each fit costs.
    _, once, often = (fit_for(clf, epochs, *few) for epochs in (1, 1, 5))
    pace = 4 * len(few[0]) / max(often - once, 1e-3)
    epochs = max(1, round(seconds * pace / len(X)))
    taken = fit_for(clf, epochs, X, y)
    to_tensor = make_to_tensor(clf.channel_mean_, clf.channel_std_)
    return Learner(clf.module_, clf.predict, to_tensor, len(X), clf.n_epochs_, taken)


def fit_for(clf, epochs, X, y):
    """Fit for some epochs and return the seconds."""
    start = time.process_time()
    clf.set_params(max_epochs=epochs).fit(X, y)
    return time.process_time() - start


def learn_all(names, X, y, seconds, seed):
    """Return trained networks by name, all given the same time."""
    return {
        name: learn_estimator(X, y, seconds, seed)
        if name == ESTIMATOR
        else learn_network(NETWORKS[name], X, y, seconds, seed)
        for name in names
    }
