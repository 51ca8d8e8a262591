"""Fit the network of an estimator's draft: resolve, build, train, remember."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from skvit._doctor import (
    chance_loss,
    check_collapse,
    check_tokens,
    check_training,
    value_scale,
)
from skvit._recipe import recipe_of_a_pass, resolve_recipe
from skvit._samples import Run
from skvit._settings import (
    check_goes_on,
    network_config,
    plain_parameters,
    training_plan,
)
from skvit._training import (
    EarlyStopping,
    Monitor,
    Progress,
    Runtime,
    Streams,
    ViTNet,
    build_module,
    export_weights,
    history_frame,
    parameter_dtype,
    predict_logits,
    resolve_device,
    resolve_precision,
    train,
)
from skvit.nn import whiten_stem

_PROBES = 64  # images on which a trained network is tried
_WHITENED = 1_000  # images whose pixels the stem is whitened for
_WINDOW_VALUES = 5e6  # looked at for that, at most
_WINDOW_SIDE = 3
_READ_VALUES = 2**21  # of the images that are read at a time


@torch.inference_mode(False)  # the caller may be in it, where nothing learns
def fit_network(draft, samples, n_outputs, *, run, valid=None, score=None, report_to):
    """Train the draft's network and store all that it leads to.

    Parameters
    ----------
    draft : BaseViT
        Receives the fitted state; has its `image_spec_`.
    samples : Samples
        What to train on, weights with a mean of one.
    n_outputs : int
        Number of outputs.
    run : Run
        How this call trains.
    valid : Samples or None, default=None
        What to score after each epoch.
    score : callable or None, default=None
        Maps the outputs for `valid` to a score.
    report_to : EpochReporter or None
        Hears of every epoch.
    """
    params = plain_parameters(draft, run)
    device = resolve_device(draft.device)
    if not run.go_on:
        _begin(draft, samples)
    if not run.partial or not run.go_on:
        draft.recipe_ = resolve_recipe(
            params, draft.image_spec_, len(samples.images), device.type != "cpu"
        )
    if run.partial:
        draft.recipe_ = recipe_of_a_pass(draft.recipe_, params.architecture)
    config = network_config(
        draft.recipe_, params.architecture, draft.image_spec_, n_outputs
    )
    if draft.image_spec_.kind == "image" and draft.patch_size != "auto":
        check_tokens(config.patch_size, config.num_patches, len(samples.images))
    precision = resolve_precision(draft.precision, device, config)
    module = _make_module(draft, config, device, precision, run)
    if draft.recipe_.whiten and not run.go_on:
        _whiten(module, draft, samples, device, precision)
    plan = training_plan(
        draft.recipe_,
        params.recipe,
        run,
        len(samples.images),
        n_outputs,
        precision,
        draft.compile,
    )
    if run.partial:
        plan = _keep_warmup(draft, plan)
    monitor = _make_monitor(draft, score, report_to, plan.max_epochs)
    trained = train(
        module,
        plan,
        draft._seed,
        _as_data(draft, samples, device, precision),
        valid_data=None if valid is None else _as_data(draft, valid, device, precision),
        monitor=monitor,
        start=draft._progress if run.partial else Progress(draft._progress.epochs),
    )
    few = samples.take(_spread_rows(len(samples.images), _PROBES))
    logits = _checked_outputs(module, _as_data(draft, few, device, precision), plan)
    if not run.partial:
        _examine(trained, plan, samples, few, logits)
    _remember(draft, module, device, trained, run)
    if report_to is not None:
        report_to.end(lambda: _state(draft))


def _begin(draft, samples):
    """Give a draft what the first of a chain of fits decides for all."""
    draft.channel_mean_, draft.channel_std_ = draft._statistics(samples)
    draft._value_scale = value_scale(samples.images)
    draft._seed = draft._make_seed()
    draft._progress = Progress()
    draft.history_ = None
    draft.recipe_ = None


def _as_data(draft, samples, device, precision):
    """Return samples as what training iterates over."""
    return draft._make_data(
        samples.images, device, precision, samples.target, samples.weight
    )


def _make_module(draft, config, device, precision, run):
    """Build the network with new or earlier weights."""
    dtype = parameter_dtype(precision)
    if not run.go_on:
        module = build_module(config, device, dtype, draft._seed)
    else:
        check_goes_on(config, draft._config)
        module = Runtime().module(config, draft._weights, device, precision)
    draft._config = config
    return module


def _keep_warmup(draft, plan):
    """Return the plan with the warm-up of the first of a chain of partial fits."""
    if draft._progress.updates == 0:
        draft._warmup = plan.warmup
    return replace(plan, warmup=draft._warmup)


def _make_monitor(draft, score, report_to, max_epochs):
    """Return what watches the training."""
    stopping = None
    if draft.early_stopping:
        stopping = EarlyStopping(draft.n_iter_no_change, draft.tol)
    monitor = Monitor(score, stopping, show_progress=bool(draft.verbose))
    if report_to is not None:
        report_to.begin(max_epochs)
        monitor.begin_epoch = report_to.begin_epoch
        monitor.end_epoch = lambda net: report_to.end_epoch(
            lambda: _state_so_far(draft, net)
        )
    return monitor


def _spread_rows(n_samples, n_rows):
    """Return some rows from all over the data, which may be sorted by class."""
    return np.unique(np.linspace(0, n_samples - 1, n_rows).astype(int))


def _whiten(module, draft, samples, device, precision):
    """Let the stem begin with filters that decorrelate the pixels of some images."""
    config = module.config
    rows = _spread_rows(len(samples.images), _WHITENED)
    image_values = math.prod(config.image_size) * config.in_channels
    windows = len(rows) * image_values * _WINDOW_SIDE**2
    n_read = max(1, _READ_VALUES // image_values)
    parts = (
        _as_data(draft, samples.take(rows[first : first + n_read]), device, precision)
        for first in range(0, len(rows), n_read)
    )
    whiten_stem(
        module,
        ((part.inputs(slice(None)), part.labels(slice(None))[1]) for part in parts),
        step=math.ceil(math.sqrt(windows / _WINDOW_VALUES)),
    )


def _checked_outputs(module, data, plan):
    """Return outputs, or raise where the last update broke the network."""
    logits = predict_logits(module.eval(), data, plan.precision)
    if not np.isfinite(logits).all():
        raise ValueError(
            "Training diverged: after the last update the network's outputs are "
            f"{logits[~np.isfinite(logits)][0]}. Use a smaller "
            f"`learning_rate` than {plan.learning_rate:g}, or precision='float32'."
        )
    return logits


def _examine(trained, plan, samples, few, logits):
    """Warn where the network has learned nothing."""
    if trained.history.empty:
        return
    updates = trained.progress.updates
    chance = chance_loss(
        samples.target, samples.weight, plan.n_classes, plan.label_smoothing
    )
    losses = trained.history["train_loss"].tolist()
    if not check_training(losses, chance, updates, plan.learning_rate):
        check_collapse(logits.argmax(axis=1), few.target, updates)


def _state_so_far(draft, net):
    """Return the attributes of an estimator whose fit had stopped just now."""
    history = history_frame(net.history.to_list(), net.first_epoch)
    progress = Progress(net.first_epoch + len(history))
    with net.average.applied():
        return _state(draft) | _result(draft, net.module_, history, progress)


def _state(draft):
    """Return the fitted attributes of a draft."""
    parameters = draft._get_param_names()
    return {k: v for k, v in vars(draft).items() if k not in parameters}


def _remember(draft, module, device, trained, run):
    """Store the result of a run in the draft."""
    # Only partial_fit goes on with the optimizer; its state is twice the weights.
    progress = trained.progress if run.partial else Progress(trained.progress.epochs)
    vars(draft).update(_result(draft, module, trained.history, progress))
    draft._runtime.adopt(module, device)


def _join_histories(former, new):
    """Return the epochs of two runs; an empty one would take the columns' types."""
    if former is None or former.empty:
        return new
    return former if new.empty else pd.concat([former, new], ignore_index=True)


