"""Ultrasound phantoms by scene: each organ under the probe it is usually seen with."""

from collections.abc import Callable

import numpy as np

from radrefine.errors import UsageError
from radrefine.phantoms.acoustics import Probe, Tissue, beam_space, random_probe, scan
from radrefine.phantoms.deep import draw_heart, draw_kidney, draw_liver
from radrefine.phantoms.pelvis import draw_fetal_head, draw_ovary
from radrefine.phantoms.shallow import draw_lung, draw_muscle, draw_vessels
from radrefine.phantoms.superficial import draw_breast, draw_hip, draw_thyroid
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


SCENES: dict[str, tuple[str, Callable[[Tissue, Generator, Probe], None]]] = {
    **{f"breast/{lesion}": ("linear", draw_breast(lesion)) for lesion in ("normal", "cyst", "benign", "malignant")},
    **{f"thyroid/{lesion}": ("linear", draw_thyroid(lesion)) for lesion in ("normal", "nodule")},
    **{f"liver/{lesion}": ("convex", draw_liver(lesion)) for lesion in ("normal", "cyst", "steatosis", "haemangioma")},
    **{f"kidney/{lesion}": ("convex", draw_kidney(lesion)) for lesion in ("normal", "stone", "hydronephrosis")},
    "hip": ("linear", draw_hip),
    "heart": ("phased", draw_heart),
    "ovary": ("convex", draw_ovary),
    "fetal_head": ("convex", draw_fetal_head),
    "lung": ("linear", draw_lung),
    "muscle": ("linear", draw_muscle),
    "vessels": ("linear", draw_vessels),
}
"""Scenes by name: the probe they are usually seen with, and what draws them."""
