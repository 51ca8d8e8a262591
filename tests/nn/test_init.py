import pytest
import torch
from torch import nn

from skvit.nn import VisionTransformer, ViTConfig
from skvit.nn._init import fill_normal, fill_trunc_normal, fill_uniform, init_linear

CONFIG = ViTConfig((32, 32), (8, 8), 3, 10, 96, 2, 3)


def network_of(scheme, seed=0, **changes):
    values = {**CONFIG.__dict__, "init": scheme, **changes}
    return VisionTransformer(ViTConfig(**values), torch.Generator().manual_seed(seed))


def test_fillers_have_the_deviation_they_name():
    generator = torch.Generator().manual_seed(0)
    values = torch.empty(200_000)
    fill_normal(values, 0.5, generator)
    assert values.std() == pytest.approx(0.5, rel=0.01)
    fill_trunc_normal(values, 0.5, generator)
    assert values.std() == pytest.approx(0.5, rel=0.01)
    assert values.abs().max() <= 0.5 * 2 / 0.8796
    fill_uniform(values, 0.3, generator)
    assert values.std() == pytest.approx(0.3 / 3**0.5, rel=0.01)
    assert -0.3 <= values.min() < values.max() <= 0.3


def test_trunc_normal_scheme():
    weights = network_of("trunc_normal").state_dict()
    assert weights["patch_embed.weight"].std() == pytest.approx(192**-0.5, rel=0.05)
    for name in ("attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2"):
        assert weights[f"blocks.1.{name}.weight"].std() == pytest.approx(0.02, rel=0.05)
        assert not weights[f"blocks.1.{name}.bias"].any()
    assert weights["pos_embed.table"].std() == pytest.approx(0.02, rel=0.1)
    assert weights["prefix.weight"].std() == pytest.approx(0.02, rel=0.2)
    assert weights["head.output.weight"].std() == pytest.approx(0.02, rel=0.1)
    assert (weights["norm.weight"] == 1).all()
    assert not weights["norm.bias"].any()


def test_jax_scheme():
    weights = network_of("jax", pool="map", head_hidden=50).state_dict()
    qkv = weights["blocks.0.attention.qkv.weight"]
    bound = (6 / (96 + 96)) ** 0.5  # Xavier for queries, keys and values by themselves
    assert 0.98 * bound < qkv.abs().max() <= bound
    kv = weights["pool.kv.weight"]
    assert 0.98 * bound < kv.abs().max() <= bound
    fc1 = weights["blocks.0.mlp.fc1.weight"]
    assert fc1.std() == pytest.approx((2 / (96 + 384)) ** 0.5, rel=0.05)
    assert weights["blocks.0.mlp.fc1.bias"].std() == pytest.approx(1e-6, rel=0.2)
    assert weights["head.hidden.0.weight"].any()
    assert not weights["head.output.weight"].any()


def test_jax_scheme_is_xaviers_for_every_matrix():
    network = network_of("jax", pool="map", head_hidden=50)
    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear)}
    del layers["head.output"]  # which starts at zero
    for name, layer in layers.items():
        outputs, inputs = layer.weight.shape
        outputs //= {"qkv": 3, "kv": 2}.get(name.split(".")[-1], 1)
        bound = (6 / (inputs + outputs)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound, name
    assert network.pool.query.std().item() == pytest.approx(96**-0.5, rel=0.2)
    score = network_of("jax", pool="seqpool").pool.score.weight
    bound = (6 / (96 + 1)) ** 0.5
    assert 0.9 * bound < score.abs().max() <= bound


def test_mimetic_scheme_makes_the_products_it_names():
    weights = network_of("mimetic").state_dict()
    q, k, v = weights["blocks.0.attention.qkv.weight"].chunk(3)
    proj = weights["blocks.0.attention.proj.weight"]
    value = v.T @ proj.T
    noise = (value + 0.4 * torch.eye(96)) / 0.4
    assert noise.mean() == pytest.approx(0, abs=0.005)
    assert noise.std() == pytest.approx(96**-0.5, rel=0.05)
    for head in range(3):
        rows = slice(32 * head, 32 * (head + 1))
        product = q[rows].T @ k[rows]
        assert torch.linalg.matrix_rank(product) == 32
        assert product.diagonal().mean() > 5 * product.abs().mean()


def test_mimetic_factors_are_the_best_of_their_rank():
    network = network_of("mimetic", seed=4, num_heads=1, depth=1)
    state = network.blocks[0].attention
    q, k, v = state.qkv.weight.detach().chunk(3)
    proj = state.proj.weight.detach()
    assert torch.linalg.matrix_rank(q.T @ k) == 96
    # With one head nothing is cut off: the products are 0.7 Z + 0.7 I and
    # 0.4 Z - 0.4 I themselves, their singular values shared between the factors.
    for one, other, identity in ((q.T, k, 0.7), (v.T, proj.T, -0.4)):
        product = one @ other
        assert product.diagonal().mean() == pytest.approx(identity, abs=0.05)
        noise = (product - identity * torch.eye(96)) / abs(identity)
        assert noise.std() == pytest.approx(96**-0.5, rel=0.05)
        torch.testing.assert_close(one.norm(), other.norm())


def test_stem_is_drawn_for_relu():
    weights = network_of("trunc_normal", patch_embed="overlap").state_dict()
    kernel = weights["patch_embed.stages.3.weight"]
    assert kernel.std() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("scheme", ["trunc_normal", "jax", "mimetic"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pool": "map", "layer_scale": 0.1, "locality": True},
        {"pool": "seqpool", "patch_embed": "overlap", "head_hidden": 4},
    ],
)
def test_equal_generators_give_equal_networks_in_every_precision(scheme, changes):
    state = torch.get_rng_state()
    network = network_of(scheme, **changes)
    first = network.state_dict()
    double = network_of(scheme, seed=1, **changes).double()
    double.reset_parameters(torch.Generator().manual_seed(0))
    for name, value in double.state_dict().items():
        assert torch.equal(value.float(), first[name]), name
    other = network_of(scheme, seed=1, **changes).state_dict()
    assert not torch.equal(
        other["blocks.0.mlp.fc1.weight"], first["blocks.0.mlp.fc1.weight"]
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_generator_draws_are_torchs_own():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = VisionTransformer(CONFIG).state_dict()
        torch.manual_seed(5)
        again = VisionTransformer(CONFIG).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_layer_without_bias_is_drawn_too():
    linear = nn.Linear(5, 3, bias=False)
    init_linear(linear, "jax", torch.Generator().manual_seed(0))
    assert linear.weight.abs().max() <= (6 / 8) ** 0.5
