import copy
import os
import pickle
import pickletools
import re
import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skvit import (
    Architecture,
    Augment,
    ImageOptions,
    PatchTransformer,
    Recipe,
    ViTClassifier,
)
from skvit._base import BaseViT
from skvit._options import OptionGroup
from skvit.exceptions import TrainingWarning

COPIES = {
    "pickle": lambda clf, folder: pickle.loads(pickle.dumps(clf)),
    "joblib": lambda clf, folder: joblib.load(joblib.dump(clf, folder / "clf")[0]),
    "deepcopy": lambda clf, folder: copy.deepcopy(clf),
    "copy": lambda clf, folder: copy.copy(clf),
}
ON_CALLING = [
    "predict",
    "predict_proba",
    "predict_log_proba",
]


def modules_in_pickle(stored):
    """Top-level names of the modules whose objects a pickle contains."""
    operations = [(op.name, arg) for op, arg, _ in pickletools.genops(stored)]
    strings = {arg for name, arg in operations if isinstance(arg, str)}
    known = {"skvit", "torch", "skorch", "numpy", "pandas", "sklearn"}
    return {text.partition(".")[0] for text in strings} & known


def is_same(clf, other, X):
    """Whether two estimators give the same probabilities, bit for bit."""
    return np.array_equal(clf.predict_proba(X), other.predict_proba(X))


def test_base_is_abstract():
    with pytest.raises(TypeError, match="abstract class BaseViT"):
        BaseViT()


def test_tags():
    tags = ViTClassifier().__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.allow_nan


# copies and pickles


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_copies_of_a_fitted_estimator(make_tiny, few_digits, tmp_path, make_copy):
    X, y = few_digits
    clf = make_tiny(augment=Augment(shift=0.1)).fit(X, y)
    other = make_copy(clf, tmp_path)
    assert is_same(other, clf, X)
    assert other.get_params().keys() == clf.get_params().keys()
    pd.testing.assert_frame_equal(other.history_, clf.history_)
    pd.testing.assert_frame_equal(other.skipped_, clf.skipped_)
    other.fit(X[:50], y[:50])
    assert not is_same(other, clf, X)


def test_clone_of_a_fitted_estimator_is_unfitted(make_tiny, few_digits):
    clf = make_tiny(recipe=Recipe(label_smoothing=0.2)).fit(*few_digits)
    unfitted = clone(clf)
    assert unfitted.get_params()["recipe__label_smoothing"] == 0.2
    assert unfitted.recipe is not clf.recipe
    assert not [name for name in vars(unfitted) if name.endswith("_")]
    with pytest.raises(NotFittedError, match="not fitted yet"):
        unfitted.predict(few_digits[0])


@pytest.mark.parametrize("partial", [False, True])
def test_pickles_are_plain_python_and_numpy(make_tiny, few_digits, partial):
    X, y = few_digits
    clf = make_tiny(device=torch.device("cpu")).set_params(device="cpu")
    clf = clf.partial_fit(X, y, classes=range(10)) if partial else clf.fit(X, y)
    clf.predict(X)
    assert clf.module_ is not None
    assert clf.net_ is not None
    assert modules_in_pickle(pickle.dumps(clf)) >= {"skvit", "numpy"}
    assert not modules_in_pickle(pickle.dumps(clf)) & {"torch", "skorch", "pandas"}


@pytest.mark.parity
def test_skops_stores_a_pipeline(make_tiny, few_digits):
    skops = pytest.importorskip("skops.io")
    X, y = few_digits
    pipeline = make_pipeline(
        PatchTransformer(2, flatten=False), make_tiny(patch_size="precomputed")
    ).fit(X, y.astype(str))
    stored = skops.dumps(pipeline)
    foreign = skops.get_untrusted_types(data=stored)
    assert all(name.startswith("skvit.") for name in foreign)
    again = skops.loads(stored, trusted=foreign)
    assert is_same(again, pipeline, X)
    pd.testing.assert_frame_equal(again[-1].history_, pipeline[-1].history_)


def test_pickles_are_as_small_as_the_weights(make_tiny, few_digits):
    clf = make_tiny(embed_dim=64).fit(*few_digits)
    weights = sum(tensor.nbytes for tensor in clf.module_.state_dict().values())
    assert len(pickle.dumps(clf)) < weights + 20_000


