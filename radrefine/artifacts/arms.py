"""Find where four thin bright arms meet: the gate before templates are correlated."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image

# Half-length of an arm, distance at which its two sides must be darker, and how often the response must exceed what
# the image itself reaches in 0.5 % of its pixels; speckle of breast, thyroid and hip stays below the last.
_SCALES: Final = ((4, 2, 5.0), (5, 2, 3.8), (7, 2, 3.0), (5, 3, 6.0), (7, 3, 4.4))
_START: Final = 2
_USUAL: Final = 0.995
_LEAST_RISE: Final = 4.0
_PAD: Final = 12
_STEPS: Final = {"plus": ((0, 1), (1, 0)), "cross": ((1, 1), (1, -1))}


@dataclass(frozen=True, slots=True)
class Meeting:
    """A place where four arms meet: row, column, `plus` or `cross`, and 1.0 where no speckle reaches."""

    row: int
    column: int
    arms: str
    strength: float


def find_meetings(grey: Image, least: float, most: int) -> list[Meeting]:
    """Find the places where four arms meet.

    Args:
        grey: (H, W) uint8.
        least: Strength below which places are left out.
        most: Places to return at most.

    Returns:
        The strongest places, strongest first; of neighbours within 3 px the strongest only.
    """
    padded = cv2.copyMakeBorder(grey, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
    meetings = []
    for arms, steps in _STEPS.items():
        strength = np.zeros(grey.shape, np.float32)
        for half, beside, factor in _SCALES:
            weakest = _weakest_arm(padded, steps, half, beside, grey.shape)
            usual = max(_LEAST_RISE, float(_quantile(weakest, _USUAL)))
            np.maximum(strength, weakest * np.float32(1 / (usual * factor)), out=strength)
        peaks = (strength >= least) & (strength == cv2.dilate(strength, np.ones((7, 7), np.uint8)))
        meetings += [
            Meeting(int(row), int(column), arms, float(strength[row, column])) for row, column in np.argwhere(peaks)
        ]
    return sorted(meetings, key=lambda one: -one.strength)[:most]


def _weakest_arm(
    padded: NDArray, steps: tuple[tuple[int, int], ...], half: int, beside: int, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return, per pixel, how far the weakest of four arms rises above both of its sides, in grey levels."""
    height, width = shape[:2]
    weakest: NDArray | None = None
    for row, column in steps:
        reach = half if 0 in (row, column) else max(_START + 1, round(0.8 * half))
        away = beside if 0 in (row, column) else max(1, round(0.7 * beside))
        across = (column * away, -row * away)
        sides = cv2.max(np.roll(padded, across, (0, 1)), np.roll(padded, (-across[0], -across[1]), (0, 1)))
        mean = _mean_along(cv2.subtract(padded, sides), row, column, reach - _START + 1)
        # The window of `mean` begins at its pixel and runs along the step; one arm begins near, the other far.
        for start in (_START, -reach):
            left = start if column >= 0 else -start - (reach - _START)
            top = _PAD + (start if row else 0)
            left = _PAD + (left if column else 0)
            arm = mean[top : top + height, left : left + width]
            weakest = arm if weakest is None else cv2.min(weakest, arm)
    return np.asarray(weakest)


def _mean_along(rise: NDArray, row: int, column: int, count: int) -> NDArray:
    """Average windows of `count` pixels along a direction; the corner of the window is its top left pixel."""
    if 0 in (row, column):
        return cv2.blur(rise, (count, 1) if column else (1, count), anchor=(0, 0))
    kernel = np.eye(count, dtype=np.float32) / count
    return cv2.filter2D(rise, -1, kernel if column > 0 else np.ascontiguousarray(kernel[:, ::-1]), anchor=(0, 0))


def _quantile(values: NDArray[np.uint8], share: float) -> int:
    """Return the grey level that `share` of the pixels do not exceed; a histogram is faster than a sort."""
    counts = np.cumsum(cv2.calcHist([values], [0], None, [256], [0, 256]).ravel())
    return int(np.searchsorted(counts, share * counts[-1]))
