"""Find coloured line drawings by rule: thin strokes of one hue. Colour flow fills areas and changes its hue."""

from typing import Final

import cv2
import numpy as np

from radrefine.artifacts.classical.response import Response
from radrefine.records import Finding, Image, Mask

_LEAST_SATURATION: Final = 60
_SHORTEST: Final = 14
# Share of the pixels that an erosion by one pixel leaves of a stroke, and how far its hue strays, as shares of 1.
_MOST_LEFT: Final = 0.1
_MOST_STRAY: Final = 0.08
_SCORE: Final = 0.9


def find_overlays(image: Image, response: Response) -> list[tuple[Finding, Mask]]:
    """Find coloured frames and lines.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        response: See `measure_response`.

    Returns:
        Findings with the (h, w) bool mask of their strokes in their box; none for grey images.
    """
    if response.saturation is None:
        return []
    coloured = cv2.threshold(response.saturation, _LEAST_SATURATION - 1, 1, cv2.THRESH_BINARY)[1]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(coloured, connectivity=8)
    core = cv2.erode(coloured, np.ones((3, 3), np.uint8))
    found = []
    for number in range(1, count):
        x, y, width, height, pixels = (int(value) for value in stats[number])
        if max(width, height) < _SHORTEST:
            continue
        box = slice(y, y + height), slice(x, x + width)
        part = np.asarray(labels[box] == number)
        if core[box][part].sum() > _MOST_LEFT * pixels:
            continue
        hues = image[box][part] / response.value[box][part][:, None]
        if float(hues.std(axis=0).max()) <= _MOST_STRAY:
            found.append((Finding("colour_overlay", x, y, width, height, _SCORE, "hue"), part))
    return found