def _result(draft, module, new_history, progress):
    """Return the attributes that a run leads to, after those that came before it."""
    history = _join_histories(draft.history_, new_history)
    scores = history.get("valid_score")
    known = [] if scores is None else scores.dropna()
    return {
        "_weights": export_weights(module),
        "_runtime": Runtime(),
        "_public_runtime": Runtime(),
        "_progress": progress,
        "n_epochs_": len(history),
        "history_": history,
        "loss_curve_": history["train_loss"].tolist(),
        "validation_scores_": None if scores is None else scores.tolist(),
        "best_validation_score_": max(known, default=None),
    }


def make_net(estimator):
    """Return a skorch net around a fitted estimator's network.

    Parameters
    ----------
    estimator : BaseViT
        A fitted estimator.

    Returns
    -------
    ViTNet
        Initialised around `module_`, with the history of the training.
    """
    device, precision = estimator._resolve_place()
    options = estimator._options()["recipe"]
    plan = training_plan(
        estimator.recipe_,
        options,
        Run(),
        1,
        estimator._config.num_outputs,
        precision,
        estimator.compile,
    )
    net = ViTNet(
        estimator.module_,
        plan,
        Streams.on(device, estimator._seed),
        device=device,
        predict_nonlinearity=lambda logits: torch.softmax(logits, dim=1),
        make_data=lambda X, y: estimator._make_data(
            estimator._check_input(X, reset=False), device, precision, y
        ),
    ).initialize()
    for row in estimator.history_.to_dict("records"):
        net.history.new_epoch()
        for name, value in row.items():
            net.history.record(name, value)
    return net
