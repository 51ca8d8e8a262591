import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning

from skvit import exceptions
from skvit.exceptions import TrainingWarning


def test_warnings_can_be_caught_as_scikit_learns():
    with pytest.warns(ConvergenceWarning, match="the loss grew"):
        warnings.warn("the loss grew", TrainingWarning, stacklevel=1)


def test_warnings_can_be_silenced_alone():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", TrainingWarning)
        warnings.warn("the loss grew", TrainingWarning, stacklevel=1)
        warnings.warn("not converged", ConvergenceWarning, stacklevel=1)
    assert [entry.category for entry in caught] == [ConvergenceWarning]


def test_all_names_are_there():
    assert exceptions.__all__ == ["TrainingWarning", "UnreadableImageWarning"]
