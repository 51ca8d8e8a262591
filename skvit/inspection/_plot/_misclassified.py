"""MisclassifiedDisplay: the worst errors, with what the network looked at."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skvit._images import select_images
from skvit.inspection._network import CheckedImages, check_count
from skvit.inspection._plot._attention_map import make_maps, overlay, read_images
from skvit.inspection._plot._figure import (
    make_axes,
    panel_size,
    shorten,
    show_image,
    to_displayed,
)

_TRUE, _OTHER = "#0072B2", "#BBBBBB"
_N_BARS = 3
_BAR_HEIGHT = 0.4


def worst_errors(probabilities, codes, n_images):
    """Return the rows of the errors that are least sure of the true class."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != codes)
    order = np.argsort(probabilities[wrong, codes[wrong]], kind="stable")
    return wrong[order[:n_images]]


class MisclassifiedDisplay:
    """Images whose true class a classifier gives the least probability.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width, n_channels)
        The images, the worst first.
    maps : ndarray of shape (n_images, height, width)
        A value for each pixel: where the network looks.
    probabilities : ndarray of shape (n_images, n_classes)
        Probability of each class.
    true_labels : ndarray of shape (n_images,)
        What they are.
    classes : ndarray of shape (n_classes,)
        Labels in the order of the probabilities.
    indices : ndarray of shape (n_images,)
        Their rows in X.

    Attributes
    ----------
    ax_ : ndarray of Axes of shape (3, n_images)
        Images, maps and probabilities; a single panel where there is no error.
    figure_ : Figure
        The figure.
    images_, maps_ : list of AxesImage
        What was drawn.
    bars_ : list of BarContainer
        The largest probabilities and that of the true class.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are taken for which.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import MisclassifiedDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=1).fit(X[:100], y[:100])
    >>> display = MisclassifiedDisplay.from_estimator(clf, X, y, n_images=3)
    >>> display.images.shape
    (3, 8, 8, 1)
    """

    def __init__(self, *, images, maps, probabilities, true_labels, classes, indices):
        self.images = images
        self.maps = maps
        self.probabilities = probabilities
        self.true_labels = true_labels
        self.classes = classes
        self.indices = indices

    def plot(self, ax=None, *, cmap=None, alpha=0.7):
        """Draw.

        Parameters
        ----------
        ax : Axes or array of Axes or None, default=None
            Where to draw: one to be divided, or three for each image. None makes a
            figure.
        cmap : str or Colormap or None, default=None
            Colours of the maps, as of :class:`AttentionMapDisplay`.
        alpha : float, default=0.7
            Opacity of the maps over the images.

        Returns
        -------
        self : MisclassifiedDisplay
            With what was drawn.
        """
        self.images_, self.maps_, self.bars_ = [], [], []
        if not len(self.images):
            self.ax_ = make_axes(ax, 1, 1, panel_size=(3.0, 1.5))
            panel = self.ax_[0, 0]
            panel.set_axis_off()
            panel.text(0.5, 0.5, "no errors", ha="center", transform=panel.transAxes)
        else:
            self.ax_ = make_axes(
                ax, 3, len(self.images), panel_size=panel_size(self.images, 1.9)
            )
            shown = to_displayed(self.images)
            look = {"is_signed": np.min(self.maps) < 0, "cmap": cmap, "alpha": alpha}
            for number, column in enumerate(self.ax_.T):
                self._draw(number, column, shown[number], look)
        self.figure_ = self.ax_.flat[0].figure
        return self

    @classmethod
    def from_estimator(
        cls, clf, X, y, *, n_images=6, method="rollout", ax=None, **kwargs
    ):
        """Find the worst errors of a fitted classifier and draw them.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        X : array-like
            Images in any form that the estimator accepts.
        y : array-like of shape (n_samples,)
            Their true classes.
        n_images : int, default=6
            The most to draw.
        method : {"attention", "rollout", "relevance", "occlusion"}, default="rollout"
            Maps to draw, as of :class:`AttentionMapDisplay`; of the predicted class.
        ax : Axes or array of Axes or None, default=None
            Where to draw.
        **kwargs : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        MisclassifiedDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `n_images` is below one, `method` is unknown, X and y differ in length,
            y has a class unknown from training, or the patches were cut before.
        TypeError
            If `n_images` is no integer.
        """
        check_count("n_images", n_images)
        images, y = read_images(clf, X), column_or_1d(y)
        check_consistent_length(images, y)
        probabilities = clf.predict_proba(X)
        worst = worst_errors(probabilities, clf._codes(y, "y"), n_images)
        images, maps = _look(clf, images, worst, method)
        display = cls(
            images=images,
            maps=maps,
            probabilities=probabilities[worst],
            true_labels=y[worst],
            classes=clf.classes_,
            indices=worst,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, number, panels, image, look):
        """Draw one image, its map and its probabilities."""
        row = self.probabilities[number]
        truth = self.true_labels[number]
        title = f"{self.classes[row.argmax()]}, not {truth}"
        self.images_.append(show_image(panels[0], image, title))
        self.maps_.append(overlay(panels[1], image, self.maps[number], **look))
        self.bars_.append(_draw_bars(panels[2], row, self.classes, truth))


def _look(clf, images, rows, method):
    """Return some of the images, and their maps."""
    if not len(rows):
        return np.empty((0, *images.shape[1:])), np.empty((0, *images.shape[1:3]))
    chosen = np.array(select_images(images, rows))
    return chosen, make_maps(clf, CheckedImages(chosen), method)


def _draw_bars(ax, probabilities, classes, truth):
    """Draw the largest probabilities, and the true class's if it is not among them."""
    shown = list(np.argsort(-probabilities, kind="stable")[:_N_BARS])
    true = int(np.searchsorted(classes, truth))
    if true not in shown:
        shown[-1] = true
    places = np.arange(len(shown))
    bars = ax.barh(
        places,
        probabilities[shown],
        height=_BAR_HEIGHT,
        color=[_TRUE if i == true else _OTHER for i in shown],
    )
    ax.bar_label(bars, fmt="%.2f", padding=2, fontsize="small")
    names = [shorten(ax, str(classes[i])) for i in shown]
    # Above their bars names may be as long as the panel is wide.
    tops = places - _BAR_HEIGHT / 2
    ax.set_yticks(tops, names, fontsize="small", ha="left", va="bottom")
    ax.tick_params(axis="y", length=0, pad=-4)
    ax.set(xlim=(0, 1.4), ylim=(len(shown) - 0.7, -0.9), xticks=[])
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    return bars
