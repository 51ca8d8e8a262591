"""Keep concurrent work on the CPU from taking more threads than there are cores."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from skvit._training._memory import keep_freed_memory

_MANY = 2**17
_cores = threading.RLock()


def _begin_child() -> None:
    """Let a forked process compute, which has none of its parent's threads.

    It gets a lock that none of them holds, and computes in one thread: PyTorch would
    wait for ever for the parent's team.
    """
    global _cores
    _cores = threading.RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


@contextmanager
def all_cores(device: torch.device, n_values: int = _MANY) -> Iterator[None]:
    """Hold the cores of this process while computing on the CPU.

    PyTorch gives each calling thread a team of threads of its own: two fits in two
    threads would run twice as many threads as there are cores, and be many times
    slower than one after the other. Here the second one waits. Where a layer handles
    fewer than `_MANY` numbers at a time, one thread is as fast as several, which would
    mostly wait for each other.
    """
    if device.type != "cpu":
        yield
        return
    keep_freed_memory()
    with _cores:
        before = torch.get_num_threads()
        if n_values < _MANY and before > 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
