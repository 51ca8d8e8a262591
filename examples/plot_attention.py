"""
Where a network looks
=====================

Attention weights say, layer by layer and head by head, from which others a token takes
what it becomes. Drawn over the image they show where the network has looked. Here that
can be checked by eye: each image holds a digit, somewhere on a noisy ground.
"""

# %%
# Four kinds of handwritten digits, each put at a random place on a ground of noise.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import ViTClassifier
from skvit.inspection import AttentionMapDisplay, attention_maps, attention_rollout

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
clf = ViTClassifier(
    patch_size=2,
    num_heads=2,
    max_epochs=15,
    optimizer="adamw",
    learning_rate=3e-3,
    random_state=0,
)
clf.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} images held out: {clf.score(X_test, y_test):.3f}")

# %%
# ``attention_maps`` returns the weights themselves. ``queries="pool"`` is the view of
# what stands for the image, here the weighted mean of the patches' tokens.

X = X_test[:8]
maps = attention_maps(clf, X, queries="pool", upsample=True)
print("images, layers, heads, height, width:", maps.shape)

# %%
# Every layer and head for some images. Each map has its own scale. All look at very few
# tokens, on the digit: two convolutions have seen the pixels around each patch before
# the first layer, so that one token may stand for a whole digit.

n_layers, n_heads = maps.shape[1:3]
figure, axes = plt.subplots(
    4, 1 + n_layers * n_heads, figsize=(7.2, 6.2), layout="constrained"
)
for row, image, views in zip(axes, X, maps, strict=False):
    row[0].imshow(image, cmap="gray")
    for ax, view in zip(row[1:], views.reshape(-1, 16, 16), strict=True):
        ax.imshow(view, cmap="viridis", vmin=0)
for ax, (layer, head) in zip(axes[0, 1:], np.ndindex(n_layers, n_heads), strict=True):
    ax.set_title(f"layer {layer}\nhead {head}", fontsize="medium")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# Rollout follows the attention through all layers, the residual connections included,
# and shares what it finds at a token out among the patches that the token has seen: how
# much of each patch has flowed into what stands for the image. Without a class token,
# all of it comes from the patches. A network trained in another way may look
# elsewhere and be right all the same, so that the worth of a map :ref:`has to be
# measured <sphx_glr_auto_examples_plot_faithfulness.py>`.

flow = attention_rollout(clf, X)
print("sum over the patches:", flow.sum(axis=(1, 2)).round(3))
AttentionMapDisplay.from_estimator(clf, X, method="rollout")
plt.show()
