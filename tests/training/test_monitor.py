import numpy as np
import pytest

from skvit._training import EarlyStopping, Monitor, export_weights, train

SCORES = [0.5, 0.5, 0.6, 0.59, 0.62, 0.63, 0.61, 0.6, 0.62, 0.62, 0.61, 0.7]


@pytest.fixture
def watch(make_module, make_plan, make_data):
    """Return a function that trains on scripted scores, keeping each epoch's weights.

    It returns the result, the module and the weights that each epoch was scored by.
    """

    def run(scores, stopping, averaging=None, **settings):
        given, seen = iter(scores), []

        def keep(net):
            with net.average.applied():
                seen.append(export_weights(net.module_))
            return False

        monitor = Monitor(
            lambda logits: next(given), stopping, end_epoch=keep, **settings
        )
        module = make_module()
        trained = train(
            module,
            make_plan(max_epochs=len(scores), averaging=averaging),
            0,
            make_data(),
            valid_data=make_data(seed=1),
            monitor=monitor,
        )
        return trained, module, seen

    return run


def epochs_of_mlp(scores, patience, tol):
    """Return how many epochs scikit-learn's MLPClassifier would train for."""
    best, without_gain = -np.inf, 0
    for epoch, score in enumerate(scores, start=1):
        without_gain = without_gain + 1 if score < best + tol else 0
        best = max(best, score)
        if without_gain > patience:
            return epoch
    return len(scores)


RISING = [0.25, 0.5, 0.75, 1.0, 1.25]
LEVEL = [0.5, 0.75, 0.75, 0.75, 0.75, 0.5]


@pytest.mark.parametrize("scores", [SCORES, RISING, LEVEL])
@pytest.mark.parametrize("patience", [1, 2, 3, 20])
@pytest.mark.parametrize("tol", [0.0, 1e-4, 0.015, 0.2, 0.25])
def test_training_stops_when_scikit_learns_would(watch, scores, patience, tol):
    trained, _, seen = watch(scores, EarlyStopping(patience, tol))
    expected = epochs_of_mlp(scores, patience, tol)
    assert len(seen) == len(trained.history) == trained.progress.epochs == expected
    assert trained.history["valid_score"].tolist() == scores[:expected]


def test_the_first_of_equal_scores_is_the_best(watch):
    _, module, seen = watch(LEVEL, EarlyStopping(9, 0.0))
    for name, value in export_weights(module).items():
        np.testing.assert_array_equal(value, seen[1][name])


@pytest.mark.parametrize("averaging", [None, 0.5])
def test_best_weights_come_back(watch, averaging):
    _, module, seen = watch(SCORES, EarlyStopping(3, 1e-4), averaging)
    scores = SCORES[: len(seen)]
    best = seen[int(np.argmax(scores))]
    assert not np.array_equal(
        best["head.output.weight"], seen[-1]["head.output.weight"]
    )
    for name, value in export_weights(module).items():
        np.testing.assert_array_equal(value, best[name])


def test_a_gain_below_tol_is_no_gain_but_its_weights_are_the_best(watch):
    scores = [0.5, 0.55, 0.58, 0.4]
    _, module, seen = watch(scores, EarlyStopping(10, 0.1))
    for name, value in export_weights(module).items():
        np.testing.assert_array_equal(value, seen[2][name])


def test_scores_alone_keep_the_last_weights(watch):
    _, module, seen = watch(SCORES[::-1], None)
    assert len(seen) == len(SCORES)
    for name, value in export_weights(module).items():
        np.testing.assert_array_equal(value, seen[-1][name])


def test_each_epoch_is_announced_and_a_callback_may_end_training(
    make_module, make_plan, make_data
):
    calls = []
    monitor = Monitor(
        begin_epoch=lambda: calls.append("begin"),
        end_epoch=lambda net: calls.append(len(net.history)) or len(net.history) == 2,
    )
    trained = train(make_module(), make_plan(), 0, make_data(), monitor=monitor)
    assert calls == ["begin", 1, "begin", 2]
    assert trained.history["epoch"].tolist() == [1, 2]


def test_progress_shows_loss_score_and_speed(watch, capfd):
    watch(SCORES[:3], None, show_progress=True)
    shown = capfd.readouterr().err
    assert "3/3" in shown
    for word in ("loss=", "valid_score=0.6000", "images/s="):
        assert word in shown


def test_progress_without_validation(make_module, make_plan, make_data, capfd):
    monitor = Monitor(show_progress=True)
    train(make_module(), make_plan(), 0, make_data(), monitor=monitor)
    assert "valid_score" not in capfd.readouterr().err


def test_silence_is_the_default(watch, capfd):
    watch(SCORES[:2], None)
    assert capfd.readouterr() == ("", "")
