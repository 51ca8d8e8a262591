import pytest
import torch
from torch import nn

from skvit.nn import VisionTransformer, ViTConfig, drawing_for_rows, set_generator
from skvit.nn._dropout import (
    Dropout,
    DropPath,
    KeepPatches,
    PatchDropout,
    RandomModule,
    make_drop_path,
    make_dropout,
)
from skvit.nn._places import NO_PLACES, Places


def seeded(module, seed=0):
    set_generator(module, torch.Generator().manual_seed(seed))
    return module.train()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_fraction_and_keeps_the_mean(rate):
    dropped = seeded(Dropout(rate))(torch.ones(1000, 100))
    assert (dropped == 0).float().mean() == pytest.approx(rate, abs=0.01)
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])


def test_drop_path_takes_whole_samples():
    dropped = seeded(DropPath(0.3))(torch.ones(4000, 3, 2))
    per_sample = dropped.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert (per_sample[:, 0] == 0).float().mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("module", [Dropout(0.5), DropPath(0.5)])
def test_nothing_is_dropped_in_evaluation(module):
    x = torch.ones(4, 3, 2)
    assert module.eval()(x) is x


@pytest.mark.parametrize(
    ("n", "rate", "kept"), [(30, 0.9, 3), (20, 0.8, 4), (9, 0.5, 4)]
)
def test_fractions_of_patches_are_not_lost_to_rounding(n, rate, kept):
    left, _ = seeded(PatchDropout(rate, 0))(torch.zeros(2, n, 1), Places(None))
    assert left.shape == (2, kept, 1)


@pytest.mark.parametrize(("rate", "kept"), [(0.25, 12), (0.5, 8), (0.99, 1)])
def test_patch_dropout_keeps_the_prefix_and_each_patch_with_its_rotation(rate, kept):
    tokens = torch.arange(18.0).expand(5, 18)[..., None]
    rotation = torch.arange(18.0)[:, None].expand(18, 4)
    left, places = seeded(PatchDropout(rate, 2))(tokens, Places(rotation))
    turned = places.rotation
    assert left.shape == (5, 2 + kept, 1)
    assert turned.shape == (5, 1, 2 + kept, 4)
    assert (left[:, :2, 0] == torch.tensor([0.0, 1.0])).all()
    assert (turned[:, 0, :, 0] == left[..., 0]).all()
    for sample in left[:, 2:, 0]:
        assert len(sample.unique()) == kept
        assert sample.min() >= 2


def test_patch_dropout_differs_between_samples_and_stops_in_evaluation():
    module = seeded(PatchDropout(0.5, 0))
    tokens = torch.arange(64.0).expand(2, 64)[..., None]
    left, places = module(tokens, NO_PLACES)
    assert places == NO_PLACES
    assert set(left[0, :, 0].tolist()) != set(left[1, :, 0].tolist())
    assert module.eval()(tokens, places) == (tokens, places)
    assert KeepPatches()(tokens, places) == (tokens, places)


def test_draws_come_from_the_given_generator_alone():
    state = torch.get_rng_state()
    module = nn.Sequential(Dropout(0.5), DropPath(0.5))
    x = torch.ones(8, 6, 4)
    first, again = seeded(module, 1)(x), seeded(module, 1)(x)
    other = seeded(module, 2)(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_generator_draws_are_torchs_own():
    module = Dropout(0.5).train()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = module(torch.ones(50))
        torch.manual_seed(3)
        assert torch.equal(module(torch.ones(50)), first)


def test_a_rate_of_zero_builds_nothing():
    assert isinstance(make_dropout(0.0), nn.Identity)
    assert isinstance(make_drop_path(0.0), nn.Identity)
    assert repr(make_dropout(0.1)) == "Dropout(rate=0.1)"


@pytest.mark.parametrize(
    ("changes", "n_draws"),
    [
        ({"drop_rate": 0.5}, 1 + 2 * 3),  # embeddings; attention's output, both layers
        ({"attn_drop_rate": 0.5}, 2),
        ({"drop_path_rate": 0.5}, 2),  # of the last block alone
        ({"patch_drop_rate": 0.5}, 1),
    ],
)
def test_every_place_that_drops_draws_once_in_a_pass(monkeypatch, changes, n_draws):
    config = ViTConfig((8, 8), (2, 2), 1, 2, 8, 2, 2, **changes)
    network = seeded(VisionTransformer(config, torch.Generator().manual_seed(0)))
    drawn, draw = [], RandomModule.draw

    def watched(module, *shape, **settings):
        drawn.append(module)
        return draw(module, *shape, **settings)

    monkeypatch.setattr(RandomModule, "draw", watched)
    network(torch.zeros(2, 1, 8, 8))
    assert len(drawn) == n_draws
    assert set(drawn) == {m for m in network.modules() if isinstance(m, RandomModule)}


@pytest.mark.parametrize(
    "changes",
    [
        {"drop_rate": 0.5},
        {"attn_drop_rate": 0.5},
        {"drop_path_rate": 0.5},
        {"patch_drop_rate": 0.5},
    ],
)
def test_rows_of_a_batch_drop_what_the_whole_batch_drops(changes):
    config = ViTConfig((8, 8), (2, 2), 1, 2, 8, 2, 2, **changes)
    network = seeded(VisionTransformer(config, torch.Generator().manual_seed(0)), 1)
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    network = network.double()
    whole = network(images.double())
    for rows in (slice(0, 3), slice(3, 7)):
        with drawing_for_rows(rows, 7, torch.Generator().manual_seed(1)):
            part = network(images[rows].double())
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-12)
    assert not torch.allclose(network(images.double()), whole)


def test_a_share_of_a_batch_is_forgotten_after_an_error():
    module, x = seeded(Dropout(0.5).train()), torch.ones(4, 50)
    share = drawing_for_rows(slice(0, 2), 9, torch.Generator())
    with pytest.raises(ValueError, match="inside"), share:
        raise ValueError("inside")
    assert module(x).shape == x.shape


def test_a_share_within_a_share_ends_alone():
    module, x = Dropout(0.5).train(), torch.ones(2, 50)

    def share(first):
        source = torch.Generator().manual_seed(1)
        return drawing_for_rows(slice(first, first + 2), 9, source)

    with share(3):
        expected = module(x)
    with share(3):
        with share(5):
            other = module(x)
        torch.testing.assert_close(module(x), expected)
    assert not torch.equal(other, expected)


@pytest.mark.parametrize("rows", [slice(0, 3), slice(8, 10)])
def test_a_share_of_other_rows_than_those_computed_is_an_error(rows):
    module = Dropout(0.5).train()
    with (
        drawing_for_rows(rows, 9, torch.Generator()),
        pytest.raises(ValueError, match=r"samples of slice.* of a batch of 9, got 2"),
    ):
        module(torch.ones(2, 50))
