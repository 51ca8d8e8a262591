"""
Rare classes
============

Where one class is rare, a classifier that is right most of the time may never name it.
``class_weight="balanced"`` weighs the images of each class in the loss inversely to
their number.
"""

# %%
# Handwritten eights among other digits that resemble them: many of the others, few
# eights.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier

digits = load_digits()
X_all, y_all = digits.images, np.where(digits.target == 8, "eight", "other")
X_train, X_test, y_train, y_test = train_test_split(
    X_all, y_all, stratify=y_all, random_state=0
)
rng = np.random.default_rng(0)
eights, others = (np.flatnonzero(y_train == name) for name in ("eight", "other"))
kept = np.concatenate([rng.choice(eights, 30, replace=False), others[:600]])
X_train, y_train = X_train[kept], y_train[kept]
print(pd.Series(y_train).value_counts().to_string())

# %%
# The same network three times: as it is, with balanced classes, and with weights of our
# own for each image, which come to the same.

options = {"max_epochs": 20, "random_state": 0}
weight = np.where(y_train == "eight", 630 / (2 * 30), 630 / (2 * 600))
models = {
    "all images alike": ViTClassifier(**options).fit(X_train, y_train),
    "balanced classes": ViTClassifier(class_weight="balanced", **options).fit(
        X_train, y_train
    ),
    "own weights": ViTClassifier(**options).fit(X_train, y_train, sample_weight=weight),
}

# %%
# The share of eights and of others that each finds, on digits that it has not seen.

rows = {}
for name, clf in models.items():
    guess = clf.predict(X_test)
    eight, other = recall_score(y_test, guess, average=None, labels=["eight", "other"])
    rows[name] = {
        "eights found": eight,
        "others found": other,
        "balanced accuracy": balanced_accuracy_score(y_test, guess),
    }
table = pd.DataFrame(rows).T
print(table.to_string(float_format="{:.2f}".format))

figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
table.iloc[::-1, 1::-1].plot.barh(ax=ax, color=["#BBBBBB", "#0072B2"], xlim=(0, 1))
ax.set(xlabel="share found")
handles, labels = ax.get_legend_handles_labels()
ax.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
