"""Coloured ink on grey pictures: frames, coloured text and lines. Tissue has no colour, flow is no thin line."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.completion import found_level, partly_found
from radrefine.artifacts.response import channel_range
from radrefine.records import Image

# Ink differs this much between its channels; a picture in which more than this share of the pixels does is coloured
# itself, by a tint or by flow.
_INK: Final = 10
_LARGEST: Final = 0.15
# Coding spreads the colour of a line to its sides: only the pixels near the strongest one around are the line.
_RIDGE: Final = 0.6
_AROUND: Final = np.ones((5, 5), np.uint8)
# What holds a square of this side, px, is no line: flow, or a bar of colours.
_THICK: Final = np.ones((7, 7), np.uint8)
# Pieces of a line are joined over the gaps that this square spans.
_GAP: Final = np.ones((3, 3), np.uint8)
# A line is taken whole when this share of it was found.
_SHARE: Final = 0.2


def complete_coloured(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of coloured lines and letters of which a part was found to the mean of that part.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; the same where the picture is grey or coloured all over.
    """
    if image.ndim == 2:
        return logits
    colour = cv2.subtract(*channel_range(image))
    inked = cv2.threshold(colour, _INK - 1, 255, cv2.THRESH_BINARY)[1]
    if not 0 < cv2.countNonZero(inked) <= _LARGEST * colour.size:
        return logits
    found = logits > least
    if not found[inked > 0].any():
        return logits
    strongest = cv2.dilate(colour, _AROUND)
    thick = cv2.morphologyEx(inked, cv2.MORPH_OPEN, _THICK)
    line = np.asarray((inked > 0) & (thick == 0) & (colour >= _RIDGE * strongest))
    count, joined = cv2.connectedComponents(cv2.dilate(line.view(np.uint8), _GAP), connectivity=8)
    numbers = np.where(line, joined, 0).astype(np.int32)
    taken = partly_found(numbers, np.bincount(numbers.ravel(), minlength=count).astype(np.int32), found, _SHARE)
    if not taken.any():
        return logits
    return np.maximum(logits, found_level(logits, numbers, found, taken))
