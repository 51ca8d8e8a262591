"""A skorch net whose epochs run without per-sample Python or per-batch waiting."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.utils import TeeGenerator
from torch import Tensor, nn
from torch.nn import functional as F

from skvit._training._averaging import WeightAverage
from skvit._training._batches import ImageData, OrderedBatches, TrainBatches
from skvit._training._device import autocast
from skvit._training._memory import halve
from skvit._training._optim import Optimizers, make_optimizers
from skvit._training._plan import Streams, TrainingPlan
from skvit._training._replay import Replay
from skvit._training._schedule import constant_factor, cosine_factor
from skvit._training._threads import Result, Team

_VALIDATION_BATCH = 256


class WeightedCrossEntropy(nn.Module):
    """Mean of weighted cross-entropies.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Probability mass given to all classes.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : Tensor of shape (batch, n_classes)
            Unnormalised log-probabilities.
        target : Tensor of shape (batch,) or (batch, n_classes)
            Class indices, or the result of `soft_target`.
        weight : Tensor of shape (batch,) or None
            Weights whose mean over the whole data set is one; None where all are
            equal or the target contains them.

        Returns
        -------
        Tensor of shape ()
            Mean over the batch of weight times loss.
        """
        if target.ndim == 2:
            return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
        loss = F.cross_entropy(
            logits, target, label_smoothing=self.label_smoothing, reduction="none"
        )
        return (loss if weight is None else loss * weight).mean()

    def soft_target(
        self, target: Tensor, weight: Tensor | None, like: Tensor, n_classes: int
    ) -> Tensor:
        """Return smoothed probabilities times weights, which can be mixed.

        Parameters
        ----------
        target : Tensor of shape (batch,)
            Class indices.
        weight : Tensor of shape (batch,) or None
            Weights.
        like : Tensor
            Its type is the result's.
        n_classes : int
            Number of classes.

        Returns
        -------
        Tensor of shape (batch, n_classes)
            Rows that sum to the samples' weights.
        """
        soft = torch.eye(n_classes, dtype=like.dtype, device=like.device)[target]
        soft = soft.lerp(torch.full_like(soft, 1 / n_classes), self.label_smoothing)
        return soft if weight is None else soft * weight[:, None]


def add_gradients(
    parameters: Iterable[nn.Parameter], gradients: Iterable[Tensor]
) -> None:
    """Add to what each parameter has, in its layout, which fused updates rely on."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter.grad is not None:
            parameter.grad.add_(gradient)
        elif gradient.stride() == parameter.stride():
            parameter.grad = gradient
        else:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


