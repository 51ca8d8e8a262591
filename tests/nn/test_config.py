from dataclasses import replace

import pytest

from skvit.nn import ViTConfig

SMALL = ViTConfig((8, 12), (4, 4), 3, 10, 16, 2, 4)


@pytest.mark.parametrize(
    ("image_size", "patch_size", "grid"),
    [
        ((224, 224), (16, 16), (14, 14)),
        ((8, 12), (4, 4), (2, 3)),
        ((30, 30), (8, 8), (4, 4)),
        ((5, 7), (5, 7), (1, 1)),
        ((5, 7), (1, 2), (5, 4)),
    ],
)
def test_grid_counts_the_patches_of_the_padded_image(image_size, patch_size, grid):
    config = replace(SMALL, image_size=image_size, patch_size=patch_size)
    assert config.grid == grid
    assert config.num_patches == grid[0] * grid[1]
    assert config.patch_dim == patch_size[0] * patch_size[1] * 3


def test_description_of_a_photograph():
    config = ViTConfig((224, 224), (16, 16), 3, 1000, 768, 12, 12)
    assert (config.num_patches, config.patch_dim) == (196, 768)


@pytest.mark.parametrize(
    ("changes", "prefix", "positions"),
    [
        ({}, 1, 1),
        ({"pool": "mean"}, 0, 0),
        ({"pool": "mean", "class_token": True}, 1, 1),
        ({"pos_embed_token": False}, 1, 0),
        ({"num_register_tokens": 3}, 4, 1),
        ({"pool": "map", "num_register_tokens": 3}, 3, 0),
    ],
)
def test_tokens_in_front(changes, prefix, positions):
    config = replace(SMALL, **changes)
    assert config.num_prefix_tokens == prefix
    assert config.num_tokens == prefix + 6
    assert config.num_token_positions == positions


@pytest.mark.parametrize(("width", "ratio"), [(48, 4.0), (64, 3.5), (192, 4.0)])
def test_swiglu_has_about_the_parameters_of_gelu(width, ratio):
    plain = replace(SMALL, embed_dim=width, mlp_ratio=ratio)
    gated = replace(plain, activation="swiglu")
    assert gated.mlp_width % 8 == 0
    assert 3 * gated.mlp_width == pytest.approx(2 * plain.mlp_width, abs=24)


def test_width_of_swiglu_is_rounded_up():
    config = replace(SMALL, embed_dim=64, mlp_ratio=3.5, activation="swiglu")
    assert config.mlp_width == 152  # two thirds of 224 are 149.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pos_embed": "sine"}, r"`pos_embed` must be one of .*got 'sine'"),
        ({"stem_convs": 3}, r"`stem_convs` must be one of \(1, 2\), got 3"),
        ({"depth": 0}, r"`depth` must be 1 or more, got 0"),
        ({"drop_rate": 1.0}, r"`drop_rate` is a fraction .* got 1.0"),
        ({"patch_drop_rate": -0.1}, r"`patch_drop_rate` is a fraction .* got -0.1"),
        ({"layer_scale": 0.0}, r"`layer_scale` must be positive, got 0.0"),
        ({"norm_eps": 0.0}, r"`norm_eps` must be positive, got 0.0"),
        ({"mlp_ratio": 0.01}, r"`mlp_ratio`=0.01 of `embed_dim`=16 leaves .* larger"),
        ({"num_register_tokens": -1}, r"`num_register_tokens` must be 0 or more"),
        (
            {"num_heads": 5},
            r"`num_heads`=5 does not divide `embed_dim`=16; .*16\], or `embed_dim`=20",
        ),
        (
            {"patch_size": (4, 13)},
            r"`patch_size`=\(4, 13\) does not fit into images of 8 x 12 pixels",
        ),
        ({"patch_size": (0, 4)}, r"`patch_size`=\(0, 4\) does not fit"),
        ({"patch_embed": "sequence"}, r"`sequence_shape` goes with .* got .*None"),
        ({"sequence_shape": (4, 4)}, r"`sequence_shape` goes with .* got .*'conv'"),
        (
            {"patch_embed": "sequence", "sequence_shape": (0, 4)},
            r"both 1 or more; got \(0, 4\)",
        ),
        (
            {
                "patch_embed": "sequence",
                "sequence_shape": (4, 4),
                "pos_embed": "rope",
            },
            r"`pos_embed`='rope' needs rows and columns",
        ),
        (
            {
                "patch_embed": "sequence",
                "sequence_shape": (4, 4),
                "pos_bias": "gaussian",
            },
            r"`pos_bias`='gaussian' needs rows and columns",
        ),
        (
            {"patch_embed": "overlap", "patch_norm_before": True},
            r"`patch_norm_before` normalises flattened patches",
        ),
        (
            {"patch_embed": "shifted", "patch_size": (1, 4)},
            r"shifts by half a patch, which `patch_size`=\(1, 4\)",
        ),
        (
            {"pos_embed": "sincos", "embed_dim": 15, "num_heads": 1},
            r"even `embed_dim`, got 15; use 16",
        ),
        (
            {"pos_embed": "sincos2d", "embed_dim": 18, "num_heads": 2},
            r"got 18; use 20",
        ),
        ({"pos_embed": "sincos2d", "embed_dim": 4}, r"got 4; use 8"),
        (
            {"pos_embed": "rope", "embed_dim": 24},
            r"`embed_dim`=24 over `num_heads`=4, that is 6; use `embed_dim`=32",
        ),
        ({"class_token": False}, r"`pool='token'` reads the class token"),
        (
            {"locality": True, "patch_size": (8, 12), "pool": "mean"},
            r"`locality=True` lets no token look at itself",
        ),
        (
            {"locality": True, "patch_drop_rate": 0.9, "pool": "mean"},
            r"only one, of 6 patches with `patch_drop_rate`=0.9; .* leave out fewer",
        ),
    ],
)
def test_refusals_name_the_values_and_the_fix(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
