import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvit import ViTClassifier
from skvit.inspection import PatchEmbeddingDisplay
from skvit.inspection._plot._patch_embedding import principal_components, read_filters
from skvit.nn import linear_to_conv


@pytest.mark.parametrize("patch_embed", ["linear", "conv", "shifted", "overlap"])
def test_filters_are_those_that_see_the_pixels(make_classifier, patch_embed):
    import torch

    clf = make_classifier("token", patch_embed=patch_embed)
    filters = read_filters(clf._config, clf._weights)
    if patch_embed == "overlap":
        kernel = clf._weights["patch_embed.stages.0.weight"]
        assert filters.shape == (64, 3, 3, 3)
    else:
        kernel = clf._weights["patch_embed.weight"]
        if patch_embed != "conv":
            kernel = linear_to_conv(torch.from_numpy(kernel), (3, 4)).numpy()
        assert filters.shape == (8, 3, 4, 3)
    np.testing.assert_array_equal(filters, kernel[:, :3].transpose(0, 2, 3, 1))


def test_components_are_those_of_pca():
    filters = np.random.default_rng(0).random((20, 2, 3, 1))
    components, ratio = principal_components(filters)
    pca = PCA().fit(filters.reshape(20, -1))
    np.testing.assert_allclose(ratio, pca.explained_variance_ratio_)
    products = components.reshape(6, 6) @ pca.components_.T
    np.testing.assert_allclose(np.abs(products), np.eye(6), atol=1e-10)
    flat = components.reshape(6, 6)
    assert (flat[np.arange(6), np.abs(flat).argmax(1)] > 0).all()


def test_draws_the_strongest_filters_first(pyplot):
    filters = np.arange(1.0, 7).reshape(6, 1, 1, 1) * np.ones((1, 8, 8, 1))
    filters[:, 0, 0] *= -1
    components, ratio = principal_components(filters)
    display = PatchEmbeddingDisplay(
        filters=filters, components=components, explained_variance_ratio=ratio
    ).plot(n_filters=4, n_components=1)
    assert display.ax_.shape == (1, 2)
    shown = display.filters_.get_array()
    assert shown.shape == (17, 17)
    assert display.filters_.get_clim() == (-1, 1)
    assert (shown[0, 0], shown[0, 1]) == (-1, 1)
    # The strongest first, row by row; the gaps between four tiles are empty.
    np.testing.assert_array_equal(shown[:8, :8], filters[5, :, :, 0] / 6)
    np.testing.assert_array_equal(shown[9:, 9:], filters[2, :, :, 0] / 3)
    assert np.isnan(np.ma.filled(shown, np.nan)[8]).all()
    largest = np.abs(components[0]).max()
    np.testing.assert_allclose(
        display.components_.get_array(), components[0, :, :, 0] / largest
    )
    assert display.components_.get_cmap().name == "PuOr"
    assert display.ax_[0, 0].get_title() == "4 of 6 filters"
    assert "(100% of the variance)" in display.ax_[0, 1].get_title()


def test_colours_and_sequences(pyplot, make_classifier):
    display = PatchEmbeddingDisplay.from_estimator(make_classifier("token"))
    colours = display.filters_.get_array()
    assert colours.shape[-1] == 3
    assert colours.min() >= 0
    assert colours.max() <= 1
    X = np.random.default_rng(0).random((6, 5, 7))
    clf = ViTClassifier("precomputed", embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    display = PatchEmbeddingDisplay.from_estimator(clf.fit(X, [0, 1] * 3))
    assert display.filters.shape == (8, 1, 7, 1)
