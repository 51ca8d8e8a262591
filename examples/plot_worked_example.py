"""
One image on its way through the network
========================================

The network of :doc:`the explanation </explained>`, from pixels to two probabilities: a
gray image of 16 x 16 pixels, patches of 4 x 4, tokens of 8 numbers, two layers with one
head. Every number on the way is kept by a :class:`~skvit.nn.Record` and drawn.
"""

# %%
# The image is drawn here, not photographed: a face with two ears. The weights are drawn
# at random, so that what comes out says nothing about cats or dogs yet; it is the way
# that counts.

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from skvit.nn import Record, VisionTransformer, ViTConfig

rows, columns = np.mgrid[:16, :16] + 0.5
face = np.hypot(rows - 9.5, columns - 8) < 5.5
ears = (np.hypot(rows - 4, columns - 3.7) < 2.2) | (
    np.hypot(rows - 4, columns - 12.3) < 2.2
)
eyes = (np.hypot(rows - 8.5, columns - 6) < 0.9) | (
    np.hypot(rows - 8.5, columns - 10) < 0.9
)
picture = 0.15 + 0.6 * (face | ears) - 0.5 * (eyes & face)
picture[11, 7:9] = 0.1
image = torch.from_numpy(picture).float()[None, None]

config = ViTConfig(
    image_size=(16, 16),
    patch_size=(4, 4),
    in_channels=1,
    num_outputs=2,
    embed_dim=8,
    depth=2,
    num_heads=1,
    patch_embed="linear",
    head_hidden=4,
    head_activation="relu",
)
generator = torch.Generator().manual_seed(0)
network = VisionTransformer(config, generator).eval()
for parameter in network.parameters():
    parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)

# %%
# One pass, of which everything is recorded. The names and shapes, in order:

record = Record("*")
with torch.inference_mode():
    network(image, record)
for name, tensor in record.items():
    print(f"{name:25}", tuple(tensor.shape))

# %%
# The image, its 16 patches laid flat, their embeddings, and the 17 tokens after each
# layer. Row 0 of the tokens is the class token, which stands for no patch.

patches = record["patches"][0].unflatten(1, (4, 4))
figure, axes = plt.subplots(1, 5, figsize=(11, 3.9), layout="constrained")
style = {"cmap": "gray", "vmin": 0, "vmax": 1}
axes[0].imshow(picture, **style)
axes[0].set_xticks(np.arange(-0.5, 16, 4), [])
axes[0].set_yticks(np.arange(-0.5, 16, 4), [])
axes[0].grid(color="#56B4E9", linewidth=2)
axes[0].set_title("image, cut in patches", fontsize="medium")
axes[1].imshow(record["patches"][0], **style)
axes[1].set_title("patches, laid flat", fontsize="medium")
axes[1].set(xlabel="value", ylabel="patch")
for ax, name, title in (
    (axes[2], "embeddings", "embeddings"),
    (axes[3], "block00/after_mlp", "after layer 0"),
    (axes[4], "block01/after_mlp", "after layer 1"),
):
    values = record[name][0]
    limit = values.abs().max().item()
    ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set_title(title, fontsize="medium")
    ax.set(xlabel="number", ylabel="patch" if name == "embeddings" else "token")
plt.show()

# %%
# Where each token looks, in both layers: each row sums to one. The class token's row is
# the first, and can be laid over the image.

figure, axes = plt.subplots(1, 4, figsize=(11, 3.3), layout="constrained")
for layer, (whole, view) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
    attention = record[f"block{layer:02}/attention"][0, 0]
    whole.imshow(attention, cmap="viridis", vmin=0)
    whole.set(xlabel="token looked at", ylabel="token that looks")
    whole.set(xticks=range(0, 17, 4), yticks=range(0, 17, 4))
    whole.set_title(f"attention, layer {layer}", fontsize="medium")
    view.imshow(picture, cmap="gray")
    view.imshow(
        attention[0, 1:].unflatten(0, (4, 4)),
        cmap="viridis",
        alpha=0.6,
        extent=(-0.5, 15.5, 15.5, -0.5),
    )
    view.set(xticks=[], yticks=[])
    view.set_title("by the class token", fontsize="medium")
plt.show()

# %%
# The class token's last state goes through the head, and the softmax makes two
# probabilities.

print("class token:", record["pooled"][0].numpy().round(2))
logits = record["logits"][0]
table = pd.DataFrame({"logit": logits, "probability": logits.softmax(dim=0)})
print(table.set_axis(["cat", "dog"]).to_string(float_format="{:.2f}".format))
