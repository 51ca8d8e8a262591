import numpy as np
import pytest
import torch

from skvit.inspection import attention_relevance, attention_rollout
from skvit.inspection._window import share_out
from skvit.nn import VisionTransformer, ViTConfig


def ways_along(length, patch, strides):
    """Number of ways from each token to each patch along one axis."""
    ways = np.eye(length)
    for stride in strides:
        ways = np.array([ways[max(0, i - 1) : i + 2].sum(0) for i in range(len(ways))])
        margin = 0 if stride == 1 else -(-stride // 2)
        middles = range(0, len(ways), stride)
        ways = np.array(
            [ways[max(0, i - margin) : i + margin + 1].sum(0) for i in middles]
        )
    return np.add.reduceat(ways, np.arange(0, length, patch), axis=1)


def overlapping_ways(config, strides):
    """Number of ways from each token to each patch through convolutions and pools."""
    down, across = (
        ways_along(length, patch, steps)
        for length, patch, steps in zip(
            config.image_size, config.patch_size, strides, strict=True
        )
    )
    return np.kron(down, across)


def shifted_ways(config):
    """Number of pixels of each patch among those of the image and its shifts."""
    (height, width), (rows, columns) = config.image_size, config.patch_size
    ways = np.zeros((config.num_patches, config.num_patches))
    shifts = [(0, 0)]
    shifts += [(i * (rows // 2), j * (columns // 2)) for i in (-1, 1) for j in (-1, 1)]
    for token in range(config.num_patches):
        top, left = np.unravel_index(token, config.grid) * np.array(config.patch_size)
        for row, column in np.ndindex(rows, columns):
            for down, right in shifts:
                y, x = top + row + down, left + column + right
                if 0 <= y < height and 0 <= x < width:
                    patch = y // rows * config.grid[1] + x // columns
                    ways[token, patch] += 1
    return ways


def expected_shares(values, ways):
    return values @ (ways / ways.sum(1, keepdims=True))


CASES = [
    ((8, 8), (2, 2), [(2, 1), (2, 1)]),
    ((32, 16), (4, 2), [(2, 2), (2, 1)]),
    ((7, 8), (3, 4), [(3, 1), (2, 2)]),
    ((9, 10), (6, 5), [(3, 2), (5, 1)]),
]


@pytest.mark.parametrize(("size", "patch", "strides"), CASES)
def test_shares_are_counted_ways(size, patch, strides):
    config = ViTConfig(size, patch, 3, 2, 8, 1, 2, patch_embed="overlap")
    values = np.random.default_rng(0).random((2, 3, config.num_patches))
    shared = share_out(torch.from_numpy(values), VisionTransformer(config)).numpy()
    expected = expected_shares(values, overlapping_ways(config, strides))
    np.testing.assert_allclose(shared, expected, rtol=1e-10)
    np.testing.assert_allclose(shared.sum(-1), values.sum(-1))


def test_one_convolution():
    choices = {"patch_embed": "overlap", "stem_convs": 1}
    config = ViTConfig((9, 8), (3, 2), 1, 2, 8, 1, 2, **choices)
    values = np.random.default_rng(0).random((4, 12))
    shared = share_out(torch.from_numpy(values), VisionTransformer(config)).numpy()
    expected = expected_shares(values, overlapping_ways(config, [(3,), (2,)]))
    np.testing.assert_allclose(shared, expected, rtol=1e-10)


@pytest.mark.parametrize(("size", "patch"), [((8, 8), (2, 2)), ((7, 8), (3, 4))])
def test_shares_of_shifted_patches(size, patch):
    config = ViTConfig(size, patch, 3, 2, 8, 1, 2, patch_embed="shifted")
    values = np.random.default_rng(0).random((2, config.num_patches))
    shared = share_out(torch.from_numpy(values), VisionTransformer(config)).numpy()
    expected = expected_shares(values, shifted_ways(config))
    np.testing.assert_allclose(shared, expected, rtol=1e-10)


@pytest.mark.parametrize("patch_embed", ["linear", "conv"])
def test_patches_that_do_not_overlap_keep_their_values(patch_embed):
    module = VisionTransformer(
        ViTConfig((8, 8), (2, 2), 1, 2, 8, 1, 2, patch_embed=patch_embed)
    )
    values = torch.rand(2, 16, generator=torch.Generator().manual_seed(0))
    assert share_out(values, module) is values


@pytest.mark.parametrize("patch_embed", ["overlap", "shifted"])
def test_maps_are_of_patches_and_matrices_of_tokens(
    make_classifier, images, patch_embed
):
    clf = make_classifier("seqpool", patch_embed=patch_embed)
    strides = [(3, 1), (2, 2)]
    ways = (
        overlapping_ways(clf._config, strides)
        if patch_embed == "overlap"
        else shifted_ways(clf._config)
    )
    tokens = attention_rollout(clf, images, queries=[2])
    of_one = attention_rollout(clf, images, queries=[2], upsample=True)[:, 0, ::3, ::4]
    np.testing.assert_allclose(
        of_one.reshape(5, 6), expected_shares(tokens[:, 0], ways)
    )
    np.testing.assert_allclose(attention_rollout(clf, images).sum((1, 2)), 1)
    relevance = attention_relevance(clf, images)
    assert (relevance >= 0).all()
    pixels = attention_relevance(clf, images, upsample=True)
    np.testing.assert_array_equal(pixels[:, ::3, ::4], relevance)


@pytest.mark.parametrize("pool", ["token", "map"])
def test_relevance_of_tokens_is_shared_out(make_classifier, images, pool, monkeypatch):
    clf = make_classifier(pool, patch_embed="overlap")
    relevance = attention_relevance(clf, images)
    monkeypatch.setattr(
        "skvit.inspection._relevance.share_out", lambda values, _: values
    )
    of_tokens = attention_relevance(clf, images).reshape(5, 6)
    ways = overlapping_ways(clf._config, [(3, 1), (2, 2)])
    expected = expected_shares(of_tokens, ways)
    np.testing.assert_allclose(relevance.reshape(5, 6), expected, atol=1e-12)
    assert np.abs(expected - of_tokens).max() > 1e-4