@pytest.mark.parametrize("method", ON_CALLING)
def test_unfitted_methods(method):
    with pytest.raises(NotFittedError, match="ViTClassifier instance is not fitted"):
        getattr(ViTClassifier(), method)(np.zeros((1, 64)))


@pytest.mark.parametrize("name", ["module_", "net_", "device_"])
def test_unfitted_properties(name):
    with pytest.raises(NotFittedError, match="ViTClassifier instance is not fitted"):
        getattr(ViTClassifier(), name)


# parameters


@pytest.mark.parametrize(
    "options", [Architecture(), Recipe(), Augment(shift=0.1), ImageOptions()]
)
def test_fit_changes_no_parameter(make_tiny, few_digits, options):
    name = {ImageOptions: "image_options"}.get(
        type(options), type(options).__name__.lower()
    )
    clf = make_tiny(**{name: options})
    before = clf.get_params()
    stored = pickle.dumps(before)
    clf.fit(*few_digits).partial_fit(*few_digits)
    after = clf.get_params()
    assert pickle.dumps(after) == stored
    assert all(after[key] is value for key, value in before.items())


def test_nothing_is_checked_before_fit():
    clf = ViTClassifier(patch_size=[], depth="deep", recipe=3).set_params(pool=-1)
    assert clf.pool == -1


def test_options_may_be_searched_once_passed(make_tiny, few_digits):
    clf = make_tiny(architecture=Architecture())
    before = clf.fit(*few_digits).predict_proba(few_digits[0])
    clf.set_params(architecture__qk_norm=True).fit(*few_digits)
    assert not np.array_equal(clf.predict_proba(few_digits[0]), before)
    with pytest.raises(ValueError, match="Invalid parameter 'qk'"):
        clf.set_params(architecture__qk=True)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": Recipe(test_views=3)},
        {"recipe": Recipe(test_views=0)},
        {"recipe": "fast"},
        {"image_options": ImageOptions(on_error="ignore")},
        {"image_shape": 8},
        {"channels": "middle"},
        {"precision": "half"},
    ],
)
def test_what_predictions_read_is_checked_as_in_fit(make_tiny, few_digits, change):
    X, y = few_digits
    clf = make_tiny().fit(X, y)
    expected = clf.predict_proba(X)
    (name,) = change
    before = getattr(clf, name)
    clf.set_params(**change)
    with pytest.raises(ValueError, match=r"parameter of \w+ must be") as at_fit:
        clf.fit(X, y)
    with pytest.raises(ValueError, match=re.escape(str(at_fit.value))):
        clf.predict_proba(X)
    clf.set_params(**{name: before})
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_option_objects_check_themselves():
    assert all(
        issubclass(kind, OptionGroup)
        for kind in (Architecture, Recipe, Augment, ImageOptions)
    )
    with pytest.raises(ValueError, match=r"'warmup' parameter of Recipe .* Got 2"):
        ViTClassifier(recipe=Recipe(warmup=2)).fit(np.zeros((4, 64)), [0, 1, 0, 1])


# normalisation


