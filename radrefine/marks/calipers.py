"""Measurements: calipers in pairs, the line between them or around the lesion, the digits or letters beside them."""

import math
from collections.abc import Iterable

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Layer, Mark, Point, Sketch, Style, ink_layers
from radrefine.marks.layout import Box, Layout
from radrefine.marks.lines import Pattern, draw_line, ellipse_path, random_pattern

SHAPES = {
    "plus": 0.3,
    "cross": 0.16,
    "gapped_plus": 0.2,
    "gapped_cross": 0.05,
    "dotted_plus": 0.05,
    "dots": 0.03,
    "star": 0.07,
    "hollow_plus": 0.04,
    "tee": 0.04,
    "square": 0.03,
    "ring": 0.03,
}
"""Shapes of calipers that `draw_caliper` knows, and how often screens have them."""

# A gap inside a cross of up to this many pixels belongs to its truth.
_SMALL_GAP = 7.0


def draw_caliper(centre: Point, size: float, style: Style, shape: str, angle: float = 0.0) -> Mark:
    """Draw one caliper.

    Args:
        centre: x, y of its centre, px.
        size: Width and height, px.
        style: The screen's style.
        shape: One of `SHAPES`.
        angle: Turn of the "tee", radians; the others stand upright.
    """
    half = size / 2
    box = (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)
    sketch = Sketch(box)
    # Strokes that are thick for the caliper's size would close its gaps.
    stroke = min(style.stroke, size / (9 if shape in ("hollow_plus", "square") else 4.5))
    if shape == "ring":
        sketch.ellipse(centre, (half * 0.7, half * 0.7), stroke)
    for points in _strokes(shape, half, angle, stroke):
        sketch.line([(centre[0] + x, centre[1] + y) for x, y in points], stroke, closed=len(points) > 2)
    if shape in ("dotted_plus", "ring"):
        sketch.ellipse(centre, (stroke * 0.6, stroke * 0.6))
    if shape == "dots":
        for x, y in ((0.0, 0.0), (half, 0.0), (-half, 0.0), (0.0, half), (0.0, -half)):
            sketch.ellipse((centre[0] + x * 0.8, centre[1] + y * 0.8), (stroke * 0.7, stroke * 0.7))
    return Mark("caliper", sketch.layers(style), _gaps(box, centre, shape, half, stroke))


def _gaps(box: Box, centre: Point, shape: str, half: float, stroke: float) -> list[Layer]:
    """Return the inside of a gapped cross, where it is small."""
    if ("gapped" not in shape and "dot" not in shape) or 2 * _gap(half, stroke) > _SMALL_GAP:
        return []
    whole = Sketch(box)
    for points in _strokes("cross" if shape == "gapped_cross" else "plus", half, 0.0, stroke):
        whole.line([(centre[0] + x * 0.7, centre[1] + y * 0.7) for x, y in points], stroke)
    return whole.gaps()


def _gap(half: float, stroke: float) -> float:
    return max(1.2 * stroke, 0.28 * half)


def _strokes(shape: str, half: float, angle: float, stroke: float) -> list[list[Point]]:
    arm = half - stroke / 2
    gap = _gap(half, stroke)
    plus: list[list[Point]] = [[(-arm, 0), (arm, 0)], [(0, -arm), (0, arm)]]
    cross: list[list[Point]] = [[(-arm, -arm), (arm, arm)], [(-arm, arm), (arm, -arm)]]
    if shape == "plus":
        return plus
    if shape == "cross":
        return cross
    if shape in ("gapped_plus", "dotted_plus"):
        return [[(x * gap, y * gap), (x * arm, y * arm)] for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    if shape == "gapped_cross":
        return [[(x * gap, y * gap), (x * arm, y * arm)] for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1))]
    if shape in ("dots", "ring"):
        return []
    if shape == "star":
        return [*plus, *([(x * 0.7, y * 0.7) for x, y in line] for line in cross)]
    if shape == "tee":
        along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        bar: list[Point] = [(-arm * across[0], -arm * across[1]), (arm * across[0], arm * across[1])]
        return [bar, [(0, 0), (arm * along[0], arm * along[1])]]
    if shape == "square":
        return [[(-arm, -arm), (arm, -arm), (arm, arm), (-arm, arm)]]
    bar_half = max(stroke, 0.2 * half)
    corners = [(-bar_half, -arm), (bar_half, -arm), (bar_half, -bar_half), (arm, -bar_half)]
    corners += [(arm, bar_half), (bar_half, bar_half), (bar_half, arm), (-bar_half, arm)]
    corners += [(-bar_half, bar_half), (-arm, bar_half), (-arm, -bar_half), (-bar_half, -bar_half)]
    return [[(float(x), float(y)) for x, y in corners]]


