"""Find dotted, dashed and thin lines between two calipers."""

from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.calipers import Caliper
from radrefine.artifacts.response import Response
from radrefine.records import Finding, Mask

# Grey levels by which a line must stand out from the two lines beside it, on average along its way.
_LEAST_RISE: Final = 14.0
_LEAST_SHARE: Final = 0.3
_BESIDE: Final = 4.0


def find_lines(response: Response, calipers: list[Caliper]) -> tuple[Mask, list[Finding]]:
    """Find lines that join two calipers of one shape.

    Args:
        response: See `measure_response`.
        calipers: The crosses found in the same image.

    Returns:
        (H, W) bool mask of the lines, and the findings.
    """
    mask = np.zeros(response.grey.shape, bool)
    findings = []
    for first, second in combinations(calipers, 2):
        if first.shape != second.shape:
            continue
        rise, share = _rise_along(response.tophat, first, second)
        if rise < _LEAST_RISE or share < _LEAST_SHARE:
            continue
        line = np.zeros(response.grey.shape, np.uint8)
        cv2.line(line, (first.x, first.y), (second.x, second.y), 1, 3)
        # Beside the line proper only what stands out is replaced; the gaps between dots belong to the mark.
        mask |= line > 0
        x, y, width, height = cv2.boundingRect(np.array([[first.x, first.y], [second.x, second.y]], np.int32))
        findings.append(Finding("dotted_line", x, y, width, height, min(1.0, rise / 60), "profile"))
    return mask, findings


def _rise_along(tophat: NDArray[np.uint8], first: Caliper, second: Caliper) -> tuple[float, float]:
    start, end = np.array([first.x, first.y], float), np.array([second.x, second.y], float)
    length = float(np.hypot(*(end - start)))
    reach = (first.size + second.size) / 2
    if length < 2 * reach:
        return 0.0, 0.0
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    steps = np.arange(reach * 0.6, length - reach * 0.6)
    on_line = np.max([_sample(tophat, start, along, across, steps, shift) for shift in (-1.0, 0.0, 1.0)], axis=0)
    beside = np.max([_sample(tophat, start, along, across, steps, shift) for shift in (-_BESIDE, _BESIDE)], axis=0)
    return float((on_line - beside).mean()), float((on_line > beside + _LEAST_RISE).mean())


def _sample(
    tophat: NDArray[np.uint8],
    start: NDArray[np.float64],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    steps: NDArray[np.float64],
    shift: float,
) -> NDArray[np.float64]:
    places = np.rint(start + steps[:, None] * along + shift * across).astype(int)
    rows = places[:, 1].clip(0, tophat.shape[0] - 1)
    columns = places[:, 0].clip(0, tophat.shape[1] - 1)
    return tophat[rows, columns].astype(float)
