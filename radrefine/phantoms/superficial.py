"""Ultrasound scenes close to the skin: breast, thyroid, an infant's hip."""

from collections.abc import Callable

import numpy as np

from radrefine.phantoms.acoustics import Probe, Tissue
from radrefine.phantoms.layers import add_muscle, add_skin
from radrefine.phantoms.lesions import (
    add_bone,
    add_calcifications,
    add_cyst,
    add_layer_lines,
    add_mass,
    add_septa,
)
from radrefine.phantoms.space import Field, band, inside, mix

Generator = np.random.Generator


def draw_breast(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    """Return what draws a breast: skin, fat, gland, muscle, chest wall, and "normal" or a lesion."""

    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space = tissue.space
        slope = rng.normal(0, 0.12)
        bent = space.z - np.float32(0.05) * space.noise(rng, 0.5, 0.7) * np.minimum(space.z * 3, 1)
        bent = np.asarray(bent - np.float32(slope) * (space.x - np.float32(space.width / 2)) * space.z, np.float32)
        skin, fat = rng.uniform(0.03, 0.05), rng.uniform(0.14, 0.3)
        gland, muscle = fat + rng.uniform(0.2, 0.42), rng.uniform(0.72, 0.98)
        wavy = [np.asarray(bent + np.float32(0.025) * space.noise(rng, 0.22, 0.22), np.float32) for _ in range(2)]
        _fat(tissue, rng, bent)
        glandular = inside(np.float32(fat) - wavy[0], 0.012) * inside(wavy[1] - np.float32(gland), 0.012)
        _glandular(tissue, rng, bent, glandular)
        deep = inside(np.float32(gland) - wavy[1], 0.006)
        add_muscle(tissue, rng, bent, deep)
        _chest_wall(tissue, rng, wavy[1] - np.float32(gland + rng.uniform(0.14, 0.3)))
        add_layer_lines(tissue, rng, wavy[1] - np.float32(gland), 3.0, 0.006)
        add_layer_lines(tissue, rng, wavy[0] - np.float32(fat), 1.5, 0.005)
        if rng.random() < 0.4:
            _ribs(tissue, rng, muscle)
        add_skin(tissue, skin)
        _breast_lesion(tissue, rng, lesion, (fat + gland) / 2)

    return draw


def _fat(tissue: Tissue, rng: Generator, bent: Field) -> None:
    tissue.echo += np.float32(rng.uniform(-10, -6)) + np.float32(1.5) * tissue.space.noise(rng, 0.12, 0.06)
    everywhere = np.ones(tissue.space.shape, np.float32)
    add_septa(tissue, rng, everywhere, (rng.uniform(0.2, 0.4), rng.uniform(0.06, 0.11)), rng.uniform(13, 18), bent, 0.8)


def _glandular(tissue: Tissue, rng: Generator, bent: Field, where: Field) -> None:
    space = tissue.space
    coarse = space.noise(rng, 0.2, 0.07, z=bent) * np.float32(3) + space.noise(rng, 0.06, 0.025, z=bent) * np.float32(3)
    tissue.echo = mix(tissue.echo, coarse + np.float32(rng.uniform(0, 5)), where)
    add_septa(tissue, rng, where, (0.3, 0.05), 8, bent)
    ducts = np.clip(space.noise(rng, 0.09, 0.03, z=bent) - np.float32(1.0), 0, 1)
    tissue.echo -= np.asarray(ducts * where * np.float32(12), np.float32)


def _chest_wall(tissue: Tissue, rng: Generator, below: Field) -> None:
    """Add what lies behind the muscle: a bright line, then echoes that blur and fade into noise."""
    deep = inside(-below, 0.008)
    mottled = tissue.space.noise(rng, 0.25, 0.05) * np.float32(4) + np.float32(rng.uniform(-16, -8))
    tissue.echo = mix(tissue.echo, mottled, deep * np.float32(0.9))
    tissue.loss += deep * np.float32(rng.uniform(10, 45))
    if rng.random() < 0.6:
        add_layer_lines(tissue, rng, below, float(rng.uniform(2, 7)), 0.007)


def _ribs(tissue: Tissue, rng: Generator, depth: float) -> None:
    space = tissue.space
    for centre in np.arange(rng.uniform(-0.1, 0.4), space.width + 0.2, rng.uniform(0.45, 0.6)):
        half = rng.uniform(0.12, 0.18)
        across = (space.x - np.float32(centre)) / np.float32(half)
        surface = space.z - np.float32(depth) - np.float32(0.06) * across**2
        add_bone(tissue, rng, np.asarray(surface, np.float32), inside(np.abs(across) - np.float32(1), 0.1), 7)


def _breast_lesion(tissue: Tissue, rng: Generator, lesion: str, depth: float) -> None:
    width = tissue.space.width
    centre = (width * float(rng.uniform(0.25, 0.75)), float(np.clip(depth + rng.normal(0, 0.06), 0.2, 0.62)))
    if lesion == "cyst":
        add_cyst(tissue, rng, centre, float(rng.uniform(0.07, 0.17)))
        if rng.random() < 0.3:
            beside = (width * float(rng.uniform(0.1, 0.9)), centre[1] + float(rng.normal(0, 0.08)))
            add_cyst(tissue, rng, beside, float(rng.uniform(0.025, 0.06)))
    elif lesion == "benign":
        add_mass(tissue, rng, centre, float(rng.uniform(0.11, 0.2)), malignant=False)
    elif lesion == "malignant":
        add_mass(tissue, rng, centre, float(rng.uniform(0.12, 0.2)), malignant=True)


def draw_thyroid(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    """Return what draws a thyroid lobe between windpipe and carotid artery, "normal" or with a nodule."""

    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, side = tissue.space, int(rng.choice([-1, 1]))
        bent = np.asarray(space.z - np.float32(0.04) * space.noise(rng, 0.6, 0.6), np.float32)
        add_muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
        strap = rng.uniform(0.16, 0.26)
        add_layer_lines(tissue, rng, bent - np.float32(strap * 0.5), 3, 0.006)
        add_layer_lines(tissue, rng, bent - np.float32(strap), 3, 0.006)
        middle = space.width / 2
        lobe_at = (middle + side * rng.uniform(-0.06, 0.06), strap + rng.uniform(0.24, 0.32))
        axes = (rng.uniform(0.3, 0.38), rng.uniform(0.22, 0.28))
        lobe = space.blob(rng, lobe_at, axes, angle=rng.normal(0, 0.15), rough=0.07)
        grain = space.fractal(rng, 0.08) * np.float32(1.2) + np.float32(rng.uniform(2, 5))
        tissue.echo = mix(tissue.echo, grain, inside(lobe, 0.01))
        tissue.glint += band(lobe, 0.006) * np.float32(1.6)
        _trachea(tissue, rng, (middle + side * 0.52, strap + 0.3))
        carotid = (middle - side * rng.uniform(0.36, 0.44), lobe_at[1] + rng.uniform(-0.02, 0.1))
        add_cyst(tissue, rng, carotid, float(rng.uniform(0.06, 0.09)))
        add_skin(tissue, 0.04)
        _thyroid_lesion(tissue, rng, lesion, lobe_at)

    return draw


def _trachea(tissue: Tissue, rng: Generator, centre: tuple[float, float]) -> None:
    surface = tissue.space.blob(rng, centre, (0.22, 0.2), rough=0.02)
    above = (tissue.space.z < np.float32(centre[1])).astype(np.float32)
    tissue.echo = mix(tissue.echo, -22.0, inside(surface, 0.006))
    tissue.glint += band(surface, 0.009) * above * np.float32(9)
    for again in (1, 2, 3):
        tissue.glint += band(surface + np.float32(0.045 * again), 0.01) * above * np.float32(5 / again)
    tissue.loss += inside(surface, 0.006) * np.float32(60)


def _thyroid_lesion(tissue: Tissue, rng: Generator, lesion: str, lobe: tuple[float, float]) -> None:
    if lesion == "normal":
        return
    at = (lobe[0] + float(rng.normal(0, 0.07)), lobe[1] + float(rng.normal(0, 0.04)))
    radius = float(rng.uniform(0.09, 0.16))
    suspicious = rng.random() < 0.4
    add_mass(tissue, rng, at, radius * (1.0 if suspicious else 1.1), malignant=bool(suspicious))
    if not suspicious and rng.random() < 0.5:
        add_cyst(tissue, rng, (at[0] + radius * 0.2, at[1]), radius * 0.4)
    if rng.random() < 0.4:
        add_calcifications(tissue, rng, at, radius * 0.5, int(rng.integers(3, 9)))


def draw_hip(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    """Draw an infant's hip: the cartilage of the femoral head between ilium and shaft."""
    space = tissue.space
    bent = np.asarray(space.z - np.float32(0.06) * space.noise(rng, 0.7, 0.5), np.float32)
    add_muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
    head = (0.55 * space.width + float(rng.normal(0, 0.03)), 0.55 + float(rng.normal(0, 0.03)))
    radius = float(rng.uniform(0.16, 0.2))
    ball = space.blob(rng, head, (radius, radius), rough=0.02)
    specks = np.clip(space.noise(rng, 0.03, 0.012) - np.float32(1.4), 0, 1) * np.float32(14)
    tissue.echo = mix(tissue.echo, specks - np.float32(20), inside(ball, 0.01))
    add_layer_lines(tissue, rng, np.asarray(ball - np.float32(0.02), np.float32), 2.5, 0.01)
    ilium = np.asarray(
        space.z - np.float32(head[1] - 0.04) + np.float32(0.08) * (space.x - np.float32(head[0])), np.float32
    )
    add_bone(tissue, rng, ilium, inside(space.x - np.float32(head[0] - radius - 0.02), 0.02), 16)
    shaft = space.blob(rng, (space.width + 0.05, 0.75), (0.28, 0.3), rough=0.05)
    add_bone(tissue, rng, -shaft, inside(np.float32(head[0] + radius) - space.x, 0.02), 14)
    socket = inside(np.float32(head[1] + 0.1) - space.z, 0.02) * inside(
        np.abs(space.x - np.float32(head[0])) - np.float32(radius), 0.02
    )
    add_bone(tissue, rng, np.asarray(-ball + np.float32(0.04), np.float32), socket, 9)
    add_skin(tissue, 0.035)
