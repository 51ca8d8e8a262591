"""PatchEmbeddingDisplay: the filters that patches are projected by."""

import numpy as np

from skvit.inspection._network import check_estimator
from skvit.inspection._plot._figure import make_axes, make_mosaic, show_image


def read_filters(config, weights):
    """Return the filters that see the pixels, (n_filters, height, width, channels)."""
    if config.patch_embed == "overlap":
        kernel = weights["patch_embed.stages.0.weight"]
        return np.moveaxis(kernel, 1, 3)
    matrix = weights["patch_embed.weight"]
    if config.patch_embed == "conv":
        return np.moveaxis(matrix, 1, 3)
    if config.patch_embed == "sequence":
        return matrix[:, None, :, None]
    # A shifted patch holds the image first and then its copies, channel by channel.
    return matrix.reshape(len(matrix), *config.patch_size, -1)[
        ..., : config.in_channels
    ]


def principal_components(filters):
    """Return components of filters and the share of the variance that each has.

    Signs are such that the entry of greatest size is positive.
    """
    flat = filters.reshape(len(filters), -1)
    _, sizes, components = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(
        components[np.arange(len(components)), largest, None]
    )
    variance = sizes**2
    total = max(variance.sum(), np.finfo(float).tiny)
    return components.reshape(-1, *filters.shape[1:]), variance / total


class PatchEmbeddingDisplay:
    """The learned filters of the patch embedding, and their principal components.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, height, width, n_channels)
        What a patch is multiplied by; with `patch_embed="overlap"`, the kernels of
        the first convolution.
    components : ndarray of shape (n_components, height, width, n_channels)
        Directions in which the filters differ most.
    explained_variance_ratio : ndarray of shape (n_components,)
        Share of the filters' variance along each component.

    Attributes
    ----------
    ax_ : ndarray of Axes of shape (1, 2)
        Filters, then components.
    figure_ : Figure
        The figure.
    filters_, components_ : AxesImage
        What was drawn.

    See Also
    --------
    PositionSimilarityDisplay : The other learned table that the input meets.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
       arXiv:2010.11929, figure 7.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import Architecture, ViTClassifier
    >>> from skvit.inspection import PatchEmbeddingDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> linear = Architecture(patch_embed="linear")
    >>> clf = ViTClassifier(4, depth=2, max_epochs=1, architecture=linear)
    >>> clf = clf.fit(X[:100], y[:100])
    >>> display = PatchEmbeddingDisplay.from_estimator(clf)
    >>> display.components.shape
    (16, 4, 4, 1)
    """

    def __init__(self, *, filters, components, explained_variance_ratio):
        self.filters = filters
        self.components = components
        self.explained_variance_ratio = explained_variance_ratio

    def plot(self, ax=None, *, n_filters=64, n_components=16, cmap="PuOr"):
        """Draw.

        Parameters
        ----------
        ax : Axes or array of two Axes or None, default=None
            Where to draw: two, or one to be divided. None makes a figure.
        n_filters : int, default=64
            The most filters to draw, those of the greatest norm.
        n_components : int, default=16
            The most components to draw, those of the greatest variance.
        cmap : str or Colormap, default="PuOr"
            Colours of filters that have not three channels; its middle is zero.

        Returns
        -------
        self : PatchEmbeddingDisplay
            With what was drawn.
        """
        axes = make_axes(ax, 1, 2, panel_size=(4.0, 4.2))
        norms = np.linalg.norm(self.filters.reshape(len(self.filters), -1), axis=1)
        strongest = self.filters[np.argsort(-norms, kind="stable")][:n_filters]
        first = self.components[:n_components]
        share = self.explained_variance_ratio[: len(first)].sum()
        titles = (
            f"{len(strongest)} of {len(self.filters)} filters",
            f"{len(first)} principal components\n({share:.0%} of the variance)",
        )
        self.filters_, self.components_ = (
            _draw(panel, tiles, title, cmap)
            for panel, tiles, title in zip(
                axes[0], (strongest, first), titles, strict=True
            )
        )
        self.ax_, self.figure_ = axes, axes[0, 0].figure
        return self

    @classmethod
    def from_estimator(cls, clf, *, ax=None, **kwargs):
        """Read the filters of a fitted classifier and draw them.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        ax : Axes or array of two Axes or None, default=None
            Where to draw.
        **kwargs : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        PatchEmbeddingDisplay
            What was drawn.
        """
        check_estimator(clf)
        filters = read_filters(clf._config, clf._weights)
        components, ratio = principal_components(filters)
        display = cls(
            filters=filters, components=components, explained_variance_ratio=ratio
        )
        return display.plot(ax, **kwargs)


def _draw(ax, tiles, title, cmap):
    """Draw tiles in a mosaic near to a square, each on its own scale around zero."""
    scale = np.abs(tiles).max(axis=(1, 2, 3), keepdims=True)
    tiles = tiles / np.maximum(scale, np.finfo(float).tiny)
    n_columns = _columns(tiles)
    n_empty = -len(tiles) % n_columns
    tiles = np.pad(
        tiles, ((0, n_empty), (0, 0), (0, 0), (0, 0)), constant_values=np.nan
    )
    mosaic, _ = make_mosaic(tiles.reshape(-1, n_columns, *tiles.shape[1:]))
    ax.set_facecolor("0.75")
    if mosaic.shape[-1] == 3:
        return show_image(ax, np.nan_to_num((mosaic + 1) / 2, nan=0.75), title)
    return show_image(ax, mosaic.mean(axis=-1), title, cmap=cmap, vmin=-1, vmax=1)


def _columns(tiles):
    """Return into how many columns to lay tiles, for a mosaic as wide as high."""
    count, height, width, _ = tiles.shape
    ideal = np.sqrt(count * (height + 1) / (width + 1))
    return int(min(count, max(1, np.ceil(ideal))))
