import numpy as np
import pytest

from skvit._samples import Run, Samples, Validation, check_weight


def samples(weight=None, n=5):
    weight = None if weight is None else np.asarray(weight, dtype=float)
    return Samples(np.arange(n * 4).reshape(n, 2, 2, 1), np.arange(n), weight)


@pytest.mark.parametrize(
    "rows", [np.array([3, 0]), slice(1, 3), np.array([True, False, True, False, False])]
)
def test_rows_stay_together(rows):
    taken = samples([1, 2, 3, 4, 5]).take(rows)
    np.testing.assert_array_equal(
        np.asarray(taken.images)[:, 0, 0, 0], 4 * taken.target
    )
    np.testing.assert_array_equal(taken.weight, taken.target + 1)
    assert samples().take(rows).weight is None


def test_zero_weights_are_as_if_left_out():
    weighted = samples([0, 2, 0, 1, 3]).without_zero_weights()
    assert weighted.target.tolist() == [1, 3, 4]
    assert weighted.weight.tolist() == [2, 1, 3]
    for whole in (samples(), samples([1, 2, 3, 4, 5])):
        assert whole.without_zero_weights() is whole


def test_weights_have_a_mean_of_one_and_equal_ones_are_none():
    scaled = samples([1, 2, 3, 4, 5]).with_mean_weight_one()
    assert scaled.weight.mean() == pytest.approx(1)
    np.testing.assert_allclose(scaled.weight / scaled.weight[0], [1, 2, 3, 4, 5])
    assert samples([7] * 5).with_mean_weight_one().weight is None
    assert samples().with_mean_weight_one().weight is None


@pytest.mark.parametrize("scale", [1e-300, 1e307])
def test_weights_of_any_size_have_a_mean_of_one(scale):
    scaled = samples(scale * np.array([1, 2, 3, 4, 10])).with_mean_weight_one()
    np.testing.assert_allclose(scaled.weight, np.array([1, 2, 3, 4, 10]) / 4)


def test_a_run_is_a_fresh_fit_unless_said_otherwise():
    assert Run() == Run(go_on=False, partial=False)


@pytest.mark.parametrize(
    "given", [{}, {"X": [1], "y": [1]}, {"X": [1], "y": [1], "sample_weight": [1]}]
)
def test_validation_data_is_complete(given):
    Validation(**given).check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X": [1]}, "`X_val` and `y_val` go together, but only `X_val` was given"),
        ({"y": [1]}, "`X_val` and `y_val` go together, but only `y_val` was given"),
        ({"sample_weight": [1]}, "`sample_weight_val` needs `X_val` and `y_val`"),
    ],
)
def test_validation_data_is_incomplete(given, message):
    with pytest.raises(ValueError, match=message):
        Validation(**given).check()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ([1, 2, 0], [1.0, 2.0, 0.0]),
        (np.array([1, 2, 0], dtype="f4"), [1.0, 2.0, 0.0]),
        (2, [2.0, 2.0, 2.0]),
    ],
)
def test_weights_become_doubles(given, expected):
    weight = check_weight(given, 3)
    if expected is None:
        assert weight is None
        return
    assert weight.dtype == np.float64
    assert weight.tolist() == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1, 2, 3]], r"must be 1D array or scalar, got 2D .* \(3,\), got \(1, 3\)"),
        ([1, 2], r"sample_weight.shape == \(2,\), expected \(3,\)"),
        ([0, 0, 0], "at least one non-zero number; all are zero"),
        ([1, -1, 1], "Negative values in data passed to .*sample_weight"),
        ([1, np.nan, 1], "sample_weight contains NaN"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
        (["a", "b", "c"], "could not convert string to float"),
    ],
)
def test_bad_weights_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_weight(given, 3)
