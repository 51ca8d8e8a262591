"""How patches lie on an image."""

from numbers import Integral
from typing import Any

from skvit._images._spec import ImageSpec

Pair = tuple[int, int]


def check_pair(name: str, value: Any) -> Pair:
    """Return a parameter that is one length or (height, width) as a pair.

    Raises
    ------
    TypeError
        If it is not made of integers.
    ValueError
        If there are not one or two of them, or one is not positive.
    """
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    message = f"`{name}` must be a positive integer or (height, width); got {value!r}."
    if any(isinstance(size, bool) or not isinstance(size, Integral) for size in pair):
        raise TypeError(message)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(message)
    return int(pair[0]), int(pair[1])


def resolve_patch_size(patch_size: Any, spec: ImageSpec) -> Pair:
    """Return height and width of the patches on images of `spec`.

    Parameters
    ----------
    patch_size : int or tuple of int
        Side of a square patch, or (height, width), in pixels.
    spec : ImageSpec
        What the images are. On a table, which is one pixel high, patches are cut down
        to its height and width.

    Returns
    -------
    tuple of int
        Height and width.

    Raises
    ------
    TypeError
        If `patch_size` is not made of integers.
    ValueError
        If `patch_size` is not one or two positive lengths, or is larger than the image.
    """
    height, width = check_pair("patch_size", patch_size)
    if spec.kind == "table":
        return 1, min(width, spec.width)
    if height > spec.height or width > spec.width:
        raise ValueError(
            f"`patch_size`={patch_size!r} is larger than the images of {spec.height} x "
            f"{spec.width} pixels. Choose patches of at most that size."
        )
    return height, width


def resolve_stride(stride: Any, patch_size: Any, spec: ImageSpec) -> Pair:
    """Return the steps, down and right, from one patch to the next.

    Parameters
    ----------
    stride : int, tuple of int or None
        The steps in pixels; None for patches side by side.
    patch_size : int or tuple of int
        Size of the patches.
    spec : ImageSpec
        What the images are. On a table, steps are cut down as its patches are.

    Returns
    -------
    tuple of int
        Steps down and right.

    Raises
    ------
    TypeError
        If `stride` is not made of integers.
    ValueError
        If `stride` is not one or two positive lengths, or is longer than the patch, so
        that pixels would be lost.
    """
    size = resolve_patch_size(patch_size, spec)
    if stride is None:
        return size
    down, right = check_pair("stride", stride)
    height, width = check_pair("patch_size", patch_size)
    if down > height or right > width:
        raise ValueError(
            f"`stride`={stride!r} is longer than `patch_size`={patch_size!r}: pixels "
            "between the patches would be lost. Choose a stride of at most the patch."
        )
    return min(down, size[0]), min(right, size[1])


def grid_shape(image_size: Pair, patch_size: Pair, stride: Pair) -> Pair:
    """Return how many patches lie below and beside one another on an image."""
    rows, columns = (
        1 + max(0, -(-(length - patch) // step))
        for length, patch, step in zip(image_size, patch_size, stride, strict=True)
    )
    return rows, columns


def pad_amounts(image_size: Pair, patch_size: Pair, stride: Pair) -> Pair:
    """Return by how many pixels the last patches reach over the image's edges."""
    grid = grid_shape(image_size, patch_size, stride)
    bottom, right = (
        (count - 1) * step + patch - length
        for count, step, patch, length in zip(
            grid, stride, patch_size, image_size, strict=True
        )
    )
    return bottom, right
