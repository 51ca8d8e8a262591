"""PositionSimilarityDisplay: whether the network has learned the image's grid."""

import numpy as np

from skvit.inspection._network import check_estimator
from skvit.inspection._plot._figure import lay_out, make_axes, make_mosaic

_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_NUMBERS_PER_INCH, _MOST_NUMBERS = 4, 16


def read_positions(config, weights):
    """Return what is added to the patches, (num_patches, embed_dim).

    Raises
    ------
    ValueError
        If nothing is added.
    """
    if config.pos_embed in ("none", "rope"):
        raise ValueError(
            f"`pos_embed`={config.pos_embed!r} adds no positions to the tokens that "
            "could be compared; fit with 'learned', 'sincos' or 'sincos2d'."
        )
    return weights["pos_embed.table"][-config.num_patches :]


def cosine_similarities(table):
    """Return the cosine of the angle between any two rows."""
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    directions = table / np.maximum(norms, np.finfo(table.dtype).tiny)
    return directions @ directions.T


class PositionSimilarityDisplay:
    """How similar each patch's position is to all the others.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    similarities : ndarray of shape (n_rows, n_columns, n_rows, n_columns)
        Cosine similarity of the position in the first two axes to that in the last
        two.

    Attributes
    ----------
    ax_ : Axes
        A grid of grids: the small one in row i and column j shows the similarities of
        the patch there. Of sequences and tables, which have one row of patches, a
        matrix.
    figure_ : Figure
        The figure.
    image_ : AxesImage
        What was drawn.
    colorbar_ : Colorbar
        Its scale.

    See Also
    --------
    PatchEmbeddingDisplay : The other learned table that the input meets.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
       arXiv:2010.11929, figure 7.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import PositionSimilarityDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> display = PositionSimilarityDisplay.from_estimator(clf)
    >>> display.similarities.shape
    (4, 4, 4, 4)
    """

    def __init__(self, *, similarities):
        self.similarities = similarities

    def plot(self, ax=None, *, cmap="PuOr"):
        """Draw.

        Parameters
        ----------
        ax : Axes or None, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default="PuOr"
            Colours from -1 to 1.

        Returns
        -------
        self : PositionSimilarityDisplay
            With what was drawn.
        """
        n_rows, n_columns = self.similarities.shape[:2]
        proportion = 1.0 if n_rows == 1 else (n_rows / n_columns) ** 2
        height = min(9.0, max(2.4, 5.0 * proportion))
        ax = make_axes(ax, 1, 1, panel_size=(6.4, height))[0, 0]
        if n_rows == 1:
            shown = self.similarities.reshape(n_columns, n_columns)
            labels = ("position compared", "position")
        else:
            shown, step = make_mosaic(self.similarities)
            labels = ("column of the patch", "row of the patch")
            ax.set_facecolor("0.75")
        self.image_ = ax.imshow(
            shown, cmap=cmap, vmin=-1, vmax=1, interpolation="nearest"
        )
        ax.set(xlabel=labels[0], ylabel=labels[1])
        self.ax_, self.figure_ = ax, ax.figure
        beside = ax.inset_axes((1.02, 0.0, 0.04, 1.0))  # as high as the image
        self.colorbar_ = self.figure_.colorbar(
            self.image_, cax=beside, label="cosine similarity", ticks=_TICKS
        )
        lay_out(self.figure_)  # only now do the image's size and place fit
        if n_rows > 1:
            _number(ax, (n_rows, n_columns), step)
        return self

    @classmethod
    def from_estimator(cls, clf, *, ax=None, **kwargs):
        """Compare the positions of a fitted classifier and draw the result.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        ax : Axes or None, default=None
            Where to draw.
        **kwargs : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        PositionSimilarityDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the network adds no positions to its tokens.
        """
        config = check_estimator(clf)._config
        similarities = cosine_similarities(read_positions(config, clf._weights))
        return cls(similarities=similarities.reshape(*config.grid, *config.grid)).plot(
            ax, **kwargs
        )


def _number(ax, grid, steps):
    """Write numbers to the small grids at their middles, as many as there is room."""
    ax.apply_aspect()
    box = ax.get_window_extent()
    for axis, count, step, length in zip(
        (ax.yaxis, ax.xaxis), grid, steps, (box.height, box.width), strict=True
    ):
        room = max(1, int(_NUMBERS_PER_INCH * length / ax.figure.dpi))
        shown = np.arange(0, count, -(-count // min(room, _MOST_NUMBERS)))
        axis.set_ticks(shown * step + step / 2 - 1, [str(i) for i in shown])