class ViTNet(NeuralNet):
    """Train a network on `ImageData` as a `TrainingPlan` says.

    It overrides seams that skorch documents for the purpose: the default callbacks,
    the optimizers, the iterators, one epoch, one step, the loss. History and epoch
    callbacks work as in any skorch net; per-batch losses are not recorded, because
    reading each one would make the device wait.

    Parameters
    ----------
    module : nn.Module
        The network, on its device.
    plan : TrainingPlan
        Settings of the run.
    streams : Streams
        Generators that the run draws from.
    first_epoch : int, default=0
        Number of the first epoch, above 0 when training is continued.
    n_updates : int, default=0
        Updates already made.
    make_data : callable or None, default=None
        Turns X and y in forms other than `ImageData` into it.
    **kwargs : dict
        Parameters of `skorch.NeuralNet`.
    """

    def __init__(
        self,
        module: nn.Module,
        plan: TrainingPlan,
        streams: Streams,
        *,
        first_epoch: int = 0,
        n_updates: int = 0,
        make_data: Callable[[Any, Any], ImageData] | None = None,
        **kwargs: Any,
    ):
        self.plan = plan
        self.streams = streams
        self.first_epoch = first_epoch
        self.n_updates = n_updates
        self.make_data = make_data
        self.team = Team()
        super().__init__(
            module,
            criterion=WeightedCrossEntropy,
            criterion__label_smoothing=plan.label_smoothing,
            max_epochs=plan.max_epochs,
            batch_size=plan.batch_size,
            lr=plan.learning_rate,
            train_split=None,
            verbose=0,
            **kwargs,
        )

    @property
    def _default_callbacks(self) -> list:
        return []

    def initialize_optimizer(self, *_: Any, **__: Any) -> "ViTNet":
        """Create the optimizers that the plan names, and the average of weights."""
        plan = self.plan
        self._replays = self._may_replay()
        optimizers = make_optimizers(
            self.module_,
            plan.optimizer,
            plan.learning_rate,
            plan.weight_decay,
            short=plan.precision == "bfloat16",
            capturable=self._replays,
            team=self.team,
        )
        for name, optimizer in optimizers.items():
            setattr(self, f"{name}_", optimizer)
        self.optimizers = Optimizers(optimizers.values())
        self._parameters = [p for p in self.module_.parameters() if p.requires_grad]
        self.average = WeightAverage(self._parameters, plan.averaging)
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=plan.precision == "float16"
        )
        forward = self.module_.forward
        self._forward = torch.compile(forward) if plan.compile else forward
        self._at_once = max(plan.batch_size, _VALIDATION_BATCH)
        self._begin_updates(drops=True)
        return self

    def _begin_updates(self, drops: bool) -> None:
        """Forget captured updates, which all leave patches out or none."""
        self._drops = drops
        self._replay = (
            Replay(self._make_update, self.streams.device) if self._replays else None
        )

    def end_updates(self) -> None:
        """Let go of gradients and captured updates, and of what these hold."""
        self._replay = None
        self.module_.zero_grad(set_to_none=True)

    @property
    def _device(self) -> torch.device:
        return self.streams.device.device

    def _may_replay(self) -> bool:
        """Say whether updates can be captured in a graph of the device.

        Loss scaling decides on the host whether to update, and callbacks may look at
        gradients; both need each update to be made by Python.
        """
        watched = any(
            type(callback).on_grad_computed is not Callback.on_grad_computed
            for _, callback in self.callbacks_
        )
        plan = self.plan
        is_captured = plan.precision != "float16" and plan.optimizer != "sgd"
        return self._device.type == "cuda" and is_captured and not watched

    def get_dataset(self, X: Any, y: Any = None) -> ImageData:
        """Return data that batches can be taken from."""
        if isinstance(X, ImageData) or self.make_data is None:
            return X
        return self.make_data(X, y)

    def get_iterator(
        self, dataset: ImageData, training: bool = False
    ) -> TrainBatches | OrderedBatches:
        """Return an iterator over whole batches."""
        if training:
            return TrainBatches(dataset, self.plan.batch_size, self.streams.host)
        return OrderedBatches(dataset, min(self._at_once, _VALIDATION_BATCH))

    def run_single_epoch(
        self,
        iterator: Iterable | None,
        training: bool,
        prefix: str,
        step_fn: Callable,
        **fit_params: Any,
    ) -> None:
        """Run one epoch and read its loss once, at the end."""
        if iterator is None:
            return
        if training:
            self.valid_logits: list[Tensor] = []
            self.streams.begin_epoch(self.first_epoch + len(self.history) - 1)
        self._set_training(training)
        if training:
            self._choose_patches()
        weights = nullcontext() if training else self.average.applied()
        with weights, torch.set_grad_enabled(training):
            losses = self._losses(iterator, training, step_fn, fit_params)
        sums = torch.stack([loss * n for loss, n in losses]).sum()
        n_samples = sum(n for _, n in losses)
        self.history.record(f"{prefix}_loss", sums.item() / n_samples)
        self.history.record(f"{prefix}_samples", n_samples)

    def _choose_patches(self) -> None:
        """Show the network all patches in the last epochs, as in prediction."""
        if self.plan.dropping_epochs is None:
            return
        drops = len(self.history) - 1 < self.plan.dropping_epochs
        self.module_.drop_patches.train(drops)
        if drops != self._drops:
            self._begin_updates(drops)

    def _losses(
        self, iterator: Iterable, training: bool, step_fn: Callable, fit_params: dict
    ) -> list[tuple[Tensor, int]]:
        """Run every batch; return its loss, still on the device, and its size."""
        losses = []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append((step["loss"].detach(), len(batch[0])))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        return losses

    def infer(self, x: Tensor, **_: Any) -> Tensor:
        """Return logits in the parameters' type."""
        with autocast(self.plan.precision, self._device):
            return self._forward(x)

    def train_step(self, batch: tuple, **_: Any) -> dict[str, Tensor]:
        """Make one update."""
        self.optimizers.set_factor(self._rate_factor())
        update = self._make_update if self._replay is None else self._replay
        loss = update(*self._vary(*batch))
        self.n_updates += 1
        if self.n_updates >= self.plan.averaging_start:
            self.average.update()
        return {"loss": loss}

    def _make_update(
        self, images: Tensor, target: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Change the weights by a batch; return its loss."""
        loss = self._add_gradients(images, target, weight)
        for optimizer in self.optimizers.all:
            self._scaler.unscale_(optimizer)
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.get_all_learnable_params()),
            batch=(images, (target, weight)),
            training=True,
        )
        if not self._scaler.is_enabled() or self._has_finite_gradients():
            self._step()
        self._scaler.update()
        return loss

    def _has_finite_gradients(self) -> bool:
        """Say whether the scaled loss was small enough, for all optimizers alike."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return bool(nn.utils.get_total_norm(gradients).isfinite())

    def _step(self) -> None:
        """Clip the gradients and change the weights."""
        if self.plan.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.plan.clip_norm)
        for optimizer in self.optimizers.all:
            self._scaler.step(optimizer)

    def _vary(
        self, images: Tensor, labels: tuple[Tensor, Tensor | None]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a batch as it is trained on: images, target and weight."""
        target, weight = labels
        augmentation = self.plan.augmentation
        if augmentation is None:
            return images, target, weight
        images = augmentation.images(images, self.streams.device)
        if not augmentation.mixes:
            return images, target, weight
        soft = self.criterion_.soft_target(target, weight, images, self.plan.n_classes)
        return *augmentation.pairs(images, soft, self.streams.host), None

    def _add_gradients(
        self, images: Tensor, target: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Compute gradients, in as many parts as fit into memory; return the loss."""
        compute = self._add_gradients_of_parts
        return self._as_memory_allows(compute, images, target, weight)

    def _as_memory_allows(
        self, compute: Callable[..., Tensor], images: Tensor, *labels: Tensor | None
    ) -> Tensor:
        """Return what is computed of a batch, in smaller parts until they fit."""
        while True:
            try:
                return compute(images, *labels)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._at_once = halve(min(self._at_once, len(images)), error)

    def _parts(self, images: Tensor) -> list[tuple[int, int]]:
        """Return where the parts of a batch begin and end."""
        starts = range(0, len(images), self._at_once)
        return [(start, min(start + self._at_once, len(images))) for start in starts]

    def _add_gradients_of_parts(
        self, images: Tensor, target: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Add up the parts' gradients and losses, each by its share of the batch."""
        self._zero_grad_optimizer(set_to_none=True)
        losses = []
        compute = partial(self._gradients, images, target, weight)
        for start, stop in self._parts(images):
            for loss, gradients in self._map(compute, start, stop):
                losses.append(loss)
                add_gradients(self._parameters, gradients)
        return torch.stack(losses).sum()

    def _map(
        self, compute: Callable[[slice], Result], start: int, stop: int
    ) -> list[Result]:
        """Compute the parts of a batch that the team shares, alike however many."""
        if self.team.size == 1:
            return self.team.map(compute, start, stop)
        with self.streams.share_draws(slice(start, stop)) as drawing_for:

            def compute_part(part: slice) -> Result:
                with drawing_for(part):
                    return compute(part)

            return self.team.map(compute_part, start, stop)

    def _gradients(
        self, images: Tensor, target: Tensor, weight: Tensor | None, part: slice
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a part's loss, by its share of the batch, and the loss' gradients."""
        some, weights = images[part], None if weight is None else weight[part]
        loss = self.criterion_(self.infer(some), target[part], weights)
        loss = loss * (len(some) / len(images))
        gradients = torch.autograd.grad(self._scaler.scale(loss), self._parameters)
        return loss.detach(), gradients

    def validation_step(self, batch: tuple, **_: Any) -> dict[str, Tensor]:
        """Return loss and logits of a batch that is not trained on."""
        images, (target, weight) = batch
        logits = self._as_memory_allows(self._infer_parts, images)
        self.valid_logits.append(logits)
        return {"loss": self.criterion_(logits, target, weight), "y_pred": logits}

    def _infer_parts(self, images: Tensor) -> Tensor:
        """Return logits of a batch, part by part."""
        logits = []
        for start, stop in self._parts(images):
            logits += self.team.map(lambda rows: self.infer(images[rows]), start, stop)
        return torch.cat(logits)

    def _rate_factor(self) -> float:
        """Return the coming update's rate as a fraction of the highest."""
        plan = self.plan
        if plan.total_updates is None:
            return constant_factor(self.n_updates, plan.warmup)
        return cosine_factor(
            self.n_updates, plan.total_updates, plan.warmup, plan.final_rate
        )
