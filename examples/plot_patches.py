"""
An image, cut as the network sees it
====================================

A Vision Transformer takes an image as a sequence of patches. Their size decides how
fine the pieces are, how many there are, and how much each layer costs, since every
patch looks at every other. :class:`~skvit.inspection.PatchGridDisplay` draws the cut of
a fitted estimator.
"""

# %%
# Two photographs that come with scikit-learn, brought to one size while they are read.
# A single epoch is enough here: only the patches are of interest, not the weights.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_images

from skvit import ImageOptions, ViTClassifier
from skvit.inspection import PatchGridDisplay

photographs = load_sample_images().images
names = ["temple", "flower"]
small = {
    "embed_dim": 16,
    "depth": 1,
    "max_epochs": 1,
    "image_options": ImageOptions(resize=(64, 96)),
    "random_state": 0,
}
sizes = (32, 16, 12)
fitted = [ViTClassifier(size, **small).fit(photographs, names) for size in sizes]

# %%
# Patches are numbered row by row. Those of 12 pixels do not divide a height of 64, so
# the image is padded at the bottom; nothing is ever cut off.

figure = plt.figure(figsize=(11, 5.2), layout="constrained")
for part, clf in zip(figure.subfigures(1, 3), fitted, strict=True):
    PatchGridDisplay.from_estimator(clf, photographs[:1], ax=part.subplots(2, 1))
    part.suptitle(f"patches of {clf.patch_size} x {clf.patch_size}")
plt.show()

# %%
# Half the size means four times the patches, and sixteen times the pairs that look at
# each other.

configs = [clf.module_.config for clf in fitted]
table = pd.DataFrame(
    {
        "patch size": sizes,
        "grid": [f"{c.grid[0]} x {c.grid[1]}" for c in configs],
        "patches": [c.num_patches for c in configs],
        "values in a patch": [c.patch_dim for c in configs],
        "pairs": [c.num_patches**2 for c in configs],
    }
)
print(table.to_string(index=False))
