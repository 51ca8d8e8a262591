"""The network against a forward pass written from the formulas, in NumPy alone."""

import itertools
import random
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.special import erf

from skvit.nn import Record, VisionTransformer, ViTConfig

# Values of every switch. A name with a slash stands for a choice of several fields.
SWITCHES = {
    "patch_embed": ["conv", "linear", "overlap", "shifted", "sequence"],
    "pos_embed": ["learned", "sincos", "sincos2d", "rope", "none"],
    "pos_bias": ["none", "gaussian"],
    "pos_embed_token": [True, False],
    "pos_grid": [None, (2, 5)],
    "pool": ["token", "mean", "map", "seqpool"],
    "class_token": [None, True, False],
    "num_register_tokens": [0, 1, 3],
    "qkv_bias": [True, False],
    "norm_eps": [1e-6, 1e-2],
    "activation": ["gelu", "gelu_tanh", "swiglu"],
    "qk_norm": [False, True],
    "locality": [False, True],
    "layer_scale": [None, 0.5],
    "patch_norm_before": [False, True],
    "patch_norm_after": [False, True],
    "norm_after_pool": [None, True, False],
    "head_hidden": [None, 5],
    "head_activation": ["gelu", "relu", "tanh"],
    "stem_convs": [1, 2],
    "in_channels": [1, 3, 5],
    "mlp_ratio": [4.0, 1.7],
    "embed_dim/num_heads": [(8, 1), (16, 2), (24, 3), (12, 3)],
    "image_size/patch_size": [
        ((8, 8), (4, 4)),
        ((8, 12), (2, 4)),
        ((7, 10), (3, 4)),
        ((9, 6), (6, 2)),
    ],
}


def config_of(choice):
    """Configuration made of one value for each switch; None where it is refused."""
    values = {}
    for switch, value in choice.items():
        names = switch.split("/")
        values.update(zip(names, value if len(names) > 1 else [value], strict=True))
    if values["patch_embed"] == "sequence":
        values["sequence_shape"] = (5, 7)
    try:
        return ViTConfig(num_outputs=3, depth=2, stem_width=6, **values)
    except ValueError:
        return None


def pairs_of(choice):
    return set(itertools.combinations(sorted(choice.items(), key=lambda i: i[0]), 2))


def draw_choice(rng, fixed):
    """A choice that the network accepts and that has the fixed values, or None."""
    for _ in range(200):
        choice = {name: rng.choice(values) for name, values in SWITCHES.items()}
        choice |= fixed
        if config_of(choice) is not None:
            return choice
    return None


def covering_choices():
    """Choices in which every pair of switch values that is accepted occurs."""
    rng = random.Random(0)
    todo = {
        pair
        for a, b in itertools.combinations(sorted(SWITCHES), 2)
        for pair in itertools.product(
            [(a, value) for value in SWITCHES[a]], [(b, value) for value in SWITCHES[b]]
        )
    }
    chosen, refused = [], []
    while todo:
        pair = min(todo, key=repr)
        drawn = [draw_choice(rng, dict(pair)) for _ in range(12)]
        drawn = [choice for choice in drawn if choice is not None]
        if not drawn:
            refused.append(pair)
            todo.discard(pair)
            continue
        best = max(drawn, key=lambda choice: len(pairs_of(choice) & todo))
        todo -= pairs_of(best)
        chosen.append(best)
    return chosen, refused


CHOICES, REFUSED = covering_choices()

# The pairs that exclude each other, whatever the other switches say.
EXCLUSIVE = {
    frozenset({("patch_embed", "sequence"), ("pos_embed", "sincos2d")}),
    frozenset({("patch_embed", "sequence"), ("pos_embed", "rope")}),
    frozenset({("patch_embed", "sequence"), ("pos_bias", "gaussian")}),
    frozenset({("patch_embed", "overlap"), ("patch_norm_before", True)}),
    frozenset({("pool", "token"), ("class_token", False)}),
}


def layer_norm(x, weights, name, eps):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    normed = (x - mean) / np.sqrt(variance + eps)
    return normed * weights[name + ".weight"] + weights[name + ".bias"]


