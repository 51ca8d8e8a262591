from dataclasses import replace

import pytest
import torch

from skvit.nn import Record, VisionTransformer, ViTConfig, attention_weights
from skvit.nn import _attention as module
from skvit.nn._attention import Attention, is_explicit_faster, softmax_rows

SMALL = ViTConfig((8, 12), (4, 4), 2, 3, 16, 2, 4)


def made(seed=0, **changes):
    config = replace(SMALL, **changes)
    network = VisionTransformer(config, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images():
    return torch.randn(3, 2, 8, 12, dtype=torch.float64)


def test_weights_by_hand():
    q, k = (
        torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        torch.tensor([[2.0, 0.0], [0.0, 1.0]]),
    )
    # Scores are (2, 0) and (0, 2), divided by the root of 2.
    e = torch.tensor(2**0.5).exp()
    expected = torch.stack([e / (e + 1), 1 / (e + 1)])
    weights = attention_weights(q, k)
    torch.testing.assert_close(weights, torch.stack([expected, expected.flip(0)]))
    only_other = attention_weights(q, k, mask=~torch.eye(2, dtype=torch.bool))
    assert only_other.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("num_keys", [1, 17, 31, 32, 65])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_softmax_keeps_the_type_and_is_as_near_to_the_truth_as_the_type(
    num_keys, dtype
):
    scores = (4 * torch.randn(3, 5, num_keys)).to(dtype)
    weights = softmax_rows(scores)
    assert weights.dtype == dtype
    expected = scores.double().softmax(-1)
    rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(weights.double(), expected, rtol=rounding, atol=1e-7)


def test_equals_torchs_multi_head_attention():
    attention = made().blocks[0].attention
    peer = torch.nn.MultiheadAttention(16, 4, batch_first=True, dtype=torch.float64)
    peer.load_state_dict(
        {
            "in_proj_weight": attention.qkv.weight,
            "in_proj_bias": attention.qkv.bias,
            "out_proj.weight": attention.proj.weight,
            "out_proj.bias": attention.proj.bias,
        }
    )
    x = torch.randn(2, 7, 16, dtype=torch.float64)
    record = Record("*attention")
    expected, weights = peer(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(attention(x, record=record), expected)
    torch.testing.assert_close(record["block00/attention"], weights)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"locality": True},
        {"pos_bias": "gaussian"},
        {"pos_bias": "gaussian", "locality": True, "num_register_tokens": 2},
        {"qk_norm": True, "pos_embed": "rope"},
        {"num_heads": 1},
    ],
)
def test_fused_and_explicit_agree_and_maps_are_exact_on_both(monkeypatch, changes):
    network, x = made(**changes), images()
    outputs, maps = [], []
    for path in (True, False):
        monkeypatch.setattr(module, "is_explicit_faster", lambda *_, p=path: p)
        record = Record("*/q", "*/k", "*/v", "*/scores", "*/attention")
        outputs += [network(x), network(x, record)]
        maps.append(record)
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=1e-10, atol=1e-10)
    assert list(maps[0]) == list(maps[1])
    for name in maps[0]:
        torch.testing.assert_close(maps[0][name], maps[1][name], rtol=0, atol=1e-12)


def test_gradients_of_both_paths_agree(monkeypatch):
    changes = {"locality": True, "qk_norm": True, "pos_bias": "gaussian"}
    network, x = made(**changes), images()
    gradients = []
    for path in (True, False):
        monkeypatch.setattr(module, "is_explicit_faster", lambda *_, p=path: p)
        network.zero_grad()
        network(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for explicit, fused in zip(*gradients, strict=True):
        torch.testing.assert_close(explicit, fused, rtol=1e-8, atol=1e-10)


def test_recorded_maps_follow_from_recorded_queries_and_keys():
    record = Record("block01/*")
    made()(images(), record)
    q, k = record["block01/q"], record["block01/k"]
    scores = q @ k.mT / 2  # heads are 4 wide
    torch.testing.assert_close(record["block01/scores"], scores)
    attention = record["block01/attention"]
    torch.testing.assert_close(attention, scores.softmax(-1))
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]))


def test_scores_are_scaled_by_the_width_of_a_head():
    # ViT-CIFAR scales by the width of the token.
    wide, narrow = made(num_heads=1), made(num_heads=4)
    assert wide.blocks[0].attention.scale == 16**-0.5
    assert narrow.blocks[0].attention.scale == 4**-0.5


def test_locality_has_a_temperature_per_head_and_no_token_sees_itself():
    # vit-pytorch shares one temperature between the heads.
    network = VisionTransformer(replace(SMALL, locality=True))
    factor = network.blocks[0].attention.temperature.factor
    assert factor.tolist() == [0.5] * 4
    record = Record("*/attention", "*/scores")
    network(torch.randn(2, 2, 8, 12), record)
    for name, tensor in record.items():
        diagonal = tensor.diagonal(dim1=-2, dim2=-1)
        wanted = 0.0 if name.endswith("attention") else float("-inf")
        assert (diagonal == wanted).all()


def test_queries_and_keys_are_normed_in_each_head():
    record = Record("block00/q", "block00/k")
    config = replace(SMALL, qk_norm=True, norm_eps=1e-12)
    VisionTransformer(config).double()(images(), record)
    for tensor in record.values():
        torch.testing.assert_close(tensor.mean(-1), torch.zeros_like(tensor[..., 0]))
        torch.testing.assert_close(
            tensor.var(-1, correction=0), torch.ones_like(tensor[..., 0])
        )


@pytest.mark.parametrize("path", [True, False])
def test_weights_are_dropped_in_training_from_the_generator(monkeypatch, path):
    monkeypatch.setattr(module, "is_explicit_faster", lambda *_: path)
    config = replace(SMALL, attn_drop_rate=0.5)
    attention = VisionTransformer(config).blocks[0].attention.train()
    x, state = torch.randn(2, 7, 16), torch.get_rng_state()
    attention.weight_drop.generator = torch.Generator().manual_seed(0)
    record = Record("*/attention")
    first, second = attention(x, record=record), attention(x)
    assert not torch.allclose(first, second)
    sums = record["block00/attention"].sum(-1)  # recorded before any is dropped
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("num_tokens", "device_type", "num_bytes", "explicit"),
    [
        (1, "cpu", 4, True),
        (64, "cpu", 8, True),
        (197, "cpu", 4, False),
        (197, "cpu", 2, True),
        (1025, "cpu", 2, False),
        (17, "cuda", 2, False),
    ],
)
def test_path_is_chosen_by_what_is_faster(num_tokens, device_type, num_bytes, explicit):
    assert is_explicit_faster(num_tokens, device_type, num_bytes) is explicit


def test_long_sequences_take_the_fused_path(monkeypatch):
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def spy(*args, **kwargs):
        calls.append(args[0].shape[-2])
        return fused(*args, **kwargs)

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", spy)
    with torch.device("meta"):
        attention = Attention(SMALL, "block00")
    attention.to_empty(device="cpu")
    attention.reset_parameters(None)
    attention(torch.zeros(1, 50, 16))
    attention(torch.zeros(1, 2000, 16))
    attention(torch.zeros(1, 2000, 16), record=Record("*/v"))
    assert calls == [2000, 2000]
