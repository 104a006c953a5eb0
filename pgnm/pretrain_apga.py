"""Pretraining with APGA (method section 2): the classifier alone first, then classifier and agent together."""

import copy
import logging
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from pgnm import checkpoints
from pgnm.apga import ApgaBaseline, ApgaOptions, MaskAgent, apga_step, masked_step
from pgnm.apga.agent import black_level, choose_action, load_agent, save_agent
from pgnm.apga.inference import save_overlays
from pgnm.apga.masks import cutout_mask, grad_cam_mask, warm_start_loss
from pgnm.config import Recipe
from pgnm.engine import Devices, Updater, rate_factor
from pgnm.engine.optim import restore_scaler
from pgnm.models import check_takes

_log = logging.getLogger(__name__)

_OVERLAYS: Final = 8


class AdversarialPretraining:
    """The classifier, the agent that marks what matters, and what a step does to both.

    During the recipe's `alone_epochs` the classifier learns from the images as they are, and the agent, where it starts
    from `otsu`, learns to agree with their foreground. From the best of those epochs by validation, every batch follows
    `pgnm.apga.apga_step`. With `aid` cutout or gradcam there is no agent: that mask takes its place, at equal cost to
    the classifier.

    Args:
        classifier: The classifier, on the CPU.
        recipe: A recipe with the policy `apga`.
        devices: Where to compute.
        weights: Weight of each class in the loss, (C,), or None.
    """

    def __init__(self, classifier: nn.Module, recipe: Recipe, devices: Devices, weights: Tensor | None) -> None:
        self.recipe, self.devices = recipe, devices
        self.model = devices.place(classifier).train()
        self._classifier = devices.distribute(self.model, compiled=recipe.compile)
        self._weights = None if weights is None else weights.to(devices.device)
        self._fill = black_level(recipe.mean, recipe.std)
        self._options = _agent_options(recipe, self._fill)
        self._baseline = ApgaBaseline().to(devices.device)
        self._scaler = torch.amp.GradScaler(devices.device.type, enabled=devices.precision == "fp16")
        self._updaters = {"classifier": Updater(self.model, recipe, recipe.opt, recipe.lr)}
        self.agent: MaskAgent | None = None
        self._frozen: nn.Module | None = None
        self._seen: Tensor | None = None
        self._best_alone: dict[str, Tensor] | None = None
        if recipe.aid == "gradcam":  # a model that it cannot explain is told now, not after the epochs alone
            grad_cam_mask(copy.deepcopy(classifier).cpu().eval(), torch.zeros(1, 3, recipe.size, recipe.size))
        if recipe.alone_epochs >= recipe.epochs and devices.is_main:
            _log.warning(
                "the classifier learns alone in all %d epochs and no aiding image is ever used; "
                "raise --epochs above --alone-epochs %d",
                recipe.epochs,
                recipe.alone_epochs,
            )
        if recipe.aid == "agent":
            self.agent = agent = devices.place(_build_agent(recipe)).train()
            self._agent = devices.distribute(agent)
            self._updaters["agent"] = Updater(agent, recipe, recipe.policy_opt, recipe.policy_lr)

    def update(
        self, images: Tensor, targets: Tensor, epochs_done: float, *, last: bool = True, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Learn from one batch.

        Args:
            images: (B, 3, H, W) float32, augmented and normalised, channels last.
            targets: (B,) class indices, or (B, C) shares of the classes where images were mixed.
            epochs_done: Position of the schedules.
            last: Always True; APGA moves its weights several times per batch and cannot sum gradients over batches.
            share: Always 1.

        Returns:
            Scalars to log, still on the device.
        """
        recipe = self.recipe
        rate = self._updaters["classifier"].set_rate(rate_factor(recipe, recipe.sched, epochs_done))
        if self.agent is not None:
            factor = rate_factor(recipe, recipe.policy_sched, epochs_done, warmup=False)
            self._updaters["agent"].set_rate(factor)
        self._seen = images[:_OVERLAYS]
        if epochs_done < recipe.alone_epochs:
            numbers = self._learn_alone(images, targets)
        elif self.agent is not None:
            numbers = apga_step(
                images,
                targets,
                self._classifier,
                self._agent,
                self._updaters["classifier"].optimizer,
                self._updaters["agent"].optimizer,
                self._baseline,
                self._options,
                stepper=self._step,
                criterion=self._criterion,
                autocast=self.devices.autocast,
            )
        else:
            numbers = masked_step(
                images,
                targets,
                self._given_mask(images),
                self._classifier,
                self._updaters["classifier"].optimizer,
                self._fill,
                stepper=self._step,
                criterion=self._criterion,
                autocast=self.devices.autocast,
            )
        return {"loss": numbers["loss_original"], **numbers, "lr": images.new_tensor(rate)}

    def close_epoch(self, epochs: int, *, best: bool) -> dict[str, Tensor] | None:
        """While the classifier learns alone, remember its best weights; at the end of that go on from them."""
        if epochs > self.recipe.alone_epochs:
            return None
        if best:
            self._best_alone = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if epochs < self.recipe.alone_epochs:
            return None
        weights, self._best_alone = self._best_alone, None
        return weights

    def _learn_alone(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        with self.devices.autocast():
            prediction = self._classifier(images)
        loss = self._criterion(prediction, targets).mean()
        self._step(loss, self._updaters["classifier"].optimizer)
        numbers = {"loss_original": loss.detach()}
        if self.agent is not None and self.recipe.agent_start == "otsu":
            with self.devices.autocast():
                logits = self._agent(images)
            agreement = warm_start_loss(logits, images)
            self._step(agreement, self._updaters["agent"].optimizer)
            numbers["loss_otsu"] = agreement.detach()
        return numbers

    def _given_mask(self, images: Tensor) -> Tensor:
        """Return the mask of a compared method, (B, 1, H, W), 1 = keep."""
        size = (images.shape[2], images.shape[3])
        if self.recipe.aid == "cutout":
            # Half the side, as Cutout's authors take for ten classes of small images.
            return cutout_mask(len(images), size, min(size) // 2, device=images.device)
        if self._frozen is None:
            self._frozen = copy.deepcopy(self.model).eval()
        return grad_cam_mask(self._frozen, images)

    def _criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(
            logits.float(), targets, self._weights, reduction="none", label_smoothing=smoothing
        )

    def _step(self, loss: Tensor, optimizer: Optimizer) -> None:
        updater = next(updater for updater in self._updaters.values() if updater.optimizer is optimizer)
        self._scaler.scale(loss).backward()
        updater.step(self._scaler)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return weights, baseline and optimisers, and the frozen classifier of Grad-CAM where there is one."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "baseline": self._baseline.state_dict(),
            "scaler": self._scaler.state_dict(),
            "optimizers": {name: updater.state_dict() for name, updater in self._updaters.items()},
        }
        if self.agent is not None:
            state["agent"] = self.agent.state_dict()
        if self._frozen is not None:
            state["frozen"] = self._frozen.state_dict()
        if self._best_alone is not None:
            state["best_alone"] = self._best_alone
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._baseline.load_state_dict(state["baseline"])
        restore_scaler(self._scaler, state["scaler"])
        for name, updater in self._updaters.items():
            updater.load_state_dict(state["optimizers"][name])
        if self.agent is not None:
            self.agent.load_state_dict(state["agent"])
        self._best_alone = state.get("best_alone")
        if "frozen" in state:
            self._frozen = copy.deepcopy(self.model).eval()
            self._frozen.load_state_dict(state["frozen"])

    @torch.no_grad()
    def save_extras(self, run: Path) -> None:
        """Write the agent beside the classifier, and some training images with its masks drawn on them."""
        if self.agent is None:
            return
        save_agent(run / checkpoints.POLICY_FILE, self.agent)
        if self._seen is None:
            return
        self.agent.eval()
        masks = choose_action(self.agent(self._seen))
        self.agent.train()
        names = [f"{number:02d}" for number in range(len(self._seen))]
        save_overlays(run / "overlays", self._seen, masks, names, self.recipe.mean, self.recipe.std)


def _agent_options(recipe: Recipe, fill: float) -> ApgaOptions:
    return ApgaOptions(
        loss=recipe.agent_loss,  # type: ignore[arg-type]
        reward=recipe.agent_reward,  # type: ignore[arg-type]
        pay=recipe.agent_pay,  # type: ignore[arg-type]
        action=recipe.agent_action,  # type: ignore[arg-type]
        actions=recipe.agent_actions,
        lam=recipe.agent_price,
        area=recipe.agent_area,
        bound=recipe.agent_bound,
        fill=fill,
    )


def _build_agent(recipe: Recipe) -> MaskAgent:
    if recipe.agent_start in ("otsu", "random"):
        agent = MaskAgent(recipe.agent_model, width=recipe.agent_width, cell=recipe.agent_cell)
    else:
        agent = load_agent(Path(recipe.agent_start))
    agent.check_size(recipe.size)
    check_takes(agent, agent.encoder_name, "--agent-model", size=recipe.size)
    return agent
