import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.fixes import parse_version

from skvit import Augment, ViTClassifier
from skvit._classifier import check_labels
from skvit._training import Runtime

before_1_9 = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="scikit-learn itself does not look at this yet",
)

LETTERS = np.array(list("abcdefghij"))

IMAGE_FORMS = {
    "uint8": lambda X: X.astype(np.uint8),
    "uint16, big-endian": lambda X: X.astype(">u2"),
    "uint64": lambda X: X.astype(np.uint64),
    "int8": lambda X: X.astype(np.int8),
    "int64": lambda X: X.astype(np.int64),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "float64, big-endian": lambda X: X.astype(">f8"),
    "Fortran order": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=2)[:, :, ::2],
    "reversed twice": lambda X: X[:, ::-1].copy()[:, ::-1],
    "channels last": lambda X: X[..., np.newaxis],
    "channels first": lambda X: X[:, np.newaxis],
    "flat": lambda X: X.reshape(-1, 64),
    "flat objects": lambda X: X.reshape(-1, 64).astype(object),
    "list": lambda X: X.tolist(),
    "tuple of arrays": tuple,
    "tensor": torch.tensor,
    "tensor of bytes": lambda X: torch.tensor(X.astype(np.uint8)),
    "tensor in bfloat16": lambda X: torch.tensor(X).bfloat16(),
    "tensor with gradient": lambda X: torch.tensor(X, requires_grad=True),
    "list of tensors": lambda X: list(torch.tensor(X)),
}

LABEL_FORMS = {
    "strings": lambda y: LETTERS[y],
    "string objects": lambda y: LETTERS[y].astype(object),
    "ints from 7": lambda y: y + 7,
    "ints with gaps": lambda y: y * 3 - 5,
    "bytes": lambda y: y.astype(np.uint8),
    "floats": lambda y: y.astype(float),
    "list": lambda y: y.tolist(),
    "pandas": lambda y: pd.Series(y, index=np.arange(len(y)) + 500),
    "pandas strings": lambda y: pd.Series(LETTERS[y], dtype="string"),
    "pandas categories": lambda y: pd.Series(LETTERS[y], dtype="category"),
    "polars": pl.Series,
    "tensor": torch.tensor,
}


# images


@pytest.mark.parametrize("form", IMAGE_FORMS.values(), ids=IMAGE_FORMS)
def test_every_form_of_images_is_the_same(make_tiny, few_digits, fitted, form):
    X, y = few_digits
    reference, expected = fitted
    np.testing.assert_array_equal(reference.predict_proba(form(X)), expected)
    clf = make_tiny().fit(form(X), y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame, pytest.param(pl.DataFrame, marks=before_1_9)]
)
def test_frames_of_pixels(make_tiny, few_digits, fitted, frame):
    X, y = few_digits
    names = [f"pixel{i}" for i in range(64)]
    X = frame(dict(zip(names, X.reshape(-1, 64).T, strict=True)))
    clf = make_tiny().fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), fitted[1])
    assert clf.feature_names_in_.tolist() == names
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        clf.predict(few_digits[0])


def test_memory_maps(make_tiny, few_digits, fitted, tmp_path):
    X, y = few_digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf = make_tiny().fit(mapped, y)
    np.testing.assert_array_equal(clf.predict_proba(mapped), fitted[1])


def test_bools_are_numbers(make_tiny, few_digits):
    X, y = few_digits
    ink = X > 7
    probabilities = [
        make_tiny().fit(ink.astype(dtype), y).predict_proba(ink)
        for dtype in (bool, np.uint8, float)
    ]
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[0], probabilities[2])


def test_colour_images_in_every_form(make_tiny, photo_tiles):
    X, y = photo_tiles
    flat = X.reshape(len(X), -1)
    planes = X.transpose(0, 3, 1, 2)
    forms = [
        (X, {}),
        (planes, {}),
        (planes, {"channels": "first"}),
        (flat, {"image_shape": (32, 32, 3)}),
        (planes.reshape(len(X), -1), {"image_shape": (3, 32, 32)}),
    ]
    expected = None
    for form, settings in forms:
        clf = make_tiny(**settings).fit(form, y)
        assert clf.image_shape_ == (32, 32, 3)
        assert clf.n_features_in_ == 3072
        found = clf.predict_proba(form)
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)


