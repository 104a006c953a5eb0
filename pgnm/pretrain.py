"""Pretraining with noise masks: from images to the heated classifier (method sections 1.1 to 1.5).

Equation numbers are those of the PGNM paper (Yavuz & Yang, ICPR 2024, arXiv 2406.14568).
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgnm import checkpoints, run_folder
from pgnm.config import Recipe
from pgnm.data import load_split
from pgnm.engine import Devices, Summary, Updater, open_devices, rate_factor
from pgnm.engine.fit import fit
from pgnm.engine.optim import restore_scaler
from pgnm.engine.prepare import class_weights, open_job, seeded_start
from pgnm.errors import UsageError
from pgnm.models import check_takes, create_classifier
from pgnm.noise import FixedNoise, beta_log_prob, expand_mask, sample_beta, sample_fixed
from pgnm.objectives import (
    RunningBaseline,
    leave_one_out,
    paper_loss,
    pathwise_mask,
    reinforce_loss,
)
from pgnm.policy import NoisePolicy, PolicyOutput, describe_policy
from pgnm.pretrain_apga import AdversarialPretraining
from pgnm.progress import ProgressCallback, ignore_progress

_log = logging.getLogger(__name__)


def pretrain(
    split_folder: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool | None = None,
    allow_leakage: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> Summary:
    """Train a classifier on masked images, and the policy that masks them; write a run folder.

    Args:
        split_folder: What `radrefine split` wrote.
        out: The run folder; one that holds a state is gone on with.
        recipe: A recipe of the stage `pretrain`.
        resume: None goes on where there is a state, True demands one, False starts anew.
        allow_leakage: Accept images shared between the parts of the split.
        progress: Hears of every step.

    Raises:
        PgnmError: A split, recipe, device or state that cannot be used, or a loss that is not finite.
    """
    if recipe.stage != "pretrain":
        raise UsageError(f"--recipe must be for pretraining, got one for {recipe.stage}; try laptop")
    run_folder.refuse_foreign(out)
    split = load_split(split_folder, allow_leakage=allow_leakage)
    devices = open_devices(recipe)
    with seeded_start(recipe):
        classifier = create_classifier(
            recipe.model, len(split.class_names), size=recipe.size, pretrained=recipe.pretrained
        )
        kind = AdversarialPretraining if recipe.policy == "apga" else Pretraining
        stage = kind(classifier, recipe, devices, class_weights(split, recipe))
    return fit(open_job(stage, recipe, split, out, devices, progress), resume=resume)


class Pretraining:
    """The classifier, the policy where masks are learned, and what a step does to both."""

    def __init__(self, classifier: nn.Module, recipe: Recipe, devices: Devices, weights: Tensor | None) -> None:
        self.recipe, self.devices = recipe, devices
        self.model = devices.place(classifier).train()
        self._classifier = devices.distribute(self.model, compiled=recipe.compile)
        self._weights = None if weights is None else weights.to(devices.device)
        self._classifier_updater = Updater(self.model, recipe, recipe.opt, recipe.lr)
        self._scaler = torch.amp.GradScaler(devices.device.type, enabled=devices.precision == "fp16")
        self.policy: NoisePolicy | None = None
        # What the heads said in the running update, (2, 1, K); states are saved between updates only.
        self._heads: Tensor | None = None
        self._baseline = RunningBaseline().to(devices.device)
        if recipe.policy == "beta":
            self.policy = policy = devices.place(_build_policy(recipe)).train()
            self._policy = devices.distribute(policy)
            self._policy_updater = Updater(policy, recipe, recipe.policy_opt, recipe.policy_lr)

    def update(
        self, images: Tensor, targets: Tensor, epochs_done: float, *, last: bool = True, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Learn from one batch: draw a mask for each image, classify the masked images, teach both networks.

        Args:
            images: (B, 3, H, W) float32, augmented and normalised, channels last.
            targets: (B,) class indices, or (B, C) shares of the classes where images were mixed.
            epochs_done: Position of the schedules.
            last: Whether weights move after this batch; else gradients are only summed.
            share: What this batch counts in the sum: one over the batches of the update.

        Returns:
            Scalars to log, still on the device.
        """
        recipe, devices = self.recipe, self.devices
        side, size = recipe.grid, images.shape[-2:]
        numbers: dict[str, Tensor] = {}
        rate = self._classifier_updater.set_rate(rate_factor(recipe, recipe.sched, epochs_done))

        # 1. Image-level log-shapes a_i, b_i (Eq 2, 12-13); each head is evaluated once.
        output: PolicyOutput | None = None
        if self.policy is not None:
            with devices.autocast(), devices.hold_back(*([] if last else [self._policy])):
                output = self._policy(_shrink(images, recipe.policy_size))

        # 3-4. Shapes exp(a_i), exp(b_i) and the action M_i ~ Beta (Eq 3-4), one or several for each image.
        grids = self._draw(output, len(images))  # (S, B, K)
        masks_per_image = len(grids)

        # 5. From the grid to the image: nearest neighbour, then blur. 6. The environment: x * mask (Eq 5).
        if recipe.policy == "none":
            masked = images
        else:
            mask = expand_mask(grids.reshape(-1, side, side), (size[0], size[1]), recipe.kernel, recipe.sigma)
            masked = (
                images * mask if masks_per_image == 1 else images.repeat(masks_per_image, 1, 1, 1) * mask
            ).contiguous(memory_format=torch.channels_last)
            numbers |= {"mask_mean": mask.detach().mean(), "mask_std": mask.detach().std()}

        # The classifier answers; its loss is the reward's only source.
        with devices.autocast(), devices.hold_back(*([] if last else [self._classifier])):
            logits = self._classifier(masked).float()
        repeated = targets if masks_per_image == 1 else targets.repeat(masks_per_image, *[1] * (targets.ndim - 1))
        cross_entropy = functional.cross_entropy(
            logits, repeated, self._weights, reduction="none", label_smoothing=recipe.label_smoothing
        ).view(masks_per_image, -1)  # (S, B)

        # 7. Log-probability of the grid sample, before upsampling and blur (Eq 7). 8. The objective (Eq 8).
        loss, terms = self._objective(output, grids, cross_entropy)
        numbers |= {"loss": loss, "cross_entropy": cross_entropy.mean(), **terms}

        # One backward pass feeds both optimisers.
        self._scaler.scale(loss * share).backward()
        if last:
            numbers |= {"grad_norm": self._classifier_updater.step(self._scaler)}
            if output is not None:
                factor = rate_factor(recipe, recipe.policy_sched, epochs_done, warmup=False)
                numbers["policy_lr"] = images.new_tensor(self._policy_updater.set_rate(factor))
                numbers["policy_grad_norm"] = self._policy_updater.step(self._scaler)
            self._scaler.update()

        # 2. Dataset-level log-shapes a0, b0 (Eq 10-11), equal on all ranks, once per update; step 1 used the values
        # before this.
        if output is not None and self.policy is not None:
            heads = torch.stack([output.head_alpha, output.head_beta]) * share
            self._heads = heads if self._heads is None else self._heads + heads
            if last:
                alpha, beta = self._heads
                self.policy.update_dataset_shapes(replace(output, head_alpha=alpha, head_beta=beta))
                self._heads = None
            numbers |= describe_policy(output)
        return numbers | {"lr": images.new_tensor(rate)}

    def _draw(self, output: PolicyOutput | None, n_images: int) -> Tensor:
        """Draw the grid masks of a batch, (S, B, K) float32 in [0, 1]."""
        recipe = self.recipe
        if output is None:
            shape = (1, n_images, recipe.grid**2)
            return sample_fixed(FixedNoise(recipe.policy), shape, device=self.devices.device)  # type: ignore[arg-type]
        several = (recipe.masks_per_image, *output.log_alpha.shape)
        pathwise = recipe.objective == "pathwise"
        grids = sample_beta(output.log_alpha.expand(several), output.log_beta.expand(several), pathwise=pathwise)
        # With the pathwise objective the cross-entropy's gradient reaches the policy through the mask itself.
        return pathwise_mask(grids, recipe.direction, recipe.policy_scale) if pathwise else grids  # type: ignore[arg-type]

    def _objective(
        self, output: PolicyOutput | None, grids: Tensor, cross_entropy: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its terms; cross_entropy is (S, B)."""
        recipe = self.recipe
        if output is None:  # plain training, or noise that is not learned
            return cross_entropy.mean(), {}
        if recipe.objective == "pathwise":
            log_prob = beta_log_prob(grids.detach(), output.log_alpha.detach(), output.log_beta.detach())
            return cross_entropy.mean(), {"log_prob": log_prob.mean()}
        if recipe.objective == "paper":
            log_prob = beta_log_prob(grids[0], output.log_alpha, output.log_beta)
            loss, scale = self._paper(log_prob, cross_entropy.mean())
            return loss, {"log_prob": log_prob.mean(), "loss_scale": scale, "reward": -cross_entropy.mean()}
        # Censored: at small shapes a plain density has a score whose mean is not zero.
        log_prob = beta_log_prob(grids, output.log_alpha, output.log_beta, censored=True)
        classifier_loss, policy_loss, terms = reinforce_loss(
            log_prob,
            cross_entropy,
            self._expected(cross_entropy),
            direction=recipe.direction,  # type: ignore[arg-type]
            reduction=recipe.reduction,  # type: ignore[arg-type]
        )
        self._baseline.update(cross_entropy)
        return classifier_loss + policy_loss, {"policy_loss": policy_loss, **terms}

    def _paper(self, log_prob: Tensor, cross_entropy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the paper's loss and the factor that it puts before the cross-entropy.

        The product of two batch means is not the mean of the ranks' products. With several ranks each takes the
        linear form whose gradients, averaged over ranks, are those of the product over the whole batch.
        """
        factor = log_prob.logsumexp(dim=1).mean()
        if self.devices.world == 1:
            return paper_loss(log_prob, cross_entropy), factor
        all_factor, all_entropy = self.devices.mean(factor.detach()), self.devices.mean(cross_entropy.detach())
        return all_factor * cross_entropy + all_entropy * (factor - all_factor), factor

    def _expected(self, cross_entropy: Tensor) -> Tensor:
        """Return what each image's loss, (S, B), is compared with; it never depends on the mask that it judges."""
        if self.recipe.baseline == "leave_one_out":
            return leave_one_out(cross_entropy)
        # The other images of the batch, on all ranks, as `batch_leave_one_out` has it on one.
        cost = cross_entropy.detach()
        n_all = cost.numel() * self.devices.world
        others = (self.devices.sum(cost.sum()) - cost) / max(n_all - 1, 1)
        if self.recipe.baseline == "batch":
            return others
        return torch.where(self._baseline.started, self._baseline.value, others)

    def close_epoch(self, epochs: int, *, best: bool) -> None:
        """Go on: every epoch is like the others."""

    def state_dict(self) -> dict[str, Any]:
        """Return weights, dataset-level shapes, baseline and optimisers."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self._classifier_updater.state_dict(),
            "baseline": self._baseline.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        if self.policy is not None:
            state |= {"policy": self.policy.state_dict(), "policy_optimizer": self._policy_updater.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._classifier_updater.load_state_dict(state["optimizer"])
        self._baseline.load_state_dict(state["baseline"])
        restore_scaler(self._scaler, state["scaler"])
        if self.policy is not None:
            self.policy.load_state_dict(state["policy"])
            self._policy_updater.load_state_dict(state["policy_optimizer"])

    def save_extras(self, run: Path) -> None:
        """Write the policy beside the classifier."""
        if self.policy is not None:
            checkpoints.save_policy(run, self.policy)


def _shrink(images: Tensor, side: int) -> Tensor:
    """Average images, (B, C, H, W), down to a side in px; 0 or a side that is not smaller leaves them."""
    if not 0 < side < min(images.shape[-2:]):
        return images
    small = functional.interpolate(images, size=(side, side), mode="area")
    return small.contiguous(memory_format=torch.channels_last)


def _build_policy(recipe: Recipe) -> NoisePolicy:
    policy = NoisePolicy(
        recipe.grid,
        recipe.policy_model,
        lam=recipe.prior_weight,
        mu=recipe.prior_momentum,
        initial_shapes=recipe.initial_shapes,  # type: ignore[arg-type]
    )
    check_takes(policy.features, recipe.policy_model, "--policy-model", size=recipe.policy_side)
    return policy
