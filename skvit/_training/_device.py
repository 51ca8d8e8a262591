"""Choose the device and the arithmetic that a network runs in."""

import os
from collections.abc import Callable

import torch

from skvit.nn import ViTConfig

DISABLE_ACCELERATORS = "SKVIT_DISABLE_ACCELERATORS"

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
# Narrower networks are bound by the number of operations, not by their arithmetic.
_MIN_WIDTH_FOR_BFLOAT16 = 64


def _accelerators() -> dict[str, Callable[[], bool]]:
    """Return the accelerators in order of preference, with a test for each."""
    return {
        "cuda": torch.cuda.is_available,
        "xpu": torch.xpu.is_available,
        "mps": torch.backends.mps.is_available,
    }


def accelerators_disabled() -> bool:
    """Say whether the environment forbids every device but the CPU."""
    return os.environ.get(DISABLE_ACCELERATORS, "0") not in {"", "0"}


def available_devices() -> list[str]:
    """Return the names of the usable devices, the preferred one first."""
    if accelerators_disabled():
        return ["cpu"]
    return [*(name for name, present in _accelerators().items() if present()), "cpu"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn a device parameter into a device that is present.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes the first of CUDA, XPU, MPS and CPU that is present; anything
        else is taken as it is.

    Returns
    -------
    torch.device
        A device on which tensors can be created.

    Raises
    ------
    ValueError
        If it is no device, or the device is not present.
    """
    if not isinstance(device, str | torch.device):
        raise ValueError(
            "`device` must be a string, such as 'auto', 'cpu' or 'cuda:1', or a "
            f"torch.device; got {device!r}."
        )
    present = available_devices()
    if isinstance(device, str) and device == "auto":
        return torch.device(present[0])
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"`device`={device!r} is not the name of a device; present here: "
            f"{', '.join(present)}. Use 'auto' to take the first of them."
        ) from error
    if resolved.type not in present or _index_is_absent(resolved):
        raise ValueError(
            f"`device`={str(device)!r} is not present; present here: "
            f"{', '.join(present)}. Use set_params(device='auto'), or one of these."
        )
    return resolved


def _index_is_absent(device: torch.device) -> bool:
    """Say whether the device's index is beyond what its kind has here."""
    if device.index is None or device.type not in {"cuda", "xpu"}:
        return False
    return device.index >= getattr(torch, device.type).device_count()


def has_bfloat16_units(device: torch.device) -> bool:
    """Say whether matrix products in bfloat16 are faster than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def resolve_precision(precision: str, device: torch.device, config: ViTConfig) -> str:
    """Turn a precision parameter into the name of a floating-point type.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16", "float64"}
        "auto" takes bfloat16 where the device multiplies it faster and the network is
        wide enough to gain from it, otherwise float32. On a CPU, networks for tables,
        images one pixel high, take float64, as scikit-learn's estimators do.
    device : torch.device
        Where the network runs.
    config : ViTConfig
        The network.

    Returns
    -------
    str
        One of "float32", "bfloat16", "float16", "float64".

    Raises
    ------
    ValueError
        If the device cannot compute in that type.
    """
    if precision == "auto":
        if device.type == "cpu" and config.image_size[0] == 1:
            return "float64"
        wide = device.type != "cpu" or config.embed_dim >= _MIN_WIDTH_FOR_BFLOAT16
        return "bfloat16" if wide and has_bfloat16_units(device) else "float32"
    if precision == "float64" and device.type == "mps":
        raise ValueError(
            "`precision`='float64' is not available on the device 'mps'; use "
            "'float32', or device='cpu'."
        )
    return precision


def parameter_dtype(precision: str) -> torch.dtype:
    """Return the type in which weights, statistics and logits are kept."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return a context in which matrix products run in the given precision."""
    reduced = precision in {"bfloat16", "float16"}
    # The dtype is ignored when the context is off, but must be one it knows.
    dtype = _DTYPES[precision] if reduced else torch.bfloat16
    # Each weight is converted once in a pass; threads would share what is kept of it.
    return torch.autocast(
        device.type, dtype=dtype, enabled=reduced, cache_enabled=False
    )
