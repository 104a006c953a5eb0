"""Tissue that looks like marks and is none: needles, bone, pleura, fascia, calcifications, gas, colour flow."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image

Generator = np.random.Generator
_Light = NDArray[np.float32]
_Points = Sequence[tuple[float, float]]


def add_clutter(image: Image, rng: Generator, count: int | None = None) -> Image:
    """Add echoes that a detector may take for marks, as a part of the tissue.

    Args:
        image: (H, W) or (H, W, 3) RGB uint8; not changed.
        rng: Source of all choices.
        count: Pieces of clutter; None draws 1 to 4.

    Returns:
        A new image of the same shape and dtype.
    """
    light: _Light = np.zeros(image.shape[:2], np.float32)
    for _ in range(int(rng.integers(1, 5)) if count is None else count):
        _ECHOES[int(rng.integers(len(_ECHOES)))](light, rng)
    shade = 1 + np.minimum(light, 0)
    light = np.maximum(light, 0) * _grain(light.shape, rng) * _answering(image)
    light = np.minimum(light, np.float32(1.0 if rng.random() < 0.3 else 0.92))
    if image.ndim == 3:
        light, shade = np.repeat(light[..., None], 3, axis=2), np.repeat(shade[..., None], 3, axis=2)
    below = image.astype(np.float32) * np.maximum(shade, 0)
    out = np.rint(below + (255 - below) * light).astype(np.uint8)
    return add_flow(out, rng) if image.ndim == 3 and rng.random() < 0.25 else out


def _answering(image: Image) -> _Light:
    """Return how much the tissue around each pixel answers: next to nothing echoes in the black beyond it."""
    grey = image if image.ndim == 2 else np.ascontiguousarray(image[..., 1])
    small = cv2.blur(cv2.resize(grey, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA), (5, 5))
    level = np.clip(np.float32(0.25) + small.astype(np.float32) / np.float32(40), 0, 1)
    return np.asarray(cv2.resize(level, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _grain(shape: tuple[int, ...], rng: Generator) -> _Light:
    # Echoes keep the grain of the tissue around them: speckle multiplies, it is not added.
    zoom = float(rng.uniform(1.0, 3.0))
    # Coarse grain is made on a smaller sheet: faster, and as smooth as a magnified picture.
    white = rng.standard_normal((round(shape[0] / zoom) + 2, round(shape[1] / zoom) + 2), np.float32)
    small = cv2.GaussianBlur(white, (0, 0), sigmaX=float(rng.uniform(1.0, 2.4)), sigmaY=float(rng.uniform(0.5, 0.9)))
    grain = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    strength = float(rng.uniform(0.1, 0.42)) / max(1e-6, float(small[::4, ::4].std()))
    return np.asarray(np.clip(1 + grain * np.float32(strength), 0.25, 1.6), np.float32)


def _stroke(light: _Light, points: _Points, width: float, strength: float, blur: float) -> None:
    """Add a soft line to `light`, in place."""
    _lines(light, np.asarray(points, np.float64), np.ones(len(points)), width, strength, blur)


def _membrane(light: _Light, rng: Generator, points: _Points, width: float, strength: float, blur: float) -> None:
    """Add a line as tissue makes it, in place: it wanders a little, and is bright where the beam meets it squarely."""
    ends, steps = np.linspace(0, 1, len(points)), np.linspace(0, 1, 33)
    knots = np.linspace(0, 1, 7)
    path = np.stack([np.interp(steps, ends, axis) for axis in np.asarray(points, np.float64).T], axis=1)
    path[:, 1] += np.interp(steps, knots, rng.normal(0, 0.5 * width, 7))
    bright = np.interp(steps, knots, np.clip(rng.normal(0.75, 0.35, 7), 0.05, 1.15))
    _lines(light, path, bright, width, strength, blur)


def _lines(
    light: _Light, path: NDArray[np.float64], bright: NDArray[np.float64], width: float, strength: float, blur: float
) -> None:
    margin = width + 3 * max(0.4, blur) + 2
    x0, y0 = np.maximum(np.floor(path.min(axis=0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(path.max(axis=0) + margin), light.shape[::-1]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    sheet = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = np.rint((path - (x0, y0)) * 16).astype(np.int32)
    thick = max(1, round(width))
    if np.ptp(bright) == 0:
        cv2.polylines(sheet, [fixed], False, 255, thick, cv2.LINE_AA, 4)
    else:
        tones = np.clip(bright * 220, 0, 255).astype(int).tolist()
        for start, end, tone in zip(fixed[:-1].tolist(), fixed[1:].tolist(), tones[1:], strict=True):
            cv2.line(sheet, start, end, tone, thick, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(sheet, (0, 0), sigmaX=max(0.4, blur), sigmaY=max(0.3, blur * 0.6))
    light[y0:y1, x0:x1] += soft * np.float32(strength / 255)


def _patch(light: _Light, centre: tuple[float, float], axes: tuple[float, float], strength: float) -> None:
    """Add a soft ellipse to `light`, in place; a negative strength darkens."""
    x0, x1 = max(0, int(centre[0] - 2 * axes[0])), min(light.shape[1], int(centre[0] + 2 * axes[0]) + 1)
    y0, y1 = max(0, int(centre[1] - 2 * axes[1])), min(light.shape[0], int(centre[1] + 2 * axes[1]) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    x = ((np.arange(x0, x1, dtype=np.float32) - np.float32(centre[0])) / np.float32(axes[0])) ** 2
    y = ((np.arange(y0, y1, dtype=np.float32) - np.float32(centre[1])) / np.float32(axes[1])) ** 2
    light[y0:y1, x0:x1] += np.exp(-((x[None] + y[:, None]) ** np.float32(1.3))) * np.float32(strength)


def _spot(light: _Light, rng: Generator) -> tuple[float, float]:
    return float(rng.uniform(0, light.shape[1])), float(rng.uniform(0, light.shape[0]))


def _scale(light: _Light, rng: Generator) -> float:
    """Return a magnification: structures of the same tissue are small on one screen and large on another."""
    return float(np.clip(np.exp(rng.normal(0, 0.35)) * light.shape[1] / 256, 0.6, 3.5))


def _curve(rng: Generator, at: tuple[float, float], half: float, sag: float) -> list[tuple[float, float]]:
    tilt = float(rng.normal(0, 0.25))
    bend = float(rng.normal(0, 0.3)) * sag
    t = np.linspace(-1, 1, 17)
    return [(at[0] + half * float(s), at[1] + half * tilt * float(s) + float(sag * s * s + bend * s**3)) for s in t]


def _needle(light: _Light, rng: Generator) -> None:
    (x, y), zoom = _spot(light, rng), _scale(light, rng)
    width = float(rng.uniform(1, 2.6)) * zoom
    length, turn = float(rng.uniform(0.3, 0.8)) * light.shape[1], float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.9))
    step = length * math.cos(turn), length * math.sin(turn)
    apart = float(rng.uniform(0.015, 0.05)) * light.shape[0]
    bow, blur = float(rng.normal(0, 0.01)) * length, float(rng.uniform(0.8, 1.8)) * zoom
    t = np.linspace(0, 1, 9)
    path = [(x + step[0] * float(s), y + step[1] * float(s) + bow * math.sin(math.pi * s)) for s in t]
    for echo in range(int(rng.integers(1, 5))):  # the needle and its reverberations below it
        points = [(px, py + echo * apart) for px, py in path]
        _membrane(light, rng, points, width, 1.0 / (1 + 1.5 * echo), blur)


def _spots(light: _Light, rng: Generator) -> None:
    """Specular spots and calcifications, some with a shadow, some in a row."""
    centre, zoom = _spot(light, rng), _scale(light, rng)
    spread = float(rng.uniform(0.03, 0.2)) * light.shape[1]
    shadows, row = rng.random() < 0.4, rng.random() < 0.25
    for number in range(int(rng.integers(2, 14))):
        at = rng.normal(centre, spread)
        if row:
            at = np.array([centre[0] + number * spread * 0.4, centre[1] + rng.normal(0, spread * 0.08)])
        size = float(rng.uniform(0.4, 2.4)) * zoom
        points = [(float(at[0]) - size, float(at[1])), (float(at[0]) + size, float(at[1]))]
        _stroke(light, points, 1.6 * zoom, float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.5, 1.3)) * zoom)
        if shadows:
            down = (float(at[0]), float(at[1]) + 24 * zoom)
            _patch(light, down, (size + 2 * zoom, 18 * zoom), -0.4)


def _fascia(light: _Light, rng: Generator) -> None:
    """One bright sheath or several in parallel, straight or bent."""
    at, half = _spot(light, rng), float(rng.uniform(0.06, 0.5)) * light.shape[1]
    points = _curve(rng, at, half, float(rng.normal(0, 0.06)) * light.shape[0])
    zoom = _scale(light, rng)
    width, apart, blur = float(rng.uniform(1, 3.5)) * zoom, float(rng.uniform(4, 14)) * zoom, 0.6 * zoom
    for number in range(1 if rng.random() < 0.5 else int(rng.integers(2, 6))):
        shifted = [(x + float(rng.normal(0, 3)), y + number * apart) for x, y in points]
        _membrane(light, rng, shifted, width, float(rng.uniform(0.3, 1.0)), blur * float(rng.uniform(1.0, 2.5)))


def _bone(light: _Light, rng: Generator) -> None:
    """The bright edge of a bone with its shadow below it."""
    zoom, at = _scale(light, rng), _spot(light, rng)
    half = float(rng.uniform(0.08, 0.4)) * light.shape[1]
    points = _curve(rng, at, half, float(rng.uniform(-0.25, 0.35)) * half)
    _patch(light, (at[0], at[1] + half * 0.9), (half, half * 0.8), -float(rng.uniform(0.5, 1.0)))
    strength = float(rng.uniform(0.8, 1.6))
    _membrane(light, rng, points, float(rng.uniform(1.5, 5)) * zoom, strength, float(rng.uniform(1.0, 3.0)) * zoom)
    for echo in range(int(rng.integers(0, 3))):
        again = [(x, y + (echo + 1) * 12 * zoom) for x, y in points]
        _stroke(light, again, 2 * zoom, 0.25 / (1 + echo), 1.5 * zoom)


def _pleura(light: _Light, rng: Generator) -> None:
    """The pleural line from side to side, A-lines at equal distances below it, at times B-lines down from it."""
    width, height = light.shape[1], light.shape[0]
    depth = float(rng.uniform(0.12, 0.4)) * height
    bend, tilt = rng.normal(0, 0.02, 2) * height
    points = [(width * (0.5 + 0.6 * s), depth + float(tilt * s + bend * s * s)) for s in np.linspace(-1, 1, 9).tolist()]
    zoom = _scale(light, rng)
    thick, blur = float(rng.uniform(1.2, 3.5)) * zoom, float(rng.uniform(0.9, 2.0)) * zoom
    for echo in range(int(rng.integers(1, 5))):
        shifted = [(x, y + echo * depth) for x, y in points]
        _membrane(light, rng, shifted, thick, 1.2 * float(rng.uniform(0.35, 0.7)) ** echo, blur)
    for _ in range(int(rng.integers(0, 4))):
        x = float(rng.uniform(0, width))
        lean = float(rng.normal(0, 0.05)) * height
        _stroke(light, [(x, depth), (x + lean, height)], float(rng.uniform(3, 12)) * zoom, 0.3, 3.5 * zoom)


def _reverberation(light: _Light, rng: Generator) -> None:
    """A comet tail or ring-down: short bars of equal distance below a reflector."""
    (x, y), zoom = _spot(light, rng), _scale(light, rng)
    half, gap = float(rng.uniform(2, 22)) * zoom, float(rng.uniform(3, 10)) * zoom
    strength, blur = float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.9, 1.8)) * zoom
    for echo in range(int(rng.integers(3, 9))):
        shift = float(rng.normal(0, 0.15)) * half
        for share in (1.0, 0.6):  # bars fade towards their ends
            points = [(x + shift - half * share, y + echo * gap), (x + shift + half * share, y + echo * gap)]
            _stroke(light, points, 1.2 * zoom, 0.5 * strength * 0.75**echo, blur)
        half *= float(rng.uniform(0.75, 1.0))


def _gas(light: _Light, rng: Generator) -> None:
    """A bright ragged cap and dirty streaks below it."""
    (x, y), half = _spot(light, rng), float(rng.uniform(0.03, 0.15)) * light.shape[1]
    for _ in range(int(rng.integers(3, 9))):
        at = x + float(rng.normal(0, half)), y + float(rng.normal(0, half * 0.15))
        _patch(light, at, (half * float(rng.uniform(0.2, 0.6)), half * 0.15 + 1), float(rng.uniform(0.4, 1.0)))
        _stroke(light, [at, (at[0], at[1] + 6 * half)], float(rng.uniform(1, 4)), 0.15, 2.0)


def _crossing(light: _Light, rng: Generator) -> None:
    """Two fibres that cross: the nearest thing to a caliper that tissue makes."""
    (x, y), zoom = _spot(light, rng), _scale(light, rng)
    for turn in (float(rng.normal(0.1, 0.3)), float(rng.normal(1.2, 0.5))):
        half = float(rng.uniform(3, 14)) * zoom
        step = half * math.cos(turn), half * math.sin(turn)
        points = [(x - step[0], y - step[1]), (x + step[0], y + step[1])]
        _stroke(light, points, 1.2 * zoom, float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.8, 1.7)) * zoom)


def _wall(light: _Light, rng: Generator) -> None:
    """A closed bright wall, thin as a vessel's or a follicle's, or thick and double as a skull's."""
    (x, y), skull, zoom = _spot(light, rng), rng.random() < 0.4, _scale(light, rng)
    a = float(rng.uniform(0.15, 0.45) if skull else rng.uniform(0.02, 0.12)) * light.shape[1]
    b, turn = a * float(rng.uniform(0.6, 1.0)), float(rng.uniform(0, math.pi))
    _patch(light, (x, y), (a * 0.8, b * 0.8), -float(rng.uniform(0.2, 0.9)))
    strength = float(rng.uniform(0.5, 1.1))
    for ring in range(2 if skull and rng.random() < 0.5 else 1):
        angles = np.linspace(0, 2 * math.pi, 49) + float(rng.uniform(0, 6))
        # Walls fade where they run along the beam.
        for start in range(0, 48, 6):
            part = angles[start : start + 7]
            size = 1 - 0.06 * ring
            points = [
                (
                    x + size * (a * math.cos(t) * math.cos(turn) - b * math.sin(t) * math.sin(turn)),
                    y + size * (a * math.cos(t) * math.sin(turn) + b * math.sin(t) * math.cos(turn)),
                )
                for t in part
            ]
            steep = abs(points[-1][1] - points[0][1]) / max(1.0, math.dist(points[0], points[-1]))
            width, blur = (float(rng.uniform(1.5, 4)), 1.8) if skull else (1.2, 0.9)
            _stroke(light, points, width * zoom, strength * (1 - 0.8 * steep), blur * zoom)


