import itertools

import numpy as np
import pytest
import torch

from skvit.inspection import (
    AttentionMapDisplay,
    attention_maps,
    attention_relevance,
    attention_rollout,
    occlusion_map,
)


def last_attention(clf, X, upsample):
    maps = attention_maps(clf, X, layers=-1, queries="pool", upsample=upsample)
    return maps[:, 0].mean(1)


METHODS = {
    "attention": last_attention,
    "rollout": attention_rollout,
    "relevance": attention_relevance,
    "occlusion": occlusion_map,
}


@pytest.mark.parametrize("method", METHODS)
def test_draws_the_maps_over_the_images(pyplot, make_classifier, images, method):
    clf = make_classifier("seqpool", 1)
    display = AttentionMapDisplay.from_estimator(clf, images, method=method)
    expected = METHODS[method](clf, images, upsample=True)
    np.testing.assert_allclose(display.maps, expected)
    np.testing.assert_array_equal(display.images, images)
    assert display.ax_.shape == (2, 5)
    assert display.figure_ is display.ax_[0, 0].figure
    for n in range(5):
        np.testing.assert_allclose(display.maps_[n].get_array(), expected[n])
        assert display.ax_[0, n].get_title() == clf.predict(images)[n]
        shown = (images[n] - images.min()) / np.ptp(images)
        np.testing.assert_allclose(display.images_[n].get_array(), shown)
        assert display.ax_[0, n].get_images() == [display.images_[n]]
        ground, drawn = display.ax_[1, n].get_images()
        assert drawn is display.maps_[n]
        np.testing.assert_allclose(ground.get_array(), shown.mean(-1))
    assert display.ax_[1, 0].get_ylabel() == method


def test_target_and_titles(pyplot, make_classifier, images):
    clf = make_classifier("token")
    display = AttentionMapDisplay.from_estimator(
        clf, images[:2], method="relevance", target="b", titles=["one", "two"]
    )
    expected = attention_relevance(clf, images[:2], "b", upsample=True)
    np.testing.assert_array_equal(display.maps, expected)
    assert display.ax_[0, 1].get_title() == "two"


def test_colours_have_zero_in_the_middle_where_there_are_negative_values(pyplot):
    images = np.zeros((3, 2, 2, 1))
    maps = np.array([[[0, 1], [2, 3]], [[0, 1], [-4, 3]], [[0, 0], [0, 0]]])
    display = AttentionMapDisplay(images=images, maps=maps).plot()
    assert [shown.get_clim() for shown in display.maps_[:2]] == [(-3, 3), (-4, 4)]
    assert {shown.get_cmap().name for shown in display.maps_} == {"PuOr"}
    above = AttentionMapDisplay(images=images, maps=abs(maps)).plot()
    assert [shown.get_clim() for shown in above.maps_[:2]] == [(0, 3), (0, 4)]
    assert {shown.get_cmap().name for shown in above.maps_} == {"viridis"}
    assert above.maps_[2].get_clim()[0] == 0
    display.plot(cmap="magma", alpha=0.3)
    assert display.maps_[1].get_cmap().name == "magma"
    assert display.maps_[1].get_alpha() == 0.3


@pytest.mark.parametrize("n_images", [1, 2, 5])
def test_long_titles_do_not_overlap(pyplot, n_images):
    display = AttentionMapDisplay(
        images=np.zeros((n_images, 24, 56, 3)),
        maps=np.ones((n_images, 24, 56)),
        titles=["a temple in China, seen at dusk"] * n_images,
    ).plot()
    display.figure_.draw_without_rendering()
    places = [panel.title.get_window_extent() for panel in display.ax_[0]]
    for left, right in itertools.pairwise(places):
        assert left.x1 <= right.x0
    assert places[0].x0 >= 0
    assert places[-1].x1 <= display.figure_.bbox.x1


def test_draws_on_given_axes(pyplot, make_classifier, images):
    ax = pyplot.figure().subplots()
    display = AttentionMapDisplay.from_estimator(
        make_classifier("token"), images[:2], ax=ax
    )
    assert display.figure_ is ax.figure


@pytest.mark.parametrize("form", ["flat", "list", "tensor"])
def test_every_form_of_input(pyplot, small_digits, form):
    clf, X, _ = small_digits
    X = X[:2].copy()
    forms = {"flat": X.reshape(2, -1), "list": X.tolist(), "tensor": torch.tensor(X)}
    display = AttentionMapDisplay.from_estimator(clf, forms[form])
    np.testing.assert_array_equal(display.images, X[..., None])


def test_wrong_arguments(make_classifier, images):
    clf = make_classifier("token")
    with pytest.raises(ValueError, match="`method`='grad' must be one of"):
        AttentionMapDisplay.from_estimator(clf, images, method="grad")
    with pytest.raises(ValueError, match="'rollout' is the same for every class"):
        AttentionMapDisplay.from_estimator(clf, images, target="a")
    with pytest.raises(ValueError, match=r"`method`=\['rollout'\] must be one of"):
        AttentionMapDisplay.from_estimator(clf, images, method=["rollout"])
    with pytest.raises(ValueError, match="`titles` must be 5, one for each image"):
        AttentionMapDisplay.from_estimator(clf, images, titles=["one"])
    with pytest.raises(TypeError, match="expected a fitted ViTClassifier"):
        AttentionMapDisplay.from_estimator(object(), images)
