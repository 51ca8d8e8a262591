"""Between patches on their grid and pixels of the image."""

import numpy as np


def to_grid(values, config):
    """Turn (..., num_patches) into (..., rows, columns)."""
    return values.reshape(*values.shape[:-1], *config.grid)


def check_pixels(config):
    """Raise where patches were cut before and there are no pixels.

    Raises
    ------
    ValueError
        If the network reads sequences of patches.
    """
    if config.patch_embed == "sequence":
        raise ValueError(
            "the patches were cut before (patch_size='precomputed'), so that where "
            "their pixels lie is not known; use the values of the patches, "
            "`upsample=False`, or fit on the images themselves."
        )


def to_pixels(values, config):
    """Give each pixel its patch's value: (..., rows, columns) to (..., height, width).

    The part of a patch that reaches over the image's edge is cut off.
    """
    height, width = config.image_size
    for axis, size in zip((-2, -1), config.patch_size, strict=True):
        values = np.repeat(values, size, axis=axis)
    return np.ascontiguousarray(values[..., :height, :width])


def finish(values, config, upsample):
    """Turn (..., num_patches) into grids or, where wanted, into pixels."""
    grids = to_grid(values, config)
    return to_pixels(grids, config) if upsample else grids


def to_patches(maps, config, n_samples):
    """Return one value for each patch, (n_samples, num_patches), of grids or pixels.

    Raises
    ------
    ValueError
        If the maps are neither, or not as many as there are images.
    """
    maps = np.asarray(maps, dtype=float)
    shapes = [config.grid]
    if config.patch_embed != "sequence":
        shapes.append(config.image_size)
    if maps.shape not in [(n_samples, *shape) for shape in shapes]:
        accepted = " or ".join(str((n_samples, *shape)) for shape in shapes)
        raise ValueError(
            f"`maps` must have shape {accepted}: one value for each patch or pixel; "
            f"got {maps.shape}."
        )
    if not np.isfinite(maps).all():
        raise ValueError("`maps` must be finite numbers to be put in order; got NaN.")
    if maps.shape[1:] == config.grid:
        return maps.reshape(n_samples, -1)
    return _means(maps, config).reshape(n_samples, -1)


def _means(maps, config):
    """Average pixels over the part of each patch that lies on the image."""
    for axis, size in zip((1, 2), config.patch_size, strict=True):
        length = maps.shape[axis]
        starts = np.arange(0, length, size)
        shape = [1, 1, 1]
        shape[axis] = -1
        counts = np.diff(np.append(starts, length)).reshape(shape)
        maps = np.add.reduceat(maps, starts, axis=axis) / counts
    return maps
