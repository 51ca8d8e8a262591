import itertools

import numpy as np
import pytest
from scipy.integrate import trapezoid

from skvit import Architecture, ViTClassifier
from skvit.inspection import deletion_insertion_curve, occlusion_map
from skvit.inspection._faithfulness import area


def covered_by(clf, image, patches):
    copy = image.copy()
    columns = clf._config.grid[1]
    rows, width = clf.recipe_.patch_size
    for patch in patches:
        top, left = patch // columns * rows, patch % columns * width
        copy[top : top + rows, left : left + width] = clf.channel_mean_
    return copy


def probability(clf, image, code):
    return clf.predict_proba(image[None])[0, code]


@pytest.mark.parametrize("target", [None, "b"])
def test_curves_are_those_of_covering_by_hand(make_classifier, images, target):
    clf = make_classifier("token", 1)
    maps = np.random.default_rng(0).random((5, 3, 2))
    curves = deletion_insertion_curve(clf, images, maps, target=target)
    np.testing.assert_allclose(curves.fraction, np.arange(7) / 6)
    for n, image in enumerate(images):
        code = clf.predict_proba(images)[n].argmax() if target is None else 1
        order = np.argsort(-maps[n].ravel())
        deletion = [
            probability(clf, covered_by(clf, image, order[:k]), code) for k in range(7)
        ]
        insertion = [
            probability(clf, covered_by(clf, image, order[k:]), code) for k in range(7)
        ]
        np.testing.assert_allclose(curves.deletion[n], deletion, atol=1e-10)
        np.testing.assert_allclose(curves.insertion[n], insertion, atol=1e-10)
    for name in ("deletion", "insertion", "random"):
        expected = trapezoid(curves[name], curves.fraction, axis=1).mean()
        assert curves[f"{name}_auc"] == pytest.approx(expected)


def test_uneven_steps_show_what_their_fraction_says(images):
    rows = images[:, :5, :1]
    clf = ViTClassifier(
        1,
        embed_dim=8,
        depth=1,
        max_epochs=1,
        precision="float64",
        architecture=Architecture(patch_embed="linear"),
        random_state=0,
    ).fit(rows, list("abcab"))
    maps = np.random.default_rng(0).random((5, 5, 1))
    curves = deletion_insertion_curve(clf, rows, maps, n_steps=2)
    counts = np.rint(curves.fraction * 5).astype(int)
    for n, image in enumerate(rows):
        code = clf.predict_proba(rows)[n].argmax()
        order = np.argsort(-maps[n].ravel())
        for count, deleted, inserted in zip(
            counts, curves.deletion[n], curves.insertion[n], strict=True
        ):
            less = covered_by(clf, image, order[:count])
            more = covered_by(clf, image, order[count:])
            assert deleted == pytest.approx(probability(clf, less, code), abs=1e-10)
            assert inserted == pytest.approx(probability(clf, more, code), abs=1e-10)


def test_random_orders(make_classifier, images):
    clf = make_classifier("mean")
    maps = np.zeros((5, 3, 2))

    def curves(**options):
        return deletion_insertion_curve(clf, images, maps, **options)

    first = curves(random_state=3)
    np.testing.assert_array_equal(first.random, curves(random_state=3).random)
    assert (first.random != curves(random_state=4).random).any()
    np.testing.assert_allclose(first.random[:, 0], first.deletion[:, 0])
    np.testing.assert_allclose(first.random[:, -1], first.insertion[:, 0])


def test_random_curve_is_the_mean_of_random_orders(make_classifier, images):
    clf = make_classifier("token", 1)
    maps = np.random.default_rng(0).random((5, 3, 2))
    curves = deletion_insertion_curve(clf, images, maps, n_random=2, random_state=7)
    of_one_order = []
    for image, found in zip(images, curves.random, strict=True):
        code = clf.predict_proba(image[None])[0].argmax()
        for count, value in enumerate(found):
            choices = itertools.combinations(range(6), count)
            covered = np.stack([covered_by(clf, image, choice) for choice in choices])
            one = clf.predict_proba(covered)[:, code]
            assert np.abs((one[:, None] + one) / 2 - value).min() < 1e-10
            of_one_order.append(np.abs(one - value).min() < 1e-10)
    assert not all(of_one_order)


def test_patches_of_equal_value_go_in_the_order_of_the_grid(make_classifier, images):
    clf = make_classifier("mean")
    equal = deletion_insertion_curve(clf, images, np.zeros((5, 3, 2)))
    falling = -np.arange(6.0).reshape(1, 3, 2).repeat(5, axis=0)
    ordered = deletion_insertion_curve(clf, images, falling)
    np.testing.assert_array_equal(equal.deletion, ordered.deletion)
    np.testing.assert_array_equal(equal.insertion, ordered.insertion)


def test_maps_of_pixels_are_averaged(make_classifier, images):
    clf = make_classifier("token")
    grids = occlusion_map(clf, images)
    pixels = occlusion_map(clf, images, upsample=True)
    by_grid = deletion_insertion_curve(clf, images, grids, n_steps=4)
    by_pixel = deletion_insertion_curve(clf, images, pixels, n_steps=4)
    np.testing.assert_allclose(by_pixel.deletion, by_grid.deletion)
    assert by_grid.deletion.shape == (5, 5)


def test_batches_change_nothing(make_classifier, images, monkeypatch):
    clf = make_classifier("token")
    maps = np.random.default_rng(0).random((5, 3, 2))
    expected = deletion_insertion_curve(clf, images, maps, random_state=0)
    monkeypatch.setattr("skvit.inspection._network.batch_size_for", lambda *_: 2)
    curves = deletion_insertion_curve(clf, images, maps, random_state=0)
    for name in expected:
        np.testing.assert_allclose(curves[name], expected[name], atol=1e-12)


def test_area_is_between_the_points():
    x = np.array([0, 0.25, 1])
    assert area(x, np.array([[1, 1, 1], [0, 0.25, 1]])) == pytest.approx(0.75)


def test_wrong_arguments(make_classifier, images):
    clf = make_classifier("token")
    maps = np.zeros((5, 3, 2))
    with pytest.raises(ValueError, match="`maps` must have shape"):
        deletion_insertion_curve(clf, images, maps[:4])
    for name in ("n_steps", "n_random"):
        with pytest.raises(ValueError, match=f"`{name}` must be 1 or more, got 0"):
            deletion_insertion_curve(clf, images, maps, **{name: 0})
        with pytest.raises(TypeError, match=f"`{name}` must be an integer, got 2.5"):
            deletion_insertion_curve(clf, images, maps, **{name: 2.5})
    with pytest.raises(ValueError, match="`target` has labels"):
        deletion_insertion_curve(clf, images, maps, target="z")
