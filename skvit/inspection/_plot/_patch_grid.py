"""PatchGridDisplay: images cut as the network sees them."""

import numpy as np

from skvit.inspection._plot._attention_map import read_images
from skvit.inspection._plot._figure import (
    GAP_COLOR,
    find_scale,
    make_axes,
    make_mosaic,
    panel_size,
    show_image,
    to_displayed,
)

_MAX_NUMBERED = 64  # more numbers than this are not readable


def cut(images, config, fill):
    """Cut images into their patches, padded as the network pads them.

    Returns (n_samples, rows, columns, patch height, patch width, channels).
    """
    n_samples, height, width, channels = images.shape
    grid, patch = config.grid, config.patch_size
    padded = np.empty(
        (n_samples, grid[0] * patch[0], grid[1] * patch[1], channels), dtype=float
    )
    padded[:] = fill
    padded[:, :height, :width] = images
    shape = (n_samples, grid[0], patch[0], grid[1], patch[1], channels)
    return padded.reshape(shape).swapaxes(2, 3)


class PatchGridDisplay:
    """Images as they are, and cut into the patches that become tokens.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width, n_channels)
        The images as they came.
    patches : ndarray of shape (n_samples, n_rows, n_columns, patch_height, \
            patch_width, n_channels)
        Their patches, in the same scale, padding included.

    Attributes
    ----------
    ax_ : ndarray of Axes of shape (2, n_samples)
        Images in the first row, patches in the second.
    figure_ : Figure
        The figure.
    images_, patches_ : list of AxesImage
        What was drawn.
    numbers_ : list of Text
        Numbers of the first image's patches, where there are at most 64.

    See Also
    --------
    skvit.PatchTransformer : The patches as features.

    Notes
    -----
    Where patches do not divide an image, it is padded on the right and at the bottom
    with the mean of the training images. With `patch_embed="overlap"` a token is
    computed from its patch and the pixels around it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import PatchGridDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(4, depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> display = PatchGridDisplay.from_estimator(clf, X[:2])
    >>> display.patches.shape
    (2, 2, 2, 4, 4, 1)
    """

    def __init__(self, *, images, patches):
        self.images = images
        self.patches = patches

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes or array of Axes or None, default=None
            Where to draw: one to be divided, or two for each image. None makes a
            figure.

        Returns
        -------
        self : PatchGridDisplay
            With what was drawn.
        """
        axes = make_axes(
            ax, 2, len(self.images), panel_size=panel_size(self.images, 2.4)
        )
        scale = find_scale(self.images)
        self.images_ = [
            show_image(panel, image)
            for panel, image in zip(
                axes[0], to_displayed(self.images, scale), strict=True
            )
        ]
        mosaics = [_in_color(tiles) for tiles in to_displayed(self.patches, scale)]
        self.patches_ = [
            show_image(panel, mosaic)
            for panel, (mosaic, _) in zip(axes[1], mosaics, strict=True)
        ]
        for panel in axes[1]:
            panel.set_axis_off()
        grid = self.patches.shape[1:3]
        self.numbers_ = (
            _number(axes[1, 0], grid, mosaics[0][1])
            if grid[0] * grid[1] <= _MAX_NUMBERED
            else []
        )
        self.ax_, self.figure_ = axes, axes.flat[0].figure
        return self

    @classmethod
    def from_estimator(cls, clf, X, *, ax=None):
        """Cut images as a fitted classifier does and draw them.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        X : array-like
            Some images, in any form that the estimator accepts.
        ax : Axes or array of Axes or None, default=None
            Where to draw.

        Returns
        -------
        PatchGridDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the patches were cut before.
        """
        images = np.array(read_images(clf, X))
        patches = cut(images, clf._config, clf.channel_mean_)
        return cls(images=images, patches=patches).plot(ax)


def _in_color(tiles):
    """Return patches as a mosaic in colour, so that gaps differ from gray values."""
    if tiles.ndim == 4:
        tiles = np.repeat(tiles[..., None], 3, axis=-1)
    return make_mosaic(tiles, fill=GAP_COLOR)


def _number(ax, grid, step):
    """Write the patches' numbers into their upper left corners."""
    return [
        ax.text(
            column * step[1] - 0.3,
            row * step[0] - 0.3,
            str(row * grid[1] + column),
            fontsize="x-small",
            verticalalignment="top",
            color="white",
            bbox={"facecolor": "black", "pad": 0.8, "linewidth": 0, "alpha": 0.7},
        )
        for row in range(grid[0])
        for column in range(grid[1])
    ]
