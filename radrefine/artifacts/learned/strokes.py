"""Bright strokes of which a part was found, and letters in line with them: too large, or stretched, for the network."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import number_parts, window
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.learned.clearance import clearance
from radrefine.records import Image, Mask

# Strokes are at least this bright, and this large, px.
_BRIGHT: Final = 120
_SMALLEST: Final = 40
# At least this share of one was found, and no more than that: rims are decided about elsewhere.
_LEAST, _MOST = 0.05, 0.9
# What was not found stands so many grey levels clear of all but the stroke; an echo that a mark touches does not.
_CLEAR: Final = 100
_APART: Final = 2
# Letters in line are at least this high, px, begin and end as high as each other but for this share of their height,
# and are no farther apart than they are high.
_HIGH: Final = 10
_UNEVEN: Final = 1 / 16
# Logit that they are raised to: strokes of a pixel or two are all rim, and must not be taken for doubtful there.
_RAISED: Final = 3.0


def complete_strokes(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of bright strokes of which a part was found, and of letters beside them.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; `logits` itself where nothing was raised.
    """
    found = logits > least
    grey = to_grey(image)
    bright = np.asarray(cv2.threshold(grey, _BRIGHT - 1, 1, cv2.THRESH_BINARY)[1], np.uint8)
    if not (found & (bright > 0)).any():
        return logits
    numbers, boxes, _ = number_parts(bright)
    sizes = np.maximum(boxes[:, cv2.CC_STAT_AREA], 1)
    share = np.bincount(numbers[found], minlength=len(boxes)) / sizes
    large = sizes >= _SMALLEST
    large[0] = False

    def clear(candidates: Mask) -> Mask:
        """Tell of which candidates the rest stands clear of what is around it."""
        result = np.zeros(len(boxes), bool)
        for number in np.flatnonzero(candidates).tolist():
            place = window(boxes[number, : cv2.CC_STAT_AREA], _APART)
            own = numbers[place] == number
            rest = own & ~found[place]
            result[number] = clearance(grey[place], rest, rest, own) >= _CLEAR
        return result

    raised = clear(large & (share >= _LEAST) & (share <= _MOST))
    taken = raised | (large & (share > _MOST))
    left = large & ~taken
    while taken.any():
        beside = left & _in_line(boxes, taken)
        left &= ~beside
        taken = clear(beside)
        raised |= taken
    if not raised.any():
        return logits
    return np.where(raised[numbers], np.maximum(logits, np.float32(_RAISED)), logits)


def _in_line(boxes: NDArray[np.int32], taken: Mask) -> Mask:
    """Tell which parts stand in one line of letters with one of those that are taken.

    Args:
        boxes: (N, 5) x, y, width, height and size of each part, px.
        taken: (N,) bool.
    """
    left, top = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    height = boxes[:, cv2.CC_STAT_HEIGHT]
    right, bottom = left + boxes[:, cv2.CC_STAT_WIDTH], top + height
    aligned = np.zeros(len(boxes), bool)
    for number in np.flatnonzero(taken & (height >= _HIGH)).tolist():
        uneven = max(1.0, _UNEVEN * height[number])
        level = (abs(top - top[number]) <= uneven) & (abs(bottom - bottom[number]) <= uneven)
        apart = np.maximum(left - right[number], left[number] - right)
        aligned |= level & (apart <= height[number])
    return aligned
