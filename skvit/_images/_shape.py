"""Which axis of X is height, width and channels."""

from dataclasses import replace
from math import isqrt
from numbers import Integral
from typing import Any

from skvit._images._spec import ImageSpec

# Gray, colour, colour with alpha: what an axis of channels is known by.
_CHANNEL_COUNTS = (1, 3, 4)
# Shorter rows are tables even if square: nobody stores images of 7 x 7 pixels, and
# tables of 4, 9, 16 or 25 columns are everywhere.
_SMALLEST_SIDE = 8


def check_image_shape(image_shape: Any, channels: str) -> ImageSpec | None:
    """Return the images that the parameter `image_shape` describes.

    Parameters
    ----------
    image_shape : tuple of int or None
        (height, width), or three sizes in the order that `channels` tells.
    channels : {"auto", "first", "last"}
        Where the number of channels stands among three sizes.

    Returns
    -------
    ImageSpec or None
        The description; None if there is none.

    Raises
    ------
    TypeError
        If `image_shape` is not a sequence of integers.
    ValueError
        If it has not two or three positive sizes, or could be read in two ways.
    """
    if image_shape is None:
        return None
    sizes = _check_sizes(image_shape)
    if len(sizes) == 2:
        return _last((*sizes, 1))
    can_be_first, can_be_last = (sizes[i] in _CHANNEL_COUNTS for i in (0, -1))
    if channels == "first" and can_be_last and not can_be_first:
        return replace(_last(sizes), channels_first=True)
    if channels == "auto":
        if can_be_first == can_be_last and sizes != (1, 1, 1):
            what = f"`image_shape`={tuple(image_shape)}"
            raise ValueError(_ambiguity(what, both=can_be_first))
        channels = "last" if can_be_last else "first"
    return _last(sizes) if channels == "last" else _first(sizes)


def _check_sizes(image_shape: Any) -> tuple[int, ...]:
    """Return two or three sizes as plain integers.

    Raises
    ------
    TypeError
        If they are not integers in a sequence.
    ValueError
        If there are fewer or more, or one is not positive.
    """
    message = (
        "`image_shape` must be (height, width) or three sizes with the channels, all "
        f"positive integers; got {image_shape!r}."
    )
    try:
        sizes = tuple(image_shape)
    except TypeError as error:
        raise TypeError(message) from error
    if any(isinstance(size, bool) or not isinstance(size, Integral) for size in sizes):
        raise TypeError(message)
    if len(sizes) not in {2, 3} or min(sizes) < 1:
        raise ValueError(message)
    return tuple(int(size) for size in sizes)


def _last(sizes: tuple[int, ...]) -> ImageSpec:
    """Read three sizes as height, width, channels."""
    height, width, channels = sizes
    return ImageSpec(height, width, channels)


def _first(sizes: tuple[int, ...]) -> ImageSpec:
    """Read three sizes as channels, height, width."""
    channels, height, width = sizes
    return ImageSpec(height, width, channels, channels_first=True)


def _ambiguity(what: str, *, both: bool) -> str:
    """Say why the axis of channels cannot be told, and how to tell it."""
    reason = (
        "the first axis of an image and the last could both be its channels"
        if both
        else "neither the first axis of an image nor the last has 1, 3 or 4 channels"
    )
    return (
        f"{what} is ambiguous: {reason}. Set channels='first' if an image is "
        "(channels, height, width), channels='last' if it is (height, width, channels)."
    )


def find_rows(
    n_features: int, declared: ImageSpec | None, fitted: ImageSpec | None
) -> ImageSpec:
    """Tell what one flat row of `n_features` values is.

    Raises
    ------
    ValueError
        If it cannot be the image that was declared, or if it has several channels
        and nothing tells their order.
    """
    if declared is not None:
        if declared.n_features != n_features:
            raise ValueError(
                f"`image_shape` asks for images of {declared}, which are "
                f"{declared.n_features} values, but a row of X has {n_features}."
            )
        return replace(declared, ndim=2)
    if fitted is not None:
        if fitted.channels > 1:
            raise ValueError(
                f"flat rows do not tell the order of the {fitted.channels} channels; "
                f"set image_shape={fitted.shape}, or "
                f"image_shape={(fitted.channels, fitted.height, fitted.width)} if all "
                "values of the first channel come first."
            )
        return replace(fitted, ndim=2, channels_first=False)
    side = isqrt(n_features)
    if side >= _SMALLEST_SIDE and side * side == n_features:
        return ImageSpec(side, side, 1, ndim=2)
    return ImageSpec(1, n_features, 1, kind="table", ndim=2)


def find_stack(
    shape: tuple[int, ...], channels: str, known: ImageSpec | None, source: str
) -> ImageSpec:
    """Tell what one image of an X of three or four axes is.

    Parameters
    ----------
    shape : tuple of int
        Shape of X.
    channels : {"auto", "first", "last"}
        Where the channels stand among three sizes.
    known : ImageSpec or None
        What the images must be, if that is known.
    source : str
        Who says so, for the message.

    Returns
    -------
    ImageSpec
        The images, in the form of X.

    Raises
    ------
    ValueError
        If the axis of channels cannot be told, or if no reading is what is known.
    """
    readings = _readings(shape, channels)
    is_open = len(readings) == 2
    if known is not None:
        readings = [one for one in readings if one.shape == known.shape]
        if not readings:
            raise ValueError(_mismatch(shape, known, source))
    elif is_open:
        readings = [one for one in readings if one.channels in _CHANNEL_COUNTS]
    if is_open and len(readings) != 1 and shape[1:] != (1, 1, 1):
        raise ValueError(_ambiguity(f"X of shape {shape}", both=len(readings) == 2))
    return readings[0]


def _readings(shape: tuple[int, ...], channels: str) -> list[ImageSpec]:
    """List what one image of an X of that shape can be."""
    sizes = shape[1:]
    if len(sizes) == 2:
        return [replace(_last((*sizes, 1)), ndim=3)]
    ways = {"last": [_last], "first": [_first], "auto": [_last, _first]}[channels]
    return [read(sizes) for read in ways]


def _mismatch(shape: tuple[int, ...], known: ImageSpec, source: str) -> str:
    """Say that X holds other images than it must."""
    message = f"X of shape {shape} does not hold images of {known}, which {source}."
    if shape == known.shape or shape == (known.channels, *known.shape[:2]):
        message += " If X is one image, pass X[None]."
    return message
