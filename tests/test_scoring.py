import numpy as np
import pytest
from sklearn import metrics
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_is_fitted

from skvit._scoring import PredictedClassifier, make_score, probabilities

CLASSES = np.array(["ant", "bee", "cat"])
KNOWN = {"classes_": CLASSES, "n_features_in_": 4}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2, 2, 1))
LOGITS = RNG.normal(size=(40, 3)).astype("f4")
Y = CLASSES[RNG.integers(3, size=40)]
WEIGHT = RNG.uniform(0.5, 2, size=40)
weighted = pytest.mark.parametrize("weight", [None, WEIGHT])


def shares(logits):
    """Return softmax, one row at a time."""
    rows = [np.exp(row.astype("f8") - row.max()) for row in logits]
    return np.array([row / row.sum() for row in rows])


def test_probabilities_are_the_softmax_in_doubles():
    np.testing.assert_allclose(probabilities(LOGITS), shares(LOGITS), rtol=1e-12)
    far = probabilities(np.array([[1000.0, 0.0], [-1000.0, 0.0]], dtype="f4"))
    np.testing.assert_array_equal(far, [[1, 0], [0, 1]])
    assert far.dtype == np.float64
    np.testing.assert_array_equal(probabilities(np.ones((4, 1))), np.ones((4, 1)))


@weighted
def test_no_scoring_is_accuracy(weight):
    score = make_score(None, KNOWN, X, Y, weight)
    right = np.array([CLASSES[row.argmax()] for row in LOGITS]) == Y
    assert score(LOGITS) == pytest.approx(np.average(right, weights=weight))


@weighted
@pytest.mark.parametrize(
    ("scoring", "metric"),
    [
        ("accuracy", lambda p, w: metrics.accuracy_score(Y, label(p), sample_weight=w)),
        ("neg_log_loss", lambda p, w: -metrics.log_loss(Y, p, sample_weight=w)),
        (
            "f1_macro",
            lambda p, w: metrics.f1_score(
                Y, label(p), average="macro", sample_weight=w
            ),
        ),
        (
            "balanced_accuracy",
            lambda p, w: metrics.balanced_accuracy_score(Y, label(p), sample_weight=w),
        ),
        (
            "roc_auc_ovr",
            lambda p, w: metrics.roc_auc_score(
                Y, p, multi_class="ovr", sample_weight=w
            ),
        ),
    ],
)
def test_scorers_by_name(scoring, metric, weight):
    expected = metric(shares(LOGITS), weight)
    for given in (scoring, get_scorer(scoring)):
        assert make_score(given, KNOWN, X, Y, weight)(LOGITS) == pytest.approx(expected)


def label(shown):
    return CLASSES[shown.argmax(axis=1)]


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_brier_score"])
def test_binary_scorers_take_the_second_class_for_positive(scoring):
    logits, y = LOGITS[:, :2], np.where(Y == "ant", 3, 7)
    positive = shares(logits)[:, 1]
    expected = {
        "roc_auc": metrics.roc_auc_score(y == 7, positive),
        "neg_brier_score": -np.mean((positive - (y == 7)) ** 2),
    }
    score = make_score(scoring, {"classes_": np.array([3, 7])}, X, y, None)
    assert score(logits) == pytest.approx(expected[scoring])


@weighted
def test_a_users_function_scores_like_any_estimator(weight):
    def mean_certainty(estimator, X, y, sample_weight=None):
        assert X.shape == (len(y), 2, 2, 1)
        assert X[0].size == estimator.n_features_in_
        certainty = estimator.predict_proba(X).max(axis=1)
        return np.average(certainty, weights=sample_weight)

    expected = np.average(shares(LOGITS).max(axis=1), weights=weight)
    score = make_score(mean_certainty, KNOWN, X, Y, weight)
    assert score(LOGITS) == pytest.approx(expected)


def test_unknown_names_are_refused_before_training():
    with pytest.raises(ValueError, match="'accurracy' is not a valid scoring value"):
        make_score("accurracy", KNOWN, X, Y, None)


def test_the_stand_in_is_a_fitted_classifier():
    stand_in = PredictedClassifier(KNOWN, X, LOGITS)
    check_is_fitted(stand_in)
    assert stand_in.fit(None, Y) is stand_in
    assert is_classifier(stand_in)
    assert stand_in.classes_ is CLASSES
    assert stand_in.predict(X).tolist() == label(LOGITS).tolist()


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_the_stand_in_refuses_other_images(method):
    stand_in = PredictedClassifier(KNOWN, X, LOGITS)
    for other in (X[::-1], X[:5], None):
        with pytest.raises(ValueError, match="Pass X to its methods as `scoring` gets"):
            getattr(stand_in, method)(other)
