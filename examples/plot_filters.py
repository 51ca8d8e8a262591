"""
What a patch is multiplied by
=============================

Before anything else happens, each patch is multiplied by learned filters, one for each
number of its token. What there is to be told apart can be seen in them, and more
clearly in their principal components: the directions in which the filters differ most.
"""

# %%
# Stripes in noise. The class is their direction; where they begin is left to chance, so
# that no single pixel tells anything.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

from skvit import Architecture, ViTClassifier
from skvit.inspection import PatchEmbeddingDisplay

rng = np.random.default_rng(0)
n_samples, n_directions, side = 1200, 4, 24
y = rng.integers(n_directions, size=n_samples)
angle = np.pi / n_directions * y[:, None, None]
rows, columns = np.mgrid[:side, :side]
along = np.cos(angle) * columns + np.sin(angle) * rows
phase = rng.uniform(0, 2 * np.pi, size=(n_samples, 1, 1))
X = np.sin(2 * np.pi * along / 6 + phase) + rng.normal(size=(n_samples, side, side))
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

figure, axes = plt.subplots(1, n_directions, figsize=(8, 2.3), layout="constrained")
for direction, ax in enumerate(axes):
    ax.imshow(X[y == direction][0], cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"class {direction}", fontsize="medium")
plt.show()

# %%
# A linear patch embedding, the form of the first Vision Transformers: a filter is as
# large as a patch. Decay shrinks what the filters began with and never needed.

clf = ViTClassifier(
    patch_size=8,
    depth=1,
    embed_dim=64,
    max_epochs=30,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=5.0,
    augment=None,
    architecture=Architecture(patch_embed="linear"),
    random_state=0,
)
clf.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} images held out: {clf.score(X_test, y_test):.3f}")
display = PatchEmbeddingDisplay.from_estimator(clf)
plt.show()

# %%
# Stripes of one direction that begin anywhere are sums of two: so a few components,
# about two for each direction, hold nearly all that the filters differ in.

ratio = display.explained_variance_ratio
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.bar(range(1, 17), ratio[:16], color="#0072B2")
ax.set(xlabel="principal component", ylabel="share of the variance")
plt.show()
