"""Lines that measure: dots, dashes and thin strokes along straight lines, ellipses and traces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from radrefine.marks.ink import Mark, Point, Sketch, Style
from radrefine.marks.layout import Box

# Gaps of up to this many pixels belong to a line's truth.
_JOINED = 2.6


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a line is broken.

    Attributes:
        period: From the start of one dash to the next, px; 0 draws a solid line.
        dash: Length of a dash, px; no longer than `width` makes dots.
        width: Width of the line, px.
        snapped: Whether each dot is a whole pixel of the screen; the period then counts along the steeper axis.
    """

    period: float
    dash: float
    width: float
    snapped: bool = False


def random_pattern(rng: np.random.Generator, style: Style) -> Pattern:
    """Draw a pattern: dots close together or far apart, dashes, now and then a solid line."""
    width = max(0.8, style.stroke * float(rng.uniform(0.6, 1.15)))
    zoom = max(0.8, style.scale * 0.8)
    choice = rng.random()
    if choice < 0.26:  # every second or third pixel
        return Pattern(float(rng.choice([2, 2, 2, 3, 3, 4])), 1.0, 1.0, snapped=True)
    if choice < 0.48:
        period = float(rng.uniform(2.2, 4.6)) * zoom
    elif choice < 0.75:
        period = float(rng.uniform(4.0, 15.0)) * max(1.0, zoom)
        width = max(1.0, float(rng.uniform(1.0, 2.4)) * max(0.8, zoom * 0.8))
    elif choice < 0.93:
        dash = float(rng.uniform(2.0, 6.0)) * zoom
        return Pattern(dash * float(rng.uniform(1.4, 2.4)), dash, width)
    else:
        return Pattern(0.0, 0.0, width)
    return Pattern(max(period, 2.0 * width), width, width)


def draw_line(points: Sequence[Point], style: Style, pattern: Pattern, *, kind: str = "dotted_line") -> Mark:
    """Draw a line through `points` in a pattern.

    Args:
        points: x, y of two points or more, px.
        style: The screen's style; `style.line` makes the line fainter than the other marks.
        pattern: Dots, dashes or solid.
        kind: Kind of the mark.
    """
    path = np.asarray(points, np.float64)
    box: Box = (path[:, 0].min(), path[:, 1].min(), path[:, 0].max(), path[:, 1].max())
    sketch = Sketch(box)
    style = replace(style, alpha=style.alpha * style.line, blur=min(style.blur, 0.3) if pattern.snapped else style.blur)
    if pattern.period <= 0:
        sketch.line(points, pattern.width)
        return Mark(kind, sketch.layers(style))
    across = np.abs(np.diff(path, axis=0))
    steps = across.max(axis=1) if pattern.snapped else np.hypot(*across.T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    for start in np.arange(pattern.period / 2, along[-1] - pattern.dash / 2, pattern.period):
        if pattern.dash <= pattern.width:
            x, y = float(np.interp(start, along, path[:, 0])), float(np.interp(start, along, path[:, 1]))
            if pattern.snapped:
                sketch.pixel(round(x), round(y))
            else:
                sketch.ellipse((x, y), (pattern.width / 2, pattern.width / 2))
        else:
            reach = np.linspace(start, min(start + pattern.dash, along[-1]), 2 if len(path) == 2 else 4)
            points_there = np.stack([np.interp(reach, along, path[:, axis]) for axis in (0, 1)], axis=1)
            sketch.line([(float(x), float(y)) for x, y in points_there], pattern.width)
    if pattern.period - pattern.dash > _JOINED:
        return Mark(kind, sketch.layers(style))
    solid = Sketch(box)
    solid.line(points, pattern.width)
    return Mark(kind, sketch.layers(style), solid.gaps())


def ellipse_path(box: Box, turn: float, rough: float, rng: np.random.Generator) -> list[Point]:
    """Return a closed path around `box`: an ellipse, or a hand-drawn trace where `rough` is above 0."""
    angles = np.linspace(0, 2 * math.pi, 73)
    radius = np.ones_like(angles)
    for harmonic in range(2, 6):
        phase, weight = rng.uniform(0, 2 * math.pi), rng.normal(0, rough / harmonic)
        radius += weight * np.cos(harmonic * angles + phase)
    x = radius * np.cos(angles) * (box[2] - box[0]) / 2
    y = radius * np.sin(angles) * (box[3] - box[1]) / 2
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    points = np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], axis=1)
    return [(float(px + middle[0]), float(py + middle[1])) for px, py in points]
