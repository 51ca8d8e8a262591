import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, make_scorer

from skvit import Architecture, Recipe, ViTClassifier

LETTERS = np.array(list("abcdefghij"))


# validation and early stopping


def test_nothing_is_held_out_by_default(make_tiny, few_digits):
    clf = make_tiny().fit(*few_digits)
    assert clf.validation_scores_ is None
    assert clf.best_validation_score_ is None
    assert list(clf.history_) == [
        "epoch",
        "train_loss",
        "learning_rate",
        "images_per_second",
        "seconds",
    ]


def test_validation_without_early_stopping_only_watches(make_tiny, few_digits, fitted):
    X, y = few_digits
    clf = make_tiny(n_iter_no_change=1).fit(X, y, X_val=X[:30], y_val=y[:30])
    np.testing.assert_array_equal(clf.predict_proba(X), fitted[1])
    assert clf.validation_scores_[-1] == clf.score(X[:30], y[:30])
    assert clf.history_["valid_score"].tolist() == clf.validation_scores_
    assert clf.best_validation_score_ == max(clf.validation_scores_)


def test_best_score_is_of_all_runs(make_tiny, few_digits):
    X, y = few_digits
    scores = iter([0.5, 0.8, 0.2, 0.1])
    clf = make_tiny(warm_start=True, scoring=lambda *_: next(scores))
    clf.fit(X, y, X_val=X, y_val=y)
    assert clf.best_validation_score_ == 0.8
    clf.fit(X, y, X_val=X, y_val=y)
    assert clf.validation_scores_ == [0.5, 0.8, 0.2, 0.1]
    assert clf.best_validation_score_ == 0.8
    clf.partial_fit(X, y)
    assert clf.best_validation_score_ == 0.8


