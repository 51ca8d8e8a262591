from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from skvit.nn import (
    Record,
    VisionTransformer,
    ViTConfig,
    change_size,
    set_generator,
)
from skvit.nn._places import GaussianBias, Places, relative_places

SMALL = ViTConfig(
    (20, 24), (4, 4), 2, 3, 16, 2, 8, pool="mean", pos_embed="none", pos_bias="gaussian"
)
ROWS, COLUMNS = 5, 6


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def attention_of(network, images):
    record = Record("block00/attention")
    network(images, record)
    return record["block00/attention"]


def test_places_by_hand():
    config = replace(SMALL, image_size=(8, 8), num_register_tokens=1)
    table = relative_places(config)
    assert table.shape == (3, 5, 5)
    assert not table[:, 0].any()
    assert not table[:, :, 0].any()
    # from the first patch: to itself, its right, the one below, the one across
    assert table[:, 1, 1:].T.tolist() == [[0, 0, 0], [1, 0, 1], [1, 1, 0], [2, 1, 1]]
    assert table[:, 4, 1].tolist() == [2, -1, -1]


def test_heads_first_look_at_eight_places_around_a_patch():
    network = VisionTransformer(SMALL, torch.Generator().manual_seed(0))
    images = torch.zeros(1, 2, 20, 24)  # all patches alike: only places count
    attention = attention_of(network, images)[0]
    center = 2 * COLUMNS + 3
    looked_at = [
        divmod(place, COLUMNS) for place in attention[:, center].argmax(-1).tolist()
    ]
    assert looked_at == [(2, 2), (2, 4), (1, 3), (3, 3), (2, 1), (2, 5), (0, 3), (4, 3)]


def test_equal_patches_with_one_head_at_a_place_are_a_convolution():
    """Sharp heads, identity values: the attention's output is a shifted image."""
    bias = GaussianBias(4).double()
    bias.reset_parameters(None)
    with torch.no_grad():
        bias.slopes *= 200
    relative = relative_places(SMALL)
    weights = bias(relative).softmax(-1)  # (heads, T, T)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64)
    moved = (weights @ values.flatten()).view(4, ROWS, COLUMNS)
    kernels = torch.zeros(4, 1, 3, 3, dtype=torch.float64)
    for head, (row, column) in enumerate([(1, 0), (1, 2), (0, 1), (2, 1)]):
        kernels[head, 0, row, column] = 1
    expected = F.conv2d(values[None, None], kernels)[0]  # inner patches only
    torch.testing.assert_close(moved[:, 1:-1, 1:-1], expected)


def test_bias_is_a_gaussian_around_the_place_looked_at():
    bias = GaussianBias(8).double()
    bias.reset_parameters(None)
    relative = relative_places(SMALL)
    target = torch.tensor([-2.0, 0.0], dtype=torch.float64)  # of the seventh head
    distance = (relative[1:] - target[:, None, None]).square().sum(0)
    gaussian = torch.exp(-0.5 * distance)
    expected = gaussian / gaussian.sum(-1, keepdim=True)
    torch.testing.assert_close(bias(relative)[6].softmax(-1), expected)


def test_slopes_of_zero_are_no_bias():
    network = VisionTransformer(SMALL, torch.Generator().manual_seed(0)).double()
    plain = VisionTransformer(replace(SMALL, pos_bias="none")).double()
    weights = network.state_dict()
    slopes = [name for name in weights if name.endswith(".slopes")]
    assert len(slopes) == SMALL.depth
    with torch.no_grad():
        for name in slopes:
            weights[name].zero_()
    plain.load_state_dict({n: w for n, w in weights.items() if n not in slopes})
    images = torch.randn(2, 2, 20, 24, dtype=torch.float64)
    torch.testing.assert_close(network(images), plain(images))


@pytest.mark.parametrize("prefix", [0, 2])
def test_samples_that_keep_other_patches_keep_their_places(prefix):
    config = replace(SMALL, num_register_tokens=prefix)
    table = relative_places(config)
    kept = torch.tensor([[0, 3, 1], [5, 2, 4]])
    relative = Places(None, table).at(kept).relative
    for sample, tokens in enumerate(kept.tolist()):
        for i, query in enumerate(tokens):
            for j, key in enumerate(tokens):
                assert torch.equal(relative[sample, :, i, j], table[:, query, key])


def test_patches_in_another_order_give_the_same_tokens():
    network = VisionTransformer(SMALL, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    images = torch.randn(3, 2, 20, 24, dtype=torch.float64)
    x = network.patch_embed(images)
    order = torch.stack([torch.randperm(30) for _ in range(3)])
    shuffled = torch.gather(x, 1, order[..., None].expand(-1, -1, 16))
    places = Places(None, network.relative_places())
    for block in network.blocks:
        x = block(x, places)
        shuffled = block(shuffled, places.at(order))
    expected = torch.gather(x, 1, order[..., None].expand(-1, -1, 16))
    torch.testing.assert_close(shuffled, expected)


@pytest.mark.parametrize("num_tokens", [30, 120])
def test_predictions_of_long_sequences_take_a_fused_kernel(num_tokens):
    config = replace(SMALL, image_size=(20, 24 * num_tokens // 30))
    network = VisionTransformer(config).eval()
    images = torch.randn(2, 2, *config.image_size)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        network(images)
    names = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_attention_math" not in names
    fused = "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert fused == (num_tokens > 64)


@pytest.mark.parametrize(
    "changes",
    [{}, {"locality": True}, {"qk_norm": True}, {"patch_drop_rate": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("size", [(20, 24), (60, 72)])
def test_half_precision_trains_as_single_does(changes, size):
    config = replace(SMALL, image_size=size, num_register_tokens=1, **changes)
    images, slopes = torch.randn(3, 2, *size), []
    for enabled in (False, True):
        network = VisionTransformer(config, torch.Generator().manual_seed(0)).train()
        set_generator(network, torch.Generator().manual_seed(0))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logits = network(images)
        logits.square().sum().backward()
        slopes.append(network.blocks[0].attention.pos_bias.slopes.grad)
    scale = slopes[0].abs().max().item()
    assert scale > 0
    torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=0.1 * scale)


def test_places_are_not_stored_and_follow_the_grid():
    network = VisionTransformer(SMALL)
    weights = network.state_dict()
    assert not any("relative" in name for name in weights)
    config, weights = change_size(SMALL, weights, image_size=(40, 48))
    finer = VisionTransformer(config)
    finer.load_state_dict(weights)
    # patches of half the size lie half as far from each other
    table = finer.relative_places()
    assert table.shape == (3, 120, 120)
    assert table[:, 0, 1].tolist() == [0.25, 0, 0.5]
    assert table[:, 0, 2 * COLUMNS].tolist() == [0.25, 0.5, 0]