def test_colour_rows_need_a_shape_at_predict_too(make_tiny, photo_tiles):
    X, y = photo_tiles
    clf = make_tiny().fit(X, y)
    flat = X.reshape(len(X), -1)
    with pytest.raises(ValueError, match=r"order of the 3 channels; set image_shape="):
        clf.predict(flat)
    found = clf.set_params(image_shape=(32, 32, 3)).predict_proba(flat)
    np.testing.assert_array_equal(found, clf.predict_proba(X))


@pytest.mark.parametrize(
    ("size", "patch_size"), [((8, 9), (4, 8)), ((6, 8), (4, 8)), ((7, 7), 3)]
)
def test_sizes_that_patches_do_not_divide(make_tiny, few_digits, size, patch_size):
    X, y = few_digits
    X = np.resize(X, (120, *size))
    clf = make_tiny(patch_size=patch_size).fit(X, y)
    # The last row and the last column count, so nothing was cropped.
    for edge in (np.s_[:, -1], np.s_[:, :, -1]):
        changed = X.copy()
        changed[edge] = 16 - changed[edge]
        assert (clf.predict_proba(changed) != clf.predict_proba(X)).any(axis=1).all()


# outputs


def test_outputs_agree(few_digits, fitted):
    X, y = few_digits
    clf, probabilities = fitted
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(
        clf.predict_log_proba(X), np.log(probabilities), rtol=1e-9
    )
    labels = clf.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(clf.predict(X), labels)
    assert clf.score(X, y) == accuracy_score(y, labels)


