"""Turn an image into what the rules look at: how much each pixel stands out as part of a thin bright stroke."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.colours import Plane, channel_range
from radrefine.records import Image

# Strokes are one to four pixels wide on captures of this size, and wider in proportion on larger ones.
_USUAL_SIDE: Final = 400
_SURROUNDINGS: Final = 31


@dataclass(frozen=True, slots=True)
class Response:
    """What the rules share; all planes are (H, W) uint8.

    Attributes:
        value: The brightest channel: grey, and as bright for blue ink as for white.
        saturation: Largest less smallest channel; None for grey images.
        thin: Rise above the surroundings wider than a stroke (white top-hat).
        thick: The same with an element wide enough for filled arrows and large letters.
        joined: `thin` with the gaps between near strokes filled: dots of a line, arms of an open cross.
        lateral: Rise above the surroundings to the left and right. Tissue is smeared sideways by the beam and rises
            little; upright strokes do.
        axial: Rise above what lies over and under.
        unit: Size of the drawing relative to that of captures of 400 px, 1 or more.
    """

    value: Plane
    saturation: Plane | None
    thin: Plane
    thick: Plane
    joined: Plane
    lateral: Plane
    axial: Plane
    unit: int


def measure_response(image: Image) -> Response:
    """Measure how much each pixel stands out as part of a stroke.

    Args:
        image: (H, W) or (H, W, 3), uint8.

    Returns:
        The response that every detector reads.
    """
    value, saturation = _planes(image)
    unit, side = _stroke_scale(value)
    thin = _rise(value, side, side)
    gap = 2 * unit + 3
    joined = np.asarray(cv2.morphologyEx(thin, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8)), np.uint8)
    return Response(
        value,
        saturation,
        thin,
        _rise(value, 2 * side + 3, 2 * side + 3),
        joined,
        _rise(value, 1, side),
        _rise(value, side, 1),
        unit,
    )


def measure_thin(image: Image) -> Plane:
    """Return only `Response.thin` of an image, (H, W) or (H, W, 3) uint8."""
    value, _ = _planes(image)
    _, side = _stroke_scale(value)
    return _rise(value, side, side)


def _stroke_scale(value: Plane) -> tuple[int, int]:
    """Return the size of the drawing, and the side of the square that is wider than its strokes, px."""
    unit = max(1, round(max(value.shape) / _USUAL_SIDE))
    return unit, 2 * (3 + unit) + 1


def _planes(image: Image) -> tuple[Plane, Plane | None]:
    if image.ndim == 2:
        return image, None
    value, least = channel_range(image)
    saturation = cv2.subtract(value, least)
    return value, saturation if saturation.any() else None  # type: ignore[return-value]


def _rise(value: Plane, height: int, width: int) -> Plane:
    return np.asarray(cv2.morphologyEx(value, cv2.MORPH_TOPHAT, np.ones((height, width), np.uint8)), np.uint8)


def detail_planes(response: Response, field: NDArray[np.bool_]) -> list[NDArray]:
    """Return the planes whose means describe a region, in the order of `MEANS` of `regions.py`."""
    value = response.value
    surroundings = cv2.blur(value, (_SURROUNDINGS, _SURROUNDINGS))
    none = np.zeros_like(value)
    return [
        value,
        response.thin,
        response.lateral,
        response.axial,
        cv2.subtract(value, cv2.GaussianBlur(value, (0, 0), 1.0)),
        cv2.erode(value, np.ones((5, 5), np.uint8)),
        surroundings,
        cv2.blur(cv2.absdiff(value, surroundings), (_SURROUNDINGS, _SURROUNDINGS)),
        none if response.saturation is None else response.saturation,
        field.view(np.uint8),
        cv2.morphologyEx(value, cv2.MORPH_GRADIENT, np.ones((1, 3), np.uint8)),
        cv2.morphologyEx(value, cv2.MORPH_GRADIENT, np.ones((3, 1), np.uint8)),
    ]
