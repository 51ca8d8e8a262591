"""PNG files of 16 bits for each colour, of which Pillow keeps 8."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from skvit._utils._optional import require

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


def _require_imagecodecs() -> ModuleType:
    """Import the library that keeps all bits."""
    purpose = "Reading PNG files of 16 bits for each colour"
    return require("imagecodecs", "images", purpose)
