"""The classifier inside scikit-learn's own tools."""

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - lets the next import find it
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils.fixes import parse_version

from skvit import Architecture, PatchTransformer, Recipe, ViTClassifier

HAS_TEMPERATURE = parse_version(sklearn.__version__) >= parse_version("1.8")
# The second wording is that of older releases.
TWO_AXES = r"Found array with dim 4(, while dim <= 2 is required|\. \w+ expected <= 2)"


def split_then_score(clf, X, y):
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    return clf.fit(X_train, y_train).score(X_test, y_test)


def search(clf, X, y):
    return GridSearchCV(clf, {"depth": [1, 2]}, cv=2).fit(X, y).predict_proba(X)


def halve(resource, n_candidates=2, **limits):
    def act(clf, X, y):
        grid = {"learning_rate": [1e-3, 1e-2]}
        halving = HalvingGridSearchCV(
            clf, grid, resource=resource, factor=2, cv=2, random_state=0, **limits
        )
        halving.fit(X, y)
        assert len(halving.n_resources_) == 2
        return halving.predict_proba(X)

    return act


def wrapped(wrap):
    """Fit what `wrap` makes of a classifier and return its predictions."""

    def act(clf, X, y):
        return wrap(clf).fit(X, y).predict(X)

    return act


def calibrate_frozen(clf, X, y):
    frozen = FrozenEstimator(clf.fit(X[::2], y[::2]))
    return CalibratedClassifierCV(frozen).fit(X[1::2], y[1::2]).predict_proba(X)


def train_on_some_labels(clf, X, y):
    some = np.where(np.arange(len(y)) % 3, y, -1)
    return SelfTrainingClassifier(clf, max_iter=2).fit(X, some).predict(X)


def several_outputs(make):
    def act(clf, X, y):
        return make(clf).fit(X, np.column_stack([y > 0, y > 1])).predict(X)

    return act


def importances(clf, X, y):
    result = permutation_importance(clf.fit(X, y), X, y, n_repeats=1, random_state=0)
    return result.importances_mean


def halves():
    return ColumnTransformer(
        [("top", PCA(4), slice(32)), ("bottom", "passthrough", slice(32, 64))]
    )