def _glare(light: _Light, rng: Generator) -> None:
    """A region driven into saturation."""
    at = _spot(light, rng)
    size = rng.uniform(0.03, 0.25, 2) * light.shape[1]
    _patch(light, at, (float(size[0]), float(size[1]) * 0.6), float(rng.uniform(0.5, 1.5)))


def _focus(light: _Light, rng: Generator) -> None:
    """A stone, a bright focus or a cyst: round, even and with a distinct rim."""
    centre, zoom = _spot(light, rng), _scale(light, rng)
    a = float(np.exp(rng.uniform(math.log(5), math.log(24)))) * zoom
    b, blur = a * float(rng.uniform(0.6, 1.0)), float(rng.uniform(0.5, 1.6)) * zoom
    reach = int(a + 3 * blur) + 2
    x0, y0 = max(0, int(centre[0]) - reach), max(0, int(centre[1]) - reach)
    part = light[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach]
    sheet = np.zeros(part.shape, np.uint8)
    middle = round(16 * (centre[0] - x0)), round(16 * (centre[1] - y0))
    cv2.ellipse(
        sheet, middle, (round(16 * a), round(16 * b)), float(rng.uniform(-25, 25)), 0, 360, 255, -1, cv2.LINE_AA, 4
    )
    strength = float(rng.uniform(0.4, 1.5)) if rng.random() < 0.65 else -float(rng.uniform(0.4, 1.0))
    part += np.asarray(cv2.GaussianBlur(sheet, (0, 0), blur)) * np.float32(strength / 255)


