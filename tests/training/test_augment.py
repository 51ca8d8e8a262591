import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from skvit._training import Augmentation
from skvit._training import _augment as module_under_test
from skvit._training._augment import (
    _beta,
    _rectangle,
    draw_affine,
    erase_rectangles,
    vary_color,
)
from skvit._training._operations import apply_operations

SIZES = [(8, 8), (12, 20), (20, 12)]
EVERYTHING = Augmentation(
    shift=0.1, rotate=10, scale=0.1, flip=True, color=0.3, erase=0.5, mixup=1, cutmix=1
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(n=3, channels=2, size=(8, 8), seed=0):
    shape = (n, channels, *size)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.fixture
def largest(monkeypatch):
    """Let every symmetric draw be the largest, every uniform one zero."""
    monkeypatch.setattr(
        module_under_test,
        "_symmetric",
        lambda n, half_width, _: torch.full((n,), half_width, dtype=torch.float64),
    )
    monkeypatch.setattr(
        module_under_test, "_uniform", lambda n, _: torch.zeros(n, dtype=torch.float64)
    )


def test_no_strength_changes_and_draws_nothing():
    source = generator()
    before = source.get_state()
    images = some_images()
    assert Augmentation().images(images, source) is images
    assert not Augmentation().mixes
    assert torch.equal(source.get_state(), before)


def test_resampling_at_rest_is_the_identity(monkeypatch):
    monkeypatch.setattr(module_under_test, "_symmetric", lambda n, *_: torch.zeros(n))
    images = some_images()
    moved = Augmentation(shift=0.5, rotate=90, scale=0.5).images(images, generator())
    np.testing.assert_allclose(moved, images, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("largest")
def test_shift_by_whole_pixels_mirrors_the_edge(size):
    images = some_images(size=size)
    moved = Augmentation(shift=0.25).images(images, generator())
    height, width = size
    down, right = height // 4, width // 4
    spread = [(0, 0), (0, 0), (0, down), (0, right)]
    expected = np.pad(images.numpy(), spread, mode="symmetric")[..., down:, right:]
    np.testing.assert_allclose(moved, expected, atol=1e-12)


@pytest.mark.usefixtures("largest")
def test_flip_mirrors_left_to_right():
    images = some_images(size=(6, 9))
    moved = Augmentation(flip=True).images(images, generator())
    np.testing.assert_allclose(moved, images.numpy()[..., ::-1], atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("rotate", "scale"), [(90, 0), (30, 0), (0, 0.5), (30, 0.5)])
@pytest.mark.usefixtures("largest")
def test_rotation_and_scale_are_those_of_scipy(size, rotate, scale):
    images = some_images(size=size)
    moved = Augmentation(rotate=rotate, scale=scale).images(images, generator())
    cos, sin = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
    # rows before columns, from places in the output to places in the input
    matrix = np.array([[cos, sin], [-sin, cos]]) / (1 + scale)
    center = (np.array(size) - 1) / 2
    for image, result in zip(
        images.numpy().reshape(-1, *size), moved.reshape(-1, *size), strict=True
    ):
        expected = ndimage.affine_transform(
            image, matrix, center - matrix @ center, order=1, mode="reflect"
        )
        np.testing.assert_allclose(result, expected, atol=1e-10)


def test_affine_draws_fill_their_ranges():
    theta = draw_affine(20_000, (0.2, 30.0, 0.1, True), 1.0, generator()).double()
    (a, b, dx), (c, d, dy) = theta.permute(1, 2, 0).numpy()
    angle = np.degrees(np.arctan2(-b, d))
    size = 1 / np.hypot(b, d)
    for draws, low, high in (
        (dx, -0.4, 0.4),
        (dy, -0.4, 0.4),
        (angle, -30, 30),
        (size, 0.9, 1.1),
    ):
        assert stats.kstest(draws, "uniform", (low, high - low)).pvalue > 1e-3
    mirrored = a * d - b * c < 0
    assert mirrored.mean() == pytest.approx(0.5, abs=0.02)
    assert abs(np.corrcoef([dx, dy, angle, size, mirrored]) - np.eye(5)).max() < 0.03


def test_color_is_the_formula(monkeypatch):
    draws = torch.tensor([0.1, -0.2, 0.3, 0.2, -0.1, 0.4], dtype=torch.float64)
    monkeypatch.setattr(module_under_test, "_symmetric", lambda *_: draws)
    images = some_images(n=2, channels=3)
    varied = vary_color(images, 0.5, generator())
    brightness, contrast, saturation = draws.numpy().reshape(3, 2, 1, 1, 1)
    expected = images.numpy() + brightness
    middle = expected.mean(axis=(1, 2, 3), keepdims=True)
    expected = middle + (1 + contrast) * (expected - middle)
    gray = expected.mean(axis=1, keepdims=True)
    expected = gray + (1 + saturation) * (expected - gray)
    np.testing.assert_allclose(varied, expected, atol=1e-12)


def test_gray_images_change_in_brightness_and_contrast_alone():
    images = some_images(channels=1)
    varied = vary_color(images, 0.5, generator())
    for before, after in zip(images.flatten(1), varied.flatten(1), strict=True):
        slope, offset = np.polyfit(before, after, 1)
        np.testing.assert_allclose(after, slope * before + offset, atol=1e-12)
        assert 0.5 <= slope <= 1.5


def test_erasing_leaves_all_but_a_rectangle_untouched():
    images = some_images(n=2000, size=(20, 30)) + 100
    erased = erase_rectangles(images, 0.3, generator())
    holes = (erased != images).any(dim=1)
    assert (erased[holes[:, None].expand_as(erased)] == 0).all()
    assert torch.equal(holes, (erased == 0).all(dim=1))
    hit = holes.flatten(1).any(dim=1)
    assert hit.double().mean() == pytest.approx(0.3, abs=0.04)
    rows, columns = holes.any(dim=2), holes.any(dim=1)
    assert torch.equal(holes, rows[:, :, None] & columns[:, None, :])
    for mask, side in ((rows[hit], 20), (columns[hit], 30)):
        assert (mask.int().diff(dim=1).abs().sum(dim=1) <= 2).all()  # one stretch
        lengths = mask.sum(dim=1)
        assert lengths.min() >= math.floor(0.1 * side)
        assert lengths.max() <= math.ceil(0.5 * side)


def test_erased_rectangles_have_all_sizes_and_lie_everywhere():
    holes = erase_rectangles(torch.ones(3000, 1, 20, 30), 1.0, generator())[:, 0] == 0
    for mask, side in ((holes.any(dim=2), 20), (holes.any(dim=1), 30)):
        lengths = mask.sum(dim=1)
        assert (lengths.min(), lengths.max()) == (0.1 * side, 0.5 * side)
        first, last = mask.double().mean(dim=0)[[0, -1]].tolist()
        assert first > 0.02
        assert first == pytest.approx(last, abs=0.02)


def test_what_is_erased_is_the_mean_whatever_else_is_varied():
    images = some_images(n=20, channels=3, size=(20, 20))
    varied = Augmentation(color=0.5, operations=2, erase=1.0).images(
        images, generator()
    )
    holes = (varied == 0).all(dim=1).flatten(1)
    assert (holes.sum(dim=1) >= 4).all()  # a tenth of each side at least


def test_operations_are_as_many_as_asked():
    images = some_images(n=60, channels=3)
    varied = Augmentation(operations=2).images(images, generator())
    assert torch.equal(varied, apply_operations(images, 2, generator()))
    assert not torch.equal(varied, images)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_erasing_never_or_always(probability):
    images = torch.ones(50, 1, 20, 20)
    erased = erase_rectangles(images, probability, generator())
    hit = (erased == 0).flatten(1).any(dim=1)
    assert hit.double().mean() == probability


@pytest.mark.parametrize("strengths", [{"mixup": 0.5}, {"cutmix": 1.0}])
@pytest.mark.parametrize("seed", range(5))
def test_labels_are_mixed_as_the_pixels_are(strengths, seed):
    # every pixel of an image is its label, so that the mean pixel is what shows of it
    target = torch.eye(6, dtype=torch.float64)
    images = target[:, :, None, None].expand(6, 6, 7, 9).contiguous()
    augmentation = Augmentation(**strengths)
    mixed, soft = augmentation.pairs(images, target, generator(seed))
    np.testing.assert_allclose(mixed.mean(dim=(2, 3)), soft, atol=1e-12)
    np.testing.assert_allclose(soft.sum(dim=1), 1, atol=1e-12)
    if "cutmix" in strengths:
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(images.mean(dim=(2, 3)).round(), target)  # input left alone


def test_weights_stay_with_their_images():
    target = torch.diag(torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64))
    _, soft = Augmentation(mixup=1.0).pairs(some_images(n=4), target, generator(3))
    np.testing.assert_allclose(soft.sum(), target.sum(), atol=1e-12)
    np.testing.assert_allclose(soft.sum(dim=0), target.sum(dim=0), atol=1e-12)


def test_a_batch_takes_mixup_or_cutmix():
    ones = torch.cat((torch.ones(4, 1, 16, 16), torch.zeros(4, 1, 16, 16)))
    target = torch.eye(2).repeat_interleave(4, dim=0)
    both = Augmentation(mixup=1.0, cutmix=1.0)
    cut = [
        set(both.pairs(ones, target, generator(seed))[0].unique().tolist()) <= {0, 1}
        for seed in range(300)
    ]
    assert np.mean(cut) == pytest.approx(0.5, abs=0.1)


def test_mixup_and_cutmix_have_each_its_own_parameter():
    # A share of Beta(10000, 10000) is a half, one of Beta(1, 1) anything.
    images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 16, 16)
    augmentation = Augmentation(mixup=10_000, cutmix=1.0)
    blended, pasted = [], []
    for seed in range(100):
        mixed, soft = augmentation.pairs(images, torch.eye(2), generator(seed))
        if not torch.equal(mixed, images):  # each image was mixed with the other
            is_pasted = set(mixed.unique().tolist()) <= {0.0, 1.0}
            (pasted if is_pasted else blended).append(soft[0, 1].item())
    assert blended == pytest.approx([0.5] * len(blended), abs=0.03)
    assert np.std(pasted) > 0.2


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_share_is_beta_distributed(alpha):
    source = generator()
    shares = [_beta(alpha, source) for _ in range(2000)]
    assert stats.kstest(shares, "beta", (alpha, alpha)).pvalue > 1e-3


