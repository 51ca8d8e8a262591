"""Calls that are answered by processes of their own, as a user would run each.

In one process what one of them does changes the others: PyTorch's threads, the memory
that the allocator keeps.
"""

import multiprocessing
import warnings
from contextlib import contextmanager


@contextmanager
def apart(makers):
    """Yield calls by name; each is made and run in a process of its own.

    `makers` maps names to functions without arguments, which can be pickled, and return
    the call. A call returns what the one in the process returns.
    """
    spawn = multiprocessing.get_context("spawn")
    processes, calls = [], {}
    for name, make in makers.items():
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, make), daemon=True)
        process.start()
        theirs.close()
        processes.append((process, ours))
        calls[name] = _asking(ours)
        calls[name]()  # wait until it is made: making takes cores as well
    try:
        yield calls
    finally:
        for process, ours in processes:
            ours.close()
            process.join()


def _asking(connection):
    """Return a function that has the call made at the other end."""

    def ask():
        connection.send(True)
        return connection.recv()

    return ask


def _serve(connection, make):
    """Make the call, then run it whenever asked until nobody listens."""
    warnings.simplefilter("ignore")
    connection.recv()
    call = make()
    connection.send(None)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(call())
