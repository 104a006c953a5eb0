"""Parts of pictures: masks grown by a margin, their parts, and windows around boxes."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Mask


def grown(mask: Mask, margin: int) -> Mask:
    """Return (H, W) `mask` grown by `margin` px in every direction; itself for 0."""
    if margin < 1:
        return mask
    side = 2 * margin + 1
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)).view(np.bool_))


def filled(shape: Mask | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an (H, W) shape with all that it encloses, 0 or 1."""
    outline, _ = cv2.findContours(shape.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros(shape.shape, np.uint8), outline, -1, 1, -1), np.uint8)


def number_parts(mask: Mask | NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Number the parts of a mask; pixels that touch at a corner are of one part.

    Args:
        mask: (H, W) bool, or uint8 with 0 for none.

    Returns:
        (H, W) the number of each pixel's part, 0 for none; (N, 5) x, y, width, height and pixels of every number, 0
        included; (N, 2) their centres x, y.
    """
    # The same numbers as by OpenCV's own choice, in a third of the time where they are of 32 bits.
    _, numbers, boxes, centres = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    return np.asarray(numbers, np.int32), np.asarray(boxes, np.int32), np.asarray(centres, np.float64)


def boxes_of(
    rows: NDArray[np.intp], columns: NDArray[np.intp], numbers: NDArray[np.int32], count: int
) -> NDArray[np.int32]:
    """Return (count, 5) x, y, width, height and pixels of each of `count` parts; 0 for one without pixels.

    Args:
        rows: (N,) rows of pixels.
        columns: (N,) their columns.
        numbers: (N,) the part that each belongs to, below `count`.
        count: Parts.
    """
    boxes = np.zeros((count, 5), np.int32)
    boxes[:, cv2.CC_STAT_AREA] = np.bincount(numbers, minlength=count)
    for axis, places in enumerate((columns, rows)):
        low, high = np.full(count, np.iinfo(np.int32).max), np.full(count, -1)
        np.minimum.at(low, numbers, places)
        np.maximum.at(high, numbers, places)
        held = high >= 0
        boxes[held, axis], boxes[held, axis + 2] = low[held], (high - low + 1)[held]
    return boxes


def window(box: Iterable[int], margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a box (x, y, width, height) and of `margin` px around it, within the picture."""
    x, y, width, height = (int(side) for side in box)
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)
