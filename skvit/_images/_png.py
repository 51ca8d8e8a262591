"""What Pillow does not say of PNG files at once: deep colours and late tags."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from skvit._utils._optional import require

# Where Pillow's `info` may hold a tag of orientation, by the names of texts in PNG.
TAGS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_MARKS = (b"eXIf", b"exif\0", b"xmp\0")  # a type of chunk, and how those names end
_END = 2**17  # bytes; JPEG, which most tags come from, has room for half as many
_DEEP_BANDS = {"LA;16B": 2, "RGB;16B": 3, "RGBA;16B": 4}  # gray ones stay with Pillow


def deep_png_bands(picture: Any) -> int:
    """Return the number of bands of a PNG that Pillow would lose bits of, or else 0.

    Raises
    ------
    ImportError
        If the library is missing that reads it.
    """
    if picture.format != "PNG" or not picture.tile:
        return 0
    stored_as = picture.tile[0][3]
    bands = _DEEP_BANDS.get(stored_as, 0)
    if bands:
        _require_imagecodecs()
    # A colour that is declared transparent becomes a fourth band.
    return bands + (stored_as == "RGB;16B" and "transparency" in picture.info)


def read_deep_png(path: str) -> np.ndarray:
    """Return a PNG of 16 bits for each colour as (height, width, bands)."""
    return _require_imagecodecs().png_decode(Path(path).read_bytes())


def has_late_tags(picture: Any) -> bool:
    """Say whether tags follow the pixels of a PNG, where Pillow has not looked yet.

    Only its end is searched: to go from chunk to chunk would read most of a large file.
    What looks like a tag among the pixels costs time and nothing else.
    """
    if picture.format != "PNG" or not picture.tile:
        return False
    file, pixels = picture.fp, picture.tile[0][2]
    file.seek(pixels - 8)
    pixels_end = pixels + int.from_bytes(file.read(4), "big")  # of their first chunk
    file_end = file.seek(0, os.SEEK_END)
    file.seek(max(pixels_end, file_end - _END))
    tail = file.read()
    return any(mark in tail for mark in _MARKS)


def _require_imagecodecs() -> ModuleType:
    """Import the library that keeps all bits."""
    purpose = "Reading PNG files of 16 bits for each colour"
    return require("imagecodecs", "images", purpose)
