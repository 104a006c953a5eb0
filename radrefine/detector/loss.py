"""The loss of the mark detector."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from radrefine.artifacts.learned.network import KIND_STEP

# Most pixels are easy and their mean is small beside the overlap, which is one number for the whole batch.
_ENTROPY_WEIGHT: Final = 5.0
_KIND_WEIGHT: Final = 0.5


def mark_loss(marks: Tensor, kind_logits: Tensor, kinds: Tensor, weights: Tensor) -> Tensor:
    """Return cross-entropy plus soft Dice of the marks, plus cross-entropy of their kinds.

    Args:
        marks: (B, H, W) logits of "mark".
        kind_logits: (B, K, H / 4, W / 4) logits of the kinds.
        kinds: (B, H, W) uint8, 0 = none, else 1 + index of the kind.
        weights: (B, H, W) float, how much a pixel counts; 0 leaves it out.
    """
    true = (kinds > 0).float()
    entropy = functional.binary_cross_entropy_with_logits(marks, true, weights, reduction="sum") / weights.sum()
    found = torch.sigmoid(marks) * weights
    overlap = 2 * (found * true).sum() + 1
    dice = 1 - overlap / (found.sum() + (true * weights).sum() + 1)
    coarse = functional.max_pool2d(kinds.float()[:, None], KIND_STEP)[:, 0].long()
    # Without any mark in the batch the mean over nothing would be nan.
    if not bool((coarse > 0).any()):
        return _ENTROPY_WEIGHT * entropy + dice
    kind = functional.cross_entropy(kind_logits, coarse - 1, ignore_index=-1)
    return _ENTROPY_WEIGHT * entropy + dice + _KIND_WEIGHT * kind
