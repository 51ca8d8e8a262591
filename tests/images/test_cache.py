import numpy as np
import pytest

from skvit._images._cache import DecodedCache

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


def filled(room):
    cache = DecodedCache(6, room)
    for row, image in enumerate(IMAGES):
        cache.put(row, image)
    return cache


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (59, 0), (150, 2), (10**9, 6)])
def test_the_first_are_kept_as_far_as_memory_goes(room, kept):
    cache = filled(room)
    held = cache.holds(np.arange(6))
    np.testing.assert_array_equal(held, np.arange(6) < kept)
    rows = np.flatnonzero(held)[::-1]
    np.testing.assert_array_equal(cache.take(rows), IMAGES[rows])


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_directory_keeps_all_and_is_left_empty(tmp_path, kind):
    cache = filled(kind(tmp_path))
    assert cache.holds(np.arange(6)).all()
    np.testing.assert_array_equal(cache.take(np.arange(6)), IMAGES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_directory_must_exist(tmp_path, kind):
    with pytest.raises(ValueError, match=r"`cache`=.*is not an existing directory"):
        DecodedCache(6, kind(tmp_path / "absent"))


def test_nothing_is_held_at_first():
    cache = DecodedCache(6, 10**9)
    assert not cache.holds(np.arange(6)).any()


def test_the_first_image_decides_what_is_kept():
    cache = DecodedCache(6, 150)
    assert cache.wants(1, (4, 5, 3), np.dtype(np.uint8))
    cache.put(1, IMAGES[1])
    assert not cache.wants(2, (4, 5, 3), np.dtype(np.uint8))  # there is room for two
    assert not cache.wants(0, (4, 5, 1), np.dtype(np.uint8))
    assert not cache.wants(0, (4, 5, 3), np.dtype(np.float32))
    cache.put(0, IMAGES[0, ..., :1])
    assert cache.holds(np.arange(6)).tolist() == [False, True, *[False] * 4]


def test_settling_on_another_shape_forgets_the_images():
    cache = filled(10**9)
    cache.settle((4, 5, 3), np.dtype(np.uint8))
    assert cache.holds(np.arange(6)).all()
    cache.settle((4, 5, 1), np.dtype(np.uint8))
    assert not cache.holds(np.arange(6)).any()
    cache.put(5, IMAGES[5, ..., :1])
    np.testing.assert_array_equal(cache.take([5])[0], IMAGES[5, ..., :1])