# Each entry: what to do with a classifier, and why scikit-learn itself does not do it
# with images of four axes.
MATRIX = {
    "train_test_split": (split_then_score, None),
    "cross_val_score": (lambda clf, X, y: cross_val_score(clf, X, y, cv=2), None),
    "cross_val_predict": (
        lambda clf, X, y: cross_val_predict(clf, X, y, cv=2, method="predict_proba"),
        None,
    ),
    "GridSearchCV": (search, None),
    "HalvingGridSearchCV, images": (halve("n_samples", min_resources=60), None),
    "HalvingGridSearchCV, epochs": (halve("max_epochs", max_resources=2), None),
    "learning_curve": (
        lambda clf, X, y: learning_curve(clf, X, y, cv=2, train_sizes=[0.5, 1.0])[2],
        None,
    ),
    "validation_curve": (
        lambda clf, X, y: validation_curve(
            clf, X, y, cv=2, param_name="depth", param_range=[1, 2]
        )[1],
        None,
    ),
    "permutation_test_score": (
        lambda clf, X, y: permutation_test_score(
            clf, X, y, cv=2, n_permutations=2, random_state=0
        )[1],
        None,
    ),
    "VotingClassifier": (
        wrapped(
            lambda clf: VotingClassifier([("a", clf), ("b", clone(clf))], voting="soft")
        ),
        None,
    ),
    "StackingClassifier": (
        wrapped(
            lambda clf: StackingClassifier([("vit", clf)], LogisticRegression(), cv=2)
        ),
        None,
    ),
    "AdaBoostClassifier": (
        wrapped(lambda clf: AdaBoostClassifier(clf, n_estimators=2, random_state=0)),
        None,
    ),
    "CalibratedClassifierCV, sigmoid": (
        wrapped(lambda clf: CalibratedClassifierCV(clf, cv=2)),
        None,
    ),
    "CalibratedClassifierCV, temperature": (
        wrapped(lambda clf: CalibratedClassifierCV(clf, method="temperature", cv=2)),
        None,
    ),
    "CalibratedClassifierCV, frozen": (calibrate_frozen, None),
    "OneVsRestClassifier": (wrapped(OneVsRestClassifier), None),
    "MultiOutputClassifier": (several_outputs(MultiOutputClassifier), None),
    "TunedThresholdClassifierCV": (
        lambda clf, X, y: (
            TunedThresholdClassifierCV(clf, cv=2).fit(X, y > 0).predict(X)
        ),
        None,
    ),
    "FunctionTransformer": (
        wrapped(lambda clf: make_pipeline(FunctionTransformer(np.sqrt), clf)),
        None,
    ),
    "patches for other estimators": (
        wrapped(
            lambda clf: make_pipeline(
                PatchTransformer(2), PCA(8), LogisticRegression(max_iter=1000)
            )
        ),
        None,
    ),
    "OutputCodeClassifier": (
        wrapped(lambda clf: OutputCodeClassifier(clf, code_size=1, random_state=3)),
        None,
    ),
    "StackingClassifier, passthrough": (
        wrapped(
            lambda clf: StackingClassifier(
                [("vit", clf)],
                LogisticRegression(max_iter=1000),
                cv=2,
                passthrough=True,
            )
        ),
        "all the input array dimensions|must have same number of dimensions",
    ),
    "BaggingClassifier": (
        wrapped(lambda clf: BaggingClassifier(clf, n_estimators=2, random_state=0)),
        TWO_AXES,
    ),
    "OneVsOneClassifier": (wrapped(OneVsOneClassifier), TWO_AXES),
    "ClassifierChain": (several_outputs(ClassifierChain), TWO_AXES),
    "SelfTrainingClassifier": (train_on_some_labels, TWO_AXES),
    "permutation_importance": (importances, TWO_AXES),
    "StandardScaler": (
        wrapped(lambda clf: make_pipeline(StandardScaler(), clf)),
        TWO_AXES,
    ),
    "PCA": (wrapped(lambda clf: make_pipeline(PCA(9), clf)), TWO_AXES),
    "FeatureUnion": (
        wrapped(
            lambda clf: make_pipeline(make_union(PatchTransformer(2), PCA(9)), clf)
        ),
        TWO_AXES,
    ),
    "ColumnTransformer": (
        wrapped(lambda clf: make_pipeline(halves(), clf)),
        "should be a 2D NumPy array, 2D sparse matrix or dataframe",
    ),
}


@pytest.fixture(scope="module")
def three_digits(digits):
    """The first 120 images of zeros, ones and twos, of shape (120, 8, 8)."""
    X, y = digits
    kept = np.flatnonzero(y < 3)[:120]
    return X[kept], y[kept]


def skip_what_is_too_new(name):
    if "temperature" in name and not HAS_TEMPERATURE:
        pytest.skip("scikit-learn calibrates by temperature since 1.8")


def test_size_of_the_matrix():
    assert len(MATRIX) == 31
    assert sum(refusal is None for _, refusal in MATRIX.values()) >= 20


@pytest.mark.parametrize("name", MATRIX)
def test_matrix_with_flat_rows(make_tiny, three_digits, name):
    skip_what_is_too_new(name)
    X, y = three_digits
    act, _ = MATRIX[name]
    outcome = np.asarray(act(make_tiny(), X.reshape(len(X), -1), y), dtype=float)
    assert np.isfinite(outcome).all()


@pytest.mark.parametrize("name", MATRIX)
def test_matrix_with_four_axes(make_tiny, three_digits, name):
    skip_what_is_too_new(name)
    X, y = three_digits
    act, refusal = MATRIX[name]
    if refusal is not None:
        with pytest.raises(ValueError, match=refusal):
            act(make_tiny(), X[..., np.newaxis], y)
        return
    found = act(make_tiny(), X[..., np.newaxis], y)
    expected = act(make_tiny(), X.reshape(len(X), -1), y)
    np.testing.assert_array_equal(found, expected)


