"""Operations on the values of whole images, drawn for each image as in RandAugment."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_LEVELS = 4  # that posterizing leaves


def apply_operations(images: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Apply a number of operations to each image, each drawn from all with repetition.

    Parameters
    ----------
    images : Tensor of shape (batch, channels, height, width)
        Normalised images.
    number : int
        Operations per image.
    generator : torch.Generator
        Source of every draw.

    Returns
    -------
    Tensor of shape (batch, channels, height, width)
        Varied images.

    References
    ----------
    .. [1] E. D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation
       with a Reduced Search Space", NeurIPS 2020, arXiv:1909.13719.
    """
    n = len(images)
    for _ in range(number):
        choice, strength = torch.rand(
            (2, n, 1, 1, 1),
            generator=generator,
            dtype=torch.float32,
            device=generator.device,
        ).to(images)
        chosen = (choice * len(_OPERATIONS)).long()
        # All operations on all images: as many kernels for any batch, and none waits.
        for index, operation in enumerate(_OPERATIONS):
            images = torch.where(chosen == index, operation(images, strength), images)
    return images


def leave(images: Tensor, strength: Tensor) -> Tensor:
    """Return images as they are."""
    return images


def soften(images: Tensor, strength: Tensor) -> Tensor:
    """Move images towards the means over 3 x 3 pixels; an edge repeats itself."""
    return images.lerp(_mean_around(images), strength)


def sharpen(images: Tensor, strength: Tensor) -> Tensor:
    """Move images away from the means over 3 x 3 pixels."""
    return images.lerp(_mean_around(images), -strength)


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Move images towards four values, evenly from darkest to brightest."""
    low, high = _range(images)
    step = ((high - low) / (_LEVELS - 1)).clamp_min(torch.finfo(images.dtype).tiny)
    return images.lerp(low + ((images - low) / step).round() * step, strength)


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Mirror the values above a threshold within the range of the image."""
    low, high = _range(images)
    return torch.where(
        images > high - 0.5 * strength * (high - low), low + high - images, images
    )


def to_gray(images: Tensor, strength: Tensor) -> Tensor:
    """Move images towards the mean of their channels."""
    return images.lerp(images.mean(dim=1, keepdim=True).expand_as(images), strength)


_OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    leave,
    soften,
    sharpen,
    posterize,
    solarize,
    to_gray,
)


def _mean_around(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each image."""
    low, high = images.flatten(1).aminmax(dim=1)
    return low.view(-1, 1, 1, 1), high.view(-1, 1, 1, 1)
