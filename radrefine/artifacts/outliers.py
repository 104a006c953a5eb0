"""Check a refined image for what was left over: marks left in place, doubtful regions, bright rims of the fill."""

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np

from radrefine.artifacts.response import measure_thin
from radrefine.records import Finding, Image, Mask

# Grey levels by which a pixel beside a hole stands out when a stroke was filled in part only, and the number of such
# pixels that gives a score of 0.5.
_LEFT_RISE: Final = 50
_USUAL_COUNT: Final = 12


def residual_score(image: Image, mask: Mask, doubt: float, left: Iterable[Finding] = ()) -> float:
    """Score how likely a refined image still holds a mark.

    Args:
        image: The refined image.
        mask: (H, W) bool, the pixels that were replaced.
        doubt: How much that which looks most like a mark, among what was not found, does so; 0 to 1.
        left: Marks that were found and left in place although their kind was to be removed.

    Returns:
        0 to 1: the highest of the doubt, of the scores of marks left in place, and of the score of bright pixels around
        the holes.
    """
    return max([doubt, _rim_score(image, mask), *(found.score for found in left)])


def _rim_score(image: Image, mask: Mask) -> float:
    if not mask.any():
        return 0.0
    holes = mask.astype(np.uint8)
    rim = cv2.subtract(cv2.dilate(holes, np.ones((5, 5), np.uint8)), holes)
    count = int(np.count_nonzero(measure_thin(image)[rim > 0] >= _LEFT_RISE))
    return count / (count + _USUAL_COUNT)
