"""Every form of the same images gives every function and picture the same."""

import itertools

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import zarr
from PIL import Image
from sklearn.base import clone

from skvit import ImageOptions, PatchTransformer, ViTClassifier
from skvit.inspection import (
    AttentionMapDisplay,
    MisclassifiedDisplay,
    PatchGridDisplay,
    TokenEmbeddingDisplay,
    attention_maps,
    attention_relevance,
    attention_rollout,
    deletion_insertion_curve,
    occlusion_map,
)


def to_memory_map(tiles, folder):
    mapped = np.lib.format.open_memmap(
        folder / "tiles.npy", "w+", tiles.dtype, tiles.shape
    )
    mapped[:] = tiles
    return mapped


def to_hdf5(tiles, folder):
    with h5py.File(folder / "tiles.h5", "w") as file:
        file["tiles"] = tiles
    return h5py.File(folder / "tiles.h5")["tiles"]


def to_zarr(tiles, folder):
    stored = zarr.open(
        store=str(folder / "tiles.zarr"),
        mode="w",
        shape=tiles.shape,
        dtype=tiles.dtype,
    )
    stored[:] = tiles
    return stored


def to_paths(tiles, folder):
    paths = [folder / f"{number}.png" for number in range(len(tiles))]
    for path, tile in zip(paths, tiles, strict=True):
        Image.fromarray(tile).save(path)
    return paths


def to_path_frame(make):
    return lambda tiles, folder: make(
        {"path": [str(path) for path in to_paths(tiles, folder)]}
    )


def to_columns(tiles):
    return {f"pixel{n}": tiles.reshape(len(tiles), -1)[:, n] for n in range(768)}


def to_objects(tiles, _):
    objects = np.empty(len(tiles), dtype=object)
    objects[:] = [Image.fromarray(tile) for tile in tiles]
    return objects


def to_many_formats(tiles, folder):
    """Paths of files of several formats, none of which loses anything."""
    suffixes = itertools.cycle(["png", "tif", "bmp", "npy"])
    paths = [folder / f"{n}.{next(suffixes)}" for n in range(len(tiles))]
    for path, tile in zip(paths, tiles, strict=True):
        if path.suffix == ".npy":
            np.save(path, tile)
        else:
            Image.fromarray(tile).save(path)
    return paths


FORMS = {
    "channels first": lambda tiles, _: tiles.transpose(0, 3, 1, 2),
    "floats": lambda tiles, _: tiles.astype(np.float32),
    "other byte order": lambda tiles, _: tiles.astype(">u2"),
    "flat rows": lambda tiles, _: tiles.reshape(len(tiles), -1),
    "pandas columns": lambda tiles, _: pd.DataFrame(to_columns(tiles)),
    "polars columns": lambda tiles, _: pl.DataFrame(to_columns(tiles)),
    "nested lists": lambda tiles, _: tiles.tolist(),
    "list of arrays": lambda tiles, _: list(tiles),
    "tuple of arrays": lambda tiles, _: tuple(tiles),
    "series of arrays": lambda tiles, _: pd.Series(list(tiles)),
    "tensor": lambda tiles, _: torch.from_numpy(tiles.copy()),
    "list of pictures": lambda tiles, _: [Image.fromarray(tile) for tile in tiles],
    "series of pictures": lambda tiles, _: pd.Series(
        [Image.fromarray(tile) for tile in tiles]
    ),
    "array of pictures": to_objects,
    "column of pictures": lambda tiles, _: pd.DataFrame(
        {"image": [Image.fromarray(tile) for tile in tiles]}
    ),
    "list of paths": to_paths,
    "files of many formats": to_many_formats,
    "series of paths": lambda tiles, folder: pd.Series(to_paths(tiles, folder)),
    "pandas column of paths": to_path_frame(pd.DataFrame),
    "polars column of paths": to_path_frame(pl.DataFrame),
    "memory map": to_memory_map,
    "hdf5": to_hdf5,
    "zarr": to_zarr,
}


@pytest.fixture(scope="module")
def tiles_and_labels(photo_tiles):
    X, y = photo_tiles
    return X[::10, ::2, ::2].copy(), y[::10]


