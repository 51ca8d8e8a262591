import copy
import itertools
from dataclasses import replace

import pytest
import torch

from skvit.nn import Record, VisionTransformer, ViTConfig, set_generator

SMALL = ViTConfig((8, 12), (4, 4), 2, 3, 16, 2, 4)
VARIANTS = [
    {},
    {"patch_embed": "linear", "pos_embed": "sincos"},
    {"patch_embed": "overlap", "pool": "seqpool", "pos_embed": "sincos2d"},
    {"patch_embed": "shifted", "pool": "map", "locality": True},
    {"pos_embed": "rope", "pool": "mean", "class_token": True, "pos_bias": "gaussian"},
    {"pos_embed": "none", "num_register_tokens": 2, "activation": "swiglu"},
    {"layer_scale": 0.1, "head_hidden": 4, "qk_norm": True, "patch_norm_before": True},
    {"drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.1},
]
KINDS_OF_POSITIONS = "learned", "sincos", "sincos2d", "rope"
each_variant = pytest.mark.parametrize("changes", VARIANTS, ids=str)


def made(seed=0, **changes):
    config = replace(SMALL, **changes)
    return VisionTransformer(config, torch.Generator().manual_seed(seed))


def images(count=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, 2, 8, 12), generator=generator)


# The worked example: an image of 16 x 16 gray pixels, a cat or a dog.
EXAMPLE = ViTConfig(
    image_size=(16, 16),
    patch_size=(4, 4),
    in_channels=1,
    num_outputs=2,
    embed_dim=8,
    depth=1,
    num_heads=1,
    patch_embed="linear",
    head_hidden=4,
    head_activation="relu",
)
EMBEDDING = [0.2, -0.5, 0.8, 0.1, -0.3, 0.6, 0.9, -0.2]
POSITION = [0.1, 0.2, -0.1, 0.3, -0.2, 0.4, 0.1, -0.3]
SUM = [0.3, -0.3, 0.7, 0.4, -0.5, 1.0, 1.0, -0.5]


