"""One file of an image: what it holds, and its pixels."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np

from skvit._images._convert import to_images
from skvit._images._datasets import check_values
from skvit._images._pillow import pillow_channels, pillow_dtype, pillow_to_array
from skvit._images._png import TAGS, deep_png_bands, has_late_tags, read_deep_png
from skvit._images._resize import Size, inner_size, resize_image
from skvit._images._shape import find_stack
from skvit._images._tiff import needs_tifffile, read_tiff, tiff_layout
from skvit._images._tiff_whole import check_whole
from skvit._utils._optional import require_pillow

# None of these decoders runs another program, as that of PostScript does.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # a drive of Windows has one letter
_ORIENTATION = 0x0112  # Exif 2.3, section 4.6.4
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Windows would change line ends; without the second, a pipe would wait for a writer.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_WHOLE = 2**16  # bytes up to which a file is read at once, which spares many calls
# NumPy parses an array's head as Python, which 3.11 may fail to do in two threads at
# once: https://github.com/python/cpython/issues/106905.
_PARSING = Lock()
if hasattr(os, "register_at_fork"):  # a child would wait for a thread that it has not
    os.register_at_fork(
        before=_PARSING.acquire,
        after_in_parent=_PARSING.release,
        after_in_child=_PARSING.release,
    )


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What the head of a file says of its image.

    Parameters
    ----------
    height, width, channels : int
        Size as decoded, turned upright.
    dtype : dtype
        Type of the numbers.
    decoder : {"pillow", "png", "tiff", "npy"}
        Who reads it; "png" is for those of which Pillow would lose bits.
    orientation : int, default=1
        How it is to be turned, by its tag.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype
    decoder: str
    orientation: int = 1


def open_file(
    path: str,
    color: str,
    channels: str,
    on_picture: Callable[[ImageFile, Any], None] | None = None,
) -> ImageFile:
    """Read the head of a file.

    Parameters
    ----------
    path : str
        The file.
    color : {"auto", "gray", "rgb", "rgba"}
        Channels that pictures of 8 bits are read with.
    channels : {"auto", "first", "last"}
        Where arrays have their channels.
    on_picture : callable or None, default=None
        Gets what the file holds and, while it is open, Pillow's image of it, which
        `read_picture` decodes. Not called where Pillow does not read the file.

    Returns
    -------
    ImageFile
        What it holds.

    Raises
    ------
    ValueError
        If it is a URL, is no file, is empty, or does not hold an image.
    """
    if _URL.match(path):
        raise ValueError("it is a URL, and nothing is ever fetched: download it first")
    if path.lower().endswith(".npy"):
        _check_status(os.stat(path))  # noqa: PTH116 - a Path would double the time
        return _array_file("npy", *_array_layout(_map(path), channels))
    picture = _open_picture(path)
    if picture is None:
        check_whole(path)
        return _array_file("tiff", *tiff_layout(path))
    with picture:
        if picture.format == "TIFF":
            check_whole(path)
        file = _picture_file(picture, color)
        if on_picture is not None and file.decoder == "pillow":
            on_picture(file, picture)
        return file


def read_file(
    path: str,
    file: ImageFile,
    channels: int,
    size: Size | None,
    aspect: str,
    order: str,
) -> np.ndarray:
    """Decode a file.

    Parameters
    ----------
    path : str
        Where it is.
    file : ImageFile
        What it holds.
    channels : int
        Number of channels of the result.
    size : tuple of int or None
        Height and width to bring it to.
    aspect : {"pad", "stretch"}
        What happens where the sides have another proportion.
    order : {"auto", "first", "last"}
        Where arrays have their channels.

    Returns
    -------
    ndarray of shape (height, width, channels)
        The pixels in the type that the file has.
    """
    if file.decoder == "pillow":
        with _open_bounded(path) as picture:
            return read_picture(picture, file, channels, size, aspect)
    if file.decoder == "npy":
        image = _channels_last(_map(path), order)
    else:
        image = {"tiff": read_tiff, "png": read_deep_png}[file.decoder](path)
    upright = _upright(check_values(image, "it"), file.orientation)
    return _finish(upright, file, size, aspect)


def read_picture(
    picture: Any, file: ImageFile, channels: int, size: Size | None, aspect: str
) -> np.ndarray:
    """Decode what Pillow has opened, a large JPEG at a smaller size.

    Parameters
    ----------
    picture : PIL.Image.Image
        The open file; the rest as for `read_file`.
    file : ImageFile
        What it holds.
    channels : int
        Number of channels of the result.
    size : tuple of int or None
        Height and width to bring it to.
    aspect : {"pad", "stretch"}
        What happens where the sides have another proportion.

    Returns
    -------
    ndarray of shape (height, width, channels)
        The pixels in the type that the file has, turned upright.
    """
    if size is not None and picture.format in {"JPEG", "MPO"}:
        sides = inner_size((file.height, file.width), size, aspect)
        # Twice the size, so that the filter still has pixels to average over.
        height, width = 2 * sides[0], 2 * sides[1]
        turned = file.orientation > 4
        picture.draft(None, (height, width) if turned else (width, height))
    pixels = _upright(pillow_to_array(picture, channels), file.orientation)
    return _finish(pixels, file, size, aspect)


def _finish(
    image: np.ndarray, file: ImageFile, size: Size | None, aspect: str
) -> np.ndarray:
    """Return an image in the machine's byte order, at the size asked for."""
    image = image.astype(file.dtype, copy=False)
    return image if size is None else resize_image(image, size, aspect)


