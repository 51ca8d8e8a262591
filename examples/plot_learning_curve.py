"""
How much data is needed
=======================

A Vision Transformer assumes little about images, and has to learn from them what other
models are built to know. scikit-learn's own learning curves show how its accuracy grows
with the number of images, beside two estimators that see pixels as columns.
"""

# %%
# Handwritten digits as flat rows, which all three take. The pixels of 64 columns are
# recognised as images of 8 x 8.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import LearningCurveDisplay, StratifiedShuffleSplit
from sklearn.svm import SVC

from skvit import ViTClassifier

X, y = load_digits(return_X_y=True)
models = {
    "Vision Transformer": ViTClassifier(max_epochs=25, random_state=0),
    "support vectors": SVC(),
    "forest": RandomForestClassifier(random_state=0),
}

# %%
# Each point is the mean of two splits; the bands are their spread. The number of epochs
# is the same everywhere, so that little data also means little training.

COLORS = ("#0072B2", "#D55E00", "#009E73")
splits = StratifiedShuffleSplit(n_splits=2, train_size=0.7, random_state=0)
figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
scores = {}
for color, (name, model) in zip(COLORS, models.items(), strict=True):
    display = LearningCurveDisplay.from_estimator(
        model,
        X,
        y,
        train_sizes=[100, 200, 400],
        cv=splits,
        score_type="test",
        score_name="accuracy",
        ax=ax,
        line_kw={"color": color, "marker": "o"},
        fill_between_kw={"color": color, "alpha": 0.2},
    )
    display.lines_[0].set_label(name)
    scores[name] = display.test_scores.mean(axis=1)
ax.legend(loc="lower right")
ax.set(xlabel="number of training images", ylabel="accuracy on other images")
plt.show()

# %%
# The same in numbers.

table = pd.DataFrame(scores, index=pd.Index(display.train_sizes, name="images"))
print(table.T.to_string(float_format="{:.3f}".format))
