"""What a training run is told: numbers only, every "auto" already resolved."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from skvit._training._augment import Augmentation
from skvit.nn import drawing_for_rows


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of one training run.

    Parameters
    ----------
    max_epochs : int
        Passes over the training data.
    batch_size : int
        Largest number of images per update.
    optimizer : {"adamw", "muon", "sgd"}
        Update rule.
    learning_rate, weight_decay : float
        Highest rate and decoupled decay.
    warmup : int
        Updates of linear warm-up.
    total_updates : int or None
        Length of the cosine decay; None for a constant rate after warm-up.
    final_rate : float
        Fraction of the rate reached at the end.
    clip_norm : float or None
        Largest norm of the gradient.
    label_smoothing : float
        Probability mass given to all classes.
    averaging : float or None
        Decay of the moving average of the weights.
    averaging_start : int
        Update from which the average is kept.
    dropping_epochs : int or None
        Epochs of this run that leave patches out, before the others show them all; None
        for a network that leaves out none, or always some.
    augmentation : Augmentation or None
        How training images are varied.
    precision : {"float32", "bfloat16", "float16", "float64"}
        Type of the matrix products.
    compile : bool
        Whether the network is compiled before training.
    n_classes : int
        Number of outputs.
    """

    max_epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    warmup: int
    total_updates: int | None
    final_rate: float
    clip_norm: float | None
    label_smoothing: float
    averaging: float | None
    averaging_start: int
    dropping_epochs: int | None
    augmentation: Augmentation | None
    precision: str
    compile: bool
    n_classes: int


def stream_seed(seed: int, epoch: int, purpose: int) -> int:
    """Derive an independent seed for one epoch and one purpose from the fit's seed."""
    sequence = np.random.SeedSequence([seed, epoch, purpose])
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


@dataclass(frozen=True)
class Streams:
    """The two generators that a training run draws from.

    Each epoch seeds them anew from the fit's seed and the epoch's number, so that
    training which is continued, also after pickling, draws what it would have drawn.

    Parameters
    ----------
    seed : int
        Seed of the fit.
    host : torch.Generator
        Source of the order of images and of mixing, on the CPU.
    device : torch.Generator
        Source of dropout and of augmentation, where the network is.
    """

    seed: int
    host: torch.Generator
    device: torch.Generator

    @classmethod
    def on(cls, device: torch.device, seed: int) -> "Streams":
        """Return generators for training on a device."""
        return cls(seed, torch.Generator(), torch.Generator(device))

    def begin_epoch(self, epoch: int) -> None:
        """Seed both generators for an epoch."""
        self.host.manual_seed(stream_seed(self.seed, epoch, 1))
        self.device.manual_seed(stream_seed(self.seed, epoch, 2))

    @contextmanager
    def share_draws(
        self, batch: slice
    ) -> Iterator[Callable[[slice], AbstractContextManager]]:
        """Yield what lets a thread draw for its part of a batch as for all of it.

        On the CPU, for a network whose dropout draws from `device`. That generator goes
        on as if one thread had drawn, and only where all threads come to their end.
        """
        state = self.device.get_state()
        of_first = torch.Generator().set_state(state)

        def drawing_for(part: slice) -> AbstractContextManager:
            is_first = part.start == batch.start
            source = of_first if is_first else torch.Generator().set_state(state)
            rows = slice(part.start - batch.start, part.stop - batch.start)
            return drawing_for_rows(rows, batch.stop - batch.start, source)

        yield drawing_for
        self.device.set_state(of_first.get_state())
