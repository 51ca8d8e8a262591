from dataclasses import replace

import pytest
import torch
from torch import nn

from skvit.nn import Record, VisionTransformer, ViTConfig

SMALL = ViTConfig((8, 12), (4, 4), 2, 3, 16, 1, 4, pool="mean")


def made(**changes):
    config = replace(SMALL, **changes)
    return VisionTransformer(config, torch.Generator().manual_seed(0)).double().eval()


def tokens(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randn((2, count, 16), generator=generator, dtype=torch.float64)


def test_token_pool_takes_the_class_token():
    network = made(pool="token", num_register_tokens=2)
    x = tokens(9)
    assert torch.equal(network.pool(x), x[:, 0])


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [({}, 0), ({"class_token": True}, 1), ({"num_register_tokens": 2}, 2)],
)
def test_mean_pool_takes_the_patches_alone(changes, prefix):
    x = tokens(6 + prefix)
    torch.testing.assert_close(made(**changes).pool(x), x[:, prefix:].mean(1))


def test_seqpool_weights_the_patches_by_softmax():
    pool, x, record = made(pool="seqpool").pool, tokens(6), Record("*")
    pooled = pool(x, record)
    weights = record["pool/attention"]
    assert weights.shape == (2, 6)
    torch.testing.assert_close(weights, pool.score(x)[..., 0].softmax(1))
    torch.testing.assert_close(pooled, (weights[..., None] * x).sum(1))


def test_map_pool_is_attention_from_one_query():
    network = made(pool="map", num_register_tokens=2)
    pool, x, record = network.pool, tokens(8), Record("*")
    peer = nn.MultiheadAttention(16, 4, batch_first=True, dtype=torch.float64)
    peer.load_state_dict(
        {
            "in_proj_weight": torch.cat((pool.q.weight, pool.kv.weight)),
            "in_proj_bias": torch.cat((pool.q.bias, pool.kv.bias)),
            "out_proj.weight": pool.proj.weight,
            "out_proj.bias": pool.proj.bias,
        }
    )
    query = pool.query.expand(2, 1, 16)
    patches = x[:, 2:]
    mixed, weights = peer(query, patches, patches, average_attn_weights=False)
    expected = mixed + pool.mlp(pool.norm(mixed))
    torch.testing.assert_close(pool(x, record), expected[:, 0])
    torch.testing.assert_close(record["pool/attention"], weights[:, :, 0])


@pytest.mark.parametrize(
    ("pool", "asked", "late"),
    [
        ("token", None, False),
        ("mean", None, True),
        ("map", None, False),
        ("seqpool", None, False),
        ("mean", False, False),
        ("map", True, True),
    ],
)
def test_last_norm_stands_before_or_after_the_pool(pool, asked, late):
    network = made(pool=pool, norm_after_pool=asked)
    assert isinstance(network.pooled_norm, nn.LayerNorm) is late
    assert isinstance(network.norm, nn.LayerNorm) is not late


@pytest.mark.parametrize(
    ("activation", "kind"), [("relu", nn.ReLU), ("gelu", nn.GELU), ("tanh", nn.Tanh)]
)
def test_a_head_of_two_layers(activation, kind):
    head = made(head_hidden=4, head_activation=activation).head
    assert [type(layer) for layer in head.hidden] == [nn.Linear, kind]
    assert head.hidden[0].weight.shape == (4, 16)
    assert head.output.weight.shape == (3, 4)


def test_outputs_are_as_many_as_asked_whatever_the_switches():
    # In one of vit-pytorch's models the number of classes is lost with qk-norm.
    network = made(qk_norm=True, pos_embed="sincos2d", num_outputs=7)
    assert network(torch.zeros(2, 2, 8, 12, dtype=torch.float64)).shape == (2, 7)


def test_head_computes_in_its_own_precision_under_autocast():
    network = made(head_hidden=5).float()
    images = torch.randn((4, 2, 8, 12), generator=torch.Generator().manual_seed(0))
    record = Record("block00/q", "pooled")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images, record)
    assert record["block00/q"].dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, network.head(record["pooled"].float()))
    exact = network(images)
    largest = exact.abs().max().item()
    torch.testing.assert_close(logits, exact, rtol=0, atol=0.05 * largest)
