import numpy as np
import pytest
import torch

from skvit._training._optim import Optimizers, make_optimizers, splits_decay

EVERY_PART = {
    "layer_scale": 0.1,
    "locality": True,
    "qk_norm": True,
    "pos_bias": "gaussian",
    "class_token": True,
    "num_register_tokens": 2,
    "patch_norm_after": True,
    "head_hidden": 4,
}
NETWORKS = [
    {"patch_embed": patch_embed, "pool": pool, "activation": activation, **EVERY_PART}
    for patch_embed, pool, activation in [
        ("overlap", "map", "gelu"),
        ("shifted", "seqpool", "swiglu"),
        ("linear", "token", "gelu"),
        ("conv", "mean", "gelu"),
    ]
]


def names_of(module, parameters):
    chosen = {id(parameter) for parameter in parameters}
    return {name for name, p in module.named_parameters() if id(p) in chosen}


@pytest.mark.parametrize("settings", NETWORKS)
def test_every_weight_is_in_one_group_and_only_maps_decay(make_module, settings):
    module = make_module(**settings)
    decay, spare = splits_decay(module)
    decay, spare = names_of(module, decay), names_of(module, spare)
    assert decay | spare == {name for name, _ in module.named_parameters()}
    assert not decay & spare
    # a map is the weight of a layer that multiplies, whatever its name
    layers = (torch.nn.Linear, torch.nn.Conv2d)
    maps = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, layers)
    }
    assert decay - {"patch_embed.weight"} == maps - {"patch_embed.weight"}
    embeds = {name for name in decay if name.startswith("patch_embed.")}
    assert embeds
    tables = ("prefix.weight", "pos_embed", "temperature", "slopes")
    for word in (*tables, "norm", "bias", "scale"):
        assert any(word in name for name in spare), word


def test_frozen_weights_are_in_no_group(make_module):
    module = make_module()
    module.patch_embed.requires_grad_(False)
    decay, spare = splits_decay(module)
    names = names_of(module, decay + spare)
    assert names
    assert not any(name.startswith("patch_embed.") for name in names)


@pytest.mark.parametrize("settings", NETWORKS)
def test_muon_takes_the_matrices_of_the_blocks_and_the_kernels(make_module, settings):
    module = make_module(torch.float32, **settings)
    optimizers = make_optimizers(module, "muon", 1e-3, 0.1)
    assert list(optimizers) == ["optimizer", "optimizer_matrices"]
    rest, matrices = (
        names_of(module, [p for g in o.param_groups for p in g["params"]])
        for o in optimizers.values()
    )
    assert matrices == {
        name
        for name, p in module.named_parameters()
        if (name.startswith("blocks.") and p.ndim == 2 and ".pos_bias." not in name)
        or (name.startswith("patch_embed.stages.") and p.ndim == 4)
    }
    assert rest == {name for name, _ in module.named_parameters()} - matrices


def test_muon_has_the_momentum_of_its_author(make_module):
    optimizers = make_optimizers(make_module(torch.float32), "muon", 1e-3, 0.1)
    groups = optimizers["optimizer_matrices"].param_groups
    assert [group["momentum"] for group in groups] == [0.95]


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_groups_carry_rate_and_decay(make_module, name):
    module = make_module(torch.float32)
    spare = {id(parameter) for parameter in splits_decay(module)[1]}
    optimizers = make_optimizers(module, name, 3e-3, 0.2)
    for group in (g for o in optimizers.values() for g in o.param_groups):
        assert group["lr"] == 3e-3
        spared = {id(parameter) in spare for parameter in group["params"]}
        assert spared == {group["weight_decay"] == 0.0}


class OneMatrix(torch.nn.Module):
    """A matrix that decays and a bias that does not."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.weight = torch.nn.Parameter(torch.from_numpy(rng.normal(size=(4, 3))))
        self.bias = torch.nn.Parameter(torch.from_numpy(rng.normal(size=4)))


def adamw(weight, gradients, rate, decay):
    """Return a weight after AdamW as its paper's algorithm 2 says."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        update = corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        weight = weight - rate * (update + decay * weight)
    return weight


def sgd(weight, gradients, rate, decay):
    """Return a weight after SGD with Nesterov's momentum and an L2 penalty."""
    velocity = 0.0
    for gradient in gradients:
        slope = gradient + decay * weight
        velocity = 0.9 * velocity + slope
        weight = weight - rate * (slope + 0.9 * velocity)
    return weight


@pytest.mark.parametrize("rule", [adamw, sgd])
def test_updates_are_those_of_the_formula(rule):
    module, rng = OneMatrix(), np.random.default_rng(1)
    before = [p.detach().numpy().copy() for p in module.parameters()]
    gradients = [[rng.normal(size=p.shape) for p in before] for _ in range(5)]
    (optimizer,) = make_optimizers(module, rule.__name__, 0.01, 0.3).values()
    for step in gradients:
        for parameter, gradient in zip(module.parameters(), step, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    for i, (parameter, decay) in enumerate(
        zip(module.parameters(), (0.3, 0.0), strict=True)
    ):
        expected = rule(before[i], [step[i] for step in gradients], 0.01, decay)
        np.testing.assert_allclose(parameter.detach(), expected, atol=1e-12)


def test_states_go_on_where_they_ended(make_module):
    module, rng = make_module(), np.random.default_rng(0)
    gradients = [
        [torch.from_numpy(rng.normal(size=p.shape)) for p in module.parameters()]
        for _ in range(4)
    ]

    def run(steps, states=()):
        optimizers = Optimizers(make_optimizers(module, "muon", 0.01, 0.1).values())
        if states:
            optimizers.load_states(states)
        for step in steps:
            for parameter, gradient in zip(module.parameters(), step, strict=True):
                parameter.grad = gradient
            for optimizer in optimizers.all:
                optimizer.step()
        return optimizers.states()

    start = {k: v.clone() for k, v in module.state_dict().items()}
    run(gradients)
    expected = {k: v.clone() for k, v in module.state_dict().items()}
    module.load_state_dict(start)
    run(gradients[2:], run(gradients[:2]))
    for name, value in module.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_rates_reach_optimizers_that_go_on(make_module, name):
    module = make_module()
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    first, second = (
        Optimizers(make_optimizers(module, name, 0.5, 0.1).values()) for _ in range(2)
    )
    for optimizer in first.all:
        optimizer.step()
    second.load_states(first.states())
    second.set_factor(0.25)
    rates = [g["lr"] for one in second.all for g in one.param_groups]
    assert set(rates) == {0.125}
    assert second.learning_rate == 0.125
