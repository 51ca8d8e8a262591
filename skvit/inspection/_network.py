"""The network of a fitted estimator, open to be looked into."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skvit._base import BaseViT
from skvit._images import LazyImages
from skvit._training import ImageData, autocast, batch_size_for, over_batches
from skvit.inspection._grid import check_pixels
from skvit.nn import Record, VisionTransformer, ViTConfig


def check_estimator(clf):
    """Return an estimator that is one of this package's and fitted.

    Raises
    ------
    TypeError
        If it is another object.
    NotFittedError
        If it is not fitted.
    """
    if not isinstance(clf, BaseViT):
        raise TypeError(
            "expected a fitted ViTClassifier to look into, got "
            f"{type(clf).__name__}. Of a pipeline pass its last step, `pipe[-1]`, and "
            "`pipe[:-1].transform(X)`; of a search its `best_estimator_`."
        )
    check_is_fitted(clf)
    return clf


def check_indices(name, values, count):
    """Return numbers from 0 to `count` - 1; None are all, negative ones from the end.

    Raises
    ------
    ValueError
        If there is none, or one is out of range.
    TypeError
        If they are no integers.
    """
    if values is None:
        return list(range(count))
    given = np.atleast_1d(np.asarray(values))
    if given.size and given.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be integers or None, got {values!r}.")
    if not given.size or given.ndim > 1 or given.min() < -count or given.max() >= count:
        raise ValueError(
            f"`{name}`={values!r} must be one or more numbers from 0 to {count - 1}, "
            "or negative ones from the end."
        )
    return (given % count).tolist()


def check_count(name, value):
    """Raise where a number of something is no integer of one or more.

    Raises
    ------
    ValueError
        If it is below one.
    TypeError
        If it is no integer.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer, got {value!r}.")
    if value < 1:
        raise ValueError(f"`{name}` must be 1 or more, got {value!r}.")


@dataclass(frozen=True)
class CheckedImages:
    """Images that need no further check: what an estimator's own check has returned.

    Parameters
    ----------
    images : ndarray or LazyImages
        Some of them or all.
    """

    images: np.ndarray | LazyImages


@dataclass(frozen=True)
class OpenNetwork:
    """A network with the images that it is to be watched on.

    Parameters
    ----------
    module : VisionTransformer
        In evaluation mode.
    data : ImageData
        Images, normalised batch by batch.
    """

    module: VisionTransformer
    data: ImageData

    @property
    def config(self) -> ViTConfig:
        """The network's choices."""
        return self.module.config

    def forward(self, images, *patterns):
        """Return logits and what was recorded."""
        record = Record(*patterns)
        return self.module(images, record), record

    def watch(self, part, *patterns):
        """Return what a forward pass over part of the images records."""
        with torch.inference_mode():
            return self.forward(self.data.inputs(part), *patterns)[1]

    def over_batches(self, compute, *, n_maps=0, n_graphs=0):
        """Return what `compute` gives for all images, in the weights' precision.

        `n_maps` and `n_graphs` are how many layers' attention weights, and how many
        layers' worth of all tensors, are held at once.
        """

        def compute_exactly(part):
            with autocast("float32", self.data.device):
                return compute(part)

        size = batch_size_for(self.module, self.data.device, n_maps)
        return over_batches(compute_exactly, self.data, max(1, size // (1 + n_graphs)))

    def log_probabilities(self, images, codes):
        """Return the log-probability of one class for each image, (batch,)."""
        with torch.inference_mode():
            logits, _ = self.forward(images)
            return logits.log_softmax(1).gather(1, codes[:, None])[:, 0]

    def targets(self, codes, part, logits):
        """Return the classes asked for, or the predicted ones, on the device."""
        if codes is None:
            return logits.argmax(1)
        return torch.from_numpy(codes[part]).to(logits.device)


def open_network(clf, X, *, need_pixels=False):
    """Return the network of an estimator with images in any form, or checked ones."""
    check_estimator(clf)
    is_checked = isinstance(X, CheckedImages)
    images = X.images if is_checked else clf._check_input(X, reset=False)
    if need_pixels:
        check_pixels(clf._config)
    device, precision, module = clf._runtime_on_device()
    return OpenNetwork(module, clf._make_data(images, device, precision))


def layer_names(layers):
    """Return the names under which layers record their attention."""
    return [f"block{layer:02d}/attention" for layer in layers]


def pooling_weights(config, record, batch):
    """Return with which weight each token enters the pooled vector, (batch, tokens)."""
    kind, prefix = config.pool, config.num_prefix_tokens
    weights = batch.new_zeros(len(batch), config.num_tokens)
    if kind == "token":
        weights[:, 0] = 1.0
    elif kind == "mean":
        weights[:, prefix:] = 1 / config.num_patches
    else:
        attention = record["pool/attention"]
        weights[:, prefix:] = attention.mean(1) if kind == "map" else attention
    return weights


def class_codes(clf, target, n_samples):
    """Return the index of the class asked for of each image; None for the predicted.

    Raises
    ------
    ValueError
        If `target` is neither one label nor one for each image, or an unknown one.
    """
    if target is None:
        return None
    labels = np.asarray(target)
    if labels.ndim > 1 or labels.size not in (1, n_samples):
        raise ValueError(
            f"`target` must be one label, one label for each of the {n_samples} "
            f"images, or None for the predicted ones; got shape {labels.shape}."
        )
    known = {label: code for code, label in enumerate(clf.classes_.tolist())}
    given = labels.reshape(-1).tolist()
    unknown = [label for label in given if label not in known]
    if unknown:
        raise ValueError(
            f"`target` has labels that are not among the classes seen in training: "
            f"{unknown}; known are {clf.classes_.tolist()}."
        )
    codes = np.array([known[label] for label in given])
    return codes if len(codes) == n_samples else np.repeat(codes, n_samples)
