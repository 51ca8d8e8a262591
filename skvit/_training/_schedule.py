"""Learning-rate schedules as pure functions of the update's number."""

import math


def cosine_factor(step: int, total: int, warmup: int, final: float) -> float:
    """Return the learning rate of an update as a fraction of the highest.

    Parameters
    ----------
    step : int
        Number of the update, from 0.
    total : int
        Number of updates in the whole training.
    warmup : int
        Number of updates during which the rate rises linearly from near 0 to 1.
    final : float
        Fraction reached at the end of the half cosine that follows.

    Returns
    -------
    float
        A factor between 0 and 1.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm
       Restarts", ICLR 2017, arXiv:1608.03983.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step + 1 - warmup) / max(total - warmup, 1), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def constant_factor(step: int, warmup: int) -> float:
    """Return the factor of an update at a constant rate after a linear warm-up."""
    return min((step + 1) / max(warmup, 1), 1.0)
