"""A moving average of the weights, exchanged with them for a while or for good."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average of parameters.

    The average starts at the weights of its first update and forgets with the given
    decay, but never more slowly than a plain mean of what it has seen.

    Parameters
    ----------
    parameters : list of Tensor
        The weights that training changes.
    decay : float or None
        Decay per update; None keeps no average.
    """

    def __init__(self, parameters: list[Tensor], decay: float | None):
        self.parameters = parameters
        self.decay = decay
        self.n_seen = 0
        self.values: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights."""
        if self.decay is None:
            return
        self.n_seen += 1
        if self.n_seen == 1:
            self.values = [p.detach().clone() for p in self.parameters]
            return
        share = max(1 - self.decay, 1 / self.n_seen)
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], share)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average; twice is nothing."""
        for parameter, value in zip(self.parameters, self.values, strict=False):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in place of the weights for the while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
