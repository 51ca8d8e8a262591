"""Pillow's images as arrays."""

import sys
from functools import cache
from typing import Any

import numpy as np

from skvit._utils._optional import require_pillow

_GRAY_MODES = {"1", "L", "LA", "La"}
_DEEP_MODES = {"I": np.int32, "F": np.float32}
_COLORS = {"gray": 1, "rgb": 3, "rgba": 4}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_pillow(item: Any) -> bool:
    """Say whether something is an image of Pillow, without loading it."""
    Image = sys.modules.get("PIL.Image")
    return Image is not None and isinstance(item, Image.Image)


@cache
def pillow_dtype(mode: str) -> np.dtype:
    """Return the type of the numbers of an image of a mode."""
    if mode.startswith("I;16"):
        return np.dtype(np.uint16)
    return np.dtype(_DEEP_MODES.get(mode, np.uint8))


def pillow_channels(mode: str, color: str) -> int:
    """Return the number of channels that an image of a mode is read with.

    Parameters
    ----------
    mode : str
        Pillow's name for its kind.
    color : {"auto", "gray", "rgb", "rgba"}
        What is asked for. "auto" is gray where the image is, and else three colours:
        palettes are looked up, and what is transparent is shown on white. Deep images
        are gray whatever is asked.

    Returns
    -------
    {1, 3, 4}
        The number.
    """
    if pillow_dtype(mode) != np.uint8:
        return 1
    return _COLORS.get(color, 1 if mode in _GRAY_MODES else 3)


def pillow_to_array(image: Any, channels: int) -> np.ndarray:
    """Return an image of Pillow as numbers.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode.
    channels : {1, 3, 4}
        Gray, colour, or colour with alpha.

    Returns
    -------
    ndarray of shape (height, width, channels)
        The values as uint8, or in the type of a deep image.
    """
    dtype = pillow_dtype(image.mode)
    if dtype != np.uint8:
        return np.asarray(image).astype(dtype, copy=False)[..., np.newaxis]
    if image.mode == "La":  # premultiplied, which Pillow turns into nothing but LA
        image = image.convert("LA")
    if channels != 4 and image.has_transparency_data:
        image = _on_white(image)
    if image.mode != _MODES[channels]:
        image = image.convert(_MODES[channels])
    values = np.asarray(image)
    return values[..., np.newaxis] if channels == 1 else values


def _on_white(image: Any) -> Any:
    """Show what is transparent on white."""
    image = image.convert("RGBA")
    white = require_pillow().new("RGBA", image.size, "white")
    return require_pillow().alpha_composite(white, image).convert("RGB")
