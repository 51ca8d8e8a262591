"""
A map of images, as the network has arranged them
=================================================

The head reads one vector for each image. Training moves the vectors of a class
together, and away from those of the others, so that a map of them shows what the
network finds alike.
"""

# %%
# Handwritten digits, half to train with and half to be looked at.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvit import ViTClassifier
from skvit.inspection import TokenEmbeddingDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.5, random_state=0
)
clf = ViTClassifier(max_epochs=20, random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} digits held out: {clf.score(X_test, y_test):.3f}")

# %%
# The first two principal components of the vectors, by true class.

display = TokenEmbeddingDisplay.from_estimator(clf, X_test, y_test)
plt.show()

# %%
# How well is the class of a digit told by its nearest neighbours on this map, and on
# the map that the same projection makes of the pixels?

pixels = X_test.reshape(len(X_test), -1)
centred = pixels - pixels.mean(axis=0)
of_pixels = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
neighbours = KNeighborsClassifier(n_neighbors=15)
planes = {"pixels": of_pixels, "vectors": display.embedding}
accuracy = {
    name: cross_val_score(neighbours, plane, y_test, cv=5).mean()
    for name, plane in planes.items()
}
table = pd.Series(accuracy, name="classes told rightly by two components")
print(table.to_frame().to_string(float_format="{:.2f}".format))
