import importlib.util
import sys

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skvit._utils import _sklearn_callbacks as module_under_test
from skvit._utils._sklearn_callbacks import (
    CallbackSupportMixin,
    EpochReporter,
    with_callbacks,
)

has_callbacks = pytest.mark.skipif(
    importlib.util.find_spec("sklearn.callback") is None,
    reason="scikit-learn has callbacks from 1.9 on",
)
X, Y = [[1], [2]], [0, 1]


class Counter(CallbackSupportMixin, BaseEstimator):
    """An estimator that learns one number: how many epochs it ran."""

    def __init__(self, max_epochs=4, fail=False):
        self.max_epochs = max_epochs
        self.fail = fail

    @with_callbacks
    def fit(self, X, y):
        reporter = EpochReporter(self, X, y)
        reporter.begin(self.max_epochs)
        self.stopped_ = False
        for epoch in range(1, self.max_epochs + 1):
            reporter.begin_epoch()
            self.epochs_ = epoch
            if reporter.end_epoch(self._state):
                self.stopped_ = True
                break
            if self.fail:
                raise RuntimeError("midway")
        reporter.end(self._state)
        return self

    def _state(self):
        self.n_asked = getattr(self, "n_asked", 0) + 1
        return {"epochs_": self.epochs_}


class Recorder:
    """A callback that keeps what it hears and may end training."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.heard = []

    def setup(self, estimator, context):
        self.heard.append(("setup", context.task_name, context.max_subtasks))

    def teardown(self, estimator, context):
        self.heard.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        assert (X, y) == ([[1], [2]], [0, 1])
        self.heard.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.heard.append(("end", context.task_name, context.task_id))
        return self.stop_after is not None and context.task_id + 1 >= self.stop_after


class Curious(Recorder):
    """A callback that wants the estimator as it is after each epoch."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        check_is_fitted(fitted_estimator)
        assert fitted_estimator is not estimator
        self.heard.append((context.task_name, fitted_estimator.epochs_))


def epochs(n):
    return [
        (moment, "epoch", number) for number in range(n) for moment in ("begin", "end")
    ]


@has_callbacks
def test_every_epoch_is_heard_within_its_fit():
    recorder = Recorder()
    estimator = Counter(max_epochs=3).set_callbacks(recorder).fit(X, Y)
    assert recorder.heard == [
        ("setup", "fit", 3),
        ("begin", "fit", 0),
        *epochs(3),
        ("end", "fit", 0),
        ("teardown", "fit"),
    ]
    assert not estimator.stopped_
    assert not hasattr(estimator, "n_asked")  # nobody wanted the state


@has_callbacks
def test_a_callback_may_end_training():
    recorder = Recorder(stop_after=2)
    estimator = Counter().set_callbacks(recorder).fit(X, Y)
    assert estimator.stopped_
    assert estimator.epochs_ == 2
    assert recorder.heard[2:-2] == epochs(2)


@has_callbacks
def test_a_callback_may_have_the_estimator_so_far():
    curious = Curious()
    estimator = Counter(max_epochs=2).set_callbacks(curious).fit(X, Y)
    heard = [entry for entry in curious.heard if len(entry) == 2]
    assert heard == [("epoch", 1), ("epoch", 2), ("fit", 2), ("teardown", "fit")]
    assert estimator.n_asked == 3


@has_callbacks
def test_callbacks_are_let_go_when_fitting_fails():
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="midway"):
        Counter(fail=True).set_callbacks(recorder).fit(X, Y)
    assert recorder.heard[-1] == ("teardown", "fit")


def test_nobody_need_listen():
    assert Counter().fit(X, Y).epochs_ == 4


def test_without_a_context_nothing_is_told():
    reporter = EpochReporter(BaseEstimator(), X, Y)
    reporter.begin(3)
    reporter.begin_epoch()
    assert reporter.end_epoch(pytest.fail) is False
    reporter.end(pytest.fail)


def test_older_releases_do_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("older", module_under_test.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)

    class Plain(older.CallbackSupportMixin, BaseEstimator):
        @older.with_callbacks
        def fit(self, X, y):
            reporter = older.EpochReporter(self, X, y)
            reporter.begin(1)
            reporter.begin_epoch()
            self.stopped_ = reporter.end_epoch(pytest.fail)
            reporter.end(pytest.fail)
            return self

    assert Plain().fit(X, Y).stopped_ is False
    assert not hasattr(Plain(), "set_callbacks")
