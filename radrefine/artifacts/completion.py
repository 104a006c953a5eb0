"""Take areas whole of which a part was found; and tell ink from echoes by how it stands out."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image, Mask

_NEXT: Final = np.ones((3, 3), np.uint8)
_ASIDE: Final = np.ones((5, 5), np.uint8)
_AROUND: Final = 0.9


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


def clearance(grey: Image, ink: Mask, shape: Mask, own: Mask | None = None) -> float:
    """Return by how many grey levels ink is brighter than nine tenths of what lies two pixels off the rim of a shape.

    Speckle fades at its rim, ink ends.

    Args:
        grey: (H, W) uint8, with 2 px around the shape where the picture has them.
        ink: (H, W) bool, whose median is compared.
        shape: (H, W) bool, that with what it encloses, say.
        own: (H, W) bool, what beside the shape is left out of the comparison.

    Returns:
        -255 to 255; 0 where nothing lies around it.
    """
    solid = shape.view(np.uint8)
    around = cv2.dilate(solid, _ASIDE) > cv2.dilate(solid, _NEXT)
    if own is not None:
        around &= ~own
    if not around.any():
        return 0.0
    # Not quite the quantiles of NumPy, which take ten times as long.
    inside, outside = np.sort(grey[ink]), np.sort(grey[around])
    return float(inside[len(inside) // 2]) - float(outside[int(_AROUND * (len(outside) - 1))])
