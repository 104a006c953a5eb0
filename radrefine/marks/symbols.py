"""Symbols: body markers, probe marks, ticks and arrows."""

import math

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Colour, Layer, Mark, Point, Sketch, Style, ink_layers

_DOTS: tuple[Colour, ...] = ((60, 200, 120), (80, 140, 255), (255, 160, 40), (255, 255, 255), (255, 230, 80))


def draw_body_marker(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw a pictogram of a body part with the probe's position, mostly in a corner."""
    height = max(14.0, float(rng.uniform(26, 46)) * style.scale)
    width = height * float(rng.uniform(0.7, 1.0))
    x, y = _corner(rng, shape, width, height)
    sketch = Sketch((x - width * 0.15, y - height * 0.15, x + width * 1.15, y + height * 1.15))
    draw = (_breast, _torso, _neck, _limb)[int(rng.integers(4))]
    draw(sketch, x, y, width, height, max(0.7, style.stroke * 0.8))
    _probe(rng, sketch, x, y, width, height, style.stroke)
    return [Mark("body_marker", sketch.layers(style))]


def _breast(sketch: Sketch, x: float, y: float, width: float, height: float, stroke: float) -> None:
    centre, radius = (x + width * 0.45, y + height * 0.6), width * 0.42
    sketch.ellipse(centre, (radius, radius * 1.05), stroke)
    sketch.ellipse(centre, (radius * 0.2, radius * 0.2), stroke)
    for dx, dy in ((1.0, 0.0), (0.0, 1.0)):
        sketch.line(
            [(centre[0] - dx * radius, centre[1] - dy * radius), (centre[0] + dx * radius, centre[1] + dy * radius)],
            stroke,
        )
    tip = (x + width * 0.98, y + height * 0.02)
    sketch.line(
        [(centre[0] - radius * 0.3, centre[1] - radius), tip, (centre[0] + radius, centre[1] - radius * 0.1)], stroke
    )


def _torso(sketch: Sketch, x: float, y: float, width: float, height: float, stroke: float) -> None:
    left = [(0.38, 0.0), (0.36, 0.12), (0.08, 0.2), (0.02, 0.5), (0.12, 0.55), (0.2, 0.42), (0.24, 0.7), (0.18, 1.0)]
    for side in (left, [(1 - a, b) for a, b in left]):
        sketch.line([(x + a * width, y + b * height) for a, b in side], stroke)
    sketch.line([(x + 0.5 * width, y + 0.75 * height), (x + 0.5 * width, y + height)], stroke)


def _neck(sketch: Sketch, x: float, y: float, width: float, height: float, stroke: float) -> None:
    left = [(0.25, 0.0), (0.3, 0.45), (0.25, 0.65), (0.0, 0.8)]
    for side in (left, [(1 - a, b) for a, b in left]):
        sketch.line([(x + a * width, y + b * height) for a, b in side], stroke)
    for lobe in (0.41, 0.59):
        sketch.ellipse((x + lobe * width, y + 0.5 * height), (0.07 * width, 0.16 * height), stroke)


def _limb(sketch: Sketch, x: float, y: float, width: float, height: float, stroke: float) -> None:
    sketch.ellipse((x + width / 2, y + height / 2), (width * 0.32, height * 0.5), stroke)
    sketch.ellipse((x + width / 2, y + height / 2), (width * 0.12, height * 0.15), stroke)


def _probe(
    rng: np.random.Generator, sketch: Sketch, x: float, y: float, width: float, height: float, stroke: float
) -> None:
    turn = float(rng.uniform(0, math.pi))
    cx, cy = x + width * float(rng.uniform(0.3, 0.7)), y + height * float(rng.uniform(0.3, 0.8))
    dx, dy = math.cos(turn) * width * 0.16, math.sin(turn) * width * 0.16
    sketch.line([(cx - dx, cy - dy), (cx + dx, cy + dy)], stroke * 2)
    sketch.line([(cx - dx, cy - dy), (cx - dx - dy * 0.6, cy - dy + dx * 0.6)], stroke)


def draw_probe_mark(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw the mark that tells the probe's side: a logo cut by the corner, a letter, a ring, a dot."""
    choice = int(rng.integers(5))
    if choice == 0:
        return [_corner_logo(rng, style, shape)]
    size = max(4.0, float(rng.uniform(5, 11)) * style.scale)
    x = float(rng.uniform(0.03, 0.97)) * shape[1] if rng.random() < 0.5 else float(rng.uniform(0.02, 0.2)) * shape[1]
    y = float(rng.uniform(0.01, 0.1)) * shape[0] + size / 2
    if choice == 1:
        return [_letter(rng, style, x, y, size * 1.3, boxed=False)]
    if choice == 2:
        return [_letter(rng, style, x, y, size, boxed=True)]
    sketch = Sketch((x - size, y - size, x + size, y + size))
    colour = _DOTS[int(rng.integers(len(_DOTS)))] if rng.random() < 0.7 else style.colour
    if choice == 3:
        sketch.ellipse((x, y), (size * 0.5, size * 0.5))
    else:
        sketch.ellipse((x, y), (size * 0.5, size * 0.5), max(1.0, size * 0.2))
        sketch.line([(x + size * 0.5, y - size * 0.5), (x + size * 0.5, y + size * 0.6)], style.stroke)
    return [Mark("probe_mark", sketch.layers(style, colour))]


def _corner_logo(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> Mark:
    size = max(4.0, float(rng.uniform(6, 11)) * style.scale)
    x = float(rng.uniform(-0.4, 0.3)) * size
    if rng.random() < 0.2:
        x = shape[1] - size - x
    y = float(rng.uniform(-0.3, 0.1)) * size
    plate = Sketch((x, y, x + size, y + size))
    plate.fill([(x, y), (x + size, y), (x + size, y + size), (x, y + size)])
    ink = Sketch((x, y, x + size, y + size))
    ink.ellipse((x + size * 0.45, y + size * 0.5), (size * 0.24, size * 0.32), max(0.8, size * 0.14))
    ink.line([(x + size * 0.7, y + size * 0.1), (x + size * 0.7, y + size * 0.9)], max(0.8, size * 0.12))
    px, py, cover = plate.coverage()
    return Mark("probe_mark", [Layer(px, py, cover * 0.9, (8, 8, 8)), *ink.layers(style)])


def _letter(rng: np.random.Generator, style: Style, x: float, y: float, height: float, *, boxed: bool) -> Mark:
    ink = text_coverage(str(rng.choice(list("TVPGRM"))), style.font, height, max(style.stroke, height * 0.14))
    layers = ink_layers(round(x - ink.shape[1] / 2), round(y - ink.shape[0] / 2), ink, style)
    if not boxed:
        return Mark("probe_mark", layers)
    half = height * 0.95
    sketch = Sketch((x - half, y - half, x + half, y + half))
    if rng.random() < 0.5:
        sketch.ellipse((x, y), (half, half), style.stroke)
    else:
        sketch.line(
            [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)],
            style.stroke,
            closed=True,
        )
    return Mark("probe_mark", [*sketch.layers(style), *layers])


def draw_ticks(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw the row of depth or width ticks along one edge, one mark per tick."""
    edge = int(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1]))  # left, right, top, bottom
    along = shape[0] if edge < 2 else shape[1]
    step = max(9.0, along / float(rng.uniform(5, 16)))
    size = max(1.6, float(rng.uniform(1.8, 3.4)) * min(1.6, style.scale))
    inset = float(rng.uniform(0.5, 0.06 * min(shape)))
    form = str(rng.choice(["dot", "dash", "square"]))
    marks = []
    for number, at in enumerate(np.arange(float(rng.uniform(0.1, 1)) * step, along - 2, step)):
        across = inset if edge in (0, 2) else (shape[1] if edge == 1 else shape[0]) - 1 - inset
        x, y = (across, at) if edge < 2 else (at, across)
        long = size * (1.5 if number % 5 == 0 else 1.0)
        marks.append(_tick(form, (round(x), round(y)), long, edge < 2, style))
    return marks


def _tick(form: str, at: Point, size: float, upright: bool, style: Style) -> Mark:
    half = size / 2
    sketch = Sketch((at[0] - half, at[1] - half, at[0] + half, at[1] + half))
    if form == "dot":
        sketch.ellipse(at, (half, half))
    elif form == "square":
        sketch.fill(
            [
                (at[0] - half, at[1] - half),
                (at[0] + half, at[1] - half),
                (at[0] + half, at[1] + half),
                (at[0] - half, at[1] + half),
            ]
        )
    else:
        ends = ((-half, 0.0), (half, 0.0)) if upright else ((0.0, -half), (0.0, half))
        sketch.line([(at[0] + x, at[1] + y) for x, y in ends], style.stroke)
    return Mark("tick", sketch.layers(style))


def draw_arrow(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw an arrow: a focus triangle at the edge, or a solid, hollow or thin arrow on the picture."""
    form = str(rng.choice(["focus", "solid", "hollow", "thin"], p=[0.25, 0.25, 0.25, 0.25]))
    if form == "focus":
        size = max(5.0, float(rng.uniform(6, 12)) * style.scale)
        left = rng.random() < 0.5
        tip = (1.0 + size if left else shape[1] - 2.0 - size, float(rng.uniform(0.15, 0.85)) * shape[0])
        back = -size * 0.8 if left else size * 0.8
        sketch = Sketch((tip[0] - size, tip[1] - size, tip[0] + size, tip[1] + size))
        sketch.fill([tip, (tip[0] + back, tip[1] - size / 2), (tip[0] + back, tip[1] + size / 2)])
        return [Mark("arrow", sketch.layers(style))]
    length = max(9.0, float(rng.uniform(14, 34)) * style.scale)
    tip = (float(rng.uniform(0.15, 0.85)) * shape[1], float(rng.uniform(0.15, 0.85)) * shape[0])
    turn = float(rng.uniform(0, 2 * math.pi))
    return [_long_arrow(form, tip, length, turn, style)]


def _long_arrow(form: str, tip: Point, length: float, turn: float, style: Style) -> Mark:
    def at(back: float, side: float) -> Point:
        along, across = back * length, side * length
        return (
            tip[0] - along * math.cos(turn) - across * math.sin(turn),
            tip[1] - along * math.sin(turn) + across * math.cos(turn),
        )

    sketch = Sketch((tip[0] - length, tip[1] - length, tip[0] + length, tip[1] + length))
    outline = [at(0, 0), at(0.42, 0.24), at(0.42, 0.09), at(1, 0.09), at(1, -0.09), at(0.42, -0.09), at(0.42, -0.24)]
    if form == "solid":
        sketch.fill(outline)
    elif form == "hollow":
        sketch.line(outline, style.stroke, closed=True)
    else:
        sketch.line([at(0, 0), at(1, 0)], style.stroke)
        sketch.line([at(0.3, 0.18), at(0, 0), at(0.3, -0.18)], style.stroke)
    return Mark("arrow", sketch.layers(style))


def _corner(rng: np.random.Generator, shape: tuple[int, int], width: float, height: float) -> Point:
    if rng.random() < 0.2:
        return float(rng.uniform(0, max(1.0, shape[1] - width))), float(rng.uniform(0, max(1.0, shape[0] - height)))
    inset_x, inset_y = float(rng.uniform(-0.1, 0.5)) * width, float(rng.uniform(0, 0.5)) * height
    x = inset_x if rng.random() < 0.5 else shape[1] - width - inset_x
    y = inset_y if rng.random() < 0.3 else shape[0] - height - inset_y
    return x, y
