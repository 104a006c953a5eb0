"""Removers to compare with: ours and two that public code uses, written from their descriptions."""

from collections.abc import Callable
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import grown
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.detect import Detector
from radrefine.inpaint import inpaint
from radrefine.records import Image, Mask
from radrefine.refine import RefineOptions, refine_image

Remover = Callable[[Image], tuple[Mask, Image]]
"""Takes an image; returns the mask of what it replaced and the filled image."""

_BRIGHT: Final = 210
_SCALES: Final = (0.6, 0.8, 1.0, 1.25, 1.6)
_LEAST_MATCH: Final = 0.75
_GROWTH: Final = 10


def refiner(detector: Detector, weights: str = "") -> Remover:
    """Return a remover that refines as `radrefine clean --detector` does."""
    options = RefineOptions(detector=detector, weights=weights)

    def remove(image: Image) -> tuple[Mask, Image]:
        result = refine_image(image, options)
        return result.mask, result.image

    return remove


def remove_bright(image: Image) -> tuple[Mask, Image]:
    """Fill everything above 210 in the largest contour, Navier-Stokes with radius 7 (baseline B1)."""
    grey = to_grey(image)
    contours, _ = cv2.findContours((grey > 10).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    field = np.zeros(grey.shape, np.uint8)
    if contours:
        cv2.drawContours(field, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    mask = np.asarray((grey > _BRIGHT) & (field > 0))
    return mask, inpaint(image, mask, method="navier-stokes", radius=7)


def remove_matched_edges(image: Image) -> tuple[Mask, Image]:
    """Fill the best match of each template's edges at several scales, and coloured boxes grown by 10 px (B2)."""
    edges = cv2.Canny(to_grey(image), 50, 200)
    mask = np.zeros(edges.shape, bool)
    for shape in ("plus", "cross"):
        matches = [found for scale in _SCALES if (found := _best_match(edges, shape, scale)) is not None]
        if matches:
            _, x, y, side = max(matches)
            mask[y : y + side, x : x + side] = True
    if image.ndim == 3:
        coloured = (image.max(axis=2).astype(int) - image.min(axis=2)) > 60
        mask |= grown(coloured, _GROWTH)
    return mask, inpaint(image, mask, method="telea")


def _best_match(edges: NDArray, shape: str, scale: float) -> tuple[float, int, int, int] | None:
    template = _edges_of(shape, scale)
    if min(edges.shape) <= template.shape[0]:
        return None
    _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(edges, template, cv2.TM_CCOEFF_NORMED))
    return (score, x, y, template.shape[0]) if score >= _LEAST_MATCH else None


@cache
def _edges_of(shape: str, scale: float) -> NDArray:
    side = round(15 * scale) | 1
    half, pad = side // 2, 3
    drawn = np.zeros((side + 2 * pad, side + 2 * pad), np.uint8)
    low, high, middle = pad, pad + side - 1, pad + half
    ends = [((low, middle), (high, middle)), ((middle, low), (middle, high))]
    if shape == "cross":
        ends = [((low, low), (high, high)), ((low, high), (high, low))]
    for start, end in ends:
        cv2.line(drawn, start, end, 255, 1)
    return cv2.Canny(drawn, 50, 200)


BASELINES: Final[dict[str, Remover]] = {"threshold-and-fill": remove_bright, "edge-templates": remove_matched_edges}
"""Removers to compare with, by the name that reports show."""
