"""CT phantoms: organs in Hounsfield units, streak-like reconstruction noise, and a window."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from radrefine.phantoms.space import Field, Space, band, blurred, inside, mix
from radrefine.records import Image

Generator = np.random.Generator
Place = tuple[float, float]


def ct_phantom(rng: Generator, size: tuple[int, int], scene: str) -> Image:
    """Make a CT slice of `scene`, one of `CT_SCENES`; (H, W) uint8 from `rng` alone."""
    draw, centre, width = CT_SCENES[scene]
    space = _patient_space(rng, size)
    hounsfield = draw(space, rng)
    hounsfield = blurred(hounsfield, 0.7 * max(1.0, size[0] / 256))
    hounsfield = hounsfield + _noise(rng, space, float(rng.uniform(0.018, 0.045)) * width)
    centre, width = centre + float(rng.normal(0, 0.02 * width)), width * float(rng.uniform(0.9, 1.12))
    return np.rint(np.clip((hounsfield - (centre - width / 2)) / width, 0, 1) * 255).astype(np.uint8)


def _patient_space(rng: Generator, size: tuple[int, int]) -> Space:
    """Return coordinates in which the patient's middle is 0.5, 0.5, slightly turned, shifted and scaled."""
    flat = Space.flat(*size)
    turn, zoom = float(rng.normal(0, 0.05)), float(rng.uniform(0.92, 1.08))
    x, z = (flat.x - np.float32(flat.width / 2)) * zoom, (flat.z - np.float32(0.5)) * zoom
    return Space(
        np.asarray(x * math.cos(turn) - z * math.sin(turn) + 0.5 + rng.normal(0, 0.015), np.float32),
        np.asarray(x * math.sin(turn) + z * math.cos(turn) + 0.5 + rng.normal(0, 0.015), np.float32),
    )


def _noise(rng: Generator, space: Space, sigma: float) -> Field:
    # Filtered backprojection leaves noise without low frequencies: grain, not clouds.
    white = rng.standard_normal(space.shape, np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), 0.7) - cv2.GaussianBlur(white, (0, 0), 2.5)
    return np.asarray(grain / max(1e-6, float(grain.std())) * np.float32(sigma), np.float32)


