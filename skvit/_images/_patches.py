"""Cut images into patches and put them together again."""

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skvit._images._blocks import iter_blocks
from skvit._images._geometry import Pair, grid_shape, pad_amounts
from skvit._images._lazy import LazyImages


def patchify(
    images: np.ndarray | LazyImages, patch_size: Pair, stride: Pair | None = None
) -> np.ndarray:
    """Cut images into patches, row by row.

    Parameters
    ----------
    images : ndarray or LazyImages of shape (n_samples, height, width, channels)
        Images of any dtype and memory layout. Beside the result, only a block of those
        that are not in memory is ever there.
    patch_size : tuple of int
        Height and width of a patch, in pixels.
    stride : tuple of int or None, default=None
        Steps down and right from one patch to the next, in pixels, at most the patch
        size; None for patches side by side.

    Returns
    -------
    ndarray of shape (n_samples, n_patches, n_values)
        The patches in the dtype of the images, in native byte order. The values of
        one are in (row, column, channel) order; zeros stand where the last patches
        reach over the image.
    """
    n_samples, *image_size, channels = images.shape
    stride = stride or patch_size
    size = (image_size[0], image_size[1])
    grid = grid_shape(size, patch_size, stride)
    allocate = np.zeros if any(pad_amounts(size, patch_size, stride)) else np.empty
    shape = (n_samples, *grid, *patch_size, channels)
    patches = allocate(shape, dtype=images.dtype.newbyteorder("="))
    for samples, _ in iter_blocks((n_samples, 1, prod(images.shape[1:]))):
        block = images[samples]
        for windows, part in _matching_parts(block, patches[samples], stride):
            np.copyto(part, windows)
    return patches.reshape(n_samples, prod(grid), -1)


def unpatchify(
    patches: np.ndarray,
    image_shape: tuple[int, int, int],
    patch_size: Pair,
    stride: Pair | None = None,
) -> np.ndarray:
    """Put patches together to images: the inverse of `patchify`.

    Parameters
    ----------
    patches : ndarray of shape (n_samples, n_patches, n_values)
        Patches, cut with the same sizes.
    image_shape : tuple of int
        Height, width and channels of an image.
    patch_size : tuple of int
        Height and width of a patch, in pixels.
    stride : tuple of int or None, default=None
        Steps down and right from one patch to the next, in pixels; None for patches
        side by side.

    Returns
    -------
    ndarray of shape (n_samples, height, width, channels)
        Images of the dtype of the patches. Where patches overlap, their mean, rounded
        to the nearest for integers; patches that agree give their very values. What
        reached over the image is left out.
    """
    height, width, channels = image_shape
    stride = stride or patch_size
    grid = grid_shape((height, width), patch_size, stride)
    patches = patches.reshape(len(patches), *grid, *patch_size, channels)
    images = np.empty((len(patches), *image_shape), dtype=patches.dtype)
    if stride == patch_size:
        for windows, part in _matching_parts(images, patches, stride):
            np.copyto(windows, part)
    elif patches.dtype == bool:
        _average(patches.view(np.uint8), images.view(np.uint8), stride)
    else:
        _average(patches, images, stride)
    return images


def _matching_parts(
    images: np.ndarray, patches: np.ndarray, stride: Pair
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield views of the images' windows and of the same values in the patches.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width, channels)
        Images; their windows can be written if they can.
    patches : ndarray of shape (n_samples, grid rows, grid columns, height, width, \
            channels)
        Patches of those images.
    stride : tuple of int
        Steps down and right.
    """
    sizes = zip(images.shape[1:3], patches.shape[3:5], stride, strict=True)
    for (rows, high), (columns, wide) in product(*(_runs(*axis) for axis in sizes)):
        part = patches[:, rows, columns, :high, :wide]
        corner = images[:, rows.start * stride[0] :, columns.start * stride[1] :]
        windows = sliding_window_view(
            corner, (high, wide), axis=(1, 2), writeable=images.flags.writeable
        )[:, :: stride[0], :: stride[1]]
        windows = windows[:, : part.shape[1], : part.shape[2]]
        yield np.moveaxis(windows, 3, 5), part  # (n, rows, columns, high, wide, C)


def _runs(length: int, patch: int, step: int) -> list[tuple[slice, int]]:
    """List runs of equally long patches on an axis, and how much of them it fills.

    All patches but the last are whole, because no step is longer than a patch.
    """
    whole = max(0, (length - patch) // step + 1)
    covered = (whole - 1) * step + patch if whole else 0
    runs = [(slice(0, whole), patch)] if whole else []
    if covered < length:
        runs.append((slice(whole, whole + 1), length - whole * step))
    return runs


def _average(patches: np.ndarray, images: np.ndarray, stride: Pair) -> None:
    """Fill images with the mean of the patches that overlap at each pixel.

    The mean is one of the patches plus the mean difference from it: where all agree,
    no rounding can change the value.
    """
    axes = zip(images.shape[1:3], patches.shape[3:5], stride, strict=True)
    count = np.multiply.outer(*(_coverage(*axis) for axis in axes))[..., np.newaxis]
    for samples, _ in iter_blocks((len(patches), 1, patches[0].size)):
        block, target = patches[samples], images[samples]
        for window, part in _matching_pixels(target, block, stride):
            window[...] = part
        difference = np.zeros(target.shape)
        sums = _matching_pixels(difference, block, stride)
        bases = _matching_pixels(target, block, stride)
        for (total, part), (base, _) in zip(sums, bases, strict=True):
            total += np.subtract(part, base, dtype=np.float64)
        _add(target, difference / count)


def _coverage(length: int, patch: int, step: int) -> np.ndarray:
    """Count the patches over each pixel of an axis."""
    starts = np.arange(0, length, step)[: max(0, -(-(length - patch) // step)) + 1]
    distance = np.arange(length) - starts[:, np.newaxis]  # (patches, pixels)
    return ((distance >= 0) & (distance < patch)).sum(axis=0)


def _matching_pixels(
    images: np.ndarray, patches: np.ndarray, stride: Pair
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each place in a patch, the images' pixels there and the patches'.

    No pixel is twice in one view, so that sums over overlapping patches are right.
    """
    down, right = stride
    for y, x in product(*map(range, patches.shape[3:5])):
        pixels = images[:, y::down, x::right][:, : patches.shape[1], : patches.shape[2]]
        rows, columns = pixels.shape[1:3]
        yield pixels, patches[:, :rows, :columns, y, x]


def _add(images: np.ndarray, difference: np.ndarray) -> None:
    """Add differences in place, rounded where the images hold integers."""
    if images.dtype.kind != "f":
        # Halves go up, whichever patch the differences are from. Unsigned sums wrap
        # around, and come out right for negative differences too.
        difference = np.floor(difference + 0.5).astype(np.int64).astype(images.dtype)
    np.add(images, difference, out=images, casting="same_kind")