def linear(x, weights, name):
    return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0.0)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def activate(x, kind):
    if kind == "gelu":
        return x * 0.5 * (1 + erf(x / np.sqrt(2)))
    if kind == "gelu_tanh":
        return x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "tanh":
        return np.tanh(x)
    gate, value = np.split(x, 2, axis=-1)
    return gate / (1 + np.exp(-gate)) * value


def cut(image, rows, columns):
    """Patches of one image (channels, height, width), value by value."""
    channels, height, width = image.shape
    return np.array(
        [
            [
                image[c, top + i, left + j]
                for i in range(rows)
                for j in range(columns)
                for c in range(channels)
            ]
            for top in range(0, height, rows)
            for left in range(0, width, columns)
        ]
    )


def pad(image, config):
    _, height, width = image.shape
    rows, columns = config.patch_size
    return np.pad(image, ((0, 0), (0, -height % rows), (0, -width % columns)))


def shift(image, rows, columns):
    """The image and its four diagonal neighbours at half a patch."""
    _, height, width = image.shape
    copies = [image]
    for down, right in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        copy = np.zeros_like(image)
        for y, x in itertools.product(range(height), range(width)):
            from_y, from_x = y + down * (rows // 2), x + right * (columns // 2)
            if 0 <= from_y < height and 0 <= from_x < width:
                copy[:, y, x] = image[:, from_y, from_x]
        copies.append(copy)
    return np.concatenate(copies)


def convolve(image, kernel):
    """3 x 3 convolution of (channels, height, width) with zeros around."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    windows = [
        padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    ]
    return np.einsum("ock,kcyx->oyx", kernel.reshape(*kernel.shape[:2], 9), windows)


def max_pool(image, strides):
    """Maximum over the windows around every stride-th pixel."""
    _, height, width = image.shape
    reach = [0 if n == 1 else -(-n // 2) for n in strides]
    return np.array(
        [
            [
                image[
                    :,
                    max(0, y - reach[0]) : y + reach[0] + 1,
                    max(0, x - reach[1]) : x + reach[1] + 1,
                ].max((1, 2))
                for x in range(0, width, strides[1])
            ]
            for y in range(0, height, strides[0])
        ]
    ).transpose(2, 0, 1)


# Strides of the two pools, written out for the patch lengths used here.
TWO_STRIDES = {2: (2, 1), 3: (3, 1), 4: (2, 2), 6: (3, 2)}


def embed(config, weights, image):
    """Patches (None where none are cut) and embeddings of one image."""
    name = "patch_embed."
    if config.patch_embed == "overlap":
        strides = [config.patch_size]
        if config.stem_convs == 2:
            strides = zip(*(TWO_STRIDES[n] for n in config.patch_size), strict=True)
        for i, stride in enumerate(strides):
            kernel = weights[f"{name}stages.{3 * i}.weight"]
            image = max_pool(np.maximum(convolve(image, kernel), 0), stride)
        patches, embeddings = None, image.reshape(len(image), -1).T
    else:
        patches = image
        if config.patch_embed != "sequence":
            image = pad(image, config)
            if config.patch_embed == "shifted":
                image = shift(image, *config.patch_size)
            patches = cut(image, *config.patch_size)
        x = patches
        if config.patch_norm_before or config.patch_embed == "shifted":
            x = layer_norm(x, weights, name + "norm_before", config.norm_eps)
        matrix = weights[name + "weight"]
        if config.patch_embed == "conv":
            matrix = np.array([cut(kernel, *config.patch_size)[0] for kernel in matrix])
        embeddings = x @ matrix.T + weights[name + "bias"]
    if config.patch_norm_after:
        embeddings = layer_norm(
            embeddings, weights, name + "norm_after", config.norm_eps
        )
    return patches, embeddings


def places(config):
    """Row and column of every patch, in cells of the grid they are measured by."""
    sizes = config.grid
    measure = config.pos_grid or sizes
    return [
        tuple(
            (i + 0.5) * m / n - 0.5
            for i, m, n in zip(cell, measure, sizes, strict=True)
        )
        for cell in itertools.product(*map(range, sizes))
    ]


def positions(config, weights):
    """What is added to each token; zeros where nothing is."""
    width, prefix = config.embed_dim, config.num_prefix_tokens
    has_class = (
        config.pool == "token" if config.class_token is None else config.class_token
    )
    has_row = has_class and config.pos_embed_token
    table = np.zeros((prefix + config.num_patches, width))
    if config.pos_embed == "learned":
        learned = weights["pos_embed.table"]
        table[:has_row] = learned[:has_row]
        table[prefix:] = learned[has_row:]
    for n, (row, column) in enumerate(places(config), start=prefix):
        if config.pos_embed == "sincos":
            columns = (config.pos_grid or config.grid)[1]
            table[n] = one_d(row * columns + column + has_row, width)
        if config.pos_embed == "sincos2d":
            speeds = 10000.0 ** -(np.arange(width // 4) / (width // 4 - 1))
            table[n] = np.concatenate(
                [f(p * speeds) for p in (column, row) for f in (np.sin, np.cos)]
            )
    if config.pos_embed == "sincos" and has_row:
        table[0] = one_d(0, width)
    return table


def one_d(place, width):
    angles = [place / 10000 ** (2 * (i // 2) / width) for i in range(width)]
    return [np.cos(a) if i % 2 else np.sin(a) for i, a in enumerate(angles)]


def turn(config, head):
    """Rotate the channel pairs of (tokens, head_dim) by row and column angles."""
    half = head.shape[1] // 2
    turned = head.copy()
    for n, place in enumerate(places(config), start=config.num_prefix_tokens):
        angles = np.concatenate(
            [p * 100.0 ** -(np.arange(half // 2) / (half // 2)) for p in place]
        )
        pairs = (head[n, :half] + 1j * head[n, half:]) * np.exp(1j * angles)
        turned[n] = np.concatenate([pairs.real, pairs.imag])
    return turned


def nearness(config, slopes):
    """What is added to the score of each pair of patches, by the way between them."""
    bias = np.zeros((config.num_tokens, config.num_tokens))
    first = config.num_prefix_tokens
    for i, query in enumerate(places(config), start=first):
        for j, key in enumerate(places(config), start=first):
            down, right = (there - here for here, there in zip(query, key, strict=True))
            bias[i, j] = slopes @ [down**2 + right**2, down, right]
    return bias


def attend(config, weights, name, x, seen):
    heads, T = config.num_heads, len(x)
    qkv = linear(x, weights, name + "attention.qkv").reshape(T, 3, heads, -1)
    outputs = []
    for h in range(heads):
        q, k, v = qkv[:, 0, h], qkv[:, 1, h], qkv[:, 2, h]
        if config.qk_norm:
            q = layer_norm(q, weights, name + "attention.q_norm", config.norm_eps)
            k = layer_norm(k, weights, name + "attention.k_norm", config.norm_eps)
        if config.pos_embed == "rope":
            q, k = turn(config, q), turn(config, k)
        if config.locality:
            scores = q @ k.T * weights[name + "attention.temperature.factor"][h]
        else:
            scores = q @ k.T / np.sqrt(q.shape[1])
        if config.pos_bias == "gaussian":
            slopes = weights[name + "attention.pos_bias.slopes"][h]
            scores = scores + nearness(config, slopes)
        if config.locality:
            np.fill_diagonal(scores, -np.inf)
        seen.setdefault(name + "scores", []).append(scores)
        seen.setdefault(name + "attention", []).append(softmax(scores))
        outputs.append(softmax(scores) @ v)
    return linear(np.concatenate(outputs, axis=1), weights, name + "attention.proj")


def feed_forward(config, weights, name, x):
    hidden = activate(linear(x, weights, name + "fc1"), config.activation)
    return linear(hidden, weights, name + "fc2")


def pool(config, weights, x):
    patches = x[config.num_prefix_tokens :]
    if config.pool == "token":
        return x[0]
    if config.pool == "mean":
        return patches.mean(0)
    if config.pool == "seqpool":
        return softmax(linear(patches, weights, "pool.score")[:, 0]) @ patches
    heads = config.num_heads
    q = linear(weights["pool.query"], weights, "pool.q").reshape(heads, -1)
    kv = linear(patches, weights, "pool.kv").reshape(len(patches), 2, heads, -1)
    mixed = [
        softmax(kv[:, 0, h] @ q[h] / np.sqrt(q.shape[1])) @ kv[:, 1, h]
        for h in range(heads)
    ]
    x = linear(np.concatenate(mixed), weights, "pool.proj")
    normed = layer_norm(x, weights, "pool.norm", config.norm_eps)
    return x + feed_forward(config, weights, "pool.mlp.", normed)


def forward(config, weights, image):
    """Logits of one image, and what was seen on the way."""
    seen = {}
    seen["patches"], x = embed(config, weights, image)
    seen["embeddings"] = x
    if config.num_prefix_tokens:
        x = np.concatenate([weights["prefix.weight"], x])
    seen["positions"] = positions(config, weights)
    x = x + seen["positions"]
    for i in range(config.depth):
        name = f"blocks.{i}."
        normed = layer_norm(x, weights, name + "norm1", config.norm_eps)
        branch = attend(config, weights, name, normed, seen)
        x = x + branch * weights.get(name + "scale1.factor", 1.0)
        seen[name + "after_attention"] = x
        normed = layer_norm(x, weights, name + "norm2", config.norm_eps)
        branch = feed_forward(config, weights, name + "mlp.", normed)
        x = x + branch * weights.get(name + "scale2.factor", 1.0)
        seen[name + "after_mlp"] = x
    late = config.norm_after_pool
    late = config.pool == "mean" if late is None else late
    if not late:
        x = layer_norm(x, weights, "norm", config.norm_eps)
    seen["tokens"] = x
    x = pool(config, weights, x)
    if late:
        x = layer_norm(x, weights, "pooled_norm", config.norm_eps)
    seen["pooled"] = x
    if config.head_hidden is not None:
        x = activate(linear(x, weights, "head.hidden.0"), config.head_activation)
    seen["logits"] = linear(x, weights, "head.output")
    return seen


def randomised(config, seed):
    """A float64 network whose parameters are all drawn anew, and images for it."""
    generator = torch.Generator().manual_seed(seed)
    network = VisionTransformer(config, generator).double().eval()
    network.reset_parameters(generator)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.3 * noise)
    shape = config.sequence_shape or (config.in_channels, *config.image_size)
    images = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    return network, images


def test_every_pair_of_switch_values_occurs_or_is_refused():
    covered = set().union(*(pairs_of(choice) for choice in CHOICES))
    count = sum(
        len(SWITCHES[a]) * len(SWITCHES[b])
        for a, b in itertools.combinations(SWITCHES, 2)
    )
    assert len(covered) + len(REFUSED) == count
    assert {frozenset(pair) for pair in REFUSED} == EXCLUSIVE


def test_every_field_is_a_switch_or_tested_elsewhere():
    switched = {name for switch in SWITCHES for name in switch.split("/")}
    elsewhere = {"num_outputs", "depth", "stem_width", "init", "sequence_shape"}
    rates = {field.name for field in fields(ViTConfig) if field.name.endswith("_rate")}
    assert {field.name for field in fields(ViTConfig)} == switched | elsewhere | rates


@pytest.mark.parametrize("number", range(len(CHOICES)))
def test_network_is_the_formulas(number):
    config = config_of(CHOICES[number])
    network, images = randomised(config, number)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    record = Record("*")
    with torch.no_grad():
        logits = network(images, record).numpy()
    for n, image in enumerate(images.numpy()):
        expected = forward(config, weights, image)
        np.testing.assert_allclose(
            logits[n], expected["logits"], rtol=1e-10, atol=1e-10
        )
        for name, tensor in record.items():
            key = name.replace("block0", "blocks.").replace("/", ".")
            if key in expected:
                value = tensor if name == "positions" else tensor[n]
                np.testing.assert_allclose(
                    value.detach().numpy(),
                    expected[key],
                    rtol=1e-10,
                    atol=1e-10,
                    err_msg=name,
                )
