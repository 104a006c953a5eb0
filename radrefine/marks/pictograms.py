"""Body markers: outlines of a body part with the probe's position on them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radrefine.marks.ink import Mark, Point, Sketch, Style
from radrefine.marks.layout import Layout

Path = Sequence[Point]


@dataclass(slots=True)
class _Frame:
    """A pictogram being drawn: strokes in shares of its box become strokes of a sketch."""

    sketch: Sketch
    x: float
    y: float
    width: float
    height: float
    stroke: float

    def at(self, point: Point) -> Point:
        return self.x + point[0] * self.width, self.y + point[1] * self.height

    def line(self, path: Path, *, closed: bool = False) -> None:
        self.sketch.line([self.at(point) for point in path], self.stroke, closed=closed)

    def ring(self, centre: Point, axes: Point, *, angle: float = 0.0, arc: tuple[float, float] = (0.0, 360.0)) -> None:
        size = (axes[0] * self.width, axes[1] * self.height)
        self.sketch.ellipse(self.at(centre), size, self.stroke, angle=angle, arc=arc)

    def mirrored(self, path: Path) -> None:
        self.line(path)
        self.line([(1 - x, y) for x, y in path])


def draw_body_marker(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    """Draw a pictogram of a body part with the probe's position, mostly in a corner."""
    height = max(13.0, float(rng.uniform(22, 50)) * style.scale)
    width = height * float(rng.uniform(0.65, 1.05))
    x, y = layout.corner(rng, width, height)
    sketch = Sketch((x - width * 0.2, y - height * 0.2, x + width * 1.2, y + height * 1.2))
    frame = _Frame(sketch, x, y, width, height, max(0.7, style.stroke * float(rng.uniform(0.6, 1.0))))
    _PARTS[int(rng.choice(len(_PARTS), p=_SHARES))](rng, frame)
    layers = sketch.layers(style)
    if rng.random() < 0.9:
        probe = Sketch(sketch.box)
        _draw_probe(rng, frame, probe, style.stroke)
        tinted = rng.random() < 0.35
        layers += probe.layers(style, _PROBES[int(rng.integers(len(_PROBES)))] if tinted else None)
    return [Mark("body_marker", layers)]


_PROBES = ((255, 230, 60), (80, 230, 120), (255, 120, 40), (90, 180, 255), (255, 255, 255), (255, 70, 70))


def _draw_probe(rng: np.random.Generator, frame: _Frame, sketch: Sketch, stroke: float) -> None:
    turn = float(rng.uniform(0, math.pi))
    cx, cy = frame.at((float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 0.8))))
    dx, dy = math.cos(turn) * frame.width * 0.16, math.sin(turn) * frame.width * 0.16
    sketch.line([(cx - dx, cy - dy), (cx + dx, cy + dy)], stroke * float(rng.uniform(1.2, 2.6)))
    sketch.line([(cx - dx, cy - dy), (cx - dx - dy * 0.6, cy - dy + dx * 0.6)], stroke)


def _breast(rng: np.random.Generator, frame: _Frame) -> None:
    centre, radius = (0.45, 0.6), (0.42, 0.42 * frame.width / frame.height * 1.05)
    frame.ring(centre, radius)
    if rng.random() < 0.7:
        frame.ring(centre, (radius[0] * 0.22, radius[1] * 0.22))
    if rng.random() < 0.7:
        frame.line([(centre[0] - radius[0], centre[1]), (centre[0] + radius[0], centre[1])])
        frame.line([(centre[0], centre[1] - radius[1]), (centre[0], centre[1] + radius[1])])
    tip = (0.98, 0.02) if rng.random() < 0.5 else (-0.05, 0.05)
    frame.line([(centre[0] - radius[0] * 0.3, centre[1] - radius[1]), tip, (centre[0] + radius[0], centre[1])])


def _two_breasts(rng: np.random.Generator, frame: _Frame) -> None:
    for x in (0.26, 0.74):
        frame.ring((x, 0.5), (0.24, 0.24 * frame.width / frame.height))
        frame.ring((x, 0.5), (0.05, 0.05 * frame.width / frame.height))
    frame.mirrored([(0.02, 0.4), (0.1, 0.1), (0.2, 0.02)])


