"""Mean and standard deviation of the channels."""

import numpy as np

from skvit._images._blocks import iter_blocks
from skvit._images._lazy import LazyImages


def channel_statistics(
    images: np.ndarray | LazyImages, sample_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel in one pass, in float64.

    Blocks of the images are converted one after the other, so that the memory needed
    does not grow with them, and equal values give equal results in every dtype and
    memory layout.

    Parameters
    ----------
    images : ndarray or LazyImages of shape (n_samples, height, width, channels)
        Images of any real dtype.
    sample_weight : ndarray of shape (n_samples,) or None, default=None
        Weight of each image; those of weight zero are left out.

    Returns
    -------
    mean, std : ndarray of shape (channels,)
        Weighted mean and standard deviation, which is 1 where a channel is constant.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample
    variance: analysis and recommendations", The American Statistician 37, 1983,
    doi:10.1080/00031305.1983.10483115: how blocks are put together.
    """
    rows = np.arange(len(images))
    weight = np.ones(len(images))
    if sample_weight is not None:
        rows = np.flatnonzero(sample_weight)
        weight = np.asarray(sample_weight, dtype=np.float64)[rows]
    # Differences from one pixel are exactly zero where a channel is constant.
    origin = images[rows[:1]][0, 0, 0].astype(np.float64)
    total, mean, squares = 0.0, np.zeros(len(origin)), np.zeros(len(origin))
    for samples, lines in iter_blocks((len(rows), *images.shape[1:])):
        if lines.start == 0:
            chosen = _chosen(images, rows[samples])
        # Without a name, so that no block is kept while the next one is made.
        share, block_mean, block_squares = _moments(
            _centred(chosen[:, lines], origin), weight[samples]
        )
        total += share
        offset = block_mean - mean
        mean += offset * (share / total)
        squares += block_squares + offset**2 * (share * (1 - share / total))
    std = np.sqrt(squares / total)
    return origin + mean, np.where(std == 0, 1.0, std)


def _chosen(images: np.ndarray | LazyImages, rows: np.ndarray) -> np.ndarray:
    """Return images of increasing rows, as a view where they are consecutive."""
    contiguous = rows[-1] - rows[0] == len(rows) - 1
    return images[slice(rows[0], rows[-1] + 1) if contiguous else rows]


def _centred(chosen: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return lines of images, less `origin`, as float64 (channels, images, pixels)."""
    block = np.moveaxis(chosen, -1, 0)  # (C, images, lines, width)
    origin = origin[:, np.newaxis, np.newaxis, np.newaxis]
    block = np.subtract(block, origin, dtype=np.float64, order="C")
    return block.reshape(*block.shape[:2], -1)


def _moments(
    block: np.ndarray, weight: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return sum of weights, mean and sum of squared deviations of each channel."""
    share = weight.sum() * block.shape[2]
    mean = (block.sum(axis=2) * weight).sum(axis=1) / share
    block -= mean[:, np.newaxis, np.newaxis]
    np.square(block, out=block)
    return share, mean, (block.sum(axis=2) * weight).sum(axis=1)
