"""Whatever is drawn ends in a valid result, or in an error that says what is wrong."""

import io
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from skvit import (
    Architecture,
    Augment,
    ImageOptions,
    PatchTransformer,
    Recipe,
    ViTClassifier,
)
from skvit.exceptions import TrainingWarning

Image = pytest.importorskip("PIL.Image")

DTYPES = [
    *("uint8", "uint16", "int8", "int64", "uint64", "bool"),
    *("float16", "float32", "float64", ">f4", ">i2", "longdouble"),
]
STRANGE_DTYPES = ["complex64", "datetime64[s]", "U3", "O", "S2"]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X: np.broadcast_to(X, X.shape),
}


def to_doubles(X):
    """Return numbers that are longer than doubles as doubles, others as they are."""
    return X.astype(np.float64) if X.dtype == np.longdouble else X


def to_objects(X):
    """Return an array of objects, each an image."""
    objects = np.empty(len(X), object)
    objects[:] = list(X)
    return objects


def to_pictures(X):
    """Return images of Pillow of what Pillow has images of, and the rest as it is."""
    try:
        return [Image.fromarray(np.ascontiguousarray(image)) for image in X]
    except (TypeError, ValueError):
        return X


CONTAINERS = {
    "array": lambda X: X,
    "list": np.ndarray.tolist,
    "list of arrays": list,
    "tuple of arrays": tuple,
    "series of arrays": lambda X: pd.Series(list(X)),
    "array of arrays": to_objects,
    "list of pictures": to_pictures,
    "tensor": lambda X: torch.tensor(to_doubles(X).tolist()),
    "pandas": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
    "polars": lambda X: pl.DataFrame(X.reshape(len(X), -1).tolist(), orient="row"),
}
EXTREMES = [np.nan, np.inf, -np.inf, 1e300, 1e38, -1.0, 255.0]

common = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@contextmanager
def only_own_warnings():
    """Raise all warnings but those of the package and of scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for own in (TrainingWarning, ConvergenceWarning, DataConversionWarning):
            warnings.simplefilter("ignore", own)
        warnings.filterwarnings("ignore", module=r"sklearn\.")
        yield


def ends_well(function, *args, **params):
    """Return a result, or None after an error of the kind that users can act on."""
    with only_own_warnings():
        try:
            result = function(*args, **params)
        except (TypeError, ValueError) as error:
            event(f"refused with {type(error).__name__}")
            result, message = None, str(error)
        else:
            event("accepted")
            message = "a result is as good as a message"
    assert len(message) > 10
    return result


@st.composite
def shapes(draw, n_samples, likely):
    if likely and draw(st.booleans()):
        return n_samples, *draw(st.sampled_from(likely))
    axes = draw(st.sampled_from([2, 3, 3, 4, 4, 4]))
    sides = st.integers(1, 9)
    if axes == 2:
        return n_samples, draw(st.one_of(st.integers(1, 81), st.just(64)))
    size = (draw(sides), draw(sides))
    if axes == 3:
        return n_samples, *size
    depth = draw(st.sampled_from([1, 1, 3, 3, 4, 2, 13]))
    return (
        (n_samples, depth, *size) if draw(st.booleans()) else (n_samples, *size, depth)
    )


@st.composite
def images(draw, n_samples, strange=0.1, likely=()):
    """Images in any form, sometimes with what no image can have."""
    shape = draw(shapes(n_samples, likely))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    is_strange = draw(st.floats(0, 1)) < strange
    dtype = draw(st.sampled_from(STRANGE_DTYPES if is_strange else DTYPES))
    values = rng.integers(0, 100, shape)
    values = values.astype(dtype)
    if values.dtype.kind == "f" and draw(st.floats(0, 1)) < 0.1:
        with np.errstate(over="ignore"):
            values.flat[0] = np.array(draw(st.sampled_from(EXTREMES))).astype(dtype)
    values = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](values)
    kind = draw(st.sampled_from(["array", "array", *sorted(CONTAINERS)]))
    if kind in {"tensor", "polars"} and values.dtype.kind not in "biuf":
        kind = "array"
    if kind == "tensor" and values.dtype == np.uint64:
        kind = "array"
    return CONTAINERS[kind](values)


@st.composite
def labels(draw, n_samples):
    """Labels of any kind, sometimes too few, of one class, or no labels at all."""
    codes = draw(
        st.lists(st.integers(0, 2), min_size=n_samples, max_size=n_samples).filter(
            lambda drawn: len(set(drawn)) > 1
        )
    )
    names = draw(
        st.sampled_from(
            [
                [0, 1, 2],
                [-5, 7, 10**12],
                ["ape", "bear", "cat"],
                [False, True, True],
                [0.0, 1.0, 2.0],
            ]
        )
    )
    y = np.array(names)[codes]
    return draw(
        st.sampled_from(
            [
                *[y] * 12,
                y.astype(object),
                y.tolist(),
                pd.Series(y),
                y[:, None],
                y[:-1],
                np.full(n_samples, y[0]),
                np.where(np.arange(n_samples) == 1, np.nan, codes),
                np.linspace(0, 1, n_samples),
                [None] * n_samples,
            ]
        )
    )


def one_of(valid, invalid):
    """Draw mostly from the valid values."""
    return st.sampled_from([*valid * 8, *invalid])


PARAMETERS = {  # right values, and wrong ones
    "patch_size": (["auto", 1, 2, 3, 4, (2, 3)], [0, 99, "small", (1, 2, 3)]),
    "num_heads": (["auto", 1, 2, 4], [3, 0, 2.5]),
    "mlp_ratio": (["auto", 1, 2.0], [0, "wide"]),
    "pos_embed": (["auto", "learned", "sincos", "sincos2d", "rope", "none"], [1]),
    "pool": (["auto", "token", "mean", "map", "seqpool"], ["max"]),
    "drop_path_rate": (["auto", 0, 0.5], [1.0]),
    "optimizer": (["auto", "adamw", "muon", "sgd"], ["lion"]),
    "learning_rate": (["auto", 1e-3, 0.1], [0, -1]),
    "batch_size": (["auto", 1, 3, 100], [0]),
    "augment": (
        ["auto", "light", "photo", None, Augment(mixup=0.2, flip=True)],
        ["strong", Augment(shift=2)],
    ),
    "architecture": (
        [
            None,
            Architecture(patch_embed="shifted"),
            Architecture(patch_embed="linear", qk_norm=True, head_hidden=4),
            Architecture(patch_embed="overlap", num_register_tokens=2),
            Architecture(locality=True, layer_scale=0.1, activation="swiglu"),
            Architecture(pos_bias="none", patch_drop_rate=0.5),
            Architecture(drop_rate=0.5, attn_drop_rate=0.5, patch_drop_rate=0.5),
        ],
        [Architecture(init="zeros")],
    ),
    "recipe": (
        [None, Recipe(averaging=0.9, test_views=5), Recipe(clip_norm=None)],
        [Recipe(warmup=2)],
    ),
    "class_weight": ([None, "balanced", {0: 2.0}], ["even"]),
    "early_stopping": ([False, False, True], ["yes"]),
    "precision": (["auto", "float32", "float64", "bfloat16"], ["int8"]),
    "image_shape": ([None], [(8, 8), (0, 3), 8]),
    "channels": (["auto", "first", "last"], ["middle"]),
    "image_options": (
        [
            None,
            ImageOptions(normalize=False),
            ImageOptions(resize=8),
            ImageOptions(resize=(4, 6), aspect="stretch"),
        ],
        [ImageOptions(resize=0), ImageOptions(aspect="crop")],
    ),
    "random_state": ([0, 1, None], []),
}
SETTINGS = st.dictionaries(
    st.sampled_from(sorted(PARAMETERS)), st.none(), max_size=4
).flatmap(
    lambda drawn: st.fixed_dictionaries({k: one_of(*PARAMETERS[k]) for k in drawn})
)
# Where an object is wrong, its parameter is to blame.
BLAMED = {
    "augment": "augment|shift",
    "architecture": "init",
    "recipe": "warmup",
    "image_options": "resize|aspect",
}


@settings(common, max_examples=200)
@given(st.data())
def test_what_is_wrong_is_named(data):
    wrong = {name: values for name, (_, values) in PARAMETERS.items() if values}
    name = data.draw(st.sampled_from(sorted(wrong)))
    value = data.draw(st.sampled_from(wrong[name]))
    n_samples = data.draw(st.integers(4, 9))
    X = np.arange(n_samples * 72).reshape(n_samples, 9, 8) % 100
    X = X.astype(data.draw(st.sampled_from(DTYPES)))
    clf = ViTClassifier(embed_dim=8, depth=1, max_epochs=1).set_params(**{name: value})
    message = BLAMED.get(name, f"\\b{name}\\b")
    with only_own_warnings(), pytest.raises((TypeError, ValueError), match=message):
        clf.fit(X, np.arange(n_samples) % 2)


@pytest.mark.slow
def test_fits_of_the_classifier():
    fits = []

    @settings(common, max_examples=1100)
    @given(st.data())
    def fit(data):
        fits.append(fit_what_is_drawn(data))

    fit()
    assert sum(fits) >= 400


def fit_what_is_drawn(data):
    """Say whether a classifier was fitted on what is drawn, and was not refused."""
    n_samples = data.draw(st.integers(4, 9))
    X = data.draw(images(n_samples))
    y = data.draw(labels(n_samples))
    params = data.draw(SETTINGS)
    clf = ViTClassifier(**{"embed_dim": 8, "depth": 1, "max_epochs": 1} | params)
    before = set(vars(clf))
    if ends_well(clf.fit, X, y) is None:
        assert set(vars(clf)) == before
        return False
    check_probabilities(ends_well(clf.predict_proba, X), n_samples, len(clf.classes_))
    assert clf.n_features_in_ == np.prod(clf.image_shape_)
    return True


def check_probabilities(found, n_samples, n_classes):
    assert found.shape == (n_samples, n_classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


@pytest.fixture(scope="module")
def on_digits(digits):
    clf = ViTClassifier(embed_dim=8, depth=1, max_epochs=1, random_state=0)
    return clf.fit(digits[0][:100], digits[1][:100])


@settings(common, max_examples=500)
@given(st.data())
def test_predictions_of_the_classifier(on_digits, data):
    n_samples = data.draw(st.integers(1, 5))
    forms = [(64,), (8, 8), (8, 8, 1), (1, 8, 8)]
    X = data.draw(images(n_samples, strange=0.2, likely=forms))
    found = ends_well(on_digits.predict_proba, X)
    if found is not None:
        check_probabilities(found, n_samples, 10)


@settings(common, max_examples=1100)
@given(st.data())
def test_patches(data):
    sizes = one_of([1, 2, 3, 4, (2, 3), [3, 1]], [0, 2.5, "auto", (1, 2, 3)])
    params = {
        "patch_size": data.draw(sizes),
        "stride": data.draw(st.one_of(st.none(), sizes)),
        "channels": data.draw(one_of(*PARAMETERS["channels"])),
        "flatten": data.draw(one_of([True, False], ["no"])),
        "image_options": data.draw(one_of(*PARAMETERS["image_options"])),
        "image_shape": data.draw(one_of(*PARAMETERS["image_shape"])),
    }
    n_samples = data.draw(st.integers(1, 5))
    X = data.draw(images(n_samples))
    patches = PatchTransformer(**params)
    found = ends_well(patches.fit_transform, X)
    if found is None:
        assert not hasattr(patches, "image_spec_")
        return
    values = np.prod(patches.grid_shape_) * np.prod(patches.patch_size_)
    assert len(found) == n_samples
    assert found[0].size == values * patches.image_shape_[2]
    assert np.isfinite(found.astype(float)).all()


@pytest.fixture(scope="module")
def pictures(photo_tiles):
    """Files of a photograph in every format, as bytes."""
    imagecodecs = pytest.importorskip("imagecodecs")
    tifffile = pytest.importorskip("tifffile")
    image = Image.fromarray(photo_tiles[0][3])
    files = {}
    for kind in ("png", "jpeg", "tiff", "gif", "webp", "bmp"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        files[kind] = buffer.getvalue()
    deep = photo_tiles[0][3].astype(np.uint16) * 257
    writers = {
        "npy": lambda buffer: np.save(buffer, deep),
        "deep tiff": lambda buffer: tifffile.imwrite(
            buffer, deep, photometric="rgb", compression="deflate"
        ),
        "tiff of pages": lambda buffer: tifffile.imwrite(
            buffer, np.moveaxis(deep, 2, 0), photometric="minisblack"
        ),
    }
    for kind, write in writers.items():
        buffer = io.BytesIO()
        write(buffer)
        files[kind] = buffer.getvalue()
    return files | {"deep png": imagecodecs.png_encode(deep)}


FILES = [
    *("png", "jpeg", "tiff", "gif", "webp", "bmp", "npy"),
    *("deep tiff", "tiff of pages", "deep png"),
]
PLACES = st.one_of(st.integers(0, 200), st.integers(0, 10_000))


@settings(common, max_examples=500)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=4),
    st.one_of(st.none(), PLACES),
)
def test_damaged_files(pictures, tmp_path_factory, kind, changes, end):
    content = bytearray(pictures[kind])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(content[:end])
    options = ImageOptions(resize=16, cache=0, n_threads=1)
    patches = PatchTransformer(4, channels="last", image_options=options)
    expected = f"row 0 of X, {str(path)!r}, cannot be read: "
    with only_own_warnings():
        try:
            found = patches.fit_transform([path])
        except ValueError as error:
            message = str(error)
        else:
            assert found.shape == (1, 16 * 16 * patches.image_shape_[2])
            message = expected
    assert message.startswith(expected)
