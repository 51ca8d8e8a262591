from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from skvit.nn import VisionTransformer, ViTConfig
from skvit.nn import _accelerated as accelerated_layers
from skvit.nn import _linear as linear
from skvit.nn import _vision_transformer as vision_transformer
from skvit.nn._accelerated import map_tokens, norm_tokens, sum_tokens, to_product_type

EPS = 1e-6
CONFIG = ViTConfig(
    (12, 16),
    (4, 4),
    in_channels=2,
    num_outputs=3,
    embed_dim=16,
    depth=2,
    num_heads=4,
    pool="seqpool",
    patch_embed="overlap",
    pos_bias="gaussian",
)


@pytest.fixture
def drawn():
    """Return tensors of float64 whose gradients are asked for."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return (3 * values + 1).requires_grad_()

    return draw


def assert_alike(way, other, inputs):
    """Compare two ways to a result, and its gradients along some direction."""
    found, expected = way(*inputs), other(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    direction = torch.linspace(-1, 2, found.numel(), dtype=found.dtype).view_as(found)
    pairs = zip(
        torch.autograd.grad(found, inputs, direction),
        torch.autograd.grad(expected, inputs, direction),
        strict=True,
    )
    for one, two in pairs:
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_maps_as_a_linear_layer(drawn):
    assert_alike(map_tokens, F.linear, (drawn(3, 5, 6), drawn(4, 6), drawn(4)))


def test_norms_as_a_layer_norm(drawn):
    assert_alike(
        lambda *inputs: norm_tokens(*inputs, EPS),
        lambda tokens, *affine: F.layer_norm(tokens, (6,), *affine, EPS),
        (drawn(3, 5, 6), drawn(6), drawn(6)),
    )


@pytest.mark.parametrize("layer", [map_tokens, lambda *x: norm_tokens(*x, EPS)])
def test_gradients_are_those_of_small_differences(drawn, layer):
    weight = drawn(6, 6) if layer is map_tokens else drawn(6)
    inputs = drawn(2, 3, 6), weight, drawn(6)
    assert torch.autograd.gradcheck(layer, inputs)


def test_norms_alike_without_gradients(drawn):
    inputs = drawn(3, 5, 6), drawn(6), drawn(6)
    with torch.no_grad():
        without = norm_tokens(*inputs, EPS)
    torch.testing.assert_close(without, norm_tokens(*inputs, EPS).detach())


def test_short_numbers_are_summed_in_longer_ones():
    ones = torch.ones(40, 50, 1, dtype=torch.bfloat16)
    ones[0, 0] = 1024  # whose neighbours are eight apart
    assert sum_tokens(ones, torch.float64).tolist() == [1024 + 1999]


def test_results_are_in_the_type_of_the_products(drawn):
    tokens, weight, bias = (drawn(*s).float() for s in ((3, 5, 6), (6, 6), (6,)))
    assert to_product_type(tokens) is tokens
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mapped = map_tokens(tokens, weight, bias)
        expected = F.linear(tokens, weight, bias)
        normed = norm_tokens(tokens, bias, bias, EPS)
    torch.testing.assert_close(mapped, expected, rtol=0, atol=0)
    assert mapped.dtype == normed.dtype == torch.bfloat16
    expected = F.layer_norm(tokens, (6,), bias, bias, EPS)
    torch.testing.assert_close(normed.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("asks_for_gradients", [True, False])
def test_small_differences_of_large_tokens_are_normed(drawn, asks_for_gradients):
    tokens = (2 + 0.001 * drawn(3, 5, 6)).float().detach()
    weight, bias = torch.ones(6), torch.zeros(6)
    expected = F.layer_norm(tokens, (6,), weight, bias, EPS)
    tokens.requires_grad_(asks_for_gradients)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        torch.set_grad_enabled(asks_for_gradients),
    ):
        normed = norm_tokens(tokens, weight, bias, EPS)
    torch.testing.assert_close(normed.float(), expected, rtol=0.01, atol=0.01)
    if asks_for_gradients:
        (of_tokens,) = torch.autograd.grad(normed.float()[..., 0].sum(), tokens)
        again = tokens.detach().requires_grad_()
        longer = F.layer_norm(again, (6,), weight, bias, EPS)[..., 0].sum()
        (expected,) = torch.autograd.grad(longer, again)
        torch.testing.assert_close(of_tokens, expected, rtol=0.02, atol=2)


def outputs_and_gradients(config, images, dtype=torch.float64):
    """Return what a network computes, and the gradients of all its parameters."""
    network = VisionTransformer(config, torch.Generator().manual_seed(0)).to(dtype)
    outputs = network(images.to(dtype))
    loss = outputs.square().sum()
    return outputs, torch.autograd.grad(loss, list(network.parameters()))


@pytest.fixture
def accelerated(monkeypatch):
    """Let a CPU compute as a GPU does."""
    for module in (linear, accelerated_layers):
        monkeypatch.setattr(module, "is_summed_apart", lambda tokens: tokens.ndim == 3)
    monkeypatch.setattr(vision_transformer, "to_residual_type", to_product_type)


@pytest.mark.parametrize(
    "changes",
    [{}, {"layer_scale": 0.1}, {"patch_norm_after": True}, {"qkv_bias": False}],
    ids=str,
)
def test_networks_compute_the_same(changes, request):
    config = replace(CONFIG, **changes)
    images = torch.randn(3, 2, 12, 16, generator=torch.Generator().manual_seed(1))
    outputs, gradients = outputs_and_gradients(config, images)
    request.getfixturevalue("accelerated")
    again, others = outputs_and_gradients(config, images)
    torch.testing.assert_close(again, outputs, rtol=1e-10, atol=1e-10)
    for one, two in zip(others, gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("changes", [{}, {"layer_scale": 0.1}], ids=str)
def test_networks_in_short_numbers_are_near_those_in_long_ones(changes, accelerated):
    config = replace(CONFIG, **changes)
    images = torch.randn(8, 2, 12, 16, generator=torch.Generator().manual_seed(1))
    exact, gradients = outputs_and_gradients(config, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short, others = outputs_and_gradients(config, images, torch.float32)
    torch.testing.assert_close(short.double(), exact, rtol=0, atol=0.03)
    found, expected = (
        torch.cat([gradient.double().flatten() for gradient in some])
        for some in (others, gradients)
    )
    similarity = F.cosine_similarity(found, expected, dim=0)
    assert similarity > 0.999


@pytest.mark.gpu
def test_a_gpu_computes_as_a_cpu_does(device):
    images = torch.randn(8, 2, 12, 16, generator=torch.Generator().manual_seed(1))
    outputs, gradients = outputs_and_gradients(CONFIG, images)
    with torch.device(device):
        there, others = outputs_and_gradients(CONFIG, images.to(device))
    torch.testing.assert_close(there.cpu(), outputs, rtol=1e-10, atol=1e-10)
    for one, two in zip(others, gradients, strict=True):
        torch.testing.assert_close(one.cpu(), two, rtol=1e-8, atol=1e-10)
