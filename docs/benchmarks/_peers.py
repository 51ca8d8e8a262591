"""The peers that are compared with: the same architecture from timm and vit-pytorch.

They are imported when first asked for, and never by the package or its tests' default
run.
"""

import importlib
import sys

import torch
from torch import nn

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept = []


def require(name):
    """Import a peer, or end the script with what to install."""
    try:
        _prepare_torchvision()
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(
            f"This benchmark compares with {name}, which cannot be imported: {error}. "
            "Install timm, torchvision, vit-pytorch, einops and pandas in an "
            "environment beside the one that the package is developed in."
        ) from error


def _prepare_torchvision():
    """Import torchvision, which both peers do, where PyTorch is a build for CPUs only.

    Its wheel cannot load compiled operators there and fails at registering two of
    them; no network needs them.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        _kept.append(library)  # the definitions end with it
        for operator in _OPERATORS:
            library.define(operator)
        importlib.import_module("torchvision")


def make_timm(size):
    """timm's network of a `Size`."""
    return require("timm.models.vision_transformer").VisionTransformer(
        img_size=size.side,
        patch_size=size.patch,
        in_chans=size.channels,
        num_classes=size.n_classes,
        embed_dim=size.width,
        depth=size.depth,
        num_heads=size.heads,
    )


def build_vit_pytorch(**settings):
    """vit-pytorch's network, by a function that workers can be handed."""
    return require("vit_pytorch").ViT(**settings)


def make_vit_pytorch(size):
    """vit-pytorch's network of a `Size`; it also norms patches, before and after."""
    return build_vit_pytorch(
        image_size=size.side,
        patch_size=size.patch,
        channels=size.channels,
        num_classes=size.n_classes,
        dim=size.width,
        depth=size.depth,
        heads=size.heads,
        dim_head=size.width // size.heads,
        mlp_dim=4 * size.width,
    )


def make_skorch(module, batch_size, device, precision="float32", **settings):
    """A plain skorch classifier, in bfloat16 by autocast if asked for."""
    from skorch import NeuralNetClassifier

    class Autocast(NeuralNetClassifier):
        """The usual way to reduced precision: run the network in autocast."""

        def infer(self, x, **params):
            with torch.autocast(self.device, torch.bfloat16):
                return super().infer(x, **params).float()

    kind = Autocast if precision == "bfloat16" else NeuralNetClassifier
    settings = {"train_split": None, "max_epochs": 1, "lr": 1e-3} | settings
    return kind(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        device=device,
        verbose=0,
        **settings,
    )
