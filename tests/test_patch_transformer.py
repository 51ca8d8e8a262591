import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import sklearn.utils.estimator_checks as checks
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from skvit import PatchTransformer
from skvit._images import _patches
from skvit._images._blocks import iter_blocks

# What scikit-learn runs on its own transformers beside check_estimator.
MORE_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.parametrize(
    "params",
    [{}, {"flatten": False}, {"patch_size": 3, "stride": 2}, {"patch_size": (1, 2)}],
    ids=str,
)
def test_scikit_learn_checks(params):
    results = checks.check_estimator(PatchTransformer(**params), on_fail=None)
    assert len(results) > 40
    assert [result for result in results if result["status"] != "passed"] == []


# These checks mix frames and bare arrays in fit and transform on purpose.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature:UserWarning")
@pytest.mark.parametrize("name", MORE_CHECKS)
def test_more_scikit_learn_checks(name):
    getattr(checks, name)("PatchTransformer", PatchTransformer())


@pytest.fixture(scope="module")
def tiles(photo_tiles):
    return photo_tiles[0]


@pytest.fixture(scope="session")
def flat_digits(digits):
    X, y = digits
    return X.reshape(-1, 64), y


def first(X):
    return np.moveaxis(X, 3, 1)


def flat(X):
    return X.reshape(len(X), -1)


def frame(X):
    return pd.DataFrame(X, columns=[f"pixel{i}" for i in range(X.shape[1])])


FORMS = {
    "channels last": (lambda X: X, {}),
    "channels first": (first, {}),
    "flat": (flat, {"image_shape": (32, 32, 3)}),
    "flat, channels first": (lambda X: flat(first(X)), {"image_shape": (3, 32, 32)}),
    "list": (np.ndarray.tolist, {}),
    "tensor": (torch.tensor, {}),
    "bfloat16 tensor": (lambda X: torch.tensor(X).bfloat16(), {}),
    "big-endian": (lambda X: X.astype(">u4"), {}),
    "Fortran order": (np.asfortranarray, {}),
    "pandas": (lambda X: pd.DataFrame(flat(X)), {"image_shape": (32, 32, 3)}),
    "polars": (lambda X: pl.DataFrame(flat(X)), {"image_shape": (32, 32, 3)}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_every_form_of_photographs_gives_the_same_patches(tiles, form):
    convert, params = FORMS[form]
    expected = PatchTransformer(8).fit_transform(tiles)
    transformer = PatchTransformer(8, **params)
    np.testing.assert_array_equal(transformer.fit_transform(convert(tiles)), expected)
    np.testing.assert_array_equal(transformer.transform(tiles), expected)


@pytest.mark.parametrize("stride", [None, 3, (5, 8)])
@pytest.mark.parametrize("form", ["channels last", "channels first", "flat", "tensor"])
def test_inverse_returns_what_fit_saw(tiles, form, stride):
    convert, params = FORMS[form]
    X = convert(tiles)
    transformer = PatchTransformer((5, 8), stride=stride, **params).fit(X)
    back = transformer.inverse_transform(transformer.transform(tiles))
    np.testing.assert_array_equal(back, np.asarray(X), strict=True)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (1, 8, 8), (64,)])
def test_inverse_of_gray_images(digits, shape):
    X = digits[0].reshape(-1, *shape)
    transformer = PatchTransformer(3).fit(X)
    back = transformer.inverse_transform(transformer.transform(X))
    np.testing.assert_array_equal(back, X, strict=True)


def test_inverse_takes_sequences_lists_and_frames(tiles):
    transformer = PatchTransformer(8).fit(tiles)
    rows = transformer.transform(tiles)
    named = pd.DataFrame(rows, columns=transformer.get_feature_names_out())
    for patches in (rows.reshape(40, 16, -1), rows.tolist(), named, torch.tensor(rows)):
        np.testing.assert_array_equal(transformer.inverse_transform(patches), tiles)


