r"""What the policy and the classifier are trained on.

Equation numbers are those of the PGNM paper (Yavuz & Yang, ICPR 2024, arXiv 2406.14568). Write `p_ik` for the density
of image i's mask entry k at its sample, `CE_i` for the cross-entropy of masked image i, and `CE` for its batch mean.

**What the released objective does.** `paper_loss` is mean_i[log sum_k p_ik] * CE, one backward pass for both networks.

- *Classifier.* Its gradient is that of CE times F = mean_i log sum_k p_ik. With densities near 1, F is about log K: 8.3
  at grid 64, 5.5 at grid 16. The learning rate is in effect F times the nominal one (weight decay is not scaled), and a
  batch with F < 0 would train the classifier to be wrong; that needs all densities below 1/K.
- *Credit.* The policy's gradient is CE * mean_i sum_k w_ik grad log p_ik, w_ik = softmax over k of log p_ik. CE is one
  number for the batch, so no image's mask is credited with that image's own loss.
- *Not REINFORCE.* Eq 6 needs the joint log-probability, sum_k log p_ik, each entry with weight 1. The softmax weights
  instead depend on the samples, and the score so weighted has a mean that is not zero. For many entries of one
  distribution it tends to E[p grad log p] / E[p] = 1/2 grad log of the integral of p^2, so descent raises the Renyi-2
  entropy, whatever the mask does to the loss: the shapes drift to the uniform density, the only fixed point, at a speed
  proportional to CE. This is why the paper sees dataset-level shapes that are almost uniform.
- *No baseline.* CE > 0 always, so every mask is made less likely, good ones only less so; the difference that should
  teach is small beside the mean that should not.

`reinforce_loss` mends each point; `pathwise_mask` replaces the score function by the gradient through the sample.
A policy that only helps the classifier gains by letting everything through (mask -> 1); what holds it is the slow
dataset-level prior (lam), the bound on the shapes, or the direction `oppose`.
"""

import math
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from pgnm.errors import UsageError
from pgnm.policy import cross_rank_mean

Direction = Literal["cooperate", "oppose"]
Reduction = Literal["sum", "sqrt", "mean"]
DIRECTIONS: Final = ("cooperate", "oppose")
REDUCTIONS: Final = ("sum", "sqrt", "mean")

ADVANTAGE_FLOOR: Final = 1e-3
"""Advantages are divided by their root mean square, but by no less than this (nats): rounding is not a reward."""


def paper_loss(log_prob: Tensor, cross_entropy: Tensor) -> Tensor:
    """Compute the objective of the released code (Eq 8 as implemented); see the module's text for what it does.

    Args:
        log_prob: (B, K) log-density of every mask entry, with gradient to the policy.
        cross_entropy: Scalar batch mean, with gradient to the classifier.

    Returns:
        Scalar mean_i[log sum_k exp(log_prob_ik)] * cross_entropy; one backward pass feeds both networks.
    """
    return log_prob.float().logsumexp(dim=1).mean() * cross_entropy.float()


def paper_text_loss(log_prob: Tensor, cross_entropy: Tensor) -> Tensor:
    """Compute Eq 8 as the paper's text has it: the mean of exponentiated log-probability times cross-entropy.

    Well defined, since shapes and samples are bounded, but a weak teacher: the gradient of a density is the density
    times its score, so samples where the density is high count most, and like the released form it flattens the density
    whatever the loss. The classifier's gradient is scaled by the mean density, 1 for a uniform mask.

    Args:
        log_prob: (B, K) log-density of every mask entry.
        cross_entropy: Scalar batch mean, or (B,) to pair each image's density with its own loss.

    Returns:
        Scalar mean_ik[exp(log_prob_ik) * cross_entropy].
    """
    return (log_prob.float().exp().mean(dim=1) * cross_entropy.float()).mean()


