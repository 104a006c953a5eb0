"""What the ultrasound scenes put into tissue: layers, cysts, masses, stones, bone, vessels."""

import itertools
import math

import numpy as np

from radrefine.phantoms.acoustics import Tissue
from radrefine.phantoms.space import Field, band, contour, inside, mix

Place = tuple[float, float]


def add_layer_lines(tissue: Tissue, rng: np.random.Generator, depth: Field, strength: float, width: float) -> None:
    """Add a fascia: a thin bright line where `depth` (a signed distance) is zero, broken where it is weak."""
    broken = np.clip(0.6 + 0.6 * tissue.space.noise(rng, 0.16, 0.3), 0, 1.5)
    tissue.glint += np.asarray(band(depth, width) * broken * np.float32(strength), np.float32)


def add_septa(
    tissue: Tissue, rng: np.random.Generator, where: Field, cells: Place, decibels: float, z: Field, width: float = 1.0
) -> None:
    """Add the bright septa between lobules: contour lines of noise, cells[0] by cells[1] in size, within `where`."""
    lines = contour(tissue.space.noise(rng, *cells, z=z), width)
    broken = np.clip(0.75 + 0.5 * tissue.space.noise(rng, 0.12, 0.12), 0, 1.3)
    tissue.echo += np.asarray(lines * broken * where * np.float32(decibels), np.float32)


def add_cyst(tissue: Tissue, rng: np.random.Generator, centre: Place, radius: float, decibels: float = -38.0) -> None:
    """Add a cyst: no echoes inside, a bright back wall, enhancement behind, fine shadows at its edges."""
    flat = float(rng.uniform(0.65, 1.0))
    outline = tissue.space.blob(rng, centre, (radius, radius * flat), angle=float(rng.normal(0, 0.2)), rough=0.1)
    hole = inside(outline, 0.006)
    tissue.echo = mix(tissue.echo, decibels, hole)
    tissue.glint *= 1 - hole
    tissue.loss -= hole * np.float32(rng.uniform(4, 8) / max(0.06, 1.6 * radius * flat))
    below = tissue.space.z > centre[1]
    tissue.glint += (
        band(outline, 0.007) * np.where(below, np.float32(2.6), np.float32(1.0)) * np.float32(rng.uniform(0.5, 1.2))
    )
    side = np.abs(np.abs(tissue.space.x - np.float32(centre[0])) - np.float32(radius))
    tissue.loss += band(np.asarray(side, np.float32), 0.008) * hole_depth(tissue, centre[1]) * np.float32(9)
    if rng.random() < 0.3:  # reverberation from the front wall
        tissue.echo += hole * band(outline + np.float32(0.03), 0.018) * np.float32(14)


def hole_depth(tissue: Tissue, depth: float) -> Field:
    """Return 1 below `depth` and 0 above it."""
    return (tissue.space.z > np.float32(depth)).astype(np.float32)


def add_mass(tissue: Tissue, rng: np.random.Generator, centre: Place, radius: float, *, malignant: bool) -> None:
    """Add a solid mass: smooth and wide when benign; jagged, tall, with a bright rim and a shadow when malignant."""
    if malignant:
        axes, rough, sharp = (radius * 0.85, radius * float(rng.uniform(0.85, 1.15))), 0.22, 0.5
    else:
        axes, rough, sharp = (radius * 1.15, radius * float(rng.uniform(0.5, 0.7))), 0.12, 1.2
    outline = tissue.space.blob(rng, centre, axes, angle=float(rng.normal(0, 0.25)), rough=rough, sharp=sharp)
    body = inside(outline, 0.02 if malignant else 0.008)
    grain = tissue.space.fractal(rng, 0.05) * np.float32(2.2)
    tissue.echo = mix(tissue.echo, grain - np.float32(rng.uniform(12, 19) if malignant else rng.uniform(8, 12)), body)
    if malignant:
        tissue.echo += band(outline - np.float32(0.015), 0.02) * np.float32(4)
        tissue.loss += body * np.float32(rng.uniform(8, 18) / max(0.06, 2 * axes[1]))
        if rng.random() < 0.5:
            add_calcifications(tissue, rng, centre, radius * 0.6, int(rng.integers(4, 12)))
    else:
        tissue.glint += band(outline, 0.006) * np.float32(rng.uniform(0.4, 0.9))
        tissue.loss -= body * np.float32(3 / max(0.06, 2 * axes[1]))


