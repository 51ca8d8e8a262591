import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from skvit._images import ImageSpec, LazyImages, ReadOptions, check_images
from skvit._images._datasets import (
    SlicedReader,
    check_values,
    consecutive,
    is_dataset,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)


def test_slices_cover_the_rows():
    rows = np.array([0, 1, 2, 5, 7, 8])
    slices = [slice(0, 3), slice(5, 6), slice(7, 9)]
    assert list(consecutive(rows)) == slices


def test_arrays_are_read_by_rows():
    reader = SlicedReader(IMAGES, ImageSpec(4, 5, 3))
    rows = np.array([7, 2, 2, 3])
    np.testing.assert_array_equal(reader.read(rows), IMAGES[rows])
    assert reader.expect(rows) is None
    assert reader.unreadable() == []


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (1e200, "Scale them")],
)
def test_values_that_cannot_train(value, message):
    with pytest.raises(ValueError, match=f"^it (holds|has) .*{message}"):
        check_values(np.array([0, value]), "it")


class Stored:
    """A stored array as HDF5 has them: read by slices of rows, and by nothing else."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.largest = 0

    def __len__(self):
        return len(self._values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.largest = max(self.largest, rows.stop - rows.start)
        return self._values[rows]


FORMS = {
    "channels last": lambda images: images,
    "channels first": lambda images: np.moveaxis(images, 3, 1),
    "gray": lambda images: images[..., 0],
    "big-endian": lambda images: images.astype(">f4"),
}


def door(X, spec=None, size=None, image_shape=None):
    return check_images(
        BaseEstimator(),
        X,
        reset=True,
        spec=spec,
        image_shape=image_shape,
        options=ReadOptions(size=size),
    )


@pytest.mark.parametrize("size", [None, (8, 8)])
@pytest.mark.parametrize("form", FORMS)
def test_stored_arrays_are_read_as_arrays(photo_tiles, form, size):
    X = FORMS[form](photo_tiles[0])
    expected, spec = door(X, size=size)
    images, found = door(Stored(X), size=size)
    assert isinstance(images, LazyImages)
    assert found == spec
    np.testing.assert_array_equal(images, expected)
    again, _ = door(Stored(X), spec, size=size)
    rows = np.array([7, 30, 7, 31])
    np.testing.assert_array_equal(again[rows], expected[rows])


def test_stored_rows(digits):
    rows = digits[0].reshape(-1, 64)
    images, spec = door(Stored(rows))
    assert spec == door(rows)[1]
    np.testing.assert_array_equal(images, door(rows)[0])
    wide, _ = door(Stored(rows), image_shape=(4, 16))
    assert wide.shape == (1797, 4, 16, 1)


def test_what_is_no_stored_array():
    arrays = (IMAGES, torch.tensor(IMAGES), pd.DataFrame(np.eye(3)), np.eye(3).tolist())
    assert not any(map(is_dataset, arrays))


@pytest.mark.parametrize(
    ("values", "message", "error"),
    [
        (np.zeros((0, 8, 8)), r"shape \(0, 8, 8\), which is empty", ValueError),
        (np.zeros((2, 8, 8), complex), "dtype complex128", TypeError),
        (np.zeros((2, 3, 8, 3)), "channels='first'", ValueError),
    ],
)
def test_stored_arrays_that_are_refused(values, message, error):
    with pytest.raises(error, match=message):
        door(Stored(values))


def test_other_images_than_known(photo_tiles):
    _, spec = door(photo_tiles[0])
    with pytest.raises(ValueError, match="BaseEstimator was fitted on"):
        door(Stored(photo_tiles[0][:, :8]), spec)
    with pytest.raises(ValueError, match=r"becomes images of 8 x 8 .* was fitted on"):
        door(Stored(photo_tiles[0]), spec, size=(8, 8))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_reads_by_batches(make_tiny, photo_tiles, early_stopping):
    tiles = np.tile(photo_tiles[0], (30, 1, 1, 1))
    y = np.tile(photo_tiles[1], 30)
    params = {"early_stopping": early_stopping, "max_epochs": 1, "batch_size": 100}
    stored = Stored(tiles)
    clf = make_tiny(**params).fit(stored, y)
    array = make_tiny(**params).fit(tiles, y)
    np.testing.assert_array_equal(clf.predict_proba(stored), array.predict_proba(tiles))
    assert stored.largest < len(tiles)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_mapped_arrays_are_never_whole_in_memory(make_tiny, tmp_path, early_stopping):
    images = np.lib.format.open_memmap(
        tmp_path / "a.npy", "w+", dtype=np.uint8, shape=(600, 64, 64, 3)
    )
    images[:] = np.arange(600)[:, None, None, None] % 256
    clf = make_tiny(
        early_stopping=early_stopping, max_epochs=1, batch_size=50, patch_size=16
    )
    clf.fit(images[:50], np.arange(50) % 2)  # the libraries are loaded by now
    tracemalloc.start()
    clf.fit(images, np.arange(600) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The statistics hold one block of 16 MiB in doubles, and its squares.
    assert peak < 3 * 2**24


def test_hdf5(tmp_path, make_tiny, photo_tiles):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("images", data=photo_tiles[0])
        from_file = make_tiny().fit(dataset, photo_tiles[1]).predict_proba(dataset)
    array = make_tiny().fit(*photo_tiles).predict_proba(photo_tiles[0])
    np.testing.assert_array_equal(from_file, array)
