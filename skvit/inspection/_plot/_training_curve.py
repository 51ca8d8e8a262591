"""TrainingCurveDisplay: how training went, epoch by epoch."""

from skvit.inspection._network import check_estimator
from skvit.inspection._plot._figure import make_axes

# Colours of Okabe and Ito, which are told apart with any kind of colour vision.
_TRAINING, _VALIDATION, _RATE = "#0072B2", "#D55E00", "#009E73"
# For each panel, columns of the history with their labels and colours. The labels stand
# in the legends: beside narrow panels they would reach into each other.
_PANELS = (
    (
        ("train_loss", "training loss", _TRAINING),
        ("valid_loss", "validation loss", _VALIDATION),
    ),
    (("valid_score", "validation score", _VALIDATION),),
    (("learning_rate", "learning rate", _RATE),),
)


class TrainingCurveDisplay:
    """Loss, validation score and learning rate over the epochs.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    history : DataFrame
        One row for each epoch, as `history_` of a fitted estimator: the column
        "epoch" and any of "train_loss", "valid_loss", "valid_score", "learning_rate".

    Attributes
    ----------
    ax_ : ndarray of Axes of shape (n_panels, 1)
        One panel for each of loss, validation score and learning rate that there is.
    figure_ : Figure
        The figure.
    lines_ : dict of str to Line2D
        What was drawn, by column of the history.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores over the number of samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvit import ViTClassifier
    >>> from skvit.inspection import TrainingCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ViTClassifier(depth=2, max_epochs=2).fit(X[:100], y[:100])
    >>> display = TrainingCurveDisplay.from_estimator(clf)
    >>> sorted(display.lines_)
    ['learning_rate', 'train_loss']
    """

    def __init__(self, *, history):
        self.history = history

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes or array of Axes or None, default=None
            Where to draw: one for each panel, or one to be divided. None makes a
            figure.

        Returns
        -------
        self : TrainingCurveDisplay
            With what was drawn.
        """
        present = [
            [curve for curve in curves if curve[0] in self.history]
            for curves in _PANELS
        ]
        panels = [curves for curves in present if curves]
        axes = make_axes(ax, len(panels), 1, panel_size=(5.5, 2.0))
        self.lines_ = {}
        for panel, curves in zip(axes[:, 0], panels, strict=True):
            self._draw(panel, curves)
        for panel in axes[:-1, 0]:
            panel.tick_params(labelbottom=False)
        axes[-1, 0].set_xlabel("epoch")
        self.ax_, self.figure_ = axes, axes[0, 0].figure
        return self

    @classmethod
    def from_estimator(cls, clf, *, ax=None):
        """Draw the history of a fitted classifier.

        Parameters
        ----------
        clf : ViTClassifier
            The fitted estimator.
        ax : Axes or array of Axes or None, default=None
            Where to draw.

        Returns
        -------
        TrainingCurveDisplay
            What was drawn.
        """
        return cls(history=check_estimator(clf).history_.copy()).plot(ax)

    def _draw(self, ax, curves):
        """Draw one panel."""
        epochs = self.history["epoch"]
        marker = "o" if len(epochs) <= 30 else ""
        for column, name, color in curves:
            (self.lines_[column],) = ax.plot(
                epochs,
                self.history[column],
                color=color,
                label=name,
                marker=marker,
                markersize=3,
                linestyle="--" if column == "valid_loss" else "-",
            )
        ax.legend()
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
