"""How images are brought to one form while they are read."""

from dataclasses import dataclass
from os import PathLike

CACHE_BYTES = 2**30  # of decoded images: all of ImageNet's classes at 16 x 16 pixels


@dataclass(frozen=True)
class ReadOptions:
    """What `skvit.ImageOptions` says about reading, validated.

    Parameters
    ----------
    size : tuple of int or None, default=None
        Height and width that images are brought to; None leaves them as they are.
    aspect : {"pad", "stretch"}, default="pad"
        What happens where the sides have another proportion.
    color : {"auto", "gray", "rgb", "rgba"}, default="auto"
        Channels of Pillow's images and of files.
    skip : bool, default=False
        Whether files that cannot be read are noted instead of refused.
    cache : int, str or path, default=CACHE_BYTES
        Memory for decoded images in bytes, or a directory for all of them.
    n_threads : int or None, default=None
        Threads that decode; None for one on each core.
    name : str, default="X"
        What messages call the images.
    """

    size: tuple[int, int] | None = None
    aspect: str = "pad"
    color: str = "auto"
    skip: bool = False
    cache: int | str | PathLike = CACHE_BYTES
    n_threads: int | None = None
    name: str = "X"
