"""Marks of the probe's side: logos cut by a corner, letters, rings, dots, a small V."""

import math
from dataclasses import replace

import numpy as np

from radrefine.marks.fonts import text_coverage
from radrefine.marks.ink import Colour, Layer, Mark, Sketch, Style, ink_layers
from radrefine.marks.layout import Layout
from radrefine.marks.words import letters

_DOTS: tuple[Colour, ...] = ((60, 200, 120), (80, 140, 255), (255, 160, 40), (255, 255, 255), (255, 230, 80))


def draw_probe_mark(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw the mark that tells the probe's side, or the scanner's logo beside it."""
    form = str(rng.choice(["logo", "letter", "boxed", "dot", "ring", "vee", "badge"], p=[0.34, *(0.11,) * 6]))
    if form == "logo":
        return _logo(rng, style, layout)
    size = max(3.5, float(rng.uniform(4.5, 12)) * style.scale)
    x0, y0, x1, _ = layout.seen
    side = float(rng.uniform(0.0, 0.2))
    x = x0 + (x1 - x0) * (float(rng.uniform(0, 1)) if rng.random() < 0.3 else side if rng.random() < 0.6 else 1 - side)
    y = y0 + float(rng.uniform(-0.02, 0.12)) * layout.height + size * 0.3
    if form in ("letter", "boxed"):
        return [_letter(rng, style, x, y, size * 1.3, boxed=form == "boxed")]
    colour = _DOTS[int(rng.integers(len(_DOTS)))] if rng.random() < 0.5 else style.colour
    if form == "badge":
        return [_badge(rng, style, x, y, size * float(rng.uniform(0.5, 1.5)), colour)]
    sketch = Sketch((x - size, y - size, x + size, y + size))
    stroke = max(0.9, min(style.stroke, size * 0.25))
    if form == "dot":
        sketch.ellipse((x, y), (size * 0.5, size * 0.5))
    elif form == "vee":
        lean = float(rng.uniform(0.3, 0.6)) * size
        sketch.line([(x - lean, y - size * 0.5), (x, y + size * 0.5), (x + lean, y - size * 0.5)], stroke)
    else:
        sketch.ellipse((x, y), (size * 0.45, size * 0.45), stroke)
        if rng.random() < 0.5:
            sketch.line([(x + size * 0.5, y - size * 0.5), (x + size * 0.5, y + size * 0.6)], stroke)
    return [Mark("probe_mark", sketch.layers(style, colour))]


def _logo(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a logo of one or two lines with a dark rim, dim, mostly cut by a corner of the picture or the scan."""
    height = max(4.5, float(rng.uniform(5, 10)) * style.scale)
    grey = int(rng.integers(90, 235))
    dim = replace(style, colour=(grey, grey, grey), outline="halo", outline_alpha=float(rng.uniform(0.6, 1.0)))
    dim = replace(dim, alpha=float(rng.uniform(0.7, 1.0)), blur=min(style.blur, 0.5))
    font = str(rng.choice(["sans_bold", "mono_bold", "narrow_bold", style.font]))
    # Some logos are outlines alone: the tissue shows through their letters.
    hollow = rng.random() < 0.4
    x0, y0, x1, y1 = layout.canvas if rng.random() < 0.7 else layout.seen
    marks, step = [], 0.0
    left, up, cut = rng.random() < 0.75, rng.random() < 0.85, float(rng.uniform(0, 1)) ** 0.4
    for text in (letters(rng, int(rng.integers(2, 7))), letters(rng, 1) + str(rng.integers(1, 99)))[
        : rng.integers(1, 3)
    ]:
        ink = text_coverage(text, font, height, height * 0.16)
        rows, columns = ink.shape
        # Mostly all but the last letter or two are cut away.
        shift = cut * max(0.0, columns - height * 0.9) if rng.random() < 0.85 else 0.0
        x = x0 - shift if left else x1 - columns + shift
        y = y0 + step - 0.25 * rows * cut if up else y1 - rows - step
        layers = ink_layers(round(x), round(y), ink, dim)
        if hollow:
            layers[0] = _rim(layers[0], ink_layers(round(x), round(y), ink, replace(dim, blur=0.0))[-1])
            layers = layers[:1] if rng.random() < 0.5 else layers
        marks.append(Mark("probe_mark", layers))
        step += rows + 1.0
    return marks


def _rim(halo: Layer, ink: Layer) -> Layer:
    cover = np.clip(halo.coverage - ink.coverage, 0, 1)
    return Layer(halo.x, halo.y, np.asarray(cover, np.float32), (0, 0, 0))


def _letter(rng: np.random.Generator, style: Style, x: float, y: float, height: float, *, boxed: bool) -> Mark:
    ink = text_coverage(str(rng.choice(list("TVPGRMLSB"))), style.font, height, max(style.stroke, height * 0.14))
    layers = ink_layers(round(x - ink.shape[1] / 2), round(y - ink.shape[0] / 2), ink, style)
    if not boxed:
        return Mark("probe_mark", layers)
    half = height * 0.95
    sketch = Sketch((x - half, y - half, x + half, y + half))
    if rng.random() < 0.5:
        sketch.ellipse((x, y), (half, half), style.stroke)
    else:
        corners = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
        sketch.line(corners, style.stroke, closed=True)
    return Mark("probe_mark", [*sketch.layers(style), *layers])


def _badge(rng: np.random.Generator, style: Style, x: float, y: float, size: float, colour: Colour) -> Mark:
    """Draw a disc with a letter in it, or a small filled polygon."""
    sketch = Sketch((x - size, y - size, x + size, y + size))
    if rng.random() < 0.5:
        sketch.ellipse((x, y), (size, size))
        ink = text_coverage(str(rng.choice(list("PVGSM"))), style.font, max(4.0, size * 0.9), style.stroke)
        letter = ink_layers(
            round(x - ink.shape[1] / 2), round(y - ink.shape[0] / 2), ink, replace(style, outline="none")
        )
        grey = int(rng.integers(90, 200))
        return Mark("probe_mark", [*sketch.layers(style, (grey, grey, grey)), *letter])
    sides, turn = int(rng.integers(3, 7)), float(rng.uniform(0, math.pi))
    angles = [turn + 2 * math.pi * number / sides for number in range(sides)]
    sketch.fill([(x + size * 0.7 * math.cos(angle), y + size * 0.7 * math.sin(angle)) for angle in angles])
    return Mark("probe_mark", sketch.layers(style, colour))
