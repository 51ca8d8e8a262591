"""Keep concurrent work on the CPU from taking more threads than there are cores."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_cores = threading.RLock()


def _renew_lock() -> None:
    """Give a forked process a lock that no thread of its parent holds."""
    global _cores
    _cores = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def all_cores(device: torch.device) -> Iterator[None]:
    """Hold the cores of this process while computing on the CPU.

    PyTorch gives each calling thread a team of threads of its own: two fits in two
    threads would run twice as many threads as there are cores, and be many times
    slower than one after the other. Here the second one waits.
    """
    if device.type != "cpu":
        yield
        return
    with _cores:
        yield
