"""Images in files, decoded by threads a batch at a time."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from skvit._images._cache import DecodedCache
from skvit._images._files import (
    FORMATS,
    ImageFile,
    open_file,
    read_file,
    read_picture,
)
from skvit._images._gather import sizes_differ
from skvit._images._options import ReadOptions
from skvit._images._quiet import quiet_decoders
from skvit._images._resize import resized_dtype
from skvit._images._spec import ImageSpec
from skvit._utils._optional import require_pillow

_HEADS = 64  # files that a thread opens at a time: handing over each costs as much
_SMALL = 2**14  # pixels, up to which opening a file again costs more than decoding it


@dataclass
class _Batch:
    """Images that are being decoded.

    Parameters
    ----------
    rows : ndarray of shape (n_images,)
        Which ones.
    images : ndarray of shape (n_images, height, width, channels)
        Where they go.
    tasks : list of Future
        What still puts some there.
    """

    rows: np.ndarray
    images: np.ndarray
    tasks: list[Future] = field(default_factory=list)


class FileReader:
    """Read the images of many files.

    Parameters
    ----------
    paths : list
        The file of each row. What is no path counts as unreadable.
    channels : {"auto", "first", "last"}
        Where arrays in files have their channels.
    options : ReadOptions
        How to read.
    known : ImageSpec or None, default=None
        What the images must be, if that is known.
    source : str, default=""
        Who says so, for the message.

    Raises
    ------
    ValueError
        If a file cannot be read and the options do not skip it, if none can, or if
        files hold images of different sizes or kinds.
    """

    def __init__(
        self,
        paths: list,
        channels: str,
        options: ReadOptions,
        known: ImageSpec | None = None,
        source: str = "",
    ):
        require_pillow()
        self.paths = paths
        self.order = channels
        self.options = options
        self.n_threads = options.n_threads or n_cores()
        self._pool = ThreadPoolExecutor(self.n_threads, "skvit-read")
        self._ahead: _Batch | None = None
        self._problems: dict[int, str] = {}
        self._cache = DecodedCache(len(paths), options.cache)
        self._files = self._open_all()
        self.spec, self.dtype = self._common(known, source)
        self._cache.settle(self.spec.shape, self.dtype)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of some rows.

        Raises
        ------
        ValueError
            If a file cannot be decoded, with its name and row.
        """
        batch, self._ahead = self._ahead, None
        if batch is None or not np.array_equal(batch.rows, rows):
            batch = self._start(rows)
        # No frame of this function may hold a task that failed: its error would hold
        # the frame, and so itself and all images until the garbage is collected.
        while batch.tasks:
            batch.tasks.pop().result()
        return batch.images

    def expect(self, rows: np.ndarray) -> None:
        """Begin to decode the images of some rows."""
        if len(rows) and not self._cache.holds(rows).all():
            self._ahead = self._start(rows)

    def unreadable(self) -> list[tuple[int, str, str]]:
        """Decode all files; return row, path and reason of each that cannot be."""
        rows = np.flatnonzero(~self._cache.holds(np.arange(len(self.paths))))
        untried = (row for row in rows.tolist() if row not in self._problems)
        tried = self._pool.map(self._try, untried)
        found = {row: reason for row, reason in tried if reason is not None}
        problems = sorted((self._problems | found).items())
        return [(row, str(self.paths[row]), reason) for row, reason in problems]

    def _open_all(self) -> list[ImageFile | None]:
        """Read the heads of all files.

        Raises
        ------
        ValueError
            At the first that cannot be read, unless it is to be skipped; if none can.
        """
        files: list[ImageFile | None] = []
        with quiet_decoders:
            for row, file in enumerate(self._open_by_chunks()):
                if isinstance(file, str):
                    self._problems[row] = file
                files.append(None if isinstance(file, str) else file)
        if len(self._problems) == len(files):
            reasons = "; ".join(list(self._problems.values())[:3])
            name = self.options.name
            raise ValueError(f"None of the files in {name} can be read: {reasons}.")
        return files

    def _open_by_chunks(self) -> Iterable[ImageFile | str]:
        """Open all files in the threads; yield what `_open` returns of each."""
        rows = range(len(self.paths))
        chunks = [rows[start : start + _HEADS] for start in rows[::_HEADS]]
        opened = self._pool.map(lambda chunk: list(map(self._open, chunk)), chunks)
        return chain.from_iterable(opened)

    def _open(self, row: int) -> ImageFile | str:
        """Read the head of a file, or say why it is to be skipped.

        Raises
        ------
        ImportError
            If a library is missing that the file needs.
        MemoryError
            If there is no room for it.
        ValueError
            If it cannot be read and is not to be skipped, with its name and row.
        """
        try:
            path = checked_path(self.paths[row])
            keep = partial(self._keep_small, row)
            return open_file(path, self.options.color, self.order, keep)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # decoders raise anything on broken files
            if self.options.skip:
                return explain(error)
            raise self._refusal(row, error) from error

    def _keep_small(self, row: int, file: ImageFile, picture: Any) -> None:
        """Decode a small picture while it is open, if it can be kept."""
        size, aspect = self.options.size, self.options.aspect
        shape = (*(size or (file.height, file.width)), file.channels)
        is_small = file.height * file.width <= _SMALL
        if is_small and self._cache.wants(row, shape, file.dtype):
            image = read_picture(picture, file, file.channels, size, aspect)
            self._cache.put(row, image)

    def _refusal(self, row: int, error: Exception) -> ValueError:
        """Return the error that names a file and its row."""
        return ValueError(
            f"row {row} of {self.options.name}, {str(self.paths[row])!r}, cannot be "
            f"read: {explain(error)}."
        )

    def _common(
        self, known: ImageSpec | None, source: str
    ) -> tuple[ImageSpec, np.dtype]:
        """Return the size and type that all images are read with.

        Raises
        ------
        ValueError
            If there is none.
        """
        files = [file for file in self._files if file is not None]
        dtype = files[0].dtype
        channels = max(file.channels for file in files)
        if known is not None and known.channels in {3, 4} and dtype == np.uint8:
            channels = max(channels, known.channels)
        kinds = Counter((file.dtype, self._depth(file, channels)) for file in files)
        if len(kinds) > 1:
            raise ValueError(kinds_differ(kinds))
        size = self.options.size
        sizes = Counter((file.height, file.width) for file in files)
        if size is None and len(sizes) > 1:
            raise ValueError(sizes_differ(sizes))
        height, width = size or next(iter(sizes))
        found = ImageSpec(height, width, channels)
        if known is not None and found.shape != known.shape:
            raise ValueError(f"X holds files of {found}, but {source} {known}.")
        return found, dtype if size is None else resized_dtype(dtype)

    def _depth(self, file: ImageFile, channels: int) -> int:
        """Return the channels of a file among others: gray pictures become coloured."""
        is_picture = file.decoder == "pillow" and file.dtype == np.uint8
        return channels if is_picture and channels in {3, 4} else file.channels

    def _start(self, rows: np.ndarray) -> _Batch:
        """Take what is decoded already, and let the threads do the rest."""
        held = self._cache.holds(rows)
        if held.all():
            return _Batch(rows, self._cache.take(rows))
        batch = _Batch(rows, np.empty((len(rows), *self.spec.shape), self.dtype))
        batch.images[held] = self._cache.take(rows[held])
        # Each thread takes the next place as soon as it has done with one.
        places = iter(np.flatnonzero(~held).tolist())
        batch.tasks = [
            self._pool.submit(self._decode_into, rows, batch.images, places)
            for _ in range(self.n_threads)
        ]
        return batch

    def _decode_into(
        self, rows: np.ndarray, images: np.ndarray, places: Iterator[int]
    ) -> None:
        """Decode those images of a batch that no other thread takes."""
        with quiet_decoders:
            for place in places:
                images[place] = self._decode(int(rows[place]))

    def _decode(self, row: int) -> np.ndarray:
        """Decode one image, and remember it.

        Raises
        ------
        ImportError
            If a library is missing that the file needs.
        MemoryError
            If there is no room for the image.
        ValueError
            If it cannot be decoded, with its name and row.
        """
        file, options = self._files[row], self.options
        try:
            if file is None:
                raise ValueError(self._problems[row])
            image = read_file(
                checked_path(self.paths[row]),
                file,
                self.spec.channels,
                options.size,
                options.aspect,
                self.order,
            )
            if image.shape != self.spec.shape:
                raise ValueError(f"it has become an image of shape {image.shape}")
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # as for the heads
            raise self._refusal(row, error) from error
        self._cache.put(row, image)
        return image

    def _try(self, row: int) -> tuple[int, str | None]:
        """Decode one image; return its row and what went wrong."""
        try:
            with quiet_decoders:
                self._decode(row)
        except ValueError as error:
            return row, explain(error.__cause__)
        return row, None


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity: Callable | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def checked_path(path: Any) -> str:
    """Return a path as a string.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"it is {path!r:.80}, not a path")
    path = os.fspath(path)
    if not isinstance(path, str):
        raise ValueError("it is a path of bytes, not of text")
    return path


def explain(error: BaseException | None) -> str:
    """Say in words why a file cannot be read."""
    Image = require_pillow()
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is not an image in one of the formats {', '.join(FORMATS)} and .npy"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"it has more than PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, ValueError | OSError):
        return text
    return f"it is damaged ({type(error).__name__}: {text})"


def kinds_differ(kinds: Counter) -> str:
    """Say which kinds of files were found."""
    listed = ", ".join(
        f"{dtype} with {channels} channel{'s' * (channels > 1)} ({count})"
        for (dtype, channels), count in kinds.most_common()
    )
    return (
        f"X holds files of different kinds: {listed}. Convert them to one, or fit an "
        "estimator on each."
    )
