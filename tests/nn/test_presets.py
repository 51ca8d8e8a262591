import pytest
import torch

from skvit.nn import PRESETS, VisionTransformer, ViTConfig


# Parameters of the published models with 16 x 16 patches at 224 x 224 and 1000
# classes, in millions: Touvron et al., arXiv:2012.12877, table 1, and torchvision.
@pytest.mark.parametrize(
    ("name", "patch", "millions"),
    [
        ("tiny", 16, 5.7),
        ("small", 16, 22.1),
        ("base", 16, 86.6),
        ("large", 16, 304.3),
        ("huge", 14, 632.0),
    ],
)
def test_sizes_are_the_published_ones(name, patch, millions):
    config = ViTConfig((224, 224), (patch, patch), 3, 1000, *PRESETS[name])
    with torch.device("meta"):
        network = VisionTransformer(config)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_every_preset_makes_a_network():
    for preset in PRESETS.values():
        assert ViTConfig((224, 224), (16, 16), 3, 10, *preset).head_dim % 4 == 0
