"""Hand whole batches of a data set to the device; no image is touched by itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from skvit._images import LazyImages, native_dtype

Labels = tuple[Tensor | None, Tensor | None]  # class indices and weights

_LOADED = 1024  # images copied to the device at once
_RESIDENT_FRACTION = 0.5  # of the free device memory that a data set may take
_INDEXED_BY_CUDA = {
    np.dtype(name)
    for name in ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4")  # not u2, u4, u8
}


@dataclass(frozen=True)
class Normalizer:
    """Turn a batch of raw values into normalised, channel-first numbers.

    Parameters
    ----------
    mean, std : ndarray of shape (channels,)
        Statistics of each channel; of all values together where there is one.
    dtype : torch.dtype
        Type of the result.
    """

    mean: np.ndarray
    std: np.ndarray
    dtype: torch.dtype
    _on_device: dict = field(default_factory=dict, repr=False, compare=False)

    def statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation on a device, copied there once."""
        if device not in self._on_device:
            self._on_device[device] = (
                torch.tensor(self.mean, dtype=self.dtype, device=device),
                torch.tensor(self.std, dtype=self.dtype, device=device),
            )
        return self._on_device[device]

    def __call__(self, batch: Tensor) -> Tensor:
        """Normalise a batch.

        Parameters
        ----------
        batch : Tensor of shape (batch, height, width, channels) or \
                (batch, patches, values)
            Raw values of any type.

        Returns
        -------
        Tensor of shape (batch, channels, height, width) or (batch, patches, values)
            Normalised values.
        """
        mean, std = self.statistics(batch.device)
        batch = batch.to(self.dtype)
        if batch.ndim == 3:
            return (batch - mean) / std
        return ((batch - mean) / std).permute(0, 3, 1, 2).contiguous()


@dataclass
class ImageData(torch.utils.data.Dataset):
    """Images with their targets and weights, indexed by whole batches.

    Parameters
    ----------
    images : ndarray or LazyImages of shape (n_samples, height, width, channels), or \
            ndarray of shape (n_samples, n_patches, n_values)
        Raw values in their own type.
    normalize : Normalizer
        What turns a raw batch into the network's input.
    device : torch.device
        Where batches go.
    target : ndarray of shape (n_samples,) or None
        Index of each sample's class.
    weight : ndarray of shape (n_samples,) or None
        Weights with a mean of one; None where all are equal.
    """

    images: np.ndarray | LazyImages
    normalize: Normalizer
    device: torch.device
    target: np.ndarray | None = None
    weight: np.ndarray | None = None
    _resident: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Move what is small to the device once."""
        if self.target is not None:
            self._target = torch.from_numpy(self.target).to(self.device)
        self._weight = (
            None
            if self.weight is None
            else torch.tensor(
                self.weight, dtype=self.normalize.dtype, device=self.device
            )
        )
        if self.device.type == "cuda" and self._fits_on_device():
            self._resident = self._all_on_device()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    @property
    def is_resident(self) -> bool:
        """Whether the raw images are on the device."""
        return self._resident is not None

    def _fits_on_device(self) -> bool:
        """Say whether the raw images leave room for training on the device."""
        free, _ = torch.cuda.mem_get_info(self.device)
        held = self.images.dtype if self._is_kept else self.normalize.dtype
        size = held.itemsize * math.prod(self.images.shape)
        return size < _RESIDENT_FRACTION * free

    @property
    def _is_kept(self) -> bool:
        """Whether the images' type stays as it is on the way to the device.

        Small types stay small on their way to CUDA, if it can index them. Doubles are
        used in the network's type anyhow, and other devices hold neither them nor
        every kind of integer.
        """
        is_known = native_dtype(self.images.dtype) in _INDEXED_BY_CUDA
        return self.device.type == "cuda" and is_known

    def _all_on_device(self) -> Tensor:
        """Copy all raw images to the device, some at a time to spare the host."""
        parts = range(0, len(self), _LOADED)
        first = self._raw(slice(0, _LOADED))
        whole = first.new_empty((len(self), *first.shape[1:]), device=self.device)
        for start in parts:
            whole[start : start + _LOADED] = self._raw(slice(start, start + _LOADED))
        return whole

    def expect(self, index: Tensor) -> None:
        """Let images that are read from files be read in the background."""
        if not self.is_resident and hasattr(self.images, "expect"):
            self.images.expect(index.numpy())

    def _raw(self, rows: np.ndarray | slice) -> Tensor:
        """Copy some images into a tensor, in a type that the device holds."""
        raw = to_tensor(self.images[rows])
        return raw if self._is_kept else raw.to(self.normalize.dtype)

    def inputs(self, index: Tensor | slice) -> Tensor:
        """Return normalised images on the device, channels first."""
        if self._resident is not None:
            at = index if isinstance(index, slice) else index.to(self.device)
            return self.normalize(self._resident[at])
        raw = self._raw(index if isinstance(index, slice) else index.numpy())
        is_pinned = self.device.type == "cuda"
        if is_pinned:
            raw = raw.pin_memory()
        return self.normalize(raw.to(self.device, non_blocking=is_pinned))

    def labels(self, index: Tensor | slice) -> Labels:
        """Return class indices and weights on the device."""
        if self.target is None:
            return None, None
        at = index if isinstance(index, slice) else index.to(self.device)
        return self._target[at], None if self._weight is None else self._weight[at]


def to_tensor(array: np.ndarray) -> Tensor:
    """Copy an array into a tensor of the same type, or of doubles where it is longer.

    Its rows follow one another in memory, whatever the array's layout and byte order:
    convolutions choose their way by the layout, and round accordingly.
    """
    return torch.from_numpy(np.array(array, native_dtype(array.dtype), order="C"))


@dataclass(frozen=True)
class TrainBatches:
    """Iterate over a data set in a fresh random order on each pass.

    Parameters
    ----------
    data : ImageData
        What to iterate over.
    batch_size : int
        Largest number of images in a batch; batches of a pass differ by one at most.
    generator : torch.Generator
        Source of the order, on the CPU.
    """

    data: ImageData
    batch_size: int
    generator: torch.Generator

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        """Yield images with their labels and weights."""
        order = torch.randperm(
            len(self.data), generator=self.generator, device=self.generator.device
        )
        parts = order.tensor_split(len(self))
        # One copy for the whole pass: the device would be waited for at each.
        there = order.to(self.data.device).tensor_split(len(self))
        following = *parts[1:], order[:0]
        for index, at, coming in zip(parts, there, following, strict=True):
            inputs = self.data.inputs(at if self.data.is_resident else index)
            self.data.expect(coming)
            yield inputs, self.data.labels(at)


@dataclass(frozen=True)
class OrderedBatches:
    """Iterate over a data set in its own order.

    Parameters
    ----------
    data : ImageData
        What to iterate over.
    batch_size : int
        Number of images in each batch but the last.
    """

    data: ImageData
    batch_size: int

    def __iter__(self) -> Iterator[tuple[Tensor, Labels]]:
        """Yield images with their labels and weights."""
        for start in range(0, len(self.data), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.data.inputs(part), self.data.labels(part)
