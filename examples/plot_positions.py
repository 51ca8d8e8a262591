"""
Positions find the grid
=======================

A Vision Transformer is not told that its patches lie on a grid. It learns one vector
for each position, all drawn at random at first. After training, the vectors of
neighbours are similar to each other: the network has found the grid by itself.
"""

# %%
# Bright spots on a ground of noise. The class is the part of the image that a spot lies
# in, one of sixteen; nothing says which parts, or which patches, are neighbours.

import numpy as np
from matplotlib import pyplot as plt

from skvit import Architecture, ViTClassifier
from skvit.inspection import PositionSimilarityDisplay

rng = np.random.default_rng(0)
n_samples, side = 1500, 16
centers = rng.uniform(0, side, size=(n_samples, 2, 1, 1))
rows, columns = np.mgrid[:side, :side] + 0.5
squares = (rows - centers[:, 0]) ** 2 + (columns - centers[:, 1]) ** 2
X = np.exp(-squares / 5) + rng.normal(scale=0.2, size=squares.shape)
parts = (centers[:, :, 0, 0] // 4).astype(int)
y = 4 * parts[:, 0] + parts[:, 1]

# %%
# Patches of 2 x 2 pixels make a sequence of 64. Their linear embedding looks at nothing
# but the patch, so that whatever the network knows of places is in the positions.

clf = ViTClassifier(
    patch_size=2,
    embed_dim=64,
    depth=1,
    max_epochs=40,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=1.0,
    pos_embed="learned",
    augment=None,
    architecture=Architecture(patch_embed="linear", pos_bias="none"),
    random_state=0,
)
clf.fit(X, y)
print(f"accuracy on the training images: {clf.score(X, y):.2f}")

# %%
# One small grid for each position: how similar the position there is to all others.
# Each has a value of one at itself.

display = PositionSimilarityDisplay.from_estimator(clf)
plt.show()

# %%
# The same by distance: how similar two positions are, by how many patches they lie
# apart.

n_rows, n_columns = display.similarities.shape[:2]
similarity = display.similarities.reshape(n_rows * n_columns, -1)
row, column = np.divmod(np.arange(n_rows * n_columns), n_columns)
distance = np.hypot(row[:, None] - row, column[:, None] - column).round().astype(int)
means = [similarity[distance == step].mean() for step in range(n_columns)]

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(means, color="#0072B2", marker="o")
ax.axhline(0, color="0.7", linewidth=1, zorder=0)
ax.set(xlabel="distance in patches", ylabel="mean cosine similarity")
plt.show()
