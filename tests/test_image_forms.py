"""Every form of the same images gives every estimator the same results."""

import numpy as np
import pandas as pd
import pytest

from skvit import ImageOptions, PatchTransformer

Image = pytest.importorskip("PIL.Image")

IN_MEMORY = {
    "list of arrays": list,
    "tuple of arrays": tuple,
    "series of arrays": lambda tiles: pd.Series(list(tiles)),
    "list of images": lambda tiles: [Image.fromarray(tile) for tile in tiles],
    "series of images": lambda tiles: pd.Series(list(map(Image.fromarray, tiles))),
    "frame of images": lambda tiles: pd.DataFrame(
        {"image": list(map(Image.fromarray, tiles))}
    ),
}


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