def test_log_probabilities_of_classes_that_cannot_be_are_finite(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(max_epochs=1).fit(X, y)
    certain = {"head.output.bias": np.array([2000] + [0] * 9, np.float32)}
    clf._weights, clf._runtime = clf._weights | certain, Runtime()
    assert (clf.predict_proba(X)[:, 1:] == 0).all()
    np.testing.assert_allclose(clf.predict_log_proba(X)[:, 1:], -2000, rtol=0.01)


def test_learns(digits):
    X, y = digits
    clf = ViTClassifier(
        depth=1, embed_dim=32, max_epochs=12, learning_rate=5e-3, random_state=0
    ).fit(X[:1000], y[:1000])
    assert clf.score(X[1000:], y[1000:]) > 0.8


def test_one_image_or_many(few_digits, fitted):
    X, _ = few_digits
    clf, expected = fitted
    single = np.concatenate([clf.predict_proba(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(single, expected[:20], rtol=1e-5)


# labels


@pytest.mark.parametrize("form", LABEL_FORMS.values(), ids=LABEL_FORMS)
def test_every_kind_of_labels(make_tiny, few_digits, fitted, form):
    X, y = few_digits
    reference, expected = fitted
    clf = make_tiny().fit(X, form(y))
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    # The labels keep the order of the digits, so the predictions are the same ones.
    digits_by_label = dict(zip(np.asarray(form(y)).tolist(), y.tolist(), strict=True))
    predicted = [digits_by_label[label] for label in clf.predict(X).tolist()]
    assert predicted == reference.predict(X).tolist()


def test_bools_as_labels(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny().fit(X, y > 4)
    assert clf.classes_.tolist() == [False, True]
    assert clf.predict(X).dtype == bool


def test_single_class(make_tiny, few_digits):
    X, _ = few_digits
    clf = make_tiny().fit(X, ["only"] * len(X))
    assert set(clf.predict(X)) == {"only"}
    np.testing.assert_array_equal(clf.predict_proba(X), np.ones((len(X), 1)))


def test_column_of_labels_warns(make_tiny, few_digits, fitted):
    X, y = few_digits
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        clf = make_tiny().fit(X, y[:, np.newaxis])
    np.testing.assert_array_equal(clf.predict_proba(X), fitted[1])


@pytest.mark.parametrize("y", [np.eye(4, dtype=int), [[0, 2], [1, 2], [0, 3], [1, 4]]])
def test_several_labels_are_refused_in_one_sentence(y):
    message = "y has several labels per image .* sklearn.multioutput"
    with pytest.raises(ValueError, match=message):
        ViTClassifier().fit(np.zeros((4, 8, 8)), y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.5, 2.25], "Unknown label type: continuous"),
        ([0, 1, np.nan], "Input y contains NaN"),
        ([0, 1, np.inf], "Input y contains infinity"),
        (np.array(["a", None, "b"], dtype=object), "objects of type NoneType, str"),
        (np.array(["a", 1, "b"], dtype=object), "objects of type int, str.*Convert"),
        (pd.Series(["a", 1, "b"], dtype=object), "objects of type int, str.*Convert"),
        ([[0, 1], [2], [3]], "legacy multi-label"),
    ],
)
def test_labels_that_are_none(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y)


@before_1_9
def test_labels_as_bytes_are_refused():
    with pytest.raises(TypeError, match="labels represented as bytes"):
        check_labels(np.array(["a", "b"], dtype=bytes))


# weights


@pytest.mark.parametrize("batch_size", ["auto", 16])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weight_zero_is_leaving_out(make_tiny, few_digits, batch_size, early_stopping):
    X, y = few_digits
    y = y % 3
    weight = np.random.default_rng(0).integers(4, size=120) / 2
    kept = weight > 0
    X_odd = np.where(kept[:, np.newaxis, np.newaxis], X, 1e6)
    y_odd = np.where(kept, y, 99)
    clf = make_tiny(batch_size=batch_size, early_stopping=early_stopping)
    with_zeros = clf.fit(X_odd, y_odd, sample_weight=weight).predict_proba(X)
    without = clf.fit(X[kept], y[kept], sample_weight=weight[kept]).predict_proba(X)
    np.testing.assert_array_equal(with_zeros, without)


def test_weights_are_repetitions(make_tiny, few_digits):
    X, y = few_digits
    times = np.random.default_rng(0).integers(4, size=120)
    clf = make_tiny(precision="float64", batch_size=1000, augment=None)
    weighted = clf.fit(X, y, sample_weight=times).predict_proba(X)
    repeated = clf.fit(np.repeat(X, times, axis=0), np.repeat(y, times)).predict_proba(
        X
    )
    np.testing.assert_allclose(weighted, repeated, rtol=1e-10)
    plain = clf.fit(X, y).predict_proba(X)
    assert np.abs(weighted - plain).max() > 1e-3


@pytest.mark.parametrize("scale", [1.0, 7, np.float32(0.1)])
def test_scale_of_equal_weights_does_not_matter(make_tiny, few_digits, fitted, scale):
    X, y = few_digits
    clf = make_tiny().fit(X, y, sample_weight=scale)
    np.testing.assert_allclose(clf.predict_proba(X), fitted[1], rtol=1e-4)


def test_weights_as_large_as_numbers_can_be(make_tiny, few_digits):
    X, y = few_digits
    weight = np.linspace(1, 2, len(y))
    expected, found = (
        make_tiny(precision="float64").fit(X, y, sample_weight=scale * weight)
        for scale in (1.0, 8e307)
    )
    np.testing.assert_allclose(
        found.predict_proba(X), expected.predict_proba(X), rtol=1e-9
    )


def test_class_weight_is_a_sample_weight(make_tiny, few_digits):
    X, y = few_digits
    y = LETTERS[np.minimum(y, 2)]
    own = np.linspace(1, 2, len(y))
    balanced = compute_class_weight("balanced", classes=np.unique(y), y=y)
    by_class = dict(zip("abc", balanced, strict=True))
    product = own * np.array([by_class[label] for label in y])
    expected, *others = (
        make_tiny(class_weight=class_weight, precision="float64")
        .fit(X, y, sample_weight=weight)
        .predict_proba(X)
        for class_weight, weight in (
            (None, product),
            (by_class, own),
            ("balanced", own),
            (None, own),
        )
    )
    np.testing.assert_allclose(others[0], expected, rtol=1e-9)
    np.testing.assert_allclose(others[1], expected, rtol=1e-9)
    assert np.abs(others[2] - expected).max() > 1e-3


def test_class_of_weight_zero_is_left_out(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(class_weight={3: 0.0}).fit(X, y)
    assert 3 in clf.classes_
    other = y != 3
    weighted = make_tiny().fit(X[other], y[other])
    np.testing.assert_array_equal(clf.channel_mean_, weighted.channel_mean_)
    last = clf.history_.iloc[-1]
    assert round(last["images_per_second"] * last["seconds"]) == other.sum()


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({77: 1.0}, "are not in class_weight"),
        ({0: -1.0}, "`class_weight`={0: -1.0} must give no class a negative"),
        ({0: np.nan}, "`class_weight`={0: nan} must give no class a negative"),
        (dict.fromkeys(range(10), 0), "at least one class of y a positive one"),
        ("even", "The 'class_weight' parameter of ViTClassifier must be"),
    ],
)
def test_class_weights_that_are_refused(few_digits, class_weight, message):
    with pytest.raises(ValueError, match=message):
        ViTClassifier(class_weight=class_weight).fit(*few_digits)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(120,\)"),
        (np.full(120, -1.0), "Negative values in data passed to sample_weight"),
        (np.zeros(120), "at least one non-zero number"),
        (np.full(120, np.nan), "sample_weight contains NaN"),
        (np.ones((120, 1)), "Sample weights must be 1D array or scalar"),
    ],
)
def test_sample_weights_that_are_refused(few_digits, weight, message):
    with pytest.raises(ValueError, match=message):
        ViTClassifier().fit(*few_digits, sample_weight=weight)


