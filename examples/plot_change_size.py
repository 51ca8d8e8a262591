"""
A trained network for larger images
===================================

A network is made for one size of image and patch. ``skvit.nn`` changes both after
training: the learned positions are resampled to the new grid of patches, and the
filters of the patches to their new size. The network goes on as plain PyTorch.
"""

# %%
# A classifier of handwritten digits, 8 x 8 pixels in patches of 2 x 2, and its network:
# a configuration, and weights.

import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvit import Architecture, ViTClassifier
from skvit.nn import VisionTransformer, change_size, resample_pos_embed

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, random_state=0
)
clf = ViTClassifier(
    patch_size=2,
    depth=2,
    max_epochs=20,
    architecture=Architecture(patch_embed="conv"),
    device="cpu",
    random_state=0,
)
clf.fit(X_train, y_train)
network = clf.module_

# %%
# The images three times as large, in rows and columns, enlarged without anything new to
# see. The network outside of the estimator normalises nothing, so that is done here.

images = torch.from_numpy(X_test).float()[:, None]
images = (images - clf.channel_mean_.item()) / clf.channel_std_.item()
large = torch.nn.functional.interpolate(
    images, size=(24, 24), mode="bicubic", antialias=True
)


def accuracy(network, images):
    with torch.inference_mode():
        guess = network(images.to(network.head.output.weight.dtype)).argmax(dim=1)
    return (guess.numpy() == y_test).mean()


# %%
# Two ways to go on: as many patches as before, each three times as large, or patches as
# before, and more of them. Neither has been trained any further.

changes = {
    "larger patches": {"image_size": (24, 24), "patch_size": (6, 6)},
    "more patches": {"image_size": (24, 24)},
}
rows = {"as trained": {"grid": network.grid, "accuracy": accuracy(network, images)}}
for name, sizes in changes.items():
    config, weights = change_size(network.config, network.state_dict(), **sizes)
    changed = VisionTransformer(config).eval()
    changed.load_state_dict(weights)
    rows[name] = {"grid": changed.grid, "accuracy": accuracy(changed, large)}
print(pd.DataFrame(rows).T.to_string())

# %%
# Larger patches hold what the old ones held. A patch of the old size, on enlarged
# images, holds a ninth of what it held, which the network has not seen in training: to
# go on with such a network means to train it a little further. The positions, in some
# of their channels, as they were learned and as they are resampled:

old = network.pos_embed.table.detach()
new = resample_pos_embed(old, network.grid, changed.grid)
(rows_old, columns_old), (rows_new, columns_new) = network.grid, changed.grid
first = old.var(dim=0).argsort(descending=True)[:4]
figure, axes = plt.subplots(2, 4, figsize=(8, 4.2), layout="constrained")
for (above, below), channel in zip(axes.T, first.tolist(), strict=True):
    limit = old[:, channel].abs().max().item()
    style = {"cmap": "PuOr", "vmin": -limit, "vmax": limit}
    above.imshow(old[:, channel].unflatten(0, (rows_old, columns_old)), **style)
    below.imshow(new[:, channel].unflatten(0, (rows_new, columns_new)), **style)
    above.set_title(f"channel {channel}", fontsize="medium")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("learned positions")
axes[1, 0].set_ylabel("resampled")
plt.show()
