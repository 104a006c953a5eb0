"""Overlays: frames of colour boxes and regions, Doppler gates, colour bars and grey bars."""

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.marks.ink import Colour, Layer, Mark, Point, Sketch, Style
from radrefine.marks.labels import draw_text
from radrefine.marks.layout import Layout
from radrefine.marks.lines import Pattern, draw_line

_FRAMES: tuple[Colour, ...] = (
    (200, 190, 60),
    (240, 220, 40),
    (90, 220, 90),
    (80, 200, 230),
    (240, 240, 240),
    (150, 150, 90),
    (255, 120, 40),
    (180, 180, 180),
    (120, 130, 255),
)


def draw_colour_overlay(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw what Doppler and elastography leave on a picture besides flow: frames, gates, colour and grey bars."""
    choice = rng.random()
    if choice < 0.3:
        return [_frame(rng, style, layout)]
    if choice < 0.5:
        return _gate(rng, style, layout)
    if choice < 0.85:
        return _bar(rng, style, layout)
    return [_frame(rng, style, layout), *_bar(rng, style, layout)]


def _frame(rng: np.random.Generator, style: Style, layout: Layout) -> Mark:
    """Draw the frame of a region: a rectangle, a leaning or tapering box, the slice of a fan, a circle."""
    x0, y0, x1, y1 = layout.seen
    w, h = float(rng.uniform(0.15, 0.7)) * (x1 - x0), float(rng.uniform(0.15, 0.7)) * (y1 - y0)
    x, y = x0 + float(rng.uniform(0, 1)) * (x1 - x0 - w), y0 + float(rng.uniform(0, 1)) * (y1 - y0 - h)
    if rng.random() < 0.12:
        x += float(rng.choice([-0.5, 0.5])) * w
    form = str(rng.choice(["box", "lean", "taper", "fan", "circle"], p=[0.42, 0.18, 0.14, 0.18, 0.08]))
    path = _outline(rng, form, x, y, w, h)
    if rng.random() < 0.6:
        style = replace(style, colour=_FRAMES[int(rng.integers(len(_FRAMES)))])
    style = replace(style, outline="none" if rng.random() < 0.8 else style.outline, line=1.0)
    width = max(0.9, style.stroke * float(rng.uniform(0.7, 1.2)))
    period = float(rng.uniform(3, 9)) if rng.random() < 0.15 else 0.0
    return draw_line([*path, path[0]], style, Pattern(period, period * 0.6, width), kind="colour_overlay")


def _outline(rng: np.random.Generator, form: str, x: float, y: float, w: float, h: float) -> list[Point]:
    if form == "circle":
        angles, radius = np.linspace(0, 2 * math.pi, 49)[:-1], min(w, h) / 2
        return [(x + w / 2 + radius * math.cos(a), y + h / 2 + radius * math.sin(a)) for a in angles]
    if form == "fan":
        half, tilt = float(rng.uniform(0.12, 0.45)), float(rng.normal(0, 0.25))
        far = (w / 2) / math.sin(half)
        near = max(0.15 * far, far - h)
        arcs = [np.linspace(-half, half, 17) + tilt, np.linspace(half, -half, 17) + tilt]
        apex = (x + w / 2 - far * math.sin(tilt), y + h - far)
        return [
            (apex[0] + radius * math.sin(a), apex[1] + radius * math.cos(a))
            for radius, arc in zip((near, far), arcs, strict=True)
            for a in arc
        ]
    if form == "box":
        x, y, w, h = (float(round(value)) for value in (x, y, w, h))
    lean = float(rng.uniform(-0.35, 0.35)) * h if form == "lean" else 0.0
    taper = float(rng.uniform(0.05, 0.2)) * w if form == "taper" else 0.0
    return [(x + lean + taper, y), (x + w + lean - taper, y), (x + w, y + h), (x, y + h)]


def _gate(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a Doppler gate: two short parallel strokes across the beam, its line and the angle of the vessel."""
    at, turn = layout.spot(rng, 0.15, 0.85), float(rng.normal(math.pi / 2, 0.25))
    along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
    gap, half = float(rng.uniform(2.5, 8)) * style.scale, float(rng.uniform(4, 11)) * style.scale
    sketch = Sketch((at[0] - gap - half, at[1] - gap - half, at[0] + gap + half, at[1] + gap + half))
    for way in (-gap / 2, gap / 2):
        middle = (at[0] + along[0] * way, at[1] + along[1] * way)
        ends = [(middle[0] + across[0] * side, middle[1] + across[1] * side) for side in (-half, half)]
        sketch.line(ends, style.stroke)
    if rng.random() < 0.45:
        angle = turn + float(rng.normal(0.9, 0.3))
        dx, dy = math.cos(angle) * half * 1.2, math.sin(angle) * half * 1.2
        sketch.line([(at[0] - dx, at[1] - dy), (at[0] + dx, at[1] + dy)], max(0.8, style.stroke * 0.8))
    marks = [Mark("colour_overlay", sketch.layers(style))]
    if rng.random() < 0.7:
        top = at[1] - layout.seen[1]
        up = gap / 2 + 2
        start = (at[0] - along[0] * up, at[1] - along[1] * up)
        end = (at[0] - along[0] * top, at[1] - along[1] * top)
        period = 0.0 if rng.random() < 0.4 else float(rng.uniform(3, 9))
        pattern = Pattern(period, period * 0.5, max(0.8, style.stroke * 0.8))
        if math.dist(start, end) > 6:
            marks.append(draw_line([end, start], style, pattern))
    return marks


def _bar(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a colour bar or grey bar at a side of the scan or in the margin, at times framed, with its figures."""
    height, width = layout.height, layout.width
    w = max(3, min(round(float(np.exp(rng.uniform(1.1, 3.3)))), width // 6))
    h = max(12, round(float(rng.uniform(0.15, 0.65)) * height))
    x0, y0, x1, y1 = layout.canvas if rng.random() < 0.7 else layout.seen
    inset = float(rng.uniform(-0.6, 3.0)) * w
    x = round(x0 + inset if rng.random() < 0.4 else x1 - w - inset)
    y = round(y0 + float(rng.uniform(-0.05, 0.9)) * max(1.0, y1 - y0 - h))
    colours = _colours(rng, h, w)
    if rng.random() < 0.06:  # a few scanners lay it flat
        colours, w, h = np.ascontiguousarray(colours.transpose(1, 0, 2)), h, w
    cover = np.full((h, w), style.alpha if style.alpha > 0.85 else 1.0, np.float32)
    layers = [Layer(x, y, cover, colours)]
    if rng.random() < 0.3:
        grey = int(rng.integers(70, 220))
        rim = np.pad(np.zeros((h, w), np.float32), 1, constant_values=1.0)
        layers.append(Layer(x - 1, y - 1, rim, (grey, grey, grey)))
    marks = [Mark("colour_overlay", layers)]
    if rng.random() < 0.35 and h > w:
        letter = max(4.8, 7.0 * style.scale)
        top = draw_text(str(rng.choice(["+61.6", "255", "+19", "40", "cm/s", "M3", "75.0"])), x, 0, letter, style)
        low = draw_text(str(rng.choice(["-61.6", "0", "-19", "-40", "kPa", "soft"])), x, y + h + 2, letter, style)
        marks += [_lifted(top, y), low]
    return marks


def _lifted(mark: Mark, bottom: float) -> Mark:
    rows = mark.layers[-1].coverage.shape[0]
    up = round(bottom - rows + 2)
    return Mark(mark.kind, [Layer(layer.x, layer.y + up, layer.coverage, layer.colour) for layer in mark.layers])


def _colours(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return the colours of a bar: grey, flow in two directions, power, or the rainbow of elastography."""
    t = np.linspace(1, 0, height, dtype=np.float32)
    choice = rng.random()
    if choice < 0.5:
        levels = 255 * t ** float(rng.uniform(0.6, 1.8))
        tint = rng.uniform(0.75, 1.0, 3) if rng.random() < 0.2 else np.ones(3)
        column = np.asarray(levels[:, None] * tint, np.float32)
    elif choice < 0.8:
        column = _flow(t, powered=rng.random() < 0.3)
    else:
        names = [cv2.COLORMAP_JET, cv2.COLORMAP_TURBO, cv2.COLORMAP_HOT, cv2.COLORMAP_RAINBOW]
        table = cv2.applyColorMap(np.rint(t * 255).astype(np.uint8)[:, None], names[int(rng.integers(len(names)))])
        column = np.asarray(table[:, 0, ::-1], np.float32)
    if rng.random() < 0.15:
        column = column[::-1]
    return np.ascontiguousarray(np.repeat(column[:, None].astype(np.float32), width, axis=1))


def _flow(t: NDArray[np.float32], *, powered: bool) -> NDArray[np.float32]:
    speed = t if powered else 2 * t - 1
    toward, away = np.clip(speed, 0, 1), np.clip(-speed, 0, 1)
    red = 255 * np.clip(0.3 + 1.4 * toward, 0, 1) * (toward > 0)
    green = 255 * (np.clip(1.8 * toward - 0.8, 0, 1) + np.clip(1.8 * away - 0.8, 0, 1))
    blue = 255 * np.clip(0.3 + 1.4 * away, 0, 1) * (away > 0)
    column = np.stack([red, green, blue], axis=1)
    column[np.abs(speed) < 0.04] = 0
    return np.asarray(column, np.float32)
