"""The agent: a U-Net that gives one logit per pixel, its action, and the images that a mask makes."""

import json
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pgnm.errors import RunError, UsageError
from pgnm.files import atomic_path

ActionKind = Literal["threshold", "bernoulli"]


class MaskAgent(nn.Module):
    """Give a logit per pixel, as U-Net over any timm encoder with features at several scales.

    With `vgg11` it follows the paper's TernausNet-11: skips of 64 to 512 channels at strides 1 to 32, a convolution
    with ReLU per scale on the way up, no normalisation in the decoder. Every other encoder gets the same decoder; where
    its first features are coarser than the image, the logits are enlarged bilinearly.

    Args:
        encoder: Name of the timm model, such as `vgg11`, `vgg11_bn` or `resnet10t`.
        width: Channels of the decoder at the finest scale; doubled at each coarser one, up to 256.
        cell: Side of the squares that share one logit, px; 1 as published. Erasing one pixel tells the classifier next
            to nothing, so a stochastic action learns far faster in squares of a few pixels.
        pretrained: Start the encoder from timm's ImageNet weights (needs the network or a cache).
    """

    def __init__(self, encoder: str = "vgg11", *, width: int = 32, cell: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        if width < 1 or cell < 1:
            raise UsageError(f"the agent's width and cell must be at least 1, got {width} and {cell}; correct them")
        self.encoder_name, self.width, self.cell = encoder, width, cell
        try:
            features: Any = timm.create_model(encoder, features_only=True, pretrained=pretrained)
        except (RuntimeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"the agent's encoder must be a timm model with features at several scales, got {encoder!r} ({error}); "
                "try vgg11 or resnet10t"
            ) from None
        self.encoder: nn.Module = features
        channels = features.feature_info.channels()
        self.stride = int(features.feature_info.reduction()[-1])
        widths = [min(width * 2**level, 256) for level in range(len(channels) - 1)]
        below = [*widths[1:], channels[-1]]
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(deep + skip, out, 3, padding=1), nn.ReLU(inplace=True))
            for deep, skip, out in zip(below, channels, widths, strict=False)
        )
        self.logit = nn.Conv2d(width, 1, 1)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this agent again, ready for JSON."""
        return {"encoder": self.encoder_name, "width": self.width, "cell": self.cell}

    def check_size(self, size: int) -> None:
        """Refuse images whose smaller side, px, is below what the encoder can reduce."""
        if size < self.stride:
            raise UsageError(
                f"the encoder {self.encoder_name} needs images of at least {self.stride} px, got {size}; raise --size"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of P, the probability that a pixel is marked.

        Args:
            images: (B, 3, H, W), normalised as for the classifier; each side at least the encoder's last stride.

        Returns:
            (B, 1, H, W) float32, also under autocast.

        Raises:
            UsageError: For images smaller than the encoder can reduce.
        """
        self.check_size(min(images.shape[-2:]))
        *skips, deep = self.encoder(images)
        for skip, block in zip(reversed(skips), reversed(self.decoder), strict=True):
            deep = nn.functional.interpolate(deep, size=skip.shape[-2:], mode="nearest")
            deep = block(torch.cat([deep, skip], dim=1))
        logits = self.logit(deep).float()
        if logits.shape[-2:] != images.shape[-2:]:
            logits = nn.functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return logits if self.cell == 1 else _share_logits(logits, self.cell)


def _share_logits(logits: Tensor, cell: int) -> Tensor:
    """Give every square of `cell` px the mean of its logits; squares at the right and lower border may be cut."""
    mean = nn.functional.avg_pool2d(logits, cell, ceil_mode=True, count_include_pad=False)
    large = mean.repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
    return large[..., : logits.shape[-2], : logits.shape[-1]]


@torch.no_grad()
def choose_action(logits: Tensor, kind: ActionKind = "threshold", generator: torch.Generator | None = None) -> Tensor:
    """Turn logits into the action: a binary mask.

    Args:
        logits: (B, 1, H, W).
        kind: `threshold`: 1 where P > 0.5, as published, which explores only while P crosses one half; `bernoulli`: 1
            with probability P, an exploring action whose log-probability is minus the agent's cross-entropy.
        generator: Source of the Bernoulli draws, made on its device.

    Returns:
        (B, 1, H, W) float32 of zeros and ones, 1 = marked; without gradient.
    """
    if kind == "threshold":
        return (logits > 0).float()
    source = logits.device if generator is None else generator.device
    uniform = torch.rand(logits.shape, generator=generator, device=source).to(logits.device)
    return (uniform < logits.sigmoid()).float()


def save_agent(path: Path, agent: MaskAgent) -> None:
    """Write the agent's weights with safetensors; its settings travel in the header."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in agent.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", "agent": json.dumps(agent.settings())})


def load_agent(path: Path) -> MaskAgent:
    """Read an agent that `save_agent` wrote, on the CPU, in evaluation mode.

    Raises:
        RunError: There is no such file, or it holds no agent.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing; expected the policy.safetensors of a run with --policy apga")
    try:
        with safe_open(path, "pt") as file:
            settings = json.loads((file.metadata() or {})["agent"])
        agent = MaskAgent(**settings)
        agent.load_state_dict(load_file(path))
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise RunError(
            f"{path} holds no agent or is damaged ({error}); give the policy.safetensors of a run with --policy apga"
        ) from None
    return agent.eval()


def black_level(mean: float, std: float) -> float:
    """Return what intensity 0 in [0, 1] becomes after normalising with `mean` and `std`."""
    return -mean / std


def keep(images: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
    """Keep what `mask` marks and fill the rest: with mask `a` the aiding, with `1 - a` the adversarial image.

    Args:
        images: (B, C, H, W).
        mask: (B, 1, H, W) in [0, 1], 1 = keep; the same for every channel.
        fill: What erased pixels become; for normalised images `black_level(mean, std)`, so that it is intensity 0.

    Returns:
        (B, C, H, W).
    """
    return fill + (images - fill) * mask