# array API dispatch, which leaves labels and weights the tensors that they are


def fit_in_each_way(make_tiny, X, y, weight):
    """Return classifiers whose fits read labels and weights in each place."""
    few = {"X_val": X[:30], "y_val": y[:30], "sample_weight_val": weight[:30]}
    return [
        make_tiny(class_weight="balanced").fit(X, y, sample_weight=weight),
        make_tiny().fit(X, y, **few),
        make_tiny(early_stopping=True, scoring="neg_log_loss").fit(X, y, weight + 1),
        make_tiny().partial_fit(X, y, classes=y[:3], sample_weight=weight),
    ]


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="scikit-learn needs another library for it",
)
def test_tensors_under_array_api_dispatch(make_tiny, few_digits):
    X, y = few_digits
    arrays = X, y % 3, np.arange(120) % 4
    expected = fit_in_each_way(make_tiny, *arrays)
    tensors = [torch.tensor(part) for part in arrays]
    with sklearn.config_context(array_api_dispatch=True):
        found = fit_in_each_way(make_tiny, *tensors)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
            assert one.validation_scores_ == other.validation_scores_


# bad input


BAD_IMAGES = {
    "NaN": (lambda X: np.where(X == 16, np.nan, X), "Input X contains NaN"),
    "infinity": (lambda X: np.where(X == 16, np.inf, X), "Input X contains infinity"),
    "one axis": (lambda X: X[:, 0, 0], "Expected 2D array, got 1D array"),
    "five axes": (lambda X: X[..., None, None], "has 5 axes; images have at most 4"),
    "no images": (lambda X: X[:0], r"Found array with 0 sample\(s\)"),
    "no rows": (lambda X: X[:0].reshape(0, 64), r"Found array with 0 sample\(s\)"),
    "no pixels": (lambda X: X[:, :0], "has no pixels"),
    "complex": (lambda X: X + 1j, "Complex data not supported"),
    "other length": (lambda X: X[1:], "inconsistent numbers of samples"),
    "huge": (lambda X: X * 1e300, "X has values up to 1.6e.301, whose squares"),
    "large": (lambda X: X * 1e40, "beyond the range of float32"),
    "large negative": (lambda X: -X * 1e40, "beyond the range of float32"),
    "words": (lambda X: [["a", "b"]] * 120, "X must hold numbers"),
    "mixed sizes": (
        lambda X: [*X[1:], X[0, 1:]],
        r"images of different shapes: .*\(7, 8\)",
    ),
    "two readings": (lambda X: np.zeros((120, 3, 8, 3)), "is ambiguous: .*could both"),
    "no reading": (lambda X: np.zeros((120, 5, 8, 6)), "is ambiguous: neither"),
}


