import numpy as np
import pytest
import torch
from torch import nn

from skvit.nn import VisionTransformer, ViTConfig, whiten_stem
from skvit.nn._whiten import whitened_filters, window_covariance


def make_network(channels=2, stem_width=40):
    config = ViTConfig(
        *((8, 10), (2, 2), channels, 3, 8, 1, 2),
        patch_embed="overlap",
        stem_width=stem_width,
    )
    return VisionTransformer(config, torch.Generator().manual_seed(0))


def first_filters(network):
    return network.patch_embed.stages[0].weight.detach().flatten(1).double().numpy()


@pytest.fixture
def images():
    # neighbours alike, channels alike, as in pictures
    draws = np.random.default_rng(0).normal(size=(60, 3, 12, 14))
    smooth = draws[:, :, 2:-1, 2:-1] + draws[:, :, 1:-2, 2:-1] + draws[:, :, 2:-1, 1:-2]
    mixed = np.stack([smooth[:, 0] + smooth[:, 1], smooth[:, 0] - smooth[:, 2]], 1)
    return torch.from_numpy(mixed[:, :, :8, :10].copy())


def windows_of(images, step=1):
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    kept = windows[:, :, ::step, ::step].transpose(0, 2, 3, 1, 4, 5)
    return kept.reshape(len(images), -1, 18)


@pytest.mark.parametrize("step", [1, 3])
def test_covariance_is_that_of_the_windows(images, step):
    conv = nn.Conv2d(2, 4, 3, padding=1)
    weight = torch.linspace(0, 2, len(images), dtype=torch.float64)
    batches = [(images[:25], weight[:25]), (images[25:], weight[25:])]
    windows = windows_of(images, step)
    rows = windows.reshape(-1, 18)
    each = np.repeat(weight.numpy(), windows.shape[1])
    expected = (rows * each[:, None]).T @ rows / each.sum()
    np.testing.assert_allclose(
        window_covariance(batches, conv, step), expected, rtol=1e-10
    )
    alike = window_covariance([(images, None)], conv, step)
    np.testing.assert_allclose(alike, rows.T @ rows / len(rows), rtol=1e-10)


def test_filters_decorrelate_the_pixels(images):
    network = make_network()
    whiten_stem(network, [(images, None)])
    outputs = windows_of(images).reshape(-1, 18) @ first_filters(network)[:18].T
    products = outputs.T @ outputs / len(outputs)
    off_diagonal = products - np.diag(np.diag(products))
    assert abs(off_diagonal).max() < 1e-6
    # strongest axis first; all but the weakest have nearly unit variance
    variance = np.diag(products)
    assert (np.diff(variance) < 0).all()
    assert variance[0] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(
        first_filters(network)[18:36], -first_filters(network)[:18], rtol=1e-6
    )


def test_filters_beyond_the_axes_are_the_drawn_ones_over_whitened_pixels(images):
    network = make_network()
    drawn = first_filters(network)
    whiten_stem(network, [(images, None)])
    rows = windows_of(images).reshape(-1, 18)
    covariance = rows.T @ rows / len(rows)
    floor = 1e-2 * np.trace(covariance) / 18
    variance, axes = np.linalg.eigh(covariance)
    root = axes @ np.diag((variance + floor) ** -0.5) @ axes.T
    np.testing.assert_allclose(first_filters(network)[36:], drawn[36:] @ root, 1e-5)


def test_few_filters_take_the_strongest_axes(images):
    few, many = make_network(stem_width=5), make_network(stem_width=40)
    for network in (few, many):
        whiten_stem(network, [(images, None)])
    np.testing.assert_allclose(first_filters(few), first_filters(many)[:5], rtol=1e-6)


def test_the_sign_of_an_axis_is_settled():
    variance, axes = torch.linalg.eigh(torch.diag(torch.tensor([1.0, 2.0, 4.0])) + 0.1)
    drawn = torch.zeros(6, 3)
    found = whitened_filters(drawn, variance, axes)
    torch.testing.assert_close(whitened_filters(drawn, variance, -axes), found)


def test_images_of_weight_zero_and_blank_ones_say_nothing(images):
    plain, weighted, blank = make_network(), make_network(), make_network()
    before = first_filters(blank)
    whiten_stem(plain, [(images[:30], None)])
    weight = torch.cat((torch.ones(30), torch.zeros(30)))
    whiten_stem(weighted, [(images, weight)])
    np.testing.assert_allclose(
        first_filters(weighted), first_filters(plain), rtol=1e-6, atol=1e-9
    )
    whiten_stem(blank, [(torch.zeros_like(images), None)])
    np.testing.assert_array_equal(first_filters(blank), before)


def test_images_of_numbers_without_products_leave_the_filters_as_they_were(images):
    network = make_network()
    before = first_filters(network)
    whiten_stem(network, [(images.double() * 1e200, None)])
    np.testing.assert_array_equal(first_filters(network), before)


def test_a_network_without_a_stem_is_refused():
    network = VisionTransformer(ViTConfig((8, 8), (2, 2), 1, 3, 8, 1, 2))
    with pytest.raises(ValueError, match="this network has 'conv'"):
        whiten_stem(network, [])
