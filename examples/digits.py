"""
Handwritten digits, from arrays to a chosen network
===================================================

A Vision Transformer is scored by cross-validation like any other classifier, and its
patch size and depth are searched like any other parameters. The table of the search
is printed, and a picture of it saved: to ``digits.png``, or to the path given.
"""

# %%
# The data: 1797 images of 8 x 8 pixels, which come with scikit-learn.

import sys

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split

from skvit import ViTClassifier

digits = load_digits()
X, y = digits.images, digits.target

# %%
# Five-fold accuracy of the default estimator.

scores = cross_val_score(ViTClassifier(random_state=0), X, y, cv=5)
print("accuracy in five folds:", *(f"{score:.3f}" for score in scores))
print(f"mean accuracy: {scores.mean():.3f}\n")

# %%
# A grid over patch size and depth, with fewer epochs.

X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
search = GridSearchCV(
    ViTClassifier(max_epochs=10, random_state=0),
    {"patch_size": [2, 3], "depth": [2, 4]},
    cv=3,
)
search.fit(X_train, y_train)

columns = {
    "param_patch_size": "patch size",
    "param_depth": "depth",
    "mean_test_score": "accuracy",
    "std_test_score": "spread",
    "mean_fit_time": "seconds",
}
table = pd.DataFrame(search.cv_results_)[list(columns)].rename(columns=columns)
print(table.to_string(index=False, float_format="{:.3f}".format))
print("\nchosen:", search.best_params_)
print(f"accuracy on {len(X_test)} images held out: {search.score(X_test, y_test):.3f}")

# %%
# The search as a map, and what the chosen network says of some images held out.

accuracy = table.pivot(index="patch size", columns="depth", values="accuracy")
probabilities = search.predict_proba(X_test[:12])

figure = plt.figure(figsize=(9, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[2, 3])
ax = left.subplots()
ax.imshow(accuracy, cmap="cividis")
ax.set_xticks(range(accuracy.shape[1]), accuracy.columns)
ax.set_yticks(range(accuracy.shape[0]), accuracy.index)
ax.set(xlabel="depth", ylabel="patch size", title="accuracy in three folds")
middle = accuracy.to_numpy().mean()
for (row, column), value in pd.DataFrame(accuracy.to_numpy()).stack().items():
    colour = "black" if value > middle else "white"
    ax.text(column, row, f"{value:.3f}", color=colour, ha="center", va="center")

right.suptitle("held out: what is read, and how probable it is")
for ax, image, row, label in zip(
    right.subplots(3, 4).flat, X_test, probabilities, y_test, strict=False
):
    guess = row.argmax()
    ax.imshow(image, cmap="gray_r")
    ax.set_title(
        f"{search.classes_[guess]} ({row[guess]:.0%})",
        color="black" if search.classes_[guess] == label else "tab:red",
    )
    ax.axis("off")

figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "digits.png", dpi=120)