@pytest.mark.parametrize(("change", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images(few_digits, change, message):
    X, y = few_digits
    with pytest.raises(ValueError, match=message):
        ViTClassifier().fit(change(X), y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (csr_array((120, 64)), "Sparse data was passed"),
        ([[object()]] * 120, "X must hold numbers"),
        (np.zeros((120, 64), dtype="M8[D]"), "X must hold numbers"),
    ],
)
def test_kinds_that_are_no_images(few_digits, X, message):
    with pytest.raises(TypeError, match=message):
        ViTClassifier().fit(X, few_digits[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.reshape(-1, 64)[:, :60], "X has 60 features, but .* expecting 64"),
        (lambda X: X[:, :7], r"\(120, 7, 8\) does not hold images of 8 x 8 pixels"),
        (lambda X: X[0], "X has 8 features, but .* expecting 64"),
        (lambda X: X * np.nan, "Input X contains NaN"),
    ],
)
def test_images_that_predict_refuses(few_digits, fitted, change, message):
    with pytest.raises(ValueError, match=message):
        fitted[0].predict(change(few_digits[0]))


def test_target_is_required(few_digits):
    with pytest.raises(ValueError, match="requires y to be passed"):
        ViTClassifier().fit(few_digits[0], None)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"depth": 0}, ValueError, r"'depth' .* int in the range \[1, inf\).* Got 0"),
        ({"depth": 2.5}, ValueError, "'depth' parameter .* Got 2.5"),
        ({"patch_size": "4"}, ValueError, "'patch_size' parameter .* Got '4'"),
        ({"patch_size": (4, 4, 2)}, ValueError, r"`patch_size`.*\(4, 4, 2\)"),
        ({"patch_size": 9}, ValueError, r"`patch_size`=.*9.* 8 x 8 pixels"),
        (
            {"num_heads": 3, "embed_dim": 16},
            ValueError,
            "`num_heads`=3 does not divide `embed_dim`=16",
        ),
        ({"drop_path_rate": 1.0}, ValueError, "'drop_path_rate' parameter .* Got 1.0"),
        ({"learning_rate": -1.0}, ValueError, "'learning_rate' parameter"),
        ({"optimizer": "adam"}, ValueError, "'optimizer' parameter .* Got 'adam'"),
        ({"augment": "heavy"}, ValueError, "'augment' parameter"),
        ({"augment": Augment(shift=2.0)}, ValueError, "'shift' parameter of Augment"),
        ({"recipe": "fast"}, ValueError, "'recipe' parameter"),
        ({"architecture": BaseEstimator()}, ValueError, "'architecture' parameter"),
        ({"validation_fraction": 1.0}, ValueError, "'validation_fraction' parameter"),
        ({"image_shape": (8, 9)}, ValueError, "images of 8 x 9 pixels"),
        ({"image_shape": ("a", 8)}, TypeError, "`image_shape` must be"),
        ({"channels": "middle"}, ValueError, "'channels' parameter"),
        ({"device": 7}, ValueError, "`device` must be a string"),
        ({"precision": "int8"}, ValueError, "'precision' parameter"),
        ({"random_state": "seed"}, ValueError, "'random_state' parameter"),
    ],
)
def test_parameters_that_are_refused(few_digits, settings, error, message):
    with pytest.raises(error, match=message):
        ViTClassifier(**settings).fit(*few_digits)


def test_clean_use_does_not_warn(few_digits):
    X, y = few_digits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = ViTClassifier(max_epochs=1, early_stopping=True)
        clf.fit(X.tolist(), y, X_val=X, y_val=y)
        clf.predict_proba(X)
