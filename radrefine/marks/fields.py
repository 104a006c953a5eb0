"""How a scan lies on its screen: all of the picture, a rectangle or fan in a black surround, panels side by side.

What surrounds a scan is no mark: sector edges, apexes, rounded corners, seams, padding and cropped borders are drawn
here, so that a detector meets them without marks.
"""

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.marks.layout import Layout
from radrefine.records import Image

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture without marks and where its scan is.

    Attributes:
        picture: (H, W) or (H, W, 3) uint8, black outside the scan.
        layout: Where the scan is, for drawing marks.
        field: (H, W) uint8, 255 where there is scan; None where all of the picture is.
    """

    picture: Image
    layout: Layout
    field: NDArray[np.uint8] | None = None


def lay_out(clean: Image, rng: Generator, size: tuple[int, int]) -> Scene:
    """Show a part of `clean`, at a random magnification, on a screen of `size`.

    Args:
        clean: (H, W) or (H, W, 3) uint8 without marks.
        rng: Source of all choices.
        size: Height and width of the screen, px.
    """
    choice = rng.random()
    if choice < 0.45:
        picture = view(clean, rng, size)
        return Scene(_edged(picture, rng) if rng.random() < 0.3 else picture, Layout.whole(size))
    if choice < 0.63:
        return _rectangle(clean, rng, size)
    if choice < 0.9:
        # What shows a fan already is not bent again.
        return _rectangle(clean, rng, size) if _is_fan(clean) else _fan(clean, rng, size)
    return _panels(clean, rng, size)


def view(clean: Image, rng: Generator, size: tuple[int, int]) -> Image:
    """Return a part of `clean` at `size`, magnified by 0.5 to 3 where `clean` is large enough, mirrored at times."""
    zoom = float(np.exp(rng.uniform(math.log(0.5), math.log(3.0))))
    stretch = float(np.exp(rng.normal(0, 0.12)))
    rows = int(np.clip(round(size[0] / zoom), min(24, clean.shape[0]), clean.shape[0]))
    columns = int(np.clip(round(size[1] / zoom * stretch), min(24, clean.shape[1]), clean.shape[1]))
    # A part much wider or higher than the screen would be squeezed out of shape.
    columns = min(columns, max(24, round(1.4 * rows * size[1] / size[0])))
    rows = min(rows, max(24, round(1.4 * columns * size[0] / size[1])))
    top, left = int(rng.integers(0, clean.shape[0] - rows + 1)), int(rng.integers(0, clean.shape[1] - columns + 1))
    part = clean[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        part = np.asarray(cv2.flip(part, 1), np.uint8)
    way = cv2.INTER_AREA if rows > size[0] else (cv2.INTER_CUBIC, cv2.INTER_LINEAR)[int(rng.integers(2))]
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (size[1], size[0]), interpolation=way), np.uint8)


def _is_fan(picture: Image) -> bool:
    """Tell whether both upper corners are black."""
    side = min(picture.shape[:2]) // 12 + 1
    return not (picture[:side, :side] > 8).any() and not (picture[:side, -side:] > 8).any()


def _edged(picture: Image, rng: Generator) -> Image:
    """Give the picture a border as crops have it: a few black, dim or bright rows or columns."""
    out = picture.copy()
    for _ in range(int(rng.integers(1, 3))):
        thick, side = int(rng.choice([1, 1, 2, 3, 5, 9])), int(rng.integers(4))
        strip = (slice(0, thick), slice(-thick, None), slice(None), slice(None))[side]
        across = (slice(None), slice(None), slice(0, thick), slice(-thick, None))[side]
        tone = rng.random()
        if tone < 0.6:
            out[strip, across] = int(rng.integers(0, 12))
        elif tone < 0.8:
            out[strip, across] = np.minimum(255, out[strip, across].astype(np.uint16) * 2 + 60).astype(np.uint8)
        else:
            out[strip, across] = np.asarray(out[strip, across] * 0.4, np.uint8)
    return out


def _place(rng: Generator, size: tuple[int, int], low: float, high: float) -> tuple[int, int, int, int]:
    """Draw a box for a scan: its x, y, width and height; parts of it may lie outside the screen."""
    h, w = (max(40, round(float(rng.uniform(low, high)) * side)) for side in size)
    x, y = (
        round(float(rng.uniform(-0.05, 1.05)) * (size[1] - w)),
        round(float(rng.uniform(-0.05, 1.05)) * (size[0] - h)),
    )
    return x, y, w, h


def _rectangle(clean: Image, rng: Generator, size: tuple[int, int]) -> Scene:
    x, y, w, h = _place(rng, size, 0.55, 1.15)
    scan = view(clean, rng, (h, w))
    field = np.full((h, w), 255, np.uint8)
    if rng.random() < 0.3:
        radius = int(rng.integers(2, max(3, min(h, w) // 8)))
        field = _rounded(field, radius)
    if rng.random() < 0.2:  # steered beams cut a slanted piece off one side
        cut = round(float(rng.uniform(0.05, 0.35)) * w)
        corners = np.array(
            [[0, 0], [cut, 0], [0, h]] if rng.random() < 0.5 else [[w, 0], [w - cut, 0], [w, h]], np.int32
        )
        cv2.fillConvexPoly(field, corners, 0)
    if rng.random() < 0.3:
        _light_face(scan, rng)
    return _on_black(scan, field, x, y, size)


def _rounded(field: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    rows, columns = field.shape
    out = np.zeros_like(field)
    cv2.rectangle(out, (radius, 0), (columns - radius - 1, rows - 1), 255, -1)
    cv2.rectangle(out, (0, radius), (columns - 1, rows - radius - 1), 255, -1)
    for x in (radius, columns - radius - 1):
        for y in (radius, rows - radius - 1):
            cv2.circle(out, (x, y), radius, 255, -1, cv2.LINE_AA)
    return out


def _light_face(scan: Image, rng: Generator) -> None:
    """Brighten the rows next to the probe, in place."""
    rows = int(rng.integers(1, 6))
    gain = np.linspace(float(rng.uniform(1.5, 4)), 1.0, rows).reshape(-1, *(1,) * (scan.ndim - 1))
    scan[:rows] = np.clip(scan[:rows] * gain + 30, 0, 255).astype(np.uint8)


def _on_black(scan: Image, field: NDArray[np.uint8], x: int, y: int, size: tuple[int, int]) -> Scene:
    canvas, whole = np.zeros((*size, *scan.shape[2:]), np.uint8), np.zeros(size, np.uint8)
    h, w = scan.shape[:2]
    top, left, bottom, right = max(0, y), max(0, x), min(size[0], y + h), min(size[1], x + w)
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    canvas[top:bottom, left:right], whole[top:bottom, left:right] = scan[part], field[part]
    return Scene(masked(canvas, whole), Layout(*size, (x, y, x + w, y + h), tissue=False), whole)


def masked(picture: Image, field: NDArray[np.uint8]) -> Image:
    """Return `picture` darkened where `field` is below 255."""
    weight = field if picture.ndim == 2 else cv2.merge([field] * 3)
    return np.asarray(cv2.multiply(picture, weight, scale=1 / 255), np.uint8)


def _fan(clean: Image, rng: Generator, size: tuple[int, int]) -> Scene:
    """Bend the tissue into the fan of a convex or phased probe, or into a trapezoid."""
    height, width = size
    flat = rng.random() < 0.12
    half = float(rng.uniform(0.35, 0.85))
    far = float(rng.uniform(0.7, 1.5)) * height
    near = far * (float(rng.uniform(0.0, 0.06)) if rng.random() < 0.4 else float(rng.uniform(0.12, 0.5)))
    apex = (float(rng.uniform(0.25, 0.75)) * width, float(rng.uniform(-0.25, 0.12)) * height - near * 0.8)
    tilt = float(rng.normal(0, 0.12)) if rng.random() < 0.2 else 0.0
    source = view(clean, rng, (round(min(far - near, 1.3 * height)), round(min(2 * half * far * 0.75, 1.3 * width))))
    if rng.random() < 0.35:
        _light_face(source, rng)
    x = np.arange(width, dtype=np.float32)[None] - np.float32(apex[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(apex[1])
    radius = cv2.magnitude(np.repeat(x, height, 0), np.repeat(y, width, 1))
    angle = np.arctan2(x, np.maximum(y, 1e-3)) - np.float32(tilt)
    depth = np.repeat(y, width, 1) if flat else radius
    row = (depth - np.float32(near)) * np.float32((source.shape[0] - 1) / max(1.0, far - near))
    column = (angle + np.float32(half)) * np.float32((source.shape[1] - 1) / (2 * half))
    picture = np.asarray(cv2.remap(source, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    inside = np.minimum(np.minimum(depth - near, far - depth), np.minimum(half - angle, half + angle) * radius)
    soft = np.float32(0.5 if rng.random() < 0.7 else rng.uniform(0.5, 3.0))
    field = np.clip((inside / soft + np.float32(0.5)) * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        field = np.where(field > 127, 255, 0).astype(np.uint8)
    wide = math.sin(min(half, 1.5)) * far
    scan = (apex[0] - wide, apex[1] + near * math.cos(half), apex[0] + wide, apex[1] + far)
    return Scene(masked(picture, field), Layout(*size, scan, tissue=False), field)


def _panels(clean: Image, rng: Generator, size: tuple[int, int]) -> Scene:
    """Set two to four views side by side or above each other, with a seam of no or a few pixels."""
    count, gap = int(rng.choice([2, 2, 3, 4])), int(rng.choice([0, 1, 2, 4, 8]))
    across = rng.random() < 0.75
    length = size[1] if across else size[0]
    cuts = np.linspace(0, length, count + 1) + np.r_[0, rng.normal(0, 0.04 * length, count - 1), 0]
    canvas, field = np.zeros((*size, *clean.shape[2:]), np.uint8), np.zeros(size, np.uint8)
    boxes: list[tuple[int, int, int, int]] = []
    odd = int(rng.integers(count)) if rng.random() < 0.4 else -1
    for start, end in itertools.pairwise(cuts):
        low, high = int(start), max(int(start) + 24, int(end) - gap)
        high = min(length, high)
        if high - low < 16:
            continue
        part = (slice(0, size[0]), slice(low, high)) if across else (slice(low, high), slice(0, size[1]))
        panel = view(clean, rng, canvas[part].shape[:2])
        canvas[part] = _over_time(panel, rng) if len(boxes) == odd else panel
        field[part] = 255
        boxes.append((part[1].start, part[0].start, part[1].stop, part[0].stop))
    chosen = boxes[int(rng.integers(len(boxes)))]
    scan = (float(chosen[0]), float(chosen[1]), float(chosen[2]), float(chosen[3]))
    return Scene(canvas, Layout(*size, scan, tissue=rng.random() < 0.5), field)


def _over_time(panel: Image, rng: Generator) -> Image:
    """Turn a view into what one beam sees over time: the streaks of M-mode or the spectrum of a Doppler gate."""
    rows, columns = panel.shape[:2]
    beat, phase = 2 * math.pi / float(rng.uniform(0.15, 0.6)) / columns, float(rng.uniform(0, 6))
    pulse = np.sin(np.arange(columns, dtype=np.float32) * np.float32(beat) + np.float32(phase))
    if rng.random() < 0.5:
        depth = np.arange(rows, dtype=np.float32)[:, None] + pulse[None] * np.float32(rng.uniform(0, 0.04) * rows)
        beam = np.full((rows, columns), rng.uniform(0, columns - 1), np.float32)
        beam += rng.normal(0, 1.2, (1, columns)).astype(np.float32)
        return np.asarray(cv2.remap(panel, beam, depth, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)
    base = float(rng.uniform(0.3, 0.9)) * rows
    height = np.maximum(0.1, pulse + 0.4 * np.sin(2 * beat * np.arange(columns) + 1)) * 0.5 * base
    speed = (base - np.arange(rows, dtype=np.float32)[:, None]) / np.maximum(1, height[None])
    level = np.clip(np.where(speed > 0, 1 - speed, 0.1 + 0.3 * speed), 0, 1) ** np.float32(rng.uniform(0.3, 0.9))
    grain = cv2.GaussianBlur(rng.standard_normal((rows, columns), np.float32), (0, 0), sigmaX=0.7, sigmaY=1.4)
    spectrum = np.clip(level * (0.75 + 1.2 * grain) * 230, 0, 255).astype(np.uint8)
    return spectrum if panel.ndim == 2 else np.repeat(spectrum[..., None], 3, axis=2)
