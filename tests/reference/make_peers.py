"""Make the stored answers of other libraries' Vision Transformers.

Run `python tests/reference/make_peers.py` where timm 1.0.31 or later, torchvision,
transformers and vit-pytorch are installed. Each file beside this script then holds a
small model's weights, all drawn at random, some images, and the model's answers in
float64. The tests of the network read the files, or, where the libraries are installed
and `-m parity` asks for it, make the same with other weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """How to build a model, the shape of one image, and what to do before it is run."""

    build: Callable[[], nn.Module]
    image: tuple[int, ...]
    change: Callable[[nn.Module], None] | None = None


def timm(**changes) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    values = {
        "img_size": (8, 12),
        "patch_size": 4,
        "num_classes": 3,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 4,
        "mlp_ratio": 2.0,
    }
    return VisionTransformer(**(values | changes))


def timm_swiglu() -> nn.Module:
    from timm.layers import SwiGLUPacked

    return timm(mlp_layer=SwiGLUPacked, mlp_ratio=4.0, act_layer="silu")


def torchvision(**changes) -> nn.Module:
    from torchvision.models.vision_transformer import VisionTransformer

    values = {
        "image_size": 8,
        "patch_size": 4,
        "num_layers": 2,
        "num_heads": 4,
        "hidden_dim": 16,
        "mlp_dim": 32,
        "num_classes": 3,
    }
    return VisionTransformer(**(values | changes))


def transformers(**changes) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    values = {
        "image_size": 8,
        "patch_size": 4,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "num_labels": 3,
    }
    return ViTForImageClassification(ViTConfig(**(values | changes)))


def vit_pytorch(**changes) -> nn.Module:
    from vit_pytorch import ViT

    return ViT(**(VIT_PYTORCH | changes))


def vit_pytorch_simple() -> nn.Module:
    from vit_pytorch import SimpleViT

    return SimpleViT(**VIT_PYTORCH)


VIT_PYTORCH = {
    "image_size": (8, 12),
    "patch_size": (4, 3),
    "num_classes": 3,
    "dim": 16,
    "depth": 2,
    "heads": 2,
    "dim_head": 8,
    "mlp_dim": 32,
}


def vit_pytorch_tokenizer() -> nn.Module:
    from vit_pytorch.cct import Tokenizer

    return Tokenizer(
        kernel_size=3,
        stride=1,
        padding=1,
        n_conv_layers=2,
        n_output_channels=16,
        in_planes=6,
        activation=nn.ReLU,
    )


def vit_pytorch_locality() -> nn.Module:
    from vit_pytorch.vit_for_small_dataset import LSA

    return LSA(16, heads=2, dim_head=8)


CASES = {
    "timm_plain": Case(timm, (3, 8, 12)),
    "timm_rectangular_patches": Case(
        lambda: timm(patch_size=(4, 3), in_chans=1), (1, 8, 12)
    ),
    "timm_five_channels_mean": Case(
        lambda: timm(in_chans=5, global_pool="avg", class_token=False), (5, 8, 12)
    ),
    "timm_mean_beside_token": Case(lambda: timm(global_pool="avg"), (3, 8, 12)),
    "timm_mean_after_norm": Case(
        lambda: timm(global_pool="avg", fc_norm=False), (3, 8, 12)
    ),
    "timm_map": Case(
        lambda: timm(
            global_pool="map",
            class_token=False,
            reg_tokens=2,
            init_values=0.1,
            qk_norm=True,
            no_embed_class=True,
        ),
        (3, 8, 12),
    ),
    "timm_registers": Case(lambda: timm(reg_tokens=3, qkv_bias=False), (3, 8, 12)),
    "timm_no_token_position": Case(
        lambda: timm(reg_tokens=1, no_embed_class=True, init_values=0.1), (3, 8, 12)
    ),
    "timm_tanh": Case(lambda: timm(act_layer="gelu_tanh"), (3, 8, 12)),
    "timm_swiglu": Case(timm_swiglu, (3, 8, 12)),
    "timm_no_positions": Case(lambda: timm(pos_embed="none"), (3, 8, 12)),
    "timm_resampled": Case(
        lambda: timm(img_size=(8, 32)),
        (3, 16, 16),
        lambda model: model.set_input_size(img_size=(16, 16)),
    ),
    "timm_resampled_larger": Case(
        lambda: timm(global_pool="avg", class_token=False),
        (3, 20, 12),
        lambda model: model.set_input_size(img_size=(20, 12)),
    ),
    "timm_other_patches": Case(
        timm,
        (3, 16, 18),
        lambda model: model.set_input_size(img_size=(16, 18), patch_size=(8, 6)),
    ),
    "torchvision_plain": Case(torchvision, (3, 8, 8)),
    "torchvision_hidden_layer": Case(
        lambda: torchvision(representation_size=5), (3, 8, 8)
    ),
    "transformers_plain": Case(transformers, (3, 8, 8)),
    "transformers_rectangle": Case(
        lambda: transformers(image_size=(8, 12), num_channels=1, qkv_bias=False),
        (1, 8, 12),
    ),
    "transformers_tanh": Case(
        lambda: transformers(hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-3),
        (3, 8, 8),
    ),
    "vit_pytorch_plain": Case(vit_pytorch, (3, 8, 12)),
    "vit_pytorch_five_channels": Case(lambda: vit_pytorch(channels=5), (5, 8, 12)),
    "vit_pytorch_simple": Case(vit_pytorch_simple, (3, 8, 12)),
    "vit_pytorch_tokenizer": Case(vit_pytorch_tokenizer, (3, 9, 12)),
    "vit_pytorch_locality": Case(vit_pytorch_locality, (7, 16)),
}


def answers(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Logits of a model, and its attention maps where it gives them."""
    if not hasattr(model, "set_attn_implementation"):
        return {"logits": model(images)}
    logits = model(pixel_values=images).logits
    model.set_attn_implementation("eager")  # gives maps, with a softmax in float32
    maps = model(pixel_values=images, output_attentions=True).attentions
    return {"logits": logits, "attention": torch.stack(maps)}


def run(case: Case, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Draw a model; return its float32 weights, and float64 images and answers."""
    generator = torch.Generator().manual_seed(seed)
    model = case.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter.clamp(-1, 1).round() + 0.3 * noise)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    if isinstance(getattr(model, "pos_embedding", None), Tensor):
        weights["pos_embedding"] = model.pos_embedding.clone()
    if case.change is not None:
        case.change(model)
    images = torch.randn((2, *case.image), generator=generator, dtype=torch.float64)
    with torch.no_grad():
        return weights, {"images": images, **answers(model.double(), images)}


def main() -> None:
    for name, case in CASES.items():
        weights, rest = run(case, seed=0)
        arrays = {f"weights/{key}": value for key, value in weights.items()} | rest
        np.savez_compressed(
            FOLDER / f"{name}.npz",
            **{key: value.detach().numpy() for key, value in arrays.items()},
        )


if __name__ == "__main__":
    main()
