import pytest
import torch

from skvit.nn import Record, VisionTransformer, ViTConfig

CONFIG = ViTConfig((8, 8), (4, 4), 1, 3, 8, 2, 2)


def recorded(*patterns, config=CONFIG):
    network = VisionTransformer(config, torch.Generator().manual_seed(0)).eval()
    record = Record(*patterns)
    network(torch.ones(2, *(1, 8, 8)), record)
    return record


def test_keeps_what_was_asked_for_and_nothing_else():
    assert set(recorded("block*/attention", "pooled")) == {
        "block00/attention",
        "block01/attention",
        "pooled",
    }
    assert len(recorded()) == 0
    assert len(recorded("block07/q")) == 0


def test_names_are_those_of_the_documentation_in_order():
    inside = ["q", "k", "v", "scores", "attention", "after_attention", "after_mlp"]
    assert list(recorded("*")) == [
        "patches",
        "embeddings",
        "positions",
        *(f"block00/{name}" for name in inside),
        *(f"block01/{name}" for name in inside),
        "tokens",
        "pooled",
        "logits",
    ]


def test_a_name_that_was_not_kept_is_explained():
    with pytest.raises(KeyError, match=r"'logits' was not recorded; asked for: \['p"):
        recorded("pooled")["logits"]


def test_tensors_are_those_of_the_graph():
    record = recorded("block00/attention", "logits")
    (gradient,) = torch.autograd.grad(
        record["logits"].sum(), record["block00/attention"]
    )
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("pool", ["token", "mean", "map", "seqpool"])
def test_gradients_reach_every_weight_that_is_kept(pool):
    network = VisionTransformer(ViTConfig((8, 8), (4, 4), 1, 2, 8, 2, 2, pool=pool))
    record = Record("*/attention")
    images = torch.ones(1, 1, 8, 8)
    logits = network(images, record)
    gradients = torch.autograd.grad(logits[0, 0], list(record.values()))
    assert len(gradients) == 2 + (pool in {"map", "seqpool"})
