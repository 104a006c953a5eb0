"""Turn an image into what the detectors look at: how much each pixel stands out as part of a thin bright stroke."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image, Mask

# Burned-in strokes are one to four pixels wide on screens of the usual size.
_STROKE_ELEMENT: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
# Otsu always splits, even speckle; a mark stands out by at least this many grey levels.
_LEAST_CONTRAST: Final = 60


@dataclass(frozen=True, slots=True)
class Response:
    """What the detectors share.

    Attributes:
        grey: (H, W) uint8.
        tophat: (H, W) uint8, brightness above the surroundings wider than a stroke.
        candidates: (H, W) bool, pixels that stand out after Otsu's threshold and morphology.
        threshold: Grey levels above the surroundings that a candidate has at least.
    """

    grey: NDArray[np.uint8]
    tophat: NDArray[np.uint8]
    candidates: Mask
    threshold: int


def to_grey(image: Image) -> NDArray[np.uint8]:
    """Return the (H, W) luma of an image."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def measure_response(image: Image) -> Response:
    """Measure how much each pixel stands out as part of a stroke.

    White top-hat, Otsu's threshold on its non-zero part, and removal of single pixels.

    Args:
        image: (H, W) or (H, W, 3), uint8.

    Returns:
        The response that every detector reads.
    """
    grey = to_grey(image)
    tophat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, _STROKE_ELEMENT)
    raised = tophat[tophat > _LEAST_CONTRAST // 3]
    otsu = int(cv2.threshold(raised, 0, 255, cv2.THRESH_OTSU)[0]) if raised.size else 255
    threshold = max(otsu, _LEAST_CONTRAST)
    candidates = (tophat >= threshold).astype(np.uint8)
    return Response(grey, tophat.astype(np.uint8), _without_single_pixels(candidates), threshold)


def _without_single_pixels(candidates: NDArray[np.uint8]) -> Mask:
    neighbours = cv2.boxFilter(candidates, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return (candidates > 0) & (neighbours > 1)
