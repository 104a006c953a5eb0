"""The policy network: image-level and dataset-level log-shapes of the mask's Beta distributions.

Equation numbers are those of the PGNM paper (Yavuz & Yang, ICPR 2024, arXiv 2406.14568).
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import timm
import torch
import torch.distributed
from torch import Tensor, nn

from pgnm.errors import UsageError
from pgnm.models import has_fixed_size
from pgnm.noise import LOG_SHAPE_BOUND, beta_entropy, bound_log_shapes

PAPER_MU: Final = 0.9
"""The decay of the dataset-level shapes that the paper's text names; the released code, and our default, use 0.99."""

_DESCRIBED: Final = 10_000
"""About so many entries of a batch are described; all of a grid of 64 would cost as much as drawing the mask."""

InitialShapes = Literal["normal", "uniform"]


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """What the policy says of a batch.

    Attributes:
        log_alpha: (B, K) float32, bounded image-level log-shapes `a_i`, with gradient.
        log_beta: (B, K) float32, `b_i`.
        head_alpha: (1, K) float32, mean of the alpha head over the batch, without gradient; feeds the dataset level.
        head_beta: (1, K) float32, the same of the beta head.
    """

    log_alpha: Tensor
    log_beta: Tensor
    head_alpha: Tensor
    head_beta: Tensor


