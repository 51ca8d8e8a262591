"""Every form of the same images gives every estimator the same results."""

from copy import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_sample_images
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skvit import ImageOptions, PatchTransformer
from skvit._images import _read
from skvit.exceptions import UnreadableImageWarning

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def objects(items):
    """Return an array of objects."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def pictures(tiles):
    return [Image.fromarray(tile) for tile in tiles]


def polars(tiles):
    return pl.Series(tiles, dtype=pl.Array(pl.UInt8, tiles.shape[1:]))


IN_MEMORY = {
    "big-endian uint16": lambda tiles: tiles.astype(">u2"),
    "float16": lambda tiles: tiles.astype(np.float16),
    "Fortran order": np.asfortranarray,
    "every second of more": lambda tiles: np.repeat(tiles, 2, axis=2)[:, :, ::2],
    "channels first": lambda tiles: np.moveaxis(tiles, 3, 1),
    "tensor": torch.tensor,
    "list of tensors": lambda tiles: [torch.tensor(tile) for tile in tiles],
    "array of arrays": lambda tiles: objects(list(tiles)),
    "array of images": lambda tiles: objects(pictures(tiles)),
    "frame of arrays": lambda tiles: pd.DataFrame({"image": list(tiles)}),
    "polars column of images": lambda tiles: pl.DataFrame(
        {"image": pl.Series(pictures(tiles), dtype=pl.Object)}
    ),
    "polars column of arrays": lambda tiles: pl.DataFrame({"image": polars(tiles)}),
    "polars series of arrays": polars,
    "list of arrays": list,
    "tuple of arrays": tuple,
    "series of arrays": lambda tiles: pd.Series(list(tiles)),
    "list of images": pictures,
    "series of images": lambda tiles: pd.Series(pictures(tiles)),
    "frame of images": lambda tiles: pd.DataFrame({"image": pictures(tiles)}),
}


SUFFIXES = ["png", "bmp", "tiff", "webp", "gif", "jpg", "npy"]


@pytest.fixture(scope="module", params=SUFFIXES)
def files(request, tmp_path_factory, photo_tiles):
    """Paths of the tiles in one format."""
    folder = tmp_path_factory.mktemp(request.param)
    paths = [folder / f"{row}.{request.param}" for row in range(len(photo_tiles[0]))]
    for path, tile in zip(paths, photo_tiles[0], strict=True):
        save(path, tile)
    return paths


def save(path, tile):
    if path.suffix == ".npy":
        np.save(path, tile)
    else:
        options = {".webp": {"lossless": True}, ".jpg": {"quality": 95}}
        Image.fromarray(tile).save(path, **options.get(path.suffix, {}))


@pytest.fixture
def pngs(tmp_path, photo_tiles):
    paths = [tmp_path / f"{row}.png" for row in range(len(photo_tiles[0]))]
    for path, tile in zip(paths, photo_tiles[0], strict=True):
        save(path, tile)
    return paths


def own_decode(path):
    if path.suffix == ".npy":
        return np.load(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def make_module_tiny():
    from skvit import ViTClassifier

    return ViTClassifier(
        embed_dim=16, depth=1, num_heads=2, max_epochs=2, random_state=0
    )


@pytest.fixture(scope="module")
def on_tiles(make_module_tiny, photo_tiles):
    return make_module_tiny.fit(*photo_tiles)


@pytest.mark.parametrize("form", IN_MEMORY)
def test_in_memory(on_tiles, photo_tiles, form):
    X = IN_MEMORY[form](photo_tiles[0])
    np.testing.assert_array_equal(
        on_tiles.predict_proba(X), on_tiles.predict_proba(photo_tiles[0])
    )
    patches = PatchTransformer(8)
    np.testing.assert_array_equal(
        patches.fit_transform(X), patches.fit_transform(photo_tiles[0])
    )


def test_fit_on_images_of_different_sizes(make_tiny, photo_tiles):
    tiles, y = photo_tiles
    X = [tile[: 20 + row % 12] for row, tile in enumerate(tiles)]
    clf = make_tiny(image_options=ImageOptions(resize=16)).fit(X, y)
    assert clf.image_shape_ == (16, 16, 3)
    assert clf.n_features_in_ == 16 * 16 * 3
    patches = PatchTransformer(4, image_options=ImageOptions(resize=16), flatten=False)
    assert patches.fit_transform(X).shape == (40, 16, 48)
    reader = PatchTransformer(16, image_options=ImageOptions(resize=16))
    images = reader.fit_transform(X).reshape(-1, 16, 16, 3)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(images))


def save_array(path, images):
    np.save(path / "a.npy", images)
    return np.load(path / "a.npy", mmap_mode="r")


def save_arrays(path, images):
    paths = [path / f"{row}.npy" for row in range(len(images))]
    for name, image in zip(paths, images, strict=True):
        np.save(name, image)
    return paths


def save_dataset(path, images):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "a.h5", "w") as file:
        file["images"] = images
    return h5py.File(path / "a.h5")["images"]


@pytest.mark.parametrize("size", [12, 20, 32])
@pytest.mark.parametrize(
    "form",
    [
        lambda _, images: images,
        lambda _, images: list(images),
        save_array,
        save_arrays,
        save_dataset,
    ],
)
def test_resized_booleans_are_shares(photo_tiles, tmp_path, form, size):
    """They are what the same numbers become as floats, wherever they are."""
    images = photo_tiles[0][:, :20] > 128
    resizing = PatchTransformer(4, image_options=ImageOptions(resize=size))
    found = resizing.fit_transform(form(tmp_path, images))
    assert found.dtype == np.float32
    expected = resizing.fit_transform(images.astype(np.float32))
    np.testing.assert_array_equal(found, expected)


def test_files(on_tiles, files):
    array = np.stack(list(map(own_decode, files)))
    expected = on_tiles.predict_proba(array)
    for X in (files, pd.DataFrame({"path": list(map(str, files))})):
        np.testing.assert_array_equal(on_tiles.predict_proba(X), expected)


@pytest.mark.parametrize("cache", [2**30, 50_000, "directory"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_fit_on_files(make_tiny, pngs, photo_tiles, tmp_path, cache, early_stopping):
    cache = tmp_path if cache == "directory" else cache
    options = ImageOptions(cache=cache, n_threads=2)
    params = {"early_stopping": early_stopping, "batch_size": 16}
    weights = np.arange(40) % 4  # a fourth of the images do not count
    array = make_tiny(**params).fit(*photo_tiles, sample_weight=weights)
    files = make_tiny(**params, image_options=options)
    files.fit(pngs, photo_tiles[1], sample_weight=weights)
    np.testing.assert_array_equal(
        files.predict_proba(photo_tiles[0]), array.predict_proba(photo_tiles[0])
    )
    assert files.n_features_in_ == 32 * 32 * 3


def test_a_cache_that_is_gone_concerns_files_alone(make_tiny, pngs, photo_tiles):
    """As for an estimator that is loaded where there is no such directory."""
    tiles, y = photo_tiles
    cache = pngs[0].parent / "cache"
    cache.mkdir()
    clf = make_tiny(image_options=ImageOptions(cache=cache)).fit(pngs, y)
    expected = clf.predict_proba(pngs)
    cache.rmdir()
    np.testing.assert_array_equal(clf.predict_proba(tiles), expected)
    for use in (clf.predict, lambda X: clf.fit(X, y)):
        with pytest.raises(ValueError, match=r"`cache`=.*not an existing directory"):
            use(pngs)


def test_partial_fit_on_files(make_tiny, pngs, photo_tiles):
    tiles, y = photo_tiles
    both = make_tiny(), make_tiny()
    for part in (slice(None, None, 2), slice(1, None, 2)):
        both[0].partial_fit(pngs[part], y[part], classes=["china", "flower"])
        both[1].partial_fit(tiles[part], y[part], classes=["china", "flower"])
    np.testing.assert_array_equal(*(clf.predict_proba(tiles) for clf in both))


def test_patches_of_files(files):
    array = np.stack(list(map(own_decode, files)))
    patches = PatchTransformer(8)
    np.testing.assert_array_equal(
        patches.fit_transform(files), patches.fit_transform(array)
    )


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("small", [0, 2**14])
def test_a_file_that_cannot_be_read_leaves_the_old_fit(
    make_tiny, pngs, normalize, small, monkeypatch
):
    monkeypatch.setattr(_read, "_SMALL", small)
    y = np.arange(40) % 2
    clf = make_tiny(image_options=ImageOptions(normalize=normalize)).fit(pngs, y)
    before = clf.predict_proba(pngs)
    content = pngs[9].read_bytes()
    pngs[9].write_bytes(content[:-90])
    with pytest.raises(ValueError, match=r"row 9 of X, .*9\.png', cannot be read"):
        clf.fit(pngs, y)
    with pytest.raises(ValueError, match=r"row 9 of X, .*9\.png', cannot be read"):
        clf.predict(pngs)
    pngs[9].write_bytes(content)
    np.testing.assert_array_equal(clf.predict_proba(pngs), before)


@pytest.mark.parametrize("small", [0, 2**14])
def test_files_that_cannot_be_read_are_left_out(
    make_tiny, pngs, photo_tiles, small, monkeypatch
):
    monkeypatch.setattr(_read, "_SMALL", small)
    tiles, y = photo_tiles
    pngs[9].write_bytes(pngs[9].read_bytes()[:-90])
    pngs[30].unlink()
    clf = make_tiny(image_options=ImageOptions(on_error="skip"))
    with pytest.warns(UnreadableImageWarning, match=r"2 of 40 .* row 9 of X"):
        clf.fit(pngs, y, sample_weight=np.ones(40))
    assert clf.skipped_["row"].tolist() == [9, 30]
    assert clf.skipped_["path"].tolist() == [str(pngs[9]), str(pngs[30])]
    kept = np.setdiff1d(np.arange(40), [9, 30])
    expected = make_tiny().fit(tiles[kept], y[kept])
    assert expected.skipped_.empty
    np.testing.assert_array_equal(
        clf.predict_proba(tiles), expected.predict_proba(tiles)
    )
    with pytest.raises(ValueError, match="row 9 of X" if small else "row 30 of X"):
        clf.predict(pngs)


def test_only_files_that_are_left_out_have_weight(make_tiny, pngs, photo_tiles):
    pngs[9].unlink()
    clf = make_tiny(image_options=ImageOptions(on_error="skip"))
    weight = np.arange(40) == 9
    with (
        pytest.warns(UnreadableImageWarning, match="1 of 40 .* row 9 of X"),
        pytest.raises(
            ValueError, match="images that can be read have a `sample_weight"
        ),
    ):
        clf.fit(pngs, photo_tiles[1], sample_weight=weight)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("damage", [0, 90])
def test_files_for_validation(make_tiny, pngs, photo_tiles, on_error, damage):
    tiles, y = photo_tiles
    clf = make_tiny(image_options=ImageOptions(on_error=on_error))
    held_out = {"X_val": pngs[1::2], "y_val": y[1::2]}
    clf.fit(pngs[::2], y[::2], **held_out)
    expected = make_tiny().fit(tiles[::2], y[::2], X_val=tiles[1::2], y_val=y[1::2])
    assert clf.history_["valid_score"].equals(expected.history_["valid_score"])
    pngs[7].write_bytes(pngs[7].read_bytes()[:-damage])
    with pytest.raises(ValueError, match=r"row 3 of X_val, .*7\.png', cannot be read"):
        clf.fit(pngs[::2], y[::2], **held_out)


@pytest.mark.parametrize("small", [0, 2**14])
def test_nothing_left_to_train_on(make_tiny, pngs, monkeypatch, small):
    """Whether what is cut off is seen at once, as of small files, or while decoding."""
    monkeypatch.setattr(_read, "_SMALL", small)
    for path in pngs:
        path.write_bytes(path.read_bytes()[:-90])
    clf = make_tiny(image_options=ImageOptions(on_error="skip"))
    message = "None of the files" if small else "40 of 40 images cannot be read"
    with pytest.raises(ValueError, match=message):
        clf.fit(pngs, np.arange(40) % 2)


def test_search_over_paths_in_columns(make_tiny, pngs, photo_tiles):
    frame = pd.DataFrame({"path": list(map(str, pngs)), "size": np.arange(40.0)})
    images = ColumnTransformer([("path", PatchTransformer(8), ["path"])])
    model = make_pipeline(
        ColumnTransformer(
            [("path", PatchTransformer(8), ["path"]), ("rest", "passthrough", ["size"])]
        ),
        RandomForestClassifier(5, random_state=0),
    )
    assert images.fit_transform(frame).shape == (40, 32 * 32 * 3)
    scores = cross_val_score(model, frame, photo_tiles[1], cv=2)
    assert np.isfinite(scores).all()
    clf = make_pipeline(
        ColumnTransformer([("path", "passthrough", ["path"])]), make_tiny()
    )
    clf.fit(frame, photo_tiles[1])
    np.testing.assert_array_equal(
        clf.predict(frame), make_tiny().fit(*photo_tiles).predict(photo_tiles[0])
    )


def test_patches_of_a_column_have_names(pngs):
    frame = pd.DataFrame({"path": list(map(str, pngs)), "size": np.arange(40.0)})
    columns = ColumnTransformer(
        [("cut", PatchTransformer(16), ["path"]), ("rest", "passthrough", ["size"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    some = frame[30:5:-5]
    found = columns.fit_transform(some)
    assert found.index.tolist() == some.index.tolist()
    names = PatchTransformer(16).fit(pngs).get_feature_names_out()
    assert found.columns.tolist() == [*names, "size"]
    with pytest.raises(ValueError, match="input_features should have length"):
        PatchTransformer(16).fit(pngs).get_feature_names_out(["a", "b"])


OWN_RESIZING = {
    "pad": lambda image: ImageOps.pad(image, (32, 32), Image.Resampling.BILINEAR),
    "stretch": lambda image: image.resize((32, 32), Image.Resampling.BILINEAR),
}


@pytest.mark.parametrize("aspect", OWN_RESIZING)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photographs_of_different_sizes(on_tiles, tmp_path, suffix, aspect):
    """Predictions are those of the reader's array, and within 0.02 of one's own."""
    paths = [tmp_path / f"{row}.{suffix}" for row in range(12)]
    for row, path in enumerate(paths):
        photo = load_sample_images().images[row % 2]
        save(path, photo[: 200 + 19 * row, 7 * row : 640 - 20 * row])
    options = ImageOptions(resize=32, aspect=aspect)
    reader = PatchTransformer(32, image_options=options)
    read = reader.fit_transform(paths).reshape(-1, 32, 32, 3)
    own = []
    for path in paths:
        with Image.open(path) as image:
            own.append(np.asarray(OWN_RESIZING[aspect](image)))
    tolerance = {"jpg": 2.5, "png": 0.5}[suffix]  # a JPEG is decoded at the least size
    assert np.abs(read - np.stack(own).astype(int)).mean() < tolerance
    clf = copy(on_tiles).set_params(image_options=options)
    found = clf.predict_proba(paths)
    np.testing.assert_array_equal(found, on_tiles.predict_proba(read))
    np.testing.assert_allclose(found, on_tiles.predict_proba(np.stack(own)), atol=0.02)


def save_deep_png(path, image):
    Image.fromarray(image[..., 0]).save(path)


def save_deep_colours(path, image):
    imagecodecs = pytest.importorskip("imagecodecs")
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))


def save_packed_tiff(path, image):
    pytest.importorskip("imagecodecs")
    tifffile = pytest.importorskip("tifffile")
    options = {"compression": "lzw", "predictor": True, "tile": (16, 16)}
    tifffile.imwrite(path, image, photometric="rgb", **options)


def save_deep_tiff(path, image):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig")


DEEP = {
    "16-bit gray PNG": ("png", 1, np.uint16, save_deep_png),
    "16-bit colour PNG": ("png", 3, np.uint16, save_deep_colours),
    "16-bit colour TIFF, packed": ("tif", 3, np.uint16, save_packed_tiff),
    "16-bit gray TIFF": ("tif", 1, np.uint16, save_deep_png),
    "16-bit TIFF of 13 bands": ("tif", 13, np.uint16, save_deep_tiff),
    "float TIFF of 3 bands": ("tif", 3, np.float32, save_deep_tiff),
    "array of 64 channels": ("npy", 64, np.float16, np.save),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_files(make_tiny, photo_tiles, tmp_path, kind, caplog):
    suffix, depth, dtype, save_image = DEEP[kind]
    bands = np.arange(depth) % 3
    images = photo_tiles[0][..., bands].astype(dtype) * dtype(201) + dtype(5)
    paths = [tmp_path / f"{row}.{suffix}" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        save_image(path, image)
    from_files = make_tiny(channels="last").fit(paths, photo_tiles[1])
    from_array = make_tiny(channels="last").fit(images, photo_tiles[1])
    assert from_files.n_features_in_ == 32 * 32 * depth
    np.testing.assert_array_equal(
        from_files.predict_proba(paths), from_array.predict_proba(images)
    )
    assert not caplog.records
