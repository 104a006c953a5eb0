"""Grey levels and colours of an image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image

Plane = NDArray[np.uint8]
"""One value per pixel, (H, W) uint8."""


def to_grey(image: Image) -> Plane:
    """Return the (H, W) luma of an image."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def without_equal_colours(image: Image) -> Image:
    """Return an image whose three colours are equal everywhere as the (H, W) grey one that it is; others as is."""
    if image.ndim == 3:
        red, green, blue = (image[..., colour] for colour in range(3))
        if np.array_equal(red, green) and np.array_equal(red, blue):
            return np.ascontiguousarray(red)
    return image


def channel_range(image: Image) -> tuple[Plane, Plane]:
    """Return the largest and the smallest channel of each pixel of an (H, W, 3) uint8 image."""
    # OpenCV's maximum of two planes is many times faster than numpy's along a short axis.
    first, second, third = cv2.split(image)
    largest = cv2.max(cv2.max(first, second), third)
    return largest, cv2.min(cv2.min(first, second), third)  # type: ignore[return-value]
