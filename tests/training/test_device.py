import pytest
import torch

from skvit._training._device import (
    DISABLE_ACCELERATORS,
    autocast,
    available_devices,
    has_bfloat16_units,
    parameter_dtype,
    resolve_device,
    resolve_precision,
)
from skvit.nn import ViTConfig

CPU = torch.device("cpu")
PROBES = {
    "cuda": "torch.cuda.is_available",
    "xpu": "torch.xpu.is_available",
    "mps": "torch.backends.mps.is_available",
}


def network(embed_dim, image_size=(8, 8), patch_size=(2, 2)):
    return ViTConfig(image_size, patch_size, 1, 2, embed_dim, depth=1, num_heads=1)


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that lets a machine seem to have just these accelerators."""

    def have(*names):
        monkeypatch.delenv(DISABLE_ACCELERATORS, raising=False)
        for name, probe in PROBES.items():
            monkeypatch.setattr(probe, lambda present=name in names: present)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)

    return have


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (("mps", "xpu", "cuda"), "cuda"),
        (("mps", "xpu"), "xpu"),
        (("mps",), "mps"),
        ((), "cpu"),
    ],
)
def test_auto_takes_the_first_that_is_present(pretend, present, chosen):
    pretend(*present)
    assert resolve_device("auto") == torch.device(chosen)
    assert set(available_devices()) == {*present, "cpu"}


@pytest.mark.parametrize("device", ["cpu", CPU, "cuda", "cuda:1"])
def test_a_name_or_device_is_taken_as_it_is(pretend, device):
    pretend("cuda")
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("value", ["1", "true"])
def test_environment_forbids_accelerators(pretend, monkeypatch, value):
    pretend("cuda", "mps")
    monkeypatch.setenv(DISABLE_ACCELERATORS, value)
    assert resolve_device("auto") == CPU
    with pytest.raises(ValueError, match="'cuda' is not present; present here: cpu"):
        resolve_device("cuda")


@pytest.mark.parametrize("value", ["", "0"])
def test_environment_may_say_no(pretend, monkeypatch, value):
    pretend("cuda")
    monkeypatch.setenv(DISABLE_ACCELERATORS, value)
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("xpu", r"`device`='xpu' is not present; present here: cuda, cpu\."),
        (torch.device("mps"), r"`device`='mps' .* present here: cuda, cpu\. Use set_p"),
        ("cuda:2", "`device`='cuda:2' is not present"),
        (3, "`device` must be a string.* got 3"),
        ("meta", "`device`='meta' is not present"),
        ("gpu", "`device`='gpu' is not the name of a device; present here: cuda, cpu"),
    ],
)
def test_absent_devices_are_refused_with_those_present(pretend, device, message):
    pretend("cuda")
    with pytest.raises(ValueError, match=message):
        resolve_device(device)


def set_cpu_units(monkeypatch, *, avx512_bf16, amx):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)


@pytest.mark.parametrize("avx512_bf16", [False, True])
@pytest.mark.parametrize("amx", [False, True])
def test_auto_takes_bfloat16_on_a_cpu_that_has_it_for_wide_networks(
    monkeypatch, avx512_bf16, amx
):
    set_cpu_units(monkeypatch, avx512_bf16=avx512_bf16, amx=amx)
    reduced = "bfloat16" if avx512_bf16 or amx else "float32"
    assert resolve_precision("auto", CPU, network(192)) == reduced
    assert resolve_precision("auto", CPU, network(32)) == "float32"
    table = network(192, image_size=(1, 16), patch_size=(1, 1))
    assert resolve_precision("auto", CPU, table) == "float64"


@pytest.mark.parametrize(("embed_dim", "chosen"), [(63, "float32"), (64, "bfloat16")])
def test_networks_on_a_cpu_are_wide_from_64_on(monkeypatch, embed_dim, chosen):
    set_cpu_units(monkeypatch, avx512_bf16=True, amx=False)
    assert resolve_precision("auto", CPU, network(embed_dim)) == chosen


def test_only_images_one_pixel_high_on_a_cpu_are_tables(monkeypatch):
    set_cpu_units(monkeypatch, avx512_bf16=False, amx=False)
    monkeypatch.setattr(
        "torch.cuda.is_bf16_supported", lambda including_emulation: True
    )
    table, image = network(16, (1, 16), (1, 1)), network(16, (2, 8), (1, 1))
    assert resolve_precision("auto", torch.device("cuda"), table) == "bfloat16"
    assert resolve_precision("auto", CPU, image) == "float32"


@pytest.mark.parametrize(
    ("supported", "chosen"), [(True, "bfloat16"), (False, "float32")]
)
def test_auto_takes_bfloat16_on_cuda_that_has_it(monkeypatch, supported, chosen):
    monkeypatch.setattr(
        "torch.cuda.is_bf16_supported", lambda including_emulation: supported
    )
    assert resolve_precision("auto", torch.device("cuda"), network(16)) == chosen


def test_other_accelerators_stay_with_float32():
    assert not has_bfloat16_units(torch.device("mps"))
    assert resolve_precision("auto", torch.device("mps"), network(512)) == "float32"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "float64"])
def test_explicit_precision_is_taken_as_it_is(precision):
    assert resolve_precision(precision, CPU, network(8)) == precision


def test_doubles_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="'float64' is not available on the device 'm"):
        resolve_precision("float64", torch.device("mps"), network(8))


@pytest.mark.parametrize(
    ("precision", "kept", "product"),
    [
        ("float32", torch.float32, torch.float32),
        ("bfloat16", torch.float32, torch.bfloat16),
        ("float16", torch.float32, torch.float16),
        ("float64", torch.float64, torch.float64),
    ],
)
def test_weights_and_products_have_their_types(precision, kept, product):
    assert parameter_dtype(precision) == kept
    matrix = torch.ones(4, 4, dtype=kept)
    with autocast(precision, CPU):
        assert (matrix @ matrix).dtype == product


def test_threads_share_no_weights_in_reduced_precision():
    with autocast("bfloat16", CPU):
        assert not torch.is_autocast_cache_enabled()
