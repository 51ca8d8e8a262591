"""Run a network over images of any number, batch by batch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from skvit._training._batches import ImageData
from skvit._training._device import autocast
from skvit._training._memory import halve
from skvit._training._threads import all_cores, team_of_cores
from skvit.nn import VisionTransformer

_ACTIVATION_BYTES = 2**25  # a batch's activations, small enough to stay near the CPU
_ACCELERATOR_FACTOR = 64
_TENSORS_PER_BLOCK = 12  # of the tokens' size, alive at once in a block
_MAX_BATCH = 4096


def batch_size_for(
    module: VisionTransformer, device: torch.device, n_maps: int = 0
) -> int:
    """Return how many images to predict at once, by the memory that one takes.

    `n_maps` is how many layers' attention weights are held besides.
    """
    config = module.config
    tokens = config.num_tokens
    numbers = tokens * (config.embed_dim * _TENSORS_PER_BLOCK)
    numbers += config.num_patches * config.patch_dim  # the image itself
    numbers += (1 + n_maps) * config.num_heads * tokens * tokens
    budget = _ACTIVATION_BYTES * (1 if device.type == "cpu" else _ACCELERATOR_FACTOR)
    return max(1, min(_MAX_BATCH, budget // (4 * numbers)))


def predict_logits(
    module: VisionTransformer, data: ImageData, precision: str, n_views: int = 1
) -> np.ndarray:
    """Return the network's outputs for every image.

    Parameters
    ----------
    module : VisionTransformer
        The network in evaluation mode, on the data's device.
    data : ImageData
        Images.
    precision : str
        Type of the matrix products.
    n_views : {1, 5, 9}, default=1
        Number of shifted views of each image whose outputs are averaged.

    Returns
    -------
    ndarray of shape (n_samples, num_outputs)
        Outputs in the type of the weights.

    Raises
    ------
    MemoryError
        If not even one image fits into the device's memory.
    """

    def logits_of(images: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(precision, data.device):
            return _mean_over_views(module, images, n_views)

    size = min(batch_size_for(module, data.device), len(data))
    with team_of_cores(data.device, module.config, size) as team:

        def logits(part: slice) -> Tensor:
            images = data.inputs(part)
            parts = team.map(lambda rows: logits_of(images[rows]), 0, len(images))
            return torch.cat(parts)

        return over_batches(logits, data, size)


def over_batches(
    compute: Callable[[slice], Tensor], data: ImageData, size: int
) -> np.ndarray:
    """Return what a function computes for every image, batch by batch.

    Parameters
    ----------
    compute : callable
        Maps a part of the data to a tensor with one entry per image.
    data : ImageData
        Images.
    size : int
        Images in a batch; halved as often as a batch does not fit into memory.

    Returns
    -------
    ndarray of shape (n_samples, ...)
        The entries of all images, on the CPU.

    Raises
    ------
    MemoryError
        If not even one image fits into the device's memory.
    """
    results: np.ndarray | None = None
    start = 0
    with all_cores(data.device):
        while results is None or start < len(data):
            part = slice(start, min(start + size, len(data)))
            try:
                result = compute(part).cpu().numpy()
            except (torch.OutOfMemoryError, RuntimeError) as error:
                size = halve(part.stop - start, error)
                continue
            if results is None:
                results = np.empty((len(data), *result.shape[1:]), result.dtype)
            results[part] = result
            start = part.stop
    return results


def _mean_over_views(module: VisionTransformer, images: Tensor, n_views: int) -> Tensor:
    """Return outputs averaged over views shifted by one pixel."""
    if n_views == 1 or images.ndim == 3:
        return module(images)
    return torch.stack([module(view) for view in shifted_views(images, n_views)]).mean(
        0
    )


def shifted_views(images: Tensor, n_views: int) -> list[Tensor]:
    """Return the images as they are and shifted to four or eight neighbours.

    Pixels that enter at an edge repeat the edge.
    """
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    height, width = images.shape[-2:]
    offsets = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (0, 2), (2, 0), (2, 2)]
    return [padded[..., y : y + height, x : x + width] for y, x in offsets[:n_views]]
