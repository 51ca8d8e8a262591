"""
Images beside tabular columns
=============================

A data frame holds pixels and, beside them, numbers of another kind. Two branches, each
choosing its columns, are stacked: a Vision Transformer sees the pixels, a forest sees
the numbers, and a logistic regression weighs what they say.
"""

# %%
# Each row: the 64 pixels of a handwritten digit, made hard to read by noise, and three
# numbers measured on the clean image: how much ink there is, and where its centre lies.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skvit import ViTClassifier

digits = load_digits(as_frame=True)
pixels, y = digits.data, digits.target
rows, columns = np.divmod(np.arange(64), 8)
ink = pixels.sum(axis=1)
measured = pd.DataFrame(
    {
        "ink": ink,
        "center_row": pixels.to_numpy() @ rows / ink,
        "center_column": pixels.to_numpy() @ columns / ink,
    }
)
noise = np.random.default_rng(0).normal(scale=6, size=pixels.shape)
X = pd.concat([pixels + noise, measured], axis=1)

# %%
# A ColumnTransformer chooses each branch's columns; the 64 pixel columns are flat rows
# of 8 x 8 images, which the classifier recognises by their number.


def branch(names, classifier):
    chosen = ColumnTransformer([("chosen", "passthrough", list(names))])
    return make_pipeline(chosen, classifier)


vit = branch(pixels.columns, ViTClassifier(depth=2, max_epochs=15, random_state=0))
forest = branch(measured.columns, RandomForestClassifier(random_state=0))
both = StackingClassifier(
    [("pixels", vit), ("columns", forest)], LogisticRegression(max_iter=1000), cv=3
)

# %%
# Together they read more digits than either alone.

X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=800, random_state=0
)
models = {"pixels": vit, "columns": forest, "both": both}
accuracy = pd.Series(
    {name: m.fit(X_train, y_train).score(X_test, y_test) for name, m in models.items()}
)
print(accuracy.to_string(float_format="{:.3f}".format))

ax = accuracy.plot.barh(figsize=(6, 2.4), color="#0072B2", xlim=(0, 1))
ax.set(xlabel="accuracy on digits held out")
ax.figure.tight_layout()
plt.show()
