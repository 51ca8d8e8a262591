"""Training of any module on whole batches, through skorch."""

from skvit._training._augment import Augmentation
from skvit._training._batches import ImageData, Normalizer
from skvit._training._device import (
    parameter_dtype,
    resolve_device,
    resolve_precision,
)
from skvit._training._monitor import EarlyStopping, Monitor
from skvit._training._net import ViTNet
from skvit._training._plan import Streams, TrainingPlan, stream_seed
from skvit._training._predict import predict_logits
from skvit._training._runtime import Runtime, build_module, export_weights
from skvit._training._train import Progress, Trained, train

__all__ = [
    "Augmentation",
    "EarlyStopping",
    "ImageData",
    "Monitor",
    "Normalizer",
    "Progress",
    "Runtime",
    "Streams",
    "Trained",
    "TrainingPlan",
    "ViTNet",
    "build_module",
    "export_weights",
    "parameter_dtype",
    "predict_logits",
    "resolve_device",
    "resolve_precision",
    "stream_seed",
    "train",
]