@pytest.fixture
def example():
    """The network of the worked example, its first patch's numbers set, and an image.

    The first pixel of the image is 1 and the rest of its first patch is 0, so that the
    first column of the 16 x 8 matrix is what the patch is embedded as.
    """
    network = VisionTransformer(EXAMPLE, torch.Generator().manual_seed(0)).double()
    image = torch.rand(
        (1, 1, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    image[..., :4, :4] = 0
    image[..., 0, 0] = 1
    with torch.no_grad():
        network.patch_embed.weight[:, 0] = torch.tensor(EMBEDDING)
        network.pos_embed.table[1] = torch.tensor(POSITION)
    return network.eval(), image


def test_worked_example_cuts_sixteen_patches_of_sixteen_numbers(example):
    network, image = example
    record = Record("patches", "embeddings", "positions")
    network(image, record)
    assert record["patches"].shape == (1, 16, 16)
    assert network.patch_embed.weight.shape == (8, 16)
    assert torch.equal(record["patches"][0, 5], image[0, 0, 4:8, 4:8].flatten())
    assert record["positions"].shape == (17, 8)
    first = record["embeddings"][0, 0]
    assert first.tolist() == pytest.approx(EMBEDDING, abs=1e-7)
    assert (first + record["positions"][1]).tolist() == pytest.approx(SUM, abs=1e-7)


def test_worked_example_attends_as_by_hand(example):
    network, image = example
    record = Record("block00/*")
    network(image, record)
    q, k, v = (record[f"block00/{name}"][0, 0] for name in "qkv")
    assert q.shape == k.shape == v.shape == (17, 8)
    score = sum(a * b for a, b in zip(q[1].tolist(), k[2].tolist(), strict=True))
    assert record["block00/scores"][0, 0, 1, 2].item() == pytest.approx(score / 8**0.5)
    weights = record["block00/attention"][0, 0, 1]
    assert weights.sum().item() == pytest.approx(1)
    mixed = sum(weights[j] * v[j] for j in range(17))
    branch = network.blocks[0].attention.proj(mixed)
    before = record["block00/after_attention"][0, 1] - branch
    assert before.tolist() == pytest.approx(SUM, abs=1e-7)


def test_worked_example_decides_for_the_cat(example):
    network, image = example
    head = network.head
    assert head.hidden[0].weight.shape == (4, 8)
    assert head.output.weight.shape == (2, 4)
    with torch.no_grad():
        head.output.weight.zero_()
        head.output.bias.copy_(torch.tensor([0.9, 0.1]).log())
    assert network(image).softmax(1)[0].tolist() == pytest.approx([0.9, 0.1])
    record = Record("pooled", "tokens")
    network(image, record)
    assert record["tokens"].shape == (1, 17, 8)
    assert torch.equal(record["pooled"], record["tokens"][:, 0])


@each_variant
def test_gradients_reach_every_parameter(changes):
    network = made(**changes).train()
    network(images()).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_variant
def test_samples_do_not_meet(changes):
    network, batch = made(**changes).double().eval(), images().double()
    alone = torch.cat([network(image[None]) for image in batch])
    torch.testing.assert_close(network(batch), alone, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network(batch.flip(0)), alone.flip(0))


@each_variant
def test_recording_changes_nothing(changes):
    network, batch = made(**changes).eval(), images()
    with torch.no_grad():
        assert torch.equal(network(batch, Record("*")), network(batch))
        torch.testing.assert_close(
            network.head(network.forward_features(batch)), network(batch)
        )


@each_variant
def test_gradient_mode_changes_nothing(changes):
    # torch's own encoder takes another path without gradients, 1e-6 away.
    network, batch = made(**changes).eval(), images()
    with torch.no_grad():
        without = network(batch)
    assert torch.equal(network(batch), without)


@each_variant
def test_built_on_the_meta_device_and_drawn_later(changes):
    config, state = replace(SMALL, **changes), torch.get_rng_state()
    with torch.device("meta"):
        network = VisionTransformer(config)
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    network.to_empty(device="cpu")
    network.reset_parameters(torch.Generator().manual_seed(0))
    expected = made(**changes).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert torch.equal(torch.get_rng_state(), state)


@each_variant
def test_copies_and_weights_carry_everything(changes):
    network, batch = made(**changes).eval(), images()
    other = made(seed=5, **changes).eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(batch), network(batch))
    assert torch.equal(copy.deepcopy(network)(batch), network(batch))


@pytest.mark.parametrize("pool", ["token", "mean", "map", "seqpool"])
@pytest.mark.parametrize(
    ("positions", "changes"),
    [
        ({"pos_embed": "none"}, False),
        ({"pos_embed": "none", "pos_bias": "gaussian"}, True),
        *(({"pos_embed": kind}, True) for kind in KINDS_OF_POSITIONS),
    ],
)
def test_order_of_patches_matters_only_with_positions(positions, changes, pool):
    config = replace(
        SMALL, patch_embed="linear", pool=pool, patch_size=(2, 2), **positions
    )
    generator = torch.Generator().manual_seed(0)
    network = VisionTransformer(config, generator).double()
    with torch.no_grad():  # first weights are too small for order to matter much
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    batch = images().double()
    blocks = batch.unflatten(3, (6, 2)).unflatten(2, (4, 2))
    order = torch.randperm(24, generator=generator)
    shuffled = blocks.permute(0, 1, 3, 5, 2, 4).flatten(4)[..., order]
    shuffled = shuffled.unflatten(4, (4, 6)).permute(0, 1, 4, 2, 5, 3)
    shuffled = shuffled.reshape(batch.shape)
    with torch.no_grad():
        difference = (network.eval()(batch) - network(shuffled)).abs().max()
    assert difference > 1e-4 if changes else difference < 1e-11


def test_training_is_repeatable_from_generators_alone():
    rates = dict.fromkeys(
        ("drop_rate", "attn_drop_rate", "drop_path_rate", "patch_drop_rate"), 0.3
    )
    state, outputs = torch.get_rng_state(), []
    for seed in (1, 1, 2):
        network = made(**rates, pos_embed="rope", pos_bias="gaussian").train()
        set_generator(network, torch.Generator().manual_seed(seed))
        outputs.append(network(images()))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_patches_left_out_are_left_out_of_every_block():
    network = made(patch_drop_rate=0.5, num_register_tokens=2).train()
    record = Record("embeddings", "block*/after_mlp", "tokens")
    network(images(), record)
    assert record["embeddings"].shape[1] == 6
    assert {t.shape[1] for n, t in record.items() if n != "embeddings"} == {3 + 3}
    record = Record("tokens")
    network.eval()(images(), record)
    assert record["tokens"].shape[1] == 9


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype):
    network = made(pos_embed="rope", num_register_tokens=1).to(dtype)
    logits = network(images().to(dtype))
    assert logits.dtype == dtype
    reference = made(pos_embed="rope", num_register_tokens=1)(images())
    largest = reference.abs().max().item()
    torch.testing.assert_close(logits.float(), reference, rtol=0, atol=0.05 * largest)