def test_normalisation_is_of_the_training_images(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(precision="float64").fit(X, y)
    np.testing.assert_allclose(clf.channel_mean_, [X.mean()])
    np.testing.assert_allclose(clf.channel_std_, [X.std()])
    moved = make_tiny(precision="float64").fit(X * 3 - 7, y)
    np.testing.assert_allclose(
        moved.predict_proba(X * 3 - 7), clf.predict_proba(X), rtol=1e-9
    )


@pytest.mark.parametrize("early_stopping", [False, True])
def test_values_beyond_float32_train_in_double_precision(
    make_tiny, few_digits, early_stopping
):
    """A power of two changes no digit of a number."""
    X, y = few_digits
    clf = make_tiny(precision="float64", early_stopping=early_stopping)
    for values in (X, X.reshape(len(X), -1)[:, :30]):
        expected = clf.fit(values, y).predict_proba(values)
        large = values * 2.0**200
        found = clf.fit(large, y).predict_proba(large)
        np.testing.assert_array_equal(found, expected)


def test_values_whose_squares_overflow_are_refused(make_tiny, few_digits):
    X, y = few_digits
    with pytest.raises(ValueError, match="squares overflow"):
        make_tiny(precision="float64").fit(X * 1e160, y)


def test_statistics_are_weighted(make_tiny, few_digits):
    X, y = few_digits
    weight = np.linspace(0, 3, len(X))
    clf = make_tiny().fit(X, y, sample_weight=weight)
    mean = np.average(X, axis=0, weights=weight).mean()
    variance = np.average((X - mean) ** 2, axis=0, weights=weight).mean()
    np.testing.assert_allclose(clf.channel_mean_, [mean])
    np.testing.assert_allclose(clf.channel_std_, [np.sqrt(variance)])


def test_colour_is_normalised_per_channel(make_tiny, photo_tiles):
    X, y = photo_tiles
    clf = make_tiny().fit(X, y)
    np.testing.assert_allclose(clf.channel_mean_, X.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(clf.channel_std_, X.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("precomputed", [False, True])
def test_normalisation_may_be_left_out(make_tiny, few_digits, precomputed):
    X, y = few_digits
    settings = {"patch_size": "precomputed"} if precomputed else {}
    options = ImageOptions(normalize=False)
    clf = make_tiny(image_options=options, **settings).fit(X, y)
    assert clf.channel_mean_.tolist() == [0]
    assert clf.channel_std_.tolist() == [1]


# failed fits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 1e30}, "Training diverged: the loss became nan in epoch"),
        ({"num_heads": 3}, "`num_heads`=3 does not divide `embed_dim`=16"),
        ({"depth": 0}, "'depth' parameter"),
        ({"device": "cuda"}, "'cuda' is not present"),
        ({"recipe": Recipe(warmup=7)}, "'warmup' parameter"),
    ],
)
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_failed_fit_changes_nothing(
    make_tiny, few_digits, settings, message, warm_start
):
    X, y = few_digits
    clf = make_tiny(warm_start=warm_start).partial_fit(X, y, classes=range(10))
    expected = clf.predict_proba(X)
    original = {name: getattr(clf, name) for name in settings}
    before = pickle.dumps(clf)
    clf.set_params(**settings)
    with pytest.raises(ValueError, match=message):
        clf.fit(X[:60], y[:60])
    assert pickle.dumps(clf.set_params(**original)) == before
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_a_failed_first_fit_leaves_nothing(few_digits):
    X, y = few_digits
    # A single update diverges after its loss was computed.
    clf = ViTClassifier(max_epochs=1, batch_size=200, learning_rate=1e30)
    with pytest.raises(ValueError, match="Training diverged"):
        clf.fit(X, y)
    assert vars(clf).keys() == vars(ViTClassifier()).keys()


def test_a_bad_part_of_a_stream_changes_nothing(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().partial_fit(X, y, classes=range(10))
    before = pickle.dumps(clf)
    for bad_X, bad_y, message in (
        (X * np.nan, y, "Input X contains NaN"),
        (X, y + 1, "labels that are not among"),
        (X[:, 1:], y, "does not hold images"),
    ):
        with pytest.raises(ValueError, match=message):
            clf.partial_fit(bad_X, bad_y)
        assert pickle.dumps(clf) == before


def test_fit_forgets_the_state_of_another_fit(make_tiny, few_digits):
    X, y = few_digits
    frame = pd.DataFrame(X.reshape(-1, 64)).add_prefix("p")
    clf = make_tiny().fit(frame, y)
    assert hasattr(clf, "feature_names_in_")
    assert not hasattr(clf.fit(X, y), "feature_names_in_")


class Short(ViTClassifier):
    """A classifier of a few settings, which remembers how often it was fitted."""

    def __init__(self, embed_dim=16, fail=False):
        super().__init__(embed_dim=embed_dim, max_epochs=1, random_state=0)
        self.fail = fail

    def fit(self, X, y):
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        return super().fit(X * np.nan if self.fail else X, y)


def test_a_subclass_with_its_own_parameters_and_attributes(few_digits):
    X, y = few_digits
    clf = clone(Short()).fit(X, y)
    expected = ViTClassifier(embed_dim=16, max_epochs=1, random_state=0).fit(X, y)
    assert is_same(clf, expected, X)
    assert clf.fit(X, y).n_fits_ == 2
    with pytest.raises(ValueError, match="Input X contains NaN"):
        clf.set_params(fail=True).fit(X, y)
    assert is_same(clf, expected, X)


@pytest.mark.parametrize("warm_start", [False, True])
def test_attributes_of_others_stay(make_tiny, few_digits, warm_start):
    X, y = few_digits
    clf = make_tiny(warm_start=warm_start)
    for note in ("before", "between", "again"):
        clf.note, clf.seen_ = note, [note]
        clf.fit(X, y)
        assert (clf.note, clf.seen_) == (note, [note])
        clf.partial_fit(X, y)
        assert (clf.note, clf.seen_) == (note, [note])


# devices


@pytest.fixture
def cuda_seems_present(monkeypatch):
    """Let CUDA seem to be there, for resolving names; computing would fail."""
    monkeypatch.delenv("SKVIT_DISABLE_ACCELERATORS")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)


def test_device_is_resolved_when_asked_for(make_tiny, few_digits, cuda_seems_present):
    clf = make_tiny(device="cpu").fit(*few_digits)
    assert clf.device_ == torch.device("cpu")
    assert clf.set_params(device="auto").device_ == torch.device("cuda")
    os.environ["SKVIT_DISABLE_ACCELERATORS"] = "1"
    assert clf.device_ == torch.device("cpu")


def test_estimator_of_another_machine(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X, y)
    expected = clf.predict_proba(X)
    clf = pickle.loads(pickle.dumps(clf.set_params(device="cuda:1")))
    message = r"'cuda:1' is not present; present here: cpu.*set_params\(device="
    for act in (clf.predict, clf.predict_proba, lambda X: clf.module_):
        with pytest.raises(ValueError, match=message):
            act(X)
    assert clf.classes_.tolist() == list(range(10))
    clf.set_params(device="auto")
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"])
def test_devices_as_name_or_object(make_tiny, few_digits, device):
    clf = make_tiny(device=device).fit(*few_digits)
    assert clf.device_ == next(clf.module_.parameters()).device == torch.device("cpu")


@pytest.mark.parametrize("device", ["xpu", "mps", "cuda:3", torch.device("cuda")])
def test_absent_devices(make_tiny, few_digits, device):
    with pytest.raises(ValueError, match="is not present; present here: cpu"):
        make_tiny(device=device).fit(*few_digits)


@pytest.mark.gpu
def test_a_fit_on_an_accelerator_runs_on_the_cpu(
    make_tiny, few_digits, device, monkeypatch
):
    X, y = few_digits
    clf = make_tiny(precision="float32").fit(X, y)
    assert clf.device_.type == device
    expected = clf.predict_proba(X)
    monkeypatch.setenv("SKVIT_DISABLE_ACCELERATORS", "1")
    clf = pickle.loads(pickle.dumps(clf))
    assert clf.device_.type == "cpu"
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-4)


