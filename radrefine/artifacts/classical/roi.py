"""Isolate the field of the scan from what the screen shows around it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Mask

# Screens are black around the field, or nearly: compression and vendors leave a few grey levels there.
_ABOVE_BLACK: Final = 2
_MOST_BLACK: Final = 8
_SMOOTHING: Final = 5
_LEAST_SHARE: Final = 0.08
# A hull that fills so much of its bounding box is that of a linear probe, whose field is the box.
_BOX_FILL: Final = 0.88
# The two straight sides of a sector: their least length as a share of the smaller side of the image, and by how many
# degrees they lean outwards, nearly alike.
_SIDE_LENGTH: Final = 0.15
_LEAN: Final = (15.0, 70.0)
_UNLIKE_LEAN: Final = 12.0
# A sector that is much larger than what was seen of it is a guess.
_LEAST_SEEN: Final = 0.5


def find_field(grey: NDArray[np.uint8]) -> Mask:
    """Find the scanned field of a sector, linear or full-screen capture.

    The convex hull of the largest region that is not black, after smoothing, thresholding and morphology: fields are
    convex, and what is dark inside them, a vessel or a shadow, belongs to them. A hull that is nearly a box becomes it.

    Args:
        grey: (H, W) uint8.

    Returns:
        (H, W) bool, True inside the field; all True where no region is large enough to be one.
    """
    everything = np.ones(grey.shape, bool)
    smooth = cv2.blur(grey, (_SMOOTHING, _SMOOTHING))
    bright = (smooth >= _black_level(grey) + _ABOVE_BLACK).astype(np.uint8)
    if bright.all():
        return everything
    # Letters and rulers fall to the opening; tissue does not.
    side = max(3, min(grey.shape) // 30) | 1
    solid = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return everything
    hull = cv2.convexHull(max(contours, key=cv2.contourArea))
    x, y, width, height = cv2.boundingRect(hull)
    if cv2.contourArea(hull) < _LEAST_SHARE * grey.size:
        return everything
    field = np.zeros(grey.shape, np.uint8)
    if cv2.contourArea(hull) >= _BOX_FILL * width * height:
        field[y : y + height, x : x + width] = 1
    else:
        cv2.fillConvexPoly(field, hull, 1)
        sector = _sector_around(hull[:, 0].astype(np.float64), grey.shape)
        if sector is not None and field.sum() >= _LEAST_SEEN * sector.sum():
            field |= sector
    return np.asarray(field > 0)


def _sector_around(hull: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Complete a sector whose dark parts the hull misses, from its two straight sides; None where it has none."""
    left_side, right_side = (_longest_side(hull, sign, _SIDE_LENGTH * min(shape)) for sign in (-1, 1))
    if left_side is None or right_side is None:
        return None
    (left, left_lean), (right, right_lean) = left_side, right_side
    if abs(left_lean - right_lean) > _UNLIKE_LEAN:
        return None
    slopes = np.tan(np.radians([-left_lean, right_lean]))  # columns per row
    # Where the sides meet: x_left + slope_left * (y - y_left) = x_right + slope_right * (y - y_right).
    y = (left[0] - right[0] - slopes[0] * left[1] + slopes[1] * right[1]) / (slopes[1] - slopes[0])
    x = left[0] + slopes[0] * (y - left[1])
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down, across = rows - y, columns - x
    reach = float(np.hypot(hull[:, 0] - x, hull[:, 1] - y).max())
    inside = (down >= hull[:, 1].min() - y) & (across >= slopes[0] * down) & (across <= slopes[1] * down)
    return np.asarray(inside & (np.hypot(down, across) <= reach), np.uint8)


def _longest_side(hull: NDArray[np.float64], sign: int, least: float) -> tuple[NDArray[np.float64], float] | None:
    """Return a point on the longest side that leans left (-1) or right (1) going down, and its lean in degrees."""
    steps = np.roll(hull, -1, axis=0) - hull
    steps *= np.where(steps[:, 1:] < 0, -1, 1)
    lean = np.degrees(np.arctan2(sign * steps[:, 0], steps[:, 1]))
    length = np.where((lean >= _LEAN[0]) & (lean <= _LEAN[1]), np.hypot(*steps.T), 0)
    # The lower right corner of a hull leans left too: a side of a sector lies on the side that it leans to.
    middle = hull + (np.roll(hull, -1, axis=0) - hull) / 2
    length[sign * (middle[:, 0] - hull[:, 0].mean()) < 0] = 0
    best = int(length.argmax())
    return (hull[best], float(lean[best])) if length[best] >= least else None


def _black_level(grey: NDArray[np.uint8]) -> int:
    """Return the commonest grey level along the borders where it is nearly black, else 0."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    commonest = int(np.bincount(border).argmax())
    return commonest if commonest <= _MOST_BLACK else 0
