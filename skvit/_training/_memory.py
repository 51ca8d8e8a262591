"""Go on with fewer images at once where memory runs out."""

import torch


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
    out_of_memory = isinstance(error, torch.OutOfMemoryError)
    if not out_of_memory and "can't allocate memory" not in str(error):
        raise error
    if size == 1:
        raise MemoryError(
            "One image does not fit into the memory of the device, whatever the "
            "`batch_size`: use a larger `patch_size`, or a smaller `embed_dim`."
        ) from error
    return size // 2
