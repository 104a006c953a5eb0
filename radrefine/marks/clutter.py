"""Tissue that looks like marks and is none: needles, specular spots, bone edges, reverberation, colour flow."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image

Generator = np.random.Generator
_Light = NDArray[np.float32]


def add_clutter(image: Image, rng: Generator, count: int | None = None) -> Image:
    """Add echoes that a detector may take for marks, as a part of the tissue.

    Args:
        image: (H, W) or (H, W, 3) RGB uint8; not changed.
        rng: Source of all choices.
        count: Pieces of clutter; None draws 1 to 4.

    Returns:
        A new image of the same shape and dtype.
    """
    light = np.zeros(image.shape[:2], np.float32)
    for _ in range(int(rng.integers(1, 5)) if count is None else count):
        _ECHOES[int(rng.integers(len(_ECHOES)))](light, rng)
    # Echoes keep the grain of the tissue around them: speckle multiplies, it is not added.
    grain = cv2.GaussianBlur(rng.standard_normal(light.shape, np.float32), (0, 0), sigmaX=1.6, sigmaY=0.8)
    light = light * np.clip(1 + grain * np.float32(0.9), 0.2, 1.8)
    if image.ndim == 3:
        light = np.repeat(light[..., None], 3, axis=2)
    brightened = image + (255 - image) * np.clip(light, 0, 0.95)
    out = np.rint(np.clip(brightened, 0, 255)).astype(np.uint8)
    return _with_flow(out, rng) if image.ndim == 3 and rng.random() < 0.25 else out


def _stroke(light: _Light, points: list[tuple[float, float]], width: float, strength: float, blur: float) -> None:
    sheet = np.zeros(light.shape, np.uint8)
    fixed = np.rint(np.asarray(points) * 16).astype(np.int32)
    cv2.polylines(sheet, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(sheet.astype(np.float32), (0, 0), sigmaX=max(0.4, blur), sigmaY=max(0.3, blur * 0.6))
    light += soft * np.float32(strength / 255)


def _place(light: _Light, rng: Generator) -> tuple[float, float]:
    return float(rng.uniform(0, light.shape[1])), float(rng.uniform(0, light.shape[0]))


def _needle(light: _Light, rng: Generator) -> None:
    x, y = _place(light, rng)
    length, turn = float(rng.uniform(0.3, 0.8)) * light.shape[1], float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.9))
    step = length * math.cos(turn), length * math.sin(turn)
    for echo in range(int(rng.integers(1, 4))):  # the needle and its reverberations below it
        down = echo * 0.03 * light.shape[0]
        points = [(x, y + down), (x + step[0], y + down + step[1])]
        _stroke(light, points, 1.5, 0.8 / (1 + 1.5 * echo), float(rng.uniform(0.6, 1.4)))


def _spots(light: _Light, rng: Generator) -> None:
    centre, spread = _place(light, rng), 0.15 * light.shape[1]
    for _ in range(int(rng.integers(2, 12))):
        at = rng.normal(centre, spread)
        size = float(rng.uniform(0.5, 2.2))
        points = [(float(at[0]) - size, float(at[1])), (float(at[0]) + size, float(at[1]))]
        _stroke(light, points, 1.5, float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.5, 1.2)))


def _arc(light: _Light, rng: Generator) -> None:
    x, y = _place(light, rng)
    half, sag = float(rng.uniform(0.05, 0.25)) * light.shape[1], float(rng.normal(0, 0.06)) * light.shape[0]
    tilt = float(rng.normal(0, 0.25))
    t = np.linspace(-1, 1, 24)
    points = [(x + half * float(s), y + half * tilt * float(s) + sag * float(s * s)) for s in t]
    _stroke(light, points, float(rng.uniform(1, 3.5)), float(rng.uniform(0.4, 0.95)), float(rng.uniform(0.6, 1.5)))


def _reverberation(light: _Light, rng: Generator) -> None:
    x, y = _place(light, rng)
    half, gap = float(rng.uniform(0.02, 0.1)) * light.shape[1], float(rng.uniform(0.015, 0.04)) * light.shape[0]
    for echo in range(int(rng.integers(3, 8))):
        points = [(x - half, y + echo * gap), (x + half, y + echo * gap)]
        _stroke(light, points, 1.2, 0.8 * 0.75**echo, float(rng.uniform(0.5, 1.2)))


def _crossing(light: _Light, rng: Generator) -> None:
    """Two fibres that cross: the nearest thing to a caliper that tissue makes."""
    x, y = _place(light, rng)
    for turn in (float(rng.normal(0.1, 0.3)), float(rng.normal(1.2, 0.5))):
        half = float(rng.uniform(3, 14)) * light.shape[1] / 256
        step = half * math.cos(turn), half * math.sin(turn)
        points = [(x - step[0], y - step[1]), (x + step[0], y + step[1])]
        _stroke(light, points, 1.2, float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.7, 1.6)))


_ECHOES: tuple[Callable[[_Light, Generator], None], ...] = (_needle, _spots, _arc, _reverberation, _crossing)


def _with_flow(image: Image, rng: Generator) -> Image:
    """Add colour Doppler flow: blocky blobs in red to yellow or blue to cyan."""
    height, width = image.shape[:2]
    small = rng.standard_normal((max(4, height // 3), max(4, width // 3)), np.float32)
    blurred = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(2, 6)))
    blocks = np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
    smooth: _Light = np.asarray(blocks / max(1e-6, float(blocks.std())), np.float32)
    x, y = _place(smooth, rng)
    rows, columns = np.ogrid[:height, :width]
    near = ((columns - x) / (0.2 * width)) ** 2 + ((rows - y) / (0.15 * height)) ** 2 < 1
    flow = (smooth > rng.uniform(0.8, 1.6)) & near
    speed = np.clip((smooth - 0.8) / 2, 0, 1)[..., None]
    toward = np.concatenate([120 + 135 * speed, 200 * speed**2, 0 * speed], axis=2)
    colours = toward if rng.random() < 0.6 else toward[..., ::-1]
    out = image.copy()
    out[flow] = np.rint(colours[flow]).astype(np.uint8)
    return out