def test_inverse_of_other_patches(tiles):
    transformer = PatchTransformer(8).fit(tiles)
    with pytest.raises(
        ValueError, match=r"\(n_samples, 3072\).*\(n_samples, 16, 192\)"
    ):
        transformer.inverse_transform(np.zeros((2, 3071)))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_inverse_of_drawn_images(data):
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2).map(tuple))
    channels = data.draw(st.sampled_from([(), (1,), (3,), (6,)]))
    shape = (2, *sizes, *(channels if len(sizes) == 2 else ()))
    dtype = data.draw(st.sampled_from(["bool", "uint8", "int64", "float32", "float64"]))
    X = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape)
    X = (100 * np.abs(X)).astype(dtype)
    limits = sizes if len(sizes) == 2 else (9, 9)
    patch_size = tuple(data.draw(st.integers(1, limit)) for limit in limits)
    stride = tuple(data.draw(st.integers(1, length)) for length in patch_size)
    flatten = data.draw(st.booleans())
    transformer = PatchTransformer(
        patch_size, stride=stride, channels="last", flatten=flatten
    )
    patches = transformer.fit_transform(X)
    assert patches.dtype == X.dtype
    assert patches.ndim == 3 - flatten
    np.testing.assert_array_equal(
        transformer.inverse_transform(patches), X, strict=True
    )


def test_fitted_attributes(tiles):
    transformer = PatchTransformer((5, 8), stride=(5, 4)).fit(tiles)
    assert transformer.image_shape_ == (32, 32, 3)
    assert transformer.patch_size_ == (5, 8)
    assert transformer.stride_ == (5, 4)
    assert transformer.grid_shape_ == (7, 7)
    assert transformer.n_features_in_ == 32 * 32 * 3


def test_names_tell_where_each_value_is_from():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 6, 7, 3))
    transformer = PatchTransformer((3, 4)).fit(X)
    rows = transformer.set_output(transform="pandas").transform(X)
    assert rows["patch0_0_pixel0_0_channel0"][0] == X[0, 0, 0, 0]
    assert rows["patch1_1_pixel2_0_channel1"][1] == X[1, 3 + 2, 4 + 0, 1]
    assert (rows["patch0_1_pixel1_3_channel2"] == 0).all()  # padding
    assert len(set(rows.columns)) == 2 * 2 * 3 * 4 * 3


def test_names_after_a_fit_on_a_frame(flat_digits):
    X = frame(flat_digits[0])
    transformer = PatchTransformer().fit(X)
    names = transformer.get_feature_names_out(X.columns)
    assert names[63] == "patch1_1_pixel3_3_channel0"
    with pytest.raises(
        ValueError, match="input_features is not equal to feature_names"
    ):
        transformer.get_feature_names_out(X.columns[::-1])


