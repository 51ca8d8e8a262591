from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from skvit.nn import (
    Record,
    VisionTransformer,
    ViTConfig,
    change_size,
    conv_to_linear,
    resample_pos_embed,
    resize_patch_kernel,
)

SMALL = ViTConfig((8, 16), (4, 4), 2, 3, 16, 2, 4)


def drawn(config, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VisionTransformer(config, generator).double().eval()


def changed(config, **sizes):
    before = drawn(config)
    new, weights = change_size(config, before.state_dict(), **sizes)
    after = drawn(new, seed=9)
    after.load_state_dict(weights)
    return before, after


def upscale(images, factor):
    return F.interpolate(images, scale_factor=factor, mode="bicubic", antialias=True)


@pytest.mark.parametrize("kind", ["conv", "linear", "overlap", "shifted"])
@pytest.mark.parametrize("pos_embed", ["learned", "sincos", "sincos2d", "rope", "none"])
@pytest.mark.parametrize("size", [(16, 16), (16, 8), (12, 20), (7, 9)])
def test_another_image_size(kind, pos_embed, size):
    config = replace(SMALL, patch_embed=kind, pos_embed=pos_embed)
    _, after = changed(config, image_size=size)
    assert after.grid == (-(-size[0] // 4), -(-size[1] // 4))
    assert after(torch.zeros(2, 2, *size, dtype=torch.float64)).shape == (2, 3)


def test_learned_positions_are_resampled_even_where_the_counts_are_equal():
    # timm before 1.0.31 compared numbers of tokens: here 8 before and after.
    before, after = changed(SMALL, image_size=(16, 8))
    assert before.num_patches == after.num_patches
    old, new = before.pos_embed.table, after.pos_embed.table
    assert torch.equal(new[0], old[0])
    assert not torch.allclose(new, old)
    torch.testing.assert_close(new, resample_pos_embed(old, (2, 4), (4, 2), 1))


def test_rectangles_and_rectangular_patches_are_no_special_case():
    # transformers fails on both.
    config = replace(SMALL, image_size=(8, 15), patch_size=(4, 3))
    _, after = changed(config, image_size=(16, 12))
    assert after.grid == (4, 4)


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_the_same_image_at_twice_the_size_in_patches_of_twice_the_size(kind):
    config = replace(SMALL, patch_embed=kind)
    before, after = changed(config, image_size=(16, 32), patch_size=(8, 8))
    generator = torch.Generator().manual_seed(3)
    patch = torch.randn((2, 2, 4, 4), generator=generator, dtype=torch.float64)
    small, large = patch.tile(1, 1, 2, 4), upscale(patch, 2).tile(1, 1, 2, 4)
    torch.testing.assert_close(after(large), before(small), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("new", [(8, 8), (6, 9), (4, 5), (16, 16)])
def test_larger_kernels_give_the_same_on_larger_patches(new):
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn((5, 3, 4, 4), generator=generator, dtype=torch.float64)
    patches = torch.randn((7, 3, 4, 4), generator=generator, dtype=torch.float64)
    larger = F.interpolate(patches, new, mode="bicubic", antialias=True)
    expected = patches.flatten(1) @ kernel.flatten(1).T
    result = larger.flatten(1) @ resize_patch_kernel(kernel, new).flatten(1).T
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


def test_smaller_kernels_are_the_nearest_that_there_are():
    # Over all patches the squared error is that of w' R - w, least for w' = w pinv(R).
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn((1, 1, 4, 4), generator=generator, dtype=torch.float64)
    basis = torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    shrunk = F.interpolate(basis, (2, 2), mode="bicubic", antialias=True).flatten(1)
    fitted = resize_patch_kernel(kernel, (2, 2)).flatten()
    best = torch.linalg.lstsq(shrunk, kernel.flatten()[:, None]).solution[:, 0]
    torch.testing.assert_close(fitted, best)


def test_kernels_keep_their_precision():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn((5, 3, 4, 6), generator=generator)
    assert resize_patch_kernel(kernel, (4, 6)) is kernel
    assert resize_patch_kernel(kernel, (8, 12)).dtype == kernel.dtype


@pytest.mark.parametrize("pos_embed", ["sincos", "sincos2d", "rope"])
def test_fixed_positions_keep_their_place_in_the_image(pos_embed):
    config = replace(SMALL, pos_embed=pos_embed, pool="mean")
    _, once = changed(config, image_size=(16, 32))
    assert once.config.pos_grid == (2, 4)
    fresh = drawn(once.config)
    for name, table in fresh.named_buffers():
        torch.testing.assert_close(table, once.get_buffer(name), rtol=1e-6, atol=1e-6)
    again, weights = change_size(once.config, once.state_dict(), image_size=(8, 16))
    original = drawn(config)
    for name, table in original.named_buffers():
        torch.testing.assert_close(weights[name], table, rtol=1e-6, atol=1e-6)
    assert again.pos_grid == (2, 4)


def test_weights_given_are_left_as_they_are():
    network = drawn(SMALL)
    weights = network.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    change_size(SMALL, weights, image_size=(32, 32), patch_size=(8, 8))
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_nothing_to_change_changes_nothing():
    before, after = changed(SMALL)
    images = torch.ones(1, 2, 8, 16, dtype=torch.float64)
    assert torch.equal(before(images), after(images))


def test_overlap_changes_its_patch_size_by_its_pools():
    config = replace(SMALL, patch_embed="overlap")
    before, after = changed(config, patch_size=(2, 2))
    assert after.grid == (4, 8)
    record = Record("embeddings")
    after(torch.zeros(1, 2, 8, 16, dtype=torch.float64), record)
    assert record["embeddings"].shape == (1, 32, 16)
    name = "patch_embed.stages.0.weight"
    assert torch.equal(before.state_dict()[name], after.state_dict()[name])


def test_linear_and_conv_change_alike():
    conv = drawn(SMALL)
    linear = replace(SMALL, patch_embed="linear")
    key = "patch_embed.weight"
    _, of_conv = change_size(SMALL, conv.state_dict(), patch_size=(8, 2))
    _, of_linear = change_size(linear, drawn(linear).state_dict(), patch_size=(8, 2))
    torch.testing.assert_close(of_linear[key], conv_to_linear(of_conv[key]))


@pytest.mark.parametrize(
    "changes", [{"patch_embed": "shifted"}, {"patch_norm_before": 1}]
)
def test_a_norm_of_patches_has_no_other_patch_size(changes):
    config = replace(SMALL, **changes)
    weights = drawn(config).state_dict()
    with pytest.raises(
        ValueError, match=r"`patch_size`=\(4, 4\) cannot become \(2, 2\)"
    ):
        change_size(config, weights, patch_size=(2, 2))
    assert change_size(config, weights, patch_size=(4, 4))[0].patch_size == (4, 4)


def test_a_sequence_has_no_size_to_change():
    config = replace(SMALL, patch_embed="sequence", sequence_shape=(8, 32))
    with pytest.raises(ValueError, match="has no image size or patch size to change"):
        change_size(config, drawn(config).state_dict(), image_size=(16, 16))
