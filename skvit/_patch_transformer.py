"""Images to patches as columns."""

from copy import copy
from dataclasses import replace
from itertools import product
from math import prod
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skvit._images import (
    check_images,
    check_patches,
    from_images,
    grid_shape,
    patchify,
    resolve_patch_size,
    resolve_stride,
    unpatchify,
)
from skvit._options import ImageOptions
from skvit._utils._sklearn import (
    Interval,
    StrOptions,
    check_feature_names_in,
    fit_context,
    get_output_config,
)

_LENGTH = Interval(Integral, 1, None, closed="left")


class PatchTransformer(TransformerMixin, BaseEstimator):
    """Cut each image into patches and lay them out as columns.

    Every image stays one row, so that the transformer can stand before any estimator
    in a pipeline, and the values keep their dtype. Patches are cut from the top left
    corner on, row by row; where they reach over the bottom or the right of the image,
    zeros fill them.

    Parameters
    ----------
    patch_size : int or tuple of int, default=4
        Side of a square patch, or (height, width), in pixels. Of flat rows that are
        no images it is the number of columns, or all of them where there are fewer.
    stride : int, tuple of int or None, default=None
        Step from one patch to the next, or (down, right), in pixels, at most the
        patch size. None lays the patches side by side; smaller steps let them overlap.
    image_shape : tuple of int or None, default=None
        Shape of one image before it was flattened: (height, width), or (height,
        width, channels) or (channels, height, width) as `channels` says. Without it,
        flat rows are square gray images if they have 64, 81, 100, ... values, and
        tables otherwise, which are treated as images one pixel high. Flat rows of
        several channels need it, in `transform` as in `fit`.
    channels : {"auto", "first", "last"}, default="auto"
        Where the channels stand in an X of four axes and in `image_shape`. "auto"
        takes the axis that is 1, 3 or 4.
    flatten : bool, default=True
        Whether `transform` returns one row for each image. Otherwise it returns a
        sequence of patches for each image, which is what
        ``ViTClassifier(patch_size="precomputed")`` takes.
    image_options : ImageOptions or None, default=None
        How images are read and resized. Values are never normalised here, files
        that cannot be read are never skipped, and no image is kept in a cache.

    Attributes
    ----------
    image_spec_ : ImageSpec
        Size and form of the images seen in `fit`.
    image_shape_ : tuple of int
        Height, width and number of channels of an image.
    patch_size_ : tuple of int
        Height and width of a patch, in pixels.
    stride_ : tuple of int
        Steps down and right from one patch to the next, in pixels.
    grid_shape_ : tuple of int
        Number of patches below and beside one another.
    n_features_in_ : int
        Number of values in one image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in `fit`, if X had names that are all strings.

    See Also
    --------
    sklearn.feature_extraction.image.PatchExtractor : Samples patches and returns each
        as a row of its own: the rows no longer match the labels, no patch knows its
        image, and the images cannot be put together again. This class keeps one row
        per image, takes all patches, and has an exact inverse.
    ViTClassifier : Cuts its patches itself, or takes these.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import PatchTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> patches = PatchTransformer(patch_size=4, flatten=False)
    >>> patches.fit_transform(X).shape
    (1797, 4, 16)
    >>> patches.set_params(flatten=True).fit_transform(X).shape
    (1797, 64)
    >>> patches.get_feature_names_out()[:2]
    array(['patch0_0_pixel0_0_channel0', 'patch0_0_pixel0_1_channel0'], dtype=object)
    >>> bool((patches.inverse_transform(patches.transform(X)) == X).all())
    True
    """

    _parameter_constraints = {
        "patch_size": [_LENGTH, tuple, list],
        "stride": [_LENGTH, tuple, list, None],
        "image_shape": [tuple, list, None],
        "channels": [StrOptions({"auto", "first", "last"})],
        "flatten": ["boolean"],
        "image_options": [ImageOptions, None],
    }

    def __init__(
        self,
        patch_size=4,
        *,
        stride=None,
        image_shape=None,
        channels="auto",
        flatten=True,
        image_options=None,
    ):
        self.patch_size = patch_size
        self.stride = stride
        self.image_shape = image_shape
        self.channels = channels
        self.flatten = flatten
        self.image_options = image_options

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the size of the images.

        Parameters
        ----------
        X : array-like, tensor or DataFrame
            Images of shape (n_samples, height, width), (n_samples, height, width,
            n_channels), (n_samples, n_channels, height, width), or flat rows of shape
            (n_samples, n_features). Also a list, tuple, series, array of objects or
            frame of one column that holds single arrays, images of Pillow, or paths of
            files; or a stored array that is read by slices.
        y : None
            Ignored.

        Returns
        -------
        self : PatchTransformer
            The fitted transformer. If an error is raised, it is left as it was.

        Raises
        ------
        TypeError
            If X does not hold numbers, or sizes are no integers.
        ValueError
            If X is empty, has missing, infinite or complex values or another number
            of axes; if the channels cannot be told; if a patch is larger than the
            images, or the stride is longer than the patch.
        """
        draft = copy(self)
        _, spec = draft._check_input(X, reset=True)
        draft.image_spec_ = spec
        draft.image_shape_ = spec.shape
        draft.patch_size_ = resolve_patch_size(self.patch_size, spec)
        draft.stride_ = resolve_stride(self.stride, self.patch_size, spec)
        draft.grid_shape_ = grid_shape(
            (spec.height, spec.width), draft.patch_size_, draft.stride_
        )
        self.__dict__ = draft.__dict__
        return self

    def transform(self, X):
        """Cut images into patches.

        Parameters
        ----------
        X : array-like, tensor or DataFrame
            Images of the size seen in `fit`, in any of the forms that `fit` takes.

        Returns
        -------
        ndarray of shape (n_samples, n_patches * n_values) or \
                (n_samples, n_patches, n_values)
            The patches of each image in a row, or, with ``flatten=False``, one below
            the other. The values of a patch come in (row, column, channel) order, in
            the dtype of X.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        TypeError
            If X does not hold numbers.
        ValueError
            If X holds other images than those of `fit`, or missing, infinite or
            complex values; with ``flatten=False``, if `set_output` asks for a frame.
        """
        check_is_fitted(self)
        container = get_output_config("transform", estimator=self)["dense"]
        if not self.flatten and container != "default":
            raise ValueError(
                "`flatten`=False gives patches of three axes, which no frame can hold; "
                f"got set_output(transform={container!r}). Use flatten=True, or "
                "set_output(transform='default')."
            )
        images, _ = self._check_input(X, reset=False)
        patches = patchify(images, self.patch_size_, self.stride_)
        return patches.reshape(len(patches), -1) if self.flatten else patches

    def inverse_transform(self, X):
        """Put patches together to images.

        Parameters
        ----------
        X : array-like, tensor or DataFrame of shape \
                (n_samples, n_patches * n_values) or (n_samples, n_patches, n_values)
            Patches as `transform` returns them, with or without ``flatten``.

        Returns
        -------
        ndarray
            Images in the form in which `fit` saw them: flat rows, gray images, or
            images with their channels first or last. Where patches overlap, their
            mean; what they reached over the image is left out.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        TypeError
            If X does not hold numbers.
        ValueError
            If X has another shape, or missing, infinite or complex values.
        """
        check_is_fitted(self)
        patches = check_patches(
            self, X, prod(self.grid_shape_), prod(self._patch_shape)
        )
        images = unpatchify(patches, self.image_shape_, self.patch_size_, self.stride_)
        return from_images(images, self.image_spec_)

    def get_feature_names_out(self, input_features=None):
        """Name the values of the patches by their place.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input, which are checked and otherwise not used. A column of
            images or paths has one name, whatever it is.

        Returns
        -------
        ndarray of str objects
            One name for each value, ``patch{row}_{column}_pixel{row}_{column}_\
channel{channel}``, the pixel counted within its patch.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If `input_features` are not those of `fit`.
        """
        check_is_fitted(self)
        is_column = input_features is not None and len(input_features) == 1
        if self.image_spec_.ndim == 2 or not is_column:
            check_feature_names_in(self, input_features, generate_names=False)
        places = product(*map(range, self.grid_shape_ + self._patch_shape))
        names = [f"patch{r}_{c}_pixel{y}_{x}_channel{k}" for r, c, y, x, k in places]
        return np.asarray(names, dtype=object)

    def _check_input(self, X, *, reset):
        """Return images in their own type, and what one of them is."""
        options = (self.image_options or ImageOptions()).check().reading()
        return check_images(
            self,
            X,
            reset=reset,
            image_shape=self.image_shape,
            channels=self.channels,
            spec=None if reset else self.image_spec_,
            options=replace(options, cache=0),  # no image is read a second time
        )

    @property
    def _patch_shape(self):
        """Height, width and channels of a patch."""
        return (*self.patch_size_, self.image_shape_[2])

    def __sklearn_tags__(self):
        """Declare the forms of X, and the dtypes that stay as they are."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = [
            "float64",
            "float32",
            "float16",
            "int64",
            "uint8",
            "bool",
        ]
        return tags
