"""
The worst mistakes
==================

Accuracy says how often a classifier errs. Its worst errors say how: which images they
are, what was thought more probable, and where the network was looking.
"""

# %%
# A confusion matrix needs nothing of this package: the estimator is scikit-learn's.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier
from skvit.inspection import MisclassifiedDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.5, random_state=0
)
clf = ViTClassifier(max_epochs=10, random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} digits held out: {clf.score(X_test, y_test):.3f}")
figure, ax = plt.subplots(figsize=(5, 4.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(clf, X_test, y_test, ax=ax, cmap="Blues")
plt.show()

# %%
# The images whose true class got the least probability. Above: what was said, and what
# is true. In the middle: which patches the prediction loses most by, when they are
# covered. Below: the most probable classes, the true one in blue.

display = MisclassifiedDisplay.from_estimator(
    clf, X_test, y_test, n_images=6, method="occlusion"
)
plt.show()

# %%
# Which they are, in numbers.

table = pd.DataFrame(
    {
        "row of X_test": display.indices,
        "is": display.true_labels,
        "read as": clf.classes_[display.probabilities.argmax(axis=1)],
        "with": display.probabilities.max(axis=1),
    }
)
print(table.to_string(index=False, float_format="{:.2f}".format))