def draw_measurement(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a measurement: pairs of calipers, often the line between them, often a digit or letter beside them.

    Nearly half of the time a second pair crosses the first, as lesions are measured along two axes; now and then an
    ellipse or a trace runs around the lesion.

    Args:
        rng: Source of all choices.
        style: The screen's style.
        layout: Where the scan is; the measurement lies in it, at times across its edge.
    """
    size = max(5.0, float(rng.uniform(7, 14) * style.scale))
    if "gapped" in style.caliper:
        size *= float(rng.uniform(1.0, 1.6))
    box = _lesion(rng, layout)
    line = None if rng.random() < 0.4 else random_pattern(rng, style)
    digits = "1234" if rng.random() < 0.5 else str(rng.choice(["ABCD", "AAAA", "++++", "abcd"]))
    first, turn = int(rng.integers(3)), float(rng.normal(0, 0.35))
    flat = int(rng.random() < 0.5)
    marks: list[Mark] = []
    if rng.random() < 0.12:
        path = ellipse_path(box, turn, 0.0 if rng.random() < 0.6 else 0.25, rng)
        marks.append(draw_line(path, style, line or random_pattern(rng, style)))
        if rng.random() < 0.4:
            return marks
    for number in range(2 if rng.random() < 0.45 else 1):
        ends = _axis(box, turn, flat=(flat + number) % 2 == 1)
        marks += _pair(rng, style, ends, size, line, digits[first + number - 1])
    return marks


def draw_line_alone(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a line without calipers: an ellipse or trace, a cursor across the scan, the two lines of a biopsy guide."""
    choice = rng.random()
    pattern = random_pattern(rng, style)
    if choice < 0.4:
        box = _lesion(rng, layout)
        rough = 0.0 if rng.random() < 0.55 else 0.25
        return [draw_line(ellipse_path(box, float(rng.normal(0, 0.5)), rough, rng), style, pattern)]
    (x0, y0, x1, y1), at = layout.seen, layout.spot(rng)
    if choice < 0.75:
        lean = float(rng.normal(0, 0.35)) * (y1 - y0)
        top, bottom = (at[0] - lean / 2, y0 + 1), (at[0] + lean / 2, y1 - 1)
        if rng.random() < 0.25:
            top, bottom = (x0 + 1, at[1]), (x1 - 1, at[1])
        return [draw_line([top, bottom], style, pattern)]
    slope, apart = float(rng.choice([-1, 1])) * float(rng.uniform(0.3, 1.2)), float(rng.uniform(0.04, 0.12)) * (y1 - y0)
    end = at[1] + slope * (x1 - at[0])
    return [draw_line([(at[0], at[1] + down), (x1, end + down)], style, pattern) for down in (0.0, apart)]


def _lesion(rng: np.random.Generator, layout: Layout) -> Box:
    x0, y0, x1, y1 = layout.seen
    w, h = rng.uniform(0.08, 0.6, 2) * (x1 - x0, y1 - y0)
    x, y = rng.uniform(0.0, 1.0, 2) * (x1 - x0 - w, y1 - y0 - h)
    if rng.random() < 0.12:  # lesions may reach beyond the picture; then calipers lie across its edge
        x, y = x + float(rng.choice([-0.6, 0.6])) * w, y
    return x0 + float(x), y0 + float(y), x0 + float(x + w), y0 + float(y + h)


def _pair(
    rng: np.random.Generator, style: Style, ends: tuple[Point, Point], size: float, line: Pattern | None, caption: str
) -> list[Mark]:
    if rng.random() < 0.6:  # screens place marks on whole pixels
        ends = (_rounded(ends[0]), _rounded(ends[1]))
    marks = [] if line is None else [draw_line(ends, style, line)]
    angle = math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])
    marks.append(draw_caliper(ends[0], size, style, style.caliper, angle))
    marks.append(draw_caliper(ends[1], size, style, style.caliper, angle + math.pi))
    return marks + _captions(rng, caption, style, ends, size)


def _axis(box: Box, turn: float, *, flat: bool) -> tuple[Point, Point]:
    """Return the ends of the box's long or short middle line, turned about its centre."""
    x0, y0, x1, y1 = box
    if flat:
        return _turned((x0, (y0 + y1) / 2), box, turn), _turned((x1, (y0 + y1) / 2), box, turn)
    return _turned(((x0 + x1) / 2, y0), box, turn), _turned(((x0 + x1) / 2, y1), box, turn)


def _rounded(point: Point) -> Point:
    return float(round(point[0])), float(round(point[1]))


def _turned(point: Point, box: Iterable[float], turn: float) -> Point:
    x0, y0, x1, y1 = box
    x, y = point[0] - (x0 + x1) / 2, point[1] - (y0 + y1) / 2
    return (
        (x0 + x1) / 2 + x * math.cos(turn) - y * math.sin(turn),
        (y0 + y1) / 2 + x * math.sin(turn) + y * math.cos(turn),
    )


def _captions(
    rng: np.random.Generator, caption: str, style: Style, ends: tuple[Point, Point], size: float
) -> list[Mark]:
    if rng.random() < 0.2:
        return []
    where = ends if rng.random() < 0.35 else (ends[int(rng.integers(2))],)
    turn, spread = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.3, 0.75))
    return [_caption(caption, style, end, size, turn, spread) for end in where]


def _caption(caption: str, style: Style, end: Point, size: float, turn: float, spread: float) -> Mark:
    ink = text_coverage(caption, style.font, max(5.0, size * 0.85), style.stroke)
    reach = size * spread + max(ink.shape) * 0.5
    x = round(end[0] + reach * math.cos(turn) - ink.shape[1] / 2)
    y = round(end[1] + reach * math.sin(turn) - ink.shape[0] / 2)
    return Mark("text", ink_layers(x, y, ink, style))
