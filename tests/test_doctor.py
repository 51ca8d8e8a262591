import warnings

import numpy as np
import pytest
from scipy.stats import entropy

from skvit import ViTClassifier
from skvit._doctor import (
    chance_loss,
    check_collapse,
    check_scale,
    check_tokens,
    check_training,
    value_scale,
)
from skvit._images import ImageSpec, LazyImages
from skvit.exceptions import TrainingWarning


@pytest.fixture(autouse=True)
def warnings_are_errors_unless_expected():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_chance_is_the_entropy_of_the_labels():
    target = np.array([0, 0, 0, 1, 1, 2])
    assert chance_loss(target, None, 3, 0.0) == pytest.approx(entropy([3, 2, 1]))
    weight = np.array([0.5, 0.5, 1, 1, 1, 2])
    assert chance_loss(target, weight, 3, 0.0) == pytest.approx(np.log(3))


def test_no_constant_prediction_beats_chance():
    rng = np.random.default_rng(0)
    target = rng.integers(4, size=50) ** 2 % 5
    smooth = 0.9 * np.eye(5)[target] + 0.1 / 5
    best = chance_loss(target, None, 5, 0.1)
    for probabilities in rng.dirichlet(np.ones(5), size=200):
        assert -(smooth @ np.log(probabilities)).mean() >= best


@pytest.mark.parametrize(
    ("loss", "updates", "message"),
    [
        (3.0, 10, "The loss diverged: it ended at 3, above the 1"),
        (1.21, 5, "The loss diverged"),
        (0.999, 100, "Nothing was learned in 100 updates"),
        (0.995, 100, "Nothing was learned"),
    ],
)
def test_a_loss_that_tells_of_failure_warns(loss, updates, message):
    with pytest.warns(TrainingWarning, match=message):
        check_training([1.0, loss], 1.0, updates, 1e-3)


@pytest.mark.parametrize(
    ("loss", "updates"), [(0.999, 99), (0.98, 100), (0.5, 1000), (1.1, 5), (1.19, 5)]
)
def test_a_loss_that_may_still_fall_is_silent(loss, updates):
    check_training([1.0, loss], 1.0, updates, 1e-3)


def test_a_loss_that_began_high_is_silent():
    check_training([3.0, 2.0], 1.0, 5, 1e-3)


def test_a_loss_that_grew_below_chance_is_silent():
    check_training([0.5, 0.9], 1.0, 5, 1e-3)


@pytest.mark.parametrize("losses", [[0.0], [1.0, 0.3]])
def test_a_single_class_is_silent(losses):
    check_training(losses, 0.0, 1000, 1e-3)


def test_collapse_warns_unless_one_class_is_nearly_all():
    target = np.array([0] * 6 + [1] * 4)
    with pytest.warns(TrainingWarning, match="collapsed to one class"):
        check_collapse(np.zeros(10), target, 100)
    check_collapse(np.zeros(10), target, 99)
    check_collapse(target, target, 100)
    check_collapse(np.zeros(100), np.repeat([0, 1], [90, 10]), 100)
    with pytest.warns(TrainingWarning, match="collapsed to one class"):
        check_collapse(np.zeros(100), np.repeat([0, 1], [89, 11]), 100)


def test_few_tokens_warn_where_there_are_images_to_learn_from():
    with pytest.warns(TrainingWarning, match="Patches of 4 x 3 pixels .* into 8 only"):
        check_tokens((4, 3), 8, 200)
    check_tokens((4, 3), 9, 200)
    check_tokens((4, 3), 8, 199)


@pytest.mark.parametrize("factor", [1 / 255, 255])
def test_bytes_against_fractions_warn(factor):
    images = np.random.default_rng(0).uniform(0, 1, size=(20, 4, 4, 1))
    with pytest.warns(TrainingWarning, match="but reached 1 at fit"):
        check_scale(images * factor, 1.0)


@pytest.mark.parametrize("factor", [1 / 201, 201])
def test_values_hundreds_of_times_larger_or_smaller_warn(factor):
    with pytest.warns(TrainingWarning, match="Values reach"):
        check_scale(np.full((10, 2, 2, 1), factor), 1.0)


@pytest.mark.parametrize(
    ("n_images", "factor", "fitted"),
    [(10, 1 / 199, 1.0), (10, 199, 1.0), (9, 1 / 255, 1.0), (10, 1, 0.0)],
)
def test_nearer_values_and_few_dark_images_are_silent(n_images, factor, fitted):
    check_scale(np.full((n_images, 2, 2, 1), factor), fitted)


def test_scale_is_the_largest_magnitude():
    assert value_scale(np.array([[-3.0, 1.0]])) == 3


class Counting:
    """A reader that counts the values it was asked for."""

    spec, dtype = ImageSpec(256, 256, 4), np.dtype("f4")

    def __init__(self):
        self.rows = []

    def read(self, rows):
        self.rows.append(len(rows))
        return np.full((len(rows), *self.spec.shape), 3, self.dtype)

    def expect(self, rows):
        raise AssertionError("nothing is to be read ahead")


def test_few_of_the_images_that_are_read_tell_of_their_range():
    reader = Counting()
    assert value_scale(LazyImages(reader, np.arange(1000))) == 3
    assert reader.rows == [16]  # of 1 MiB each


@pytest.mark.parametrize("images", [np.zeros((20, 4, 4)), np.full((1, 4, 4), 1e-3)])
def test_blank_and_single_dark_images_are_silent(images):
    check_scale(images, 1.0)


def test_the_classifier_tells_of_unlearnable_labels(digits):
    X, _ = digits
    y = np.random.default_rng(0).integers(2, size=200)
    hopeless = ViTClassifier(
        embed_dim=8, depth=1, max_epochs=35, learning_rate=1e-9, random_state=0
    )
    with pytest.warns(TrainingWarning, match=r"Nothing was learned in 140 updates"):
        hopeless.fit(X[:200], y)


def test_the_classifier_tells_of_patches_that_the_user_chose_too_large(digits):
    X, y = digits
    clf = ViTClassifier(patch_size=4, embed_dim=8, depth=1, max_epochs=1)
    with pytest.warns(TrainingWarning, match="cut an image into 4 only"):
        clf.fit(X[:200], y[:200])
    clf.fit(X[:199], y[:199])
    clf.set_params(patch_size="auto").fit(X[:200], y[:200])
    rows = X[:200].reshape(200, -1)[:, :20]  # a table, whose patches are no images
    clf.set_params(patch_size=10).fit(rows, y[:200])


def test_the_classifier_tells_of_another_range(digits):
    X, y = digits
    clf = ViTClassifier(embed_dim=8, depth=1, max_epochs=1, random_state=0)
    clf.fit(X[:100], y[:100])
    clf.predict(X[:20])
    with pytest.warns(TrainingWarning, match="Values reach"):
        clf.predict(X[:20] * 255)