# searches


def test_search_over_the_classifier(make_tiny, three_digits):
    X, y = three_digits
    clf = make_tiny(recipe=Recipe(), architecture=Architecture())
    grid = {
        "patch_size": [2, 4],
        "depth": [1, 2],
        "recipe__label_smoothing": [0.0],
        "architecture__qk_norm": [True],
    }
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y)
    assert search.cv_results_["mean_test_score"].shape == (4,)
    best = search.best_estimator_
    assert best.recipe_.patch_size == (best.patch_size, best.patch_size)
    assert best.architecture.qk_norm
    assert not clf.architecture.qk_norm


def test_search_over_patches_and_classifier(make_tiny, three_digits):
    X, y = three_digits
    pipeline = Pipeline(
        [
            ("patches", PatchTransformer(flatten=False)),
            ("vit", make_tiny(patch_size="precomputed")),
        ]
    )
    grid = {"patches__patch_size": [2, 4], "vit__depth": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.cv_results_["mean_test_score"].shape == (4,)
    side = search.best_params_["patches__patch_size"]
    assert search.best_estimator_["vit"].image_shape_ == (64 // side**2, side**2, 1)


def test_both_searches_find_the_same(make_tiny, three_digits):
    X, y = three_digits
    settings = {
        "pos_embed": "learned",
        "pool": "mean",
        "augment": None,
        "precision": "float64",
        "learning_rate": 1e-2,
        "recipe": Recipe(label_smoothing=0.1),
    }
    plain = Architecture(patch_embed="linear", pos_bias="none")
    inside = make_tiny(architecture=plain, **settings)
    before = make_pipeline(
        PatchTransformer(flatten=False),
        make_tiny(patch_size="precomputed", **settings),
    )
    scores = [
        GridSearchCV(estimator, {name: [2, 4]}, cv=3)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for estimator, name in (
            (inside, "patch_size"),
            (before, "patchtransformer__patch_size"),
        )
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"num_heads": [2, 3]}, "`num_heads`=3 does not divide `embed_dim`=16"),
        ({"patch_size": [2, 9]}, r"`patch_size`=\(?9.* 8 x 8 pixels"),
    ],
)
def test_invalid_combinations_score_nothing(make_tiny, three_digits, grid, message):
    search = GridSearchCV(make_tiny(), grid, cv=2)
    with (
        pytest.warns(UserWarning, match="One or more of the test scores are non-fini"),
        pytest.warns(FitFailedWarning, match=message),
    ):
        search.fit(*three_digits)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    with pytest.raises(ValueError, match=message):
        clone(search).set_params(error_score="raise").fit(*three_digits)


# processes and threads


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validation_is_the_same_in_any_number_of_jobs(
    make_tiny, digits, one_thread, n_jobs
):
    X, y = digits
    clf = make_tiny(learning_rate=5e-3, max_epochs=16, batch_size=16)
    by_hand = []
    for fold in range(3):
        test = np.arange(300) % 3 == fold
        fitted = clone(clf).fit(X[:300][~test], y[:300][~test])
        by_hand.append(fitted.score(X[:300][test], y[:300][test]))
    folds = [
        (
            np.flatnonzero(np.arange(300) % 3 != f),
            np.flatnonzero(np.arange(300) % 3 == f),
        )
        for f in range(3)
    ]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        scores = cross_val_score(clf, X[:300], y[:300], cv=folds, n_jobs=n_jobs)
    assert scores.tolist() == by_hand
    assert max(scores) > 0.2


def test_number_of_threads_hardly_matters(make_tiny, digits, one_thread):
    X, y = digits
    X, y = X[:200], y[:200]
    clf = make_tiny(learning_rate=1e-2, embed_dim=32, augment=None)
    one = cross_val_score(clf, X, y, cv=2)
    torch.set_num_threads(2)
    two = cross_val_score(clf, X, y, cv=2)
    assert (np.abs(one - two) * 100 <= 1 + 1e-9).all()


