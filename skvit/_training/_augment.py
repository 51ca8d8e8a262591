"""Vary whole batches of images; every draw comes from the given generator."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from skvit._training._operations import apply_operations


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the variations; see `skvit.Augment` for their meaning.

    Parameters
    ----------
    shift, rotate, scale, color, erase, mixup, cutmix : float
        Strengths; 0 switches a variation off. `rotate` is in degrees.
    flip : bool
        Whether half of the images are mirrored.
    operations : int
        Operations on each image's values.
    """

    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    flip: bool = False
    color: float = 0.0
    operations: int = 0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def mixes(self) -> bool:
        """Whether pairs of images are mixed."""
        return bool(self.mixup or self.cutmix)

    def images(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Vary each image by itself, its label unchanged.

        Parameters
        ----------
        images : Tensor of shape (batch, channels, height, width)
            Normalised images.
        generator : torch.Generator
            Source of every draw, on the device of the images.

        Returns
        -------
        Tensor of shape (batch, channels, height, width)
            Varied images.
        """
        if self.shift or self.rotate or self.scale or self.flip:
            images = self._move(images, generator)
        if self.color:
            images = vary_color(images, self.color, generator)
        if self.operations:
            images = apply_operations(images, self.operations, generator)
        if self.erase:
            images = erase_rectangles(images, self.erase, generator)
        return images

    def _move(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Shift, turn, resize and mirror with one resampling."""
        n, _, height, width = images.shape  # batch, channels, rows, columns
        strengths = (self.shift, self.rotate, self.scale, self.flip)
        theta = draw_affine(n, strengths, height / width, generator).to(images)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(
            images,
            grid,
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )

    def pairs(
        self, images: Tensor, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix pairs of images and their labels by mixup or cutmix.

        Parameters
        ----------
        images : Tensor of shape (batch, channels, height, width)
            Normalised images.
        target : Tensor of shape (batch, n_classes)
            Probability of each class.
        generator : torch.Generator
            Source of every draw, on the CPU, so that no draw waits for the device.

        Returns
        -------
        images : Tensor of shape (batch, channels, height, width)
            Mixed images.
        target : Tensor of shape (batch, n_classes)
            Probabilities mixed in the same proportion.
        """
        cut = self.cutmix and (not self.mixup or _uniform(1, generator).item() < 0.5)
        share = _beta(self.cutmix if cut else self.mixup, generator)
        other = torch.randperm(
            len(images), generator=generator, device=generator.device
        ).to(images.device)
        if not cut:
            return images.lerp(images[other], share), target.lerp(target[other], share)
        height, width = images.shape[-2:]
        rows, columns = _rectangle(height, width, share, generator)
        mixed = images.clone()
        mixed[..., rows, columns] = images[other][..., rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, target.lerp(target[other], area / (height * width))


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    """Draw n numbers from [0, 1) on the generator's device."""
    return torch.rand(
        n, generator=generator, dtype=torch.float32, device=generator.device
    )


def _symmetric(n: int, half_width: float, generator: torch.Generator) -> Tensor:
    """Draw n numbers from [-half_width, half_width)."""
    return (2 * _uniform(n, generator) - 1) * half_width


def draw_affine(
    n: int,
    strengths: tuple[float, float, float, bool],
    aspect: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw affine maps from output to input coordinates, both in [-1, 1].

    Parameters
    ----------
    n : int
        Number of maps.
    strengths : tuple of (shift, rotate, scale, flip)
        As in `Augmentation`.
    aspect : float
        Height of an image over its width, without which a rotation would shear it.
    generator : torch.Generator
        Source of every draw.

    Returns
    -------
    Tensor of shape (n, 2, 3)
        One map per image.
    """
    shift, rotate, scale, flip = strengths
    angle = _symmetric(n, math.radians(rotate), generator)
    size = 1 + _symmetric(n, scale, generator)
    mirror = torch.ones_like(size)
    if flip:
        mirror = torch.where(_uniform(n, generator) < 0.5, -mirror, mirror)
    # a shift by the whole side is 2 in coordinates from -1 to 1
    dx, dy = _symmetric(2 * n, 2 * shift, generator).view(2, n)
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    rows = (cos * mirror, -sin * aspect, dx, sin * mirror / aspect, cos, dy)
    return torch.stack(rows, dim=1).view(n, 2, 3)


def vary_color(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and, where there are channels, saturation."""
    n = len(images)
    draws = _symmetric(3 * n, strength, generator).view(3, n, 1, 1, 1).to(images)
    images = images + draws[0]
    center = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(center, images, 1 + draws[1])
    if images.shape[1] == 1:
        return images
    gray = images.mean(dim=1, keepdim=True)
    return torch.lerp(gray.expand_as(images), images, 1 + draws[2])


def erase_rectangles(
    images: Tensor, probability: float, generator: torch.Generator
) -> Tensor:
    """Replace a rectangle of some images by the mean of the training data, zero.

    The rectangle's sides are a tenth to a half of the image's.
    """
    n, _, height, width = images.shape  # batch, channels, rows, columns
    chosen = _uniform(n, generator) < probability
    inside = [
        _interval_mask(side, n, generator).view(n, *shape)
        for side, shape in ((height, (1, -1, 1)), (width, (1, 1, -1)))
    ]
    hole = inside[0] & inside[1] & chosen.view(n, 1, 1, 1)
    return images.masked_fill(hole.to(images.device), 0.0)


def _interval_mask(side: int, n: int, generator: torch.Generator) -> Tensor:
    """Return (n, side) masks of random intervals."""
    length = (0.1 + 0.4 * _uniform(n, generator)) * side
    start = _uniform(n, generator) * (side - length)
    place = torch.arange(side, device=generator.device) + 0.5
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def _beta(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha), as a ratio of two gamma variables."""
    concentration = torch.full((2,), alpha, dtype=torch.float64)
    gammas = torch._standard_gamma(concentration, generator=generator)
    return (gammas[0] / gammas.sum()).item()


def _rectangle(
    height: int, width: int, share: float, generator: torch.Generator
) -> tuple[slice, slice]:
    """Draw a rectangle that covers a share of the image's area."""
    slices = []
    for side in (height, width):
        length = round(side * math.sqrt(share))
        start = int(_uniform(1, generator).item() * (side - length + 1))
        slices.append(slice(start, start + length))
    return slices[0], slices[1]
