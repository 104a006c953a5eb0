"""MR phantoms: tissue signals of a sequence, a coil's bias field and Rician noise."""

from collections.abc import Callable

import numpy as np

from radrefine.phantoms.space import Field, Space, band, blurred, contour, inside, mix
from radrefine.records import Image

Generator = np.random.Generator

# Relative signal of each tissue by sequence.
_SIGNALS: dict[str, dict[str, float]] = {
    "t1": {
        "fat": 0.95,
        "white": 0.68,
        "grey": 0.5,
        "fluid": 0.13,
        "bone": 0.06,
        "muscle": 0.4,
        "marrow": 0.85,
        "lesion": 0.36,
    },
    "t2": {
        "fat": 0.7,
        "white": 0.36,
        "grey": 0.52,
        "fluid": 0.97,
        "bone": 0.06,
        "muscle": 0.22,
        "marrow": 0.5,
        "lesion": 0.8,
    },
    "flair": {
        "fat": 0.75,
        "white": 0.42,
        "grey": 0.56,
        "fluid": 0.08,
        "bone": 0.05,
        "muscle": 0.3,
        "marrow": 0.5,
        "lesion": 0.9,
    },
    "pd_fs": {
        "fat": 0.16,
        "white": 0.5,
        "grey": 0.6,
        "fluid": 0.97,
        "bone": 0.05,
        "muscle": 0.42,
        "marrow": 0.2,
        "lesion": 0.9,
    },
}


def mr_phantom(rng: Generator, size: tuple[int, int], scene: str) -> Image:
    """Make an MR slice of `scene`, one of `MR_SCENES`; (H, W) uint8 from `rng` alone."""
    draw, sequences = MR_SCENES[scene]
    flat = Space.flat(*size)
    zoom = np.float32(rng.uniform(0.93, 1.07))
    x = (flat.x - np.float32(flat.width / 2)) * zoom + np.float32(0.5 + rng.normal(0, 0.012))
    z = (flat.z - np.float32(0.5)) * zoom + np.float32(0.5 + rng.normal(0, 0.012))
    space = Space(np.asarray(x, np.float32), np.asarray(z, np.float32))
    signal = draw(space, rng, _SIGNALS[str(rng.choice(sequences))])
    signal = blurred(signal, 0.75 * max(1.0, size[0] / 256))
    bias = np.exp(np.float32(0.16) * space.noise(rng, 0.7, 0.7))
    noise = np.float32(rng.uniform(0.012, 0.035)) * rng.standard_normal((2, *space.shape), np.float32)
    magnitude = np.hypot(signal * bias + noise[0], noise[1])
    return np.rint(np.clip(magnitude * np.float32(rng.uniform(0.75, 0.92)), 0, 1) * 255).astype(np.uint8)


def _brain(lesion: str) -> Callable[[Space, Generator, dict[str, float]], Field]:
    def draw(space: Space, rng: Generator, tissue: dict[str, float]) -> Field:
        axes = (float(rng.uniform(0.33, 0.37)), float(rng.uniform(0.41, 0.45)))
        head = space.blob(rng, (0.5, 0.5), axes, rough=0.015)
        signal = np.zeros(space.shape, np.float32)
        for depth, name in (
            (0.0, "muscle"),
            (0.006, "fat"),
            (0.026, "bone"),
            (0.034, "marrow"),
            (0.04, "bone"),
            (0.048, "fluid"),
        ):
            signal = mix(signal, tissue[name], inside(head + np.float32(depth)))
        brain = np.asarray(head + np.float32(0.058), np.float32)
        signal = _cortex(signal, space, rng, tissue, brain)
        signal = _deep_nuclei(signal, space, rng, tissue)
        if lesion == "tumour":
            signal = _tumour(signal, space, rng, tissue, brain)
        elif lesion == "plaques":
            for _ in range(int(rng.integers(6, 15))):
                at = (0.5 + float(rng.choice([-1, 1]) * rng.uniform(0.07, 0.16)), float(rng.uniform(0.34, 0.66)))
                spot = space.blob(
                    rng, at, (rng.uniform(0.008, 0.02), rng.uniform(0.006, 0.012)), angle=rng.uniform(0, 3)
                )
                signal = mix(signal, tissue["lesion"], inside(spot, 0.005))
        return signal

    return draw


