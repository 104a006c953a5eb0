"""Ink: anti-aliased strokes on small patches, the style of one screen, and how ink meets the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.marks.words import PLACES
from radrefine.records import Image, Mask

Coverage = NDArray[np.float32]
"""How much of each pixel is covered with ink, (h, w) float32 0-1."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 4
# A change of fewer grey levels than this is not seen, is left out of the picture and so out of the truth.
VISIBLE = 5
# A mark of which less than this share of the ink shows (white on white) is not drawn at all.
_SHOWN = 0.5
# Ink shows where it changes the picture by this many grey levels or more.
_PLAIN = 14
_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Style:
    """How one screen draws its marks.

    Attributes:
        scale: Size of marks relative to those of a 256 px picture.
        colour: RGB of the ink, 0-255.
        stroke: Width of a stroke, px.
        font: Name of a font, one of `radrefine.marks.fonts.FONTS`.
        caliper: Shape of the calipers, one of `radrefine.marks.calipers.SHAPES`.
        outline: "none", "halo" (dark rim) or "shadow" (dark copy below right).
        outline_alpha: Opacity of the rim or shadow, 0-1.
        alpha: Opacity of the ink, 0-1.
        blur: Sigma of the blur that rescaling left, px.
        smooth: False draws hard-edged (aliased) marks.
        plate: Opacity of a dark box behind text, 0-1; 0 draws none.
        line: Opacity of lines between calipers relative to `alpha`, 0-1; many screens draw them fainter.
        places: Names of body parts in annotations.
    """

    scale: float = 1.0
    colour: Colour = (235, 235, 235)
    stroke: float = 1.0
    font: str = "default"
    caliper: str = "plus"
    outline: str = "none"
    outline_alpha: float = 0.7
    alpha: float = 1.0
    blur: float = 0.3
    smooth: bool = True
    plate: float = 0.0
    line: float = 1.0
    places: tuple[str, ...] = PLACES


