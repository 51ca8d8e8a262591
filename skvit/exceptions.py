"""Warnings that skvit raises."""

from sklearn.exceptions import ConvergenceWarning

__all__ = ["TrainingWarning", "UnreadableImageWarning"]


class TrainingWarning(ConvergenceWarning):
    """Training ended, but its result should not be trusted as it is.

    The message says what was seen (a loss that grew, predictions that are all of one
    class, too few patches, values in another range) and what to change.

    See Also
    --------
    sklearn.exceptions.ConvergenceWarning : The category that this one refines.

    Examples
    --------
    >>> import warnings
    >>> from skvit.exceptions import TrainingWarning
    >>> warnings.simplefilter("error", TrainingWarning)
    """


class UnreadableImageWarning(UserWarning):
    """Files that cannot be read were left out of training.

    `fit` was asked to with ``ImageOptions(on_error="skip")``, and lists them with
    their reasons in the attribute ``skipped_``.

    Examples
    --------
    >>> import warnings
    >>> from skvit.exceptions import UnreadableImageWarning
    >>> warnings.simplefilter("ignore", UnreadableImageWarning)
    """
