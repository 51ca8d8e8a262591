"""Report training to scikit-learn's callbacks, where it has them.

scikit-learn 1.9 introduced `sklearn.callback` as experimental. On older releases the
mixin is empty, the decorator changes nothing and nobody is told.
"""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]  # in place of the import
        """Stand in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


class EpochReporter:
    """Tell scikit-learn's callbacks of a fit and of each of its epochs.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted.
    X, y : array-like
        What it is fitted on.
    """

    def __init__(self, estimator, X, y):
        self.estimator = estimator
        self.data = {"X": X, "y": y}
        self.context = None

    def begin(self, max_epochs):
        """Announce a fit of at most so many epochs."""
        if hasattr(self.estimator, "_init_callback_context"):
            self.context = self.estimator._init_callback_context(
                max_subtasks=max_epochs
            )
            self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def begin_epoch(self):
        """Announce an epoch."""
        if self.context is not None:
            self._epoch = self.context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def end_epoch(self, fitted_attributes):
        """Report an epoch; return whether a callback asks to stop.

        Parameters
        ----------
        fitted_attributes : callable
            Returns the attributes of an estimator fitted so far; called only when a
            callback wants one.

        Returns
        -------
        bool
            Whether to end training.
        """
        if self.context is None:
            return False
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self.estimator,
                reconstruction_attributes=fitted_attributes,
                **self.data,
            )
        )

    def end(self, fitted_attributes):
        """Report the end of the fit."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator,
                reconstruction_attributes=fitted_attributes,
                **self.data,
            )