_ECHOES: tuple[Callable[[_Light, Generator], None], ...] = (
    _needle,
    _spots,
    _fascia,
    _bone,
    _pleura,
    _reverberation,
    _gas,
    _crossing,
    _wall,
    _glare,
    _focus,
)


def add_flow(image: Image, rng: Generator) -> Image:
    """Add colour Doppler flow: blocky or smooth blobs in red to yellow or blue to cyan, at times aliased.

    Args:
        image: (H, W, 3) RGB uint8; not changed.
        rng: Source of all choices.
    """
    height, width = image.shape[:2]
    block = int(rng.integers(1, 4))
    small = rng.standard_normal((max(4, height // block), max(4, width // block)), np.float32)
    blurred = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(2, 9)) / block + 0.5)
    way = cv2.INTER_NEAREST if rng.random() < 0.6 else cv2.INTER_LINEAR
    blocks = np.asarray(cv2.resize(blurred, (width, height), interpolation=way), np.float32)
    smooth: _Light = np.asarray(blocks / max(1e-6, float(blocks[::3, ::3].std())), np.float32)
    x, y = _spot(smooth, rng)
    rows, columns = np.ogrid[:height, :width]
    reach = rng.uniform(0.08, 0.3, 2)
    near = ((columns - x) / (reach[0] * width)) ** 2 + ((rows - y) / (reach[1] * height)) ** 2 < 1
    floor = float(rng.uniform(0.4, 1.4))
    flow = (smooth > floor) & near
    speed = np.clip((smooth[flow] - floor) / 2, 0, 1)
    if rng.random() < 0.3:  # faster than the scale: the colours wrap around
        speed = np.where(speed > 0.4, speed - 0.8, speed)
    if rng.random() < 0.6:
        speed = -speed
    fast = np.abs(speed)
    warm = np.stack([100 + 155 * np.minimum(1, 1.6 * fast), 230 * fast**1.5, 10 * fast], axis=-1)
    colours = np.where((speed >= 0)[..., None], warm, warm[..., ::-1])
    out = image.copy()
    out[flow] = np.rint(np.minimum(colours, 255)).astype(np.uint8)
    return out