def _torso(rng: np.random.Generator, frame: _Frame) -> None:
    frame.mirrored(
        [(0.38, 0.0), (0.36, 0.12), (0.08, 0.2), (0.02, 0.5), (0.12, 0.55), (0.2, 0.42), (0.24, 0.7), (0.18, 1.0)]
    )
    frame.line([(0.5, 0.75), (0.5, 1.0)])


def _neck(rng: np.random.Generator, frame: _Frame) -> None:
    frame.mirrored([(0.25, 0.0), (0.3, 0.45), (0.25, 0.65), (0.0, 0.8)])
    for lobe in (0.41, 0.59):
        frame.ring((lobe, 0.5), (0.07, 0.16))
    if rng.random() < 0.5:
        frame.line([(0.44, 0.5), (0.56, 0.5)])


def _limb(rng: np.random.Generator, frame: _Frame) -> None:
    frame.ring((0.5, 0.5), (0.32, 0.5))
    frame.ring((0.5, 0.5), (0.12, 0.15))


def _leg(rng: np.random.Generator, frame: _Frame) -> None:
    frame.line([(0.25, 0.0), (0.3, 0.45), (0.28, 0.55), (0.36, 0.9), (0.2, 1.0), (0.6, 1.0), (0.58, 0.9)])
    frame.line([(0.58, 0.9), (0.66, 0.6), (0.64, 0.45), (0.75, 0.0)])


def _abdomen(rng: np.random.Generator, frame: _Frame) -> None:
    frame.mirrored([(0.12, 0.0), (0.2, 0.35), (0.1, 0.7), (0.14, 1.0)])
    frame.line([(0.2, 0.28), (0.5, 0.08), (0.8, 0.28)])
    frame.ring((0.5, 0.62), (0.025, 0.025))


def _fetus(rng: np.random.Generator, frame: _Frame) -> None:
    frame.ring((0.5, 0.5), (0.48, 0.5))
    frame.ring((0.4, 0.34), (0.16, 0.15))
    frame.ring((0.58, 0.6), (0.22, 0.2), arc=(-120, 150))
    frame.line([(0.5, 0.42), (0.7, 0.45), (0.75, 0.6)])
    frame.line([(0.42, 0.72), (0.3, 0.78), (0.36, 0.6)])


def _head(rng: np.random.Generator, frame: _Frame) -> None:
    frame.ring((0.5, 0.5), (0.4, 0.5))
    frame.line([(0.5, 0.0), (0.5, 1.0)])
    frame.ring((0.5, 0.02), (0.07, 0.06), arc=(180, 360))


def _uterus(rng: np.random.Generator, frame: _Frame) -> None:
    frame.mirrored([(0.42, 1.0), (0.42, 0.65), (0.25, 0.3), (0.05, 0.25), (0.0, 0.4)])
    frame.line([(0.25, 0.2), (0.5, 0.12), (0.75, 0.2)])
    for x in (0.08, 0.92):
        frame.ring((x, 0.52), (0.08, 0.1))


def _hand(rng: np.random.Generator, frame: _Frame) -> None:
    tips = [(0.12, 0.35), (0.3, 0.08), (0.5, 0.0), (0.68, 0.06), (0.85, 0.2)]
    path: list[Point] = [(0.25, 1.0), (0.2, 0.7), (0.02, 0.5)]
    for x, y in tips:
        path += [(x - 0.05, y + 0.04), (x, y), (x + 0.05, y + 0.04), (x + 0.06, 0.5)]
    frame.line([*path, (0.8, 0.8), (0.75, 1.0)], closed=rng.random() < 0.5)


def _heart(rng: np.random.Generator, frame: _Frame) -> None:
    frame.mirrored([(0.5, 1.0), (0.15, 0.6), (0.05, 0.3), (0.2, 0.08), (0.4, 0.1), (0.5, 0.25)])
    frame.line([(0.5, 0.25), (0.5, 0.85)])


_PARTS: tuple[Callable[[np.random.Generator, _Frame], None], ...] = (
    _breast,
    _two_breasts,
    _torso,
    _neck,
    _limb,
    _leg,
    _abdomen,
    _fetus,
    _head,
    _uterus,
    _hand,
    _heart,
)
_SHARES = (0.2, 0.06, 0.1, 0.1, 0.06, 0.06, 0.1, 0.08, 0.06, 0.06, 0.06, 0.06)
