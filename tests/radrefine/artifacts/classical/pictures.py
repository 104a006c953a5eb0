"""Pictures with marks drawn by hand."""

import cv2
import numpy as np

from radrefine.records import Image


def speckle(seed: int = 0, level: float = 60.0, side: int = 128) -> Image:
    """Return grainy tissue, (side, side) uint8."""
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.rayleigh(level, (side, side)).clip(0, 150).astype(np.uint8), (5, 5), 1.2)


def with_plus(image: Image, x: int, y: int, half: int = 6, grey: int = 230) -> Image:
    """Return a copy with an upright cross, one pixel wide."""
    marked = image.copy()
    marked[y, x - half : x + half + 1] = marked[y - half : y + half + 1, x] = grey
    return marked


def with_text(image: Image, text: str, x: int, y: int, grey: int = 235) -> Image:
    """Return a copy with a line of text whose baseline begins at (x, y)."""
    marked = image.copy()
    cv2.putText(marked, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, grey, 1, cv2.LINE_AA)
    return marked
