"""Keep memory from step to step, and go on with fewer images where it runs out."""

from functools import cache

import numpy as np
import torch

_OUT_OF_MEMORY = "can't allocate memory", "out of memory"  # on a CPU, on MPS
_BLOCK = 2**25 - 2**13  # bytes; just below the largest block that glibc learns from


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep the memory that one step frees for the next.

    glibc gives memory back to the system once twice the largest block freed so far is
    free, by default 256 KiB. A step frees many times that, asks for it again, and each
    page is then mapped and cleared anew, which takes a small network as long as all of
    its arithmetic. Freeing one large block once, which is never written to and so
    takes no memory, raises the limit to 64 MiB. Other allocators do not mind.

    References
    ----------
    The manual page mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    np.empty(_BLOCK, np.uint8)


def halve(size: int, error: RuntimeError) -> int:
    """Return half the number of images at once after an error, if it was of memory.

    Parameters
    ----------
    size : int
        Number of images that did not fit.
    error : RuntimeError
        What PyTorch raised.

    Returns
    -------
    int
        Half of the number.

    Raises
    ------
    MemoryError
        If it was one image that did not fit.
    RuntimeError
        The error itself, if it was not for lack of memory.
    """
    is_known = isinstance(error, torch.OutOfMemoryError)
    if not is_known and not any(words in str(error) for words in _OUT_OF_MEMORY):
        raise error
    if size == 1:
        raise MemoryError(
            "One image does not fit into the memory of the device, whatever the "
            "`batch_size`: use a larger `patch_size`, or a smaller `embed_dim`."
        ) from error
    return size // 2
