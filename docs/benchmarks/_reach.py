"""What a place in a network sees, what order means to it, and what it knows of it."""

import copy

import numpy as np
import torch
from _networks import PATCH, feature_maps, token_maps
from scipy.stats import spearmanr

FAR = 8  # pixels


def gradient_map(outputs, images):
    """Size of the gradient of the middle cell with respect to each pixel."""
    rows, columns = outputs.shape[2:]
    middle = outputs[:, :, rows // 2, columns // 2].sum()
    (gradient,) = torch.autograd.grad(middle, images, retain_graph=True)
    return gradient.abs().sum((0, 1)).numpy()


def describe_reach(gradient, cell):
    """Height and width of what was reached, its share of the image, and far pixels'.

    `cell` is the height and width of a cell of the feature map, in pixels. Far is a
    pixel more than `FAR` pixels from the middle cell, along rows or columns.
    """
    height, width = gradient.shape
    rows, columns = np.nonzero(gradient)
    spans = np.ptp(rows) + 1, np.ptp(columns) + 1
    distances = [
        np.maximum(start - np.arange(n), np.arange(n) - (start + size - 1)).clip(0)
        for n, size in zip(gradient.shape, cell, strict=True)
        for start in [n // size // 2 * size]
    ]
    far = np.maximum(distances[0][:, None], distances[1]) > FAR
    return spans, len(rows) / (height * width), gradient[far].sum() / gradient.sum()


def reach_by_layer(maps, images):
    """Rows of a table: layer, window in pixels, share of the image, share from afar."""
    rows = []
    size = images.shape[2:]
    for number, (kind, outputs) in enumerate(maps, 1):
        cell = [n // m for n, m in zip(size, outputs.shape[2:], strict=True)]
        spans, share, far = describe_reach(gradient_map(outputs, images), cell)
        window = f"{spans[0]} x {spans[1]}"
        rows.append((f"{number}, {kind}", window, f"{share:.0%}", f"{far:.1%}"))
    return rows


def reach_rows(learners, X):
    """Rows of the table of reach, for a ViT and a CNN that were trained."""
    vit, cnn = learners["ViT"], learners["CNN"]
    images = [learner.to_tensor(X).requires_grad_() for learner in (vit, cnn)]
    maps = token_maps(vit.module, images[0]), feature_maps(cnn.module, images[1])
    return [
        (name, *row)
        for name, batch, outputs in zip(("ViT", "CNN"), images, maps, strict=True)
        for row in reach_by_layer(outputs, batch)
    ]


def shuffle_patches(X, size, seed=0):
    """Put the square patches of (n, height, width, channels) in one other order."""
    n, height, width, channels = X.shape
    rows, columns = height // size, width // size
    cut = X.reshape(n, rows, size, columns, size, channels).transpose(0, 1, 3, 2, 4, 5)
    order = np.random.default_rng(seed).permutation(rows * columns)
    cut = cut.reshape(n, rows * columns, size, size, channels)[:, order]
    cut = cut.reshape(n, rows, columns, size, size, channels)
    return np.ascontiguousarray(cut.transpose(0, 1, 3, 2, 4, 5).reshape(X.shape))


@torch.no_grad()
def largest_change(learner, X, shuffled):
    """Largest change of a logit, in standard deviations of the logits; in float64."""
    module = copy.deepcopy(learner.module).double()
    before, after = (module(learner.to_tensor(x).double()) for x in (X, shuffled))
    return ((before - after).abs().max() / before.std()).item()


def shuffle_rows(learners, X, y, n_compared=100):
    """Rows of the table of shuffled patches: change, and accuracy before and after."""
    shuffled = shuffle_patches(X, PATCH)
    return [
        (
            name,
            f"{largest_change(learner, X[:n_compared], shuffled[:n_compared]):.1e}",
            f"{learner.score(X, y):.3f}",
            f"{learner.score(shuffled, y):.3f}",
        )
        for name, learner in learners.items()
    ]


def position_similarities(vit):
    """Distance on the grid and cosine similarity of each pair of learned positions."""
    table = vit.pos_embed.table.detach()[-vit.num_patches :].double()
    cells = torch.cartesian_prod(*(torch.arange(float(n)) for n in vit.grid))
    similarities = torch.nn.functional.cosine_similarity(table[:, None], table, dim=-1)
    pairs = torch.triu_indices(len(table), len(table), 1).unbind()
    return torch.cdist(cells, cells)[pairs].numpy(), similarities[pairs].numpy()


def grid_rows(networks):
    """Rows of the table of positions: similarity near and far, rank correlation."""
    rows = []
    for name, network in networks.items():
        distances, similarities = position_similarities(network)
        near = similarities[distances == 1].mean()
        far = similarities[distances >= distances.max() / 2].mean()
        correlation = spearmanr(distances, similarities).statistic
        rows.append((name, *(f"{value:.2f}" for value in (near, far, correlation))))
    return rows
