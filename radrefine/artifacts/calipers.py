"""Find caliper crosses by normalised cross-correlation with a bank of templates, only where four arms meet."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.arms import find_meetings
from radrefine.artifacts.response import Response
from radrefine.records import Finding, Mask

_SIZES: Final = (7, 9, 11, 13, 15, 17, 19, 21)
_DRAWN_WITH: Final = {"plus": ("plus", "gapped"), "cross": ("cross",)}
# Half the largest template with its rim.
_REACH: Final = 13
_LEAST_NCC: Final = 0.6
_LEAST_NCC_OF_STRONG: Final = 0.4
_LEAST_STRENGTH: Final = 0.75
# The confidence, half correlation and half strength of the arms, that a cross needs with and without a twin.
_LEAST_SCORE: Final = 0.7
_LEAST_SCORE_ALONE: Final = 0.8
_MARGIN: Final = 3
_MOST_PROPOSALS: Final = 24


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
        if one.score >= (_LEAST_SCORE if twins > 1 else _LEAST_SCORE_ALONE):
            found.append(one)
    mask = np.zeros(response.grey.shape, bool)
    findings = [_draw(one, mask) for one in found]
    return mask, findings, found


def _matches(response: Response) -> list[Caliper]:
    """Correlate where four arms meet, best first, without overlaps."""
    padded = np.pad(response.tophat, _REACH, mode="reflect")
    proposals = []
    for one in find_meetings(response.grey, _LEAST_STRENGTH, _MOST_PROPOSALS):
        around = np.array([(one.row + row, one.column + column) for row in (-1, 0, 1) for column in (-1, 0, 1)])
        around = around.clip(0, np.array(response.grey.shape) - 1)
        best = max(
            (
                (float(scores.max()), int(scores.argmax()), size, shape)
                for size in _SIZES
                for shape in _DRAWN_WITH[one.arms]
                for scores in (_correlate(padded, around, _padded(shape, size)),)
            ),
        )
        score, place, size, shape = best
        y, x = around[place]
        # Arms that no speckle has may match a template less well: an outline or a digit beside them disturbs it.
        if score >= (_LEAST_NCC_OF_STRONG if one.strength >= 1 else _LEAST_NCC):
            confidence = min(1.0, 0.5 * score + 0.5 * min(1.0, one.strength))
            proposals.append(Caliper(int(x), int(y), size, shape, confidence))
    kept: list[Caliper] = []
    for candidate in sorted(proposals, key=lambda proposal: -proposal.score):
        if not _near_any(candidate, kept):
            kept.append(candidate)
    return kept


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
