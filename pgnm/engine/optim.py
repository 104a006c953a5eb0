"""Optimisers, schedules, scaled backward passes and averaged weights."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pgnm.config import Recipe


def rate_factor(recipe: Recipe, sched: str, progress: float, *, warmup: bool = True) -> float:
    """Return the share of the nominal learning rate at `progress` epochs (section 1.4).

    A pure function of the position, so that resuming needs no scheduler state.

    Args:
        recipe: Epochs, warm-up and steps.
        sched: constant, step (times `step_factor` every `step_epochs`) or cosine (to 0 at the end).
        progress: Epochs done, with fractions; floored where the rate moves once per epoch.
        warmup: Whether the linear warm-up applies; the policy has none.
    """
    if recipe.sched_on == "epoch":
        progress = math.floor(progress)
    warming = recipe.warmup_epochs if warmup else 0
    if progress < warming:
        return recipe.warmup_factor + (1 - recipe.warmup_factor) * progress / warming
    if sched == "step":
        return recipe.step_factor ** math.floor(progress / recipe.step_epochs)
    if sched == "cosine":
        share = (progress - warming) / max(recipe.epochs - warming, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return 1.0


class Updater:
    """One module's optimiser: sets the rate, clips, steps, and tells the norm of the gradient.

    Args:
        module: What is trained.
        recipe: Momentum, decay and clipping.
        opt: sgd, adamw or adam.
        lr: Nominal learning rate.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, opt: str, lr: float) -> None:
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._lr, self._clip = lr, recipe.clip_grad
        self.optimizer = _build_optimizer(self.parameters, recipe, opt, lr)

    def set_rate(self, factor: float) -> float:
        """Set the learning rate to a share of the nominal one and return it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr * factor
        return self._lr * factor

    def step(self, scaler: torch.amp.GradScaler) -> Tensor:
        """Undo the loss scale, clip where asked, step, forget the gradients; return their norm before clipping."""
        scaler.unscale_(self.optimizer)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self._clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self._clip, norm)
        scaler.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the optimiser's state."""
        self.optimizer.load_state_dict(state)


def restore_scaler(scaler: torch.amp.GradScaler, state: Mapping[str, Any]) -> None:
    """Take up the loss scale of a saved state; one of fp32 or bf16 holds none, and fp16 then finds its own."""
    if state:
        scaler.load_state_dict(dict(state))


def _build_optimizer(parameters: list[nn.Parameter], recipe: Recipe, opt: str, lr: float) -> torch.optim.Optimizer:
    decay = recipe.weight_decay
    if opt == "sgd":
        # foreach and fused compute the same in fewer passes over memory.
        return torch.optim.SGD(parameters, lr=lr, momentum=recipe.momentum, weight_decay=decay, fused=True)
    kind = torch.optim.AdamW if opt == "adamw" else torch.optim.Adam
    return kind(parameters, lr=lr, weight_decay=decay, fused=True)


class Ema:
    """Exponential moving average of a module's weights and buffers; integers are copied.

    Args:
        module: What is averaged.
        decay: Weight of the past after warm-up; early steps forget faster, so that the start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module as it stands after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def restart(self, module: nn.Module) -> None:
        """Forget the past: the average is the module as it stands."""
        self.load_state_dict({"steps": 0, "average": module.state_dict()})

    def swapped(self, module: nn.Module) -> "_Swapped":
        """Return a context in which the module holds the average."""
        return _Swapped(module, self.average)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of steps."""
        return {"average": self.average, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the average and the number of steps."""
        self._steps = state["steps"]
        for name, value in state["average"].items():
            self.average[name].copy_(value)


class _Swapped:
    def __init__(self, module: nn.Module, weights: dict[str, Tensor]) -> None:
        self._module, self._weights = module, weights

    def __enter__(self) -> None:
        self._own = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        self._module.load_state_dict(self._weights)

    def __exit__(self, *_: object) -> None:
        self._module.load_state_dict(self._own)
