"""One image at another size."""

import numpy as np

from skvit._utils._optional import require_pillow

Size = tuple[int, int]


def resized_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type of resized values: booleans become shares of what was true."""
    return np.dtype(np.float32) if dtype.kind == "b" else dtype


def inner_size(size: Size, target: Size, aspect: str) -> Size:
    """Return the size at which an image is drawn on one of the size `target`.

    Parameters
    ----------
    size, target : tuple of int
        Height and width.
    aspect : {"pad", "stretch"}
        Whether the proportion of the sides is kept.

    Returns
    -------
    tuple of int
        Height and width, at least 1 and at most those of `target`.
    """
    if aspect == "stretch":
        return target
    scale = min(target[0] / size[0], target[1] / size[1])
    height, width = (max(1, round(side * scale)) for side in size)
    return min(height, target[0]), min(width, target[1])


def resize_image(image: np.ndarray, target: Size, aspect: str) -> np.ndarray:
    """Draw an image at another size, averaging over the pixels that fall together.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels)
        Real numbers of any type.
    target : tuple of int
        Height and width of the result.
    aspect : {"pad", "stretch"}
        "pad" keeps the proportion of the sides, centres the image and fills the rest
        with zeros, as Pillow's ``ImageOps.pad`` does.

    Returns
    -------
    ndarray of shape (*target, channels)
        Values in the type of the image, whole numbers rounded; of booleans, float32.
    """
    size = inner_size(image.shape[:2], target, aspect)
    drawn = image if size == image.shape[:2] else _resample(image, size)
    drawn = drawn.astype(resized_dtype(image.dtype), copy=False)
    if size == target:
        return drawn
    result = np.zeros((*target, image.shape[2]), drawn.dtype)
    top, left = (round((t - s) / 2) for t, s in zip(target, size, strict=True))
    result[top : top + size[0], left : left + size[1]] = drawn
    return result


def _resample(image: np.ndarray, size: Size) -> np.ndarray:
    """Resize all channels, at once where Pillow can."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return _draw(image, size)
    if image.dtype == np.uint8:
        bands = [_draw(image[..., k], size) for k in range(image.shape[2])]
        return np.stack(bands, axis=-1)
    values = image.astype(np.float32)
    bands = [_draw(values[..., k], size) for k in range(image.shape[2])]
    return _back_to(image.dtype, np.stack(bands, axis=-1))


def _draw(band: np.ndarray, size: Size) -> np.ndarray:
    """Resize what is one image to Pillow, with its antialiasing triangle filter."""
    Image = require_pillow()
    height, width = size
    drawn = Image.fromarray(np.ascontiguousarray(band))
    return np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR))


def _back_to(dtype: np.dtype, values: np.ndarray) -> np.ndarray:
    """Return float32 values in the type they had, rounded where it is whole."""
    if dtype.kind == "b":
        return values
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # The largest 64-bit integers are not floats, and the next float is beyond them.
    exact = dtype.itemsize < 8
    top = float(limits.max) if exact else np.nextafter(float(limits.max), 0)
    return np.rint(values.astype(np.float64)).clip(limits.min, top).astype(dtype)
