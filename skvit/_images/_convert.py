"""Between the form in which X came and (n_samples, height, width, channels)."""

import numpy as np

from skvit._images._spec import ImageSpec


def to_images(X: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """View X, whose form is that of `spec`, as (n_samples, height, width, channels)."""
    if spec.ndim == 2:
        # Splitting an axis never copies, whatever the strides are.
        X = X.reshape(len(X), *_stored_shape(spec))
    elif spec.ndim == 3:
        X = X[..., np.newaxis]
    return np.moveaxis(X, 1, 3) if spec.channels_first else X


def from_images(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Return (n_samples, height, width, channels) in the form of `spec`."""
    X = np.moveaxis(images, 3, 1) if spec.channels_first else images
    if spec.ndim == 4:
        return X
    shape = _stored_shape(spec) if spec.ndim == 3 else (spec.n_features,)
    return X.reshape(len(X), *shape[: spec.ndim - 1])


def _stored_shape(spec: ImageSpec) -> tuple[int, int, int]:
    """Shape of one image in the order in which its values are stored."""
    if spec.channels_first:
        return spec.channels, spec.height, spec.width
    return spec.shape