@dataclass(frozen=True, slots=True)
class Layer:
    """One colour of ink on a patch of the picture.

    Attributes:
        x: Column of the patch's left edge; may lie outside the picture.
        y: Row of the patch's top edge; may lie outside the picture.
        coverage: (h, w) float32 0-1, opacity included.
        colour: RGB, or (h, w, 3) float32 for gradients such as colour bars.
    """

    x: int
    y: int
    coverage: Coverage
    colour: Colour | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark: its kind and its layers, drawn in order.

    Attributes:
        kind: One of `radrefine.schema.KINDS`.
        layers: Ink, drawn in order.
        gaps: Coverage that belongs to the mark though no ink lies there: the small gap inside a cross, the gaps of a
            dotted line. Hand-made masks count them in, and a fill that spares them leaves the mark's ghost.
    """

    kind: str
    layers: Sequence[Layer]
    gaps: Sequence[Layer] = ()


@dataclass
class Sketch:
    """Collects strokes in picture coordinates (px; 0 is the centre of the first pixel) and turns them into layers.

    Attributes:
        box: x0, y0, x1, y1 of the patch, px; strokes outside it are lost.
    """

    box: tuple[float, float, float, float]
    _sheet: NDArray[np.uint8] = field(init=False)
    _x: int = field(init=False)
    _y: int = field(init=False)

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        margin = 3
        self._x, self._y = int(np.floor(x0)) - margin, int(np.floor(y0)) - margin
        width, height = int(np.ceil(x1)) + margin + 1 - self._x, int(np.ceil(y1)) + margin + 1 - self._y
        self._sheet = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE), np.uint8)

    def _fixed(self, points: Sequence[Point]) -> NDArray[np.int32]:
        at = np.asarray(points, np.float64) - (self._x, self._y) + 0.5
        return np.rint((at * SUPERSAMPLE - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def line(self, points: Sequence[Point], stroke: float, *, closed: bool = False) -> None:
        """Draw a polyline `stroke` px wide."""
        width = max(1, round(stroke * SUPERSAMPLE))
        cv2.polylines(self._sheet, [self._fixed(points)], closed, 255, width, cv2.LINE_8, _SHIFT)

    def fill(self, points: Sequence[Point]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self._sheet, [self._fixed(points)], 255, cv2.LINE_8, _SHIFT)

    def pixel(self, x: int, y: int) -> None:
        """Fill the pixel at column x, row y."""
        left, top = (x - self._x) * SUPERSAMPLE, (y - self._y) * SUPERSAMPLE
        self._sheet[max(0, top) : max(0, top + SUPERSAMPLE), max(0, left) : max(0, left + SUPERSAMPLE)] = 255

    def ellipse(
        self,
        centre: Point,
        axes: Point,
        stroke: float | None = None,
        *,
        angle: float = 0.0,
        arc: tuple[float, float] = (0.0, 360.0),
    ) -> None:
        """Draw an ellipse or an arc of it (degrees), filled when `stroke` is None."""
        width = -1 if stroke is None else max(1, round(stroke * SUPERSAMPLE))
        at = [int(value) for value in self._fixed([centre])[0]]
        size = [max(1, round(axis * SUPERSAMPLE * (1 << _SHIFT))) for axis in axes]
        cv2.ellipse(self._sheet, at, size, angle, arc[0], arc[1], 255, width, cv2.LINE_8, _SHIFT)

    def coverage(self) -> tuple[int, int, Coverage]:
        """Return x, y and the coverage of what was drawn."""
        size = (self._sheet.shape[1] // SUPERSAMPLE, self._sheet.shape[0] // SUPERSAMPLE)
        small = cv2.resize(self._sheet, size, interpolation=cv2.INTER_AREA)
        return self._x, self._y, np.multiply(small, 1 / 255, dtype=np.float32)

    def layers(self, style: Style, colour: Colour | None = None) -> list[Layer]:
        """Return the ink in `style`, with its rim or shadow below it."""
        return ink_layers(*self.coverage(), style, colour)

    def gaps(self) -> list[Layer]:
        """Return what was drawn as gaps of a mark: part of its truth, not of its ink."""
        return [Layer(*self.coverage(), (0, 0, 0))]


def ink_layers(x: int, y: int, coverage: Coverage, style: Style, colour: Colour | None = None) -> list[Layer]:
    """Turn a coverage into layers in `style`: rim or shadow first, ink above it."""
    pad = 3
    coverage = padded(coverage, pad)
    if not style.smooth:
        coverage = (coverage > 0.4).astype(np.float32)
    layers = []
    if style.outline != "none":
        layers.append(_outline(x - pad, y - pad, coverage, style))
    ink = soften(coverage, style.blur) * style.alpha
    layers.append(Layer(x - pad, y - pad, ink, style.colour if colour is None else colour))
    return layers


def padded(coverage: Coverage, pad: int) -> Coverage:
    """Return a coverage with `pad` empty pixels around it."""
    return np.asarray(cv2.copyMakeBorder(coverage, pad, pad, pad, pad, cv2.BORDER_CONSTANT), np.float32)


def _outline(x: int, y: int, coverage: Coverage, style: Style) -> Layer:
    if style.outline == "shadow":
        step = max(1, round(style.scale * style.stroke * 0.8))
        dark = np.zeros_like(coverage)
        dark[step:, step:] = coverage[:-step, :-step]
    else:
        dark = np.asarray(cv2.dilate(coverage, np.ones((3, 3), np.uint8)), np.float32)
    dark = soften(dark, style.blur) * style.outline_alpha * style.alpha
    return Layer(x, y, dark, (0, 0, 0))


def soften(coverage: Coverage, sigma: float) -> Coverage:
    """Blur a coverage by `sigma` px; thin strokes lose contrast as they do when a screen is scaled down."""
    if sigma < 0.2:
        return coverage
    return np.asarray(cv2.GaussianBlur(coverage, (0, 0), sigma), np.float32)


def strongest(change: NDArray[Any]) -> NDArray[Any]:
    """Return the largest channel of (h, w) or (h, w, 3)."""
    if change.ndim == 2:
        return change
    # OpenCV's maximum of two planes is many times faster than numpy's along a short axis.
    planes = cv2.split(change)
    return np.asarray(cv2.max(cv2.max(planes[0], planes[1]), planes[2]))


def stamp(image: Image, mark: Mark) -> tuple[int, int, Mask, Mask] | None:
    """Draw `mark` onto `image` in place, where it shows.

    Args:
        image: (H, W) or (H, W, 3) uint8, changed in place.
        mark: The mark; what lies outside the image is cut off.

    Returns:
        x, y and two (h, w) bool masks, trimmed to their bounding box: the pixels that changed, and those that belong to
        the mark without a change. None when too little of the mark would show, and then nothing is drawn.
    """
    bounds = _bounds(image, mark)
    if bounds is None:
        return None
    x0, y0, x1, y1 = bounds
    before = image[y0:y1, x0:x1].astype(np.float32)
    after = before.copy()
    opacity = np.zeros(before.shape[:2], np.float32)
    for layer in mark.layers:
        _blend(after, opacity, layer, x0, y0)
    drawn: NDArray[np.float32] = np.clip(np.rint(after), 0, 255)
    change = strongest(cv2.absdiff(drawn, before))
    changed = change >= VISIBLE
    ink = opacity > 0.35
    if np.count_nonzero(changed) < 2 or np.count_nonzero(ink & (change >= _PLAIN)) < _SHOWN * np.count_nonzero(ink):
        return None
    image[y0:y1, x0:x1][changed] = drawn[changed].astype(np.uint8)
    gaps = _gaps(mark, changed, ink, x0, y0)
    truth = changed | gaps
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return x0 + int(columns[0]), y0 + int(rows[0]), changed[part], gaps[part]


def _gaps(mark: Mark, changed: Mask, ink: Mask, x0: int, y0: int) -> Mask:
    # Ink as grey as the tissue beneath it is still the mark's, where the rest of the mark is close by.
    gaps = ink & (cv2.dilate(changed.view(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    for layer in mark.gaps:
        place = _overlap(layer, gaps.shape, x0, y0)
        if place is not None:
            gaps[place[0]] |= layer.coverage[place[1]] > 0.3
    return gaps & ~changed


def _bounds(image: Image, mark: Mark) -> tuple[int, int, int, int] | None:
    height, width = image.shape[:2]
    layers = [*mark.layers, *mark.gaps]
    x0 = max(0, min(layer.x for layer in layers))
    y0 = max(0, min(layer.y for layer in layers))
    x1 = min(width, max(layer.x + layer.coverage.shape[1] for layer in layers))
    y1 = min(height, max(layer.y + layer.coverage.shape[0] for layer in layers))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _overlap(
    layer: Layer, shape: tuple[int, ...], x0: int, y0: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the common part of a layer and a patch at x0, y0, in the patch and in the layer."""
    rows, columns = layer.coverage.shape
    top, left = max(layer.y, y0), max(layer.x, x0)
    bottom, right = min(layer.y + rows, y0 + shape[0]), min(layer.x + columns, x0 + shape[1])
    if bottom <= top or right <= left:
        return None
    inside = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    return inside, (slice(top - layer.y, bottom - layer.y), slice(left - layer.x, right - layer.x))


def _blend(after: NDArray[np.float32], opacity: Coverage, layer: Layer, x0: int, y0: int) -> None:
    place = _overlap(layer, after.shape, x0, y0)
    if place is None:
        return
    inside, source = place
    cover = layer.coverage[source]
    colour = np.asarray(layer.colour, np.float32)
    if colour.ndim == 3:
        colour = colour[source]
    if after.ndim == 2:
        colour = np.asarray(colour @ np.array([0.299, 0.587, 0.114]), np.float32)
    weight = cover if after.ndim == 2 else cover[..., None]
    after[inside] += (colour - after[inside]) * weight
    opacity[inside] = np.maximum(opacity[inside], cover)
