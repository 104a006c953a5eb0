"""Reward, losses and the schedule of one APGA batch.

The reward is R = CE(adversarial) - CE(original): the agent is paid when erasing what it marks hurts the classifier.
Its own action is its pseudo-label: with BCE(P, a) = -log probability of the action, A * BCE(P, a) makes an action of
positive advantage likelier. Algorithm 1 of the paper, read literally, would take 1[P < 0.5] as the label, which has
the wrong sign; equations 2-4 and the released code agree on 1[P > 0.5], and so do we.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim import Optimizer

from pgnm.apga.agent import ActionKind, choose_action, keep
from pgnm.errors import UsageError
from pgnm.noise import bound_log_shapes
from pgnm.objectives import leave_one_out
from pgnm.policy import cross_rank_mean

LossKind = Literal["paper", "released", "area"]
RewardKind = Literal["batch", "image"]
PayKind = Literal["erased", "contrast"]
Stepper = Callable[[Tensor, Optimizer], None]
"""Takes a loss and an optimiser and makes one step; the place for scaling, clipping and accumulation."""

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Takes logits (B, classes) and targets, and gives one loss per image, (B,)."""

Autocast = Callable[[], contextlib.AbstractContextManager[object]]

BASELINE_DECAY: Final = 0.5


@dataclass(frozen=True, slots=True)
class ApgaOptions:
    """How the agent learns.

    Attributes:
        loss: `paper`: A BCE(P, a) + lam BCE(P, 0); `released`: 100 A BCE(P, a) + 0.1 |A| BCE(P, 0)
            + 0.01 |A| BCE(P, 1); `area`: A BCE(P, a) + lam (mean P - area)^2, ours: a price per pixel that rises and
            falls until the mask has about its area, so that pixels compete and an empty mask costs as a full one does.
        reward: One advantage for the `batch`, as published, or one per `image`.
        pay: What the reward compares the loss on the adversarial image with: `erased`, the original's, as published;
            `contrast`, the aiding image's. By the first an empty mask earns 0 and nothing leads away from it, and a
            part of what matters earns nothing while the rest still tells the class. By the second an empty mask earns
            the least there is, and every part kept that tells the class is paid for.
        action: `threshold`, as published, or `bernoulli`.
        actions: Actions per image. With several, each is judged against the mean reward of the image's others, and the
            running baseline only watches; needs `bernoulli` and rewards per `image`. One as published.
        lam: Price of marking, for `paper` and `area`. The paper does not state it; 0.001 is the ratio of the released
            weights at an advantage of one nat. Too high a price in `paper` empties the mask, and an empty mask earns no
            reward that could bring it back: watch `mask_share`.
        area: Share of the image to mark, for the loss `area`.
        bound: Largest absolute logit that actions are drawn from, so that no pixel is ever certain and a stochastic
            action goes on exploring; the gradient passes where it leads back inside. 0: none, as published; without it
            a mask that is empty for a few steps stays empty.
        fill: What erased pixels become, see `keep`.
        fresh_mask: Take the aiding mask from the agent after its step, as published; False reuses the mask that earned
            the reward and saves a forward pass.
    """

    loss: LossKind = "released"
    reward: RewardKind = "batch"
    pay: PayKind = "erased"
    action: ActionKind = "threshold"
    actions: int = 1
    lam: float = 1e-3
    area: float = 0.1
    bound: float = 0.0
    fill: float = 0.0
    fresh_mask: bool = True

    def __post_init__(self) -> None:
        choices = {
            "loss": ("paper", "released", "area"),
            "reward": ("batch", "image"),
            "pay": ("erased", "contrast"),
            "action": ("threshold", "bernoulli"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}; choose one")
        if self.lam < 0 or self.bound < 0:
            raise UsageError(f"lam and bound must be at least 0, got {self.lam} and {self.bound}; correct them")
        if self.actions < 1 or (self.actions > 1 and (self.action, self.reward) != ("bernoulli", "image")):
            raise UsageError(
                f"actions must be 1, or more with action bernoulli and reward image, got {self.actions} with "
                f"{self.action} and {self.reward}; change one of them"
            )


class ApgaBaseline(nn.Module):
    """Keep an exponential mean of the reward that takes in the current reward before it is subtracted.

    So the first advantage is exactly 0 (of the batch; with rewards per image their mean is), and every later one is
    `decay` times what it would be with the baseline before.

    Args:
        decay: Weight of the past; 0.5 in the released code.
    """

    value: Tensor
    started: Tensor

    def __init__(self, decay: float = BASELINE_DECAY) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def forward(self, reward: Tensor) -> Tensor:
        """Take in `reward`, a scalar or (B,), averaged over all ranks, and return the advantage in its shape."""
        mean = cross_rank_mean(reward.float().mean())
        self.value.copy_(torch.where(self.started, self.value.lerp(mean, 1 - self.decay), mean))
        self.started.fill_(True)
        return reward - self.value


def agent_loss(logits: Tensor, action: Tensor, advantage: Tensor, options: ApgaOptions) -> Tensor:
    """Compute the agent's loss from its logits, its action and the advantage.

    With n = pixels x batch the gradient of `released` with respect to a logit is
    (1 / n) [100 A (P - a) + 0.1 |A| P + 0.01 |A| (P - 1)]: A > 0 sharpens the present mask, A < 0 drives every pixel to
    one half, from where it may fall to the other side.

    Args:
        logits: (B, 1, H, W), with gradient.
        action: (B, 1, H, W) of zeros and ones.
        advantage: Scalar, or (B,) with one per image; without gradient.
        options: Which loss, and its weights.

    Returns:
        Scalar.
    """
    advantage = advantage.detach().expand(len(logits))
    size = advantage.abs()
    as_acted = _pixel_mean(logits, action)
    nothing = _pixel_mean(logits, torch.zeros_like(logits))
    if options.loss == "paper":
        return (advantage * as_acted + options.lam * nothing).mean()
    if options.loss == "area":
        excess = logits.sigmoid().flatten(1).mean(1) - options.area
        return (advantage * as_acted + options.lam * excess.square()).mean()
    everything = _pixel_mean(logits, torch.ones_like(logits))
    return (100 * advantage * as_acted + 0.1 * size * nothing + 0.01 * size * everything).mean()


def image_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute one cross-entropy per image, (B,), in float32."""
    return cross_entropy(logits.float(), targets, reduction="none")


def plain_stepper(loss: Tensor, optimizer: Optimizer) -> None:
    """Make one optimiser step for `loss`: clear, backward, step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def apga_step(
    images: Tensor,
    targets: Tensor,
    classifier: nn.Module,
    agent: nn.Module,
    classifier_optimizer: Optimizer,
    agent_optimizer: Optimizer,
    baseline: ApgaBaseline,
    options: ApgaOptions = ApgaOptions(),
    *,
    generator: torch.Generator | None = None,
    stepper: Stepper = plain_stepper,
    criterion: Criterion = image_cross_entropy,
    autocast: Autocast = contextlib.nullcontext,
) -> dict[str, Tensor]:
    """Train classifier and agent on one batch, after the paper's schedule.

    The classifier comes here already trained alone. It never learns from the adversarial image: that pass has no
    gradient and leaves the batch-norm statistics as they are. "Adversarial" describes the reward only.

    Args:
        images: (B, 3, H, W), normalised.
        targets: (B,) int64.
        classifier: Maps images to (B, classes).
        agent: Maps images to (B, 1, H, W) logits.
        classifier_optimizer: Steps the classifier, twice per batch.
        agent_optimizer: Steps the agent, once.
        baseline: Running mean of the reward; keep it with the training state.
        options: How the agent learns.
        generator: Source of Bernoulli actions.
        stepper: Makes an optimiser step out of a loss.
        criterion: The classifier's loss, of which the reward is made.
        autocast: Opens a context for each pass of a network. One context around the whole step would be wrong: it keeps
            the weights in lower precision, and they move between the passes.

    Returns:
        Detached scalars: `loss_original`, `loss_adversarial`, `loss_aiding`, `loss_agent`, `reward`, `baseline`,
        `advantage`, `mask_share` (share of marked pixels), `agent_doubt` (share of pixels with P in 0.4 to 0.6).
    """
    # 1. The classifier learns from the original.
    with autocast():
        prediction = classifier(images)
    original = criterion(prediction, targets)
    stepper(original.mean(), classifier_optimizer)

    # 2. The agent marks; the classifier is shown the images without what is marked.
    with autocast():
        logits = agent(images)
    if options.bound:
        logits = bound_log_shapes(logits, options.bound)
    repeated = logits.repeat(options.actions, 1, 1, 1)
    actions = choose_action(repeated, options.action, generator)
    shown = images.repeat(options.actions, 1, 1, 1)
    labels = targets.repeat(options.actions, *[1] * (targets.ndim - 1))
    with torch.no_grad(), frozen_statistics(classifier), autocast():
        adversarial = criterion(classifier(keep(shown, 1 - actions, options.fill)), labels)
        expected = original.detach().repeat(options.actions)
        if options.pay == "contrast":
            expected = criterion(classifier(keep(shown, actions, options.fill)), labels)

    # 3. The agent is paid by how much that hurt.
    reward = adversarial - expected
    if options.reward == "batch":
        reward = cross_rank_mean(reward.mean())
    advantage = baseline(reward)
    if options.actions > 1:
        by_action = reward.view(options.actions, -1)
        advantage = (by_action - leave_one_out(by_action)).flatten()
    loss_agent = agent_loss(repeated, actions, advantage, options)
    stepper(loss_agent, agent_optimizer)

    # 4. The classifier learns from what is marked alone.
    action = actions[: len(images)]
    if options.fresh_mask:
        with torch.no_grad(), autocast():
            action = choose_action(agent(images), options.action, generator)
    with autocast():
        prediction = classifier(keep(images, action, options.fill))
    aiding = criterion(prediction, targets).mean()
    stepper(aiding, classifier_optimizer)

    probability = logits.detach().sigmoid()
    return {
        "loss_original": original.detach().mean(),
        "loss_adversarial": adversarial.mean(),
        "loss_aiding": aiding.detach(),
        "loss_agent": loss_agent.detach(),
        "reward": reward.mean(),
        "baseline": baseline.value.clone(),
        "advantage": advantage.mean(),
        "mask_share": action.mean(),
        "agent_doubt": ((probability - 0.5).abs() < 0.1).float().mean(),
    }


def masked_step(
    images: Tensor,
    targets: Tensor,
    mask: Tensor,
    classifier: nn.Module,
    optimizer: Optimizer,
    fill: float = 0.0,
    *,
    stepper: Stepper = plain_stepper,
    criterion: Criterion = image_cross_entropy,
    autocast: Autocast = contextlib.nullcontext,
) -> dict[str, Tensor]:
    """Train the classifier on a batch as it is and then under a given mask: the compared methods at equal cost.

    Args:
        images: (B, 3, H, W), normalised.
        targets: (B,) int64.
        mask: (B, 1, H, W) in [0, 1], 1 = keep, such as from `cutout_mask` or `grad_cam_mask`.
        classifier: Maps images to (B, classes).
        optimizer: Steps the classifier, twice per batch.
        fill: What erased pixels become, see `keep`.
        stepper: Makes an optimiser step out of a loss.
        criterion: The classifier's loss.
        autocast: Opens a context for each pass, as in `apga_step`.

    Returns:
        Detached scalars `loss_original`, `loss_aiding` and `mask_share`.
    """
    with autocast():
        prediction = classifier(images)
    original = criterion(prediction, targets).mean()
    stepper(original, optimizer)
    with autocast():
        prediction = classifier(keep(images, mask, fill))
    aiding = criterion(prediction, targets).mean()
    stepper(aiding, optimizer)
    return {"loss_original": original.detach(), "loss_aiding": aiding.detach(), "mask_share": mask.mean()}


@contextlib.contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norm normalise by the batch as in training, but leave its running statistics as they are."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.track_running_stats, norm.momentum) for norm in norms]
    try:
        if model.training:
            for norm in norms:
                # Layers that know nothing of the first obey the second.
                norm.track_running_stats, norm.momentum = False, 0.0
        yield
    finally:
        for norm, (tracked, momentum) in zip(norms, before, strict=True):
            norm.track_running_stats, norm.momentum = tracked, momentum


def _pixel_mean(logits: Tensor, target: Tensor) -> Tensor:
    """Average the binary cross-entropy over the pixels of each image, (B,)."""
    return binary_cross_entropy_with_logits(logits.float(), target, reduction="none").flatten(1).mean(1)
