"""Scikit-learn's private names, gathered so that nothing else touches them."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config as get_output_config
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import validate_data

try:
    from sklearn.utils._repr_html.fitted_attributes import AttrsDict
except ImportError:  # before scikit-learn 1.9, which lists no fitted attributes
    AttrsDict = None

__all__ = [
    "AttrsDict",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "check_feature_names_in",
    "fit_context",
    "get_output_config",
    "validate_data",
    "validate_parameter_constraints",
]
