"""Watch training from epoch to epoch: score, best weights, stopping, progress."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skvit._training._net import ViTNet


class TrainingEndError(Exception):
    """Raised between epochs to end training normally."""


@dataclass(frozen=True)
class EarlyStopping:
    """When to end training for lack of improvement.

    Parameters
    ----------
    patience : int
        Epochs without an improvement of `tol` before training ends.
    tol : float
        Smallest gain that counts as an improvement.
    """

    patience: int
    tol: float


@dataclass
class Monitor(Callback):
    """Record each epoch, keep the best weights and decide when to stop.

    Parameters
    ----------
    score : callable or None
        Maps the validation data's logits to a score, larger is better. None where
        there is no validation data.
    early_stopping : EarlyStopping or None
        None trains to the end and keeps the last weights.
    begin_epoch : callable or None
        Called before each epoch.
    end_epoch : callable or None
        Called with the net after each epoch; a true result ends training.
    show_progress : bool
        Whether a live progress bar is drawn.
    """

    score: Callable[[np.ndarray], float] | None = None
    early_stopping: EarlyStopping | None = None
    begin_epoch: Callable[[], None] | None = None
    end_epoch: Callable[[ViTNet], bool] | None = None
    show_progress: bool = False
    best_weights: list[torch.Tensor] = field(default_factory=list)
    _best_score: float = -math.inf
    _n_without_gain: int = 0

    def on_train_begin(self, net: ViTNet, *_: Any, **__: Any) -> None:
        """Open the progress bar."""
        if self.show_progress:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=net.max_epochs, unit="epoch")

    def on_epoch_begin(self, net: ViTNet, *_: Any, **__: Any) -> None:
        """Announce the epoch and start its clock."""
        if self.begin_epoch is not None:
            self.begin_epoch()
        self._began = time.perf_counter()

    def on_epoch_end(self, net: ViTNet, *_: Any, **__: Any) -> None:
        """Record the epoch, then raise `TrainingEndError` where it was the last."""
        row = net.history[-1]
        seconds = time.perf_counter() - self._began
        net.history.record("learning_rate", net.optimizers.learning_rate)
        net.history.record("seconds", seconds)
        net.history.record("images_per_second", row["train_samples"] / seconds)
        if not math.isfinite(row["train_loss"]):
            raise ValueError(
                f"Training diverged: the loss became {row['train_loss']} in epoch "
                f"{row['epoch']}. Use a smaller `learning_rate` than "
                f"{net.plan.learning_rate:g}, or precision='float32'."
            )
        stop = self._take_score(net)
        self._show(net)
        if self.end_epoch is not None and self.end_epoch(net):
            stop = True
        if stop:
            raise TrainingEndError

    def on_train_end(self, net: ViTNet, *_: Any, **__: Any) -> None:
        """Close the progress bar."""
        if self.show_progress:
            self._bar.close()

    def _take_score(self, net: ViTNet) -> bool:
        """Record the validation score; say whether to stop for lack of gain."""
        if self.score is None:
            return False
        logits = torch.cat(net.valid_logits).cpu().numpy()
        score = float(self.score(logits))
        net.history.record("valid_score", score)
        stopping = self.early_stopping
        if stopping is None:
            return False
        gained = score >= self._best_score + stopping.tol
        self._n_without_gain = 0 if gained else self._n_without_gain + 1
        if score > self._best_score:
            self._best_score = score
            with net.average.applied():
                self.best_weights = [
                    tensor.detach().clone()
                    for tensor in net.module_.state_dict().values()
                ]
        return self._n_without_gain > stopping.patience

    def _show(self, net: ViTNet) -> None:
        """Bring the progress bar up to date."""
        if not self.show_progress:
            return
        row = net.history[-1]
        shown = {"loss": f"{row['train_loss']:.4f}"}
        if "valid_score" in row:
            shown["valid_score"] = f"{row['valid_score']:.4f}"
        shown["images/s"] = f"{row['images_per_second']:.0f}"
        self._bar.set_postfix(shown)
        self._bar.update()
