"""The user interface: strips and panels with words, rows of buttons, icons, traces of an ECG, tables of results."""

import math
from dataclasses import replace

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Colour, Layer, Mark, Sketch, Style, ink_layers
from radrefine.marks.labels import draw_text
from radrefine.marks.layout import Box, Layout
from radrefine.marks.words import BUTTONS, RESULTS, filled

_BARS: tuple[Colour, ...] = (
    (44, 52, 66),
    (60, 60, 60),
    (96, 96, 96),
    (150, 150, 150),
    (30, 60, 90),
    (188, 190, 192),
    (36, 40, 44),
    (20, 50, 80),
    (70, 80, 70),
    (210, 205, 190),
    (0, 0, 120),
    (110, 120, 135),
)


def draw_ui_bar(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a piece of the user interface: a strip along an edge, loose buttons or icons, an ECG, a table."""
    choice = rng.random()
    if choice < 0.5:
        return _strip(rng, style, layout)
    if choice < 0.68:
        return _buttons(rng, style, layout)
    if choice < 0.8:
        return [_ecg(rng, style, layout)]
    if choice < 0.9:
        return [_bracket(rng, style, layout)]
    return _table(rng, style, layout)


def _strip(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    height, width = layout.height, layout.width
    thick = max(5, round(float(rng.uniform(8, 26)) * style.scale))
    edge = int(rng.choice(4, p=[0.3, 0.36, 0.14, 0.2]))  # top, bottom, left, right
    low, high = (0.0, 1.0) if rng.random() < 0.6 else (float(rng.uniform(0, 0.3)), float(rng.uniform(0.6, 1)))
    if edge < 2:
        x0, x1 = round(low * width), round(high * width)
        y0, y1 = (0, thick) if edge == 0 else (height - thick, height)
    else:
        thick = round(thick * float(rng.uniform(1, 3)))
        y0, y1 = round(low * height), round(high * height)
        x0, x1 = (0, thick) if edge == 2 else (width - thick, width)
    if rng.random() < 0.15:  # a strip that does not quite reach the edge
        shift = int(rng.integers(1, 6))
        x0, x1, y0, y1 = x0 + shift, x1 + shift, y0 - shift, y1 - shift
    colour = _BARS[int(rng.integers(len(_BARS)))]
    bar = _filled_box((x0, y0, x1, y1), colour, rng)
    return [bar, *_words(rng, style, (x0, y0, x1, y1), colour, upright=edge > 1)]


def _filled_box(box: tuple[int, int, int, int], colour: Colour, rng: np.random.Generator) -> Mark:
    x0, y0, x1, y1 = box
    cover = np.ones((max(1, y1 - y0), max(1, x1 - x0)), np.float32)
    if rng.random() < 0.7:
        return Mark("ui_bar", [Layer(x0, y0, cover, colour)])
    # Shaded from light to dark, with a light rim.
    ramp = np.linspace(1.25, 0.75, cover.shape[0], dtype=np.float32)[:, None, None]
    shaded = np.clip(np.asarray(colour, np.float32) * ramp * np.ones((*cover.shape, 1), np.float32), 0, 255)
    shaded[0] = np.minimum(255, shaded[0] * 1.4)
    return Mark("ui_bar", [Layer(x0, y0, cover, shaded)])


def _words(
    rng: np.random.Generator, style: Style, box: tuple[int, int, int, int], colour: Colour, *, upright: bool
) -> list[Mark]:
    x0, y0, x1, y1 = box
    size = (y1 - y0) * float(rng.uniform(0.35, 0.6)) if not upright else float(rng.uniform(6, 11)) * style.scale
    size = max(4.8, size)
    light = sum(colour) > 380
    tone = int(rng.integers(0, 60)) if light else int(rng.integers(140, 256))
    style = replace(style, colour=(tone, tone, tone), outline="none", alpha=max(style.alpha, 0.85))
    if rng.random() < 0.15:
        return []
    marks: list[Mark] = []
    x, y = x0 + float(rng.uniform(1, 20)), float(y0) + float(rng.uniform(1, 20))
    while len(marks) < 8:
        ink = text_coverage(filled(rng, str(rng.choice(BUTTONS))), style.font, size, style.stroke)
        if upright:
            if y + ink.shape[0] > y1 or ink.shape[1] > 1.3 * (x1 - x0):
                return marks
            place = (round((x0 + x1 - ink.shape[1]) / 2), round(y))
            y += size * float(rng.uniform(1.6, 4))
        else:
            if x + ink.shape[1] > x1:
                return marks
            place = (round(x), round((y0 + y1 - ink.shape[0]) / 2))
            x += ink.shape[1] + size * float(rng.uniform(1.2, 4))
        marks.append(Mark("text", ink_layers(*place, ink, style)))
    return marks


def _buttons(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a row or column of framed or filled buttons with a word or an icon each."""
    size = max(7.0, float(rng.uniform(9, 20)) * style.scale)
    wide = size * float(rng.uniform(1.0, 3.5))
    x, y = layout.corner(rng, wide, size)
    colour, solid = _BARS[int(rng.integers(len(_BARS)))], rng.random() < 0.5
    across, icons = rng.random() < 0.5, rng.random() < 0.5
    marks: list[Mark] = []
    for number in range(int(rng.integers(1, 5))):
        left = x + (number * wide * 1.15 if across else 0)
        top = y + (0 if across else number * size * 1.25)
        box = (round(left), round(top), round(left + wide), round(top + size))
        if solid:
            marks.append(_filled_box(box, colour, rng))
        else:
            frame = Sketch((left, top, left + wide, top + size))
            corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
            frame.line([(float(a), float(b)) for a, b in corners], max(0.8, style.stroke * 0.8), closed=True)
            marks.append(Mark("ui_bar", frame.layers(style)))
        if icons:
            marks.append(_icon(rng, style, (left, top, left + wide, top + size)))
        else:
            marks += _words(rng, style, box, colour if solid else (0, 0, 0), upright=False)[:1]
    return marks


def _icon(rng: np.random.Generator, style: Style, box: Box) -> Mark:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = min(box[2] - box[0], box[3] - box[1]) * 0.32
    sketch = Sketch((x - half, y - half, x + half, y + half))
    stroke = max(0.8, min(style.stroke, half / 2.5))
    form = int(rng.integers(4))
    if form == 0:
        sketch.ellipse((x, y), (half, half), stroke)
    elif form == 1:
        sketch.fill([(x - half, y - half), (x + half, y), (x - half, y + half)])
    elif form == 2:
        for at in (-half * 0.8, 0.0, half * 0.8):
            sketch.line([(x - half, y + at), (x + half, y + at)], stroke)
    else:
        sketch.line([(x - half, y + half), (x, y - half), (x + half, y + half)], stroke, closed=True)
    return Mark("ui_bar", sketch.layers(style))


def _ecg(rng: np.random.Generator, style: Style, layout: Layout) -> Mark:
    """Draw the trace of an electrocardiogram along the lower part of the canvas."""
    x0, x1 = float(rng.uniform(-0.1, 0.4)) * layout.width, float(rng.uniform(0.5, 1.05)) * layout.width
    base, high = float(rng.uniform(0.72, 0.97)) * layout.height, float(rng.uniform(0.04, 0.12)) * layout.height
    beat = float(rng.uniform(0.2, 0.6)) * layout.width
    x = np.linspace(x0, x1, max(30, round((x1 - x0) / 1.5)))
    phase = ((x - x0) / beat + float(rng.uniform())) % 1
    waves = ((0.2, 0.035, 0.15), (0.31, 0.012, -0.12), (0.34, 0.011, 1.0), (0.37, 0.012, -0.2), (0.6, 0.05, 0.25))
    level = sum(height * np.exp(-(((phase - at) / width) ** 2)) for at, width, height in waves)
    y = base - high * np.asarray(level) + rng.normal(0, 0.01 * high, len(x))
    sketch = Sketch((x0, float(y.min()), x1, float(y.max())))
    sketch.line(list(zip(x.tolist(), y.tolist(), strict=True)), max(0.8, style.stroke * 0.8))
    green = rng.random() < 0.4
    return Mark("ui_bar", sketch.layers(replace(style, outline="none"), (80, 255, 100) if green else None))


def _bracket(rng: np.random.Generator, style: Style, layout: Layout) -> Mark:
    """Draw the bracket that shows how far a zone or a zoom reaches, upright or along a sector's side."""
    at, length = layout.corner(rng, 10, 10), float(rng.uniform(0.12, 0.5)) * layout.height
    turn = math.pi / 2 if rng.random() < 0.6 else float(rng.uniform(0, math.pi))
    along, cap = (math.cos(turn), math.sin(turn)), max(2.0, float(rng.uniform(2, 6)) * style.scale)
    ends = [(at[0] + along[0] * way * length / 2, at[1] + along[1] * way * length / 2) for way in (-1, 1)]
    reach = length / 2 + cap
    sketch = Sketch((at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach))
    sketch.line(ends, style.stroke)
    for x, y in ends:
        sketch.line([(x - along[1] * cap, y + along[0] * cap), (x + along[1] * cap, y - along[0] * cap)], style.stroke)
    return Mark("ui_bar", sketch.layers(style))


def _table(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a box of results, see-through or solid, with a frame or rules between its lines."""
    height = max(4.8, float(rng.uniform(6, 10)) * style.scale)
    lines = [filled(rng, str(rng.choice(RESULTS))) for _ in range(int(rng.integers(1, 6)))]
    texts = [draw_text(line, 0, 0, height, style) for line in lines]
    wide = max(mark.layers[-1].coverage.shape[1] for mark in texts) + round(height)
    step = round(height * float(rng.uniform(1.6, 2.2)))
    tall = step * len(lines) + round(height * 0.6)
    x, y = (round(value) for value in layout.corner(rng, wide, tall))
    marks: list[Mark] = []
    if rng.random() < 0.5:
        grey = int(rng.integers(0, 70))
        cover = np.full((tall, wide), float(rng.uniform(0.4, 1.0)), np.float32)
        marks.append(Mark("ui_bar", [Layer(x, y, cover, (grey, grey, grey + int(rng.integers(0, 40))))]))
    if rng.random() < 0.6:
        frame = Sketch((x, y, x + wide, y + tall))
        corners = [(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)]
        frame.line([(float(a), float(b)) for a, b in corners], max(0.8, style.stroke * 0.7), closed=True)
        marks.append(Mark("ui_bar", frame.layers(style)))
    for number, line in enumerate(lines):
        marks.append(draw_text(line, x + height * 0.3, y + height * 0.4 + number * step, height, style))
    return marks
