"""Take in the rest of a mark that is one even area: a bar, a plate behind text, a solid arrow."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.response import to_grey
from radrefine.records import Image

# Tissue has grain everywhere; ink has none, but coding and shading leave it a few grey levels between neighbours.
_GRAIN: Final = 4
# An echo driven into saturation is even too, from this grey level up.
_SATURATED: Final = 250
_NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
# What is smaller than this, px, needs no completing.
_LEAST: Final = 12
# An even area is a mark's where at least this share of it was found: far less than the network misses of a large bar,
# far more than letters cover of the black beside a scan.
_SHARE: Final = 0.3


def complete_even(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of even areas of which a good part was found to the mean of that part.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; an area is raised with its rim.
    """
    found = logits > least
    if not found.any():
        return logits
    # The morphological gradient is the largest difference within 3 x 3 pixels.
    grey = to_grey(image)
    even = (cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _NEIGHBOURS) <= _GRAIN) & (grey < _SATURATED)
    if not (even & found).any():
        return logits
    count, areas, stats, _ = cv2.connectedComponentsWithStats(even.view(np.uint8), connectivity=4)
    size = stats[:, cv2.CC_STAT_AREA]
    inside = areas[found]
    covered = np.bincount(inside, minlength=count)
    taken = (covered >= _SHARE * size) & (size >= _LEAST)
    taken[0] = False
    if not taken.any():
        return logits
    mean = np.bincount(inside, logits[found], minlength=count) / np.maximum(covered, 1)
    lift = np.where(taken, mean, -np.inf).astype(np.float32)[areas]
    return np.maximum(logits, np.asarray(cv2.dilate(lift, _NEIGHBOURS), np.float32))
