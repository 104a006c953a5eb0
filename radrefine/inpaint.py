"""Fill masked pixels from their surroundings."""

from typing import Final, Literal, get_args

import cv2
import numpy as np

from radrefine.errors import UsageError
from radrefine.records import Image, Mask

Method = Literal["telea", "navier-stokes"]
_FLAGS: Final = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}


def inpaint(image: Image, mask: Mask, *, method: Method = "telea", radius: int = 3) -> Image:
    """Fill the masked pixels of an image; the others keep their values to the bit.

    Works on crops around the holes: a small hole in a large image costs what the hole costs.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        mask: (H, W) bool, True = fill.
        method: `telea` (Telea, Journal of Graphics Tools 2004) or `navier-stokes` (Bertalmio et al., CVPR 2001).
        radius: Neighbourhood in px, 1 or more.

    Returns:
        A new image of the same shape.

    Raises:
        UsageError: The shapes differ, or the method or radius is unknown.
    """
    if mask.shape != image.shape[:2]:
        raise UsageError(f"expected a mask of shape {image.shape[:2]} for the image, got {mask.shape}")
    if method not in _FLAGS:
        raise UsageError(f"unknown fill {method!r}; choose one of {', '.join(get_args(Method))}")
    if radius < 1:
        raise UsageError(f"the fill radius must be 1 px or more, got {radius}")
    filled = image.copy()
    if not mask.any():
        return filled
    margin = 2 * radius + 2
    holes = cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=8)
    for x, y, width, height, _ in stats[1:count]:
        crop = slice(y, y + height), slice(x, x + width)
        hole = mask[crop]
        result = cv2.inpaint(np.ascontiguousarray(image[crop]), hole.astype(np.uint8), radius, _FLAGS[method])
        filled[crop][hole] = result[hole]
    return filled
