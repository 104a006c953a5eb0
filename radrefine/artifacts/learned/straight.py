"""Straight lines of one grey along rows and columns, such as frames of boxes: taken whole where a part was found."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.colours import to_grey
from radrefine.records import Image, Mask

# A line stands out this many grey levels above the pixels so many px to either side of it.
_RISE: Final = 40
_ASIDE: Final = 3
# So many of its pixels were found, and this share of them is of one grey, give or take so many levels.
_FEWEST: Final = 12
_AGREED: Final = 0.7
_LEVELS: Final = 10
# It is unbroken, but for gaps of a pixel, over so many px, of which this share was found.
_LENGTH: Final = 24
_SHARE: Final = 0.15


def complete_straight(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of level and upright lines of which a part was found.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; `logits` itself where there is no such line.
    """
    found = logits > least
    if not found.any():
        return logits
    grey = to_grey(image)
    level = _completed_rows(grey, found, logits)
    upright = _completed_rows(grey.T, found.T, logits.T)
    for raised in (level, None if upright is None else upright.T):
        if raised is not None:
            logits = np.maximum(logits, raised)
    return logits


def _completed_rows(grey: NDArray[np.uint8], found: Mask, logits: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return, along lines in rows, the mean logit of what was found of each, elsewhere minus infinity; None if none."""
    counts = cv2.reduce(np.ascontiguousarray(found).view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    rows = np.flatnonzero(counts >= _FEWEST)
    if not rows.size:
        return None
    last = len(grey) - 1
    values = grey[rows].astype(np.int16)
    beside = np.maximum(grey[np.maximum(rows - _ASIDE, 0)], grey[np.minimum(rows + _ASIDE, last)])
    outstanding = values - beside >= _RISE
    seeds = outstanding & found[rows]
    raised = None
    for place in np.flatnonzero(seeds.sum(axis=1) >= _FEWEST):
        row, line = rows[place], values[place]
        middle = np.median(line[seeds[place]])
        alike = np.abs(line - middle) <= _LEVELS
        if alike[seeds[place]].mean() < _AGREED:
            continue
        for start, end in _runs(alike & outstanding[place]):
            inside = found[row, start:end]
            if end - start >= _LENGTH and inside.mean() >= _SHARE:
                raised = np.full(grey.shape, -np.inf, np.float32) if raised is None else raised
                raised[row, start:end] = logits[row, start:end][inside].mean()
    return raised


def _runs(line: Mask) -> NDArray[np.intp]:
    """Return start and end of each run of True, (N, 2); gaps of one pixel are part of a run."""
    closed = line.copy()
    closed[1:-1] |= line[:-2] & line[2:]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]])))
    return edges.reshape(-1, 2)
