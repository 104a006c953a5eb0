"""Rulers: ticks stand in line and evenly, so that a few sure ones tell where the doubtful ones are."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from radrefine.areas import number_parts

# Ticks are at most this long, and those of one ruler differ by at most this much, px.
_LONGEST: Final = 16
_UNLIKE: Final = 5
# Where more small things than this were found it is no picture with rulers, and they are not compared.
_MOST: Final = 2000
# Two ticks that follow each other are this far apart, px. Between two that were found up to this many may be missing.
_NEAREST: Final = 5.0
_FURTHEST: Final = 130.0
_MISSING: Final = 4
# Of so many neighbours of a tick, so many that are like it may be the next one of its ruler.
_NEIGHBOURS: Final = 24
_ALIKE: Final = 6
# Of the places up to so many steps before and behind a tick so many must hold something for a ruler to be followed,
# and so many likely rulers are, those with the most first.
_AROUND: Final = 8
_HELD: Final = 5
_TRIALS: Final = 40
# A tick lies at most this far from where it is expected, px; from this probability a mark is where one is expected.
_STRAY: Final = 1.6
_DOUBTFUL: Final = math.log(0.02 / 0.98)
# Between two ticks the logits fall by as much.
_DIP: Final = 0.5
# A ruler has so many ticks, by how many of them were found, and at most this share of its places is empty.
_FEWEST_FOUND: Final = 2
_TICKS: Final = {_FEWEST_FOUND: 10}
_USUAL_TICKS: Final = 5
_EMPTY: Final = 0.15
# The logit that a tick's strongest pixel is raised to; its other pixels are those at most so much weaker.
_RAISED: Final = 3.0
_WEAKER: Final = 4.0

_Point = NDArray[np.float64]


def complete_rulers(logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of doubtful ticks that stand in line with sure ones.

    Args:
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; `logits` itself where nothing was raised.
    """
    found = logits > least
    if not found.any():
        return logits
    _, boxes, centres = number_parts(found)
    sides = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    small = sides.max(axis=1) <= _LONGEST
    small[0] = False
    if not _FEWEST_FOUND <= small.sum() <= _MOST:
        return logits
    points, sides = centres[small], sides[small]
    peaks = np.asarray(cv2.dilate(logits, np.ones((3, 3), np.uint8)), np.float32)
    raised = logits
    known: set[int] = set()
    for start, step in _likely(points, sides, peaks, least):
        if start in known:
            continue
        places, members = _walk(start, step, points, logits, peaks)
        if not places:
            continue
        known.update(members)
        if raised is logits:
            raised = logits.copy()
        half = np.median(sides[members], axis=0) / 2 + 1
        for place in places:
            _raise(raised, logits, place, half)
    return raised


def _likely(
    points: _Point, sides: NDArray[np.int32], peaks: NDArray[np.float32], least: float
) -> list[tuple[int, _Point]]:
    """Return ticks and the way from each to the next one of what may be its ruler, the likeliest first."""
    count = min(_NEIGHBOURS + 1, len(points))
    distance, others = KDTree(points).query(points, k=count)  # the first is the tick itself
    starts = np.repeat(np.arange(len(points)), count).reshape(distance.shape)
    fits = np.abs(sides[others] - sides[starts]).max(axis=2) <= _UNLIKE
    fits &= (distance >= _NEAREST) & (distance <= _FURTHEST)
    fits &= fits.cumsum(axis=1) <= _ALIKE
    starts, others, distance = starts[fits], others[fits], distance[fits]
    parts = np.arange(1, _MISSING + 2)
    pairs, times = np.nonzero(distance[:, None] >= parts * _NEAREST)
    starts, steps = starts[pairs], (points[others] - points[starts])[pairs] / parts[times][:, None]
    height, width = peaks.shape
    numbers = np.array([*range(-_AROUND, 0), *range(1, _AROUND + 1)])[:, None, None]
    x, y = np.moveaxis(np.rint(points[starts] + numbers * steps).astype(np.intp), -1, 0)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    strongest = peaks[np.where(inside, y, 0), np.where(inside, x, 0)]
    holds = inside & (strongest > _DOUBTFUL)
    held, unsure = holds.sum(axis=0), (holds & (strongest <= least)).sum(axis=0)
    held[unsure == 0] = 0  # nothing to gain
    best = np.argsort(-held, kind="stable")[:_TRIALS]
    return [(int(starts[number]), steps[number]) for number in best if held[number] >= _HELD]


def _walk(
    start: int, step: _Point, points: _Point, logits: NDArray[np.float32], peaks: NDArray[np.float32]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Follow a ruler from a tick in both directions.

    Args:
        start: Number of the tick.
        step: From it to the next one.
        points: (N, 2) x and y of everything small that was found.
        logits: (H, W).
        peaks: (H, W), largest logit within a pixel.

    Returns:
        The doubtful places on it, as x and y, and the numbers of its ticks; both empty where it is no ruler.
    """
    height, width = logits.shape
    places: list[tuple[int, int]] = []
    members = [start]
    empty = 0
    for way in (step, -step):
        origin, count, misses = points[start], 0, 0
        at = origin + way
        while misses < 2 and 0 <= at[0] <= width - 1 and 0 <= at[1] <= height - 1:
            stray = np.abs(points - at).max(axis=1)
            nearest = int(stray.argmin())
            y, x = _pixel(at)
            count += 1
            if stray[nearest] <= _STRAY:
                members.append(nearest)
                way = (points[nearest] - origin) / count
                at = points[nearest].copy()
                empty, misses = empty + misses, 0
            elif peaks[y, x] > _DOUBTFUL and peaks[y, x] > logits[_pixel(at - way / 2)] + _DIP:
                places.append((x, y))
                empty, misses = empty + misses, 0
            else:
                misses += 1
            at = at + way
    ticks = len(places) + len(members)
    enough = len(members) >= _FEWEST_FOUND and ticks >= _TICKS.get(len(members), _USUAL_TICKS)
    return (places, members) if enough and empty <= _EMPTY * ticks else ([], [])


def _pixel(point: _Point) -> tuple[int, int]:
    """Return row and column of a point."""
    return round(float(point[1])), round(float(point[0]))


def _raise(raised: NDArray[np.float32], logits: NDArray[np.float32], place: tuple[int, int], half: _Point) -> None:
    """Raise the pixels of a doubtful tick, in place."""
    (x, y), (across, up) = place, np.ceil(half).astype(int)
    part = slice(max(0, y - up), y + up + 1), slice(max(0, x - across), x + across + 1)
    strongest = float(logits[part].max())
    lifted = logits[part] + np.float32(_RAISED - strongest)
    np.maximum(raised[part], lifted, out=raised[part], where=logits[part] >= strongest - _WEAKER)