def _check_status(status: os.stat_result) -> None:
    """Raise unless there is something to read.

    Raises
    ------
    ValueError
        If it is no file, or is empty.
    """
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if not status.st_size:
        raise ValueError("it is empty")


def _source(path: str) -> str | BytesIO:
    """Return all bytes of a small file, or else its path.

    Raises
    ------
    ValueError
        If it is no file, or is empty.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        _check_status(status)
        if status.st_size > _WHOLE:
            return path
        return BytesIO(os.read(descriptor, status.st_size))
    finally:
        os.close(descriptor)


def _open_bounded(path: str) -> Any:
    """Open a file with Pillow, which only warns of what may be a bomb.

    Raises
    ------
    DecompressionBombError
        If it has more pixels than Pillow's limit.
    """
    Image = require_pillow()
    picture = Image.open(_source(path), formats=FORMATS)
    width, height = picture.size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        picture.close()
        raise Image.DecompressionBombError(f"{width} x {height} pixels")
    return picture


def _open_picture(path: str) -> Any | None:
    """Open a file with Pillow, unless it is a TIFF of which Pillow would lose a part.

    Raises
    ------
    UnidentifiedImageError
        If it is no image at all.
    """
    Image = require_pillow()
    try:
        picture = _open_bounded(path)
    except Image.UnidentifiedImageError:
        if _is_tiff(path):
            return None
        raise
    if picture.format == "TIFF" and needs_tifffile(picture):
        picture.close()
        return None
    return picture


def _picture_file(picture: Any, color: str) -> ImageFile:
    """Describe a picture that Pillow has opened.

    Raises
    ------
    ValueError
        If it has no pixels.
    """
    width, height = picture.size
    if not width or not height:
        raise ValueError("it has no pixels")
    bands = deep_png_bands(picture)
    orientation = _orientation(picture)
    if bands:
        deep = np.dtype(np.uint16)
        return _array_file("png", (height, width, bands), deep, orientation)
    if orientation > 4:  # a quarter turn
        width, height = height, width
    return _of_kind(picture.mode, color, height, width, orientation)


@lru_cache
def _of_kind(
    mode: str, color: str, height: int, width: int, orientation: int
) -> ImageFile:
    """Describe all pictures that are alike by one object."""
    channels = pillow_channels(mode, color)
    dtype = pillow_dtype(mode)
    return ImageFile(height, width, channels, dtype, "pillow", orientation)


def _array_file(
    decoder: str, shape: tuple[int, ...], dtype: np.dtype, orientation: int = 1
) -> ImageFile:
    """Describe a file that is read as an array of (height, width, channels)."""
    height, width, channels = shape
    if orientation > 4:
        width, height = height, width
    return ImageFile(height, width, channels, dtype, decoder, orientation)


def _is_tiff(path: str) -> bool:
    """Say whether a file begins as a TIFF does."""
    with open(path, "rb") as file:  # noqa: PTH123 - as for the status
        return file.read(4) in _TIFF_MARKS


def _orientation(picture: Any) -> int:
    """Return how the camera was held, as Pillow's ``ImageOps.exif_transpose`` finds it.

    Only a PNG with its tags behind its pixels is decoded for that. Pillow turns TIFF
    files itself.
    """
    if picture.format == "TIFF":
        return 1
    if has_late_tags(picture):
        picture.load()
    if picture.info.keys().isdisjoint(TAGS):
        return 1
    try:
        # The method of a PNG itself would decode it.
        tags = require_pillow().Image.getexif(picture)
    except Exception:  # broken tags raise anything, and hurt no pixel
        return 1
    orientation = tags.get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image as its tag says."""
    if orientation == 1:
        return pixels
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)  # 5 is the transpose, 6 to 8 turn it on
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    flips = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1)}
    down, right = flips[orientation]
    return pixels[::down, ::right]


def _map(path: str) -> np.ndarray:
    """Map an array in a file to memory; nothing in it can be Python objects."""
    with _PARSING:
        return np.lib.format.open_memmap(path, mode="r")


def _array_layout(array: np.ndarray, channels: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape that an array has with its channels last, and its type."""
    return _channels_last(array, channels).shape, array.dtype.newbyteorder("=")


def _channels_last(array: np.ndarray, channels: str) -> np.ndarray:
    """View one image as (height, width, channels).

    Raises
    ------
    ValueError
        If it has another number of axes, no pixels, or no real numbers.
    """
    is_image = array.ndim in {2, 3} and array.size
    if not is_image or array.dtype.kind not in "biuf":
        raise ValueError(
            f"it holds an array of shape {array.shape} and dtype {array.dtype}; an "
            "image is (height, width) or (height, width, channels) of real numbers"
        )
    return to_images(array[None], find_stack((1, *array.shape), channels, None, ""))[0]
