import pytest
import torch
from torch import nn

from skvit.nn import _linear as module_under_test
from skvit.nn._linear import (
    TokenLinear,
    convolve_tokens,
    has_half_rate_products,
    is_convolution_faster,
)

SHAPES = [(2, 300, 5, 7), (64, 17, 8, 24), (600, 1, 3, 1)]


def drawn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=dtype
    ).requires_grad_()


def outcome(mapped, *inputs):
    """Return outputs and gradients of a weighted sum of them."""
    total = (mapped * torch.arange(mapped.numel()).view(mapped.shape).cos()).sum()
    return mapped, *torch.autograd.grad(total, inputs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
def test_convolution_is_the_matrix_product_with_its_gradients(shape, biased):
    batch, length, n_in, n_out = shape
    tokens, weight = drawn(batch, length, n_in), drawn(n_out, n_in, seed=1)
    bias = drawn(n_out, seed=2) if biased else None
    inputs = [tokens, weight, *([bias] if biased else [])]
    expected = outcome(nn.functional.linear(tokens, weight, bias), *inputs)
    results = outcome(convolve_tokens(tokens, weight, bias), *inputs)
    for result, one in zip(results, expected, strict=True):
        torch.testing.assert_close(result, one, rtol=0, atol=1e-10)
    assert results[0].is_contiguous()


def test_convolution_takes_tokens_of_any_layout():
    tokens = drawn(5, 40, 30).transpose(1, 2)
    weight = drawn(8, 40, seed=1)
    torch.testing.assert_close(
        convolve_tokens(tokens, weight, None), tokens @ weight.T, rtol=0, atol=1e-10
    )


@pytest.fixture
def wide(monkeypatch):
    """Pretend that convolutions use the CPU's full width."""
    monkeypatch.setattr(module_under_test, "has_wide_convolutions", lambda: True)


@pytest.mark.usefixtures("wide")
def test_many_tokens_in_single_precision_are_convolved():
    assert is_convolution_faster(torch.zeros(32, 16, 4))
    assert is_convolution_faster(torch.zeros(2, 256, 4))


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(
    "tokens",
    [
        torch.zeros(31, 16, 4),
        torch.zeros(1, 1024, 4),
        torch.zeros(512, 4),
        torch.zeros(32, 16, 4, dtype=torch.float64),
        torch.zeros(32, 16, 4, dtype=torch.bfloat16),
        torch.zeros(32, 16, 4, device="meta"),
    ],
)
def test_others_are_multiplied(tokens):
    assert not is_convolution_faster(tokens)


@pytest.mark.usefixtures("wide")
def test_reduced_precision_is_multiplied():
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_convolution_faster(torch.zeros(32, 16, 4))


def cpuinfo(vendor, family):
    """Two processors as Linux describes them."""
    one = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\n"
    return f"{one}model\t\t: 1\n\n{one}"


@pytest.mark.parametrize(
    ("vendor", "family", "expected"),
    [
        ("AuthenticAMD", 25, False),
        ("AuthenticAMD", 26, True),
        ("GenuineIntel", 6, False),
    ],
)
def test_products_are_slow_on_wide_processors_of_other_makers(vendor, family, expected):
    assert has_half_rate_products(cpuinfo(vendor, family)) is expected
    assert not has_half_rate_products("Processor: ARM")


@pytest.mark.parametrize(
    ("capability", "available", "present", "expected"),
    [
        ("AVX512", True, True, True),
        ("AVX512", True, False, False),
        ("AVX512", False, True, False),
        ("AVX2", True, True, False),
    ],
)
def test_width_is_that_of_the_cpu_and_of_the_library(
    monkeypatch, tmp_path, capability, available, present, expected
):
    path = tmp_path / "cpuinfo"
    if present:
        path.write_text(cpuinfo("AuthenticAMD", 26))
    monkeypatch.setattr(module_under_test, "_CPUINFO", path)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: available)
    module_under_test.has_wide_convolutions.cache_clear()
    try:
        assert module_under_test.has_wide_convolutions() is expected
    finally:
        module_under_test.has_wide_convolutions.cache_clear()


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_a_layer_gives_the_same_either_way(monkeypatch, wide, biased):
    monkeypatch.setattr(module_under_test, "has_wide_convolutions", lambda: wide)
    layer = TokenLinear(24, 40, bias=biased)
    plain = nn.Linear(24, 40, bias=biased)
    plain.load_state_dict(layer.state_dict())
    for batch in (1, 64):
        tokens = drawn(batch, 17, 24, dtype=torch.float32)
        torch.testing.assert_close(layer(tokens), plain(tokens))
