"""
Which map to trust
==================

A map that tells which patches matter can be put to the test. Cover the patches in its
order: the probability of the class should fall sooner than in a random order. Or show
them in its order on an empty image: it should rise sooner.
"""

# %%
# Each image holds a digit, somewhere on a ground of noise.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier
from skvit.inspection import (
    attention_maps,
    attention_relevance,
    attention_rollout,
    deletion_insertion_curve,
    occlusion_map,
)

digits = load_digits()
chosen = np.isin(digits.target, [0, 1, 4, 7])
small, y = digits.images[chosen], digits.target[chosen]

rng = np.random.default_rng(0)
X = rng.uniform(0, 6, size=(len(small), 16, 16))
for image, digit, (row, column) in zip(
    X, small, rng.integers(0, 9, size=(len(small), 2)), strict=True
):
    place = image[row : row + 8, column : column + 8]
    np.maximum(place, digit, out=place)

X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
clf = ViTClassifier(patch_size=2, max_epochs=15, random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} images held out: {clf.score(X_test, y_test):.3f}")

# %%
# Four maps of each image, and their curves. Maps may have a value for each patch or for
# each pixel. The attention of the last layer is averaged over its heads.

X = X_test[:40]
last = attention_maps(clf, X, layers=-1, queries="pool", upsample=True)
maps = {
    "attention": last.mean(axis=(1, 2)),
    "rollout": attention_rollout(clf, X),
    "relevance": attention_relevance(clf, X),
    "occlusion": occlusion_map(clf, X),
}
curves = {
    name: deletion_insertion_curve(clf, X, values, random_state=0)
    for name, values in maps.items()
}

# %%
# The areas under the curves. A faithful map has a smaller area than the random order
# where patches are covered, and a larger one where they are shown. All four pass here;
# occlusion, which is nearest to the test itself, is ahead. What is true of this network
# and these images need not be true of others: measure it on yours.

table = pd.DataFrame(
    {
        name: {
            "covered": curve.deletion_auc,
            "shown": curve.insertion_auc,
            "random order": curve.random_auc,
        }
        for name, curve in curves.items()
    }
).T
print(table.to_string(float_format="{:.3f}".format))

# %%
# The curves themselves, averaged over the images.

COLORS = {
    "attention": "#E69F00",
    "rollout": "#009E73",
    "relevance": "#CC79A7",
    "occlusion": "#0072B2",
}
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), sharey=True, layout="constrained"
)
for name, curve in curves.items():
    style = {"color": COLORS[name], "label": name}
    left.plot(curve.fraction, curve.deletion.mean(axis=0), **style)
    right.plot(curve.fraction, curve.insertion.mean(axis=0), **style)
random = curve.random.mean(axis=0)
style = {"color": "black", "linestyle": "--", "label": "random order"}
left.plot(curve.fraction, random, **style)
right.plot(curve.fraction, random[::-1], **style)
left.set(xlabel="share of the patches covered", ylabel="probability of the class")
right.set(xlabel="share of the patches shown")
left.set_title("deletion: the lower, the better")
right.set_title("insertion: the higher, the better")
left.legend()
plt.show()
