"""TIFF files beyond what Pillow reads without loss."""

from math import prod
from typing import Any

import numpy as np

from skvit._utils._optional import require, require_pillow

_BITS_PER_SAMPLE = 258  # TIFF 6.0, section 8
_MAX_BANDS = 64
_BAND_AXES = "SCQIZTR"  # tifffile's letters for what is neither height nor width


def needs_tifffile(image: Any) -> bool:
    """Say whether Pillow would lose bits or bands of a TIFF that it has opened."""
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    return image.n_frames > 1 or (max(bits) > 8 and len(bits) > 1)


def tiff_layout(path: str) -> tuple[tuple[int, int, int], np.dtype]:
    """Return height, width and number of bands of a TIFF, and its type.

    Raises
    ------
    ValueError
        If it is no image of real numbers, or larger than Pillow allows.
    """
    tifffile = require("tifffile", "images", "Reading deep and multi-band TIFF files")
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return _bounded(_layout(series.axes, series.shape)), _checked(series.dtype)


def read_tiff(path: str) -> np.ndarray:
    """Return the first image series of a TIFF as (height, width, bands)."""
    tifffile = require("tifffile", "images", "Reading deep and multi-band TIFF files")
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        values = series.asarray()
        order = _order(series.axes)
    return values.transpose(order).reshape(_layout(series.axes, values.shape))


def _order(axes: str) -> list[int]:
    """Return the axes as height, width, then all others as they come.

    Raises
    ------
    ValueError
        If the file has no height or width, or axes of another meaning.
    """
    if set("YX") - set(axes) or set(axes) - set("YX" + _BAND_AXES):
        raise ValueError(f"its axes are {axes}, not those of one image")
    others = [at for at, axis in enumerate(axes) if axis not in "YX"]
    return [axes.index("Y"), axes.index("X"), *others]


def _layout(axes: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return height, width, and the number of all bands."""
    height, width, *bands = (shape[at] for at in _order(axes))
    return height, width, prod(bands)


def _bounded(layout: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a size that a file may have, whatever its head says.

    Raises
    ------
    ValueError
        If it has more pixels than Pillow allows, or too many bands.
    """
    height, width, bands = layout
    limit = require_pillow().MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        raise ValueError(f"it has more than PIL.Image.MAX_IMAGE_PIXELS = {limit}")
    if bands > _MAX_BANDS:
        raise ValueError(f"it has {bands} bands; an image has at most {_MAX_BANDS}")
    return layout


def _checked(dtype: Any) -> np.dtype:
    """Return the type of the numbers in the machine's byte order.

    Raises
    ------
    ValueError
        If they are no real numbers.
    """
    if dtype is None or dtype.kind not in "biuf":
        raise ValueError(f"its values are {dtype}, not real numbers")
    return dtype.newbyteorder("=")
