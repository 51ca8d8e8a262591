import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from skvit._training import _operations
from skvit._training._operations import apply_operations


def some_images(n=4, channels=3, size=(7, 9), seed=0):
    shape = (n, channels, *size)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def soften(x, s):
    means = ndimage.uniform_filter(x, (1, 3, 3), mode="nearest")
    return (1 - s) * x + s * means


def sharpen(x, s):
    return soften(x, -s)


def posterize(x, s):
    levels = np.linspace(x.min(), x.max(), 4)
    nearest = levels[abs(x[..., None] - levels).argmin(-1)]
    return (1 - s) * x + s * nearest


def solarize(x, s):
    low, high = x.min(), x.max()
    return np.where(x > high - s * (high - low) / 2, high + low - x, x)


def to_gray(x, s):
    return (1 - s) * x + s * x.mean(axis=0)


@pytest.mark.parametrize("formula", [soften, sharpen, posterize, solarize, to_gray])
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_are_their_formulas(formula, channels):
    images = some_images(channels=channels)
    strength = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=images.dtype).view(4, 1, 1, 1)
    found = getattr(_operations, formula.__name__)(images, strength)
    for image, s, result in zip(images, strength.flatten(), found, strict=True):
        np.testing.assert_allclose(result, formula(image.numpy(), s.item()), atol=1e-12)


def test_blank_images_stay_finite_and_blank():
    blank = torch.full((60, 3, 5, 5), 2.0)
    varied = apply_operations(blank, 3, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(varied, blank, rtol=1e-6)


def test_each_operation_is_drawn_as_often():
    images = some_images(n=3000, size=(4, 4))
    varied = apply_operations(images, 1, torch.Generator().manual_seed(0))
    unchanged = (varied == images).flatten(1).all(dim=1)
    assert unchanged.double().mean() == pytest.approx(1 / 6, abs=0.03)
    gray = (varied.diff(dim=1).abs() < images.diff(dim=1).abs() - 1e-9).flatten(1)
    assert gray.all(dim=1).double().mean() == pytest.approx(1 / 6, abs=0.03)


def test_each_operation_of_an_image_is_drawn_by_itself():
    images = some_images(n=6000, size=(4, 4))
    varied = apply_operations(images, 2, torch.Generator().manual_seed(0))
    unchanged = (varied == images).flatten(1).all(dim=1)
    assert unchanged.double().mean() == pytest.approx(1 / 36, abs=0.01)


def test_each_image_has_a_strength_of_its_own():
    images = some_images(n=3000, size=(4, 4))
    varied = apply_operations(images, 1, torch.Generator().manual_seed(0))
    # Towards gray, all differences of channels shrink alike: to one minus the strength.
    left = (varied.diff(dim=1) / images.diff(dim=1)).flatten(1)
    grayed = (left.std(dim=1) < 1e-6) & (varied != images).flatten(1).all(dim=1)
    assert grayed.double().mean() == pytest.approx(1 / 6, abs=0.03)
    assert stats.kstest(left[grayed, 0].numpy(), "uniform").pvalue > 1e-3


def test_draws_are_the_generators():
    images = some_images(n=20)
    one, two, other = (
        apply_operations(images, 2, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
