"""Folders of images as a table."""

import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

_SUFFIXES = frozenset(
    {
        *(".bmp", ".dib", ".gif", ".jpeg", ".jpg", ".npy"),
        *(".png", ".tif", ".tiff", ".webp"),
    }
)


def load_image_folder(path: str | PathLike) -> Any:
    """List the images in a folder that has one folder for each class.

    No image is read.

    Parameters
    ----------
    path : str or path
        The folder. Each folder in it is a class, and holds the images of the class
        itself or in folders of its own. Hidden files and folders, and files whose
        suffix is not that of a format of images, are passed over. Links are followed,
        but to no folder a second time in a class, nor to one that the class is in.

    Returns
    -------
    DataFrame of shape (n_images, 2)
        The columns "path" and "label", which is the name of the class's folder, sorted
        by both.

    Raises
    ------
    ValueError
        If there is no such folder, it has no folders, or one of them has no images.

    See Also
    --------
    ViTClassifier : Takes the column of paths as X.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skvit import ViTClassifier, load_image_folder
    >>> root = Path(tempfile.mkdtemp())
    >>> for label, brightness in [("day", 200), ("night", 20)]:
    ...     (root / label).mkdir()
    ...     for number in range(5):
    ...         image = np.full((16, 16), brightness + number, dtype=np.uint8)
    ...         np.save(root / label / f"{number}.npy", image)
    >>> images = load_image_folder(root)
    >>> images["label"].value_counts().to_dict()
    {'day': 5, 'night': 5}
    >>> clf = ViTClassifier(embed_dim=16, depth=1, max_epochs=2, random_state=0)
    >>> clf.fit(images[["path"]], images["label"]).image_shape_
    (16, 16, 1)
    """
    import pandas as pd

    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"`path`={str(path)!r} is not an existing folder.")
    classes = sorted(item for item in root.iterdir() if _is_class(item))
    if not classes:
        raise ValueError(
            f"`path`={str(path)!r} has no folders; it must have one for each class."
        )
    found = [(str(image), item.name) for item in classes for image in _images(item)]
    empty = {item.name for item in classes} - {label for _, label in found}
    if empty:
        raise ValueError(
            f"The folders {sorted(empty)} of {str(path)!r} have no images "
            f"({', '.join(sorted(_SUFFIXES))}). Remove them."
        )
    return pd.DataFrame(found, columns=["path", "label"])


def _is_class(item: Path) -> bool:
    """Say whether something is a folder that is to be seen."""
    return item.is_dir() and not item.name.startswith(".")


def _images(folder: Path) -> list[Path]:
    """List the images in a folder and in those below it."""
    return sorted(
        item
        for home, names in _walk(folder)
        for item in (home / name for name in names)
        if item.suffix.lower() in _SUFFIXES
        and not item.name.startswith(".")
        and item.is_file()
    )


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below it, each once, with the names of their files."""
    seen = set(folder.resolve().parents)
    for home, folders, files in os.walk(folder, followlinks=True):
        real = Path(home).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(home), files
