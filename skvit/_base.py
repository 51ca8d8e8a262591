"""The one way from arrays to a fitted network and back, whatever the target."""

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skvit._doctor import check_scale
from skvit._images import (
    ImageSpec,
    LazyImages,
    channel_statistics,
    check_images,
    check_patch_sequence,
    select_images,
    to_array,
)
from skvit._options import Architecture, Augment, ImageOptions, Recipe
from skvit._samples import Samples, check_weight
from skvit._summary import attributes_table, summarize
from skvit._utils._sklearn import (
    AttrsDict,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skvit._utils._sklearn_callbacks import CallbackSupportMixin
from skvit._utils._warn import warn
from skvit.exceptions import UnreadableImageWarning

_AUTO = StrOptions({"auto"})
_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_NON_NEGATIVE = Interval(Real, 0, None, closed="left")
_NOT_STATE = ("_skl_", "_callback_", "_parent_callback_", "_metadata_request")
_OPTIONS = {
    "architecture": Architecture,
    "recipe": Recipe,
    "image_options": ImageOptions,
}
_READ_OPTIONS = ("image_options", "recipe")  # by an estimator that is fitted
_READ_PARAMETERS = ("channels", "image_shape", "precision", *_READ_OPTIONS)
_TABLES = ("history_", "skipped_")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT64_MAX = 1e150  # the statistics square values and add them up


class BaseViT(CallbackSupportMixin, BaseEstimator, ABC):
    """Fit and run a Vision Transformer; subclasses say what its outputs mean.

    Fitting works on a draft, a shallow copy of the estimator, and takes over what has
    changed in it only when all of it is there.
    """

    _parameter_constraints: dict = {
        "patch_size": [_COUNT, tuple, StrOptions({"auto", "precomputed"})],
        "embed_dim": [_COUNT, _AUTO],
        "depth": [_COUNT, _AUTO],
        "num_heads": [_COUNT, _AUTO],
        "mlp_ratio": [_POSITIVE, _AUTO],
        "pos_embed": [
            StrOptions({"auto", "learned", "sincos", "sincos2d", "rope", "none"})
        ],
        "pool": [StrOptions({"auto", "token", "mean", "map", "seqpool"})],
        "drop_path_rate": [Interval(Real, 0, 1, closed="left"), _AUTO],
        "architecture": [Architecture, None],
        "max_epochs": [_COUNT, _AUTO],
        "batch_size": [_COUNT, _AUTO],
        "optimizer": [StrOptions({"auto", "adamw", "muon", "sgd"})],
        "learning_rate": [_POSITIVE, _AUTO],
        "weight_decay": [_NON_NEGATIVE, _AUTO],
        "augment": [Augment, StrOptions({"auto", "shift", "light", "photo"}), None],
        "recipe": [Recipe, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [_COUNT],
        "tol": [_NON_NEGATIVE],
        "scoring": [str, callable, None],
        "warm_start": ["boolean"],
        "image_shape": [tuple, list, None],
        "channels": [StrOptions({"auto", "first", "last"})],
        "image_options": [ImageOptions, None],
        "device": "no_validation",  # by resolve_device, which knows PyTorch
        "precision": [
            StrOptions({"auto", "float32", "bfloat16", "float16", "float64"})
        ],
        "compile": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    image_spec_: ImageSpec

    @abstractmethod
    def _check_target(self, y, known):
        """Return targets as numbers; remember, or compare with, what they mean."""

    # state

    @contextmanager
    def _draft(self):
        """Yield a shallow copy to fit; where that succeeds, take over its changes."""
        draft = object.__new__(type(self))
        before = {k: v for k, v in vars(self).items() if not k.startswith(_NOT_STATE)}
        draft.__dict__.update(before)
        yield draft
        after = vars(draft)
        for name in before.keys() - after.keys():
            self.__dict__.pop(name, None)
        for name, value in after.items():
            if name not in before or before[name] is not value:
                setattr(self, name, value)

    def __getstate__(self):
        """Return the state with data frames as lists, which everything can store."""
        state = super().__getstate__()
        lists = {k: state[k].to_dict("split", index=False) for k in _tables_in(state)}
        return state | lists

    def __setstate__(self, state):
        """Take over a state, whose lists become data frames again."""
        frames = {k: pd.DataFrame(**state[k]) for k in _tables_in(state)}
        super().__setstate__(state | frames)

    def __sklearn_is_fitted__(self):
        """Say whether there is a network."""
        return hasattr(self, "_weights")

    def __sklearn_tags__(self):
        """Declare that flat rows and stacks of gray images are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # input

    def _option(self, name):
        """Return one of the option objects, unchecked, with defaults for None."""
        return getattr(self, name) or _OPTIONS[name]()

    def _options(self):
        """Return the option objects, checked, with defaults for None."""
        options = {name: self._option(name).check() for name in _OPTIONS}
        if isinstance(self.augment, Augment):
            self.augment.check()
        return options

    def _check_settings(self):
        """Raise where a parameter that is still read has been set to a wrong value."""
        read = {name: getattr(self, name) for name in _READ_PARAMETERS}
        caller = type(self).__name__
        validate_parameter_constraints(self._parameter_constraints, read, caller)
        for name in _READ_OPTIONS:
            self._option(name).check()

    def _check_input(self, X, *, reset, may_skip=False, name="X"):
        """Return images, or sequences of patches, in their own type.

        What cannot be read may be skipped only by whoever asks for `_readable` then.
        """
        if reset:
            self._options()
        else:
            self._check_settings()
        reading = self._option("image_options").reading(may_skip=may_skip)
        spec = None if reset else self.image_spec_
        if self.patch_size == "precomputed":
            images: Any
            images, spec = check_patch_sequence(self, X, reset=reset, spec=spec)
        else:
            images, spec = check_images(
                self,
                X,
                reset=reset,
                image_shape=self.image_shape,
                channels=self.channels,
                spec=spec,
                options=replace(reading, name=name),
            )
        _check_range(images, self.precision)
        if reset:
            self.image_spec_ = spec
            self.image_shape_ = spec.shape
        self._check_views()
        return images

    def _check_views(self):
        """Raise where predictions would shift what is no image."""
        n_views, spec = self._option("recipe").test_views, self.image_spec_
        if n_views > 1 and spec.kind != "image":
            raise ValueError(
                f"`test_views`={n_views!r} shifts images, but X is a {spec.kind} of "
                f"{spec.height} x {spec.width} values. Use test_views=1."
            )

    def _check_samples(self, X, y, sample_weight, *, reset, known):
        """Return checked samples; `known` says that their classes are fixed."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        images = self._check_input(X, reset=reset, may_skip=True)
        check_consistent_length(X, y)
        weight = check_weight(sample_weight, len(images))
        counts = self._readable(images)
        if weight is not None:
            counts &= weight > 0
        if not counts.any():
            raise ValueError(
                "All images that can be read have a `sample_weight` of 0. Give one of "
                "them a positive weight, or mend the files of the others."
            )
        if not counts.all():
            images = select_images(images, counts)
            weight = None if weight is None else weight[counts]
            y = _safe_indexing(to_array(y), counts)
        target = self._check_target(y, known)
        return Samples(images, target, weight)

    def _readable(self, images):
        """Say which images can be read; list the others and warn of them."""
        skip = self._options()["image_options"].on_error == "skip"
        skipped = images.unreadable() if skip and isinstance(images, LazyImages) else []
        self.skipped_ = pd.DataFrame(skipped, columns=["row", "path", "reason"])
        readable = np.ones(len(images), dtype=bool)
        readable[self.skipped_["row"].to_numpy(dtype=int)] = False
        if skipped:
            row, path, reason = skipped[0]
            message = (
                f"{len(skipped)} of {len(images)} images cannot be read; the first is "
                f"row {row} of X, {path!r}: {reason}."
            )
            if not readable.any():
                raise ValueError(message)
            warn(
                f"{message} They are left out, and listed in `skipped_`.",
                UnreadableImageWarning,
            )
        return readable

    def _statistics(self, samples):
        """Return mean and standard deviation of each channel."""
        images = samples.images
        if not self._options()["image_options"].normalize:
            channels = images.shape[-1] if images.ndim == 4 else 1
            return np.zeros(channels), np.ones(channels)
        if images.ndim == 3:
            images = images[..., None]
        return channel_statistics(images, samples.weight)

    def _make_seed(self):
        """Return one number from `random_state`, from the system where it is None."""
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    # output

    def _resolve_place(self):
        """Return the device and the precision to compute in."""
        from skvit._training import resolve_device, resolve_precision

        check_is_fitted(self)
        device = resolve_device(self.device)
        return device, resolve_precision(self.precision, device, self._config)

    def _runtime_on_device(self):
        """Return device, precision and the live module there, for reading only."""
        place = self._resolve_place()
        return *place, self._runtime.module(self._config, self._weights, *place)

    def _make_data(self, images, device, precision, target=None, weight=None):
        """Return images as what training and prediction iterate over."""
        from skvit._training import ImageData, Normalizer, parameter_dtype

        normalize = Normalizer(
            self.channel_mean_, self.channel_std_, parameter_dtype(precision)
        )
        return ImageData(images, normalize, device, target, weight)

    def _outputs(self, X):
        """Return the network's outputs for images."""
        from skvit._training import predict_logits

        check_is_fitted(self)
        images = self._check_input(X, reset=False)
        check_scale(images, self._value_scale)
        device, precision, module = self._runtime_on_device()
        data = self._make_data(images, device, precision)
        n_views = self._option("recipe").test_views
        logits = predict_logits(module, data, precision, n_views)
        if not np.isfinite(logits).all():
            raise ValueError(
                "The network's outputs for X are not finite: values are too large "
                f"for {precision}. They reached {self._value_scale:.3g} at fit; give X "
                "in the same range."
            )
        return logits

    def summary(self):
        """Tell what the estimator has become, one fact to a line.

        Returns
        -------
        str
            Input, patches, tokens, parameters, floating-point operations per image,
            device, precision, epochs and time of training, and what each "auto" has
            become. Nothing is computed or moved to a device for it.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        return summarize(self)

    def _get_fitted_attr_html(self, doc_link=""):
        """Return what scikit-learn 1.9 and later list in a notebook."""
        return AttrsDict(
            fitted_attrs=attributes_table(self),
            estimator_class=type(self),
            doc_link=doc_link,
        )

    @property
    def device_(self):
        """Device on which the estimator computes, resolved here and now."""
        from skvit._training import resolve_device

        check_is_fitted(self)
        return resolve_device(self.device)

    @property
    def module_(self):
        """The network as a PyTorch module in evaluation mode, on `device_`.

        It is the caller's: whatever becomes of it, predictions stay as they are.
        """
        place = self._resolve_place()
        return self._public_runtime.module(self._config, self._weights, *place)

    @property
    def net_(self):
        """The network in a skorch net, with the history of its training."""
        from skvit._fit import make_net

        return make_net(self)


def _tables_in(state):
    """Return the names of the tables that a state has."""
    return [name for name in _TABLES if state.get(name) is not None]


def _check_range(images, precision):
    """Raise where the arithmetic cannot hold the values; readers check their own."""
    if isinstance(images, LazyImages):
        return
    if images.dtype.kind != "f" or images.dtype.itemsize <= 4:
        return
    largest = max(abs(float(images.max())), abs(float(images.min())))
    if largest > _FLOAT64_MAX:
        raise ValueError(
            f"X has values up to {largest:.3g}, whose squares overflow. Scale X."
        )
    if largest > _FLOAT32_MAX and precision != "float64":
        raise ValueError(
            f"X has values up to {largest:.3g}, beyond the range of float32 "
            f"({_FLOAT32_MAX:.3g}). Scale X, or use precision='float64'."
        )