def _cortex(signal: Field, space: Space, rng: Generator, tissue: dict[str, float], brain: Field) -> Field:
    """Fold grey over white matter: sulci are contour lines of noise near the surface, lined with grey."""
    depth = -brain
    folds = space.noise(rng, 0.055, 0.055)
    reach = np.clip(1 - depth / np.float32(0.11), 0, 1)
    sulcus = contour(folds, 1.3 * space.shape[0] / 256) * reach
    grey = np.maximum(
        contour(folds, 4.2 * space.shape[0] / 256) * (reach > 0.08), band(depth - np.float32(0.008), 0.014)
    )
    inner = np.float32(tissue["white"]) + space.fractal(rng, 0.06) * np.float32(0.008)
    inner = mix(inner, tissue["grey"], np.asarray(np.clip(grey, 0, 1), np.float32))
    inner = mix(inner, tissue["fluid"], np.asarray(np.clip(sulcus * 0.9, 0, 1), np.float32))
    midline = band(space.x - np.float32(0.5), 0.006) * inside(np.float32(0.14) - np.abs(space.z - np.float32(0.5)))
    inner = mix(inner, tissue["fluid"], np.asarray(midline * np.float32(0.9), np.float32))
    return mix(signal, inner, inside(brain))


def _deep_nuclei(signal: Field, space: Space, rng: Generator, tissue: dict[str, float]) -> Field:
    size = float(rng.uniform(0.8, 1.35))
    for side in (-1, 1):
        for at, axes, name, angle in (
            ((0.5 + side * 0.075, 0.525), (0.035, 0.05), "grey", 0.4 * side),
            ((0.5 + side * 0.115, 0.47), (0.02, 0.06), "grey", 0.25 * side),
            ((0.5 + side * 0.036, 0.415), (0.02 * size, 0.062 * size), "fluid", -0.38 * side),
            ((0.5 + side * 0.07, 0.6), (0.016 * size, 0.06 * size), "fluid", -0.5 * side),
        ):
            outline = space.blob(rng, at, axes, angle=angle, rough=0.1)
            signal = mix(signal, tissue[name], inside(outline))
    return mix(signal, tissue["fluid"], inside(space.blob(rng, (0.5, 0.51), (0.006, 0.03), rough=0.1)))


def _tumour(signal: Field, space: Space, rng: Generator, tissue: dict[str, float], brain: Field) -> Field:
    at = (0.5 + float(rng.choice([-1, 1]) * rng.uniform(0.09, 0.17)), float(rng.uniform(0.35, 0.65)))
    radius = float(rng.uniform(0.06, 0.11))
    oedema = space.blob(rng, at, (radius * 1.6, radius * 1.4), rough=0.25, sharp=0.8)
    signal = mix(signal, tissue["lesion"] * 0.9, inside(oedema, 0.02) * inside(brain) * np.float32(0.6))
    mass = space.blob(rng, at, (radius, radius * 0.9), rough=0.15)
    signal = mix(signal, tissue["lesion"] + space.fractal(rng, 0.04) * np.float32(0.05), inside(mass) * inside(brain))
    core = space.blob(rng, at, (radius * 0.5, radius * 0.45), rough=0.25)
    signal = mix(signal, tissue["fluid"], inside(core, 0.01))
    return signal + band(mass, 0.012) * np.float32(0.22)


