"""Share the cores: one computation at a time, and its images among threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch

from skvit._training._memory import keep_freed_memory
from skvit.nn import ViTConfig

Result = TypeVar("Result")

# Products of a layer's map, below which one thread is as fast as several.
_MANY = 2**23
# More parts than these would wait for each other in Python, which runs one at a time.
_TEAM_SIZES = 1, 2, 3, 4
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
def all_cores(device: torch.device) -> Iterator[None]:
    """Hold the cores of this process while computing on the CPU.

    PyTorch gives each calling thread a team of threads of its own: two fits in two
    threads would run twice as many threads as there are cores, and be many times
    slower than one after the other. Here the second one waits.
    """
    if device.type != "cpu":
        yield
        return
    keep_freed_memory()
    with _cores:
        before = torch.get_num_threads()
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)


class Team:
    """Threads that share the images of a batch, each with all layers of its own part.

    Threads that share a layer wait for each other at the end of every one, hundreds of
    times in an update; threads that share the images do so once.

    Parameters
    ----------
    size : int, default=1
        Number of threads, the calling one included.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._others = ThreadPoolExecutor(size - 1) if size > 1 else None

    def map(
        self, compute: Callable[[slice], Result], start: int, stop: int
    ) -> list[Result]:
        """Return what a function makes of each part of a range, in their order.

        Gradients are kept by all threads if they are by the calling one.
        """
        own, *rest = split_evenly(start, stop, self.size)
        if self._others is None:
            return [compute(own)]
        keeps_gradients = torch.is_grad_enabled()  # a switch that each thread has

        def compute_alike(part: slice) -> Result:
            with torch.set_grad_enabled(keeps_gradients):
                return compute(part)

        futures = [self._others.submit(compute_alike, part) for part in rest]
        try:
            first = compute(own)
        finally:
            wait(futures)
        return [first, *(future.result() for future in futures)]

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._others is not None:
            self._others.shutdown()


def split_evenly(start: int, stop: int, size: int) -> list[slice]:
    """Return slices that differ by one at most: `size` of them, but none empty."""
    ends = [start + (stop - start) * place // size for place in range(size + 1)]
    return [slice(*pair) for pair in pairwise(ends) if pair[0] < pair[1]]


@contextmanager
def team_of_cores(
    device: torch.device, config: ViTConfig, n_images: int, shares: bool = True
) -> Iterator[Team]:
    """Hold the cores of this process, and yield the threads that share a batch.

    Parameters
    ----------
    device : torch.device
        Where is computed; what is not the CPU has one thread to tell it what to do.
    config : ViTConfig
        The network's; for few, small images one thread does it all.
    n_images : int
        Images in a batch. Where they are fewer than the threads, or do not come out
        even, several of PyTorch's threads share each layer of a part.
    shares : bool, default=True
        Whether parts of a batch may be computed at once; otherwise all threads are
        PyTorch's.
    """
    with all_cores(device):
        n_threads = torch.get_num_threads()
        size = 1
        if device.type == "cpu":
            n_products = n_images * config.num_tokens * config.embed_dim**2
            n_threads = n_threads if n_products >= _MANY else 1
            most = n_images if shares else 1
            size = max(s for s in _TEAM_SIZES if n_threads % s == 0 and s <= most)
            torch.set_num_threads(n_threads // size)
        with Team(size) as team:
            yield team
