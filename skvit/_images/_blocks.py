"""Pieces of a large array, small enough to work on in memory."""

from collections.abc import Iterator
from math import prod

# 16 MiB of float64: long beside the overhead of a step, short beside the memory.
BLOCK_VALUES = 2**21


def iter_blocks(
    shape: tuple[int, ...], block_values: int = BLOCK_VALUES
) -> Iterator[tuple[slice, slice]]:
    """Yield slices of the first two axes that cover an array once.

    Whole samples as long as one fits; where it does not, runs of its rows. The cuts
    depend on the shape alone, so that sums over blocks are the same for every dtype
    and memory layout.
    """
    n_samples, n_rows, *rest = shape
    row_values = max(1, prod(rest))
    rows = min(n_rows, max(1, block_values // row_values))
    samples = max(1, block_values // (n_rows * row_values)) if rows == n_rows else 1
    for first in range(0, n_samples, samples):
        for top in range(0, n_rows, rows):
            yield slice(first, first + samples), slice(top, top + rows)