@pytest.mark.parametrize("pos_embed", ["learned", "rope"])
def test_automatic_mixed_precision_on_the_cpu(pos_embed):
    network = made(pos_embed=pos_embed, pool="map")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images())
    assert logits.dtype == torch.float32
    exact = network(images())
    largest = exact.abs().max().item()
    torch.testing.assert_close(logits, exact, rtol=0, atol=0.05 * largest)
    logits.sum().backward()


@pytest.mark.parametrize("changes", VARIANTS[1:7], ids=str)
def test_exports_to_one_graph(changes):
    network = made(**changes).eval()
    batch = {0: torch.export.Dim("batch", min=2, max=64)}
    program = torch.export.export(network, (images(),), dynamic_shapes=(batch,))
    for count in (2, 5):
        torch.testing.assert_close(
            program.module()(images(count)), network(images(count))
        )


@pytest.mark.parametrize("changes", [VARIANTS[4], VARIANTS[7]], ids=str)
def test_compiles_without_a_break(changes):
    torch.compiler.reset()
    network = made(**changes).train()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    compiled(images()).sum().backward()
    with torch.no_grad():
        logits = compiled.eval()(images())
        torch.testing.assert_close(logits, network.eval()(images()))
    torch.compiler.reset()


def test_what_a_network_says_about_itself():
    network = made(num_register_tokens=2)
    assert (network.grid, network.num_patches) == ((2, 3), 6)
    assert network.num_prefix_tokens == 3
    assert network.config == replace(SMALL, num_register_tokens=2)


def test_every_token_reaches_every_token_in_the_first_block():
    network, batch = made().double().eval(), images(1).double().requires_grad_()
    record = Record("block00/after_attention")
    network(batch, record)
    for token in record["block00/after_attention"][0]:
        (gradient,) = torch.autograd.grad(token.sum(), batch, retain_graph=True)
        blocks = gradient[0].unfold(1, 4, 4).unfold(2, 4, 4).abs().sum((0, 3, 4))
        assert all(blocks[cell] > 0 for cell in itertools.product(range(2), range(3)))


@pytest.mark.gpu
@each_variant
def test_accelerator_starts_equal_and_agrees(changes, device):
    config = replace(SMALL, **changes)
    with torch.device("meta"):
        network = VisionTransformer(config)
    network.to_empty(device=device)
    network.reset_parameters(torch.Generator().manual_seed(0))
    here, batch = made(**changes), images()
    for name, value in network.state_dict().items():
        assert torch.equal(value.cpu(), here.state_dict()[name]), name
    with torch.no_grad():
        logits = network.eval()(batch.to(device)).cpu()
        torch.testing.assert_close(logits, here.eval()(batch), rtol=1e-3, atol=1e-4)
    set_generator(network, torch.Generator(device).manual_seed(0))
    with torch.autocast(device, dtype=torch.bfloat16):
        logits = network.train()(batch.to(device))
    assert logits.dtype == torch.float32
    logits.sum().backward()
