"""
Four answers to one question
============================

Which part of an image made the network say what it says? The attention of the last
layer, rollout, relevance and occlusion answer in different ways. The first two are the
same for every class; the last two can be asked about any class.
"""

# %%
# Each image holds a digit, somewhere on a ground of noise, so that there is a right
# answer: the place of the digit.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier
from skvit.inspection import (
    AttentionMapDisplay,
    attention_maps,
    attention_relevance,
    attention_rollout,
    occlusion_map,
)

digits = load_digits()
chosen = np.isin(digits.target, [0, 1, 4, 7])
small, y = digits.images[chosen], digits.target[chosen]

rng = np.random.default_rng(0)
X = rng.uniform(0, 6, size=(len(small), 16, 16))
is_digit = np.zeros(X.shape, dtype=bool)
places = rng.integers(0, 9, size=(len(small), 2))
for image, there, digit, (row, column) in zip(X, is_digit, small, places, strict=True):
    square = slice(row, row + 8), slice(column, column + 8)
    image[square] = np.maximum(image[square], digit)
    there[square] = True

X_train, X_test, y_train, y_test, _, is_digit = train_test_split(
    X, y, is_digit, random_state=0
)
clf = ViTClassifier(patch_size=2, max_epochs=15, random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} images held out: {clf.score(X_test, y_test):.3f}")

# %%
# The four methods on the same images, with the predicted classes above. Occlusion
# covers one patch after the other and needs nothing but predictions. It alone has
# values below zero: patches whose covering makes the class more probable. Attention is
# that of tokens, which have seen the pixels around their patches as well; rollout and
# relevance share their values out among all that they have seen.

figure = plt.figure(figsize=(11, 6), layout="constrained")
parts = figure.subfigures(2, 2, hspace=0.06, wspace=0.04).flat
for part, method in zip(
    parts, ("attention", "rollout", "relevance", "occlusion"), strict=True
):
    axes = part.subplots(2, 5)
    AttentionMapDisplay.from_estimator(clf, X_test[:5], method=method, ax=axes)
plt.show()

# %%
# How much of each map lies on the square of the digit, beside the share of the image
# that the square takes up.

X, is_digit = X_test[:60], is_digit[:60]
last = attention_maps(clf, X, layers=-1, queries="pool", upsample=True)
maps = {
    "attention": last.mean(axis=(1, 2)),
    "rollout": attention_rollout(clf, X, upsample=True),
    "relevance": attention_relevance(clf, X, upsample=True),
    "occlusion": occlusion_map(clf, X, upsample=True).clip(min=0),
    "every pixel alike": np.ones(X.shape),
}
share = pd.Series(
    {name: values[is_digit].sum() / values.sum() for name, values in maps.items()},
    name="share on the digit",
)
print(share.to_string(float_format="{:.0%}".format))

# %%
# The image that the network is least sure of, asked about each class: what covering a
# patch takes away from it. The same patch can speak for one class and against another.

doubtful = clf.predict_proba(X_test).max(axis=1).argmin()
image = X_test[doubtful]
answers = [
    occlusion_map(clf, image[None], target, upsample=True)[0] for target in clf.classes_
]
figure, axes = plt.subplots(1, 5, figsize=(9.5, 2.3), layout="constrained")
axes[0].imshow(image, cmap="gray")
axes[0].set_title(f"a {y_test[doubtful]}", fontsize="medium")
top = np.abs(answers).max()
for ax, target, answer in zip(axes[1:], clf.classes_, answers, strict=True):
    drawn = ax.imshow(answer, cmap="PuOr", vmin=-top, vmax=top)
    ax.set_title(f"for class {target}", fontsize="medium")
for ax in axes:
    ax.set(xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, label="loss of\nlog-probability", shrink=0.8)
plt.show()