def reinforce_loss(
    log_prob: Tensor,
    per_image_ce: Tensor,
    baseline: Tensor | float = 0.0,
    *,
    direction: Direction = "cooperate",
    reduction: Reduction = "sqrt",
    normalize: bool = True,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Compute REINFORCE with per-image reward and joint log-probability (Eq 6).

    The classifier minimises mean_i CE_i. The policy minimises c * mean_i A_i sum_k log p_ik with the advantage
    A_i = +-(CE_i - baseline_i), held constant. For c = 1, a baseline that does not depend on the mask and no
    normalisation, its expected gradient is exactly that of the expected cross-entropy. Use `beta_log_prob(...,
    censored=True)`: at small shapes a plain density has a score whose mean is not zero.

    The two losses share no gradient, so they may be added and sent backward together.

    Args:
        log_prob: (B, K), or (S, B, K) for S masks of each image.
        per_image_ce: (B,) or (S, B), with gradient to the classifier.
        baseline: What `per_image_ce` is compared with: a number, or a tensor that broadcasts to it, from
            `RunningBaseline`, `leave_one_out` or `batch_leave_one_out`.
        direction: `cooperate`: masks that lower the cross-entropy become likelier; `oppose`: those that raise it.
        reduction: The constant c for K entries: `sum` 1, `sqrt` 1 / sqrt(K), `mean` 1 / K. The noise of the summed
            score grows as sqrt(K), so `sqrt` keeps the size of a step about the same for every grid.
        normalize: Divide advantages by their root mean square over the batch and all ranks (at least
            `ADVANTAGE_FLOOR`), so that the step does not die out as the loss falls. It changes the scale, not the sign.

    Returns:
        Classifier loss, policy loss, and detached scalars: `reward` (mean of minus or plus CE), `baseline`,
        `advantage` and `advantage_rms` (before normalising, nats), `log_prob` (mean over entries).

    Raises:
        UsageError: For an unknown choice or shapes that do not belong together.
    """
    _check_choice("direction", direction, DIRECTIONS)
    _check_choice("reduction", reduction, REDUCTIONS)
    if log_prob.shape[:-1] != per_image_ce.shape:
        raise UsageError(
            f"log_prob must have one more axis than per_image_ce, got {tuple(log_prob.shape)} and "
            f"{tuple(per_image_ce.shape)}; pass unreduced cross-entropies"
        )
    sign = 1.0 if direction == "cooperate" else -1.0
    cost = per_image_ce.detach().float()
    expected = torch.as_tensor(baseline, dtype=torch.float32, device=cost.device).detach().expand(cost.shape)
    advantage = sign * (cost - expected)
    rms = cross_rank_mean(advantage.square().mean()).sqrt()
    scaled = advantage / rms.clamp_min(ADVANTAGE_FLOOR) if normalize else advantage
    joint = log_prob.float().sum(dim=-1) * _entry_scale(reduction, log_prob.shape[-1])
    classifier_loss = per_image_ce.float().mean()
    policy_loss = (scaled * joint).mean()
    diagnostics = {
        "reward": -sign * cost.mean(),
        "baseline": expected.mean(),
        "advantage": advantage.mean(),
        "advantage_rms": rms,
        "log_prob": log_prob.detach().float().mean(),
    }
    return classifier_loss, policy_loss, diagnostics


def leave_one_out(cost: Tensor) -> Tensor:
    """Compute for each mask the mean cost of the other masks of the same image.

    It removes what makes one image harder than another, which a running mean leaves in, and does not depend on the mask
    it is compared with, so the gradient stays unbiased.

    Args:
        cost: (S, B) cross-entropies of S >= 2 masks per image.

    Returns:
        (S, B), without gradient.

    Raises:
        UsageError: For fewer than two masks.
    """
    if cost.ndim != 2 or len(cost) < 2:
        raise UsageError(
            f"the leave-one-out baseline needs costs (S, B) of at least 2 masks per image, got {tuple(cost.shape)}; "
            "draw more masks or use the running baseline"
        )
    cost = cost.detach().float()
    return (cost.sum(dim=0, keepdim=True) - cost) / (len(cost) - 1)


def batch_leave_one_out(cost: Tensor) -> Tensor:
    """Compute for each entry the mean of all other entries of the batch, same shape, without gradient.

    Needs no memory and no second mask; it only removes the common level. A single entry gets 0.
    """
    cost = cost.detach().float()
    return (cost.sum() - cost) / max(cost.numel() - 1, 1)


class RunningBaseline(nn.Module):
    """Keep an exponential mean of the cross-entropy, equal on all ranks, as buffers that a checkpoint holds.

    Call it for the step, then call `update` with the step's costs: so the baseline never depends on the mask it judges.
    The first update sets the mean, so there is no bias toward 0.

    Args:
        decay: Weight of the past, 0 to 1.
    """

    value: Tensor
    started: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise UsageError(f"the decay of a baseline must lie in 0 <= decay < 1, got {decay}; correct it")
        self.decay = decay
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def forward(self, cost: Tensor) -> Tensor:
        """Return what to compare `cost` with: the running mean, or before the first update the batch's other images."""
        return torch.where(self.started, self.value, batch_leave_one_out(cost))

    @torch.no_grad()
    def update(self, cost: Tensor) -> None:
        """Take in the cross-entropies of a step, any shape, with their mean over all ranks."""
        mean = cross_rank_mean(cost.detach().float().mean())
        self.value.copy_(torch.where(self.started, self.value.lerp(mean, 1 - self.decay), mean))
        self.started.fill_(True)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def pathwise_mask(mask: Tensor, direction: Direction = "cooperate", scale: float = 1.0) -> Tensor:
    """Prepare a reparameterised mask so that minimising the cross-entropy alone trains both networks.

    Apply to `sample_beta(..., pathwise=True)`. The mask is unchanged; the gradient that flows back to the policy is
    multiplied by `scale`, and by -1 where the policy opposes the classifier. With the gradient of the loss itself the
    variance is far below that of a score function, since every entry gets its own credit.

    Args:
        mask: Any shape, with gradient to the policy.
        direction: `cooperate`: the policy lowers the cross-entropy; `oppose`: it raises it.
        scale: Weight of the policy's loss beside the classifier's.

    Returns:
        The same values.
    """
    _check_choice("direction", direction, DIRECTIONS)
    return _ScaleGradient.apply(mask, scale if direction == "cooperate" else -scale)


def _entry_scale(reduction: Reduction, entries: int) -> float:
    return {"sum": 1.0, "sqrt": 1 / math.sqrt(entries), "mean": 1 / entries}[reduction]


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, got {value!r}; choose one of them")
