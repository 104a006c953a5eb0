"""Find caliper crosses by normalised cross-correlation with a bank of templates, only where four arms meet."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.response import Response
from radrefine.records import Finding, Mask

_SIZES: Final = (7, 9, 11, 13, 15, 17, 19, 21)
_DRAWN_WITH: Final = {"plus": ("plus", "gapped"), "cross": ("cross",)}
# Half the largest template with its rim.
_REACH: Final = 13
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
    """Correlate where four arms meet, best first, without overlaps."""
    lines = _directed_means(response.tophat)
    padded = np.pad(response.tophat, _REACH, mode="reflect")
    proposals = []
    for arms in ("plus", "cross"):
        for size in _SIZES:
            places = _where_arms_meet(lines, arms, size)
            places = places[_has_four_arms(padded, places, arms, size)]
            for shape in _DRAWN_WITH[arms]:
                scores = _correlate(padded, places, _padded(shape, size))
                proposals += [
                    Caliper(int(x), int(y), size, shape, min(float(score), 1.0))
                    for (y, x), score in zip(places, scores, strict=True)
                    if score >= _LEAST_NCC
                ]
    best: list[Caliper] = []
    for one in sorted(proposals, key=lambda proposal: -proposal.score)[:_MOST_PROPOSALS]:
        if not _near_any(one, best):
            best.append(one)
    return best


def _directed_means(tophat: NDArray[np.uint8]) -> dict[tuple[int, int], NDArray[np.uint8]]:
    """Average three pixels along each of the four directions of a stroke; keys are (row, column) steps."""
    kernels = {(1, 0): np.ones((3, 1)), (0, 1): np.ones((1, 3)), (1, 1): np.eye(3), (1, -1): np.eye(3)[::-1]}
    return {step: cv2.filter2D(tophat, -1, kernel / 3) for step, kernel in kernels.items()}  # type: ignore[misc]


def _where_arms_meet(lines: dict[tuple[int, int], NDArray[np.uint8]], arms: str, size: int) -> NDArray[np.int64]:
    """Find the pixels with a stroke on four sides: a cheap test that every cross passes, and little else."""
    reach = round(0.75 * (size // 2))
    steps = ((1, 0), (0, 1)) if arms == "plus" else ((1, 1), (1, -1))
    height, width = lines[steps[0]].shape
    if min(height, width) <= 2 * reach:
        return np.zeros((0, 2), np.int64)
    weakest: NDArray[np.uint8] | None = None
    for row, column in steps:
        for sign in (1, -1):
            top, left = reach + sign * reach * row, reach + sign * reach * column
            arm = lines[row, column][top : top + height - 2 * reach, left : left + width - 2 * reach]
            weakest = arm if weakest is None else np.minimum(weakest, arm)
    return np.argwhere(np.asarray(weakest) >= 0.6 * _LEAST_ARM) + reach


def _has_four_arms(padded: NDArray[np.uint8], places: NDArray[np.int64], arms: str, size: int) -> NDArray[np.bool_]:
    """Tell crosses from speckle: four bright arms, and dark quarters between them; (N,) bool."""
    half = size // 2
    shape = template(arms, size)
    rows, columns = np.indices(shape.shape) - half
    stroke, outer = shape > 0, np.maximum(abs(rows), abs(columns)) > half // 2
    sides = (
        (rows < 0, rows > 0, columns < 0, columns > 0)
        if arms == "plus"
        else (
            (rows < 0) & (columns < 0),
            (rows < 0) & (columns > 0),
            (rows > 0) & (columns < 0),
            (rows > 0) & (columns > 0),
        )
    )
    patches = _patches(padded, places, size)
    tips = np.min([patches[:, stroke & outer & side].mean(axis=1) for side in sides], axis=0)
    beside = patches[:, cv2.dilate(shape, np.ones((3, 3), np.uint8)) == 0].mean(axis=1)
    return tips >= np.maximum(_LEAST_ARM, _LEAST_RATIO * beside)


def _correlate(
    padded: NDArray[np.uint8], places: NDArray[np.int64], kernel: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the normalised cross-correlation with `kernel` centred at each place; (N,), -1 to 1."""
    patches = _patches(padded, places, kernel.shape[0]).reshape(len(places), kernel.size).astype(np.float64)
    patches -= patches.mean(axis=1, keepdims=True)
    centred = kernel.ravel() - float(kernel.mean())
    norms = np.linalg.norm(patches, axis=1) * float(np.linalg.norm(centred))
    return (patches @ centred) / np.maximum(norms, 1e-9)


def _patches(padded: NDArray[np.uint8], places: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Return the (N, size, size) surroundings of each place."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    corner = places + _REACH - size // 2
    return windows[corner[:, 0], corner[:, 1]]


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
