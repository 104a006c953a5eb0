"""White ink that the network is unsure of: what stands far above all around it is drawn, for speckle fades at its rim.

Of a tick that the border cuts off a row or two are left, and of a solid triangle the network may see the rim alone.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import grown, number_parts, window
from radrefine.artifacts.colours import to_grey
from radrefine.records import Image

# White ink, grey levels.
_WHITE: Final = 220
# It is at most this long, px.
_LONG: Final = 48
# It is brighter by this much than all that lies up to so many px away from it, its soft rim left out.
_STEP: Final = 64
_AWAY: Final = 4
# So many grey levels of that weigh as much as one logit of the network's; together they must speak for ink.
_LEVELS: Final = 16.0
# What the network gives less than this is not looked at, nor what it drew whole and is surer of than that.
_POSSIBLE: Final = -6.0
_SURE: Final = 2.0
# The logit that its pixels are raised to, and how far above the level of marks those of its soft rim are, 1 px wide.
_RAISED: Final = 3.0
_SOFT: Final = 0.5


def complete_vivid(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of small white marks that the network is unsure of.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; `logits` itself where nothing was raised.
    """
    grey = to_grey(image)
    white = np.asarray(cv2.threshold(grey, _WHITE - 1, 255, cv2.THRESH_BINARY)[1], np.uint8)
    doubtful = cv2.bitwise_and(white, cv2.inRange(logits, _POSSIBLE, _SURE))
    if not doubtful.any():
        return logits
    part = window(cv2.boundingRect(doubtful), _LONG + _AWAY)
    grey, seen = grey[part], logits[part]
    raised = logits
    labels, boxes, _ = number_parts(white[part])
    for number in np.unique(labels[doubtful[part] > 0]):
        if boxes[number, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max() > _LONG:
            continue
        near = window(boxes[number, : cv2.CC_STAT_AREA], _AWAY)
        ink = labels[near] == number
        apart = grown(ink, _AWAY) & ~grown(ink, 1)
        step = int(grey[near].max(where=ink, initial=0)) - int(grey[near].max(where=apart, initial=0))
        values = seen[near][ink]
        drawn = values.max() > _SURE and values.min() > least
        if drawn or step < _STEP or values.max() + step / _LEVELS < 0:
            continue
        if raised is logits:
            raised = logits.copy()
        level = np.where(ink, np.float32(_RAISED), np.float32(least + _SOFT))
        np.maximum(raised[part][near], level, out=raised[part][near], where=grown(ink, 1))
    return raised
