"""The two networks that are compared, alike in their number of weights."""

import torch
from torch import nn

from skvit.nn import Record, VisionTransformer, ViTConfig

PATCH = 4
_WIDTHS = (32, 32, 64, 64, 128)
_POOL_AFTER = (1, 3)  # indices of the convolutions that a max-pool follows


def make_vit(shape, num_outputs, seed=0, **choices):
    """A plain ViT for images of a (height, width, channels).

    Its width gives it about as many weights as the convolutional network has.
    """
    height, width, channels = shape
    choices = {"embed_dim": 64, "depth": 4, "num_heads": 2, "mlp_ratio": 2.0} | choices
    config = ViTConfig(
        (height, width), (PATCH, PATCH), channels, num_outputs, **choices
    )
    return VisionTransformer(config, torch.Generator().manual_seed(seed))


def make_cnn(shape, num_outputs, seed=0):
    """Five 3 x 3 convolutions with batch norm, two max-pools, a global average."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            *_make_stages(shape[-1]),
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


def token_maps(vit, images):
    """Name and patches' tokens after each layer, (batch, embed_dim, rows, columns)."""
    record = Record("block*/after_mlp")
    vit(images, record)
    for tokens in record.values():
        patches = tokens[:, vit.num_prefix_tokens :]
        yield "layer", patches.transpose(1, 2).unflatten(2, vit.grid)


def feature_maps(cnn, images):
    """Name and output of each stage, (batch, channels, rows, columns)."""
    for stage in cnn[:-3]:
        images = stage(images)
        kind = "pool" if isinstance(stage, nn.MaxPool2d) else "convolution"
        yield kind, images