# metadata


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="a pipeline's score asks for requests of its own",
)
@pytest.mark.usefixtures("routing")
def test_weights_and_groups_are_routed(make_tiny, three_digits):
    X, y = three_digits
    weight = np.linspace(0, 2, len(y))
    groups = np.arange(len(y)) % 4
    clf = make_tiny().set_fit_request(sample_weight=True)
    clf.set_score_request(sample_weight=True)
    search = GridSearchCV(
        Pipeline([("vit", clf)]), {"vit__depth": [1]}, cv=GroupKFold(2)
    )
    search.fit(X, y, sample_weight=weight, groups=groups)
    weighted = make_tiny().fit(X, y, sample_weight=weight).predict_proba(X)
    np.testing.assert_array_equal(search.predict_proba(X), weighted)
    plain = make_tiny().fit(X, y).predict_proba(X)
    assert not np.array_equal(weighted, plain)


@pytest.mark.usefixtures("routing")
def test_unrequested_weights_are_refused(make_tiny, three_digits):
    X, y = three_digits
    with pytest.raises(ValueError, match="not explicitly set as requested"):
        cross_val_score(make_tiny(), X, y, params={"sample_weight": np.ones(len(y))})


@pytest.mark.usefixtures("routing")
def test_validation_images_go_through_the_pipeline(make_tiny, three_digits):
    X, y = three_digits
    X = X.reshape(len(X), -1)
    clf = make_tiny(early_stopping=True).set_fit_request(X_val=True, y_val=True)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("vit", clf)], transform_input=["X_val"]
    )
    pipeline.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert pipeline["vit"].best_validation_score_ == pipeline.score(X[80:], y[80:])
    by_hand = make_tiny(early_stopping=True)
    scale = pipeline["scale"].transform
    by_hand.fit(scale(X[:80]), y[:80], X_val=scale(X[80:]), y_val=y[80:])
    assert by_hand.validation_scores_ == pipeline["vit"].validation_scores_


@pytest.mark.usefixtures("routing")
def test_partial_fit_requests(make_tiny):
    clf = make_tiny().set_partial_fit_request(classes=True, sample_weight=True)
    assert clf.get_metadata_routing().partial_fit.requests == {
        "classes": True,
        "sample_weight": True,
    }


# callbacks


@pytest.fixture
def callback():
    """scikit-learn's module of callbacks, where it has one."""
    return pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")


class Watcher:
    """A user's callback: keep what each epoch predicts, stop after the one given."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.probabilities = []
        self.is_over = False

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        self.is_over = True

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.probabilities.append(fitted_estimator.predict_proba(X))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@pytest.mark.usefixtures("callback")
def test_a_callback_stops_training(make_tiny, three_digits):
    X, y = three_digits
    watcher = Watcher(stop_after=2)
    clf = make_tiny(max_epochs=9).set_callbacks(watcher).fit(X, y)
    assert clf.n_epochs_ == len(clf.history_) == 2
    *epochs, whole = watcher.probabilities
    assert len(epochs) == 2
    assert not np.array_equal(*epochs)
    np.testing.assert_array_equal(epochs[-1], whole)
    np.testing.assert_array_equal(clf.predict_proba(X), whole)


@pytest.mark.usefixtures("callback")
def test_watching_changes_nothing(make_tiny, three_digits):
    X, y = three_digits
    alone = make_tiny().fit(X, y)
    watched = make_tiny().set_callbacks(Watcher()).fit(X, y)
    np.testing.assert_array_equal(watched.predict_proba(X), alone.predict_proba(X))
    # What scikit-learn needs during fit does not stay.
    assert vars(watched).keys() - vars(alone).keys() == {"_skl_callbacks"}


class Diarist(Watcher):
    """A callback that keeps what each epoch's estimator tells of itself."""

    def __init__(self):
        super().__init__()
        self.pages = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        told = fitted_estimator
        self.pages.append((told.n_epochs_, told.loss_curve_, told.validation_scores_))
        assert len(told.history_) == len(told.net_.history) == told.n_epochs_
        assert f"epochs           {told.n_epochs_}\n" in told.summary()