def _knee(finding: str) -> Callable[[Space, Generator, dict[str, float]], Field]:
    def draw(space: Space, rng: Generator, tissue: dict[str, float]) -> Field:
        signal = np.zeros(space.shape, np.float32)
        half = float(rng.uniform(0.3, 0.36))
        bulge = np.float32(0.04) * np.cos((space.z - np.float32(0.5)) * np.float32(8)) + space.noise(
            rng, 0.5, 0.5
        ) * np.float32(0.008)
        leg = np.asarray(np.abs(space.x - np.float32(0.5)) - np.float32(half) - bulge, np.float32)
        signal = mix(signal, np.float32(tissue["fat"]) + space.noise(rng, 0.05, 0.05) * np.float32(0.03), inside(leg))
        muscle = inside(
            np.float32(0.6) - space.x + np.float32(0.35) * np.abs(space.z - np.float32(0.5)), 0.02
        ) * inside(leg + np.float32(0.05))
        fibres = np.float32(tissue["muscle"]) + space.noise(rng, 0.02, 0.3) * np.float32(0.05)
        signal = mix(signal, fibres, muscle)
        signal = _knee_bones(signal, space, rng, tissue)
        joint = inside(np.abs(space.z - np.float32(0.525)) - np.float32(0.015)) * inside(
            np.abs(space.x - np.float32(0.52)) - np.float32(0.2)
        )
        signal = mix(signal, tissue["fluid"] * 0.75, joint)
        for side in (-1, 1):  # menisci: dark wedges
            wedge = np.abs(space.z - np.float32(0.525)) - np.float32(0.11) * (
                side * (space.x - np.float32(0.52)) - np.float32(0.08)
            )
            where = inside(np.abs(side * (space.x - np.float32(0.52)) - np.float32(0.14)) - np.float32(0.06))
            signal = mix(signal, tissue["bone"], inside(np.asarray(wedge, np.float32)) * where)
        tendon = np.abs(
            space.x - np.float32(0.235) - np.float32(0.1) * np.abs(space.z - np.float32(0.45))
        ) - np.float32(0.013)
        signal = mix(signal, tissue["bone"], inside(np.asarray(tendon, np.float32)))
        if finding == "effusion":
            pocket = space.blob(
                rng,
                (0.31, 0.3),
                (float(rng.uniform(0.03, 0.05)), float(rng.uniform(0.1, 0.15))),
                angle=0.15,
                rough=0.15,
            )
            signal = mix(signal, tissue["fluid"], inside(pocket))
            behind = space.blob(rng, (0.72, 0.55), (0.035, 0.07), rough=0.15)
            signal = mix(signal, tissue["fluid"], inside(behind))
        return signal

    return draw


def _joined(first: Field, second: Field, radius: float) -> Field:
    """Join two signed distances with a rounded corner of about `radius`."""
    nearer = np.clip(0.5 + (second - first) / np.float32(2 * radius), 0, 1)
    return np.asarray(second + (first - second) * nearer - np.float32(radius) * nearer * (1 - nearer), np.float32)


def _slab(space: Space, at: tuple[float, float], half: tuple[float, float]) -> Field:
    """Return the signed distance to a rectangle with rounded corners."""
    dx = np.abs(space.x - np.float32(at[0])) - np.float32(half[0] - 0.03)
    dz = np.abs(space.z - np.float32(at[1])) - np.float32(half[1] - 0.03)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dz, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dz), 0) - np.float32(0.03), np.float32)


def _knee_bones(signal: Field, space: Space, rng: Generator, tissue: dict[str, float]) -> Field:
    wide = float(rng.uniform(0.93, 1.07))
    shaft = _slab(space, (0.5, 0.1), (0.1, 0.3))
    femur = _joined(shaft, space.blob(rng, (0.53, 0.4), (0.19 * wide, 0.11), rough=0.04), 0.06)
    shin = _slab(space, (0.52, 1.0), (0.11, 0.4))
    tibia = _joined(shin, _slab(space, (0.53, 0.59), (0.19 * wide, 0.05)), 0.07)
    patella = space.blob(rng, (0.27, 0.36), (0.035, 0.075), rough=0.05)
    for bone in (femur, tibia, patella):
        bone = np.asarray(bone, np.float32)
        signal = mix(signal, tissue["fluid"] * 0.62, inside(bone - np.float32(0.012)))  # cartilage
        signal = mix(signal, tissue["bone"], inside(bone))
        marrow = np.float32(tissue["marrow"]) + space.fractal(rng, 0.05) * np.float32(0.02)
        signal = mix(signal, marrow, inside(bone + np.float32(0.01)))
    return signal


MR_SCENES: dict[str, tuple[Callable[[Space, Generator, dict[str, float]], Field], tuple[str, ...]]] = {
    "brain/normal": (_brain("normal"), ("t1", "t2", "flair")),
    "brain/tumour": (_brain("tumour"), ("t2", "flair")),
    "brain/plaques": (_brain("plaques"), ("flair",)),
    "knee/normal": (_knee("normal"), ("t1", "pd_fs")),
    "knee/effusion": (_knee("effusion"), ("pd_fs", "t2")),
}
"""MR scenes by name: what draws them and the sequences they are seen with."""
