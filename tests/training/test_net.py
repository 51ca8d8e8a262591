import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch.profiler import ProfilerActivity

from skvit._training import Augmentation, ImageData, Streams, ViTNet
from skvit._training._net import WeightedCrossEntropy
from skvit._training._threads import Team
from skvit.nn import set_generator

CPU = torch.device("cpu")
DROPOUT = {
    "drop_rate": 0.1,
    "attn_drop_rate": 0.1,
    "drop_path_rate": 0.2,
    "patch_drop_rate": 0.3,
}


def make_net(module, plan, seed=0, device=CPU, **settings):
    streams = Streams.on(device, seed)
    set_generator(module, streams.device)
    return ViTNet(module, plan, streams, device=device, **settings)


def assert_same_weights(one, other):
    """Compare two networks' parameters in double precision."""
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-10)


def logits_and_labels(n=6, n_classes=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_classes)), rng.integers(n_classes, size=n)


def cross_entropy(logits, target, weight, smoothing):
    """Return the weighted mean of cross-entropies, one row at a time."""
    total, n_classes = 0.0, logits.shape[1]
    for row, label, w in zip(log_softmax(logits, axis=1), target, weight, strict=True):
        wanted = np.full(n_classes, smoothing / n_classes)
        wanted[label] += 1 - smoothing
        total -= w * (wanted * row).sum()
    return total / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_of_hard_and_of_soft_targets_is_the_loop(smoothing, weighted):
    logits, target = logits_and_labels()
    weight = np.linspace(0.5, 1.5, len(target)) if weighted else None
    expected = cross_entropy(
        logits, target, np.ones(len(target)) if weight is None else weight, smoothing
    )
    loss = WeightedCrossEntropy(smoothing)
    logits, target = torch.from_numpy(logits), torch.from_numpy(target)
    weight = None if weight is None else torch.from_numpy(weight)
    assert loss(logits, target, weight).item() == pytest.approx(expected, abs=1e-13)
    soft = loss.soft_target(target, weight, logits, 4)
    assert soft.dtype == logits.dtype
    assert loss(logits, soft).item() == pytest.approx(expected, abs=1e-13)


class Epochs(Callback):
    """A user's callback that keeps what it is told."""

    def __init__(self):
        self.rows, self.losses, self.gradients = [], [], 0

    def on_batch_end(self, net, batch=None, training=False, loss=None, **_):
        self.losses.append((training, len(batch[0]), loss.item()))

    def on_grad_computed(self, net, named_parameters, **_):
        self.gradients += all(p.grad is not None for _, p in named_parameters)

    def on_epoch_end(self, net, dataset_train=None, **_):
        self.rows.append(dict(net.history[-1]))


def test_history_and_callbacks_see_every_epoch(make_module, make_plan, make_data):
    mine = Epochs()
    net = make_net(make_module(), make_plan(), callbacks=[("mine", mine)])
    net.fit(make_data(), None)
    assert net.history[:, "epoch"] == [1, 2, 3]
    assert len(net.history[:, "train_loss"]) == 3
    assert [row["epoch"] for row in mine.rows] == [1, 2, 3]
    assert mine.gradients == 9
    sizes, losses = np.array([loss[1:] for loss in mine.losses]).T.reshape(2, 3, 3)
    np.testing.assert_allclose(
        net.history[:, "train_loss"], np.average(losses, axis=1, weights=sizes)
    )


def test_a_net_has_no_callbacks_of_its_own(make_module, make_plan):
    assert make_net(make_module(), make_plan()).initialize().callbacks_ == []


def ancestors(event):
    while event is not None:
        yield event.name
        event = event.cpu_parent


