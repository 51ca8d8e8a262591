import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skvit._training import Runtime, build_module, export_weights
from skvit._training import _runtime as module_under_test
from skvit._training._runtime import load_weights

CPU = torch.device("cpu")


@pytest.fixture
def builds(monkeypatch):
    """Return a list that grows with every network that is built."""
    built = []

    def build(*arguments):
        built.append(threading.get_ident())
        return build_module(*arguments)

    monkeypatch.setattr(module_under_test, "build_module", build)
    return built


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


@pytest.mark.usefixtures("rng_is_untouched")
@pytest.mark.parametrize("pos_embed", ["learned", "sincos2d", "rope"])
def test_a_seed_makes_a_network(make_module, pos_embed):
    one, same = make_module(pos_embed=pos_embed), make_module(pos_embed=pos_embed)
    other = make_module(seed=1, pos_embed=pos_embed)
    assert equal(export_weights(one), export_weights(same))
    assert not equal(export_weights(one), export_weights(other))
    assert all(tensor.device == CPU for tensor in one.state_dict().values())
    images = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(one(images), same(images))
    assert torch.isfinite(one(images)).all()


def test_both_precisions_begin_alike(make_module):
    single, double = make_module(torch.float32), make_module(torch.float64)
    for name, value in export_weights(double).items():
        np.testing.assert_array_equal(export_weights(single)[name], value.astype("f4"))


def test_exported_weights_are_copies(make_module):
    module = make_module()
    weights = export_weights(module)
    kept = {name: value.copy() for name, value in weights.items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert equal(weights, kept)
    other = make_module(seed=1)
    load_weights(other, weights)
    for value in weights.values():
        value += 1
    assert equal(export_weights(other), kept)


def test_weights_load_from_locked_arrays(make_module):
    weights = export_weights(make_module())
    for value in weights.values():
        value.setflags(write=False)
    module = make_module(seed=1)
    load_weights(module, weights)
    assert equal(export_weights(module), weights)


def test_pickle_is_empty_and_what_is_rebuilt_is_equal(make_module):
    module, runtime = make_module(), Runtime()
    runtime.adopt(module, CPU)
    weights = export_weights(module)
    stored = pickle.dumps(runtime)
    assert b"torch" not in stored
    assert len(stored) < 200
    rebuilt = pickle.loads(stored).module(module.config, weights, CPU, "float64")
    assert rebuilt is not module
    assert equal(export_weights(rebuilt), weights)
    images = torch.ones(2, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(rebuilt(images), module(images))


def test_an_adopted_module_is_kept_and_no_longer_trains(make_module, builds):
    module, runtime = make_module().train(), Runtime()
    assert runtime.device is None
    runtime.adopt(module, CPU)
    assert runtime.device == CPU
    assert runtime.module(module.config, {}, CPU, "float64") is module
    assert not module.training
    assert builds == []


def test_precisions_share_a_module_where_their_weights_have_one_type(
    make_module, builds
):
    module, runtime = make_module(torch.float32), Runtime()
    weights = export_weights(module)
    single = runtime.module(module.config, weights, CPU, "float32")
    assert runtime.module(module.config, weights, CPU, "bfloat16") is single
    double = runtime.module(module.config, weights, CPU, "float64")
    assert next(double.parameters()).dtype == torch.float64
    assert not double.training
    assert len(builds) == 2


def test_threads_share_one_module(make_module, builds):
    module, runtime = make_module(), Runtime()
    weights, start = export_weights(module), threading.Barrier(4)

    def ask(_):
        start.wait(30)
        return runtime.module(module.config, weights, CPU, "float64")

    with ThreadPoolExecutor(4) as pool:
        modules = list(pool.map(ask, range(4)))
    assert len({id(module) for module in modules}) == 1
    assert len(builds) == 1


def test_a_module_built_for_inference_has_gradients_later(make_module):
    module, runtime = make_module(), Runtime()
    place = module.config, export_weights(module), CPU, "float64"
    with torch.inference_mode():
        runtime.module(*place)
    images = torch.ones(2, 1, 8, 8, dtype=torch.float64)
    for network in (module, runtime.module(*place)):
        network(images).sum().backward()
    for own, expected in zip(
        runtime.module(*place).parameters(), module.parameters(), strict=True
    ):
        assert torch.equal(own.grad, expected.grad)


@pytest.mark.gpu
def test_a_module_moves_to_the_device_that_is_asked_for(device, make_module):
    module, runtime = make_module(), Runtime()
    weights = export_weights(module)
    there = runtime.module(module.config, weights, torch.device(device), "float64")
    assert {parameter.device.type for parameter in there.parameters()} == {device}
    assert equal(export_weights(there), weights)
