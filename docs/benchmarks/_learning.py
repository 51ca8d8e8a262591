"""Train each network of the comparison for the same number of seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from _cnn import make_cnn, train_for
from sklearn.base import clone
from torch import nn

from skvit import Architecture, ViTClassifier
from skvit._training._device import has_bfloat16_units

_PROBE_IMAGES = 256
# As wide as gives it about as many weights as the CNN has.
PLAIN = ViTClassifier(
    patch_size=4,
    embed_dim=64,
    depth=4,
    pool="token",
    augment=None,
    architecture=Architecture(patch_embed="linear"),
)
VITS = {
    "plain ViT": PLAIN,
    "plain ViT, no positions": clone(PLAIN).set_params(pos_embed="none"),
    "ViTClassifier()": ViTClassifier(),
}


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
    def seconds_per_epoch(self):
        """Seconds that 1000 images take in training."""
        return self.seconds / self.epochs * 1000 / self.n_images


def make_to_tensor(mean, std):
    """Return a function from (n, height, width, channels) to normalised tensors."""

    def to_tensor(X):
        normalised = torch.from_numpy((X - mean) / std)
        return normalised.float().permute(0, 3, 1, 2)

    return to_tensor


def epochs_within(clf, X, y, seconds):
    """Epochs that fit into some seconds, by the pace of a short trial."""
    trial = clone(clf).set_params(max_epochs=2)
    trial.fit(X[:_PROBE_IMAGES], y[:_PROBE_IMAGES])
    pace = trial.history_["images_per_second"].iloc[-1]
    return max(1, round(seconds * pace / len(X)))


def learn_vit(clf, X, y, seconds, seed):
    """Fit a classifier for as many epochs as the seconds allow."""
    clf = clone(clf).set_params(random_state=seed, device="cpu")
    clf.set_params(max_epochs=epochs_within(clf, X, y, seconds))
    start = time.perf_counter()
    clf.fit(X, y)
    taken = time.perf_counter() - start
    to_tensor = make_to_tensor(clf.channel_mean_, clf.channel_std_)
    return Learner(clf.module_, clf.predict, to_tensor, len(X), clf.n_epochs_, taken)


def learn_cnn(X, y, seconds, seed):
    """Train the convolutional network for the seconds, in a ViT's precision."""
    mean, std = X.mean((0, 1, 2)), X.std((0, 1, 2))
    to_tensor = make_to_tensor(mean, std)
    classes, codes = np.unique(y, return_inverse=True)
    cnn = make_cnn(X.shape[-1], len(classes), seed)
    inputs = to_tensor(X).contiguous(memory_format=torch.channels_last)
    fast = has_bfloat16_units(inputs.device)
    precision = "bfloat16" if fast else "float32"
    start = time.perf_counter()
    epochs = train_for(cnn, inputs, torch.from_numpy(codes), seconds, precision, seed)
    taken = time.perf_counter() - start

    @torch.inference_mode()
    def predict(X):
        parts = to_tensor(X).split(500)
        return classes[torch.cat([cnn(part).argmax(1) for part in parts]).numpy()]

    return Learner(cnn, predict, to_tensor, len(X), epochs, taken)


def learn_all(names, X, y, seconds, seed):
    """Return trained networks by name, "CNN" among them."""
    learners = {}
    for name in names:
        if name == "CNN":
            learners[name] = learn_cnn(X, y, seconds, seed)
        else:
            learners[name] = learn_vit(VITS[name], X, y, seconds, seed)
    return learners
