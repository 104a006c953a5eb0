"""Plain and aided prediction, the choice between them, and overlays of masks to look at."""

from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pgnm.apga.agent import choose_action, keep
from pgnm.errors import UsageError
from pgnm.files import write_bytes

Inference = Literal["plain", "aided"]

_OUTLINE: Final = (255, 64, 64)


@torch.no_grad()
def predict_both(classifier: nn.Module, agent: nn.Module, images: Tensor, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Predict from the image alone, and from the image together with what the agent keeps of it.

    Args:
        classifier: Maps images to (B, classes); in evaluation mode.
        agent: Maps images to (B, 1, H, W) logits; in evaluation mode.
        images: (B, 3, H, W), normalised.
        fill: What erased pixels become, see `pgnm.apga.agent.keep`.

    Returns:
        Two float32 tensors (B, classes) of probabilities: plain, and the mean of the plain and the aiding image's.
    """
    plain = classifier(images).float().softmax(dim=1)
    aiding = classifier(keep(images, choose_action(agent(images)), fill)).float().softmax(dim=1)
    return plain, (plain + aiding) / 2


class AidedClassifier(nn.Module):
    """A classifier that predicts from the plain and the aiding image together, in place of the plain one alone.

    Args:
        classifier: Maps images to (B, classes).
        agent: Maps images to (B, 1, H, W) logits.
        fill: What erased pixels become, see `pgnm.apga.agent.keep`.
    """

    def __init__(self, classifier: nn.Module, agent: nn.Module, fill: float = 0.0) -> None:
        super().__init__()
        self.classifier, self.agent, self.fill = classifier, agent, fill

    def forward(self, images: Tensor) -> Tensor:
        """Return the logarithm of the aided probabilities, (B, classes), whose softmax they are."""
        aided = predict_both(self.classifier, self.agent, images, self.fill)[1]
        return aided.clamp_min(torch.finfo(aided.dtype).tiny).log()


def choose_inference(targets: Tensor, plain: Tensor, aided: Tensor) -> Inference:
    """Choose between plain and aided prediction by accuracy; call it on validation, report on test.

    The paper takes the better of the two and does not say on which images; a choice on the test images would flatter.

    Args:
        targets: (N,) int64.
        plain: (N, classes) probabilities.
        aided: (N, classes) probabilities.

    Returns:
        `aided` where it is right more often, otherwise `plain`.
    """
    right = [(p.argmax(dim=1) == targets).sum().item() for p in (plain, aided)]
    return "aided" if right[1] > right[0] else "plain"


def overlay_mask(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw a mask on an image: what is not marked at half brightness, and a red outline.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, True = marked.

    Returns:
        (H, W, 3) RGB uint8.
    """
    if image.shape[:2] != mask.shape:
        raise UsageError(f"mask and image must have one size, got {mask.shape} and {image.shape[:2]}; resize the mask")
    colour = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image
    drawn = np.where(mask[..., None], colour, colour // 2)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.ascontiguousarray(drawn), contours, -1, _OUTLINE, 1), dtype=np.uint8)


def save_overlays(folder: Path, images: Tensor, masks: Tensor, names: list[str], mean: float, std: float) -> list[Path]:
    """Write one PNG per image with its mask drawn on it.

    Args:
        folder: Where the files go; made when missing.
        images: (B, 3, H, W), normalised with `mean` and `std`.
        masks: (B, 1, H, W), above 0.5 = marked.
        names: File names without suffix, one per image.
        mean: Mean of the intensities, in [0, 1].
        std: Standard deviation of the intensities.

    Returns:
        The paths written.
    """
    pixels = (images.float().cpu() * std + mean).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    marked = (masks[:, 0] > 0.5).cpu().numpy()
    paths = []
    for image, mask, name in zip(pixels, marked, names, strict=True):
        drawn = overlay_mask(image, mask)
        ok, data = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        if not ok:
            raise UsageError(f"{name} cannot be written as PNG, got shape {drawn.shape}; check the image size")
        paths.append(folder / f"{name}.png")
        write_bytes(paths[-1], data.tobytes())
    return paths
