"""Trainings of one architecture by different means, an epoch at a time, in turn."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from _common import seconds_of
from _peers import make_skorch, make_timm, make_vit_pytorch

from skvit import Architecture, Recipe, ViTClassifier

RATE = 1e-3
DECAY = 0.05


@dataclass(frozen=True)
class Size:
    """An architecture with the images that it is for, and how long to measure it."""

    side: int
    channels: int
    patch: int
    width: int
    depth: int
    heads: int
    batch: int
    n_batches: int
    rounds: int
    n_classes: int = 10

    @property
    def n_images(self):
        """Images in an epoch."""
        return self.batch * self.n_batches


SIZES = {
    "A": Size(32, 3, 4, 192, 6, 3, 128, 6, 5),
    "B 128": Size(8, 1, 2, 64, 4, 2, 128, 24, 5),
    "B 512": Size(8, 1, 2, 64, 4, 2, 512, 6, 5),
    "C 128": Size(28, 1, 7, 64, 2, 2, 128, 32, 5),
    "C 512": Size(28, 1, 7, 64, 2, 2, 512, 8, 5),
    "D": Size(64, 3, 8, 192, 6, 3, 128, 6, 5),
    "E": Size(224, 3, 16, 384, 12, 6, 32, 3, 3),
}
PEERS = {
    "skorch + timm": (make_timm, True),
    "skorch + vit-pytorch": (make_vit_pytorch, True),
    "loop + timm": (make_timm, False),
}

OURS = {
    "ours": {},
    "ours float32": {"precision": "float32"},
    "ours compiled": {"compile": True},
}


def find_device():
    """Where everything is computed."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def draw_images(size, n=None, seed=0):
    """Images of bytes, one batch after the other, with labels."""
    n = n or size.n_images
    rng = np.random.default_rng(seed)
    shape = (n, size.side, size.side, size.channels)
    X = rng.integers(0, 256, shape, dtype=np.uint8)
    return X, np.arange(n) % size.n_classes


def to_float(X):
    """What the peers are given: normalised single precision, channels first."""
    scaled = (X.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 73.9
    return np.ascontiguousarray(scaled)


def make_classifier(size, precision="auto", **settings):
    """The estimator with the peers' architecture, and no more done than they do."""
    settings = {"max_epochs": 1, "warm_start": True} | settings
    return ViTClassifier(
        patch_size=size.patch,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
        mlp_ratio=4.0,
        pool="token",
        architecture=Architecture(
            patch_embed="linear", pos_bias="none", patch_drop_rate=0.0
        ),
        batch_size=size.batch,
        optimizer="adamw",
        learning_rate=RATE,
        weight_decay=DECAY,
        augment=None,
        recipe=Recipe(warmup=0, clip_norm=None, label_smoothing=0.0, averaging=None),
        device=find_device(),
        precision=precision,
        random_state=0,
        **settings,
    )


def train_ours(size, X, y, precision="auto", **settings):
    """Return a call that fits for one more epoch and returns its seconds."""
    if find_device() == "cuda":  # the first epoch captures the updates
        settings = {"max_epochs": 3} | settings
    clf = make_classifier(size, precision, **settings)

    def epoch():
        return clf.fit(X, y).history_["seconds"].iloc[-1]

    return epoch


def train_skorch(module, size, X, y, precision):
    """Return a call that trains for one more epoch and returns its seconds."""
    net = make_skorch(module, size.batch, find_device(), precision).initialize()

    def epoch():
        net.partial_fit(X, y)
        return net.history[-1, "dur"]

    return epoch


def train_loop(module, size, X, y, precision, compiled=False):
    """Return a call that runs one epoch of a hand-written loop, data in place."""
    device = find_device()
    module = module.to(device).train()
    forward = torch.compile(module) if compiled else module
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, weight_decay=DECAY)
    images, target = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)

    def epoch():
        for index in torch.randperm(len(X), device=device).split(size.batch):
            optimizer.zero_grad()
            make_update(forward, optimizer, images[index], target[index], precision)

    return lambda: seconds_of(epoch)


def make_update(module, optimizer, images, target, precision):
    """One step of training."""
    enabled = precision == "bfloat16"
    with torch.autocast(images.device.type, torch.bfloat16, enabled=enabled):
        logits = module(images)
    F.cross_entropy(logits.float(), target).backward()
    optimizer.step()


def train_bare(size, X, y):
    """Return a call that steps through an epoch with our module and nothing else.

    Precision and optimizer are the estimator's; one batch is in place and used again.
    """
    clf = make_classifier(size).fit(X[: size.batch], y[: size.batch])
    device, precision, module = clf._runtime_on_device()
    module.train()
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=RATE, weight_decay=DECAY, fused=True
    )
    images = torch.from_numpy(to_float(X[: size.batch])).to(device)
    target = torch.from_numpy(y[: size.batch]).to(device)

    def epoch():
        for _ in range(len(X) // size.batch):
            optimizer.zero_grad()
            make_update(module, optimizer, images, target, precision)

    return lambda: seconds_of(epoch)


def list_contests():
    """Names of the trainings that take turns; more at once would need much memory."""
    reduced = ["ours", "ours compiled", "bare", *(f"{p} bfloat16" for p in PEERS)]
    return reduced, ["ours", "ours float32", *(f"{p} float32" for p in PEERS)]


def make_training(name, size):
    """Return a call that trains for an epoch and returns its seconds, by its name."""
    torch.manual_seed(0)  # the peers draw their weights from the global generator
    X, y = draw_images(size)
    if name in OURS:
        return train_ours(size, X, y, **OURS[name])
    if name == "bare":
        return train_bare(size, X, y)
    peer, kind = name.rsplit(" ", 1)
    make, with_skorch = PEERS[peer]
    floats = to_float(X)
    if with_skorch:
        return train_skorch(make(size), size, floats, y, kind)
    compiled = kind == "compiled"
    precision = "bfloat16" if compiled else kind
    return train_loop(make(size), size, floats, y, precision, compiled)