def test_scores_that_are_no_numbers_have_no_best(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(scoring=lambda *_: np.nan).fit(X, y, X_val=X, y_val=y)
    assert clf.best_validation_score_ is None


def test_validation_images_in_another_form(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(
        X, LETTERS[y], X_val=X[:30].reshape(-1, 64).tolist(), y_val=LETTERS[y[:30]]
    )
    assert clf.validation_scores_[-1] == clf.score(X[:30], LETTERS[y[:30]])


def test_early_stopping_restores_the_best_weights(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(
        early_stopping=True,
        max_epochs=60,
        n_iter_no_change=2,
        tol=0.0,
        optimizer="adamw",
        learning_rate=0.1,
    ).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    scores = clf.validation_scores_
    assert clf.n_epochs_ == len(scores) < 60
    assert max(scores) > scores[-1]
    assert clf.score(X[80:], y[80:]) == clf.best_validation_score_ == max(scores)
    # It ended once the patience was used up, and not before.
    best = int(np.argmax(scores))
    assert clf.n_epochs_ >= best + 1 + 2


def test_early_stopping_holds_out_a_fraction(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(early_stopping=True, validation_fraction=0.25).fit(X, y % 2)
    # Accuracies of 30 images are thirtieths.
    thirtieths = np.array(clf.validation_scores_) * 30
    np.testing.assert_allclose(thirtieths, thirtieths.round(), atol=1e-9)
    assert clf.channel_mean_ != make_tiny().fit(X, y % 2).channel_mean_
    last = clf.history_.iloc[-1]
    assert round(last["images_per_second"] * last["seconds"]) == 120 - 30


def test_the_seed_chooses_what_is_held_out(make_tiny, few_digits):
    X, _ = few_digits
    held_out = []

    def score(estimator, X_val, y_val):
        held_out.append((X_val, np.bincount(y_val).tolist()))
        return 0.0

    for seed in (0, 0, 1):
        clf = make_tiny(early_stopping=True, validation_fraction=0.25, max_epochs=1)
        clf.set_params(scoring=score, random_state=seed).fit(X, np.arange(120) % 3)
    (first, counts), (again, _), (other, _) = held_out
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    assert counts == [10, 10, 10]


@pytest.mark.parametrize(
    "scoring",
    ["neg_log_loss", make_scorer(log_loss, response_method="predict_proba")],
)
def test_scoring(make_tiny, few_digits, scoring):
    X, y = few_digits
    clf = make_tiny(scoring=scoring).fit(X, y, X_val=X, y_val=y)
    loss = log_loss(y, clf.predict_proba(X))
    assert abs(clf.validation_scores_[-1]) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_scoring_function_sees_images_and_what_is_known(
    make_tiny, few_digits, early_stopping
):
    X, y = few_digits
    frame = pd.DataFrame(X.reshape(-1, 64)).add_prefix("pixel")

    def share_of_dark_images(estimator, X, y):
        assert estimator.classes_.tolist() == [0, 1]
        assert estimator.n_features_in_ == X[0].size == 64
        assert estimator.feature_names_in_[-1] == "pixel63"
        assert len(estimator.predict(X)) == len(X) == len(y)
        return np.mean([image.mean() < 4.9 for image in X])

    clf = make_tiny(scoring=share_of_dark_images, early_stopping=early_stopping)
    given = {} if early_stopping else {"X_val": frame, "y_val": y % 2}
    clf.fit(frame, y % 2, **given)
    expected = (X.mean(axis=(1, 2)) < 4.9).mean()
    assert clf.validation_scores_[0] == pytest.approx(expected, abs=0.3)
    if not early_stopping:
        assert clf.validation_scores_ == [expected] * 2


def test_validation_weights(make_tiny, few_digits):
    X, y = few_digits
    weight = np.linspace(0, 1, len(y))
    clf = make_tiny().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    assert clf.validation_scores_[-1] == pytest.approx(
        clf.score(X, y, sample_weight=weight)
    )


@pytest.mark.parametrize("scale", [1, 2, 1000])
def test_validation_loss_is_a_weighted_mean(make_tiny, few_digits, scale):
    X, y = few_digits
    weight = scale * np.linspace(0, 1, len(y))
    clf = make_tiny(recipe=Recipe(label_smoothing=0.0))
    clf.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    loss = log_loss(y, clf.predict_proba(X), sample_weight=weight)
    assert clf.history_["valid_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)


def test_scale_of_weights_does_not_matter_for_held_out_images(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(early_stopping=True)
    small, large = (
        clf.fit(X, y % 2, sample_weight=weight).history_ for weight in (None, 1000.0)
    )
    np.testing.assert_allclose(small["valid_loss"], large["valid_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"X_val": X}, "only `X_val` was given"),
        (lambda X, y: {"y_val": y}, "only `y_val` was given"),
        (lambda X, y: {"sample_weight_val": y}, "`sample_weight_val` needs `X_val`"),
        (lambda X, y: {"X_val": X, "y_val": y[:5]}, "inconsistent numbers of samples"),
        (lambda X, y: {"X_val": X * np.nan, "y_val": y}, "Input X contains NaN"),
        (lambda X, y: {"X_val": X[:, :7], "y_val": y}, "does not hold images of 8 x 8"),
        (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, r"0 sample\(s\)"),
        (
            lambda X, y: {"X_val": X, "y_val": y + 5},
            r"y_val has labels .* not among .*: \[10, 11, 12, 13, 14\]; known are \[0,",
        ),
        (
            lambda X, y: {"X_val": X, "y_val": y.astype(str)},
            "y_val has labels of type <U.*Give both as text or both as numbers",
        ),
        (
            lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": y[:3]},
            r"sample_weight.shape == \(3,\)",
        ),
    ],
)
def test_validation_data_that_is_refused(few_digits, change, message):
    X, y = few_digits
    with pytest.raises(ValueError, match=message):
        ViTClassifier().fit(X, y, **change(X, y))


def test_scores_that_do_not_exist_are_refused_before_training(few_digits):
    X, y = few_digits
    clf = ViTClassifier(early_stopping=True, scoring="goodness")
    with pytest.raises(ValueError, match="'goodness' is not a valid scoring value"):
        clf.fit(X, y)


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        (np.repeat([10, 20, 30], [60, 59, 1]), 0.1, "3 classes, of which 30 has 1."),
        (np.repeat(["a", "b"], [80, 40]), 0.001, "2 classes, of which 'b' has 40."),
        (np.repeat(["a", "b"], [80, 40]), 0.999, "2 classes, of which 'b' has 40."),
    ],
)
def test_too_few_images_to_hold_out(few_digits, labels, fraction, message):
    clf = ViTClassifier(early_stopping=True, validation_fraction=fraction)
    expected = f"`validation_fraction`={fraction} of 120 images .* {message} .*`X_val`"
    with pytest.raises(ValueError, match=expected):
        clf.fit(few_digits[0], labels)


# warm start and partial fit


def test_warm_start_goes_on(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(warm_start=True).fit(X, y)
    mean, losses = clf.channel_mean_, clf.loss_curve_
    clf.fit(X[:80], y[:80])
    assert clf.n_epochs_ == 4
    assert clf.loss_curve_[:2] == losses
    assert clf.history_["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(clf.channel_mean_, mean)
    cold = make_tiny(max_epochs=1).fit(X[:80], y[:80])
    assert clf.loss_curve_[2] != cold.loss_curve_[0]


def test_warm_start_begins_with_the_weights(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(warm_start=True, learning_rate=1e-12).fit(X, y)
    before = clf.predict_proba(X)
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), before, rtol=1e-6)


def test_fit_without_warm_start_begins_anew(make_tiny, few_digits, fitted):
    X, y = few_digits
    clf = make_tiny().fit(X[:60], y[:60] % 3)
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), fitted[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda clf, X, y: clf.set_params(embed_dim=32).fit(X, y),
            "`embed_dim` is 32, but was 16. Restore them, or fit a clone",
        ),
        (lambda clf, X, y: clf.fit(X, y + 1), r"not among the classes .*: \[10\]"),
        (lambda clf, X, y: clf.fit(X[:, 1:], y), "does not hold images of 8 x 8"),
    ],
)
def test_warm_start_with_other_networks_is_refused(
    make_tiny, few_digits, change, message
):
    clf = make_tiny(warm_start=True).fit(*few_digits)
    with pytest.raises(ValueError, match=message):
        change(clf, *few_digits)


@pytest.mark.parametrize("sizes", [(60, 120), (120, 60)])
def test_warm_start_keeps_the_size_of_the_network(few_digits, monkeypatch, sizes):
    monkeypatch.setattr("skvit._recipe._WIDTH", ((0, 16),))
    monkeypatch.setattr("skvit._recipe._WIDTH_FACTOR", ((0, 1), (100, 2)))
    monkeypatch.setattr("skvit._recipe._EXTRA_DEPTH", ((0, 0), (100, 1)))
    X, y = few_digits
    first, second = ((X[:size], y[:size] % 2) for size in sizes)
    clf = ViTClassifier(max_epochs=1, warm_start=True, random_state=0).fit(*first)
    names = ("embed_dim", "depth", "num_heads", "learning_rate")
    chosen = [getattr(clf.recipe_, name) for name in names]
    clf.fit(*second)
    assert [getattr(clf.recipe_, name) for name in names] == chosen
    fresh = clone(clf).fit(*second).recipe_
    assert (fresh.embed_dim, fresh.depth) != tuple(chosen[:2])


def test_warm_start_may_see_more_or_fewer_patches(make_tiny, few_digits):
    clf = make_tiny(warm_start=True).fit(*few_digits)
    clf.set_params(architecture=Architecture(patch_drop_rate=0.5)).fit(*few_digits)
    assert clf.recipe_.patch_drop_rate == clf.module_.config.patch_drop_rate == 0.5
    clf.partial_fit(*few_digits)
    assert clf.recipe_.patch_drop_rate == 0.5
    clf.set_params(architecture=Architecture()).partial_fit(*few_digits)
    assert clf.recipe_.patch_drop_rate == clf.module_.config.patch_drop_rate == 0


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_partial_fit_goes_on_through_pickles(make_tiny, few_digits, optimizer):
    X, y = few_digits
    settings = {"optimizer": optimizer, "batch_size": 32}
    straight = make_tiny(**settings).partial_fit(X, y, classes=range(10))
    stored = pickle.dumps(straight)
    straight.partial_fit(X, y).partial_fit(X, y)
    for _ in range(2):
        stored = pickle.dumps(pickle.loads(stored).partial_fit(X, y))
    np.testing.assert_array_equal(
        pickle.loads(stored).predict_proba(X), straight.predict_proba(X)
    )
    # The optimizer's state is what makes it go on: without it, the weights differ.
    fresh = make_tiny(**settings, warm_start=True, max_epochs=1)
    for _ in range(3):
        fresh.fit(X, y)
    assert not np.array_equal(fresh.predict_proba(X), straight.predict_proba(X))


def test_partial_fit_is_one_pass_at_a_constant_rate(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(learning_rate=1e-3).partial_fit(X, y, classes=range(10))
    mean, recipe = clf.channel_mean_, clf.recipe_
    for part in (slice(60), slice(60, 120)):
        clf.partial_fit(X[part] + 1, y[part])
    assert clf.n_epochs_ == 3
    assert clf.history_["epoch"].tolist() == [1, 2, 3]
    assert clf.history_["learning_rate"].tolist()[1:] == [1e-3, 1e-3]
    np.testing.assert_array_equal(clf.channel_mean_, mean)
    assert clf.recipe_ == recipe


def test_partial_fit_warms_up_once_whatever_the_size_of_later_parts(
    make_tiny, few_digits
):
    X, y = few_digits
    clf = make_tiny(max_epochs=40, batch_size=10, learning_rate=0.01)
    sizes = np.array([20, 10, 120, 10, 60])
    for size in sizes:
        clf.partial_fit(X[:size], y[:size], classes=range(10))
        clf = pickle.loads(pickle.dumps(clf))
    warmup = 0.05 * 40 * 20 / 10  # of the updates of 40 epochs of the first part
    expected = 0.01 * np.minimum(sizes.cumsum() / 10 / warmup, 1)
    np.testing.assert_allclose(clf.history_["learning_rate"], expected)


def test_a_warm_fit_after_partial_fit_has_a_schedule_of_its_own(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(warm_start=True, batch_size=30)
    clf.partial_fit(X, y, classes=range(10)).fit(X, y)
    alone = make_tiny(batch_size=30).fit(X, y)
    rates = alone.history_["learning_rate"].tolist()
    assert clf.history_["learning_rate"].tolist()[1:] == rates


def test_partial_fit_learns_from_a_stream(make_tiny, digits):
    X, y = digits
    clf = make_tiny(learning_rate=5e-3, batch_size=32)
    for _ in range(4):
        for start in range(0, 1200, 200):
            part = slice(start, start + 200)
            clf.partial_fit(X[part], y[part], classes=range(10))
    assert clf.score(X[1200:], y[1200:]) > 0.6


def test_partial_fit_knows_classes_that_come_later(make_tiny, few_digits):
    X, y = few_digits
    low = y < 5
    clf = make_tiny().partial_fit(X[low], LETTERS[y[low]], classes=LETTERS[::-1])
    assert clf.classes_.tolist() == LETTERS.tolist()
    clf.partial_fit(X[~low], LETTERS[y[~low]], classes=LETTERS)
    assert clf.predict_proba(X).shape == (120, 10)


def test_partial_fit_after_fit(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X, y).partial_fit(X, y)
    assert clf.n_epochs_ == 3


def test_partial_fit_keeps_class_weights_in_every_part(make_tiny, few_digits):
    X, y = few_digits
    settings = {"optimizer": "sgd", "precision": "float64", "augment": None}
    one = y == 1
    weighted = make_tiny(class_weight={0: 1.0, 1: 3.0, 2: 1.0}, **settings)
    by_hand = make_tiny(**settings)
    for clf, weight in ((weighted, None), (by_hand, np.full(one.sum(), 3.0))):
        clf.partial_fit(X[y == 0], y[y == 0], classes=range(10))
        clf.partial_fit(X[one], y[one], sample_weight=weight)
    np.testing.assert_array_equal(weighted.predict_proba(X), by_hand.predict_proba(X))
    even = make_tiny(**settings).partial_fit(X[y == 0], y[y == 0], classes=range(10))
    even.partial_fit(X[one], y[one])
    assert not np.array_equal(even.predict_proba(X), weighted.predict_proba(X))


@pytest.mark.parametrize(
    ("settings", "classes", "message"),
    [
        ({}, None, "classes must be passed on the first call to partial_fit"),
        ({}, range(9), r"y has labels that are not among .*: \[9\]"),
        ({}, [0.5, 1.5], "Unknown label type: continuous"),
        ({"early_stopping": True}, range(10), "does not support early_stopping=True"),
        (
            {"class_weight": "balanced"},
            range(10),
            "class_weight='balanced' is not supported for partial_fit",
        ),
    ],
)
def test_partial_fit_refuses(few_digits, settings, classes, message):
    with pytest.raises(ValueError, match=message):
        ViTClassifier(**settings).partial_fit(*few_digits, classes=classes)


def test_partial_fit_refuses_other_classes_later(make_tiny, few_digits):
    clf = make_tiny().partial_fit(*few_digits, classes=range(10))
    with pytest.raises(ValueError, match="not the same as on the first call"):
        clf.partial_fit(*few_digits, classes=range(11))