def test_tiny_alpha_never_divides_by_zero():
    source = generator()
    shares = np.array([_beta(1e-4, source) for _ in range(200)])
    assert np.isfinite(shares).all()


def test_rectangle_covers_its_share_of_every_place():
    source = generator()
    covered = np.zeros((10, 30))
    for _ in range(3000):
        rows, columns = _rectangle(10, 30, 0.25, source)
        assert (rows.stop - rows.start, columns.stop - columns.start) == (5, 15)
        covered[rows, columns] += 1
    assert covered.min() > 0


@pytest.mark.usefixtures("rng_is_untouched")
def test_equal_seeds_give_equal_images_and_all_draws_are_from_the_generator():
    images, target = some_images(n=6), torch.eye(6, dtype=torch.float64)

    def vary(seed):
        source = generator(seed)
        varied = EVERYTHING.images(images, source)
        return EVERYTHING.pairs(varied, target, source)

    for one, other in zip(vary(1), vary(1), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(vary(1)[0], vary(2)[0])


@pytest.mark.gpu
def test_images_are_varied_where_they_are(device):
    images, target = some_images(n=6).to(device), torch.eye(6, device=device)
    varied = EVERYTHING.images(images, torch.Generator(device).manual_seed(0))
    mixed, soft = EVERYTHING.pairs(varied, target, generator())
    assert {varied.device.type, mixed.device.type, soft.device.type} == {device}
