"""Images that came one by one, as one array."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from skvit._images._convert import to_images
from skvit._images._datasets import check_values
from skvit._images._forms import is_image
from skvit._images._numbers import item_to_array
from skvit._images._options import ReadOptions
from skvit._images._pillow import (
    is_pillow,
    pillow_channels,
    pillow_dtype,
    pillow_to_array,
)
from skvit._images._quiet import quiet_decoders
from skvit._images._resize import Size, resize_image, resized_dtype
from skvit._images._shape import find_stack
from skvit._images._spec import ImageSpec

_LISTED = 5


def gather_images(
    items: list, channels: str, options: ReadOptions, known: ImageSpec | None = None
) -> tuple[np.ndarray, str]:
    """Put single images together.

    Parameters
    ----------
    items : list
        Arrays, tensors or images of Pillow.
    channels : {"auto", "first", "last"}
        Where arrays have their channels.
    options : ReadOptions
        The size to bring them to.
    known : ImageSpec or None, default=None
        What the images must be, if that is known.

    Returns
    -------
    stack : ndarray of shape (n_samples, ...)
        All of them.
    channels : {"auto", "first", "last"}
        Where the stack has its channels.

    Raises
    ------
    TypeError
        If an item is no image, or does not hold numbers.
    ValueError
        If sizes differ and no size is asked for, if the channels of an image cannot
        be told, or if Pillow's images have 8 bits and more.
    """
    any_pillow = any(map(is_pillow, items))
    depth = _pillow_depth(items, options.color, known)
    arrays = [_item_to_array(item, row, depth) for row, item in enumerate(items)]
    if options.size is not None:
        arrays = [
            resize_any(array, channels, options.size, options.aspect)
            for array in arrays
        ]
    shapes = Counter(array.shape for array in arrays)
    if len(shapes) > 1:
        same_size = options.size is not None or len({s[:2] for s in shapes}) == 1
        raise ValueError((channels_differ if same_size else sizes_differ)(shapes))
    read_last = any_pillow or options.size is not None
    return np.stack(arrays), "last" if read_last else channels


def sizes_differ(shapes: Counter) -> str:
    """Say which shapes were found, and how to bring them to one size."""
    return (
        f"X holds images of different shapes: {_list_shapes(shapes)}. Bring them to "
        "one size with image_options=ImageOptions(resize=(height, width))."
    )


def channels_differ(shapes: Counter) -> str:
    """Say which shapes images of one size have, which no resizing makes alike."""
    return (
        f"X holds images of one size with different channels: {_list_shapes(shapes)}. "
        "Give all of them as many channels."
    )


def _list_shapes(shapes: Counter) -> str:
    """List shapes, the most frequent first."""
    listed = ", ".join(
        f"{shape} ({count} image{'s' * (count > 1)})"
        for shape, count in shapes.most_common(_LISTED)
    )
    more = f" and {len(shapes) - _LISTED} more" if len(shapes) > _LISTED else ""
    return listed + more


def resize_any(image: np.ndarray, channels: str, size: Size, aspect: str) -> np.ndarray:
    """Return one image of two or three axes at another size.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it has no pixels or another number of axes, its channels cannot be told, or
        its values are beyond the range of float32.
    """
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"X holds an image of dtype {image.dtype}, not of real numbers."
        )
    if image.ndim not in {2, 3} or 0 in image.shape:
        raise ValueError(
            f"X holds an image of shape {image.shape}; an image is (height, width) or "
            "(height, width, channels), every axis at least 1."
        )
    check_values(image, "X")
    spec = find_stack((1, *image.shape), channels, None, "")
    return resize_image(to_images(image[None], spec)[0], size, aspect)


def resize_stack(
    stack: np.ndarray, channels: str, size: Size, aspect: str
) -> np.ndarray:
    """Return images of one size, whose channels can be told, at another.

    Parameters
    ----------
    stack : ndarray of shape (n_samples, height, width) or of four axes
        Real numbers.
    channels : {"auto", "first", "last"}
        Where they have their channels.
    size : tuple of int
        Height and width of the result.
    aspect : {"pad", "stretch"}
        What happens where the sides have another proportion.

    Returns
    -------
    ndarray of shape (n_samples, height, width, channels)
        A view where they have that size and are not boolean.

    Raises
    ------
    ValueError
        If values are missing, infinite or beyond the range of float32.
    """
    spec = find_stack(stack.shape, channels, None, "")
    images = to_images(stack, spec)
    if images.shape[1:3] == size:
        return images.astype(resized_dtype(images.dtype), copy=False)
    check_values(images, "X")
    return np.stack([resize_image(image, size, aspect) for image in images])


def _pillow_depth(items: Iterable, color: str, known: ImageSpec | None) -> int:
    """Return the number of channels that all images of Pillow have room in.

    Raises
    ------
    ValueError
        If some have values of another type, and so of another range, than others.
    """
    modes = Counter(item.mode for item in items if is_pillow(item))
    dtypes = {pillow_dtype(mode) for mode in modes}
    if len(dtypes) > 1:
        listed = ", ".join(f"{mode} ({count})" for mode, count in modes.most_common())
        raise ValueError(
            f"X holds images of Pillow whose values have different types: {listed}. "
            "Convert them to one mode."
        )
    depth = max((pillow_channels(mode, color) for mode in modes), default=1)
    if known is not None and known.channels in {3, 4} and dtypes == {np.dtype("u1")}:
        return max(depth, known.channels)
    return depth


def _item_to_array(item: Any, row: int, depth: int) -> np.ndarray:
    """Return one image as an array.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If Pillow cannot decode it.
    """
    if is_pillow(item):
        return _decoded(item, row, depth)
    if not is_image(item):
        raise TypeError(
            f"row {row} of X is {item!r:.80}, where other rows are images: X must hold "
            "arrays or images of Pillow in every row, or paths in every row."
        )
    return item_to_array(item, row)


def _decoded(image: Any, row: int, depth: int) -> np.ndarray:
    """Return an image of Pillow, which may not have been decoded yet, as an array.

    Raises
    ------
    MemoryError
        If there is no room for it.
    ValueError
        If it cannot be decoded, with its row.
    """
    try:
        with quiet_decoders:
            return pillow_to_array(image, depth)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on broken files
        reason = str(error).rstrip(".") or type(error).__name__
        raise ValueError(
            f"row {row} of X, {image!r:.80}, cannot be read: {reason}."
        ) from error
