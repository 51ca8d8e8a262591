from dataclasses import FrozenInstanceError

import pytest
import torch

from skvit._training import Streams
from skvit._training._plan import stream_seed

CPU = torch.device("cpu")


def draws(generator):
    return torch.rand(4, generator=generator, device=generator.device).tolist()


def test_plan_cannot_be_changed(make_plan):
    plan = make_plan()
    assert plan == make_plan()
    with pytest.raises(FrozenInstanceError, match="max_epochs"):
        plan.max_epochs = 1


def test_seeds_differ_between_fits_epochs_and_purposes():
    seeds = {
        stream_seed(seed, epoch, purpose)
        for seed in range(20)
        for epoch in range(20)
        for purpose in range(3)
    }
    assert len(seeds) == 1200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_epoch_draws_the_same_wherever_training_began():
    through = Streams.on(CPU, 7)
    for epoch in range(3):
        through.begin_epoch(epoch)
        before = draws(through.host), draws(through.device)
    resumed = Streams.on(CPU, 7)
    resumed.begin_epoch(2)
    assert (draws(resumed.host), draws(resumed.device)) == before


@pytest.mark.usefixtures("rng_is_untouched")
def test_streams_are_independent():
    streams, other = Streams.on(CPU, 7), Streams.on(CPU, 8)
    seen = []
    for epoch in range(2):
        for one in (streams, other):
            one.begin_epoch(epoch)
            seen += [draws(one.host), draws(one.device)]
    assert len({tuple(values) for values in seen}) == len(seen)


@pytest.mark.gpu
def test_second_stream_lives_where_the_network_does(device):
    streams = Streams.on(torch.device(device), 0)
    assert streams.host.device == CPU
    assert streams.device.device.type == device