# precision


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("float32", torch.float32),
        ("bfloat16", torch.float32),
        ("float64", torch.float64),
    ],
)
def test_precision(make_tiny, few_digits, precision, dtype):
    X, y = few_digits
    clf = make_tiny(precision=precision).fit(X, y)
    assert next(clf.module_.parameters()).dtype == dtype
    probabilities = clf.predict_proba(X)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    exact = make_tiny(precision="float64").fit(X, y).predict_proba(X)
    np.testing.assert_allclose(probabilities, exact, atol=2e-3)


# seeds


def test_seeds(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X, y)
    assert is_same(make_tiny().fit(X, y), clf, X)
    assert is_same(clone(clf).fit(X, y), clf, X)
    assert not is_same(make_tiny(random_state=1).fit(X, y), clf, X)
    unseeded = make_tiny(random_state=None)
    assert not is_same(unseeded.fit(X, y), clone(unseeded).fit(X, y), X)


def test_random_state_instances_are_drawn_from(make_tiny, few_digits):
    X, y = few_digits
    state = np.random.RandomState(3)
    clf = make_tiny(random_state=state)
    first = clf.fit(X, y).predict_proba(X)
    assert not np.array_equal(clf.fit(X, y).predict_proba(X), first)
    again = make_tiny(random_state=np.random.RandomState(3)).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), first)


@pytest.fixture
def _global_generators_restored():
    """Leave the generators of NumPy and PyTorch as they were before the test."""
    state = np.random.get_state()  # noqa: NPY002 - the global one is meant
    with torch.random.fork_rng():
        yield
    np.random.set_state(state)  # noqa: NPY002 - the global one is meant


