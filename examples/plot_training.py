"""
Training curves, and when to stop
=================================

With ``early_stopping=True`` a part of the training images is held out, each epoch is
scored on it, training ends when the score no longer improves, and the best weights are
restored. :class:`~skvit.inspection.TrainingCurveDisplay` draws what happened.
"""

# %%
# Some of the handwritten digits. The score that decides is accuracy, unless ``scoring``
# names another.

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier
from skvit.inspection import TrainingCurveDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, train_size=600, random_state=0
)
clf = ViTClassifier(
    max_epochs=60,
    early_stopping=True,
    validation_fraction=0.2,
    n_iter_no_change=8,
    random_state=0,
)
clf.fit(X_train, y_train)
print(f"{clf.n_epochs_} of at most {clf.max_epochs} epochs")
print(f"best validation score: {clf.best_validation_score_:.3f}")
print(f"accuracy on {len(X_test)} digits held out: {clf.score(X_test, y_test):.3f}")

# %%
# Everything recorded, one row for each epoch.

print(clf.history_.tail(5).round(4).to_string(index=False))

# %%
# The same as a picture. The two losses are not of the same images: those of the
# training loss are varied by augmentation, those of the validation loss are as they
# are.

TrainingCurveDisplay.from_estimator(clf)
plt.show()
