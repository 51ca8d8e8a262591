"""AttentionMapDisplay: where the network looks, over the images."""

from collections.abc import Callable

import numpy as np

from skvit.inspection._attention import attention_maps, attention_rollout
from skvit.inspection._grid import check_pixels
from skvit.inspection._network import CheckedImages, check_estimator
from skvit.inspection._occlusion import occlusion_map
from skvit.inspection._plot._figure import (
    lay_out,
    make_axes,
    panel_size,
    show_image,
    to_displayed,
)
from skvit.inspection._relevance import attention_relevance


def _last_attention(clf, X, *, upsample):
    """Return the last layer's attention, averaged over the heads."""
    maps = attention_maps(clf, X, layers=-1, queries="pool", upsample=upsample)
    return maps.mean(axis=(1, 2))


# Name -> function of estimator and images that gives maps, and whether of a class.
_METHODS: dict[str, tuple[Callable[..., np.ndarray], bool]] = {
    "attention": (_last_attention, False),
    "rollout": (attention_rollout, False),
    "relevance": (attention_relevance, True),
    "occlusion": (occlusion_map, True),
}


def make_maps(clf, X, method, target=None):
    """Return a map of pixels for each image.

    Raises
    ------
    ValueError
        If there is no such method, or it knows no classes and a target is given.
    """
    if method not in list(_METHODS):  # a list compares what cannot be hashed too
        raise ValueError(f"`method`={method!r} must be one of {sorted(_METHODS)}.")
    function, has_target = _METHODS[method]
    if has_target:
        return function(clf, X, target, upsample=True)
    if target is not None:
        raise ValueError(
            f"`method`={method!r} is the same for every class; leave `target` out, or "
            "use 'relevance' or 'occlusion'."
        )
    return function(clf, X, upsample=True)


def read_images(clf, X):
    """Return raw images of any accepted form, (n_samples, height, width, channels)."""
    images = check_estimator(clf)._check_input(X, reset=False)
    check_pixels(clf._config)
    return images


def overlay(ax, image, values, *, is_signed, cmap, alpha):
    """Draw a map over a fainter, gray image; return the map's artist."""
    gray = image if image.ndim == 2 else image.mean(axis=-1)
    show_image(ax, gray)
    top = max(float(np.abs(values).max()), np.finfo(float).tiny)
    return show_image(
        ax,
        values,
        cmap=cmap or ("PuOr" if is_signed else "viridis"),
        alpha=alpha,
        vmin=-top if is_signed else 0.0,
        vmax=top,
    )


class AttentionMapDisplay:
    """Images, and below them where the network looks.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width, n_channels)
        The images as they came.
    maps : ndarray of shape (n_samples, height, width)
        A value for each pixel.
    titles : list of str or None, default=None
        A title for each image.
    label : str, default="attention"
        What the values are.

    Attributes
    ----------
    ax_ : ndarray of Axes of shape (2, n_samples)
        Images in the first row, maps in the second.
    figure_ : Figure
        The figure.
    images_, maps_ : list of AxesImage
        What was drawn.

    See Also
    --------
    attention_maps, attention_rollout, attention_relevance, occlusion_map : The maps.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import AttentionMapDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> display = AttentionMapDisplay.from_estimator(clf, X[:4])
    >>> display.ax_.shape
    (2, 4)
    """

    def __init__(self, *, images, maps, titles=None, label="attention"):
        self.images = images
        self.maps = maps
        self.titles = titles
        self.label = label

    def plot(self, ax=None, *, cmap=None, alpha=0.7):
        """Draw.

        Parameters
        ----------
        ax : Axes or array of Axes or None, default=None
            Where to draw: one to be divided, or two for each image. None makes a
            figure.
        cmap : str or Colormap or None, default=None
            Colours of the maps, from zero to each map's greatest value. None is
            "viridis", and "PuOr" with zero in its middle where maps go below zero.
        alpha : float, default=0.7
            Opacity of the maps over the images.

        Returns
        -------
        self : AttentionMapDisplay
            With what was drawn.

        Raises
        ------
        ValueError
            If there are not as many titles as images, or not as many axes as are
            drawn on.
        """
        n_images = len(self.images)
        titles = [""] * n_images if self.titles is None else self.titles
        if len(titles) != n_images:
            raise ValueError(
                f"`titles` must be {n_images}, one for each image; got {len(titles)}."
            )
        axes = make_axes(ax, 2, n_images, panel_size=panel_size(self.images, 1.6))
        axes[1, 0].set_ylabel(self.label)
        for panel in axes.flat:
            panel.set(xticks=[], yticks=[])
        lay_out(axes.flat[0].figure)  # beside the label there is less room for titles
        shown = to_displayed(self.images)
        self.images_ = [
            show_image(top, image, title)
            for top, image, title in zip(axes[0], shown, titles, strict=True)
        ]
        look = {"is_signed": np.min(self.maps) < 0, "cmap": cmap, "alpha": alpha}
        self.maps_ = [
            overlay(below, image, values, **look)
            for below, image, values in zip(axes[1], shown, self.maps, strict=True)
        ]
        self.ax_, self.figure_ = axes, axes.flat[0].figure
        return self

    @classmethod
    def from_estimator(
        cls, clf, X, *, method="rollout", target=None, titles=None, ax=None, **kwargs
    ):
        """Compute the maps of a fitted classifier and draw them.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        X : array-like
            Some images, in any form that the estimator accepts.
        method : {"attention", "rollout", "relevance", "occlusion"}, default="rollout"
            "attention" is that of the last layer, averaged over the heads; the others
            are the functions of that name.
        target : label or array-like of shape (n_samples,) or None, default=None
            Class to explain, for "relevance" and "occlusion"; None is the predicted.
        titles : list of str or None, default=None
            A title for each image; None is the predicted class.
        ax : Axes or array of Axes or None, default=None
            Where to draw.
        **kwargs : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        AttentionMapDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `method` is unknown or cannot have a `target`, there are not as many
            titles as images, or the patches were cut before.
        """
        images = np.array(read_images(clf, X))
        if titles is None:
            titles = [str(label) for label in clf.predict(X)]
        display = cls(
            images=images,
            maps=make_maps(clf, CheckedImages(images), method, target),
            titles=titles,
            label=method,
        )
        return display.plot(ax, **kwargs)
