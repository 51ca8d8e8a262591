"""Run one training: a module, a plan and data in; weights and history out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch.helper import predefined_split

from skvit._training._batches import ImageData
from skvit._training._monitor import Monitor, TrainingEndError
from skvit._training._net import ViTNet
from skvit._training._plan import Streams, TrainingPlan
from skvit._training._threads import team_of_cores
from skvit._utils._warn import warn
from skvit.nn import VisionTransformer, set_generator


@dataclass(frozen=True)
class Progress:
    """Where training stands, as plain Python and NumPy.

    Parameters
    ----------
    epochs : int, default=0
        Epochs completed.
    updates : int, default=0
        Updates made.
    optimizers : tuple of dict, default=()
        State of each optimizer.
    """

    epochs: int = 0
    updates: int = 0
    optimizers: tuple[dict, ...] = ()


@dataclass(frozen=True)
class Trained:
    """Result of a training run.

    Parameters
    ----------
    progress : Progress
        Where training ended.
    history : DataFrame
        One row per epoch.
    """

    progress: Progress
    history: pd.DataFrame


def train(
    module: VisionTransformer,
    plan: TrainingPlan,
    seed: int,
    data: ImageData,
    *,
    valid_data: ImageData | None = None,
    monitor: Monitor,
    start: Progress = Progress(),
) -> Trained:
    """Train a module in place.

    Parameters
    ----------
    module : VisionTransformer
        The network, on the device of the data.
    plan : TrainingPlan
        Settings of the run.
    seed : int
        Seed of every draw.
    data, valid_data : ImageData
        What to train on, and what to score after each epoch.
    monitor : Monitor
        Receives each epoch and may end training.
    start : Progress
        Where an earlier run ended, to go on from there.

    Returns
    -------
    Trained
        What the run led to; the weights stay in the module.

    Warns
    -----
    UserWarning
        If Ctrl-C ended training; the model so far is kept.
    """
    streams = Streams.on(data.device, seed)
    set_generator(module, streams.device)
    net = ViTNet(
        module,
        plan,
        streams,
        first_epoch=start.epochs,
        n_updates=start.updates,
        device=data.device,
        callbacks=[("monitor", monitor)],
    )
    if valid_data is not None:
        net.train_split = predefined_split(valid_data)
    batch = module.config, plan.batch_size
    with team_of_cores(data.device, *batch, shares=not plan.compile) as net.team:
        net.initialize()
        if start.optimizers:
            net.optimizers.load_states(to_torch(start.optimizers))
        _run_epochs(net, data)
    _settle_weights(net, monitor)
    set_generator(module, None)
    rows = [row for row in net.history.to_list() if "learning_rate" in row]
    return Trained(
        progress=Progress(
            epochs=start.epochs + len(rows),
            updates=net.n_updates,
            optimizers=to_numpy(tuple(net.optimizers.states())),
        ),
        history=history_frame(rows, start.epochs),
    )


def _run_epochs(net: ViTNet, data: ImageData) -> None:
    """Run skorch's loop until the last epoch, a stop or Ctrl-C."""
    net.notify("on_train_begin", X=data, y=None)
    try:
        net.fit_loop(data)
    except TrainingEndError:
        pass
    except KeyboardInterrupt:
        warn("Training interrupted by user.", UserWarning)
    finally:
        net.notify("on_train_end", X=data, y=None)
        net.end_updates()


def _settle_weights(net: ViTNet, monitor: Monitor) -> None:
    """Leave the weights in the module that the run is to be remembered by."""
    if not monitor.best_weights:
        net.average.swap()
        return
    with torch.no_grad():
        kept = net.module_.state_dict().values()
        for tensor, best in zip(kept, monitor.best_weights, strict=True):
            tensor.copy_(best)


def history_frame(rows: list[dict], first_epoch: int) -> pd.DataFrame:
    """Return skorch's history as a frame with one row per epoch.

    What is known of validation alone is left out where no row has it.
    """
    columns = [
        "epoch",
        "train_loss",
        "valid_loss",
        "valid_score",
        "learning_rate",
        "images_per_second",
        "seconds",
    ]
    kept = [
        {name: row[name] for name in columns if name in row}
        | {"epoch": first_epoch + number}
        for number, row in enumerate(rows, start=1)
    ]
    types = {
        name: "int64" if name == "epoch" else "float64"
        for name in columns
        if not name.startswith("valid_") or any(name in row for row in kept)
    }
    return pd.DataFrame(kept, columns=list(types)).astype(types)


def to_numpy(tree: Any) -> Any:
    """Replace every tensor in nested containers by a NumPy array."""
    return _map_leaves(
        tree,
        torch.Tensor,
        lambda tensor: tensor.detach().to("cpu", copy=True).numpy(),
    )


def to_torch(tree: Any) -> Any:
    """Replace every NumPy array in nested containers by a tensor."""
    return _map_leaves(tree, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _map_leaves(tree: Any, kind: type, function: Any) -> Any:
    """Apply a function to the leaves of one kind."""
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {key: _map_leaves(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_leaves(value, kind, function) for value in tree)
    return tree
