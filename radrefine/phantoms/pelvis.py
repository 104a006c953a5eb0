"""Ultrasound scenes of the pelvis: an ovary with its follicles, the head of a fetus."""

import math

import numpy as np

from radrefine.phantoms.acoustics import Probe, Tissue
from radrefine.phantoms.layers import add_muscle
from radrefine.phantoms.lesions import add_cyst, add_layer_lines, add_septa
from radrefine.phantoms.space import Field, band, inside, mix

Generator = np.random.Generator


def draw_ovary(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw an ovary: follicles of many sizes in a grey oval, bowel and fat around it, at times a large cyst."""
    space, middle = tissue.space, tissue.space.width / 2
    bent = np.asarray(space.z - np.float32(0.06) * space.noise(rng, 0.5, 0.5), np.float32)
    tissue.echo += np.float32(rng.uniform(-3, 3)) + space.fractal(rng, 0.16) * np.float32(4)
    add_septa(tissue, rng, np.ones(space.shape, np.float32), (0.3, 0.09), rng.uniform(6, 12), bent)
    at = (middle + float(rng.normal(0, 0.06)), float(rng.uniform(0.42, 0.55)))
    axes, turn = (float(rng.uniform(0.2, 0.3)), float(rng.uniform(0.14, 0.2))), float(rng.normal(0, 0.4))
    outline = space.blob(rng, at, axes, angle=turn, rough=0.07)
    tissue.echo = mix(tissue.echo, space.fractal(rng, 0.05) * np.float32(2) - np.float32(4), inside(outline, 0.012))
    tissue.glint += band(outline, 0.007) * np.float32(1.2)
    if rng.random() < 0.3:
        add_cyst(tissue, rng, at, axes[1] * float(rng.uniform(0.7, 1.1)))
        return _bowel(tissue, rng)
    for _ in range(int(rng.integers(3, 11))):
        far, angle = math.sqrt(float(rng.uniform(0.1, 0.7))), float(rng.uniform(0, 2 * math.pi))
        x, z = far * math.cos(angle) * axes[0], far * math.sin(angle) * axes[1]
        place = (
            at[0] + x * math.cos(turn) - z * math.sin(turn),
            at[1] + x * math.sin(turn) + z * math.cos(turn),
        )
        add_cyst(tissue, rng, place, float(rng.uniform(0.015, 0.05)))
    return _bowel(tissue, rng)


def _bowel(tissue: Tissue, rng: Generator) -> None:
    """Add loops of bowel: bright ragged gas with a dirty shadow."""
    for _ in range(int(rng.integers(1, 4))):
        at = (float(rng.uniform(0, tissue.space.width)), float(rng.uniform(0.3, 0.95)))
        loop = tissue.space.blob(rng, at, (float(rng.uniform(0.06, 0.14)), float(rng.uniform(0.02, 0.05))), rough=0.3)
        gas = inside(loop, 0.012)
        tissue.echo += gas * np.float32(rng.uniform(8, 16))
        tissue.loss += gas * np.float32(rng.uniform(60, 200))


def draw_fetal_head(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw a fetal head: the bright oval of the skull, the midline, dark ventricles, fluid and uterine wall around."""
    space, middle = tissue.space, tissue.space.width / 2
    add_muscle(tissue, rng, space.z, np.ones(space.shape, np.float32))
    at = (middle + float(rng.normal(0, 0.05)), float(rng.uniform(0.46, 0.56)))
    axes, turn = (float(rng.uniform(0.3, 0.4)), float(rng.uniform(0.23, 0.3))), float(rng.normal(0, 0.25))
    sac = space.blob(rng, at, (axes[0] + 0.12, axes[1] + 0.1), angle=turn, rough=0.08)
    tissue.echo = mix(tissue.echo, -32.0, inside(sac, 0.01))
    skull = space.blob(rng, at, axes, angle=turn, rough=0.015)
    brain = space.fractal(rng, 0.06) * np.float32(2.5) - np.float32(rng.uniform(9, 15))
    tissue.echo = mix(tissue.echo, brain, inside(skull, 0.006))
    across, along = _turned(space.x - np.float32(at[0]), space.z - np.float32(at[1]), turn)
    # A skull is brightest where the beam meets it squarely.
    square = np.clip(np.abs(space.z - np.float32(at[1])) / np.float32(axes[1]), 0.12, 1) ** np.float32(1.5)
    tissue.glint += np.asarray(band(skull, float(rng.uniform(0.008, 0.016))) * square * np.float32(16), np.float32)
    middle_line = band(along, 0.005) * inside(np.abs(across) - np.float32(0.8 * axes[0]), 0.02)
    tissue.glint += middle_line * np.float32(rng.uniform(2, 6))
    for side in (-1, 1):
        horn = np.hypot(across * np.float32(0.4), along - np.float32(side * 0.07)) - np.float32(0.03)
        tissue.echo -= inside(np.asarray(horn, np.float32), 0.012) * np.float32(12)
        add_layer_lines(tissue, rng, np.asarray(horn, np.float32), 1.8, 0.005)
    tissue.loss += inside(skull, 0.006) * np.float32(rng.uniform(4, 16))


def _turned(x: Field, z: Field, turn: float) -> tuple[Field, Field]:
    cosine, sine = math.cos(turn), math.sin(turn)
    return np.asarray(x * cosine + z * sine, np.float32), np.asarray(z * cosine - x * sine, np.float32)
