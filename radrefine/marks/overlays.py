"""Overlays: frames of colour boxes, colour bars, grey wedges and strips of the user interface."""

import numpy as np
from numpy.typing import NDArray

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Colour, Layer, Mark, Sketch, Style, ink_layers

_FRAMES: tuple[Colour, ...] = ((200, 190, 60), (240, 220, 40), (90, 220, 90), (80, 200, 230), (240, 240, 240))
_BARS: tuple[Colour, ...] = ((44, 52, 66), (60, 60, 60), (96, 96, 96), (150, 150, 150), (30, 60, 90), (188, 190, 192))
_WORDS = ("Gen", "Sector", "MB Off", "THI On", "Page 1/3", "FREEZE", "Patient", "Exam", "2D", "M", "CF", "Print")


def draw_colour_overlay(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw what colour Doppler leaves on a picture besides flow: the frame of its box, its colour bar, or both."""
    frame = _frame(rng, style, shape)
    choice = rng.random()
    if choice < 0.45:
        return [frame]
    bar = _colour_bar(rng, shape)
    return [bar] if choice < 0.7 else [frame, bar]


def _frame(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> Mark:
    height, width = shape
    w, h = float(rng.uniform(0.25, 0.6)) * width, float(rng.uniform(0.25, 0.6)) * height
    x, y = float(rng.uniform(0.05, 0.95)) * (width - w), float(rng.uniform(0.05, 0.95)) * (height - h)
    lean = float(rng.uniform(-0.25, 0.25)) * h if rng.random() < 0.4 else 0.0
    corners = [(x + lean, y), (x + w + lean, y), (x + w, y + h), (x, y + h)]
    if lean == 0.0:
        corners = [(float(round(a)), float(round(b))) for a, b in corners]
    sketch = Sketch((min(x, x + lean), y, max(x + w, x + w + lean), y + h))
    sketch.line(corners, style.stroke, closed=True)
    layer = sketch.layers(style, _FRAMES[int(rng.integers(len(_FRAMES)))])[-1]
    return Mark("colour_overlay", [layer])


def _colour_bar(rng: np.random.Generator, shape: tuple[int, int]) -> Mark:
    height, width = shape
    w, h = (
        max(4, round(float(rng.uniform(0.02, 0.045)) * width)),
        max(12, round(float(rng.uniform(0.2, 0.45)) * height)),
    )
    x = round(float(rng.uniform(0.01, 0.05)) * width) if rng.random() < 0.5 else width - w - round(0.02 * width)
    y = round(float(rng.uniform(0.03, 0.5)) * height)
    cover = np.ones((h, w), np.float32)
    return Mark("colour_overlay", [Layer(x, y, cover, _flow_colours(h, w, powered=bool(rng.random() < 0.3)))])


def _flow_colours(height: int, width: int, *, powered: bool) -> NDArray[np.float32]:
    t = np.linspace(1, 0 if powered else -1, height, dtype=np.float32)
    toward, away = np.clip(t, 0, 1), np.clip(-t, 0, 1)
    red = 255 * np.clip(0.3 + 1.4 * toward, 0, 1) * (toward > 0)
    green = 255 * (np.clip(1.8 * toward - 0.8, 0, 1) + np.clip(1.8 * away - 0.8, 0, 1))
    blue = 255 * np.clip(0.3 + 1.4 * away, 0, 1) * (away > 0)
    column = np.stack([red, green, blue], axis=1)
    column[np.abs(t) < 0.04] = 0
    return np.repeat(column[:, None].astype(np.float32), width, axis=1)


def draw_ui_bar(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    """Draw a strip of the user interface along an edge, with words on it, or a grey wedge."""
    if rng.random() < 0.35:
        return [_grey_wedge(rng, shape)]
    height, width = shape
    thick = max(6, round(float(rng.uniform(10, 22)) * style.scale))
    edge = int(rng.choice(4, p=[0.3, 0.4, 0.15, 0.15]))  # top, bottom, left, right
    if edge < 2:
        x0, x1 = (0, width) if rng.random() < 0.6 else (round(0.1 * width), round(0.9 * width))
        y0, y1 = (0, thick) if edge == 0 else (height - thick, height)
    else:
        y0, y1 = 0, height
        x0, x1 = (0, thick) if edge == 2 else (width - thick, width)
    colour = _BARS[int(rng.integers(len(_BARS)))]
    bar = Mark("ui_bar", [Layer(x0, y0, np.ones((y1 - y0, x1 - x0), np.float32), colour)])
    return [bar, *_bar_words(rng, style, (x0, y0, x1, y1), colour)] if edge < 2 else [bar]


def _bar_words(rng: np.random.Generator, style: Style, box: tuple[int, int, int, int], colour: Colour) -> list[Mark]:
    x0, y0, x1, y1 = box
    letters = max(5.0, (y1 - y0) * 0.5)
    ink_colour: Colour = (20, 20, 20) if sum(colour) > 380 else (225, 225, 225)
    marks: list[Mark] = []
    x = x0 + float(rng.uniform(2, 20))
    while True:
        ink = text_coverage(str(rng.choice(_WORDS)), style.font, letters, style.stroke)
        if x + ink.shape[1] > x1 or len(marks) >= 6:
            return marks
        y = (y0 + y1 - ink.shape[0]) / 2
        marks.append(Mark("text", ink_layers(round(x), round(y), ink, style, ink_colour)[-1:]))
        x += ink.shape[1] + letters * float(rng.uniform(1.5, 4))


def _grey_wedge(rng: np.random.Generator, shape: tuple[int, int]) -> Mark:
    height, width = shape
    w, h = (
        max(4, round(float(rng.uniform(0.018, 0.04)) * width)),
        max(12, round(float(rng.uniform(0.25, 0.6)) * height)),
    )
    x = round(0.02 * width) if rng.random() < 0.3 else width - w - round(float(rng.uniform(0.0, 0.05)) * width)
    y = round(float(rng.uniform(0.03, 0.35)) * height)
    grey = np.repeat(np.linspace(255, 0, h, dtype=np.float32)[:, None], w, axis=1)
    return Mark("ui_bar", [Layer(x, y, np.ones((h, w), np.float32), np.repeat(grey[..., None], 3, axis=2))])
