"""Pictures for tests: smooth random scenes that share nothing, and their variants."""

import cv2
import numpy as np


def scene(seed: int, size: int = 64) -> np.ndarray:
    """Return a smooth grey picture, (size, size) uint8; other seeds give unrelated pictures."""
    coarse = np.random.default_rng(seed).normal(size=(9, 9)).astype(np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(smooth, None, 10, 240, cv2.NORM_MINMAX).astype(np.uint8)


def brighter(image: np.ndarray) -> np.ndarray:
    return (image * 0.85 + 30).astype(np.uint8)


def smaller(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def with_calipers(image: np.ndarray) -> np.ndarray:
    marked = image.copy()
    for x, y in ((0.3, 0.4), (0.6, 0.55)):
        centre = (int(x * image.shape[1]), int(y * image.shape[0]))
        cv2.drawMarker(marked, centre, 255, cv2.MARKER_CROSS, max(5, image.shape[1] // 12), 1)
    return marked
