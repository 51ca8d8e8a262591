"""Training of any module on whole batches, through skorch."""

from skvit._training._augment import Augmentation
from skvit._training._batches import ImageData, Normalizer
from skvit._training._device import (
    autocast,
    parameter_dtype,
    resolve_device,
    resolve_precision,
)
from skvit._training._monitor import EarlyStopping, Monitor
from skvit._training._net import ViTNet
from skvit._training._plan import Streams, TrainingPlan
from skvit._training._predict import batch_size_for, over_batches, predict_logits
from skvit._training._runtime import Runtime, build_module, export_weights
from skvit._training._train import Progress, history_frame, train

__all__ = [
    "Augmentation",
    "EarlyStopping",
    "ImageData",
    "Monitor",
    "Normalizer",
    "Progress",
    "Runtime",
    "Streams",
    "TrainingPlan",
    "ViTNet",
    "autocast",
    "batch_size_for",
    "build_module",
    "export_weights",
    "history_frame",
    "over_batches",
    "parameter_dtype",
    "predict_logits",
    "resolve_device",
    "resolve_precision",
    "train",
]
