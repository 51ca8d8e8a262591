import numpy as np
import pytest

from skvit._images import ImageSpec, channel_statistics
from skvit._images._datasets import SlicedReader
from skvit._images._lazy import LazyImages, select_images

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)


class Recorder(SlicedReader):
    """Remembers what it was told to expect."""

    def expect(self, rows):
        self.expected = rows.tolist()


@pytest.fixture
def lazy():
    return LazyImages(Recorder(IMAGES, ImageSpec(4, 5, 3)), np.arange(9))


def test_looks_like_its_array(lazy):
    assert (len(lazy), lazy.shape, lazy.ndim) == (9, IMAGES.shape, IMAGES.ndim)
    assert (lazy.dtype, lazy.nbytes) == (IMAGES.dtype, IMAGES.nbytes)
    np.testing.assert_array_equal(lazy, IMAGES)
    for index in (2, slice(3), slice(2, 5), np.array([5, 1]), IMAGES[:, 0, 0, 0] > 99):
        np.testing.assert_array_equal(lazy[index], IMAGES[index])


def test_the_next_slice_is_expected(lazy):
    lazy[2:5]
    assert lazy.reader.expected == [5, 6, 7]
    lazy[5:8]
    assert lazy.reader.expected == [8]


def test_selections_of_selections(lazy):
    rows = lazy.select(np.array([7, 3, 5])).select(slice(1, None))
    np.testing.assert_array_equal(rows, IMAGES[[3, 5]])
    rows.expect(np.array([1]))
    assert lazy.reader.expected == [5]
    assert rows.unreadable() == []


@pytest.mark.parametrize("weight", [None, np.arange(9) % 3])
def test_statistics_are_those_of_the_array(lazy, weight):
    for own, expected in zip(
        channel_statistics(lazy, weight),
        channel_statistics(IMAGES, weight),
        strict=True,
    ):
        np.testing.assert_array_equal(own, expected)


def test_selections_copy_nothing(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for images in (IMAGES, mapped):
        chosen = select_images(images, np.arange(9) % 2 == 0)
        assert isinstance(chosen, LazyImages)
        assert chosen.reader.dataset is images
        np.testing.assert_array_equal(chosen, IMAGES[::2])


def test_slices_and_sequences_are_arrays():
    assert np.shares_memory(select_images(IMAGES, slice(1, 3)), IMAGES)
    sequences, rows = IMAGES.reshape(9, 2, -1), np.array([1, 2])
    chosen = select_images(sequences, rows)
    np.testing.assert_array_equal(chosen, sequences[rows])
