import gc
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

from skvit._training import (
    Augmentation,
    Monitor,
    Progress,
    Streams,
    export_weights,
    train,
)
from skvit._training._schedule import cosine_factor
from skvit._training._train import history_frame, to_numpy, to_torch

CPU = torch.device("cpu")
DROPOUT = {"drop_rate": 0.1, "drop_path_rate": 0.2, "patch_drop_rate": 0.3}


def run(module, plan, data, seed=3, **settings):
    settings = {"monitor": Monitor()} | settings
    return train(module, plan, seed, data, **settings)


def same(one, other, atol=0.0):
    one, other = export_weights(one), export_weights(other)
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=0, atol=atol, err_msg=name)
    return True


def plain_loop(module, plan, data, seed):
    """Train as one would without a library; return the loss of each epoch."""
    maps = (torch.nn.Linear, torch.nn.Conv2d)
    decay = {part.weight for part in module.modules() if isinstance(part, maps)}
    decay.add(module.patch_embed.weight)
    rest = [parameter for parameter in module.parameters() if parameter not in decay]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(decay), "weight_decay": plan.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        foreach=False,
        fused=False,
    )
    images = (torch.from_numpy(data.images).permute(0, 3, 1, 2) - 1.0) / 2.0
    target = torch.from_numpy(data.target)
    weight = torch.ones(len(target)) if data.weight is None else data._weight
    streams, losses, step = Streams.on(CPU, seed), [], 0
    module.train()
    for epoch in range(plan.max_epochs):
        streams.begin_epoch(epoch)
        order = torch.randperm(len(target), generator=streams.host)
        losses.append(0.0)
        for index in np.array_split(order, -(-len(target) // plan.batch_size)):
            rate = plan.learning_rate * cosine_factor(
                step, plan.total_updates, plan.warmup, plan.final_rate
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            logs = torch.log_softmax(module(images[index]), dim=1)
            smooth = plan.label_smoothing
            wanted = (1 - smooth) * torch.eye(3, dtype=logs.dtype) + smooth / 3
            loss = -((wanted[target[index]] * logs).sum(1) * weight[index]).mean()
            optimizer.zero_grad()
            loss.backward()
            norm = torch.sqrt(sum((p.grad**2).sum() for p in module.parameters()))
            for parameter in module.parameters():
                parameter.grad *= min(1.0, plan.clip_norm / (norm + 1e-6))
            optimizer.step()
            losses[-1] += loss.item() * len(index) / len(target)
            step += 1
    return losses


@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_the_plain_loop(make_module, make_plan, make_data, weighted):
    plan = make_plan(
        warmup=2, total_updates=9, clip_norm=0.5, label_smoothing=0.1, final_rate=0.1
    )
    weight = np.linspace(0.5, 1.5, 23) if weighted else None
    data, module, plain = make_data(weight=weight), make_module(), make_module()
    trained = run(module, plan, data)
    losses = plain_loop(plain, plan, data, 3)
    assert same(module, plain, atol=1e-12)
    np.testing.assert_allclose(trained.history["train_loss"], losses, atol=1e-12)
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("rng_is_untouched")
def test_equal_seeds_give_equal_bits(make_module, make_plan, make_data):
    plan = make_plan(
        augmentation=Augmentation(shift=0.1, flip=True, color=0.2, erase=0.5, mixup=1)
    )
    modules = [make_module(**DROPOUT) for _ in range(3)]
    for module, seed in zip(modules, (3, 3, 4), strict=True):
        run(module, plan, make_data(), seed)
    assert same(modules[0], modules[1])
    with pytest.raises(AssertionError, match="Mismatched"):
        same(modules[0], modules[2])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("pieces", [(1, 3), (2, 1, 1)])
def test_training_in_pieces_is_training_at_once(
    make_module, make_plan, make_data, optimizer, pieces
):
    settings = {
        "optimizer": optimizer,
        "warmup": 4,
        "augmentation": Augmentation(shift=0.1, cutmix=1.0),
    }
    whole, module = make_module(**DROPOUT), make_module(**DROPOUT)
    at_once = run(whole, make_plan(max_epochs=4, **settings), make_data())
    progress, histories = Progress(), []
    for n in pieces:
        part = run(
            module, make_plan(max_epochs=n, **settings), make_data(), start=progress
        )
        progress = pickle.loads(pickle.dumps(part.progress))
        histories.append(part.history)
    assert same(whole, module)
    assert progress.epochs == at_once.progress.epochs == 4
    assert progress.updates == at_once.progress.updates == 12
    assert np.concatenate([h["epoch"] for h in histories]).tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(
        np.concatenate([h["train_loss"] for h in histories]),
        at_once.history["train_loss"],
    )


def test_progress_is_plain_python_and_numpy(make_module, make_plan, make_data):
    progress = run(make_module(), make_plan(), make_data()).progress
    assert b"torch" not in pickle.dumps(progress)
    (state,) = progress.optimizers
    assert set(state[0]) >= {"step", "exp_avg", "exp_avg_sq"}


def test_containers_keep_their_form_on_the_way_to_numpy_and_back():
    tree = {"a": [torch.ones(2), (1, None)], "b": {"c": torch.tensor(3.0)}, "d": "e"}
    there = to_numpy(tree)
    assert isinstance(there["a"][0], np.ndarray)
    assert there["a"][1] == (1, None)
    back = to_torch(there)
    assert back["d"] == "e"
    assert torch.equal(back["a"][0], tree["a"][0])
    assert torch.equal(back["b"]["c"], tree["b"]["c"])
    there["a"][0][:] = 5
    assert tree["a"][0].tolist() == back["a"][0].tolist() == [1, 1]


def test_average_of_the_last_updates_replaces_the_weights(
    make_module, make_plan, make_data
):
    seen = []

    class Watch(Monitor):
        def on_batch_end(self, net, training=False, **_):
            seen.append(export_weights(net.module_))

    averaged = make_module()
    plan = make_plan(averaging=0.9, averaging_start=6)
    run(averaged, plan, make_data(), monitor=Watch())
    plain = make_module()
    run(plain, make_plan(), make_data())
    for name, value in export_weights(averaged).items():
        mean = np.mean([weights[name] for weights in seen[5:]], axis=0)
        np.testing.assert_allclose(value, mean, atol=1e-13)
        np.testing.assert_array_equal(export_weights(plain)[name], seen[-1][name])


def test_validation_sees_the_averaged_weights_without_dropout(
    make_module, make_plan, make_data
):
    logits = []
    module, valid = make_module(**DROPOUT), make_data(300, seed=1)
    plan = make_plan(averaging=0.5)
    trained = run(
        module,
        plan,
        make_data(),
        valid_data=valid,
        monitor=Monitor(score=lambda x: logits.append(x) or 0.25),
    )
    with torch.no_grad():
        expected = module.eval()(valid.inputs(slice(None))).numpy()
    np.testing.assert_allclose(logits[-1], expected, atol=1e-12)
    logs = torch.log_softmax(torch.from_numpy(expected), dim=1).numpy()
    loss = -logs[np.arange(300), valid.target].mean()
    assert trained.history["valid_loss"].iloc[-1] == pytest.approx(loss, abs=1e-12)
    assert trained.history["valid_score"].tolist() == [0.25] * 3


def test_validating_changes_nothing(make_module, make_plan, make_data):
    plain, watched = make_module(**DROPOUT), make_module(**DROPOUT)
    run(plain, make_plan(), make_data())
    run(
        watched,
        make_plan(),
        make_data(),
        valid_data=make_data(seed=1),
        monitor=Monitor(score=lambda _: 0.0),
    )
    assert same(plain, watched)


def test_history_has_one_row_per_epoch(make_module, make_plan, make_data):
    trained = run(make_module(), make_plan(warmup=9), make_data())
    history = trained.history
    assert list(history) == [
        "epoch",
        "train_loss",
        "learning_rate",
        "images_per_second",
        "seconds",
    ]
    assert history["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(history["learning_rate"], 1e-2 * np.arange(1, 4) / 3)
    np.testing.assert_allclose(history["images_per_second"] * history["seconds"], 23)


def test_history_of_nothing_has_the_columns_of_one_without_validation():
    numbers = ["train_loss", "learning_rate", "images_per_second", "seconds"]
    nothing, one = history_frame([], 4), history_frame([dict.fromkeys(numbers, 0.5)], 4)
    assert nothing.empty
    assert one.iloc[0].tolist() == [5, 0.5, 0.5, 0.5, 0.5]
    pd.testing.assert_series_equal(nothing.dtypes, one.dtypes)


class Interrupting(Monitor):
    """Press Ctrl-C in the second epoch, after its first batch."""

    def on_batch_end(self, net, **_):
        if net.n_updates == 4:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_the_model_so_far(make_module, make_plan, make_data):
    module, reference = make_module(), make_module()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        trained = run(module, make_plan(), make_data(), monitor=Interrupting())
    assert trained.history["epoch"].tolist() == [1]
    assert trained.progress.epochs == 1
    assert trained.progress.updates == 4
    seen = []

    class Watch(Monitor):
        def on_batch_end(self, net, **_):
            seen.append(export_weights(net.module_))

    run(reference, make_plan(), make_data(), monitor=Watch())
    for name, value in export_weights(module).items():
        np.testing.assert_array_equal(value, seen[3][name])


def test_an_interrupt_before_the_first_epoch_ends(make_module, make_plan, make_data):
    plan = make_plan(batch_size=4)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        trained = run(make_module(), plan, make_data(), monitor=Interrupting())
    assert trained.history.empty


def test_a_diverging_loss_is_an_error(make_module, make_plan, make_data):
    plan = make_plan(optimizer="sgd", learning_rate=1e200, max_epochs=20)
    message = r"the loss became (nan|inf) in epoch \d+\. Use a smaller `learning_rate`"
    with pytest.raises(ValueError, match=message):
        run(make_module(), plan, make_data())


def test_the_module_is_left_without_the_runs_generator(
    make_module, make_plan, make_data
):
    module = make_module(**DROPOUT)
    run(module, make_plan(), make_data())
    assert {part.generator for part in module.modules() if hasattr(part, "rate")} == {
        None
    }


@pytest.mark.gpu
def test_training_on_the_accelerator_is_training_on_the_cpu(
    device, make_module, make_plan, make_data
):
    place = torch.device(device)
    here, there = make_module(), make_module(device=place)
    run(here, make_plan(), make_data())
    run(there, make_plan(), make_data(device=place))
    assert same(here, there, atol=1e-8)


def test_a_finished_run_lets_go_of_its_net(make_module, make_plan, make_data):
    gone = []

    class Watching(Monitor):
        def on_train_begin(self, net, **kwargs):
            gone.append(weakref.ref(net))
            super().on_train_begin(net, **kwargs)

    gc.disable()
    try:
        module = make_module()
        train(module, make_plan(), 0, make_data(), monitor=Watching())
        assert gone[0]() is None
    finally:
        gc.enable()


def test_a_finished_run_keeps_no_gradients(make_module, make_plan, make_data):
    module = make_module()
    run(module, make_plan(max_epochs=1), make_data())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_torchs_default_type_changes_nothing(make_module, make_plan, make_data):
    plan = make_plan(
        precision="float32",
        augmentation=Augmentation(shift=0.2, erase=0.5, mixup=0.5, operations=1),
    )
    modules = []
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        try:
            module = make_module(torch.float32, init="jax", **DROPOUT)
            run(module, plan, make_data(dtype=torch.float32))
        finally:
            torch.set_default_dtype(torch.float32)
        modules.append(module)
    assert same(*modules, atol=0)
