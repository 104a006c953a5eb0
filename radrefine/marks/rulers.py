"""Scales: rows of depth or width ticks along a side of the scan, with and without figures."""

import math

import numpy as np

from radrefine.marks.ink import Mark, Point, Sketch, Style
from radrefine.marks.labels import draw_text
from radrefine.marks.layout import Layout


def draw_ticks(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw the row of depth or width ticks along a side of the scan or inside it, one mark per tick."""
    start, end = _side(rng, layout)
    length = max(1.0, math.dist(start, end))
    along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
    step = max(4.0, length / float(rng.uniform(4, 22)))
    size = min(step * 0.5, max(1.3, float(rng.uniform(1.2, 4.5)) * min(1.8, style.scale)))
    form = str(rng.choice(["dot", "dash", "square", "plus"], p=[0.4, 0.35, 0.17, 0.08]))
    major, figures, longer = int(rng.choice([1, 2, 5, 10])), rng.random() < 0.3, float(rng.uniform(1.0, 2.2))
    reach = float(rng.choice([-1, 1])) * (size * longer + style.scale * 4)
    marks, number = [], int(rng.integers(5))
    for at in np.arange(float(rng.uniform(0, 1)) * step, length, step):
        x, y = start[0] + along[0] * float(at), start[1] + along[1] * float(at)
        large = major > 1 and number % major == 0
        marks.append(_tick(form, (round(x), round(y)), size * (longer if large else 1.0), along, style))
        if figures and (large or (major == 1 and number % 2 == 0)):
            height = max(4.8, 6.5 * style.scale)
            place = (x - along[1] * reach - height * 0.4, y + along[0] * reach - height * 0.6)
            marks.append(draw_text(str(number), *place, height, style))
        number += 1
    if rng.random() < 0.12:
        axis = Sketch((min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1])))
        axis.line([start, end], max(0.9, style.stroke * 0.8))
        marks.append(Mark("tick", axis.layers(style)))
    return marks


def _side(rng: np.random.Generator, layout: Layout) -> tuple[Point, Point]:
    """Choose the line on which the ticks stand: mostly along a side, at times inside, at times slanted."""
    x0, y0, x1, y1 = layout.canvas if layout.tissue else layout.seen
    room = 0.06 * min(x1 - x0, y1 - y0)
    inset = (0.5 + room * float(rng.uniform()) ** 1.7) * (1.0 if layout.tissue or rng.random() < 0.4 else -1.0)
    if rng.random() < 0.12:
        inset = float(rng.uniform(room, 6 * room))
    edge = int(rng.choice(4, p=[0.33, 0.37, 0.18, 0.12]))  # left, right, top, bottom
    if edge < 2:
        x = x0 + inset if edge == 0 else x1 - 1 - inset
        lean = float(rng.choice([-1, 1])) * float(rng.uniform(0.3, 0.9)) * (y1 - y0) if rng.random() < 0.12 else 0.0
        return (x, y0), (x + lean, y1)
    y = y0 + inset if edge == 2 else y1 - 1 - inset
    return (x0, y), (x1, y)


def _tick(form: str, at: Point, size: float, along: Point, style: Style) -> Mark:
    half = size / 2
    sketch = Sketch((at[0] - half, at[1] - half, at[0] + half, at[1] + half))
    if form == "dot":
        sketch.ellipse(at, (half, half))
    elif form == "square":
        x0, y0, x1, y1 = at[0] - half, at[1] - half, at[0] + half, at[1] + half
        sketch.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    else:
        stroke = min(style.stroke, max(0.9, size * 0.5))
        directions = ((-along[1], along[0]),) if form == "dash" else ((1.0, 0.0), (0.0, 1.0))
        for x, y in directions:
            sketch.line([(at[0] - x * half, at[1] - y * half), (at[0] + x * half, at[1] + y * half)], stroke)
    return Mark("tick", sketch.layers(style))
