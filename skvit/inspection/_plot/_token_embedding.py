"""TokenEmbeddingDisplay: how the network has arranged the images."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skvit.inspection._network import open_network
from skvit.inspection._plot._figure import make_axes

# Okabe and Ito's colours without yellow, which is too faint on white, and three darker
# ones, for ten classes; with any kind of colour vision the three are as far from the
# others as these are from each other. Markers tell apart what colours cannot: nine, so
# that the eleventh class does not look like the first.
_COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"),
    *("#AA3377", "#7F3B08", "#004D40"),
)
_MARKERS = "os^vDPX*<"


def pooled_features(clf, X):
    """Return the vectors that the head reads, (n_samples, embed_dim)."""
    network = open_network(clf, X)
    return network.over_batches(lambda part: network.watch(part, "pooled")["pooled"])


def project(features):
    """Return two principal components of features, and the shares of the variance.

    Signs are such that the entry of greatest size of each direction is positive.
    """
    centred = features - features.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    variance = np.append(sizes**2, 0.0)
    ratio = variance[:2] / max(variance.sum(), np.finfo(float).tiny)
    # A single image or feature has no second direction.
    plane = np.zeros((2, features.shape[1]), dtype=features.dtype)
    plane[: len(directions)] = directions[:2]
    largest = plane[np.arange(2), np.abs(plane).argmax(axis=1)]
    return centred @ (plane * np.where(largest < 0, -1, 1)[:, None]).T, ratio


class TokenEmbeddingDisplay:
    """Images as points, near where the network has found them alike.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Places of the images.
    labels : ndarray of shape (n_samples,)
        Their classes.
    explained_variance_ratio : ndarray of shape (2,)
        Share of the variance along each axis.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    points_ : dict of label to PathCollection
        What was drawn, by class.

    See Also
    --------
    sklearn.decomposition.PCA : The projection.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import TokenEmbeddingDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> display = TokenEmbeddingDisplay.from_estimator(clf, X[:50], y[:50])
    >>> display.embedding.shape
    (50, 2)
    """

    def __init__(self, *, embedding, labels, explained_variance_ratio):
        self.embedding = embedding
        self.labels = labels
        self.explained_variance_ratio = explained_variance_ratio

    def plot(self, ax=None, *, size=25):
        """Draw.

        Parameters
        ----------
        ax : Axes or None, default=None
            Where to draw; None makes a figure.
        size : float, default=25
            Area of a point, in square points of print.

        Returns
        -------
        self : TokenEmbeddingDisplay
            With what was drawn.
        """
        ax = make_axes(ax, 1, 1, panel_size=(6.0, 4.6))[0, 0]
        self.points_ = {}
        for number, label in enumerate(np.unique(self.labels)):
            chosen = self.labels == label
            self.points_[label] = ax.scatter(
                *self.embedding[chosen].T,
                s=size,
                color=_COLORS[number % len(_COLORS)],
                marker=_MARKERS[number % len(_MARKERS)],
                alpha=0.75,
                linewidths=0,
                label=str(label),
            )
        first, second = self.explained_variance_ratio
        ax.set(
            xlabel=f"first principal component ({first:.0%})",
            ylabel=f"second principal component ({second:.0%})",
        )
        ax.legend(
            title="class",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            ncols=1 + (len(self.points_) - 1) // 12,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_estimator(cls, clf, X, y=None, *, ax=None, **kwargs):
        """Place images by the features that a fitted classifier's head reads.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        X : array-like
            Images in any form that the estimator accepts.
        y : array-like of shape (n_samples,) or None, default=None
            Their classes; None takes the predicted ones.
        ax : Axes or None, default=None
            Where to draw.
        **kwargs : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        TokenEmbeddingDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If X and y differ in length.
        """
        embedding, ratio = project(pooled_features(clf, X))
        labels = clf.predict(X) if y is None else column_or_1d(y)
        check_consistent_length(embedding, labels)
        display = cls(
            embedding=embedding, labels=labels, explained_variance_ratio=ratio
        )
        return display.plot(ax, **kwargs)