def _put(
    hounsfield: Field,
    space: Space,
    rng: Generator,
    at: Place,
    axes: Place,
    value: float,
    *,
    angle: float = 0.0,
    rough: float = 0.08,
    rim: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Put an organ of `value` HU into the slice, in place; `rim` is the width of its shell and what that adds."""
    reach = max(axes) * (1 + 3 * rough) + 0.02
    part, near = space.window((at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach))
    if not near.x.size:
        return
    outline = near.blob(rng, at, axes, angle=angle, rough=rough)
    texture = near.noise(rng, 0.05, 0.05) * np.float32(3) + np.float32(value)
    filled = mix(hounsfield[part], texture, inside(outline))
    hounsfield[part] = filled + band(outline, rim[0]) * np.float32(rim[1]) if rim[0] else filled


def _trunk(space: Space, rng: Generator, axes: Place) -> tuple[Field, Field, Field]:
    """Return air, fat and muscle wall of the trunk, its outline and that of the cavity."""
    hounsfield = np.full(space.shape, -1000, np.float32)
    body = space.blob(rng, (0.5, 0.5), axes, rough=0.02)
    hounsfield = mix(hounsfield, 40, inside(body))  # skin
    hounsfield = mix(
        hounsfield, np.float32(-100) + space.noise(rng, 0.04, 0.04) * np.float32(6), inside(body + np.float32(0.008))
    )
    fat = float(rng.uniform(0.025, 0.06))
    wall = space.blob(rng, (0.5, 0.505), (axes[0] - fat, axes[1] - fat), rough=0.02)
    hounsfield = mix(hounsfield, np.float32(55) + space.noise(rng, 0.03, 0.03) * np.float32(8), inside(wall))
    cavity = space.blob(rng, (0.5, 0.485), (axes[0] - fat - 0.035, axes[1] - fat - 0.05), rough=0.02)
    return hounsfield, body, cavity


def _spine(hounsfield: Field, space: Space, rng: Generator, z: float) -> None:
    for at, axes, value in (
        ((0.5, z), (0.052, 0.042), 260),
        ((0.5, z + 0.065), (0.03, 0.02), 300),
        ((0.44, z + 0.065), (0.045, 0.013), 320),
        ((0.56, z + 0.065), (0.045, 0.013), 320),
        ((0.5, z + 0.1), (0.012, 0.04), 330),
    ):
        _put(hounsfield, space, rng, at, axes, value, rough=0.08, rim=(0.006, 350))
    _put(hounsfield, space, rng, (0.5, z + 0.05), (0.017, 0.014), 20, rough=0.0)


def _ribs(hounsfield: Field, space: Space, rng: Generator, axes: Place, count: int) -> None:
    start = float(rng.uniform(0, 0.3))
    for number in range(count):
        turn = start + 2 * math.pi * number / count
        if abs(math.sin(turn) + 1) < 0.15:
            continue  # no rib in front of the breast bone
        at = (0.5 + axes[0] * math.cos(turn), 0.5 + axes[1] * math.sin(turn))
        tangent = math.atan2(axes[1] * math.cos(turn), -axes[0] * math.sin(turn))
        _put(hounsfield, space, rng, at, (0.035, 0.012), 250, angle=tangent, rough=0.1, rim=(0.005, 400))


def _abdomen(lesion: bool) -> Callable[[Space, Generator], Field]:
    def draw(space: Space, rng: Generator) -> Field:
        axes = (float(rng.uniform(0.4, 0.46)), float(rng.uniform(0.29, 0.34)))
        hu, _, cavity = _trunk(space, rng, axes)
        hu = mix(hu, np.float32(-95) + space.noise(rng, 0.03, 0.03) * np.float32(9), inside(cavity))
        _ribs(hu, space, rng, (axes[0] - 0.06, axes[1] - 0.06), int(rng.integers(10, 14)))
        back = 0.5 + axes[1] * 0.45
        for side in (-1, 1):
            _put(hu, space, rng, (0.5 + side * 0.1, back + 0.02), (0.045, 0.05), 60)
            _put(hu, space, rng, (0.5 + side * 0.09, back + 0.1), (0.07, 0.04), 58)
            _ct_kidney(hu, space, rng, (0.5 + side * 0.19, back), side)
        _spine(hu, space, rng, back)
        _put(hu, space, rng, (0.52, back - 0.065), (0.023, 0.023), 160, rough=0.02)
        _put(hu, space, rng, (0.46, back - 0.062), (0.024, 0.018), 130, rough=0.05)
        _bowel(hu, space, rng)
        liver_at = (0.5 - axes[0] * 0.44, 0.455)
        liver = float(rng.uniform(95, 120))
        _put(hu, space, rng, liver_at, (axes[0] * 0.4, axes[1] * 0.56), liver, angle=-0.35, rough=0.1)
        for _ in range(int(rng.integers(3, 7))):
            spot = (liver_at[0] + float(rng.normal(0, 0.06)), liver_at[1] + float(rng.normal(0, 0.06)))
            _put(hu, space, rng, spot, (0.022, 0.007), liver + 45, angle=float(rng.uniform(0, 3)))
        spleen_at = (0.5 + axes[0] * 0.66, 0.53)
        _put(hu, space, rng, spleen_at, (0.05, 0.11), 125, angle=0.35)
        if lesion:
            for _ in range(int(rng.integers(1, 4))):
                spot = (liver_at[0] + float(rng.normal(0, 0.05)), liver_at[1] + float(rng.normal(0, 0.07)))
                radius = float(rng.uniform(0.03, 0.065))
                value = float(rng.uniform(30, 60))
                _put(hu, space, rng, spot, (radius, radius), value, rough=0.12, rim=(0.01, 18))
        return hu

    return draw


def _ct_kidney(hu: Field, space: Space, rng: Generator, at: Place, side: int) -> None:
    _put(hu, space, rng, at, (0.05, 0.065), 175, angle=0.3 * side, rough=0.06)
    _put(hu, space, rng, (at[0] - side * 0.022, at[1]), (0.022, 0.03), -40, angle=0.3 * side, rough=0.2)


def _bowel(hu: Field, space: Space, rng: Generator) -> None:
    for _ in range(int(rng.integers(6, 11))):
        at = (float(rng.uniform(0.42, 0.78)), float(rng.uniform(0.29, 0.47)))
        radius = float(rng.uniform(0.022, 0.045))
        _put(hu, space, rng, at, (radius, radius * 0.8), 45, rough=0.15)
        content = float(rng.choice([-850, 20, 180], p=[0.3, 0.5, 0.2]))
        _put(hu, space, rng, at, (radius * 0.7, radius * 0.5), content, rough=0.2)


def _chest(finding: str) -> Callable[[Space, Generator], Field]:
    def draw(space: Space, rng: Generator) -> Field:
        axes = (float(rng.uniform(0.42, 0.47)), float(rng.uniform(0.28, 0.33)))
        hu, _, cavity = _trunk(space, rng, axes)
        hu = mix(hu, np.float32(-90) + space.noise(rng, 0.03, 0.03) * np.float32(8), inside(cavity))
        lungs = []
        for side in (-1, 1):
            at, size = (0.5 + side * 0.205, 0.48), (0.155, axes[1] - 0.085)
            outline = space.blob(rng, at, size, angle=0.12 * side, rough=0.07)
            hu = mix(hu, np.float32(-860) + space.noise(rng, 0.1, 0.1) * np.float32(15), inside(outline))
            vessels = np.clip(space.noise(rng, 0.022, 0.022) - np.float32(1.3), 0, 1) * np.float32(500)
            hu += vessels * inside(outline + np.float32(0.012))
            lungs.append((at, outline))
        _mediastinum(hu, space, rng)
        _ribs(hu, space, rng, (axes[0] - 0.05, axes[1] - 0.05), int(rng.integers(12, 17)))
        _spine(hu, space, rng, 0.5 + axes[1] * 0.5)
        _put(hu, space, rng, (0.5, 0.5 - axes[1] + 0.06), (0.03, 0.012), 220)
        at, outline = lungs[int(rng.integers(2))]
        if finding == "nodule":
            spot = (at[0] + float(rng.normal(0, 0.045)), at[1] + float(rng.normal(0, 0.07)))
            radius = float(rng.uniform(0.02, 0.042))
            _put(hu, space, rng, spot, (radius, radius), 35, rough=0.2)
        elif finding == "effusion":
            level = float(rng.uniform(0.54, 0.6)) + space.noise(rng, 0.3, 0.3) * np.float32(0.008)
            hu = mix(hu, 12, inside(outline) * inside(np.asarray(level - space.z, np.float32), 0.006))
        return hu

    return draw


def _mediastinum(hu: Field, space: Space, rng: Generator) -> None:
    _put(hu, space, rng, (0.5, 0.46), (0.065, 0.12), 30, rough=0.15)
    _put(hu, space, rng, (0.54, 0.45), (0.11, 0.085), 110, angle=0.5, rough=0.08)
    _put(hu, space, rng, (0.47, 0.43), (0.035, 0.035), 190, rough=0.04)
    _put(hu, space, rng, (0.56, 0.575), (0.03, 0.03), 190, rough=0.03)
    for side in (-1, 1):
        _put(hu, space, rng, (0.5 + side * 0.045, 0.515), (0.016, 0.016), -950, rough=0.05)


def _head(bleeding: bool) -> Callable[[Space, Generator], Field]:
    def draw(space: Space, rng: Generator) -> Field:
        axes = (float(rng.uniform(0.32, 0.36)), float(rng.uniform(0.4, 0.44)))
        hu = np.full(space.shape, -1000, np.float32)
        scalp = space.blob(rng, (0.5, 0.5), axes, rough=0.015)
        hu = mix(hu, -20, inside(scalp))
        skull = space.blob(rng, (0.5, 0.5), (axes[0] - 0.018, axes[1] - 0.018), rough=0.012)
        hu = mix(hu, 1100, inside(skull))
        thick = float(rng.uniform(0.022, 0.032))
        hu = mix(hu, 10, inside(skull + np.float32(thick)))
        brain = skull + np.float32(thick + 0.007)
        matter = np.float32(31) + space.fractal(rng, 0.05) * np.float32(2)
        cortex = band(brain + np.float32(0.02), 0.025) * np.float32(7)
        hu = mix(hu, matter + cortex, inside(brain))
        sulci = np.clip(space.noise(rng, 0.022, 0.022) - np.float32(0.5), 0, 1) * band(brain + np.float32(0.012), 0.018)
        hu -= np.asarray(sulci * np.float32(26), np.float32)
        size = float(rng.uniform(0.8, 1.25))
        for side in (-1, 1):
            for at, ventricle, angle in (
                ((0.5 + side * 0.04, 0.42), (0.022 * size, 0.065 * size), -0.35 * side),
                ((0.5 + side * 0.075, 0.59), (0.018 * size, 0.06 * size), -0.5 * side),
            ):
                _put(hu, space, rng, at, ventricle, 6, angle=angle, rough=0.1)
            _put(hu, space, rng, (0.5 + side * 0.085, 0.49), (0.03, 0.05), 37, angle=0.3 * side)
        falx = (
            band(space.x - np.float32(0.5), 0.003)
            * inside(np.abs(space.z - np.float32(0.5)) - np.float32(0.28))
            * inside(brain)
        )
        middle = 1 - inside(np.abs(space.z - np.float32(0.5)) - np.float32(0.14))
        hu += falx * middle * np.float32(28)
        if bleeding:
            hu = _haemorrhage(hu, space, rng, brain)
        return hu

    return draw


def _haemorrhage(hu: Field, space: Space, rng: Generator, brain: Field) -> Field:
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.4:  # subdural: a crescent under the skull
        crescent = inside(-brain - np.float32(rng.uniform(0.03, 0.05)), 0.01) * inside(brain)
        where = inside(np.float32(0.1) - side * (space.x - np.float32(0.5)), 0.05)
        return mix(hu, 66, np.asarray(crescent * where, np.float32))
    at = (0.5 + side * float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.4, 0.6)))
    axes = (float(rng.uniform(0.045, 0.09)), float(rng.uniform(0.04, 0.07)))
    oedema = space.blob(rng, at, (axes[0] + 0.035, axes[1] + 0.035), rough=0.15)
    hu = mix(hu, 22, inside(oedema, 0.015) * inside(brain))
    _put(hu, space, rng, at, axes, 68, rough=0.22)
    return hu


CT_SCENES: dict[str, tuple[Callable[[Space, Generator], Field], float, float]] = {
    "abdomen/normal": (_abdomen(False), 50, 380),
    "abdomen/liver_lesion": (_abdomen(True), 50, 380),
    "chest/normal": (_chest("normal"), -500, 1500),
    "chest/nodule": (_chest("nodule"), -500, 1500),
    "chest/effusion": (_chest("effusion"), 40, 420),
    "head/normal": (_head(False), 38, 85),
    "head/haemorrhage": (_head(True), 38, 85),
}
"""CT scenes by name: what draws them, the centre and the width of their window in Hounsfield units."""
