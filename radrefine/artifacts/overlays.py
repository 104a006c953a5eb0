"""Find coloured drawings; colour flow, which fills areas inside the field, is tissue."""

from typing import Final

import cv2
import numpy as np

from radrefine.records import Finding, Image, Mask

_LEAST_SATURATION: Final = 60
_LEAST_PIXELS: Final = 6
# A box frame or a letter fills little of its bounding box; flow fills much of it.
_MOST_FILL: Final = 0.35


def find_overlays(image: Image, field: Mask) -> tuple[Mask, list[Finding]]:
    """Find coloured marks: thin drawings inside the field, anything coloured outside it.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        field: (H, W) bool, the scanned field.

    Returns:
        (H, W) bool mask and the findings; empty for a grey image.
    """
    mask = np.zeros(field.shape, bool)
    if image.ndim == 2:
        return mask, []
    coloured = (image.max(axis=2).astype(np.int16) - image.min(axis=2)) >= _LEAST_SATURATION
    if coloured.sum() < _LEAST_PIXELS:
        return mask, []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(coloured.astype(np.uint8), connectivity=8)
    findings = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        part = labels[y : y + height, x : x + width] == number
        outside = not field[y : y + height, x : x + width][part].any()
        thin = area / (width * height) < _MOST_FILL
        if area < _LEAST_PIXELS or not (outside or thin):
            continue
        mask[y : y + height, x : x + width] |= part
        findings.append(Finding("colour_overlay", x, y, width, height, 0.9 if outside else 0.7, "saturation"))
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, findings
