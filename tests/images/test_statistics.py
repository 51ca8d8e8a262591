import tracemalloc

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skvit._images import _statistics as module
from skvit._images import channel_statistics
from skvit._images._blocks import iter_blocks


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 200, size=(50, 9, 7, 3), dtype=np.uint8)


@pytest.fixture(params=[2**21, 500, 7], ids=["one block", "samples", "lines"])
def any_block(request, monkeypatch):
    """Cut the images into blocks of several sizes."""
    monkeypatch.setattr(
        module, "iter_blocks", lambda shape: iter_blocks(shape, request.param)
    )


def reference(images, sample_weight=None):
    """Statistics by scikit-learn's scaler with pixels as samples."""
    pixels = images.reshape(-1, images.shape[-1]).astype(np.float64)
    weight = None
    if sample_weight is not None:
        weight = np.repeat(sample_weight, len(pixels) // len(images))
    scaler = StandardScaler().fit(pixels, sample_weight=weight)
    return scaler.mean_, scaler.scale_


@pytest.mark.usefixtures("any_block")
def test_against_the_scaler(images):
    np.testing.assert_allclose(
        channel_statistics(images), reference(images), rtol=1e-12
    )


@pytest.mark.usefixtures("any_block")
def test_weighted_against_the_scaler(images):
    weight = np.random.default_rng(1).uniform(0, 3, size=50) * (np.arange(50) % 3 > 0)
    np.testing.assert_allclose(
        channel_statistics(images, weight), reference(images, weight), rtol=1e-12
    )


@pytest.mark.usefixtures("any_block")
def test_weights_count_as_repetitions(images):
    weight = np.arange(50) % 4
    np.testing.assert_allclose(
        channel_statistics(images, weight),
        channel_statistics(np.repeat(images, weight, axis=0)),
        rtol=1e-12,
    )


@pytest.mark.usefixtures("any_block")
def test_weight_zero_is_as_good_as_absent(images):
    weight = np.random.default_rng(1).uniform(1, 3, size=50)
    weight[[0, 7, 8, 30, 49]] = 0
    seen = weight > 0
    np.testing.assert_array_equal(
        channel_statistics(images, weight),
        channel_statistics(images[seen], weight[seen]),
    )


@pytest.mark.usefixtures("any_block")
@pytest.mark.parametrize("dtype", ["int16", "uint64", "float16", "float32", ">f8"])
def test_equal_values_of_any_dtype_and_layout_give_equal_results(images, dtype):
    expected = channel_statistics(images)
    first = np.moveaxis(np.moveaxis(images, 3, 1).copy(), 1, 3)
    for same in (images.astype(dtype), np.asfortranarray(images), first):
        np.testing.assert_array_equal(channel_statistics(same), expected)


@pytest.mark.parametrize("value", [0, 0.1, 1e10, -1 / 3])
def test_constant_channel_has_deviation_one(value):
    images = np.full((30, 5, 5, 2), value)
    images[..., 1] += np.arange(30)[:, None, None]
    mean, std = channel_statistics(images)
    assert mean[0] == value
    assert std[0] == 1
    assert std[1] == pytest.approx(np.arange(30).std())


def test_far_from_zero():
    images = 1e9 + np.random.default_rng(0).normal(size=(100, 8, 8, 1))
    expected = np.std(images - 1e9)
    assert channel_statistics(images)[1][0] == pytest.approx(expected, rel=1e-7)


def test_bool():
    images = np.random.default_rng(0).random((20, 6, 6, 1)) < 0.3
    mean, std = channel_statistics(images)
    assert mean[0] == pytest.approx(images.mean())
    assert std[0] == pytest.approx(images.std())


def test_memory_does_not_grow_with_the_images():
    images = np.zeros((20_000, 32, 32, 3), dtype=np.uint8)
    tracemalloc.start()
    channel_statistics(images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