def add_calcifications(tissue: Tissue, rng: np.random.Generator, centre: Place, spread: float, count: int) -> None:
    """Add `count` bright specks around `centre`, each with a faint shadow."""
    for _ in range(count):
        turn, far = rng.uniform(0, 2 * math.pi), spread * math.sqrt(rng.uniform())
        at = (centre[0] + far * math.cos(turn), centre[1] + far * math.sin(turn))
        speck = inside(tissue.space.blob(rng, at, (0.006, 0.004), rough=0.0), 0.004)
        tissue.glint += speck * np.float32(rng.uniform(6, 14))
        tissue.loss += speck * np.float32(80)


def add_stone(tissue: Tissue, rng: np.random.Generator, centre: Place, radius: float) -> None:
    """Add a stone: a bright cap and a clean shadow."""
    outline = tissue.space.blob(rng, centre, (radius, radius * 0.55), rough=0.1)
    body = inside(outline, 0.005)
    tissue.glint += band(outline, 0.01) * np.float32(10) * (tissue.space.z < np.float32(centre[1]))
    tissue.loss += body * np.float32(36 / max(0.03, radius))


def add_bone(tissue: Tissue, rng: np.random.Generator, surface: Field, where: Field, strength: float = 16.0) -> None:
    """Add a bone's surface: a bright thick line at `surface` = 0 (positive below) and nothing behind it."""
    thick = band(surface, 0.009) + np.float32(0.25) * band(surface - np.float32(0.02), 0.02)
    wavy = np.clip(1 + 0.35 * tissue.space.noise(rng, 0.1, 0.2), 0.3, 2)
    tissue.glint += np.asarray(thick * where * wavy * np.float32(strength), np.float32)
    behind = inside(-surface + np.float32(0.012), 0.006) * where
    tissue.loss += behind * band(surface - np.float32(0.03), 0.03) * np.float32(900)
    for echo in (1, 2):  # reverberations, weaker each time
        again = surface - np.float32(0.075 * echo)
        tissue.glint += band(again, 0.012) * where * np.float32(strength * 3.5 / 2**echo)


def add_vessel(tissue: Tissue, rng: np.random.Generator, points: list[Place], radius: float, wall: float) -> Field:
    """Add a vessel along a polyline, tapering; `wall` is the brightness of its wall. Returns the signed distance."""
    distance = np.full(tissue.space.shape, 9, np.float32)
    for number, (start, end) in enumerate(itertools.pairwise(points)):
        along = _along(tissue, start, end)
        dx = tissue.space.x - (start[0] + (end[0] - start[0]) * along)
        dz = tissue.space.z - (start[1] + (end[1] - start[1]) * along)
        taper = radius * (1 - 0.5 * (number + along) / max(1, len(points) - 1))
        distance = np.minimum(distance, np.sqrt(dx * dx + dz * dz) - taper)
    distance += tissue.space.noise(rng, 0.08, 0.08) * np.float32(0.12 * radius)
    tissue.echo = mix(tissue.echo, -30.0, inside(distance, 0.006))
    tissue.glint += band(distance - np.float32(0.003), 0.007) * np.float32(wall)
    return np.asarray(distance, np.float32)


def _along(tissue: Tissue, start: Place, end: Place) -> Field:
    dx, dz = end[0] - start[0], end[1] - start[1]
    square = max(1e-6, dx * dx + dz * dz)
    along = ((tissue.space.x - start[0]) * dx + (tissue.space.z - start[1]) * dz) / np.float32(square)
    return np.asarray(np.clip(along, 0, 1), np.float32)
