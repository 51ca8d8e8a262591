"""What one image is."""

from dataclasses import dataclass, field
from math import prod


@dataclass(frozen=True)
class ImageSpec:
    """Size, kind and original form of one image.

    Parameters
    ----------
    height, width, channels : int
        Size of one image. Of a table, 1, the number of columns and 1; of a sequence,
        the number of patches, the number of values in one patch and 1.
    kind : {"image", "table", "sequence"}
        Whether one sample is an image, a row of a width that is no image, or a
        sequence of patches.
    ndim : int, default=4
        Number of axes of the X that it was read from. Does not count in comparisons:
        images are the same whatever form they came in.
    channels_first : bool, default=False
        Whether the values of that X come channel by channel. Not compared either.
    """

    height: int
    width: int
    channels: int
    kind: str = "image"
    ndim: int = field(default=4, compare=False)
    channels_first: bool = field(default=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of channels."""
        return self.height, self.width, self.channels

    @property
    def n_features(self) -> int:
        """Number of values in one image."""
        return prod(self.shape)

    def __str__(self) -> str:
        """Say the size in words."""
        plural = "" if self.channels == 1 else "s"
        return (
            f"{self.height} x {self.width} pixels with {self.channels} channel{plural}"
        )
