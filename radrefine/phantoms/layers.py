"""Layers that several ultrasound scenes share: skin and muscle."""

import numpy as np

from radrefine.phantoms.acoustics import Tissue
from radrefine.phantoms.lesions import add_septa
from radrefine.phantoms.space import Field, band, inside, mix

Generator = np.random.Generator


def add_skin(tissue: Tissue, depth: float) -> None:
    """Add the skin: a bright layer down to `depth` between two brighter lines."""
    z = tissue.space.z
    tissue.echo = mix(tissue.echo, 7.0, inside(z - np.float32(depth), 0.004))
    tissue.glint += band(z - np.float32(0.006), 0.004) * np.float32(5) + band(
        z - np.float32(depth), 0.004
    ) * np.float32(3)


def add_muscle(tissue: Tissue, rng: Generator, bent: Field, where: Field) -> None:
    """Add muscle within `where`: dark, with the bright stripes of its sheaths along the bent layers."""
    tissue.echo = mix(tissue.echo, float(rng.uniform(-11, -7)), where)
    patchy = np.clip(0.7 + 0.7 * tissue.space.noise(rng, 0.3, 0.12), 0, 1.4) * where
    tissue.echo += np.asarray(tissue.space.noise(rng, 0.3, 0.06, z=bent) * where * np.float32(2.5), np.float32)
    add_septa(tissue, rng, patchy, (rng.uniform(0.5, 0.9), rng.uniform(0.024, 0.045)), rng.uniform(10, 15), bent, 0.7)
    add_septa(tissue, rng, patchy, (rng.uniform(0.3, 0.5), 0.016), 7, bent, 0.6)
