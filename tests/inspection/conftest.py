"""Small classifiers, and their network written in NumPy."""

import numpy as np
import pytest
from scipy.special import erf

from skvit import Architecture, ViTClassifier
from skvit._training import Runtime

POOLS = ["token", "mean", "seqpool", "map"]


def scramble(clf, seed):
    """Give a fitted classifier other weights, large enough that attention differs."""
    rng = np.random.default_rng(seed)
    clf._weights = {
        name: value + 0.4 * rng.standard_normal(value.shape)
        for name, value in clf._weights.items()
    }
    clf._runtime = Runtime()
    return clf


@pytest.fixture(scope="session")
def images():
    """Five images of 7 x 8 pixels and 3 channels, which patches of 3 x 4 overhang."""
    return np.random.default_rng(0).normal(3, 2, (5, 7, 8, 3))


@pytest.fixture(scope="session")
def make_classifier(images):
    """Make a float64 classifier of classes "a", "b", "c" with scrambled weights."""
    made = {}

    def make(pool="token", registers=0, patch_embed="linear", **params):
        key = pool, registers, patch_embed, tuple(sorted(params.items()))
        if key not in made:
            options = {"embed_dim": 8, "depth": 2, "num_heads": 2} | params
            clf = ViTClassifier(
                (3, 4),
                pool=pool,
                max_epochs=1,
                precision="float64",
                random_state=0,
                architecture=Architecture(
                    patch_embed=patch_embed, num_register_tokens=registers
                ),
                **options,
            )
            made[key] = scramble(clf.fit(images, list("abcab")), 1)
        return made[key]

    return make


@pytest.fixture(scope="session")
def small_digits(digits):
    """A classifier of eight digits as they come, and what it was fitted on."""
    X, y = digits
    clf = ViTClassifier(embed_dim=16, depth=2, num_heads=2, max_epochs=2)
    return clf.set_params(random_state=0).fit(X[:60], y[:60]), X[:60], y[:60]


def norm(x, weights, name, eps):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def feed_forward(x, weights, name):
    hidden = linear(x, weights, f"{name}.fc1")
    hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
    return linear(hidden, weights, f"{name}.fc2")


def flatten_patches(image, config):
    """Patches of one image (height, width, channels), row by row, zeros beyond."""
    rows, columns = config.patch_size
    height, width = (n * s for n, s in zip(config.grid, config.patch_size, strict=True))
    padded = np.zeros((height, width, image.shape[2]))
    padded[: image.shape[0], : image.shape[1]] = image
    return np.array(
        [
            padded[y : y + rows, x : x + columns].ravel()
            for y in range(0, height, rows)
            for x in range(0, width, columns)
        ]
    )


class NumpyNetwork:
    """A classifier's network for one image, whose attention can be disturbed."""

    def __init__(self, clf):
        self.clf, self.config, self.weights = clf, clf._config, clf._weights

    def normalize(self, image):
        return (image - self.clf.channel_mean_) / self.clf.channel_std_

    def embed(self, image):
        patches = flatten_patches(self.normalize(image), self.config)
        x = linear(patches, self.weights, "patch_embed")
        prefix = self.config.num_prefix_tokens
        table = self.weights["pos_embed.table"]
        n_own = len(table) - len(x)
        x = x + table[n_own:]
        if not prefix:
            return x
        tokens = self.weights["prefix.weight"].copy()
        tokens[:n_own] += table[:n_own]
        return np.concatenate([tokens, x])

    def ways(self):
        """Squared distance, rows and columns from token to token (tokens, tokens, 3).

        Zero for tokens that stand for no patch.
        """
        places = [
            divmod(n, self.config.grid[1]) for n in range(self.config.num_patches)
        ]
        table = np.zeros((self.config.num_tokens, self.config.num_tokens, 3))
        for i, (row, column) in enumerate(places, self.config.num_prefix_tokens):
            for j, (other, far) in enumerate(places, self.config.num_prefix_tokens):
                down, right = other - row, far - column
                table[i, j] = down**2 + right**2, down, right
        return table

    def attend(self, x, name, disturbance):
        """One block's attention branch, and its weights of each head."""
        heads = self.config.num_heads
        qkv = linear(x, self.weights, f"{name}.qkv").reshape(len(x), 3, heads, -1)
        q, k, v = (part.swapaxes(0, 1) for part in qkv.swapaxes(0, 1))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        slopes = self.weights[f"{name}.pos_bias.slopes"]
        scores = scores + np.moveaxis(self.ways() @ slopes.T, -1, 0)
        attention = softmax(scores) + disturbance
        mixed = (attention @ v).swapaxes(0, 1).reshape(len(x), -1)
        return linear(mixed, self.weights, f"{name}.proj"), attention

    def pool(self, x, disturbance):
        """The pooled vector, and the weights of each patch (heads, patches)."""
        patches, kind = x[self.config.num_prefix_tokens :], self.config.pool
        if kind == "token":
            return x[0], None
        if kind == "mean":
            return patches.mean(0), None
        if kind == "seqpool":
            scores = linear(patches, self.weights, "pool.score")[:, 0]
            attention = softmax(scores)[None] + disturbance
            return attention[0] @ patches, attention
        heads = self.config.num_heads
        q = linear(self.weights["pool.query"], self.weights, "pool.q")
        kv = linear(patches, self.weights, "pool.kv").reshape(
            len(patches), 2, heads, -1
        )
        k, v = kv[:, 0].swapaxes(0, 1), kv[:, 1].swapaxes(0, 1)
        q = q.reshape(heads, 1, -1)
        attention = softmax((q * k).sum(-1) / np.sqrt(q.shape[-1])) + disturbance
        mixed = np.concatenate([attention[h] @ v[h] for h in range(heads)])
        pooled = linear(mixed, self.weights, "pool.proj")
        normed = norm(pooled, self.weights, "pool.norm", self.config.norm_eps)
        return pooled + feed_forward(normed, self.weights, "pool.mlp"), attention

    def forward(self, image, disturbances=None):
        """Logits, attention of each layer, and that of the pooling or None."""
        disturbances = disturbances or {}
        eps, x, seen = self.config.norm_eps, self.embed(image), []
        for i in range(self.config.depth):
            normed = norm(x, self.weights, f"blocks.{i}.norm1", eps)
            branch, attention = self.attend(
                normed, f"blocks.{i}.attention", disturbances.get(i, 0.0)
            )
            seen.append(attention)
            x = x + branch
            normed = norm(x, self.weights, f"blocks.{i}.norm2", eps)
            x = x + feed_forward(normed, self.weights, f"blocks.{i}.mlp")
        if not self.config.has_late_norm:
            x = norm(x, self.weights, "norm", eps)
        pooled, pooling = self.pool(x, disturbances.get("pool", 0.0))
        if self.config.has_late_norm:
            pooled = norm(pooled, self.weights, "pooled_norm", eps)
        return linear(pooled, self.weights, "head.output"), seen, pooling

    def reading(self, pooling):
        """With which weight each token stands for the image."""
        weights = np.zeros(self.config.num_tokens)
        prefix = self.config.num_prefix_tokens
        if self.config.pool == "token":
            weights[0] = 1
        elif self.config.pool == "mean":
            weights[prefix:] = 1 / self.config.num_patches
        else:
            weights[prefix:] = pooling.mean(0)
        return weights


@pytest.fixture(scope="session")
def numpy_network():
    return NumpyNetwork
