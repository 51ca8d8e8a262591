from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skvit._training import Augmentation, Monitor, Streams, ViTNet, train
from skvit._training._replay import Replay


@pytest.mark.gpu
def test_replayed_calls_are_calls(device):
    source = torch.Generator(device).manual_seed(0)
    ran = Counter()

    def double(values, more):
        ran[values.shape] += 1
        return values * 2 if more is None else values * 2 + more

    replay = Replay(double, source)
    for number in range(6):
        values = torch.full((3,), float(number), device=device)
        assert torch.equal(replay(values, None), values * 2)
        longer = torch.full((5,), float(number), device=device)
        assert torch.equal(replay(longer, longer), longer * 3)
    assert set(ran.values()) == {4}  # three as they are, one to be captured


@pytest.mark.gpu
def test_draws_of_replayed_calls_are_those_of_the_seed(device):
    def run(n_calls):
        source = torch.Generator(device).manual_seed(3)
        replay = Replay(
            lambda x: x + torch.rand(4, generator=source, device=device), source
        )
        zero = torch.zeros(4, device=device)
        return torch.stack([replay(zero) for _ in range(n_calls)])

    draws = run(8)
    assert torch.equal(draws, run(8))
    assert len(draws.unique()) == draws.numel()


class Watching(Callback):
    """A callback that looks at gradients, so that nothing is replayed."""

    def on_grad_computed(self, net, **_):
        self.seen = True


@pytest.mark.parametrize(
    ("changes", "callbacks", "device", "is_replayed"),
    [
        ({}, [], "cuda", True),
        ({"optimizer": "muon"}, [Callback()], "cuda", True),
        ({}, [], "mps", False),
        ({"precision": "float16"}, [], "cuda", False),
        ({"optimizer": "sgd"}, [], "cuda", False),
        ({}, [Callback(), Watching()], "cuda", False),
    ],
)
def test_what_python_has_no_part_in_is_replayed_on_cuda(
    make_module, make_plan, monkeypatch, changes, callbacks, device, is_replayed
):
    cpu = torch.device("cpu")
    net = ViTNet(
        make_module(torch.float32),
        make_plan(**{"precision": "float32"} | changes),
        Streams.on(cpu, 0),
        device=cpu,
        callbacks=callbacks,
    ).initialize()
    monkeypatch.setattr(ViTNet, "_device", torch.device(device))
    assert net._may_replay() is is_replayed


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("patch_drop_rate", [0.0, 0.5])
def test_replayed_training_is_training(
    device, make_module, make_plan, make_data, optimizer, patch_drop_rate, monkeypatch
):
    place = torch.device(device)
    plan = make_plan(
        max_epochs=6,
        optimizer=optimizer,
        clip_norm=1.0,
        averaging=0.9,
        averaging_start=5,
        # rates and decays that single precision holds exactly
        total_updates=None,
        warmup=4,
        learning_rate=2**-7,
        weight_decay=2**-4,
        augmentation=Augmentation(shift=0.1),
        dropping_epochs=3 if patch_drop_rate else None,
    )
    weight = np.linspace(0.5, 1.5, 23)

    def run():
        module = make_module(device=place, patch_drop_rate=patch_drop_rate)
        data = make_data(device=place, weight=weight)
        trained = train(module, plan, 0, data, monitor=Monitor())
        return trained.history["train_loss"], module.state_dict()

    losses, weights = run()
    monkeypatch.setattr("skvit._training._net.ViTNet._may_replay", lambda _: False)
    expected_losses, expected = run()
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-10)
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-10)


@pytest.mark.gpu
def test_callbacks_that_look_at_gradients_see_each(
    device, make_module, make_plan, make_data
):
    place, watching = torch.device(device), Watching()
    module, plan = make_module(device=place), make_plan()
    net = ViTNet(
        module, plan, Streams.on(place, 0), device=place, callbacks=[watching]
    ).initialize()
    net.partial_fit(make_data(device=place), None)
    assert watching.seen
    assert net._replay is None


@pytest.mark.gpu
def test_threads_capture_one_after_another(device):
    def run(number):
        source = torch.Generator(device).manual_seed(number)
        weight = torch.eye(64, device=device) * number
        replay = Replay(lambda x: (x @ weight).cumsum(0), source)
        rows = torch.ones(8, 64, device=device)
        return [replay(rows * step)[-1, 0].item() for step in range(20)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(1, 9)))
    assert found == [[8.0 * n * step for step in range(20)] for n in range(1, 9)]
