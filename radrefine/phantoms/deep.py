"""Ultrasound scenes deep in the body: liver, kidney, heart."""

import math
from collections.abc import Callable

import numpy as np

from radrefine.phantoms.acoustics import Probe, Tissue
from radrefine.phantoms.layers import add_muscle
from radrefine.phantoms.lesions import (
    add_cyst,
    add_layer_lines,
    add_stone,
    add_vessel,
)
from radrefine.phantoms.space import band, inside, mix

Generator = np.random.Generator


def draw_liver(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    """Return what draws a liver under the abdominal wall, with vessels, diaphragm and its finding."""

    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, middle = tissue.space, tissue.space.width / 2
        wall = rng.uniform(0.1, 0.16)
        grain = space.fractal(rng, 0.12) * np.float32(0.9)
        add_muscle(tissue, rng, space.z, np.ones(space.shape, np.float32))
        bright = rng.uniform(6, 9) if lesion == "steatosis" else rng.uniform(-2, 1)
        liver = inside(np.float32(wall) - space.z - np.float32(0.02) * space.noise(rng, 0.4, 0.4), 0.008)
        tissue.echo = mix(tissue.echo, grain + np.float32(bright), liver)
        lining = space.z - np.float32(wall) + np.float32(0.02) * space.noise(rng, 0.25, 0.5)
        add_layer_lines(tissue, rng, np.asarray(lining, np.float32), 4, 0.006)
        for _ in range(int(rng.integers(2, 5))):
            _branch(tissue, rng, middle, faint=lesion == "steatosis")
        _diaphragm(tissue, rng, middle)
        if lesion == "steatosis":
            tissue.loss += liver * np.float32(rng.uniform(16, 26))
        at = (middle + float(rng.normal(0, 0.16)), float(rng.uniform(0.35, 0.62)))
        if lesion == "cyst":
            add_cyst(tissue, rng, at, float(rng.uniform(0.06, 0.12)))
        elif lesion == "haemangioma":
            outline = space.blob(rng, at, (rng.uniform(0.06, 0.1),) * 2, rough=0.12)
            tissue.echo = mix(tissue.echo, grain + np.float32(bright + 10), inside(outline, 0.008))

    return draw


def _branch(tissue: Tissue, rng: Generator, middle: float, *, faint: bool) -> None:
    start = (middle + float(rng.normal(0, 0.25)), float(rng.uniform(0.3, 0.75)))
    turn, points = float(rng.uniform(0, 2 * math.pi)), [start]
    for _ in range(3):
        turn += float(rng.normal(0, 0.45))
        last = points[-1]
        points.append((last[0] + 0.11 * math.cos(turn), last[1] + 0.09 * math.sin(turn)))
    add_vessel(tissue, rng, points, float(rng.uniform(0.012, 0.03)), 0.3 if faint else float(rng.choice([0.5, 2.5])))


def _diaphragm(tissue: Tissue, rng: Generator, middle: float) -> None:
    centre = (middle + float(rng.normal(0, 0.1)), float(rng.uniform(0.3, 0.4)))
    arc = tissue.space.blob(rng, centre, (0.72, 0.55), rough=0.01)
    below = inside(np.float32(0.55) - tissue.space.z, 0.05)
    tissue.glint += band(arc, 0.007) * below * np.float32(rng.uniform(3, 8))
    tissue.echo -= inside(-arc, 0.01) * below * np.float32(9)


def draw_kidney(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    """Return what draws a kidney in its bed, with sinus and pyramids and its finding."""

    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, middle = tissue.space, tissue.space.width / 2
        wall = rng.uniform(0.1, 0.18)
        add_muscle(tissue, rng, space.z, np.ones(space.shape, np.float32))
        organ = inside(np.float32(wall) - space.z, 0.01)
        tissue.echo = mix(tissue.echo, space.fractal(rng, 0.12) + np.float32(rng.uniform(-1, 2)), organ)
        lining = space.z - np.float32(wall) + np.float32(0.02) * space.noise(rng, 0.25, 0.5)
        add_layer_lines(tissue, rng, np.asarray(lining, np.float32), 4, 0.006)
        at, angle = (middle + float(rng.normal(0, 0.04)), float(rng.uniform(0.48, 0.56))), float(rng.normal(0.1, 0.2))
        axes = (float(rng.uniform(0.3, 0.36)), float(rng.uniform(0.15, 0.19)))
        outline = space.blob(rng, at, axes, angle=angle, rough=0.05)
        tissue.echo = mix(
            tissue.echo, space.fractal(rng, 0.06) * np.float32(1.2) - np.float32(6), inside(outline, 0.006)
        )
        tissue.glint += band(outline - np.float32(0.004), 0.008) * np.float32(2.5)
        sinus = space.blob(rng, at, (axes[0] * 0.6, axes[1] * 0.45), angle=angle, rough=0.3, sharp=0.7)
        tissue.echo = mix(tissue.echo, space.fractal(rng, 0.03) * np.float32(3) + np.float32(9), inside(sinus, 0.02))
        for spot in np.linspace(-0.7, 0.7, 5):
            pyramid = (at[0] + axes[0] * spot, at[1] + axes[1] * 0.62 * float(rng.choice([-1, 1])))
            tissue.echo -= inside(space.blob(rng, pyramid, (0.035, 0.03), rough=0.1), 0.01) * np.float32(7)
        _kidney_lesion(tissue, rng, lesion, at, axes)

    return draw


def _kidney_lesion(
    tissue: Tissue, rng: Generator, lesion: str, at: tuple[float, float], axes: tuple[float, float]
) -> None:
    if lesion == "stone":
        add_stone(tissue, rng, (at[0] + float(rng.normal(0, 0.08)), at[1]), float(rng.uniform(0.03, 0.05)))
    elif lesion == "hydronephrosis":
        pelvis = tissue.space.blob(rng, at, (axes[0] * 0.55, axes[1] * 0.55), rough=0.35, sharp=0.8)
        tissue.echo = mix(tissue.echo, -36.0, inside(pelvis, 0.008))
        tissue.loss -= inside(pelvis, 0.008) * np.float32(30)
        tissue.glint += band(pelvis, 0.008) * np.float32(2)


def draw_heart(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw the four chambers of a heart from its apex, with their valves."""
    space, middle = tissue.space, tissue.space.width / 2
    tissue.echo += np.float32(-6) + space.fractal(rng, 0.06) * np.float32(2)
    tilt = float(rng.normal(0, 0.08))
    chambers = [
        ((-0.1, 0.42), (0.085, 0.24)),
        ((0.1, 0.4), (0.075, 0.2)),
        ((-0.1, 0.8), (0.1, 0.12)),
        ((0.1, 0.78), (0.09, 0.12)),
    ]
    for (dx, z), (a, b) in chambers:
        outline = space.blob(rng, (middle + dx + tilt * (z - 0.5), z), (a, b), angle=tilt, rough=0.06)
        tissue.echo += band(outline - np.float32(0.02), 0.02) * np.float32(5)
        tissue.echo = mix(tissue.echo, -34.0, inside(outline, 0.012))
        tissue.glint += band(outline - np.float32(0.006), 0.008) * np.float32(rng.uniform(1, 3))
    for dx in (-0.1, 0.1):
        for side in (-1, 1):
            start = (middle + dx + side * 0.075, 0.655)
            end = (middle + dx + side * float(rng.uniform(0.005, 0.04)), 0.655 - float(rng.uniform(0.0, 0.08)))
            along = np.clip((space.x - np.float32(start[0])) / np.float32(end[0] - start[0]), 0, 1)
            leaf = np.hypot(
                space.x - (start[0] + (end[0] - start[0]) * along), space.z - (start[1] + (end[1] - start[1]) * along)
            )
            tissue.glint += band(np.asarray(leaf, np.float32), 0.008) * np.float32(5)
    tissue.loss += np.float32(rng.uniform(4, 12))
