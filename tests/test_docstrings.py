"""Docstrings cannot lie: defaults, attributes and sections against the code."""

import ast
import builtins
import inspect
import re
from importlib import import_module

import pandas as pd
import pytest
import sklearn.exceptions
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate
from sklearn.base import BaseEstimator

import skvit
import skvit.exceptions

# Left open by the house: where a summary starts, and whether there is a See Also, an
# extended summary, a name for the return value. Examples are asked for below.
OPTIONAL = {"GL01", "SA01", "ES01", "RT02", "EX01"}

PUBLIC_MODULES = ("skvit", "skvit.exceptions", "skvit.inspection", "skvit.nn")


def public_objects():
    for module in map(import_module, PUBLIC_MODULES):
        for name in module.__all__:
            if callable(value := getattr(module, name)):
                yield f"{module.__name__}.{name}", value


def is_own_method(value):
    return inspect.isfunction(value) and value.__module__.startswith("skvit")


OBJECTS = dict(public_objects())
METHODS = {
    f"{name}.{method}": value
    for name, cls in OBJECTS.items()
    for method, value in inspect.getmembers(cls, is_own_method)
    if inspect.isclass(cls) and not method.startswith("_")
}
CALLABLES = OBJECTS | METHODS


@pytest.fixture(scope="module", params=["PatchTransformer", "ViTClassifier"])
def fitted(request, digits):
    """Estimator fitted on a data frame, so that it has all it can have."""
    X, y = digits
    columns = [f"pixel{i}" for i in range(64)]
    X = pd.DataFrame(X[:50].reshape(-1, 64), columns=columns)
    params = {"max_epochs": 1, "depth": 1, "embed_dim": 8, "num_heads": 2}
    estimator = getattr(skvit, request.param)()
    known = estimator.get_params()
    estimator.set_params(**{key: params[key] for key in params if key in known})
    return estimator.fit(X, y[:50])


def fitted_names(estimator):
    """Public attributes of the object and public properties of its class."""
    own = {name for name in vars(estimator) if not name.startswith("_")}
    properties = {
        name
        for name, value in inspect.getmembers(type(estimator))
        if isinstance(value, property) and re.fullmatch(r"[a-z]\w*_", name)
    }
    return (own | properties) - set(estimator.get_params())


def entries(value, section):
    """Name, type and text of each thing that a section describes."""
    for entry in FunctionDoc(value)[section]:
        for name in entry.name.split(", "):
            yield name.lstrip("*"), entry.type, entry.desc


def documented_attributes(estimator):
    return {name for name, _, _ in entries(type(estimator), "Attributes")}


@pytest.mark.parametrize("name", CALLABLES)
def test_numpydoc(name):
    errors = [error for error in validate(name)["errors"] if error[0] not in OPTIONAL]
    assert not errors


@pytest.mark.parametrize("name", CALLABLES)
def test_defaults_are_those_of_the_signature(name):
    for parameter, kind, _ in entries(CALLABLES[name], "Parameters"):
        actual = inspect.signature(CALLABLES[name]).parameters[parameter].default
        _, stated, default = kind.partition("default=")
        if stated:
            assert ast.literal_eval(default) == actual, parameter
        else:
            assert actual in {inspect.Parameter.empty, None}, parameter


@pytest.mark.parametrize("name", OBJECTS)
def test_examples_are_given(name):
    assert ">>>" in "".join(FunctionDoc(OBJECTS[name])["Examples"])


@pytest.mark.parametrize("name", CALLABLES)
def test_raises_names_exceptions(name):
    homes = (builtins, sklearn.exceptions, skvit.exceptions)
    for _, error, condition in entries(CALLABLES[name], "Raises"):
        assert any(inspect.isclass(getattr(home, error, None)) for home in homes), error
        assert condition


def test_attributes_exist_after_fit(fitted):
    documented = documented_attributes(fitted)
    assert [name for name in documented if not hasattr(fitted, name)] == []


def test_fitted_attributes_are_documented(fitted):
    assert fitted_names(fitted) <= documented_attributes(fitted)


@pytest.mark.parametrize("name", OBJECTS)
def test_nothing_looks_fitted_before_fit(name):
    if inspect.isclass(OBJECTS[name]) and issubclass(OBJECTS[name], BaseEstimator):
        assert not [key for key in vars(OBJECTS[name]()) if key.endswith("_")]