@pytest.mark.usefixtures("_global_generators_restored")
@pytest.mark.parametrize("random_state", [0, None])
def test_global_generators_are_left_alone(make_tiny, few_digits, random_state):
    X, y = few_digits
    stop = threading.Event()
    drawn = [], []

    def draw():
        while not stop.is_set() or not drawn[0]:
            drawn[0].append(torch.rand(1).item())
            drawn[1].append(np.random.rand())  # noqa: NPY002 - the global one is meant

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global one is meant
    beside = threading.Thread(target=draw)
    beside.start()
    clf = make_tiny(
        architecture=Architecture(drop_rate=0.1, patch_drop_rate=0.1),
        augment=Augment(shift=0.1, mixup=0.2, cutmix=1.0, erase=0.5),
        drop_path_rate=0.1,
        early_stopping=True,
        random_state=random_state,
    )
    clf.fit(X, y % 2).predict_proba(X)
    stop.set()
    beside.join()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global one is meant
    n = len(drawn[0])
    assert drawn[0] == [torch.rand(1).item() for _ in range(n)]
    assert drawn[1] == [np.random.rand() for _ in range(n)]  # noqa: NPY002 - as above


def fit_and_predict(clf, X, y):
    """Probabilities of a clone, with the number of threads it was fitted in."""
    torch.set_num_threads(1)
    return clone(clf).fit(X, y).predict_proba(X)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_loops_threads_and_processes_agree(make_tiny, few_digits, one_thread, backend):
    X, y = few_digits
    clf = make_tiny(drop_path_rate=0.1)
    expected = clf.fit(X, y).predict_proba(X)
    with joblib.parallel_config(backend, n_jobs=2):
        found = joblib.Parallel()(
            joblib.delayed(fit_and_predict)(clf, X, y) for _ in range(3)
        )
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, expected)


def test_threads_may_predict_with_one_estimator(make_tiny, few_digits):
    X, y = few_digits
    fitted = make_tiny().fit(X, y)
    expected = fitted.predict_proba(X)
    clf = pickle.loads(pickle.dumps(fitted))
    found = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(clf.predict_proba)(X) for _ in range(8)
    )
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, expected)


# manners


def test_nothing_is_written_or_printed(
    make_tiny, few_digits, tmp_path, monkeypatch, capfd
):
    X, y = few_digits
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = make_tiny(early_stopping=True).fit(X, y % 2)
        clf.score(X, y % 2)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_tables_of_any_width(make_tiny):
    rng = np.random.default_rng(0)
    for n_features in (1, 2, 3, 4, 9, 10, 30, 49, 100):
        X = rng.normal(size=(20, n_features))
        clf = make_tiny().fit(X, X[:, 0] > 0)
        assert clf.n_features_in_ == n_features
        is_image = n_features == 100
        assert clf.image_spec_.kind == ("image" if is_image else "table")
        assert clf.image_shape_ == ((10, 10, 1) if is_image else (1, n_features, 1))


def test_sequences_of_patches(make_tiny, few_digits):
    X, y = few_digits
    patches = PatchTransformer(4, flatten=False).fit_transform(X)
    clf = make_tiny(patch_size="precomputed").fit(patches, y)
    assert clf.image_spec_.kind == "sequence"
    assert clf.n_features_in_ == 64
    flat = patches.reshape(len(X), -1)
    np.testing.assert_array_equal(clf.predict_proba(flat), clf.predict_proba(patches))
    with pytest.raises(ValueError, match=r"4 patches of 12 values.*4 patches of 16"):
        clf.predict(patches[..., :12])


@pytest.mark.parametrize("kind", ["table", "sequence"])
def test_only_images_have_shifted_views(make_tiny, few_digits, kind):
    X, y = few_digits
    patch_size = "auto" if kind == "table" else "precomputed"
    shape = (-1, 30) if kind == "table" else (-1, 6, 5)
    X = X.reshape(len(X), -1)[:, :30].reshape(shape)
    message = f"`test_views`=5 shifts images, but X is a {kind} of .* Use test_views=1"
    clf = make_tiny(patch_size=patch_size, recipe=Recipe(test_views=5))
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    clf.set_params(recipe__test_views=1).fit(X, y).predict(X)
    with pytest.raises(ValueError, match=message):
        clf.set_params(recipe__test_views=5).predict(X)


def test_values_beyond_single_precision_are_refused_at_predict(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X, y)
    huge = X[:2].copy()
    huge[0, 0, 0] = 1e38
    with (
        pytest.warns(TrainingWarning, match="Values reach"),
        pytest.raises(ValueError, match="not finite: values are too large for float"),
    ):
        clf.predict_proba(huge)


def test_long_doubles_are_doubles(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X.astype(np.longdouble), y)
    expected = make_tiny().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(X.astype(np.longdouble)), expected)
