"""Isolate the field of the scan from what the screen shows around it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Mask

# Screens are black around the field; compression leaves a few grey levels there.
_BLACK: Final = 12
_LEAST_SHARE: Final = 0.08


def find_field(grey: NDArray[np.uint8]) -> Mask:
    """Find the scanned field: the convex hull of the largest bright region after thresholding and morphology.

    Args:
        grey: (H, W) uint8.

    Returns:
        (H, W) bool, True inside the field; all True where no region is large enough to be one.
    """
    smooth = cv2.medianBlur(grey, 5)
    bright = (smooth > _BLACK).astype(np.uint8)
    # Letters and rulers fall to the opening; tissue does not.
    side = max(3, min(grey.shape) // 40) | 1
    solid = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    joined = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((2 * side + 1, 2 * side + 1), np.uint8))
    contours, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.ones(grey.shape, bool)
    largest = cv2.convexHull(max(contours, key=cv2.contourArea))
    field = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(field, largest, 1)
    if field.mean() < _LEAST_SHARE:
        return np.ones(grey.shape, bool)
    return field > 0
