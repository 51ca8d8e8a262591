"""Muon for many small matrices at once: those of one shape are updated together."""

import math
from collections.abc import Iterable
from itertools import chain, groupby

import torch
from torch import Tensor

from skvit._training._threads import Team

# Keller Jordan's quintic, steepest at zero; see the reference of `Muon`.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_TINY = 1e-7
# Smaller matrices take longer to be converted than shorter numbers save,
_MIN_ROWS_IN_SHORT = 128
# and fewer products, of rows, rows and columns, longer to be shared among threads.
_MANY = 2**23
_RMS_OF_ADAMW = 0.2  # of an update, as Moonshot measured it: arXiv:2502.16982


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring all singular values near one, by Newton and Schulz's iteration.

    Parameters
    ----------
    matrices : Tensor of shape (n, rows, columns)
        Matrices with no more rows than columns.

    Returns
    -------
    Tensor of shape (n, rows, columns)
        Matrices with the same singular vectors, and values between 0.7 and 1.2.
    """
    a, b, c = _QUINTIC
    norms = torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)
    x = matrices / norms.clamp_min(_TINY)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        inner = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, inner, x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are made orthogonal, matrix by matrix.

    What `torch.optim.Muon` does with ``adjust_lr_fn="match_rms_adamw"`` and Nesterov's
    momentum, in a few large operations instead of some forty for every matrix. The
    rate may be a tensor, so that a captured graph follows it. Kernels of convolutions
    are matrices too, with a row for each output.

    Parameters
    ----------
    params : iterable of Tensor
        Matrices and kernels.
    lr : float or Tensor
        Learning rate.
    weight_decay : float
        Decoupled weight decay.
    momentum : float
        Decay of the gradients' moving average.
    short : bool, default=False
        Whether the iteration may multiply large matrices in bfloat16.
    team : Team, default=None
        Threads that share the matrices; None for the calling one.

    References
    ----------
    .. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
       2024, https://kellerjordan.github.io/posts/muon/.
    .. [2] J. Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float | Tensor,
        weight_decay: float,
        momentum: float,
        short: bool = False,
        team: Team | None = None,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        self.short = short
        self.team = team or Team()
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # none is ever given
        """Update every matrix and kernel that has a gradient."""
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            if matrices:
                self._update(matrices, group)

    def _update(self, matrices: list[Tensor], group: dict) -> None:
        """Update the matrices of one group."""
        gradients = [p.grad for p in matrices if p.grad is not None]
        averages = [self._average(p) for p in matrices]
        momentum, rate = group["momentum"], group["lr"]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, averages, momentum)
        flat = (direction.flatten(1) for direction in directions)
        turned = orthogonal_updates(flat, self.team, self.short)
        updates = [u.reshape(p.shape) for u, p in zip(turned, matrices, strict=True)]
        torch._foreach_mul_(updates, rate)
        torch._foreach_mul_(matrices, 1 - rate * group["weight_decay"])
        torch._foreach_sub_(matrices, updates)

    def _average(self, matrix: Tensor) -> Tensor:
        """Return the moving average of a matrix' gradients."""
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def orthogonal_updates(
    directions: Iterable[Tensor], team: Team, short: bool = False
) -> list[Tensor]:
    """Return directions made orthogonal, as large as AdamW's updates.

    Parameters
    ----------
    directions : iterable of Tensor
        Matrices of any shapes.
    team : Team
        Threads that share the matrices, where there is much to compute.
    short : bool, default=False
        Whether products of large matrices may be in bfloat16.

    Returns
    -------
    list of Tensor
        Matrices of the same shapes and types, in the same order.
    """
    directions = list(directions)
    n_products = sum(matrix.numel() * min(matrix.shape) for matrix in directions)
    is_shared = n_products >= _MANY
    by_shape = sorted(range(len(directions)), key=lambda n: _wide_shape(directions[n]))
    # dealt like cards, so that every thread gets some of each shape
    n_hands = team.size if is_shared else 1
    order = [n for first in range(n_hands) for n in by_shape[first::n_hands]]

    def compute(part: slice) -> list[Tensor]:
        return _update_alike([directions[place] for place in order[part]], short)

    parts = team.map(compute, 0, len(order)) if is_shared else [compute(slice(None))]
    updates = dict(zip(order, chain.from_iterable(parts), strict=True))
    return [updates[place] for place in range(len(directions))]


def _update_alike(directions: list[Tensor], short: bool) -> list[Tensor]:
    """Return directions made orthogonal, neighbours of one shape in one computation."""
    updates: list[Tensor] = []
    for (rows, columns), neighbours in groupby(directions, _wide_shape):
        alike = list(neighbours)
        wide = torch.stack([_to_wide(matrix) for matrix in alike])
        in_short = short and rows >= _MIN_ROWS_IN_SHORT
        turned = orthogonalize(wide.bfloat16() if in_short else wide).to(wide.dtype)
        scaled = turned * (_RMS_OF_ADAMW * math.sqrt(columns))
        updates += [
            update.T if matrix.shape[0] > matrix.shape[1] else update
            for matrix, update in zip(alike, scaled, strict=True)
        ]
    return updates


def _wide_shape(matrix: Tensor) -> tuple[int, int]:
    """Return the shape of a matrix, or of its transpose: the shorter side first."""
    rows, columns = sorted(matrix.shape)
    return rows, columns


def _to_wide(matrix: Tensor) -> Tensor:
    """Return a matrix, or its transpose, with no more rows than columns."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
