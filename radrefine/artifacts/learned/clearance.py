"""Tell ink from echoes: speckle fades at its rim, ink ends."""

from typing import Final

import cv2
import numpy as np

from radrefine.records import Image, Mask

_NEXT: Final = np.ones((3, 3), np.uint8)
_ASIDE: Final = np.ones((5, 5), np.uint8)
_AROUND: Final = 0.9


def clearance(grey: Image, ink: Mask, shape: Mask, own: Mask | None = None) -> float:
    """Return by how many grey levels ink is brighter than nine tenths of what lies two pixels off the rim of a shape.

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
