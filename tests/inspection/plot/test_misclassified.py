import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from skvit.inspection import MisclassifiedDisplay, attention_rollout, occlusion_map


def test_the_worst_errors_come_first(pyplot, small_digits):
    clf, X, y = small_digits
    display = MisclassifiedDisplay.from_estimator(clf, X, y, n_images=4)
    probabilities = clf.predict_proba(X)
    of_truth = probabilities[np.arange(len(y)), y]
    wrong = [n for n in range(len(y)) if clf.predict(X)[n] != y[n]]
    expected = sorted(wrong, key=lambda n: of_truth[n])[:4]
    assert list(display.indices) == expected
    np.testing.assert_array_equal(display.images[..., 0], X[expected])
    np.testing.assert_array_equal(display.true_labels, y[expected])
    np.testing.assert_allclose(display.probabilities, probabilities[expected])
    maps = attention_rollout(clf, X[expected], upsample=True)
    np.testing.assert_allclose(display.maps, maps, rtol=1e-5)


def test_draws_images_maps_and_probabilities(pyplot, small_digits):
    clf, X, y = small_digits
    display = MisclassifiedDisplay.from_estimator(
        clf, X, y, n_images=2, method="occlusion"
    )
    assert display.ax_.shape == (3, 2)
    worst = display.indices[0]
    predicted = clf.predict(X)[worst]
    assert display.ax_[0, 0].get_title() == f"{predicted}, not {y[worst]}"
    expected = occlusion_map(clf, X[[worst]], upsample=True)[0]
    np.testing.assert_allclose(display.maps_[0].get_array(), expected, atol=1e-5)
    bars = display.bars_[0]
    names = [int(label.get_text()) for label in display.ax_[2, 0].get_yticklabels()]
    assert names[0] == predicted
    assert y[worst] in names
    for name, bar in zip(names, bars, strict=True):
        assert bar.get_width() == pytest.approx(display.probabilities[0, name])
    colours = {name: bar.get_facecolor() for name, bar in zip(names, bars, strict=True)}
    truth = colours.pop(y[worst])
    assert truth not in colours.values()


FORMS = {
    "flat rows": lambda X: X.reshape(len(X), -1),
    "data frame": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
    "lists": lambda X: X.tolist(),
    "tensor": lambda X: torch.tensor(X),
    "channels first": lambda X: X[:, None],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input(pyplot, small_digits, form):
    clf, X, y = small_digits
    expected = MisclassifiedDisplay.from_estimator(clf, X, y)
    display = MisclassifiedDisplay.from_estimator(clf, FORMS[form](X), y)
    np.testing.assert_array_equal(display.indices, expected.indices)
    np.testing.assert_allclose(display.maps, expected.maps)


@pytest.mark.parametrize(
    ("row", "shown"),
    [([0.1, 0.2, 0.3, 0.4], ["d", "c", "a"]), ([0.2, 0.1, 0.3, 0.4], ["d", "c", "a"])],
)
def test_the_true_class_is_always_shown(pyplot, row, shown):
    display = MisclassifiedDisplay(
        images=np.zeros((1, 2, 2, 1)),
        maps=np.ones((1, 2, 2)),
        probabilities=np.array([row]),
        true_labels=np.array(["a"]),
        classes=np.array(list("abcd")),
        indices=np.array([0]),
    ).plot()
    labels = [label.get_text() for label in display.ax_[2, 0].get_yticklabels()]
    assert labels == shown


@pytest.mark.parametrize("n_images", [1, 2, 4])
def test_long_names_do_not_overlap(pyplot, n_images):
    names = np.array(
        ["a temple in China, seen at dusk", "roof", "a yellow dahlia, half"]
    )
    display = MisclassifiedDisplay(
        images=np.zeros((n_images, 24, 56, 3)),
        maps=np.ones((n_images, 24, 56)),
        probabilities=np.tile([0.7, 0.2, 0.1], (n_images, 1)),
        true_labels=names[[1, 2, 1, 2][:n_images]],
        classes=names,
        indices=np.arange(n_images),
    ).plot()
    display.figure_.draw_without_rendering()
    for row in (0, 2):
        places = [
            [text.get_window_extent() for text in texts_of(panel)]
            for panel in display.ax_[row]
        ]
        for left, right in itertools.pairwise(places):
            assert max(place.x1 for place in left) <= min(place.x0 for place in right)
        assert min(place.x0 for place in places[0]) >= 0
        assert max(place.x1 for place in places[-1]) <= display.figure_.bbox.x1
    labels = [text.get_window_extent() for text in display.ax_[2, 0].get_yticklabels()]
    bars = [bar.get_window_extent() for bar in display.bars_[0]]
    for label, bar in zip(labels, bars, strict=True):
        assert label.y0 >= bar.y1 - 2
    assert display.ax_[1, 0].get_window_extent().width > 100


def texts_of(panel):
    return [panel.title, *panel.get_yticklabels()]


def test_no_errors(pyplot, small_digits):
    clf, X, _ = small_digits
    display = MisclassifiedDisplay.from_estimator(clf, X, clf.predict(X))
    assert display.images.shape == (0, 8, 8, 1)
    assert display.ax_[0, 0].texts[0].get_text() == "no errors"
    assert display.bars_ == []


def test_wrong_arguments(small_digits):
    clf, X, y = small_digits
    with pytest.raises(ValueError, match="`n_images` must be 1 or more, got 0"):
        MisclassifiedDisplay.from_estimator(clf, X, y, n_images=0)
    with pytest.raises(TypeError, match=r"`n_images` must be an integer, got 2\.5"):
        MisclassifiedDisplay.from_estimator(clf, X, y, n_images=2.5)
    with pytest.raises(ValueError, match="`method`='x' must be one of"):
        MisclassifiedDisplay.from_estimator(clf, X, y, method="x")
    with pytest.raises(ValueError, match="y has labels that are not among"):
        MisclassifiedDisplay.from_estimator(clf, X, y + 20)
