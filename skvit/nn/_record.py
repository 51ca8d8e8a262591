"""Record: keeps the intermediate tensors that were asked for, by name."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from torch import Tensor


class Record(Mapping[str, Tensor]):
    """Intermediate tensors of one forward pass, by name.

    Give it to a network's `forward`; it keeps the tensors whose names match one of
    the patterns, and nothing else. The tensors are part of the graph: gradients reach
    them, and `detach` frees them of it.

    ======================= ============================================================
    name                    shape
    ======================= ============================================================
    patches                 (batch, num_patches, patch_dim), each patch's values in
                            (row, column, channel) order; not where convolutions
                            overlap, as the classifier's own do
    embeddings              (batch, num_patches, embed_dim)
    positions               (num_tokens, embed_dim), where they are added
    block00/q, k, v         (batch, num_heads, tokens, head_dim), as they are compared
    block00/scores          (batch, num_heads, tokens, tokens), scaled, the bias added
    block00/attention       the scores' softmax: row i is where token i looks
    block00/after_attention (batch, tokens, embed_dim)
    block00/after_mlp       (batch, tokens, embed_dim)
    tokens                  (batch, tokens, embed_dim), what the pooling reads
    pool/attention          (batch, num_heads, num_patches) for pool="map",
                            (batch, num_patches) for pool="seqpool"
    pooled                  (batch, embed_dim)
    logits                  (batch, num_outputs)
    ======================= ============================================================

    Parameters
    ----------
    *patterns : str
        Names, or patterns as of :mod:`fnmatch`.

    Examples
    --------
    >>> import torch
    >>> from skvit.nn import Record, ViTConfig, VisionTransformer
    >>> network = VisionTransformer(ViTConfig((8, 8), (4, 4), 1, 2, 8, 2, 2))
    >>> record = Record("block*/attention", "pooled")
    >>> logits = network(torch.zeros(3, 1, 8, 8), record)
    >>> {name: tuple(tensor.shape) for name, tensor in record.items()}
    {'block00/attention': (3, 2, 5, 5), 'block01/attention': (3, 2, 5, 5),
     'pooled': (3, 8)}
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self._kept: dict[str, Tensor] = {}

    def wants(self, *names: str) -> bool:
        """Return whether any of the names was asked for.

        Parameters
        ----------
        *names : str
            Names of tensors.

        Returns
        -------
        bool
            True if a pattern matches one of them.
        """
        return any(fnmatchcase(n, p) for n in names for p in self.patterns)

    def keep(self, **tensors: Tensor) -> None:
        """Keep those of the tensors that were asked for.

        Parameters
        ----------
        **tensors : Tensor
            Tensors by name.
        """
        self.keep_under("", **tensors)

    def keep_under(self, scope: str, **tensors: Tensor) -> None:
        """Keep those of the tensors that were asked for, named `scope` + name.

        Parameters
        ----------
        scope : str
            What the names begin with, such as "block03/".
        **tensors : Tensor
            Tensors by the rest of their name.
        """
        for name, tensor in tensors.items():
            if self.wants(scope + name):
                self._kept[scope + name] = tensor

    def __getitem__(self, name: str) -> Tensor:
        """Return the tensor kept under a name.

        Parameters
        ----------
        name : str
            The tensor's name.

        Returns
        -------
        Tensor
            As it went through the network.

        Raises
        ------
        KeyError
            If there is no tensor of that name, or it was not asked for.
        """
        if name not in self._kept:
            raise KeyError(
                f"{name!r} was not recorded; asked for: {list(self.patterns)}, "
                f"kept: {list(self._kept)}"
            )
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names kept, in the order of the forward pass."""
        return iter(self._kept)

    def __len__(self) -> int:
        """Return how many tensors were kept."""
        return len(self._kept)
