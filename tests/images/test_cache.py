import numpy as np
import pytest

from skvit._images._cache import DecodedCache

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


def filled(room):
    cache = DecodedCache(6, (4, 5, 3), np.dtype(np.uint8), room)
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


def test_nothing_is_held_at_first():
    cache = DecodedCache(6, (4, 5, 3), np.dtype(np.uint8), 10**9)
    assert not cache.holds(np.arange(6)).any()
