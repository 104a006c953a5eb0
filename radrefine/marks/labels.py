"""Text: annotations on the picture, columns of settings at its rim, lines of measurements."""

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Mark, Style, ink_layers

_SIDES = ("LT", "RT", "LEFT", "RIGHT", "L", "R", "Lt", "Rt", "left", "right")
_VIEWS = ("TRANS", "SAG", "LONG", "TRV", "MID", "UPPER", "LOWER", "RAD", "ARAD", "SUBCOSTAL", "10 o'clock", "2 N+3cm")
_SETTINGS: tuple[str, ...] = (
    "2D",
    "Gn {a}",
    "DR {a}",
    "{a}fps",
    "12L5",
    "{b} cm",
    "MI {c}",
    "TIS {c}",
    "FR {a}Hz",
    "C {a}",
    "P {a}%",
)
_SETTINGS += ("S/A {a}/2", "Map 3", "Res", "Harm", "Frq {b}", "D {b}cm", "AO {a}%", "Pwr 100", "[{a}]", "Chroma {d}")
_RESULTS = ("1 D {c}cm", "Dist A {b}mm", "+ {b} mm", "L {c} cm", "Vol {b} ml", "A: {c}cm", "x {c} cm", "{c}cm")


def draw_text(text: str, x: float, y: float, height: float, style: Style) -> Mark:
    """Draw one line of text with its top left corner at x, y (px) and capitals of `height` px."""
    ink = text_coverage(text, style.font, height, style.stroke)
    return Mark("text", ink_layers(round(x), round(y), ink, style))


def draw_label(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw an annotation somewhere on the picture, such as "RT AXILLA"; now and then cut by the edge."""
    height = _letters(rng, style, 7, 12)
    mark = draw_text(_fitting(rng, style, height, shape[1]), 0, 0, height, style)
    rows, columns = mark.layers[-1].coverage.shape
    over = 0.3 if rng.random() < 0.1 else 0.0
    x = rng.uniform(-over * columns, max(1.0, shape[1] - columns * (1 - over)))
    y = rng.uniform(-over * rows, max(1.0, shape[0] - rows * (1 - over)))
    return [_moved(mark, round(x), round(y))]


def draw_settings(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw a column of machine settings or a block of measurements at a corner, one mark per line."""
    results = rng.random() < 0.35
    height = _letters(rng, style, 6, 10)
    lines = [_filled(rng, str(rng.choice(_RESULTS if results else _SETTINGS))) for _ in range(int(rng.integers(1, 6)))]
    step = height * float(rng.uniform(1.5, 2.0))
    right, low = rng.random() < 0.5, rng.random() < 0.4
    x = float(rng.uniform(0, 0.03)) * shape[1]
    y = shape[0] - step * len(lines) - 2 if low else float(rng.uniform(0, 0.3)) * shape[0]
    marks = []
    for number, line in enumerate(lines):
        mark = draw_text(line, 0, y + number * step, height, style)
        columns = mark.layers[-1].coverage.shape[1]
        marks.append(_moved(mark, round(shape[1] - x - columns + 2 if right else x), 0))
    return marks


def _letters(rng: np.random.Generator, style: Style, low: float, high: float) -> float:
    return max(5.0, float(rng.uniform(low, high)) * style.scale)


def _fitting(rng: np.random.Generator, style: Style, height: float, width: int) -> str:
    words = [str(rng.choice(_SIDES))]
    if rng.random() < 0.7:
        words.append(str(rng.choice(style.places)))
    if rng.random() < 0.3:
        words.append(str(rng.choice(_VIEWS)))
    if rng.random() < 0.15:
        words = [words[0] + str(rng.integers(1, 13))]
    text = " ".join(words)
    # A letter is about 0.8 of its height wide; a label wider than the picture is no label.
    while len(text) * height * 0.8 > 0.9 * width and " " in text:
        text = text.rsplit(" ", 1)[0]
    return text


def _filled(rng: np.random.Generator, text: str) -> str:
    values = {"a": rng.integers(10, 100), "b": f"{rng.uniform(1, 30):.1f}", "c": f"{rng.uniform(0.2, 4):.2f}"}
    return text.format(d=rng.integers(1, 9), **values)


def _moved(mark: Mark, x: int, y: int) -> Mark:
    layers = [type(layer)(layer.x + x, layer.y + y, layer.coverage, layer.colour) for layer in mark.layers]
    return Mark(mark.kind, layers)
