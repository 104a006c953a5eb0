"""Take areas whole of which a part was found."""

import numpy as np
from numpy.typing import NDArray

from radrefine.records import Mask


def partly_found(numbers: NDArray[np.int32], sizes: NDArray[np.int32], found: Mask, share: float) -> Mask:
    """Tell of each area whether at least this share of it, but not all of it, was found.

    Args:
        numbers: (H, W), the number of each pixel's area, 0 for none.
        sizes: (N,) pixels of each number.
        found: (H, W) bool.
        share: From 0 to 1.

    Returns:
        (N,) bool, False for number 0.
    """
    covered = np.bincount(numbers[found], minlength=len(sizes))
    partly = (covered > 0) & (covered >= share * sizes) & (covered < sizes)
    partly[0] = False
    return np.asarray(partly)


def found_level(
    logits: NDArray[np.float32], numbers: NDArray[np.int32], found: Mask, areas: Mask
) -> NDArray[np.float32]:
    """Return, within some areas, the mean logit of the part of each that was found; elsewhere minus infinity.

    Args:
        logits: (H, W) float32, of "mark".
        numbers: (H, W), the number of each pixel's area, 0 for none.
        found: (H, W) bool.
        areas: (N,) bool, which areas; a part of each was found.

    Returns:
        (H, W) float32.
    """
    inside = numbers[found]
    covered = np.bincount(inside, minlength=len(areas))
    mean = np.bincount(inside, logits[found], minlength=len(areas)) / np.maximum(covered, 1)
    return np.where(areas, mean, -np.inf).astype(np.float32)[numbers]
