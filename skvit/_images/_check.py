"""The one door for images."""

from typing import Any

import numpy as np

from skvit._images._convert import to_images
from skvit._images._datasets import is_dataset, open_dataset
from skvit._images._forms import check_several, find_items, is_image
from skvit._images._gather import gather_images, resize_stack
from skvit._images._lazy import ImageReader, LazyImages
from skvit._images._numbers import (
    check_features,
    check_rows,
    check_stack,
    to_array_like,
)
from skvit._images._options import ReadOptions
from skvit._images._read import FileReader
from skvit._images._shape import check_image_shape, find_rows, find_stack
from skvit._images._spec import ImageSpec

_AS_THEY_ARE = ReadOptions()


def check_images(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    image_shape: Any = None,
    channels: str = "auto",
    spec: ImageSpec | None = None,
    options: ReadOptions = _AS_THEY_ARE,
) -> tuple[np.ndarray | LazyImages, ImageSpec]:
    """Turn whatever holds images into one array, or what reads like one.

    Parameters
    ----------
    estimator : estimator instance
        Gets `n_features_in_` and `feature_names_in_`, or is held to them.
    X : array-like, tensor or DataFrame
        The images, as numbers of any real type, in one of these forms:

        - (n_samples, height, width): gray;
        - (n_samples, height, width, channels) or (n_samples, channels, height,
          width), as `channels` says. With "auto", the channels are the axis of 1, 3
          or 4, or those that make the images the known ones;
        - (n_samples, n_features): flat rows. They are images of `image_shape`; without
          it, gray images like those of `fit`, or squares of 8 x 8 or larger; any other
          row is a table, which is an image one pixel high.

        Lists, tuples, memory maps, PyTorch's tensors, pandas' and polars' frames and
        whatever else NumPy can read are accepted; so are lists, tuples, arrays of
        objects, series and one-column frames of single images, which are arrays or
        images of Pillow, or of paths of files that hold one image each. Stored arrays
        with a shape, a dtype and slices, such as those of HDF5 and Zarr, are taken for
        what an array of their shape is.
    reset : bool
        Whether this is the input of `fit`.
    image_shape : tuple of int or None, default=None
        Size of one image before it was flattened: (height, width), (height, width,
        channels) or (channels, height, width), as `channels` says. With "auto", the
        channels are the one that is 1, 3 or 4. With "first", (height, width,
        channels) is understood too where the first cannot be the channels; the values
        still come channel by channel. An X that is not flat must agree.
    channels : {"auto", "first", "last"}, default="auto"
        Where the channels stand in X and in `image_shape`.
    spec : ImageSpec or None, default=None
        What `fit` found; None in `fit`.
    options : ReadOptions, default=ReadOptions()
        How images that do not come in flat rows are read and resized.

    Returns
    -------
    images : ndarray or LazyImages of shape (n_samples, height, width, channels)
        The values in their own dtype; a view of X wherever X is an array. Files and
        stored arrays are read when the images are indexed, by batches.
    spec : ImageSpec
        What one image is: the one given, if one was given.

    Raises
    ------
    TypeError
        If X does not hold numbers, is sparse, or is a single image or path; or if
        `image_shape` is not a tuple of integers.
    ValueError
        If X is empty, has missing, infinite or complex values, another number of axes,
        other images than `image_shape` or `spec` says, or several channels in flat
        rows without `image_shape`; if the axis of channels cannot be told; or if the
        sizes of single images differ and the options do not resize them; or if a file
        cannot be read, with its name and row.
    """
    declared = check_image_shape(image_shape, channels)
    if declared is not None and spec is not None and declared.shape != spec.shape:
        raise ValueError(
            f"`image_shape` asks for images of {declared}, but "
            f"{type(estimator).__name__} was fitted on images of {spec}."
        )
    source = (
        f"{type(estimator).__name__} was fitted on"
        if declared is None
        else "`image_shape` asks for"
    )
    check_several(X)
    items = find_items(X)
    if is_dataset(X):
        reader = open_dataset(X, channels, options, declared, spec, source)
        return _read_lazily(estimator, reader, X.shape[0], spec, reset=reset)
    if items is not None and not any(map(is_image, items)):
        files = FileReader(items, channels, options, declared or spec, source)
        return _read_lazily(estimator, files, len(items), spec, reset=reset)
    if items is not None:
        X, channels = gather_images(items, channels, options, declared or spec)
    X = to_array_like(X)
    n_axes = len(X.shape)
    if n_axes < 3:
        X = check_rows(estimator, X, reset=reset)
        found = find_rows(X.shape[1], declared, spec)
    elif n_axes < 5:
        X = check_stack(estimator, X)
        if options.size is not None:
            X = resize_stack(X, channels, options.size, options.aspect)
            channels = "last"
        found = find_stack(X.shape, channels, declared or spec, source)
        check_features(estimator, len(X), found.n_features, reset=reset)
    else:
        raise ValueError(
            f"X of shape {tuple(X.shape)} has {n_axes} axes; images have at most 4: "
            "(n_samples, height, width, channels)."
        )
    return to_images(X, found), found if spec is None else spec


def _read_lazily(
    estimator: Any,
    reader: ImageReader,
    n_samples: int,
    spec: ImageSpec | None,
    *,
    reset: bool,
) -> tuple[LazyImages, ImageSpec]:
    """Return images that stay where they are, and what one of them is."""
    check_features(estimator, n_samples, reader.spec.n_features, reset=reset)
    images = LazyImages(reader, np.arange(n_samples))
    return images, reader.spec if spec is None else spec
