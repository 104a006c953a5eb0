"""Parts of pictures: masks grown by a margin, and windows around boxes."""

from collections.abc import Iterable

import cv2
import numpy as np

from radrefine.records import Mask


def grown(mask: Mask, margin: int) -> Mask:
    """Return (H, W) `mask` grown by `margin` px in every direction; itself for 0."""
    if margin < 1:
        return mask
    side = 2 * margin + 1
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)).view(np.bool_))


def window(box: Iterable[int], margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a box (x, y, width, height) and of `margin` px around it, within the picture."""
    x, y, width, height = (int(side) for side in box)
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)
