"""The same weights give the same answers here and in other libraries.

The files in tests/reference were made by the script there; with `-m parity` the tests
ask the libraries themselves, where they are installed.
"""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skvit.nn import (
    Record,
    VisionTransformer,
    ViTConfig,
    change_size,
    conv_to_linear,
    sincos_2d,
)
from skvit.nn._attention import Attention
from skvit.nn._patch_embed import OverlapPatchEmbed
from skvit.nn._pos_embed import grid_coordinates

REFERENCE = Path(__file__).parent.parent / "reference"
RULES_OF_TIMM = [
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"\.attn\.", ".attention."),
    (r"\.ls([12])\.gamma", r".scale\1.factor"),
    (r"^fc_norm\.", "pooled_norm."),
    (r"^attn_pool\.latent", "pool.query"),
    (r"^attn_pool\.", "pool."),
    (r"^head\.", "head.output."),
]
RULES_OF_TORCHVISION = [
    (r"^conv_proj\.", "patch_embed."),
    (r"^encoder\.pos_embedding", "pos_embed.table"),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attention.qkv."),
    (r"\.self_attention\.out_proj\.", ".attention.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head.output."),
    (r"^heads\.pre_logits\.", "head.hidden.0."),
]
RULES_OF_TRANSFORMERS = [
    (r"^vit\.embeddings\.patch_embeddings\.projection\.", "patch_embed."),
    (r"^vit\.embeddings\.position_embeddings", "pos_embed.table"),
    (r"^vit\.embeddings\.", ""),
    (r"^vit\.layernorm\.", "norm."),
    (r"^vit\.layers\.", "blocks."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.o_proj\.", ".proj."),
    (r"^classifier\.", "head.output."),
]
RULES_OF_VIT_PYTORCH = [
    (r"^to_patch_embedding\.1\.", "patch_embed.norm_before."),
    (r"^to_patch_embedding\.2\.", "patch_embed."),
    (r"^to_patch_embedding\.3\.", "patch_embed.norm_after."),
    (r"^pos_embedding", "pos_embed.table"),
    (r"^transformer\.norm\.", "norm."),
    (r"^transformer\.layers\.", "blocks."),
    (r"\.0\.norm\.", ".norm1."),
    (r"\.0\.to_qkv\.", ".attention.qkv."),
    (r"\.0\.to_out\.(0\.)?", ".attention.proj."),
    (r"\.1\.net\.0\.", ".norm2."),
    (r"\.1\.net\.1\.", ".mlp.fc1."),
    (r"\.1\.net\.[34]\.", ".mlp.fc2."),
    (r"^(mlp|linear)_head\.", "head.output."),
]


def renamed(weights, rules):
    """Weights under our names, each name changed by every rule that fits."""
    result = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def squeezed(weights, *names):
    """Weights of which those named have lost their first axes of length one."""
    return {
        name: value.flatten(0, -2) if name in names else value
        for name, value in weights.items()
    }


def of_timm(weights, config):
    result = renamed(weights, RULES_OF_TIMM)
    if "pos_embed" in result:
        result["pos_embed.table"] = result.pop("pos_embed")
    if "pool.query" in result:
        result["pool.query"] = result["pool.query"].flatten()
    result = squeezed(result, "pos_embed.table")
    front = [result.pop(name, None) for name in ("cls_token", "reg_token")]
    front = [tokens[0] for tokens in front if tokens is not None]
    if front:
        result["prefix.weight"] = torch.cat(front)
    return fold_register_positions(result, config)


def fold_register_positions(weights, config):
    """Add the positions that timm gives to registers to the registers themselves."""
    table = weights.get("pos_embed.table")
    prefix, rows = config.num_prefix_tokens, config.num_token_positions
    if rows < prefix and table is not None and len(table) == config.num_tokens:
        weights["prefix.weight"] = weights["prefix.weight"].clone()
        weights["prefix.weight"][rows:] += table[rows:prefix]
        weights["pos_embed.table"] = torch.cat((table[:rows], table[prefix:]))
    return weights


def of_torchvision(weights, config):
    result = renamed(weights, RULES_OF_TORCHVISION)
    result["prefix.weight"] = result.pop("class_token")[0]
    return squeezed(result, "pos_embed.table")


def of_transformers(weights, config):
    result = renamed(weights, RULES_OF_TRANSFORMERS)
    result["prefix.weight"] = result.pop("cls_token")[0]
    for block in range(config.depth):
        for kind in ("weight", "bias"):
            names = [f"blocks.{block}.attention.{x}_proj.{kind}" for x in "qkv"]
            if names[0] in result:
                joined = torch.cat([result.pop(name) for name in names])
                result[f"blocks.{block}.attention.qkv.{kind}"] = joined
    return squeezed(result, "pos_embed.table")


def of_vit_pytorch(weights, config):
    result = renamed(weights, RULES_OF_VIT_PYTORCH)
    if "cls_token" in result:
        result["prefix.weight"] = result.pop("cls_token")
    for block in range(config.depth):  # SimpleViT's projection has no bias
        name = f"blocks.{block}.attention.proj."
        zeros = torch.zeros_like(result[name + "weight"][:, 0])
        result.setdefault(name + "bias", zeros)
    return result


TIMM = ViTConfig((8, 12), (4, 4), 3, 3, 16, 2, 4, mlp_ratio=2.0)
SQUARE = replace(TIMM, image_size=(8, 8))
HF = replace(SQUARE, norm_eps=1e-12)
LUCID = replace(
    TIMM,
    patch_size=(4, 3),
    num_heads=2,
    patch_embed="linear",
    patch_norm_before=True,
    patch_norm_after=True,
    qkv_bias=False,
    norm_eps=1e-5,
)
NETWORKS = {
    "timm_plain": (TIMM, of_timm),
    "timm_rectangular_patches": (
        replace(TIMM, patch_size=(4, 3), in_channels=1),
        of_timm,
    ),
    "timm_five_channels_mean": (replace(TIMM, in_channels=5, pool="mean"), of_timm),
    "timm_mean_beside_token": (replace(TIMM, pool="mean", class_token=True), of_timm),
    "timm_mean_after_norm": (
        replace(TIMM, pool="mean", class_token=True, norm_after_pool=False),
        of_timm,
    ),
    "timm_map": (
        replace(TIMM, pool="map", num_register_tokens=2, layer_scale=0.1, qk_norm=True),
        of_timm,
    ),
    "timm_registers": (
        replace(TIMM, num_register_tokens=3, qkv_bias=False),
        of_timm,
    ),
    "timm_no_token_position": (
        replace(TIMM, num_register_tokens=1, pos_embed_token=False, layer_scale=0.1),
        of_timm,
    ),
    "timm_tanh": (replace(TIMM, activation="gelu_tanh"), of_timm),
    "timm_swiglu": (replace(TIMM, activation="swiglu", mlp_ratio=3.0), of_timm),
    "timm_no_positions": (replace(TIMM, pos_embed="none"), of_timm),
    "timm_resampled": (replace(TIMM, image_size=(8, 32)), of_timm),
    "timm_resampled_larger": (replace(TIMM, pool="mean"), of_timm),
    "timm_other_patches": (TIMM, of_timm),
    "torchvision_plain": (SQUARE, of_torchvision),
    "torchvision_hidden_layer": (
        replace(SQUARE, head_hidden=5, head_activation="tanh"),
        of_torchvision,
    ),
    "transformers_plain": (HF, of_transformers),
    "transformers_rectangle": (
        replace(HF, image_size=(8, 12), in_channels=1, qkv_bias=False),
        of_transformers,
    ),
    "transformers_tanh": (
        replace(HF, activation="gelu_tanh", norm_eps=1e-3),
        of_transformers,
    ),
    "vit_pytorch_plain": (LUCID, of_vit_pytorch),
    "vit_pytorch_five_channels": (replace(LUCID, in_channels=5), of_vit_pytorch),
    "vit_pytorch_simple": (
        replace(LUCID, pool="mean", norm_after_pool=False, pos_embed="sincos2d"),
        of_vit_pytorch,
    ),
}
# New sizes of the networks that are changed before they are run. What is resampled in
# float32 agrees to float32.
CHANGES = {
    "timm_resampled": {"image_size": (16, 16)},
    "timm_resampled_larger": {"image_size": (20, 12)},
    "timm_other_patches": {"image_size": (16, 18), "patch_size": (8, 6)},
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def stored(name):
    """Weights in float32, and the rest in float64, of one stored case."""
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    weights = {
        key.removeprefix("weights/"): tensors.pop(key)
        for key in list(tensors)
        if key.startswith("weights/")
    }
    return weights, tensors


def network_of(name, weights, dtype=torch.float64, mutate=None):
    """Our network with the weights of a case, by way of a mutation if there is one."""
    config, convert = NETWORKS[name]
    if name not in CHANGES:
        weights = {key: value.to(dtype) for key, value in weights.items()}
    weights = convert(dict(weights), config)
    if mutate is not None:
        config, weights = mutate(config, weights)
    if name in CHANGES:
        config, weights = change_size(config, weights, **CHANGES[name])
    network = VisionTransformer(config).to(dtype)
    network.load_state_dict(weights)
    return network.eval()


def largest_difference(network, answer):
    dtype = network.head.output.weight.dtype
    with torch.no_grad():
        logits = network(answer["images"].to(dtype))
    return (logits - answer["logits"]).abs().max().item()


def check(name, weights, answer):
    assert answer["logits"].abs().max() > 0.5
    single = network_of(name, weights, torch.float32)
    assert largest_difference(single, answer) < 1e-5
    network = network_of(name, weights)
    assert largest_difference(network, answer) < (1e-5 if name in CHANGES else 1e-10)
    if "attention" in answer:  # transformers makes its maps in float32
        record = Record("*/attention")
        network(answer["images"], record)
        maps = torch.stack(list(record.values()))
        torch.testing.assert_close(maps, answer["attention"], rtol=0, atol=1e-6)


@each_network
def test_logits_are_those_stored(name):
    check(name, *stored(name))


def test_every_stored_answer_is_used():
    pieces = {"vit_pytorch_tokenizer", "vit_pytorch_locality"}
    files = {path.stem: path.stat().st_size for path in REFERENCE.glob("*.npz")}
    assert set(files) == set(NETWORKS) | pieces
    assert max(files.values()) < 200_000


def check_tokenizer(weights, answer):
    config = replace(
        TIMM, image_size=(9, 12), patch_embed="overlap", stem_width=6, patch_size=(4, 4)
    )
    embed = OverlapPatchEmbed(config)
    embed.load_state_dict(
        {f"stages.{3 * i}.weight": value for i, value in enumerate(weights.values())}
    )
    result = embed.double()(answer["images"])
    torch.testing.assert_close(result, answer["logits"], rtol=1e-10, atol=1e-10)


def check_locality(weights, answer):
    config = replace(LUCID, locality=True)
    attention = Attention(config, "block00")
    temperature = weights["temperature"].double().exp().expand(2)  # one for all heads
    attention.double().load_state_dict(
        {
            "qkv.weight": weights["to_qkv.weight"],
            "proj.weight": weights["to_out.0.weight"],
            "proj.bias": weights["to_out.0.bias"],
            "temperature.factor": temperature,
        }
    )
    normed = torch.nn.functional.layer_norm(
        answer["images"],
        (16,),
        weights["norm.weight"].double(),
        weights["norm.bias"].double(),
    )
    result = attention(normed)
    torch.testing.assert_close(result, answer["logits"], rtol=1e-10, atol=1e-10)


def test_tokenizer_of_the_compact_transformers():
    check_tokenizer(*stored("vit_pytorch_tokenizer"))


def test_locality_self_attention():
    check_locality(*stored("vit_pytorch_locality"))


def test_fixed_positions_follow_the_convention_of_vit_pytorch():
    weights, _ = stored("vit_pytorch_simple")
    ours = sincos_2d(grid_coordinates((2, 4)), 16)
    theirs = weights["pos_embedding"].double()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parity
@each_network
def test_logits_are_those_of_the_library_itself(name):
    pytest.importorskip(re.match("timm|torchvision|transformers|vit_pytorch", name)[0])
    script = runpy.run_path(str(REFERENCE / "make_peers.py"))
    for seed in (1, 2):
        check(name, *script["run"](script["CASES"][name], seed))


@pytest.mark.parity
def test_pieces_are_those_of_the_library_itself():
    pytest.importorskip("vit_pytorch")
    script = runpy.run_path(str(REFERENCE / "make_peers.py"))
    cases, run = script["CASES"], script["run"]
    check_tokenizer(*run(cases["vit_pytorch_tokenizer"], 1))
    check_locality(*run(cases["vit_pytorch_locality"], 1))


def swap_queries_and_keys(config, weights):
    for name in weights:
        if ".qkv." in name:
            q, k, v = weights[name].chunk(3)
            weights[name] = torch.cat((k, q, v))
    return config, weights


def another_epsilon(config, weights):
    return replace(config, norm_eps=1e-6 if config.norm_eps > 1e-6 else 1e-5), weights


def another_gelu(config, weights):
    other = "gelu" if config.activation == "gelu_tanh" else "gelu_tanh"
    return replace(config, activation=other), weights


def no_class_position(config, weights):
    weights["pos_embed.table"] = weights["pos_embed.table"].clone()
    weights["pos_embed.table"][0] = 0
    return config, weights


def norm_on_the_other_side_of_the_pool(config, weights):
    names = {"norm.": "pooled_norm.", "pooled_norm.": "norm."}
    moved = {}
    for name, value in weights.items():
        first = name.split(".")[0] + "."
        moved[names[first] + name[len(first) :] if first in names else name] = value
    return replace(config, norm_after_pool=not config.has_late_norm), moved


def channels_first_in_a_patch(config, weights):
    weights["patch_embed.weight"] = weights["patch_embed.weight"].flatten(1)
    return replace(config, patch_embed="linear"), weights


def channels_last_in_a_patch(config, weights):
    matrix = conv_to_linear(weights["patch_embed.weight"])
    weights["patch_embed.weight"] = matrix.reshape(weights["patch_embed.weight"].shape)
    return config, weights


def a_thousandth_more(config, weights):
    for name in weights:
        if name.endswith(("q_norm.weight", "scale1.factor")):
            weights[name] = weights[name] * 1.001
    return config, weights


@pytest.mark.parametrize(
    ("mutate", "fits"),
    [
        (swap_queries_and_keys, lambda c: True),
        (another_epsilon, lambda c: True),
        (another_gelu, lambda c: c.activation != "swiglu"),
        (no_class_position, lambda c: c.num_token_positions and c.pos_embed != "none"),
        (norm_on_the_other_side_of_the_pool, lambda c: c.pool == "mean"),
        (channels_first_in_a_patch, lambda c: c.in_channels > 1),
        (channels_last_in_a_patch, lambda c: c.in_channels > 1),
        (a_thousandth_more, lambda c: c.qk_norm or c.layer_scale),
    ],
)
def test_mistakes_would_be_seen(mutate, fits):
    names = [n for n in NETWORKS if n not in CHANGES and fits(NETWORKS[n][0])]
    if mutate in (channels_first_in_a_patch, channels_last_in_a_patch):
        names = [n for n in names if NETWORKS[n][0].patch_embed == "conv"]
    assert names
    for name in names:
        weights, answer = stored(name)
        difference = largest_difference(
            network_of(name, weights, mutate=mutate), answer
        )
        assert difference > 1e-8, name