@pytest.mark.parametrize(
    ("container", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_frames_keep_names_and_dtype(tiles, container, kind):
    transformer = PatchTransformer(16).set_output(transform=container)
    rows = transformer.fit_transform(tiles)
    assert isinstance(rows, kind)
    assert list(rows.columns) == list(transformer.get_feature_names_out())
    np.testing.assert_array_equal(
        rows.to_numpy(), PatchTransformer(16).fit_transform(tiles), strict=True
    )


def test_frames_keep_the_index(flat_digits):
    X = frame(flat_digits[0][:5]).set_index(pd.Index(list("abcde")))
    rows = PatchTransformer().set_output(transform="pandas").fit_transform(X)
    assert list(rows.index) == list("abcde")


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_sequences_fit_in_no_frame(tiles, container):
    transformer = PatchTransformer(8, flatten=False).fit(tiles)
    assert transformer.transform(tiles).shape == (40, 16, 192)
    transformer.set_output(transform=container)
    with pytest.raises(ValueError, match=f"`flatten`=False.*{container}.*flatten=True"):
        transformer.transform(tiles)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_sequences_under_the_global_setting(tiles, container):
    transformer = PatchTransformer(8, flatten=False).fit(tiles)
    with (
        sklearn.config_context(transform_output=container),
        pytest.raises(ValueError, match="`flatten`=False"),
    ):
        transformer.transform(tiles)


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_not_fitted(tiles, method):
    with pytest.raises(NotFittedError, match="PatchTransformer instance is not fitted"):
        getattr(PatchTransformer(), method)(tiles)


def test_names_before_fit():
    with pytest.raises(NotFittedError, match="PatchTransformer instance is not fitted"):
        PatchTransformer().get_feature_names_out()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"patch_size": 33}, ValueError, "`patch_size`=33 is larger .* 32 x 32 pixels"),
        ({"patch_size": (4, 33)}, ValueError, r"`patch_size`=\(4, 33\) is larger"),
        ({"patch_size": (4, 4, 4)}, ValueError, "`patch_size` must be .*4, 4, 4"),
        ({"patch_size": (4, 4.0)}, TypeError, "`patch_size` must be .*4, 4.0"),
        ({"stride": 5}, ValueError, "`stride`=5 is longer than `patch_size`=4"),
        ({"stride": (1, 0)}, ValueError, r"`stride` must be .*\(1, 0\)"),
        ({"image_shape": (32, 32)}, ValueError, "`image_shape` asks for"),
        ({"image_shape": (32,)}, ValueError, r"`image_shape` must be .*\(32,\)"),
        ({"channels": "first"}, ValueError, "larger than the images of 32 x 3 pixels"),
        ({"patch_size": 0}, ValueError, "'patch_size' parameter of PatchTransformer"),
        ({"channels": "middle"}, ValueError, "'channels' parameter of PatchTransf"),
        ({"flatten": "yes"}, ValueError, "'flatten' parameter of PatchTransformer"),
    ],
    ids=str,
)
def test_bad_parameters_leave_the_transformer_as_it_was(tiles, params, error, message):
    transformer = PatchTransformer().fit(tiles)
    expected = transformer.transform(tiles)
    before = dict(vars(transformer))
    transformer.set_params(**params)
    with pytest.raises(error, match=message):
        transformer.fit(tiles)
    unchanged = PatchTransformer().get_params()
    assert vars(transformer.set_params(**unchanged)) == before
    np.testing.assert_array_equal(transformer.transform(tiles), expected)


def test_bad_values_leave_the_transformer_as_it_was(tiles):
    transformer = PatchTransformer().fit(tiles)
    before = dict(vars(transformer))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        transformer.fit(np.full((2, 8, 8), np.nan))
    assert vars(transformer) == before


def test_bad_candidates_of_a_search_score_as_errors(tiles):
    search = GridSearchCV(
        make_pipeline(PatchTransformer(), LogisticRegression()),
        {"patchtransformer__patch_size": [8, 33]},
        cv=2,
        error_score=0.0,
    )
    with pytest.warns(
        FitFailedWarning, match=r"fits failed(.|\n)*`patch_size`=33 is larger"
    ):
        search.fit(tiles / 255, np.repeat([0, 1], 20))
    assert search.best_params_ == {"patchtransformer__patch_size": 8}


@pytest.mark.parametrize("width", range(1, 12))
def test_tables_of_any_width(width):
    X = np.random.default_rng(0).normal(size=(20, width))
    transformer = PatchTransformer().fit(X)
    assert transformer.patch_size_ == (1, min(4, width))
    rows = transformer.transform(X)
    np.testing.assert_array_equal(rows[:, :width], X)
    assert not rows[:, width:].any()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float32"])
def test_dtype_is_kept(tiles, dtype):
    X = tiles.astype(dtype)
    transformer = PatchTransformer(5, stride=3).fit(X)
    patches = transformer.transform(X)
    assert patches.dtype == X.dtype
    np.testing.assert_array_equal(
        transformer.inverse_transform(patches), X, strict=True
    )


