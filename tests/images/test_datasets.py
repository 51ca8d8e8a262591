import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from sklearn.base import BaseEstimator

from skvit import PatchTransformer, _doctor, _fit
from skvit._images import (
    ImageSpec,
    LazyImages,
    ReadOptions,
    _patches,
    _statistics,
    check_images,
)
from skvit._images._blocks import iter_blocks
from skvit._images._datasets import (
    SlicedReader,
    check_values,
    consecutive,
    is_dataset,
)
from skvit._training import _predict

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


def test_masked_slices(photo_tiles):
    """As netCDF4 gives where values are missing; there is always some mask."""
    values = np.ma.array(photo_tiles[0], mask=False)
    values[7, 0, 0] = np.ma.masked
    images, _ = door(Stored(values))
    np.testing.assert_array_equal(images[:7], photo_tiles[0][:7])
    with pytest.raises(ValueError, match="rows 5 and 9, has masked values, 3 of"):
        images[5:10]


def test_other_images_than_known(photo_tiles):
    _, spec = door(photo_tiles[0])
    with pytest.raises(ValueError, match="BaseEstimator was fitted on"):
        door(Stored(photo_tiles[0][:, :8]), spec)
    with pytest.raises(ValueError, match=r"becomes images of 8 x 8 .* was fitted on"):
        door(Stored(photo_tiles[0]), spec, size=(8, 8))


@pytest.fixture
def small_blocks(monkeypatch):
    """Let what takes many images at a time take nine of the tiles."""
    monkeypatch.setattr(_doctor, "_LOOKED_AT", 9)
    monkeypatch.setattr(_fit, "_READ_VALUES", 9 * 32 * 32 * 3)
    monkeypatch.setattr(_predict, "batch_size_for", lambda *_: 9)
    for user in (_patches, _statistics):
        monkeypatch.setattr(
            user, "iter_blocks", lambda shape: iter_blocks(shape, 9 * 32 * 32 * 3)
        )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_reads_by_batches(make_tiny, photo_tiles, early_stopping):
    tiles, y = photo_tiles
    params = {"early_stopping": early_stopping, "batch_size": 8}
    stored = Stored(tiles)
    clf = make_tiny(**params).fit(stored, y)
    assert 0 < stored.largest <= 9
    array = make_tiny(**params).fit(tiles, y)
    np.testing.assert_array_equal(clf.predict_proba(stored), array.predict_proba(tiles))


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


def save_hdf5(path, values):
    with h5py.File(path / "a.h5", "w") as file:
        file.create_dataset("images", data=values, chunks=(8, *values.shape[1:]))
    return h5py.Dataset, h5py.File(path / "a.h5")["images"]


def save_zarr(path, values):
    stored = zarr.open(
        store=str(path / "a.zarr"),
        mode="w",
        shape=values.shape,
        dtype=values.dtype,
        chunks=(8, *values.shape[1:]),
    )
    stored[:] = values
    return zarr.Array, stored


@pytest.fixture(params=[save_hdf5, save_zarr])
def store(request, tmp_path, monkeypatch):
    """Return a function that stores an array, and the slices that are read of it."""
    slices = []

    def keep(values):
        kind, stored = request.param(tmp_path, values)
        read = kind.__getitem__

        def note(self, rows):
            slices.append(rows)
            return read(self, rows)

        monkeypatch.setattr(kind, "__getitem__", note)
        return stored

    return keep, slices


def longest(slices):
    return max(rows.stop - rows.start for rows in slices)


@pytest.mark.usefixtures("small_blocks")
def test_libraries_of_stored_arrays(store, make_tiny, photo_tiles):
    keep, slices = store
    tiles, y = photo_tiles
    stored = keep(tiles)
    clf = make_tiny(batch_size=8).fit(stored, y)
    assert longest(slices) == 9
    expected = make_tiny(batch_size=8).fit(tiles, y)
    np.testing.assert_array_equal(
        clf.predict_proba(stored), expected.predict_proba(tiles)
    )
    assert clf.score(stored, y) == expected.score(tiles, y)


def test_chunks_of_stored_arrays(store, make_tiny, photo_tiles):
    keep, _ = store
    tiles, _ = photo_tiles
    stored = keep(tiles)
    both = make_tiny(), make_tiny()
    labels = np.where(np.arange(20) % 2, "china", "flower")
    for start in (0, 20):
        part = slice(start, start + 20)
        both[0].partial_fit(stored[part], labels, classes=["china", "flower"])
        both[1].partial_fit(tiles[part], labels, classes=["china", "flower"])
    np.testing.assert_array_equal(*(clf.predict_proba(tiles) for clf in both))


@pytest.mark.usefixtures("small_blocks")
def test_patches_of_stored_arrays(store, photo_tiles):
    keep, slices = store
    patches = PatchTransformer(8)
    expected = patches.fit_transform(photo_tiles[0])
    np.testing.assert_array_equal(patches.fit_transform(keep(photo_tiles[0])), expected)
    assert longest(slices) == 9
