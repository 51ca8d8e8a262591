"""What images of growing size cost."""

import numpy as np
import torch
from _common import median_seconds
from _networks import PATCH, make_cnn, make_vit
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SIDES = (32, 48, 64, 96, 128, 192, 256)
N_CLASSES = 10


def count_tokens(side):
    """Length of the ViT's sequence."""
    return (side // PATCH) ** 2 + 1


def count_flops(call):
    """Floating-point operations of a call: between tokens, and all others."""
    # Only attention taken apart into matrix products is counted on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    by_operation = counter.get_flop_counts()["Global"]
    between = by_operation.get(torch.ops.aten.bmm, 0)
    return between, sum(by_operation.values()) - between


def count_vit(side):
    """Operations between tokens, and all others, for one image; nothing is computed."""
    with torch.device("meta"):
        vit = make_vit((side, side, 3), N_CLASSES).eval()
        image = torch.empty(1, 3, side, side)
    with torch.no_grad():
        return count_flops(lambda: vit.forward_features(image))


def count_cnn(side):
    """Operations for one image; nothing is computed."""
    cnn = make_cnn((side, side, 3), N_CLASSES).eval().to("meta")
    image = torch.empty(1, 3, side, side, device="meta")
    with torch.no_grad():
        return sum(count_flops(lambda: cnn(image)))


@torch.inference_mode()
def time_parts(side, repeats):
    """Seconds of one attention, one feed-forward part and the CNN, for one image."""
    generator = torch.Generator().manual_seed(0)
    vit = make_vit((side, side, 3), N_CLASSES).eval()
    config, block = vit.config, vit.blocks[0]
    shape = (1, config.num_heads, config.num_tokens, config.head_dim)
    q, k, v = torch.randn((3, *shape), generator=generator)
    tokens = torch.randn((1, config.num_tokens, config.embed_dim), generator=generator)
    image = torch.randn((1, 3, side, side), generator=generator)
    image = image.contiguous(memory_format=torch.channels_last)
    cnn = make_cnn((side, side, 3), N_CLASSES).eval()
    calls = (
        lambda: block.attention.mix(q, k, v, None, None),
        lambda: block.mlp(tokens),
        lambda: cnn(image),
    )
    return [median_seconds(call, repeats) for call in calls]


def exponent(x, y):
    """Slope of the straight line through the logarithms: y grows as x ** slope."""
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def measure_costs(sides=SIDES, repeats=15):
    """Return sizes and costs, one row per side.

    Columns: pixels, tokens, operations between tokens, the ViT's others, the CNN's;
    seconds of the attention, of the feed-forward part, of the CNN.
    """
    rows = []
    for side in sides:
        counts = *count_vit(side), count_cnn(side)
        rows.append((side**2, count_tokens(side), *counts, *time_parts(side, repeats)))
    return np.array(rows, dtype=float)


def cost_rows(costs):
    """Rows of the table of costs, and one of fitted exponents.

    Those of the ViT are in the number of tokens, those of the CNN in the pixels; times
    are fitted over the longer half, where calls no longer cost more than arithmetic.
    """
    pixels, tokens = costs[:, 0], costs[:, 1]
    sizes = (tokens, tokens, pixels) * 2
    half = len(costs) // 2
    starts = (0, 0, 0, half, half, half)
    slopes = [
        exponent(size[start:], cost[start:])
        for size, cost, start in zip(sizes, costs[:, 2:].T, starts, strict=True)
    ]
    rows = [
        (
            f"{p**0.5:.0f} x {p**0.5:.0f}",
            f"{t:.0f}",
            *(f"{operations / 1e6:.1f}" for operations in counts[:3]),
            *(f"{1e3 * seconds:.2f}" for seconds in counts[3:]),
        )
        for p, t, *counts in costs
    ]
    return [*rows, ("exponent", "", *(f"{slope:.2f}" for slope in slopes))]
