"""Solid and closed arrows that the network is unsure of: known by their outline, at whatever size and turn.

The network sees strokes; of an arrow or triangle filled with grey it may take the rim alone, or nothing but a hint.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import filled, grown, number_parts, window
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.learned.clearance import clearance
from radrefine.records import Image, Mask

# What the network gives less than this is not looked at: it is next to certain then that there is no ink.
_POSSIBLE: Final = -4.0
# Around what was found the network is unsure anyway, so many px wide.
_RIM: Final = 2
# A hint has so many pixels, and no more than so many of them are followed, the strongest first.
_LEAST_HINT: Final = 2
_MOST_HINTS: Final = 32
# An arrow is at most this long, px, and its outline encloses so many.
_LONG: Final = 96
_SMALLEST, _LARGEST = 24, 4000
# It takes this share of its bounding box.
_SPARSE, _DENSE = 0.2, 0.75
# How far below the grey level of the pixel that one starts from the level may lie that parts the ink from the tissue.
_DEPTHS: Final = (10, 18, 28, 40, 54, 72, 100)
# A shape is compared after it was scaled to so many px, on a square of this side.
_AREA: Final = 110.0
_SIDE: Final = 32
_FINENESS: Final = 8
_TURNS: Final = 48
_NEAREST: Final = 8
# It is at least so much like an arrow (Dice's coefficient), more where it has fewer px, and clear of what is around it
# by so many grey levels. What is not clear by many must be more alike: so many levels, of so many at most, weigh as
# much as a likeness of 1, and both together come to this.
_ALIKE: Final = 0.84
_SMALL: Final = 64
_ALIKE_SMALL: Final = 0.88
_CLEAR, _CLEAREST = 20, 80
_WEIGHT: Final = 700
_TOGETHER: Final = 0.965
# Logit that it is raised to.
_RAISED: Final = 2.0

_NEXT: Final = np.ones((3, 3), np.uint8)
_FLOOD: Final = 8 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)


def complete_arrows(image: Image, logits: NDArray[np.float32], least: float) -> tuple[NDArray[np.float32], Mask]:
    """Raise the logits of arrows of which the network has no more than a hint.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`, and (H, W) bool, where such arrows are.
    """
    arrows = np.zeros(logits.shape, bool)
    hints = (logits > _POSSIBLE) & ~grown(logits > least, _RIM)
    if hints.any():
        grey = to_grey(image)
        for row, column in _starts(grey, logits, hints):
            if not arrows[row, column]:
                _add_arrow(grey, row, column, arrows)
    if arrows.any():
        logits = np.where(arrows, np.maximum(logits, np.float32(_RAISED)), logits)
    return logits, arrows


def _starts(grey: Image, logits: NDArray[np.float32], hints: Mask) -> Iterator[tuple[int, int]]:
    """Yield row and column of the brightest pixel of each patch of hints, the strongest first."""
    numbers, boxes, _ = number_parts(hints)
    strongest = np.full(len(boxes), -np.inf)
    np.maximum.at(strongest, numbers[hints], logits[hints])
    strongest[boxes[:, cv2.CC_STAT_AREA] < _LEAST_HINT] = -np.inf
    for number in np.argsort(-strongest)[:_MOST_HINTS].tolist():
        if strongest[number] == -np.inf:
            return
        place = window(boxes[number, : cv2.CC_STAT_AREA], 0)
        level = np.where(numbers[place] == number, grey[place], 0)
        row, column = np.unravel_index(int(level.argmax()), level.shape)
        yield place[0].start + int(row), place[1].start + int(column)


def _add_arrow(grey: Image, row: int, column: int, arrows: Mask) -> None:
    """Add the arrow that a pixel lies in to others, where it lies in one."""
    near = window((column, row, 1, 1), _LONG)
    top, left = near[0].start, near[1].start
    seen = np.ascontiguousarray(grey[near])
    best = _TOGETHER
    for depth in _DEPTHS:
        # All that is connected with the pixel and no more than so much darker.
        flooded = np.zeros((seen.shape[0] + 2, seen.shape[1] + 2), np.uint8)
        size, _, _, box = cv2.floodFill(seen, flooded, (column - left, row - top), 0, depth, 255, _FLOOD)
        if size > _LARGEST or max(box[2:]) > _LONG:
            return
        place = window(box, _RIM)
        ink = flooded[1:-1, 1:-1][place]
        whole = filled(ink)  # a hollow arrow has the outline of a solid one
        enclosed = cv2.countNonZero(whole)
        if enclosed < _SMALLEST or not _SPARSE <= enclosed / (box[2] * box[3]) <= _DENSE:
            continue
        clear = clearance(seen[place], ink > 0, whole > 0)
        if clear < _CLEAR:
            continue
        likeness = _likeness(whole)
        together = likeness + min(clear, _CLEAREST) / _WEIGHT
        if likeness >= (_ALIKE if enclosed >= _SMALL else _ALIKE_SMALL) and together >= best:
            best = together
            arrows[near][place] |= cv2.dilate(ink, _NEXT) > 0


def _likeness(whole: NDArray[np.uint8]) -> float:
    """Return the likeness of a shape to the arrow that it is most like, 0 to 1 (Dice's)."""
    moments = cv2.moments(whole, True)
    scale, middle = math.sqrt(_AREA / moments["m00"]), _SIDE / 2 - 0.5
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    move = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]], np.float32)
    shape = cv2.warpAffine(whole.astype(np.float32), move, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR).ravel()
    outlines, sizes = _outlines()
    # The products pick the few that are worth the minima, which take longer.
    nearest = np.argpartition(outlines @ shape / np.sqrt(sizes), -_NEAREST)[-_NEAREST:]
    return float((2 * np.minimum(outlines[nearest], shape).sum(axis=1) / (sizes[nearest] + shape.sum())).max())


@cache
def _outlines() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (N, side * side) outlines of arrows at every turn, 0 to 1, and (N,) their sums."""
    shapes = [
        _drawn(outline * (1, width), 2 * math.pi * turn / turns)
        for outline, widths, turns in (
            (_arrow(0.42, 0.42, 0.24, 0.09), (0.7, 1.0, 1.3), _TURNS),
            (_arrow(0.5, 0.5, 0.3, 0.13), (1.0,), _TURNS),
            (_arrow(0.3, 0.3, 0.22, 0.07), (1.0,), _TURNS),
            (_arrow(0.4, 0.52, 0.28, 0.1), (1.0,), _TURNS),
            (np.array([(0, 0), (0.6, 0.26), (0.45, 0), (0.6, -0.26)]), (0.7, 1.0, 1.3), _TURNS),  # a bare head
            (np.array([(0, 0), (1, 0.5), (1, -0.5)]), (1.0, 1.25, 1.6), 4),  # beside a scan, level or upright
        )
        for width in widths
        for turn in range(turns)
    ]
    outlines = np.stack(shapes).reshape(len(shapes), -1)
    return outlines, np.asarray(outlines.sum(axis=1))


def _arrow(head: float, barb: float, wide: float, shaft: float) -> NDArray[np.float64]:
    """Return the corners of an arrow from its tip on: along and across, in lengths.

    Args:
        head: Where the shaft begins.
        barb: How far back its barbs reach.
        wide: Half of the width of its head.
        shaft: Half of that of its shaft.
    """
    side = [(barb, wide), (head, shaft), (1, shaft)]
    return np.array([(0, 0), *side, *((along, -across) for along, across in reversed(side))])


def _drawn(outline: NDArray[np.float64], turn: float) -> NDArray[np.float32]:
    """Draw an outline, filled, its centre in the middle, scaled and turned."""
    across = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    moments = cv2.moments((outline * 1000).astype(np.float32))
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"] / 1000
    scale = _FINENESS * math.sqrt(_AREA / (moments["m00"] / 1e6))
    corners = (outline - centre) @ across * scale + _FINENESS * _SIDE / 2
    fine = np.zeros((_FINENESS * _SIDE, _FINENESS * _SIDE), np.uint8)
    cv2.fillPoly(fine, [np.round(corners * 16).astype(np.int32)], 255, shift=4)
    return np.asarray(cv2.resize(fine, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) / np.float32(255), np.float32)
