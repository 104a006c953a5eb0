"""Text: annotations on the picture, columns of settings at its rim, blocks of results, lines of a header."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Layer, Mark, Style, ink_layers
from radrefine.marks.layout import Layout
from radrefine.marks.words import NUMBERS, RECORDS, RESULTS, SETTINGS, SIDES, VIEWS, filled


def draw_text(text: str, x: float, y: float, height: float, style: Style) -> Mark:
    """Draw one line of text with its top left corner at x, y (px) and capitals of `height` px."""
    return _placed(_text(text, height, style), round(x), round(y))


def _text(text: str, height: float, style: Style) -> list[Layer]:
    ink = text_coverage(text, style.font, height, style.stroke)
    layers = ink_layers(0, 0, ink, style)
    if style.plate > 0:
        rim = max(1, round(height * 0.18))
        box = np.full((ink.shape[0] + 2 * rim, ink.shape[1] + 2 * rim), style.plate, np.float32)
        layers.insert(0, Layer(-rim, -rim, box, (0, 0, 0)))
    return layers


def _placed(layers: Sequence[Layer], x: int, y: int) -> Mark:
    return Mark("text", [Layer(layer.x + x, layer.y + y, layer.coverage, layer.colour) for layer in layers])


def _size(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the width and height of a line of text without the margin of its layers."""
    rows, columns = layers[-1].coverage.shape
    return columns - 8, rows - 8


def draw_label(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw an annotation somewhere on the picture, such as "RT AXILLA"; now and then cut by the edge."""
    height = _height(rng, style, 6.5, 13)
    if rng.random() < 0.12:
        style = replace(style, plate=float(rng.uniform(0.5, 1.0)))
    text = _annotation(rng, style, height, layout.width)
    layers = _text(text, height, style)
    columns, rows = _size(layers)
    x0, y0, x1, y1 = layout.seen
    over = 0.6 if rng.random() < 0.2 else 0.0
    x = rng.uniform(x0 - over * columns, max(x0 + 1.0, x1 - columns * (1 - over)))
    y = rng.uniform(y0 - over * 0.7 * rows, max(y0 + 1.0, y1 - rows * (1 - over)))
    marks = [_placed(layers, round(x), round(y))]
    if rng.random() < 0.15:
        below = _text(_annotation(rng, style, height, layout.width), height, style)
        marks.append(_placed(below, round(x), round(y + rows * 1.6)))
    return marks


def draw_settings(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a column of machine settings or a block of measurements beside a corner, one mark per line."""
    choice = rng.random()
    source = RESULTS if choice < 0.35 else SETTINGS if choice < 0.85 else NUMBERS
    height = _height(rng, style, 5.5, 11)
    lines = [filled(rng, str(rng.choice(source))) for _ in range(int(rng.integers(1, 8)))]
    step = height * float(rng.uniform(1.4, 2.4))
    right, low, ragged = rng.random() < 0.5, rng.random() < 0.35, rng.random() < 0.5
    x0, y0, x1, y1 = layout.canvas if rng.random() < 0.75 else layout.seen
    # A column that the picture's edge cuts is what a crop of a screen leaves.
    inset = float(rng.uniform(-2.5, 0.0)) * height if rng.random() < 0.25 else float(rng.uniform(0, 0.03)) * (x1 - x0)
    y = y1 - step * len(lines) - 2 if low else y0 + float(rng.uniform(-0.02, 0.45)) * (y1 - y0)
    marks, edge = [], 0.0
    for number, line in enumerate(lines):
        layers = _text(line, height, style)
        columns = _size(layers)[0]
        edge = max(edge, float(columns)) if number == 0 or ragged else edge
        x = x1 - inset - (columns if ragged else edge) if right else x0 + inset
        marks.append(_placed(layers, round(x), round(y + number * step)))
    return marks


def draw_header(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw lines about the patient and the exam along the top, seldom along the bottom."""
    height = _height(rng, style, 5.5, 10)
    low = rng.random() < 0.25
    y = layout.height - height * 1.5 if low else float(rng.uniform(0, 0.6)) * height
    marks: list[Mark] = []
    for number in range(int(rng.integers(1, 3))):
        x = float(rng.uniform(0.0, 0.15)) * layout.width
        while x < layout.width and len(marks) < 8:
            layers = _text(filled(rng, str(rng.choice(RECORDS))), height, style)
            marks.append(_placed(layers, round(x), round(y + (-1 if low else 1) * number * height * 1.7)))
            x += _size(layers)[0] + height * float(rng.uniform(1.0, 9.0))
    return marks


def _height(rng: np.random.Generator, style: Style, low: float, high: float) -> float:
    return max(4.8, float(rng.uniform(low, high)) * style.scale)


def _annotation(rng: np.random.Generator, style: Style, height: float, width: int) -> str:
    if rng.random() < 0.12:
        return str(rng.choice(list("ABCDKLMNOTRV12345+*")))
    words = [str(rng.choice(SIDES))]
    if rng.random() < 0.7:
        words.append(str(rng.choice(style.places)))
    if rng.random() < 0.3:
        words.append(str(rng.choice(VIEWS)))
    if rng.random() < 0.15:
        words = [words[0] + str(rng.integers(1, 13))]
    if rng.random() < 0.2:
        words = words[-1:]
    text = " ".join(words)
    if rng.random() < 0.2:
        text = text.capitalize() if rng.random() < 0.5 else text.lower()
    # A letter is about 0.8 of its height wide; a label wider than the picture is no label.
    while len(text) * height * 0.8 > 0.9 * width and " " in text:
        text = text.rsplit(" ", 1)[0]
    return text
