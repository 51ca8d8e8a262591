"""
A folder of images
==================

Images lie in files, in one folder for each class, and are of different sizes.
:func:`~skvit.load_image_folder` lists them as a table, and the estimator reads them
batch by batch, brings them to one size, and leaves out what cannot be read.
"""

# %%
# Pieces of two photographs that come with scikit-learn, of various sizes and
# proportions, written to files. One file is broken.

import tempfile
import warnings
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.model_selection import train_test_split

from skvit import ImageOptions, ViTClassifier, load_image_folder
from skvit.exceptions import UnreadableImageWarning
from skvit.inspection import PatchGridDisplay

rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())
for label, photograph in zip(
    ["temple", "flower"], load_sample_images().images, strict=True
):
    (folder / label).mkdir()
    for number in range(80):
        height, width = rng.integers(100, 220, size=2)
        top, left = rng.integers(0, [427 - height, 640 - width])
        piece = photograph[top : top + height, left : left + width]
        Image.fromarray(piece).save(folder / label / f"{number:02}.png")
(folder / "flower" / "broken.png").write_bytes(b"no image")

# %%
# The table has a row for each file. It is split, searched and cross-validated as any
# data frame.

images = load_image_folder(folder)
print(images["label"].value_counts().to_string())
X_train, X_test, y_train, y_test = train_test_split(
    images[["path"]], images["label"], stratify=images["label"], random_state=4
)

# %%
# Each image is averaged down to 32 x 32 pixels, its proportions kept.
# ``on_error="skip"`` leaves out what cannot be read, warns of it, and lists it in
# ``skipped_``.

clf = ViTClassifier(
    max_epochs=6,
    image_options=ImageOptions(resize=32, on_error="skip"),
    random_state=0,
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UnreadableImageWarning)
    clf.fit(X_train, y_train)
print("warnings:", len(caught))
print("left out:", [Path(path).name for path in clf.skipped_["path"]])
print(f"accuracy on {len(X_test)} files held out: {clf.score(X_test, y_test):.3f}")

# %%
# What the network saw of some files held out: padded to a square, and cut into patches.

PatchGridDisplay.from_estimator(clf, X_test[:4])
plt.show()