class NoisePolicy(nn.Module):
    """Map images to the log-shapes of K = grid * grid Beta distributions each.

    A step uses the dataset-level shapes as they stand and moves them afterwards::

        output = policy(images)                      # Eq 2, 12-13
        mask = sample_beta(output.log_alpha, output.log_beta, generator)
        ...
        policy.update_dataset_shapes(output)         # Eq 10-11

    Each head is evaluated once per step, so its batch-norm statistics move once. Everything that changes is a parameter
    or a buffer, so `state_dict()` can be written with safetensors and holds all that resuming needs.

    Args:
        grid: Mask entries along each side.
        model: Name of the timm model that extracts features; never pretrained, its head removed.
        lam: Weight of the dataset-level shapes in Eq 2, 0 to 1.
        mu: Decay of the dataset-level shapes in Eq 10-11, 0 to 1; the released code has 0.99, the paper's text
            `PAPER_MU`.
        initial_shapes: First dataset-level log-shapes: standard `normal` (paper) or `uniform` on 0 to 1 (released
            code).
        generator: Source of the first dataset-level shapes; None for torch's default. The layers always start from
            torch's default generator.
    """

    a0: Tensor
    b0: Tensor

    def __init__(
        self,
        grid: int,
        model: str = "resnet10t",
        *,
        lam: float = 0.9,
        mu: float = 0.99,
        initial_shapes: InitialShapes = "normal",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_options(grid, lam, mu, initial_shapes)
        self.grid, self.model, self.lam, self.mu, self.initial_shapes = grid, model, lam, mu, initial_shapes
        if has_fixed_size(model, "--policy-model"):
            raise UsageError(f"--policy-model {model} is built for one size of images; take one such as resnet10t")
        features: Any = timm.create_model(model, pretrained=False, num_classes=0)
        self.features: nn.Module = features
        self.feature_dim = int(getattr(features, "head_hidden_size", None) or features.num_features)
        self.head_alpha = _head(self.feature_dim, grid * grid)
        self.head_beta = _head(self.feature_dim, grid * grid)
        draw = torch.randn if initial_shapes == "normal" else torch.rand
        self.register_buffer("a0", bound_log_shapes(draw(1, grid * grid, generator=generator)))
        self.register_buffer("b0", bound_log_shapes(draw(1, grid * grid, generator=generator)))

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this policy again, ready for JSON."""
        return {
            "grid": self.grid,
            "model": self.model,
            "lam": self.lam,
            "mu": self.mu,
            "initial_shapes": self.initial_shapes,
        }

    def forward(self, images: Tensor) -> PolicyOutput:
        """Compute the image-level log-shapes of a batch (Eq 2, 12-13).

        Args:
            images: (B, 3, H, W), normalised as for the classifier; in training B is at least 2, for batch norm.

        Returns:
            The log-shapes in float32, also under autocast.

        Raises:
            UsageError: For a batch of one image in training.
        """
        if self.training and len(images) < 2:
            raise UsageError("the policy needs at least 2 images per step for batch norm, got 1; raise --batch-size")
        features = self.features(images)
        alpha, beta = self.head_alpha(features).float(), self.head_beta(features).float()
        return PolicyOutput(
            log_alpha=bound_log_shapes(self.lam * self.a0 + (1 - self.lam) * alpha),
            log_beta=bound_log_shapes(self.lam * self.b0 + (1 - self.lam) * beta),
            head_alpha=alpha.detach().mean(0, keepdim=True),
            head_beta=beta.detach().mean(0, keepdim=True),
        )

    @torch.no_grad()
    def update_dataset_shapes(self, output: PolicyOutput) -> None:
        """Move the dataset-level log-shapes toward the mean of the heads (Eq 10-11); call once, after their use.

        Where torch.distributed is initialised the mean runs over all ranks, which must hold equally many images each;
        every rank then keeps the same shapes. The result is bounded like the image level.

        Args:
            output: What `forward` returned for this step.
        """
        mean = cross_rank_mean(torch.stack([output.head_alpha, output.head_beta]))
        self.a0.lerp_(mean[0], 1 - self.mu).clamp_(-LOG_SHAPE_BOUND, LOG_SHAPE_BOUND)
        self.b0.lerp_(mean[1], 1 - self.mu).clamp_(-LOG_SHAPE_BOUND, LOG_SHAPE_BOUND)

    def dataset_shapes(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return the dataset-level log-shapes alone, (batch, K) each, as evaluation on noisy input uses them."""
        return self.a0.expand(batch, -1), self.b0.expand(batch, -1)


def cross_rank_mean(value: Tensor) -> Tensor:
    """Average a tensor over all ranks where torch.distributed is initialised; elsewhere return it unchanged.

    Args:
        value: Any shape, without gradient, the same shape on every rank.

    Returns:
        The mean, the same on every rank.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


@torch.no_grad()
def describe_policy(output: PolicyOutput) -> dict[str, Tensor]:
    """Summarise a policy's output for the log, without waiting for the device.

    Args:
        output: What `NoisePolicy.forward` returned; of large batches about 10,000 entries are looked at.

    Returns:
        Scalars by column name: quantiles 0.05, 0.5 and 0.95 of alpha and beta, `policy_entropy` (mean over entries,
        nats) and `share_at_bound` (share of log-shapes at the bound, 0 to 1).
    """
    columns: dict[str, Tensor] = {}
    # An odd step meets every column of a grid whose side is even.
    step = output.log_alpha.numel() // _DESCRIBED | 1
    log_alpha, log_beta = (log_shapes.flatten()[::step] for log_shapes in (output.log_alpha, output.log_beta))
    for name, log_shapes in (("alpha", log_alpha), ("beta", log_beta)):
        ordered = log_shapes.sort().values
        for percent in (5, 50, 95):
            columns[f"{name}_p{percent:02d}"] = ordered[(len(ordered) - 1) * percent // 100].exp()
    columns["policy_entropy"] = beta_entropy(log_alpha, log_beta).mean()
    both = torch.stack([log_alpha, log_beta])
    columns["share_at_bound"] = (both.abs() >= LOG_SHAPE_BOUND).float().mean()
    return columns


def _head(features: int, entries: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, features),
        nn.BatchNorm1d(features),
        nn.ReLU(),
        nn.Linear(features, features),
        nn.BatchNorm1d(features),
        nn.ReLU(),
        nn.Linear(features, entries),
    )


def _check_options(grid: int, lam: float, mu: float, initial_shapes: str) -> None:
    if grid < 1:
        raise UsageError(f"--grid must be at least 1, got {grid}; choose a larger grid")
    for name, value in (("lam", lam), ("mu", mu)):
        if not 0 <= value <= 1:
            raise UsageError(f"{name} must lie between 0 and 1, got {value}; correct it in the recipe")
    if initial_shapes not in ("normal", "uniform"):
        raise UsageError(f"initial_shapes must be normal or uniform, got {initial_shapes!r}; choose one of them")