@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("layout", [np.array, first, flat])
@pytest.mark.parametrize("size", [8, 7])
def test_transform_allocates_its_output_and_nothing_else(size, layout, flatten):
    X = layout(np.zeros((1000, 32, 32, 3), dtype=np.float32))
    shape = (32, 32, 3) if layout is flat else None
    transformer = PatchTransformer(size, image_shape=shape, flatten=flatten).fit(X)
    tracemalloc.start()
    patches = transformer.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.01 * patches.nbytes


def test_memory_maps(tmp_path, tiles):
    np.save(tmp_path / "tiles.npy", tiles)
    X = np.load(tmp_path / "tiles.npy", mmap_mode="r")
    transformer = PatchTransformer(8).fit(X)
    np.testing.assert_array_equal(
        transformer.transform(X), PatchTransformer(8).fit_transform(tiles)
    )


def test_pickle_and_clone(tiles):
    transformer = PatchTransformer(8, stride=4).fit(tiles)
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(again.transform(tiles), transformer.transform(tiles))
    assert clone(transformer).get_params() == transformer.get_params()


def test_torch_is_not_imported():
    code = (
        "import sys, numpy as np\n"
        "from skvit import PatchTransformer\n"
        "patches = PatchTransformer().fit(np.zeros((2, 8, 8)))\n"
        "patches.inverse_transform(patches.transform(np.zeros((2, 64))))\n"
        "assert not {'torch', 'skorch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "final",
    [
        LogisticRegression(max_iter=300),
        SVC(),
        make_pipeline(PCA(20), SVC()),
        make_pipeline(KMeans(20, n_init=1, random_state=0), SVC()),
    ],
    ids=["logistic", "svc", "pca", "kmeans"],
)
@pytest.mark.parametrize("shape", [(64,), (8, 8)])
def test_before_other_estimators(digits, final, shape):
    X, y = digits
    X = X.reshape(-1, *shape)[:400] / 16
    pipeline = make_pipeline(PatchTransformer(), final)
    assert cross_val_score(pipeline, X, y[:400], cv=3).mean() > 0.8


def test_in_a_union(flat_digits):
    X, y = flat_digits
    union = FeatureUnion(
        [("patches", PatchTransformer()), ("components", PCA(8, random_state=0))]
    )
    rows = union.fit_transform(X, y)
    np.testing.assert_array_equal(rows[:, :64], PatchTransformer().fit_transform(X))
    assert rows.shape == (1797, 72)
    assert union.get_feature_names_out()[0] == "patches__patch0_0_pixel0_0_channel0"


def test_in_a_column_transformer(flat_digits):
    X = frame(flat_digits[0]).assign(age=np.arange(1797.0))
    columns = ColumnTransformer(
        [
            ("patches", PatchTransformer(), [f"pixel{i}" for i in range(64)]),
            ("numbers", MinMaxScaler(), ["age"]),
        ]
    ).set_output(transform="pandas")
    rows = columns.fit_transform(X)
    assert rows.shape == (1797, 65)
    assert rows["numbers__age"].max() == 1
    assert rows["patches__patch0_1_pixel2_3_channel0"].equals(
        X["pixel23"].rename("patches__patch0_1_pixel2_3_channel0")
    )


def test_files_are_read_by_blocks(tmp_path, monkeypatch):
    """Beside the result, there is never more than a block of images in memory."""
    image = np.zeros((64, 64, 3), np.uint8)
    paths = [tmp_path / f"{row}.npy" for row in range(200)]
    for row, path in enumerate(paths):
        np.save(path, image + np.uint8(row))
    monkeypatch.setattr(
        _patches, "iter_blocks", lambda shape: iter_blocks(shape, 10 * image.size)
    )
    patches = PatchTransformer(8).fit(paths)
    tracemalloc.start()
    found = patches.transform(paths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes + 60 * image.size
    np.testing.assert_array_equal(
        found, np.repeat(np.arange(200), image.size).reshape(200, -1)
    )
