"""scikit-learn's own checks of the estimator contract."""

from unittest import SkipTest

import pytest
import sklearn
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_inplace_ensure_writeable,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.fixes import parse_version

from skvit import PatchTransformer, ViTClassifier

# The checks hand over tables, which the defaults compute in double precision. Ten
# epochs are enough for the checks' easy blobs, in half the time of forty.
SINGLE_CLASSIFIER = ViTClassifier(precision="float32", max_epochs=10)
DOUBLE_CLASSIFIER = ViTClassifier(precision="float64", max_epochs=10)
ESTIMATORS = [
    ViTClassifier(),
    SINGLE_CLASSIFIER,
    DOUBLE_CLASSIFIER,
    PatchTransformer(),
]

# The checks that scikit-learn 1.9 has for an estimator with these methods and tags.
N_CHECKS = {"ViTClassifier": 63, "PatchTransformer": 47}
HAS_THOSE_CHECKS = parse_version(sklearn.__version__) >= parse_version("1.9")

ON_EVERY_ESTIMATOR = [
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
]
ON_TRANSFORMERS = [
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
]


def expected_failures(estimator):
    """Checks that an estimator cannot pass, each with the reason."""
    if estimator is not SINGLE_CLASSIFIER:
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": "asks for probabilities equal "
        "to 1e-7, which is the rounding of float32; in float64 the check passes"
    }


def run(check, *arguments):
    """Run a check; one that skips itself has failed."""
    try:
        check(*arguments)
    except SkipTest as skip:
        pytest.fail(f"the check did not run: {skip}")


# Strict, so that a check that begins to pass is noticed, by `xfail_strict` of the
# project's configuration: the argument of the same name is new in scikit-learn 1.8.
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_estimator(estimator, check):
    run(check, estimator)


def test_an_unexpected_pass_fails(pytestconfig):
    assert pytestconfig.getini("xfail_strict")


@pytest.mark.skipif(not HAS_THOSE_CHECKS, reason="other releases have other checks")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_number_of_checks(estimator):
    # An estimator may exempt itself from nearly all of them with a tag.
    names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
    assert len(names) == N_CHECKS[type(estimator).__name__]
    assert set(expected_failures(estimator)) <= set(names)


@pytest.mark.parametrize("check", ON_EVERY_ESTIMATOR, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "estimator", [ViTClassifier(max_epochs=2), PatchTransformer()], ids=str
)
def test_estimator_beyond_the_contract(estimator, check):
    run(check, type(estimator).__name__, estimator)


# These checks fit on frames and transform arrays on purpose, and the other way round.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize("check", ON_TRANSFORMERS, ids=lambda check: check.__name__)
def test_transformer_beyond_the_contract(check):
    run(check, "PatchTransformer", PatchTransformer())
