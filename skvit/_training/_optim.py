"""Groups of parameters and the optimizers that update them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from skvit._training._muon import Muon
from skvit._training._threads import Team

# Tables of vectors that stand among the tokens or are added to them: shrinking them
# towards zero has no regularising meaning, no more than it has for slopes of a bias.
_NO_DECAY = "prefix.", "pos_embed."
# Maps between layers, whose updates Muon turns; neither the patches' projection where
# that is the only layer before the blocks, nor the head.
_MATRICES = "blocks.", "patch_embed.stages."
_MUON_MOMENTUM = 0.95


def splits_decay(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Split parameters into those that weight decay shrinks and those it spares.

    Matrices and kernels decay; biases, their slopes, norms, tokens, positions and
    scales do not.
    """
    decay: list[Tensor] = []
    spare: list[Tensor] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_table = name.startswith(_NO_DECAY) or ".pos_bias." in name
        spared = parameter.ndim < 2 or is_table
        (spare if spared else decay).append(parameter)
    return decay, spare


def make_optimizers(
    module: nn.Module,
    name: str,
    learning_rate: float,
    weight_decay: float,
    *,
    short: bool = False,
    capturable: bool = False,
    team: Team | None = None,
) -> dict[str, torch.optim.Optimizer]:
    """Build the optimizers of a network, by the name under which each is kept.

    Parameters
    ----------
    module : nn.Module
        The network.
    name : {"adamw", "muon", "sgd"}
        "muon" orthogonalises the updates of the blocks' matrices and of the stem's
        kernels, and leaves the rest to AdamW.
    learning_rate : float
        Highest learning rate.
    weight_decay : float
        Decoupled weight decay; for SGD, the L2 penalty.
    short : bool, default=False
        Whether "muon" may multiply in bfloat16.
    capturable : bool, default=False
        Whether updates are to be captured in a graph of the device: rates are then
        tensors, which it reads anew each time.
    team : Team, default=None
        Threads that share what "muon" has to compute; None for the calling one.

    Returns
    -------
    dict of str to torch.optim.Optimizer
        One optimizer, or two for "muon".
    """
    decay, spare = splits_decay(module)
    if name == "sgd":
        groups = _groups(decay, spare, weight_decay)
        return {
            "optimizer": torch.optim.SGD(
                groups, lr=learning_rate, momentum=0.9, nesterov=True
            )
        }
    rate = learning_rate if not capturable else _rate_on_device(decay, learning_rate)
    if name == "adamw":
        return {"optimizer": _adamw(decay, spare, rate, weight_decay, capturable)}
    matrices, others = _split_matrices(module, decay)
    return {
        "optimizer": _adamw(others, spare, rate, weight_decay, capturable),
        "optimizer_matrices": Muon(
            matrices,
            lr=rate,
            weight_decay=weight_decay,
            momentum=_MUON_MOMENTUM,
            short=short,
            team=team,
        ),
    }


def _rate_on_device(parameters: list[Tensor], rate: float) -> Tensor:
    """Return a rate as the fused kernels take it, in single precision."""
    return torch.tensor(rate, dtype=torch.float32, device=parameters[0].device)


class Optimizers:
    """The optimizers of a network, as one.

    Parameters
    ----------
    optimizers : iterable of torch.optim.Optimizer
        As `make_optimizers` returns them.
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        self.all = list(optimizers)
        self._base_rates = [float(group["lr"]) for group in self._groups]
        self._factor = 1.0

    @property
    def _groups(self) -> list[dict]:
        """Present groups of parameters; loading a state puts others in their place."""
        return [group for one in self.all for group in one.param_groups]

    @property
    def learning_rate(self) -> float:
        """Present learning rate."""
        return self._base_rates[0] * self._factor

    def set_factor(self, factor: float) -> None:
        """Give every group of parameters a fraction of its highest rate."""
        self._factor = factor
        for group, base in zip(self._groups, self._base_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    def states(self) -> list[dict]:
        """Return what each optimizer remembers of its updates."""
        return [one.state_dict()["state"] for one in self.all]

    def load_states(self, states: Iterable[dict]) -> None:
        """Go on with what was remembered, here or on another device."""
        for one, state in zip(self.all, states, strict=True):
            groups = one.state_dict()["param_groups"]
            one.load_state_dict({"state": state, "param_groups": groups})


def _groups(
    decay: list[Tensor], spare: list[Tensor], weight_decay: float
) -> list[dict]:
    """Return parameter groups with and without weight decay."""
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": spare, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _adamw(
    decay: list[Tensor],
    spare: list[Tensor],
    learning_rate: float | Tensor,
    weight_decay: float,
    capturable: bool,
) -> torch.optim.AdamW:
    """Return AdamW in its fused form, which is one kernel for all parameters."""
    groups = _groups(decay, spare, weight_decay)
    device = groups[0]["params"][0].device
    fused = device.type in {"cpu", "cuda", "mps", "xpu"}
    return torch.optim.AdamW(
        groups, lr=learning_rate, fused=fused, capturable=capturable
    )


def _split_matrices(
    module: nn.Module, decay: Iterable[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Split decaying parameters into those that Muon turns and all others."""
    apt = {
        id(parameter)
        for name, parameter in module.named_parameters()
        if name.startswith(_MATRICES)
    }
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in decay:
        (matrices if id(parameter) in apt else others).append(parameter)
    return matrices, others
