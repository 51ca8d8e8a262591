from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skvit.nn import Record, VisionTransformer, ViTConfig
from skvit.nn._block import LayerScale, SwiGLU, make_activation

SMALL = ViTConfig((8, 12), (4, 4), 2, 3, 16, 3, 4)


def block_of(**changes):
    config = replace(SMALL, **changes)
    network = VisionTransformer(config, torch.Generator().manual_seed(0))
    return network.double().eval().blocks[-1]


def tokens():
    generator = torch.Generator().manual_seed(1)
    return torch.randn((2, 7, 16), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("scale", [None, 0.25])
def test_forward_is_the_two_lines_of_the_paper(scale):
    block, x = block_of(layer_scale=scale), tokens()
    record = Record("*")
    factor = scale or 1.0
    middle = x + factor * block.attention(block.norm1(x))
    after = middle + factor * block.mlp(block.norm2(middle))
    torch.testing.assert_close(block(x, record=record), after)
    torch.testing.assert_close(record["block02/after_attention"], middle)
    torch.testing.assert_close(record["block02/after_mlp"], after)


def test_equals_torchs_encoder_layer():
    block = block_of(mlp_ratio=2.0)
    peer = nn.TransformerEncoderLayer(
        16, 4, 32, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
    ).double()
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    weights = block.state_dict()
    peer.load_state_dict(
        {
            theirs + kind: weights[ours + kind]
            for theirs, ours in names.items()
            for kind in ("weight", "bias")
        }
    )
    torch.testing.assert_close(block(tokens()), peer(tokens()))


def test_residual_branches_alone_change_the_tokens():
    block = block_of()
    with torch.no_grad():
        block.attention.proj.weight.zero_()
        block.mlp.fc2.weight.zero_()
    assert torch.equal(block(tokens()), tokens())


def test_branches_are_skipped_more_often_in_later_blocks():
    network = VisionTransformer(replace(SMALL, drop_path_rate=0.4))
    assert isinstance(network.blocks[0].drop_path1, nn.Identity)
    rates = [(b.drop_path1.rate, b.drop_path2.rate) for b in network.blocks[1:]]
    assert rates == [(0.2, 0.2), (0.4, 0.4)]
    lonely = VisionTransformer(replace(SMALL, drop_path_rate=0.4, depth=1))
    assert isinstance(lonely.blocks[0].drop_path1, nn.Identity)


def test_dropout_follows_the_projection_and_both_layers():
    block = block_of(drop_rate=0.2, attn_drop_rate=0.3)
    assert block.attention.drop.rate == 0.2
    assert block.attention.weight_drop.rate == 0.3
    assert (block.mlp.drop1.rate, block.mlp.drop2.rate) == (0.2, 0.2)


def test_activations():
    x = torch.linspace(-3, 3, 50)
    assert torch.equal(make_activation("gelu")(x), F.gelu(x))
    tanh = make_activation("gelu_tanh")(x)
    assert torch.equal(tanh, F.gelu(x, approximate="tanh"))
    assert not torch.equal(tanh, F.gelu(x))
    assert torch.equal(make_activation("relu")(x), x.clamp(min=0))
    assert torch.equal(make_activation("tanh")(x), x.tanh())
    gate, value = x.reshape(5, 10).chunk(2, dim=-1)
    torch.testing.assert_close(
        make_activation("swiglu")(x.reshape(5, 10)), gate * gate.sigmoid() * value
    )
    assert isinstance(make_activation("swiglu"), SwiGLU)


def test_layer_scale_starts_where_it_is_told():
    scale = block_of(layer_scale=1e-4).scale2
    assert isinstance(scale, LayerScale)
    torch.testing.assert_close(scale(tokens()), tokens() * 1e-4, rtol=1e-6, atol=0)