@pytest.fixture(scope="module")
def clf(tiles_and_labels):
    model = ViTClassifier(8, embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    model.set_params(random_state=0, image_shape=(16, 16, 3))
    return model.fit(*tiles_and_labels)


@pytest.fixture(params=FORMS)
def form(request, tiles_and_labels, tmp_path):
    return FORMS[request.param](tiles_and_labels[0], tmp_path)


@pytest.fixture
def same(clf, tiles_and_labels, form):
    """The classifier; where columns have names, one that was fitted on the names."""
    has_names = hasattr(form, "columns") and len(form.columns) > 1
    return clone(clf).fit(form, tiles_and_labels[1]) if has_names else clf


def random_order_curve(clf, X):
    maps = np.random.default_rng(0).random((4, 2, 2))
    return deletion_insertion_curve(clf, X, maps, random_state=0).deletion


FUNCTIONS = [
    attention_maps,
    attention_relevance,
    attention_rollout,
    occlusion_map,
    random_order_curve,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions(clf, same, tiles_and_labels, form, function):
    expected = function(clf, tiles_and_labels[0])
    np.testing.assert_array_equal(function(same, form), expected)


def test_attention_map_display(pyplot, clf, same, tiles_and_labels, form):
    display = AttentionMapDisplay.from_estimator(same, form)
    expected = AttentionMapDisplay.from_estimator(clf, tiles_and_labels[0])
    np.testing.assert_array_equal(display.images, tiles_and_labels[0])
    np.testing.assert_array_equal(display.maps, expected.maps)
    assert display.titles == expected.titles


def test_patch_grid_display(pyplot, clf, same, tiles_and_labels, form):
    display = PatchGridDisplay.from_estimator(same, form)
    np.testing.assert_array_equal(display.images, tiles_and_labels[0])
    expected = PatchGridDisplay.from_estimator(clf, tiles_and_labels[0])
    np.testing.assert_array_equal(display.patches, expected.patches)


def test_misclassified_display(pyplot, clf, same, tiles_and_labels, form):
    X, _ = tiles_and_labels
    wrong = np.where(clf.predict(X) == "china", "flower", "china")
    display = MisclassifiedDisplay.from_estimator(same, form, wrong, n_images=3)
    expected = MisclassifiedDisplay.from_estimator(clf, X, wrong, n_images=3)
    np.testing.assert_array_equal(display.indices, expected.indices)
    np.testing.assert_array_equal(display.images, X[expected.indices])
    np.testing.assert_array_equal(display.maps, expected.maps)
    np.testing.assert_array_equal(display.probabilities, expected.probabilities)
    nothing = MisclassifiedDisplay.from_estimator(same, form, clf.predict(X))
    assert nothing.images.shape == (0, 16, 16, 3)


def test_token_embedding_display(pyplot, clf, same, tiles_and_labels, form):
    X, y = tiles_and_labels
    display = TokenEmbeddingDisplay.from_estimator(same, form, y)
    expected = TokenEmbeddingDisplay.from_estimator(clf, X, y)
    np.testing.assert_array_equal(display.embedding, expected.embedding)
    assert set(display.points_) == {"china", "flower"}


@pytest.fixture(scope="module")
def of_many_sizes(photo_tiles):
    """Pictures of different sizes, and the arrays that they are brought to."""
    tiles, _ = photo_tiles
    pictures = [Image.fromarray(tile[: 20 + n]) for n, tile in enumerate(tiles[::10])]
    read = PatchTransformer(16, image_options=ImageOptions(resize=16))
    return pictures, read.fit_transform(pictures).reshape(4, 16, 16, 3)


@pytest.fixture(scope="module")
def resizing(of_many_sizes):
    model = ViTClassifier(8, embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    model.set_params(random_state=0, image_options=ImageOptions(resize=16))
    return model.fit(of_many_sizes[0], list("abab"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_images_of_many_sizes(resizing, of_many_sizes, function):
    pictures, arrays = of_many_sizes
    expected = function(resizing, arrays)
    np.testing.assert_array_equal(function(resizing, pictures), expected)


def test_displays_of_images_of_many_sizes(pyplot, resizing, of_many_sizes):
    pictures, arrays = of_many_sizes
    for make in (AttentionMapDisplay, PatchGridDisplay):
        display = make.from_estimator(resizing, pictures)
        np.testing.assert_array_equal(display.images, arrays)
    labels = np.where(resizing.predict(pictures) == "a", "b", "a")
    errors = MisclassifiedDisplay.from_estimator(resizing, pictures, labels)
    np.testing.assert_array_equal(errors.images, arrays[errors.indices])
