"""The live network of a fitted estimator: built where and when it is needed."""

import threading
from typing import Any

import numpy as np
import torch

from skvit._training._device import parameter_dtype
from skvit.nn import VisionTransformer, ViTConfig


def build_module(
    config: ViTConfig, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> VisionTransformer:
    """Build a network and draw its initial weights from a seed.

    The draws are made by a generator of their own, never by PyTorch's global one.
    """
    with torch.device("meta"):
        module = VisionTransformer(config)
    module = module.to(dtype).to_empty(device=device)
    module.reset_parameters(torch.Generator().manual_seed(seed))
    return module


def export_weights(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return a copy of a network's weights as arrays, by name."""
    return {
        name: tensor.detach().to("cpu", copy=True).numpy()
        for name, tensor in module.state_dict().items()
    }


def load_weights(module: torch.nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Copy arrays into a network's weights."""
    module.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    )


class Runtime:
    """Hold the module of a fitted estimator for one device and precision at a time.

    Threads that predict at once share the module. A pickle contains none of it: the
    module is built again from the estimator's arrays when it is next asked for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[torch.device, torch.dtype] | None = None
        self._module: VisionTransformer | None = None

    @property
    def device(self) -> torch.device | None:
        """Where the module is; None as long as there is none."""
        return None if self._key is None else self._key[0]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as an empty runtime."""
        return Runtime, ()

    def adopt(self, module: VisionTransformer, device: torch.device) -> None:
        """Keep a module that training has just left."""
        self._module = module.eval()
        self._key = device, next(module.parameters()).dtype

    def module(
        self,
        config: ViTConfig,
        weights: dict[str, np.ndarray],
        device: torch.device,
        precision: str,
    ) -> VisionTransformer:
        """Return the module in evaluation mode, on the device."""
        key = device, parameter_dtype(precision)
        with self._lock:
            if self._module is None or self._key != key:
                # The module outlives the mode that its first caller is in.
                with torch.inference_mode(False):
                    module: Any = build_module(config, *key)
                    load_weights(module, weights)
                self._module, self._key = module.eval(), key
            return self._module
