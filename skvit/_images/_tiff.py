"""TIFF files beyond what Pillow reads without loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from skvit._utils._optional import require, require_pillow

# TIFF 6.0, sections 8 and 19
_BITS_PER_SAMPLE, _ORIENTATION, _SAMPLES_PER_PIXEL = 258, 274, 277
_SAMPLE_FORMAT, _UNSIGNED = 339, 1
_PALETTE = 3
_MAX_BANDS = 64
_BAND_AXES = "SCQIZTR"  # tifffile's letters for what is neither height nor width
_OF_SEVERAL_FILES = {"ome", "mmstack", "ndtiff"}  # formats of microscopes


def needs_tifffile(image: Any) -> bool:
    """Say whether Pillow would lose bits, bands or signs of a TIFF that it has opened.

    It shows the first page, passes over bands that are not declared to be alpha,
    keeps 8 bits of 16 where there are several bands, and takes numbers with a sign for
    numbers without one where they have 8 bits, the reverse where they have 32.
    """
    tags = image.tag_v2
    n_bands = tags.get(_SAMPLES_PER_PIXEL, 1)
    is_deep = max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8
    is_signed = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}
    return (
        image.n_frames > 1
        or n_bands != len(image.getbands())
        or (n_bands > 1 and is_deep)
        or image.mode == "I"
        or (is_signed and image.mode != "F")
    )


def tiff_layout(path: str) -> tuple[tuple[int, int, int], np.dtype, int]:
    """Return height, width and number of bands of a TIFF, its type and orientation.

    Raises
    ------
    ImportError
        If a library is missing that unpacks it.
    ValueError
        If it is no image of real numbers, is empty, or larger than Pillow allows.
    """
    with _first_series(path) as series:
        _check_packing(series.keyframe)
        height, width, bands = _layout(series.axes, series.shape)
        dtype = _checked(series.dtype)
        if series.keyframe.photometric == _PALETTE:
            bands, dtype = 3 * bands, np.dtype(np.uint8)
        orientation = series.keyframe.tags.valueof(_ORIENTATION, default=1)
        orientation = orientation if orientation in range(1, 9) else 1
        return _bounded((height, width, bands)), dtype, orientation


def read_tiff(path: str) -> np.ndarray:
    """Return the first image series of a TIFF as (height, width, bands)."""
    with _first_series(path) as series:
        values = series.asarray()
        order = _order(series.axes)
        layout = _layout(series.axes, values.shape)
        colors = None
        if series.keyframe.photometric == _PALETTE:
            colors = series.keyframe.colormap
    values = values.transpose(order).reshape(layout)
    return values if colors is None else _looked_up(values, colors)


@contextmanager
def _first_series(path: str) -> Iterator[Any]:
    """Open a TIFF, and no other file for it, at its first images of one size."""
    tifffile = require(
        "tifffile", "images", "Reading deep, multi-band and multi-page TIFF files"
    )
    # Without these flags tifffile opens other files, which such a file names.
    known = _OF_SEVERAL_FILES & tifffile.TIFF.FILE_FLAGS
    with tifffile.TiffFile(path, **{f"is_{name}": False for name in known}) as file:
        yield file.series[0]


def _check_packing(page: Any) -> None:
    """Ask for the library that has more codecs than tifffile, if one is needed."""
    table = require("tifffile", "images", "Reading TIFF files").TIFF
    known = page.compression in table.DECOMPRESSORS and (
        page.predictor in table.UNPREDICTORS
    )
    if not known:
        require("imagecodecs", "images", "Reading TIFF files of that compression")


def _looked_up(indices: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return the colours of a palette of shape (3, n_colors), page by page.

    A palette of 16 bits holds 8 bits twice, and is read as Pillow reads it.
    """
    found = (colors >> 8).astype(np.uint8)[:, indices]  # (3, height, width, pages)
    return np.moveaxis(found, 0, -1).reshape(*indices.shape[:2], -1)


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
        If it has no pixels, more than Pillow allows, or too many bands.
    """
    height, width, bands = layout
    if 0 in layout:
        raise ValueError("it has no pixels")
    limit = require_pillow().MAX_IMAGE_PIXELS
    if limit is not None and height * width * max(1, bands / 4) > limit:
        raise ValueError(
            f"it has more than PIL.Image.MAX_IMAGE_PIXELS = {limit}, of four bands each"
        )
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
