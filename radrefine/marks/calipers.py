"""Measurements: calipers in pairs, the line between them and the digits or letters beside them."""

import math
from collections.abc import Iterable

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Layer, Mark, Point, Sketch, Style, ink_layers

SHAPES = ("plus", "cross", "gapped_plus", "dotted_plus", "star", "hollow_plus", "tee", "square")
"""Shapes of calipers that `draw_caliper` knows."""


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
    sketch = Sketch((centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half))
    # Strokes that are thick for the caliper's size would close its gaps.
    stroke = min(style.stroke, size / (9 if shape in ("hollow_plus", "square") else 4))
    for points in _strokes(shape, half, angle, stroke):
        sketch.line([(centre[0] + x, centre[1] + y) for x, y in points], stroke, closed=len(points) > 2)
    if shape == "dotted_plus":
        sketch.ellipse(centre, (stroke * 0.6, stroke * 0.6))
    return Mark("caliper", sketch.layers(style))


def _strokes(shape: str, half: float, angle: float, stroke: float) -> list[list[Point]]:
    arm = half - stroke / 2
    gap = max(1.2 * stroke, 0.28 * half)
    plus: list[list[Point]] = [[(-arm, 0), (arm, 0)], [(0, -arm), (0, arm)]]
    cross: list[list[Point]] = [[(-arm, -arm), (arm, arm)], [(-arm, arm), (arm, -arm)]]
    if shape == "plus":
        return plus
    if shape == "cross":
        return cross
    if shape in ("gapped_plus", "dotted_plus"):
        return [[(x * gap, y * gap), (x * arm, y * arm)] for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
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


def draw_dotted_line(start: Point, end: Point, style: Style, period: float, dash: float, width: float) -> Mark:
    """Draw a dotted or dashed line.

    Args:
        start: x, y of one end, px.
        end: x, y of the other end, px.
        style: The screen's style.
        period: From the start of one dash to the next, px.
        dash: Length of a dash, px; no longer than `width` makes dots.
        width: Width of the line, px.
    """
    length = max(1e-6, math.dist(start, end))
    x, y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    box = (min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    sketch = Sketch(box)
    for at in np.arange(period / 2, length - dash / 2, period):
        if dash <= width:
            sketch.ellipse((start[0] + x * at, start[1] + y * at), (width / 2, width / 2))
        else:
            stop = min(at + dash, length)
            sketch.line([(start[0] + x * at, start[1] + y * at), (start[0] + x * stop, start[1] + y * stop)], width)
    return Mark("dotted_line", sketch.layers(style))


def draw_measurement(rng: np.random.Generator, style: Style, box: tuple[float, float, float, float]) -> list[Mark]:
    """Draw a measurement: pairs of calipers, often the line between them, often a digit or letter beside them.

    Nearly half of the time a second pair crosses the first, as lesions are measured along two axes.

    Args:
        rng: Source of all choices.
        style: The screen's style.
        box: x0, y0, x1, y1 of what is measured, px.
    """
    size = max(5.0, float(rng.uniform(8, 13) * style.scale))
    line = None if rng.random() < 0.4 else _line_pattern(rng, style, size)
    letters = "1234" if rng.random() < 0.6 else "ABCD"
    first, turn = int(rng.integers(3)), float(rng.normal(0, 0.35))
    flat = int(rng.random() < 0.5)
    marks: list[Mark] = []
    for number in range(2 if rng.random() < 0.45 else 1):
        ends = _axis(box, turn, flat=(flat + number) % 2 == 1)
        if rng.random() < 0.6:  # screens place marks on whole pixels
            ends = (_rounded(ends[0]), _rounded(ends[1]))
        if line is not None:
            marks.append(draw_dotted_line(*ends, style, *line))
        angle = math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])
        marks.append(draw_caliper(ends[0], size, style, style.caliper, angle))
        marks.append(draw_caliper(ends[1], size, style, style.caliper, angle + math.pi))
        marks += _captions(rng, letters[first + number], style, ends, size)
    return marks


def _axis(box: tuple[float, float, float, float], turn: float, *, flat: bool) -> tuple[Point, Point]:
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


def _line_pattern(rng: np.random.Generator, style: Style, size: float) -> tuple[float, float, float]:
    """Choose period, dash and width of a line: dots close together, centimetre dots, or dashes."""
    width = max(0.8, style.stroke * float(rng.uniform(0.7, 1.1)))
    if rng.random() < 0.75:
        period = float(rng.uniform(2.4, 4.5)) if rng.random() < 0.75 else float(rng.uniform(1.0, 2.0)) * size
        return max(period * max(1.0, style.scale * 0.8), 2.2 * width), width, width
    dash = float(rng.uniform(2.5, 5)) * max(1.0, style.scale)
    return dash * float(rng.uniform(1.5, 2.2)), dash, width


def _captions(
    rng: np.random.Generator, caption: str, style: Style, ends: tuple[Point, Point], size: float
) -> list[Mark]:
    if rng.random() < 0.2:
        return []
    where = ends if rng.random() < 0.35 else (ends[int(rng.integers(2))],)
    turn = float(rng.uniform(0, 2 * math.pi))
    return [_caption(caption, style, end, size, turn) for end in where]


def _caption(caption: str, style: Style, end: Point, size: float, turn: float) -> Mark:
    ink = text_coverage(caption, style.font, max(5.0, size * 0.85), style.stroke)
    reach = size * 0.62 + max(ink.shape) * 0.5
    x = round(end[0] + reach * math.cos(turn) - ink.shape[1] / 2)
    y = round(end[1] + reach * math.sin(turn) - ink.shape[0] / 2)
    layers: list[Layer] = ink_layers(x, y, ink, style)
    return Mark("text", layers)
