"""Whether a TIFF file is all there, which its readers do not always say."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

# TIFF 6.0, section 2, and BigTIFF: what values of each type are; fractions are one.
_TYPES = {
    1: "u1",
    2: "u1",
    3: "u2",
    4: "u4",
    5: "u8",
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    10: "i8",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
_COMPRESSION, _NOT_PACKED = 259, [1]
_STARTS_AND_LENGTHS = ((273, 279), (324, 325))  # of strips, of tiles
# What pixels cannot be told without; what else is broken hurts nobody.
_NEEDED = frozenset(
    {
        *(256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323),
        *(324, 325, 338, 339, 347),
    }
)


@dataclass(frozen=True)
class _Entry:
    """What a directory says of one tag: its number, and which values are where."""

    tag: int
    dtype: np.dtype
    count: int
    place: int


def check_whole(path: str) -> None:
    """Raise if a part of a TIFF file's first image lies beyond the end of the file.

    Parameters
    ----------
    path : str
        The file, which begins as a TIFF does.

    Raises
    ------
    ValueError
        If the file is cut off.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a Path would double the time
        entries = [entry for entry in _read_directory(file) if entry.tag in _NEEDED]
        values = {e.tag: _read(file, e.dtype, e.count, e.place) for e in entries}
        n_bytes = os.fstat(file.fileno()).st_size
    if values.get(_COMPRESSION, _NOT_PACKED) == _NOT_PACKED:
        return  # all readers count the bytes of what is not packed
    for starts, lengths in _STARTS_AND_LENGTHS:
        parts = zip(values.get(starts, []), values.get(lengths, []), strict=False)
        if any(start + length > n_bytes for start, length in parts):
            raise ValueError("it is truncated")


def _read_directory(file: BinaryIO) -> Iterator[_Entry]:
    """Yield the entries of the first image's directory."""
    mark = file.read(4)
    order, is_big = "<" if mark[:2] == b"II" else ">", 43 in mark[2:]
    word, head = (order + size for size in (("u8", "u8") if is_big else ("u4", "u2")))
    row = np.dtype([("tag", order + "u2"), ("type", order + "u2"), ("n", word)])
    room = np.dtype(word).itemsize  # for the values, or for the place where they are
    (start,) = _read(file, np.dtype(word), 1, 8 if is_big else 4)
    (n_rows,) = _read(file, np.dtype(head), 1, start)
    place = start + np.dtype(head).itemsize
    for _ in range(n_rows):
        ((tag, kind, count),) = _read(file, row, 1, place)
        place += row.itemsize
        dtype = np.dtype(order + _TYPES.get(kind, "u1"))
        is_inside = count * dtype.itemsize <= room
        values = place if is_inside else _read(file, np.dtype(word), 1, place)[0]
        yield _Entry(tag, dtype, count, values)
        place += room


def _read(file: BinaryIO, dtype: np.dtype, count: int, place: int) -> list:
    """Return values that lie at a place of the file.

    Raises
    ------
    ValueError
        If the file ends before.
    """
    n_bytes = count * dtype.itemsize
    if place + n_bytes > os.fstat(file.fileno()).st_size:
        raise ValueError("it is truncated")
    file.seek(place)
    return np.frombuffer(file.read(n_bytes), dtype).tolist()
