import numpy as np
import pandas as pd

from skvit import ViTClassifier
from skvit.inspection import TrainingCurveDisplay


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_draws_the_history(pyplot, small_digits):
    clf, _, _ = small_digits
    display = TrainingCurveDisplay.from_estimator(clf)
    assert set(display.lines_) == {"train_loss", "learning_rate"}
    assert display.ax_.shape == (2, 1)
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2])
        np.testing.assert_array_equal(line.get_ydata(), clf.history_[name])
    assert [legend(panel) for panel in display.ax_[:, 0]] == [
        ["training loss"],
        ["learning rate"],
    ]
    assert display.ax_[-1, 0].get_xlabel() == "epoch"


def test_validation_has_its_own_curves(pyplot, digits):
    X, y = digits
    clf = ViTClassifier(embed_dim=8, depth=1, num_heads=2, max_epochs=2)
    clf.fit(X[:40], y[:40], X_val=X[40:60], y_val=y[40:60])
    display = TrainingCurveDisplay.from_estimator(clf)
    assert set(display.lines_) == set(clf.history_) & {
        "train_loss",
        "valid_loss",
        "valid_score",
        "learning_rate",
    }
    scores = display.lines_["valid_score"].get_ydata()
    np.testing.assert_array_equal(scores, clf.validation_scores_)


def test_two_losses_are_told_apart(pyplot):
    history = pd.DataFrame(
        {"epoch": range(1, 41), "train_loss": 1.0, "valid_loss": 2.0}
    )
    display = TrainingCurveDisplay(history=history).plot()
    train, valid = display.lines_["train_loss"], display.lines_["valid_loss"]
    assert train.get_color() != valid.get_color()
    assert train.get_linestyle() != valid.get_linestyle()
    assert legend(display.ax_[0, 0]) == ["training loss", "validation loss"]
    assert train.get_marker() == ""


def test_history_is_a_copy(pyplot, small_digits):
    clf, _, _ = small_digits
    display = TrainingCurveDisplay.from_estimator(clf)
    display.history["train_loss"] = 0.0
    assert (clf.history_["train_loss"] > 0).all()