def count_waits(module, plan, data, device=CPU):
    """Return how many numbers one epoch of training reads back from tensors.

    On a CPU the fused AdamW keeps its step number in a tensor in main memory and reads
    it there; on an accelerator it stays on the device.
    """
    net = make_net(module, plan, device=device).initialize()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profile:
        net.fit_loop(data)
    return sum(
        event.name == "aten::_local_scalar_dense"
        and "aten::_fused_adamw_" not in ancestors(event)
        for event in profile.events()
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_one_wait_for_the_device_per_epoch(
    make_module, make_plan, make_data, optimizer
):
    plan = make_plan(
        max_epochs=1,
        optimizer=optimizer,
        clip_norm=1.0,
        averaging=0.9,
        augmentation=Augmentation(shift=0.1, color=0.1, erase=0.2),
        precision="float32",
    )
    module = make_module(torch.float32, depth=1, drop_rate=0.1)
    data = make_data(80, torch.float32, weight=np.ones(80))  # ten batches
    assert count_waits(module, plan, data) == 1


def test_only_draws_on_the_host_are_read_when_images_are_mixed(
    make_module, make_plan, make_data, monkeypatch
):
    plan = make_plan(max_epochs=1, augmentation=Augmentation(mixup=0.5))
    monkeypatch.setattr("skvit._training._augment._beta", lambda *_: 0.3)
    assert count_waits(make_module(depth=1), plan, make_data(80)) == 1


@pytest.mark.parametrize("total", [None, 9])
def test_rates_follow_the_schedule(make_module, make_plan, make_data, total):
    rates = []

    class Rates(Callback):
        def on_batch_end(self, net, **_):
            rates.append(net.optimizers.learning_rate)

    plan = make_plan(warmup=2, total_updates=total, final_rate=0.1, learning_rate=0.5)
    make_net(make_module(), plan, callbacks=[Rates()]).fit(make_data(), None)
    progress = np.arange(1, 8) / 7
    decay = 0.1 + 0.9 * (1 + np.cos(np.pi * progress)) / 2
    expected = [0.25, 0.5, *(np.full(7, 0.5) if total is None else 0.5 * decay)]
    np.testing.assert_allclose(rates, expected)


def test_gradients_are_clipped(make_module, make_plan, make_data, monkeypatch):
    norms = []

    class Norms(Callback):
        def on_batch_end(self, net, **_):
            gradients = [p.grad.flatten() for p in net.module_.parameters()]
            norms.append(torch.cat(gradients).norm().item())

    for limit in (None, 1e-3):
        plan = make_plan(max_epochs=1, clip_norm=limit)
        make_net(make_module(), plan, callbacks=[Norms()]).fit(make_data(), None)
    assert min(norms[:3]) > 1e-2
    np.testing.assert_allclose(norms[3:], 1e-3, rtol=1e-2)


def test_mixing_trains_on_mixed_pairs(make_module, make_plan, make_data):
    net = make_net(
        make_module(),
        make_plan(augmentation=Augmentation(mixup=1.0), label_smoothing=0.1),
    ).initialize()
    data = make_data(6, weight=np.linspace(0.5, 1.5, 6))
    images, (target, weight) = data.inputs(slice(None)), data.labels(slice(None))
    net.streams.host.manual_seed(3)
    loss = net._add_gradients(*net._vary(images, (target, weight)))
    smooth = 0.9 * np.eye(3)[data.target] + 0.1 / 3
    mixed, soft = Augmentation(mixup=1.0).pairs(
        images,
        torch.from_numpy(smooth * data.weight[:, None]),
        torch.Generator().manual_seed(3),
    )
    logits = net.module_(mixed).detach().numpy()
    expected = -(soft.numpy() * log_softmax(logits, axis=1)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(expected, abs=1e-12)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, ...)"),
]
VARIATIONS = [
    None,
    Augmentation(shift=0.1, rotate=8, scale=0.1, erase=0.5),
    Augmentation(flip=True, mixup=1.0, cutmix=1.0),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("augmentation", VARIATIONS)
@pytest.mark.parametrize("patch_embed", ["linear", "overlap"])
def test_batches_that_do_not_fit_are_trained_on_in_parts(
    make_module, make_limited, make_plan, make_data, error, augmentation, patch_embed
):
    plan = make_plan(
        batch_size=12,
        augmentation=augmentation,
        label_smoothing=0.1,
        clip_norm=0.5,
        averaging=0.9,
    )
    data = make_data(24, weight=np.linspace(0.5, 1.5, 24))
    whole, limited = (
        make_limited(make_module(patch_embed=patch_embed), limit, error)
        for limit in (12, 4)
    )
    at_once, in_parts = (make_net(m, plan).initialize() for m in (whole, limited))
    for net in (at_once, in_parts):
        net.fit_loop(data)
    assert limited.sizes[:6] == [12, 6, 3, 3, 3, 3]
    assert limited.sizes[6:] == [3] * 20
    assert whole.sizes == [12] * 6
    assert_same_weights(whole, limited)
    np.testing.assert_allclose(
        in_parts.history[:, "train_loss"], at_once.history[:, "train_loss"], atol=1e-10
    )


@pytest.mark.parametrize("size", [2, 3, 20])
@pytest.mark.parametrize("augmentation", VARIATIONS)
@pytest.mark.parametrize(
    "changes", [{}, {"patch_embed": "overlap"}, DROPOUT], ids=["plain", "stem", "drop"]
)
def test_threads_that_share_a_batch_train_as_one_does(
    make_module, make_plan, make_data, size, augmentation, changes
):
    plan = make_plan(
        batch_size=12,
        optimizer="muon",
        augmentation=augmentation,
        label_smoothing=0.1,
        clip_norm=0.5,
        averaging=0.9,
    )
    data = make_data(28, weight=np.linspace(0.5, 1.5, 28))
    nets = []
    for team in (Team(), Team(size)):
        net = make_net(make_module(depth=3, **changes), plan)
        net.train_split = predefined_split(make_data(17, seed=1))
        net.team = team
        with team:
            net.initialize().fit_loop(data)
        nets.append(net)
    alone, shared = nets
    assert_same_weights(alone.module_, shared.module_)
    for column in "train_loss", "valid_loss":
        np.testing.assert_allclose(
            shared.history[:, column], alone.history[:, column], atol=1e-10
        )
    for one, other in zip(alone.valid_logits, shared.valid_logits, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
        assert not other.requires_grad


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [{}, DROPOUT], ids=["plain", "drop"])
def test_threads_that_share_a_batch_repeat_themselves(
    make_module, make_plan, make_data, optimizer, precision, changes
):
    plan = make_plan(optimizer=optimizer, precision=precision, batch_size=23)
    results = []
    for _ in range(4):
        module = make_module(torch.float32, patch_embed="overlap", **changes)
        net = make_net(module, plan)
        net.team = Team(4)
        with net.team:
            net.fit(make_data(dtype=torch.float32), None)
        weights = [parameter.flatten() for parameter in net.module_.parameters()]
        results.append(torch.cat(weights))
    assert all(torch.equal(result, results[0]) for result in results)


def test_threads_that_share_a_batch_take_less_where_memory_ends(
    make_module, make_limited, make_plan, make_data
):
    plan = make_plan(batch_size=12)
    whole, limited = (
        make_limited(make_module(), limit, OUT_OF_MEMORY[0]) for limit in (12, 3)
    )
    alone, shared = (make_net(m, plan).initialize() for m in (whole, limited))
    shared.team = Team(2)
    with shared.team:
        for net in (alone, shared):
            net.fit_loop(make_data(24))
    assert limited.sizes == [6] * 2 + [3] * 24
    assert whole.sizes == [12] * 6
    assert_same_weights(whole, limited)


@pytest.mark.parametrize(
    ("dropping_epochs", "seen"),
    [(None, [9, 9, 9]), (2, [9, 9, 17]), (1, [9, 17, 17]), (0, [17, 17, 17])],
)
@pytest.mark.parametrize("first_epoch", [0, 7])
def test_the_last_epochs_of_a_run_show_all_patches(
    make_module, make_plan, make_data, dropping_epochs, seen, first_epoch
):
    module = make_module(patch_size=(2, 2), patch_drop_rate=0.5)
    tokens = []
    module.blocks[0].register_forward_pre_hook(
        lambda _, given: tokens.append(given[0].shape[1])
    )
    plan = make_plan(dropping_epochs=dropping_epochs)
    net = make_net(module, plan, first_epoch=first_epoch)
    net.initialize().fit_loop(make_data(23))
    assert tokens == [count for count in seen for _ in range(3)]


def test_showing_all_patches_is_training_without_patch_dropout(
    make_module, make_plan, make_data
):
    nets = []
    for rate, epochs in ((0.0, None), (0.5, 0)):
        module = make_module(patch_drop_rate=rate)
        net = make_net(module, make_plan(dropping_epochs=epochs)).initialize()
        nets.append(net.fit_loop(make_data()))
    plain, showing = nets
    assert_same_weights(plain.module_, showing.module_)


def test_gradients_lie_in_memory_as_their_parameters_do(
    make_module, make_plan, make_data
):
    module = make_module(patch_embed="overlap")
    net = make_net(module, make_plan(batch_size=8, max_epochs=1)).initialize()
    net.team = Team(2)
    with net.team:
        net.fit_loop(make_data(8))
    for parameter in module.parameters():
        assert parameter.grad.stride() == parameter.stride()


class Failing(torch.nn.Module):
    """A network whose device lacks memory in some of its calls."""

    def __init__(self, network, calls):
        super().__init__()
        self.network, self.config, self.calls = network, network.config, calls
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(self.sizes) in self.calls:
            raise OUT_OF_MEMORY[0]
        return self.network(images)


def test_gradients_of_parts_before_one_that_does_not_fit_are_forgotten(
    make_module, make_plan, make_data
):
    modules = [Failing(make_module(), calls) for calls in ((), (1, 3))]
    for module in modules:
        net = make_net(module, make_plan(max_epochs=1)).initialize()
        net.fit_loop(make_data(8))
    assert [module.sizes for module in modules] == [[8], [8, 4, 4, 2, 2, 2, 2]]
    assert_same_weights(*modules)


def test_validation_takes_256_images_at_once(make_module, make_plan, make_data):
    net = make_net(make_module(), make_plan(batch_size=512)).initialize()
    parts = net.get_iterator(make_data(300))
    assert [len(images) for images, _ in parts] == [256, 44]


def test_parts_are_kept_for_the_rest_of_the_training_and_its_validation(
    make_module, make_limited, make_plan, make_data
):
    limited = make_limited(make_module(), 5, OUT_OF_MEMORY[0])
    net = make_net(limited, make_plan(batch_size=8)).initialize()
    net.fit_loop(make_data(16))
    assert limited.sizes[:5] == [8, 4, 4, 4, 4]
    parts = net.get_iterator(make_data(10))
    assert [len(images) for images, _ in parts] == [4, 4, 2]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_batches_that_do_not_fit_are_validated_in_parts(
    make_module, make_limited, make_plan, make_data, error
):
    scores = []
    for limit in (100, 10):
        limited = make_limited(make_module(), limit, error)
        net = make_net(limited, make_plan(batch_size=8))
        net.train_split = predefined_split(make_data(100, seed=1))
        net.fit(make_data(16), None)
        scores.append((net.history[:, "valid_loss"], torch.cat(net.valid_logits)))
    assert max(limited.sizes) == 100  # tried once
    assert sum(size > 10 for size in limited.sizes) == 4  # 100, 50, 25, 12
    np.testing.assert_allclose(*(losses for losses, _ in scores), atol=1e-12)
    torch.testing.assert_close(*(logits for _, logits in scores))


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_one_image_too_many_says_what_to_change(
    make_module, make_limited, make_plan, make_data, error
):
    limited = make_limited(make_module(), 0, error)
    message = "One image .* `batch_size`: use a larger `patch_size`, .* `embed_dim`"
    with pytest.raises(MemoryError, match=message):
        make_net(limited, make_plan()).fit(make_data(), None)
    assert limited.sizes == [8, 4, 2, 1]


def test_other_errors_are_not_taken_for_lack_of_memory(
    make_module, make_limited, make_plan, make_data
):
    limited = make_limited(make_module(), 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        make_net(limited, make_plan()).fit(make_data(), None)
    assert limited.sizes == [8]


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_gradients_that_overflow_change_no_weight(
    make_module, make_plan, make_data, clip_norm, value
):
    plan = make_plan(precision="float16", optimizer="muon", clip_norm=clip_norm)
    module = make_module(torch.float32)
    net = make_net(module, plan).initialize()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    matrix = module.blocks[0].attention.qkv.weight
    kept = matrix.detach().clone()
    handle = matrix.register_hook(lambda gradient: torch.full_like(gradient, value))
    scale = net._scaler.get_scale()
    data = make_data(8, dtype=torch.float32)
    net.train_step((data.inputs(slice(None)), data.labels(slice(None))))
    handle.remove()
    for parameter, old in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old, rtol=0, atol=0)
    assert net._scaler.get_scale() < scale
    net.train_step((data.inputs(slice(None)), data.labels(slice(None))))
    assert all(p.isfinite().all() for p in module.parameters())
    assert not torch.equal(matrix, kept)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_logits_are_in_the_type_of_the_weights(
    make_module, make_plan, make_data, precision
):
    plan = make_plan(precision=precision)
    net = make_net(make_module(torch.float32), plan)
    net.fit(make_data(dtype=torch.float32), None)
    assert net.infer(torch.zeros(2, 1, 8, 8)).dtype == torch.float32
    assert np.isfinite(net.history[:, "train_loss"]).all()
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_reduced_precision_loses_little(make_module, make_plan, make_data):
    losses = []
    for precision in ("float32", "bfloat16"):
        net = make_net(make_module(torch.float32), make_plan(precision=precision))
        net.fit(make_data(dtype=torch.float32), None)
        losses.append(net.history[:, "train_loss"])
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_compiling_is_asked_of_torch(make_module, make_plan, make_data, monkeypatch):
    compiled = []

    def fake_compile(forward):
        compiled.append(forward)
        return forward

    monkeypatch.setattr(torch, "compile", fake_compile)
    module = make_module()
    make_net(module, make_plan(compile=True, max_epochs=1)).fit(make_data(), None)
    assert compiled == [module.forward]


def test_prediction_takes_arrays(make_module, make_plan, make_data):
    data, module = make_data(), make_module()
    net = make_net(
        module,
        make_plan(),
        make_data=lambda X, y: ImageData(X, data.normalize, CPU, y),
        predict_nonlinearity=lambda logits: torch.softmax(logits, dim=1),
    ).initialize()
    expected = torch.softmax(module.eval()(data.inputs(slice(None))), dim=1)
    np.testing.assert_allclose(net.predict_proba(data.images), expected.detach())
    assert net.get_dataset(data) is data


@pytest.mark.gpu
def test_an_epoch_on_the_accelerator(device, make_module, make_plan, make_data):
    place = torch.device(device)
    plan = make_plan(augmentation=Augmentation(shift=0.1, erase=0.2))
    net = make_net(make_module(device=place), plan, device=place)
    net.fit(make_data(device=place), None)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


@pytest.mark.gpu
def test_one_wait_for_the_accelerator_per_epoch(
    device, make_module, make_plan, make_data
):
    place = torch.device(device)
    plan = make_plan(max_epochs=1, clip_norm=1.0, averaging=0.9, precision="float32")
    module = make_module(torch.float32, place, drop_rate=0.1)
    assert count_waits(module, plan, make_data(80, torch.float32, place), place) == 1
