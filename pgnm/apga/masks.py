"""Masks that are not learned: Cutout, Grad-CAM and Otsu, and the warm start of the agent from the last."""

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from pgnm.errors import UsageError

_BINS: Final = 256


def cutout_mask(
    batch: int,
    size: tuple[int, int],
    length: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Erase one square per image (DeVries & Taylor 2017, arXiv 1708.04552).

    The centre is uniform over the image, so a square may reach over the border and erase less.

    Args:
        batch: Number of images.
        size: Height and width, px.
        length: Side of the square, px.
        generator: Source of the centres, drawn on its device.
        device: Where the mask lives.

    Returns:
        (B, 1, H, W) float32, 1 = keep, 0 = erased.
    """
    source = torch.device(device) if generator is None else generator.device
    centre = torch.rand(2, batch, 1, generator=generator, device=source).to(device)
    inside = []
    for axis, extent in enumerate(size):
        offset = torch.arange(extent, device=device) - (centre[axis] * extent).floor()
        inside.append((offset >= -(length // 2)) & (offset < length - length // 2))
    return 1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor | None = None) -> Tensor:
    """Compute Grad-CAM maps on a timm model's last feature map (Selvaraju et al. 2017, arXiv 1610.02391).

    Args:
        model: A timm classifier, in evaluation mode for repeatable maps.
        images: (B, 3, H, W), normalised.
        targets: (B,) classes to explain; None for the predicted ones.

    Returns:
        (B, 1, H, W) float32, each image's map scaled to a maximum of 1, or all 0 where nothing speaks for the class.

    Raises:
        UsageError: For a model without a spatial feature map.
    """
    timm_model: Any = model
    with torch.enable_grad():
        features = timm_model.forward_features(images)
        if features.ndim != 4:
            raise UsageError(
                f"Grad-CAM needs a model whose features have shape (B, C, H, W), got {tuple(features.shape)}; "
                "take a convolutional one such as resnet10t"
            )
        features = features.detach().requires_grad_()
        logits = timm_model.forward_head(features)
        chosen = logits.argmax(dim=1) if targets is None else targets
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), features)
    # Some models keep the channels last: (B, H, W, C).
    spatial = (1, 2) if features.shape[1] != timm_model.num_features == features.shape[-1] else (2, 3)
    channel = 3 if spatial == (1, 2) else 1
    weights = gradient.float().mean(dim=spatial, keepdim=True)
    heat = (weights * features.detach().float()).sum(dim=channel).clamp_min(0).unsqueeze(1)
    heat = interpolate(heat, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return heat / heat.amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def grad_cam_mask(model: nn.Module, images: Tensor, targets: Tensor | None = None, *, threshold: float = 0.5) -> Tensor:
    """Keep what a frozen baseline's Grad-CAM map marks: 1 where it reaches `threshold` of its maximum.

    An image whose map is 0 everywhere is kept whole.

    Args:
        model: See `grad_cam`.
        images: (B, 3, H, W), normalised.
        targets: (B,), or None for the predicted classes.
        threshold: Share of the maximum, 0 to 1.

    Returns:
        (B, 1, H, W) float32 of zeros and ones.
    """
    heat = grad_cam(model, images, targets)
    silent = heat.amax(dim=(1, 2, 3), keepdim=True) == 0
    return ((heat >= threshold) | silent).float()


@torch.no_grad()
def otsu_foreground(images: Tensor) -> Tensor:
    """Mark each image's foreground: pixels above its own Otsu threshold (Otsu 1979), all images at once.

    Args:
        images: (B, C, H, W), any scale; the channel mean is thresholded.

    Returns:
        (B, 1, H, W) float32 of zeros and ones; zeros for a constant image.
    """
    grey = images.float().mean(dim=1).flatten(1)
    low, high = grey.amin(dim=1, keepdim=True), grey.amax(dim=1, keepdim=True)
    scaled = (grey - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    bins = (scaled * _BINS).long().clamp_max(_BINS - 1)
    exact = torch.float32 if images.device.type == "mps" else torch.float64  # MPS knows no float64
    counts = torch.zeros(len(grey), _BINS, device=images.device, dtype=exact)
    counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=exact))
    levels = torch.arange(_BINS, device=images.device, dtype=exact)
    below = counts.cumsum(1)
    above = below[:, -1:] - below
    sum_below = (counts * levels).cumsum(1)
    mean_below = sum_below / below.clamp_min(1)
    mean_above = (sum_below[:, -1:] - sum_below) / above.clamp_min(1)
    best = (below * above * (mean_below - mean_above) ** 2).argmax(dim=1, keepdim=True)
    marked = (bins > best) & (high > low)
    return marked.float().view(len(images), 1, *images.shape[-2:])


def warm_start_loss(logits: Tensor, images: Tensor, confidence: float = 0.8) -> Tensor:
    """Compute how far the agent is from the Otsu foreground, nats per pixel; arguments as in `warm_start`."""
    target = (1 - confidence) + (2 * confidence - 1) * otsu_foreground(images)
    return binary_cross_entropy_with_logits(logits, target)


def warm_start(
    agent: nn.Module, batches: Iterable[Tensor], optimizer: torch.optim.Optimizer, *, confidence: float = 0.8
) -> list[float]:
    """Teach the agent to agree with the Otsu foreground, which needs no labels.

    The authors start from weights trained for car segmentation, which are not to be had; an agent that begins with
    random weights marks all or nothing and earns no reward that could teach it.

    Args:
        agent: Maps images to (B, 1, H, W) logits.
        batches: Normalised images (B, 3, H, W), as many batches as steps are wanted.
        optimizer: Steps the agent.
        confidence: P that is taught for the foreground, and 1 - P for the background, 0.5 to 1. An agent that is
            certain explores nothing.

    Returns:
        The loss of every step, nats per pixel.
    """
    losses = []
    for images in batches:
        loss = warm_start_loss(agent(images), images, confidence)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [float(loss) for loss in losses]
