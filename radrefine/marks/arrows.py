"""Arrows: focus triangles at the rim, and solid, hollow or thin arrows and bare heads on the picture."""

import math

import numpy as np

from radrefine.marks.ink import Mark, Point, Sketch, Style
from radrefine.marks.layout import Layout

_FORMS = ("focus", "solid", "hollow", "thin", "head", "hollow_head", "chevron")


def draw_arrow(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw focus marks at the scan's side, or one to three arrows of one form on the picture."""
    form = str(rng.choice(_FORMS, p=[0.26, 0.16, 0.22, 0.12, 0.1, 0.08, 0.06]))
    if form == "focus":
        return _focus(rng, style, layout)
    length = max(7.0, float(rng.uniform(12, 34)) * style.scale)
    slim = float(rng.uniform(0.7, 1.3))
    marks = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
        tip, turn = layout.spot(rng), float(rng.uniform(0, 2 * math.pi))
        marks.append(_arrow(form, tip, length, slim, turn, style))
    return marks


def _focus(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    size = max(3.5, float(rng.uniform(4, 12)) * style.scale)
    x0, y0, x1, y1 = layout.canvas if rng.random() < 0.5 else layout.seen
    left, inward = rng.random() < 0.4, rng.random() < 0.7
    inset = float(rng.uniform(-0.4, 1.6)) * size
    x = x0 + inset if left else x1 - 1 - inset
    back = size * float(rng.uniform(0.6, 1.0)) * (-1 if left == inward else 1)
    hourglass, solid = rng.random() < 0.15, rng.random() < 0.8
    y, marks = y0 + float(rng.uniform(0.08, 0.9)) * (y1 - y0), []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.75, 0.15, 0.1]))):
        sketch = Sketch((x - size, y - size, x + size, y + size))
        for way in (back, -back)[: 2 if hourglass else 1]:
            outline = [(x, y), (x + way, y - size / 2), (x + way, y + size / 2)]
            if solid:
                sketch.fill(outline)
            else:
                sketch.line(outline, min(style.stroke, size / 5), closed=True)
        marks.append(Mark("arrow", sketch.layers(style)))
        y += size * float(rng.uniform(1.2, 4))
    return marks


def _arrow(form: str, tip: Point, length: float, slim: float, turn: float, style: Style) -> Mark:
    def at(back: float, side: float) -> Point:
        along, across = back * length, side * length * slim
        return (
            tip[0] - along * math.cos(turn) - across * math.sin(turn),
            tip[1] - along * math.sin(turn) + across * math.cos(turn),
        )

    sketch = Sketch((tip[0] - length, tip[1] - length, tip[0] + length, tip[1] + length))
    stroke = min(style.stroke, max(0.9, length / 9))
    shaft = [at(0, 0), at(0.42, 0.24), at(0.42, 0.09), at(1, 0.09), at(1, -0.09), at(0.42, -0.09), at(0.42, -0.24)]
    head = [at(0, 0), at(0.6, 0.26), at(0.45, 0), at(0.6, -0.26)]
    if form in ("solid", "head"):
        sketch.fill(shaft if form == "solid" else head)
    elif form in ("hollow", "hollow_head"):
        sketch.line(shaft if form == "hollow" else head, stroke, closed=True)
    elif form == "chevron":
        sketch.line([at(0.4, 0.25), at(0, 0), at(0.4, -0.25)], stroke * 1.4)
    else:
        sketch.line([at(0, 0), at(1, 0)], stroke)
        sketch.line([at(0.3, 0.18), at(0, 0), at(0.3, -0.18)], stroke)
    return Mark("arrow", sketch.layers(style))
