import numpy as np
import pytest
import torch

from skvit import ImageOptions, ViTClassifier
from skvit.inspection import occlusion_map


def covered(clf, image, row, column):
    copy = image.copy()
    rows, columns = clf.recipe_.patch_size
    top, left = row * rows, column * columns
    copy[top : top + rows, left : left + columns] = clf.channel_mean_
    return copy


def by_predictions(clf, X, codes):
    """What covering each patch by hand does to the log-probability."""
    rows, columns = clf._config.grid
    whole = clf.predict_log_proba(X)
    result = np.empty((len(X), rows, columns))
    for n, row, column in np.ndindex(result.shape):
        left = clf.predict_log_proba(covered(clf, X[n], row, column)[None])[0]
        result[n, row, column] = whole[n, codes[n]] - left[codes[n]]
    return result


@pytest.mark.parametrize("patch_embed", ["linear", "overlap"])
@pytest.mark.parametrize("pool", ["token", "map"])
def test_covering_by_hand_gives_the_same(make_classifier, images, pool, patch_embed):
    clf = make_classifier(pool, patch_embed=patch_embed)
    predicted = clf.predict_proba(images).argmax(1)
    np.testing.assert_allclose(
        occlusion_map(clf, images), by_predictions(clf, images, predicted), atol=1e-10
    )
    np.testing.assert_allclose(
        occlusion_map(clf, images, target=list("abcab")),
        by_predictions(clf, images, [0, 1, 2, 0, 1]),
        atol=1e-10,
    )


def test_batches_change_nothing(make_classifier, images, monkeypatch):
    clf = make_classifier("mean", 1)
    expected = occlusion_map(clf, images)
    for module in ("_network", "_occlusion"):
        name = f"skvit.inspection.{module}.batch_size_for"
        monkeypatch.setattr(name, lambda *_: 2)
    np.testing.assert_allclose(occlusion_map(clf, images), expected, atol=1e-12)


def test_pixels(make_classifier, images):
    clf = make_classifier("token")
    pixels = occlusion_map(clf, images, upsample=True)
    np.testing.assert_array_equal(pixels[:, ::3, ::4], occlusion_map(clf, images))


def test_a_patch_like_the_training_mean_is_not_missed(make_classifier, images):
    clf = make_classifier("token")
    image = covered(clf, images[0], 1, 0)
    assert abs(occlusion_map(clf, image[None])[0, 1, 0]) < 1e-12


def test_images_that_are_not_normalised_are_covered_with_zeros(digits):
    X, y = digits
    clf = ViTClassifier(4, embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    clf.set_params(image_options=ImageOptions(normalize=False), random_state=0)
    clf.fit(X[:40], y[:40])
    image = X[0].copy()
    image[:4, :4] = 0
    falls = clf.predict_log_proba(X[:1]) - clf.predict_log_proba(image[None])
    code = int(clf.predict(X[:1])[0])
    fall = occlusion_map(clf, X[:1])[0, 0, 0]
    assert fall == pytest.approx(falls[0, code], abs=1e-5)


def test_every_form_of_input(small_digits):
    clf, X, _ = small_digits
    X = X[:2].copy()
    for other in (X[..., None], X.reshape(2, -1), X.tolist(), torch.from_numpy(X)):
        np.testing.assert_array_equal(occlusion_map(clf, other), occlusion_map(clf, X))


def test_unknown_target(make_classifier, images):
    with pytest.raises(ValueError, match="`target` has labels that are not among"):
        occlusion_map(make_classifier("token"), images, target="z")