@pytest.mark.usefixtures("callback")
def test_a_callback_gets_the_estimator_of_that_moment(make_tiny, three_digits):
    X, y = three_digits
    diarist = Diarist()
    clf = make_tiny(warm_start=True).set_callbacks(diarist)
    clf.fit(X, y, X_val=X, y_val=y).fit(X, y, X_val=X, y_val=y)
    losses, scores = clf.loss_curve_, clf.validation_scores_
    assert diarist.pages == [(n, losses[:n], scores[:n]) for n in (1, 2, 2, 3, 4, 4)]


@pytest.mark.usefixtures("callback")
def test_callbacks_are_torn_down_after_a_failed_fit(make_tiny, three_digits):
    watcher = Watcher()
    clf = make_tiny(learning_rate=1e30).set_callbacks(watcher)
    with pytest.raises(ValueError, match="Training diverged"):
        clf.fit(*three_digits)
    assert watcher.is_over


def test_scores_of_every_epoch_as_a_frame(callback, make_tiny, three_digits):
    X, y = three_digits
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = make_tiny(max_epochs=4).set_callbacks(monitor).fit(X, y)
    frame = monitor.get_logs().data_as_pandas
    epochs = frame[frame["task_name"] == "epoch"]
    assert len(epochs) == 4
    assert epochs["accuracy"].iloc[-1] == clf.score(X, y)


def test_progress_bars_through_a_search(callback, make_tiny, three_digits, capsys):
    pytest.importorskip("rich")
    X, y = three_digits
    pipeline = make_pipeline(StandardScaler(), make_tiny())
    search = GridSearchCV(pipeline, {"vitclassifier__depth": [1, 2]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    search.fit(X.reshape(len(X), -1), y)
    shown = capsys.readouterr().out
    assert "GridSearchCV" in shown
    assert "ViTClassifier" in shown
    assert "100%" in shown


# beside other estimators


def test_images_beside_columns(make_tiny, three_digits):
    X, y = three_digits
    rng = np.random.default_rng(0)
    pixels = [f"pixel{i}" for i in range(64)]
    table = pd.DataFrame(X.reshape(len(X), -1), columns=pixels)
    table["age"] = rng.normal(scale=0.5, size=len(y)) + y
    table["height"] = rng.normal(size=len(y))

    def branch(columns, estimator):
        return make_pipeline(
            ColumnTransformer([("keep", "passthrough", columns)]), estimator
        )

    stack = StackingClassifier(
        [
            ("images", branch(pixels, make_tiny(image_shape=(8, 8)))),
            ("columns", branch(["age", "height"], LogisticRegression())),
        ],
        LogisticRegression(),
        cv=2,
    )
    stack.fit(table, y)
    assert stack.score(table, y) > 0.7
    images = stack.named_estimators_["images"][-1]
    assert images.image_shape_ == (8, 8, 1)
    assert stack.final_estimator_.n_features_in_ == 6


def test_rows_stay_rows(three_digits):
    X, _ = three_digits
    assert len(PatchTransformer(4).fit_transform(X)) == len(X)
    assert len(PatchExtractor(patch_size=(4, 4)).fit_transform(X)) > len(X)


def test_pipeline_of_the_classifier_is_a_classifier(make_tiny, three_digits):
    X, y = three_digits
    pipeline = make_pipeline(FunctionTransformer(), make_tiny())
    names = np.array(["zero", "one", "two"])[y]
    stored = joblib.hash(pipeline.get_params()["vitclassifier"].get_params())
    pipeline.fit(X, names)
    assert pipeline.classes_.tolist() == ["one", "two", "zero"]
    assert joblib.hash(pipeline["vitclassifier"].get_params()) == stored


def test_repr_shows_what_was_set():
    assert repr(ViTClassifier(depth=2, recipe=Recipe(warmup=0.1))) == (
        "ViTClassifier(depth=2, recipe=Recipe(warmup=0.1))"
    )
