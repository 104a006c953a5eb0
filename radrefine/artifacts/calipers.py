"""Find caliper crosses by normalised cross-correlation, against a bank of templates."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.response import Response
from radrefine.records import Finding, Mask

_SIZES: Final = (7, 9, 11, 13, 15, 17, 19, 21)
_SHAPES: Final = ("plus", "cross", "gapped")
_LEAST_NCC: Final = 0.6
_LEAST_NCC_ALONE: Final = 0.65
_MARGIN: Final = 3
_MOST_PROPOSALS: Final = 1000
# Grey levels above the surroundings at the weakest arm, and how many times that of the quarters between the arms.
_LEAST_ARM: Final = 24.0
_LEAST_RATIO: Final = 3.0


@dataclass(frozen=True, slots=True)
class Caliper:
    """A cross: centre in px, the side of its box in px, its shape and its correlation with the template."""

    x: int
    y: int
    size: int
    shape: str
    score: float


@cache
def template(shape: str, size: int) -> NDArray[np.uint8]:
    """Draw a template, (size, size) uint8, 255 on the stroke; size is odd."""
    image = np.zeros((size, size), np.uint8)
    middle = size // 2
    if shape in ("plus", "gapped"):
        image[middle, :] = image[:, middle] = 255
    if shape in ("cross",):
        image[np.arange(size), np.arange(size)] = image[np.arange(size), np.arange(size)[::-1]] = 255
    if shape == "gapped":
        gap = max(1, size // 6)
        image[middle - gap : middle + gap + 1, middle - gap : middle + gap + 1] = 0
    return image


@cache
def _padded(shape: str, size: int) -> NDArray[np.float32]:
    """Template with a dark rim, softened by the half pixel that screens and scaling add."""
    rim = cv2.copyMakeBorder(template(shape, size), 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    return cv2.GaussianBlur(rim.astype(np.float32), (3, 3), 0.6)  # type: ignore[return-value]


def find_calipers(response: Response) -> tuple[Mask, list[Finding], list[Caliper]]:
    """Find caliper crosses: plus, diagonal cross, plus with a gap.

    Args:
        response: See `measure_response`.

    Returns:
        (H, W) bool mask of the strokes, the findings, and the crosses for the search of lines between them.
    """
    matches = _matches(response)
    found: list[Caliper] = []
    for one in matches:
        # Calipers come in sets: a lone cross must match better than one that has a twin.
        twins = sum(other.shape == one.shape and abs(other.size - one.size) <= 2 for other in matches)
        if one.score >= (_LEAST_NCC if twins > 1 else _LEAST_NCC_ALONE):
            found.append(one)
    mask = np.zeros(response.grey.shape, bool)
    findings = [_draw(one, mask) for one in found]
    return mask, findings, found


def _matches(response: Response) -> list[Caliper]:
    image = response.tophat.astype(np.float32)
    proposals: list[Caliper] = []
    for shape in _SHAPES:
        for size in _SIZES:
            kernel = _padded(shape, size)
            if min(image.shape) <= kernel.shape[0]:
                continue
            scores = cv2.matchTemplate(image, kernel, cv2.TM_CCOEFF_NORMED)
            middle = kernel.shape[0] // 2
            peaks = (scores >= _LEAST_NCC) & (scores == cv2.dilate(scores, np.ones((5, 5), np.uint8)))
            for y, x in np.argwhere(peaks):
                proposals.append(Caliper(int(x) + middle, int(y) + middle, size, shape, float(min(scores[y, x], 1.0))))
    best: list[Caliper] = []
    for one in sorted(proposals, key=lambda proposal: -proposal.score)[:_MOST_PROPOSALS]:
        if not _near_any(one, best) and _has_four_arms(response, one):
            best.append(one)
    return best


def _has_four_arms(response: Response, one: Caliper) -> bool:
    """Tell a cross from a speckle spot: four bright arms and dark quarters between them."""
    half = one.size // 2
    patch = response.tophat[max(0, one.y - half) : one.y + half + 1, max(0, one.x - half) : one.x + half + 1]
    shape = template(one.shape, one.size)
    if patch.shape != shape.shape:
        return False
    stroke = shape > 0
    outer = np.maximum(*np.abs(np.indices(shape.shape) - half)) > half // 2
    rows, columns = np.indices(shape.shape) - half
    if one.shape == "cross":
        sectors = [
            (rows < 0) & (columns < 0),
            (rows < 0) & (columns > 0),
            (rows > 0) & (columns < 0),
            (rows > 0) & (columns > 0),
        ]
    else:
        sectors = [rows < 0, rows > 0, columns < 0, columns > 0]
    tips = [float(patch[stroke & outer & sector].mean()) for sector in sectors]
    beside = float(patch[~cv2.dilate(shape, np.ones((3, 3), np.uint8)).astype(bool)].mean())
    return min(tips) >= max(_LEAST_ARM, _LEAST_RATIO * beside)


def _near_any(one: Caliper, others: list[Caliper]) -> bool:
    return any(abs(one.x - other.x) + abs(one.y - other.y) < other.size for other in others)


def _draw(one: Caliper, mask: Mask) -> Finding:
    stroke = cv2.dilate(
        cv2.copyMakeBorder(template(one.shape, one.size), _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT),
        np.ones((3, 3), np.uint8),
    )
    half = one.size // 2 + _MARGIN
    height, width = mask.shape
    top, left = max(0, one.y - half), max(0, one.x - half)
    bottom, right = min(height, one.y + half + 1), min(width, one.x + half + 1)
    part = stroke[top - (one.y - half) : bottom - (one.y - half), left - (one.x - half) : right - (one.x - half)] > 0
    mask[top:bottom, left:right] |= part
    radius = one.size // 2
    x, y = max(0, one.x - radius), max(0, one.y - radius)
    return Finding(
        "caliper", x, y, min(width, one.x + radius + 1) - x, min(height, one.y + radius + 1) - y, one.score, "ncc"
    )
