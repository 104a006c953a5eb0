"""Ultrasound phantoms: breast and thyroid under a linear probe, liver and kidney under a convex one, hip and heart."""

import math
from collections.abc import Callable

import numpy as np

from radrefine.errors import UsageError
from radrefine.phantoms.acoustics import Probe, Tissue, beam_space, random_probe, scan
from radrefine.phantoms.lesions import (
    add_bone,
    add_calcifications,
    add_cyst,
    add_layer_lines,
    add_mass,
    add_septa,
    add_stone,
    add_vessel,
)
from radrefine.phantoms.space import Field, band, inside, mix
from radrefine.records import Image

Generator = np.random.Generator


def ultrasound_phantom(
    rng: Generator, size: tuple[int, int] = (256, 256), scene: str = "breast/normal", geometry: str | None = None
) -> Image:
    """Make an ultrasound picture of a scene.

    Args:
        rng: Source of all choices.
        size: Height and width, px.
        scene: One of `SCENES`.
        geometry: "linear", "convex" or "phased"; None takes the probe that the scene is usually seen with.

    Returns:
        (H, W) uint8, without marks.

    Raises:
        UsageError: An unknown scene or geometry.
    """
    if scene not in SCENES:
        raise UsageError(f"no ultrasound phantom called {scene!r}; choose one of {', '.join(SCENES)}")
    usual, draw = SCENES[scene]
    if (geometry or usual) not in ("linear", "convex", "phased"):
        raise UsageError(f"no probe called {geometry!r}; choose linear, convex or phased")
    probe = random_probe(rng, geometry or usual)
    tissue = Tissue(space := beam_space(probe, *size), np.zeros(space.shape, np.float32))
    draw(tissue, rng, probe)
    _add_contact_shadows(tissue, rng)
    return scan(tissue, probe, rng, *size)


def _add_contact_shadows(tissue: Tissue, rng: Generator) -> None:
    """Add the streaks that poor contact and uneven tissue leave, and the fading of deep echoes."""
    columns = tissue.space.shape[1]
    streaks = np.interp(np.linspace(0, 1, columns), np.linspace(0, 1, 14), rng.normal(0, 2.5, 14))
    tissue.loss += streaks.astype(np.float32)[None]
    tissue.loss += np.float32(rng.uniform(0, 6)) + np.float32(rng.uniform(0, 30)) * np.clip(
        tissue.space.z - np.float32(rng.uniform(0.45, 0.8)), 0, 1
    )


def _breast(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
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
        _muscle(tissue, rng, bent, deep)
        _chest_wall(tissue, rng, wavy[1] - np.float32(gland + rng.uniform(0.14, 0.3)))
        add_layer_lines(tissue, rng, wavy[1] - np.float32(gland), 3.0, 0.006)
        add_layer_lines(tissue, rng, wavy[0] - np.float32(fat), 1.5, 0.005)
        if rng.random() < 0.4:
            _ribs(tissue, rng, muscle)
        _skin(tissue, skin)
        _breast_lesion(tissue, rng, lesion, (fat + gland) / 2)

    return draw


def _skin(tissue: Tissue, depth: float) -> None:
    z = tissue.space.z
    tissue.echo = mix(tissue.echo, 7.0, inside(z - np.float32(depth), 0.004))
    tissue.glint += band(z - np.float32(0.006), 0.004) * np.float32(5) + band(
        z - np.float32(depth), 0.004
    ) * np.float32(3)


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


def _muscle(tissue: Tissue, rng: Generator, bent: Field, where: Field) -> None:
    tissue.echo = mix(tissue.echo, float(rng.uniform(-11, -7)), where)
    patchy = np.clip(0.7 + 0.7 * tissue.space.noise(rng, 0.3, 0.12), 0, 1.4) * where
    tissue.echo += np.asarray(tissue.space.noise(rng, 0.3, 0.06, z=bent) * where * np.float32(2.5), np.float32)
    add_septa(tissue, rng, patchy, (rng.uniform(0.5, 0.9), rng.uniform(0.024, 0.045)), rng.uniform(10, 15), bent, 0.7)
    add_septa(tissue, rng, patchy, (rng.uniform(0.3, 0.5), 0.016), 7, bent, 0.6)


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


def _thyroid(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, side = tissue.space, int(rng.choice([-1, 1]))
        bent = np.asarray(space.z - np.float32(0.04) * space.noise(rng, 0.6, 0.6), np.float32)
        _muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
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
        _skin(tissue, 0.04)
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


def _liver(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, middle = tissue.space, tissue.space.width / 2
        wall = rng.uniform(0.1, 0.16)
        grain = space.fractal(rng, 0.12) * np.float32(0.9)
        _muscle(tissue, rng, space.z, np.ones(space.shape, np.float32))
        bright = rng.uniform(6, 9) if lesion == "steatosis" else rng.uniform(-2, 1)
        liver = inside(np.float32(wall) - space.z - np.float32(0.02) * space.noise(rng, 0.4, 0.4), 0.008)
        tissue.echo = mix(tissue.echo, grain + np.float32(bright), liver)
        add_layer_lines(tissue, rng, space.z - np.float32(wall), 4, 0.006)
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


def _kidney(lesion: str) -> Callable[[Tissue, Generator, Probe], None]:
    def draw(tissue: Tissue, rng: Generator, probe: Probe) -> None:
        space, middle = tissue.space, tissue.space.width / 2
        wall = rng.uniform(0.1, 0.18)
        _muscle(tissue, rng, space.z, np.ones(space.shape, np.float32))
        organ = inside(np.float32(wall) - space.z, 0.01)
        tissue.echo = mix(tissue.echo, space.fractal(rng, 0.12) + np.float32(rng.uniform(-1, 2)), organ)
        add_layer_lines(tissue, rng, space.z - np.float32(wall), 4, 0.006)
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


def _hip(tissue: Tissue, rng: Generator, probe: Probe) -> None:
    space = tissue.space
    bent = np.asarray(space.z - np.float32(0.06) * space.noise(rng, 0.7, 0.5), np.float32)
    _muscle(tissue, rng, bent, np.ones(space.shape, np.float32))
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
    _skin(tissue, 0.035)


def _heart(tissue: Tissue, rng: Generator, probe: Probe) -> None:
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


SCENES: dict[str, tuple[str, Callable[[Tissue, Generator, Probe], None]]] = {
    **{f"breast/{lesion}": ("linear", _breast(lesion)) for lesion in ("normal", "cyst", "benign", "malignant")},
    **{f"thyroid/{lesion}": ("linear", _thyroid(lesion)) for lesion in ("normal", "nodule")},
    **{f"liver/{lesion}": ("convex", _liver(lesion)) for lesion in ("normal", "cyst", "steatosis", "haemangioma")},
    **{f"kidney/{lesion}": ("convex", _kidney(lesion)) for lesion in ("normal", "stone", "hydronephrosis")},
    "hip": ("linear", _hip),
    "heart": ("phased", _heart),
}
"""Scenes by name: the probe they are usually seen with, and what draws them."""
