"""A plain convolutional network and its training, to compare with."""

import math
import time

import torch
import torch.nn.functional as F
from torch import nn

_WIDTHS = (32, 32, 64, 64, 128)
_POOL_AFTER = (1, 3)  # indices of the convolutions that a max-pool follows


def make_cnn(in_channels, num_outputs, seed=0):
    """Five 3 x 3 convolutions with batch norm, two max-pools, a global average."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            *_make_stages(in_channels),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(_WIDTHS[-1], num_outputs),
        ).to(memory_format=torch.channels_last)


def _make_stages(channels):
    """Convolutions and pools; each stage maps (batch, channels, height, width)."""
    stages = []
    for i, width in enumerate(_WIDTHS):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
        if i in _POOL_AFTER:
            stages.append(nn.MaxPool2d(2))
        channels = width
    return stages


def feature_maps(cnn, images):
    """Name and output of each stage, (batch, channels, rows, columns)."""
    for stage in cnn[:-3]:
        images = stage(images)
        kind = "pool" if isinstance(stage, nn.MaxPool2d) else "convolution"
        yield kind, images


def endless_batches(n, batch_size, generator):
    """Yield indices of batches, in a new order each time all were seen."""
    while True:
        yield from torch.randperm(n, generator=generator).split(batch_size)


def train_for(module, X, y, seconds, precision="float32", seed=0):
    """Train with AdamW for some seconds, over which the rate falls along a cosine.

    Returns the number of epochs.
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    dtype, seen, start = getattr(torch, precision), 0, time.perf_counter()
    module.train()
    for batch in endless_batches(len(X), 64, generator):
        done = (time.perf_counter() - start) / seconds
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * done)) / 2
        with torch.autocast(X.device.type, dtype, enabled=dtype != torch.float32):
            logits = module(X[batch])
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), y[batch]).backward()
        optimizer.step()
        seen += len(batch)
    module.eval()
    return seen / len(X)
