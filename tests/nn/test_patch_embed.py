import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from skvit.nn import (
    Record,
    VisionTransformer,
    ViTConfig,
    conv_to_linear,
    linear_to_conv,
)
from skvit.nn._patch_embed import Shift, patchify, pool_strides

SMALL = ViTConfig((8, 12), (4, 3), 5, 10, 16, 2, 4)


def drawn(config, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VisionTransformer(config, generator).double().eval()


def images_for(config, seed=1):
    shape = (3, config.in_channels, *config.image_size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_patches_lie_row_by_row_with_channels_last():
    images = torch.arange(2 * 2 * 4 * 6).reshape(2, 2, 4, 6)
    patches = patchify(images, (2, 3))
    assert patches.shape == (2, 4, 12)
    assert patches[0, 0].tolist() == [0, 24, 1, 25, 2, 26, 6, 30, 7, 31, 8, 32]
    assert patches[1, 2, :4].tolist() == [60, 84, 61, 85]


@pytest.mark.parametrize("patch_size", [(4, 4), (3, 5), (1, 2)])
def test_conversion_of_weights_is_exact_both_ways(patch_size):
    kernel = normal(6, 3, *patch_size)
    matrix = conv_to_linear(kernel)
    assert torch.equal(linear_to_conv(matrix, patch_size), kernel)
    images = normal(2, 3, 2 * patch_size[0], 3 * patch_size[1])
    by_convolution = F.conv2d(images, kernel, stride=patch_size).flatten(2).mT
    by_matrix = patchify(images, patch_size) @ matrix.T
    torch.testing.assert_close(by_matrix, by_convolution)


def test_conv_linear_and_sequence_are_one_function():
    conv = drawn(SMALL)
    linear = drawn(replace(SMALL, patch_embed="linear"))
    sequence = drawn(
        replace(SMALL, patch_embed="sequence", sequence_shape=(8, 4 * 3 * 5))
    )
    images = images_for(SMALL)
    expected = conv(images)
    assert torch.equal(linear(images), expected)
    assert torch.equal(sequence(patchify(images, (4, 3))), expected)
    weights = conv.state_dict()
    weights["patch_embed.weight"] = conv_to_linear(weights["patch_embed.weight"])
    linear.load_state_dict(weights)
    assert torch.equal(linear(images), expected)


@pytest.mark.parametrize("kind", ["conv", "linear", "shifted", "overlap"])
def test_sizes_that_patches_do_not_divide_are_padded_with_zeros(kind):
    # timm and transformers leave the last rows and columns out, without a word.
    odd = replace(SMALL, image_size=(10, 13), patch_size=(4, 4), patch_embed=kind)
    network = drawn(odd)
    assert network.grid == (3, 4)
    images = images_for(odd)
    logits = network(images)
    for corner in (images[:, :, 9], images[:, :, :, 12]):
        before = corner.clone()
        corner.fill_(99)
        assert (network(images) - logits).abs().max() > 1e-6
        corner.copy_(before)
    if kind != "overlap":  # whose windows see that the border is nearer
        whole = drawn(replace(odd, image_size=(12, 16)))
        assert torch.equal(whole(F.pad(images, (0, 3, 0, 2))), logits)


def test_padding_is_recorded_in_the_patches():
    config = replace(SMALL, image_size=(3, 3), patch_size=(2, 2), in_channels=1)
    record = Record("patches")
    drawn(config)(torch.ones(1, 1, 3, 3, dtype=torch.float64), record)
    assert record["patches"][0].tolist() == [
        [1, 1, 1, 1],
        [1, 0, 1, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ]


def test_shifted_copies_come_from_half_a_patch_along_the_diagonals():
    # vit-pytorch moves by one pixel along the axes instead.
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    copies = Shift((4, 6))(image)[0]
    places = [tuple(copy.nonzero()[0].tolist()) for copy in copies]
    assert places == [(4, 4), (6, 7), (6, 1), (2, 7), (2, 1)]


def test_shifted_copies_are_those_of_the_paper():
    # Pad by half a patch on each side and crop at the four corners: Lee, Lee and Song,
    # arXiv:2112.13492, figure 3.
    images = normal(2, 3, 8, 8)
    padded = F.pad(images, (2, 2, 2, 2))
    corners = [(slice(None, -4),) * 2, (slice(None, -4), slice(4, None))]
    corners += [(slice(4, None), slice(None, -4)), (slice(4, None),) * 2]
    expected = torch.cat([images, *(padded[:, :, y, x] for y, x in corners)], dim=1)
    assert torch.equal(Shift((4, 4))(images), expected)


@pytest.mark.parametrize("num_pools", [1, 2])
def test_pool_strides_multiply_to_the_patch(num_pools):
    for size in range(1, 65):
        strides = pool_strides(size, num_pools)
        assert len(strides) == num_pools
        assert math.prod(strides) == size
        assert list(strides) == sorted(strides, reverse=True)
    assert [pool_strides(n, 2) for n in (4, 8, 12, 16)] == [
        (2, 2),
        (4, 2),
        (4, 3),
        (4, 4),
    ]


@pytest.mark.parametrize("stem_convs", [1, 2])
@pytest.mark.parametrize("patch", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16])
@pytest.mark.parametrize("size", [(16, 16), (17, 31)])
def test_overlap_has_the_grid_of_the_patches(size, patch, stem_convs):
    config = replace(
        SMALL,
        image_size=size,
        patch_size=(patch, max(1, patch - 1)),
        patch_embed="overlap",
        stem_convs=stem_convs,
    )
    network = drawn(config)
    embeddings = network.patch_embed(images_for(config))
    assert embeddings.shape == (3, config.num_patches, 16)


def test_overlap_windows_share_pixels():
    config = replace(SMALL, patch_embed="overlap", patch_size=(4, 4))
    images = images_for(config).requires_grad_()
    network = drawn(config)
    record = Record("embeddings")
    network(images, record)
    first, second = record["embeddings"][0, :2]
    (of_first,) = torch.autograd.grad(first.sum(), images, retain_graph=True)
    (of_second,) = torch.autograd.grad(second.sum(), images)
    assert ((of_first[0] != 0) & (of_second[0] != 0)).any()


def test_overlap_treats_every_sample_by_itself():
    config = replace(SMALL, patch_embed="overlap")
    network = drawn(config).train()
    images = images_for(config)
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone)


def test_the_first_embedding_has_about_unit_size():
    for kind in ("conv", "linear", "overlap"):
        config = replace(SMALL, patch_embed=kind, embed_dim=256)
        assert 0.3 < drawn(config).patch_embed(images_for(config)).std() < 3


@pytest.mark.parametrize("kind", ["conv", "overlap", "sequence"])
@pytest.mark.parametrize("shape", [(2, 5, 12, 8), (2, 5, 8, 24), (2, 1, 8, 12), (5, 8)])
def test_other_sizes_are_refused(kind, shape):
    # vit-pytorch takes a rectangle of other proportions and gives the patches
    # positions that belong to others.
    shapes = {"sequence": (8, 60)}
    config = replace(
        SMALL, patch_embed=kind, sequence_shape=shapes.get(kind), pos_embed="none"
    )
    with pytest.raises(ValueError, match=r"expected a batch of shape .*change_size"):
        VisionTransformer(config)(torch.zeros(shape))
