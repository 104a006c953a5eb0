"""Ultrasound scenes of air, muscle and vessels: a lung under its pleura, muscle on bone, an artery beside its vein."""

import math

import numpy as np

from radrefine.phantoms.acoustics import Probe, Tissue
from radrefine.phantoms.layers import add_muscle, add_skin
from radrefine.phantoms.lesions import add_bone, add_layer_lines, add_vessel
from radrefine.phantoms.space import band, inside, mix

Generator = np.random.Generator


def draw_lung(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw a lung: chest wall, at times ribs, the pleural line, then A-lines or B-lines in air."""
    space, pleura = tissue.space, float(rng.uniform(0.16, 0.34))
    bent = np.asarray(space.z - np.float32(0.02) * space.noise(rng, 0.6, 0.6), np.float32)
    add_muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
    add_layer_lines(tissue, rng, bent - np.float32(pleura * 0.55), 3, 0.006)
    depth = np.asarray(bent - np.float32(pleura), np.float32)
    air = inside(-depth, 0.006)
    tissue.echo = mix(tissue.echo, space.fractal(rng, 0.05) * np.float32(2) - np.float32(rng.uniform(13, 24)), air)
    strength, width = float(rng.uniform(7, 16)), float(rng.uniform(0.007, 0.014))
    rough = np.clip(1 + 0.4 * space.noise(rng, 0.1, 0.3), 0.2, 2)
    tissue.glint += np.asarray(band(depth, width) * rough * np.float32(strength), np.float32)
    for echo in range(1, int(rng.integers(1, 5))):
        again = np.asarray(depth - np.float32(echo * pleura), np.float32)
        tissue.glint += band(again, width * 1.3) * rough * np.float32(strength * 0.35 / echo)
    for _ in range(int(rng.choice([0, 0, 1, 3, 6]))):
        x = float(rng.uniform(0, space.width))
        beam = band(np.asarray(space.x - np.float32(x), np.float32), float(rng.uniform(0.008, 0.03)))
        tissue.echo += beam * air * np.float32(rng.uniform(8, 18))
    tissue.loss += air * np.float32(rng.uniform(4, 20))
    if rng.random() < 0.5:
        _rib_shadows(tissue, rng, pleura)
    if probe.geometry == "linear":
        add_skin(tissue, 0.03)


def _rib_shadows(tissue: Tissue, rng: Generator, pleura: float) -> None:
    space = tissue.space
    for centre in np.arange(float(rng.uniform(0.0, 0.3)), space.width + 0.1, float(rng.uniform(0.5, 0.75))):
        across = (space.x - np.float32(centre)) / np.float32(rng.uniform(0.08, 0.13))
        surface = space.z - np.float32(pleura - 0.07) - np.float32(0.04) * across**2
        add_bone(tissue, rng, np.asarray(surface, np.float32), inside(np.abs(across) - np.float32(1), 0.1), 9)


def draw_muscle(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw muscle over bone: two bellies with fibres at their own slant, the sheath between them, a tendon, bone."""
    space, slope = tissue.space, float(rng.normal(0, 0.12))
    x = space.x - np.float32(space.width / 2)
    bent = np.asarray(space.z - np.float32(slope) * x - np.float32(0.03) * space.noise(rng, 0.6, 0.6), np.float32)
    between, bone = float(rng.uniform(0.3, 0.5)), float(rng.uniform(0.68, 0.95))
    for top, bottom in ((0.0, between), (between, bone)):
        slant = np.float32(rng.normal(0, 0.22))
        belly = inside(np.float32(top) - bent, 0.01) * inside(bent - np.float32(bottom), 0.01)
        add_muscle(tissue, rng, np.asarray(space.z - slant * x, np.float32), belly)
    fat = inside(bent - np.float32(rng.uniform(0.06, 0.14)), 0.01)
    tissue.echo = mix(tissue.echo, space.noise(rng, 0.1, 0.04) * np.float32(3) - np.float32(6), fat)
    for depth in (between, float(rng.uniform(0.1, 0.25))):
        add_layer_lines(tissue, rng, bent - np.float32(depth), float(rng.uniform(3, 7)), 0.007)
    if rng.random() < 0.5:  # a tendon: fibres packed close together
        tendon = band(bent - np.float32(between * 0.6), 0.05)
        fibres = np.sin(bent * np.float32(2 * math.pi / rng.uniform(0.012, 0.02)) + space.noise(rng, 0.2, 0.1))
        tissue.echo += np.asarray(tendon * (np.float32(6) + fibres * np.float32(5)), np.float32)
    surface = bent - np.float32(bone) - np.float32(0.05) * space.noise(rng, 0.5, 2.0)
    add_bone(tissue, rng, np.asarray(surface, np.float32), np.ones(space.shape, np.float32), float(rng.uniform(8, 18)))
    add_skin(tissue, 0.035)


def draw_vessels(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw an artery along its length with its double wall, at times a plaque, and a vein beside it."""
    space = tissue.space
    bent = np.asarray(space.z - np.float32(0.03) * space.noise(rng, 0.6, 0.5), np.float32)
    add_muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
    tissue.echo += np.float32(rng.uniform(2, 7)) + space.fractal(rng, 0.1) * np.float32(2)
    add_layer_lines(tissue, rng, bent - np.float32(rng.uniform(0.1, 0.22)), 3, 0.006)
    depth, tilt = float(rng.uniform(0.4, 0.6)), float(rng.normal(0, 0.1))
    ends = [(-0.2, depth - tilt), (space.width / 2, depth), (space.width + 0.6, depth + tilt)]
    radius = float(rng.uniform(0.07, 0.14))
    wall = add_vessel(tissue, rng, ends, radius, 5)
    tissue.glint += band(wall - np.float32(rng.uniform(0.018, 0.03)), 0.006) * np.float32(rng.uniform(3, 8))
    if rng.random() < 0.4:
        at = (float(rng.uniform(0.2, 0.8)) * space.width, depth + radius * 0.8)
        plaque = space.blob(rng, at, (float(rng.uniform(0.06, 0.14)), radius * 0.4), rough=0.2)
        tissue.echo = mix(tissue.echo, float(rng.uniform(0, 9)), inside(plaque, 0.008))
        tissue.loss += inside(plaque, 0.008) * np.float32(rng.choice([0, 120]))
    if rng.random() < 0.6:
        above = [(x, z - radius * 2.2) for x, z in ends]
        add_vessel(tissue, rng, above, radius * float(rng.uniform(0.5, 1.0)), 1.5)
    add_skin(tissue, 0.035)
