"""X-ray phantoms: attenuation summed along the beam, exposure, scatter and quantum noise."""

import itertools
import math
from collections.abc import Callable

import cv2
import numpy as np

from radrefine.phantoms.space import Field, Space, band, blurred, inside
from radrefine.records import Image

Generator = np.random.Generator
Place = tuple[float, float]


def xray_phantom(rng: Generator, size: tuple[int, int], scene: str) -> Image:
    """Make a radiograph of `scene`, one of `XRAY_SCENES`; (H, W) uint8 from `rng` alone, bones bright."""
    flat = Space.flat(*size)
    zoom, turn = np.float32(rng.uniform(0.93, 1.07)), float(rng.normal(0, 0.04))
    x, z = (flat.x - np.float32(flat.width / 2)) * zoom, (flat.z - np.float32(0.5)) * zoom
    space = Space(
        np.asarray(x * math.cos(turn) - z * math.sin(turn) + 0.5, np.float32),
        np.asarray(x * math.sin(turn) + z * math.cos(turn) + 0.5, np.float32),
    )
    thickness = XRAY_SCENES[scene](space, rng)
    thickness = blurred(thickness, 0.8 * max(1.0, size[0] / 256))
    photons = np.float32(rng.uniform(1500, 6000)) * np.exp(-thickness)
    scatter = cv2.GaussianBlur(photons, (0, 0), size[0] / 12) * np.float32(0.12)
    counts = photons + scatter + np.sqrt(photons + scatter) * rng.standard_normal(space.shape, np.float32)
    density = -np.log(np.maximum(counts, 1))
    low, high = np.percentile(density[:: max(1, size[0] // 64), :: max(1, size[1] // 64)], [1, 99.6])
    grey = np.clip((density - low) / max(1e-3, high - low), 0, 1) ** np.float32(rng.uniform(0.85, 1.25))
    return np.rint(grey * 255).astype(np.uint8)


def _thick(distance: Field, depth: float) -> Field:
    """Return the chord through a rounded body: 1 in its middle, 0 at its outline, `depth` px from the outline to 1."""
    along = np.clip(-distance / np.float32(depth), 0, 1)
    return np.asarray(np.sqrt(1 - (1 - along) ** 2), np.float32)


def _capsule(space: Space, start: Place, end: Place, radius: float, waist: float = 0.0) -> Field:
    """Return the signed distance to a rod with round ends, thinner in its middle by the share `waist`."""
    dx, dz = end[0] - start[0], end[1] - start[1]
    along = ((space.x - start[0]) * dx + (space.z - start[1]) * dz) / np.float32(max(1e-6, dx * dx + dz * dz))
    along = np.clip(along, 0, 1)
    distance = np.hypot(space.x - start[0] - along * dx, space.z - start[1] - along * dz)
    return np.asarray(distance - radius * (1 - waist * np.sin(along * math.pi)), np.float32)


def _add_bone(bones: Field, space: Space, start: Place, end: Place, radius: float, strength: float = 1.0) -> None:
    """Add the thickness of a long bone to `bones`, in place: a spongy inside and a dense shell."""
    reach = radius + 0.01
    box = (min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    part, near = space.window((box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach))
    if not near.x.size:
        return
    outline = _capsule(near, start, end, radius, 0.38)
    shell = band(outline + np.float32(radius * 0.2), radius * 0.22) * np.float32(0.55 * strength)
    bone = _thick(outline, radius) * np.float32(0.45 * strength) + shell
    bones[part] = np.maximum(bones[part], bone)


def _chest(finding: str) -> Callable[[Space, Generator], Field]:
    def draw(space: Space, rng: Generator) -> Field:
        trunk = space.blob(rng, (0.5, 0.72), (0.47, 0.66), rough=0.01)
        neck = _capsule(space, (0.5, -0.2), (0.5, 0.2), 0.09)
        total = _thick(np.minimum(trunk, neck), 0.2) * np.float32(1.5)
        lungs, outlines = np.zeros(space.shape, np.float32), []
        for side in (-1, 1):
            lung, outline = _lung(space, rng, side)
            lungs = np.maximum(lungs, lung)
            outlines.append(outline)
        total -= lungs * np.float32(1.05)
        vessels = np.clip(space.fractal(rng, 0.05) - np.float32(0.4), 0, 2) * np.float32(0.1)
        hilum = np.exp(
            -(
                ((np.abs(space.x - np.float32(0.5)) - np.float32(0.09)) / np.float32(0.09)) ** 2
                + ((space.z - np.float32(0.5)) / np.float32(0.16)) ** 2
            )
        )
        total += lungs * vessels * (np.float32(0.5) + hilum * np.float32(1.6))
        total += _centre(space, rng)
        total += _rib_cage(space, rng) * np.float32(0.34)
        total += _chest_finding(space, rng, finding, outlines)
        return np.asarray(np.maximum(total, 0.02), np.float32)

    return draw


def _lung(space: Space, rng: Generator, side: int) -> tuple[Field, Field]:
    outline = space.blob(rng, (0.5 + side * 0.185, 0.48), (0.155, 0.34), angle=-0.1 * side, rough=0.03)
    dome = (
        np.float32(0.7 + (0.02 if side > 0 else 0.0))
        + np.float32(1.4) * (space.x - np.float32(0.5 + side * 0.17)) ** 2
        - space.z
    )
    outline = np.maximum(outline, -dome)
    return _thick(np.asarray(outline, np.float32), 0.07), np.asarray(outline, np.float32)


def _centre(space: Space, rng: Generator) -> Field:
    size = float(rng.uniform(0.9, 1.12))
    heart = space.blob(rng, (0.545, 0.6), (0.135 * size, 0.12 * size), angle=0.5, rough=0.05)
    total = _thick(heart, 0.1) * np.float32(0.6)
    total += _thick(_capsule(space, (0.5, 0.1), (0.5, 1.1), 0.055), 0.05) * np.float32(0.38)
    knob = space.blob(rng, (0.555, 0.37), (0.05, 0.05), rough=0.05)
    total += _thick(knob, 0.05) * np.float32(0.4)
    total -= _thick(_capsule(space, (0.5, 0.0), (0.5, 0.38), 0.02), 0.02) * np.float32(0.3)
    for level in np.arange(0.08, 1.05, 0.062):  # the discs between the vertebrae
        total -= (
            band(space.z - np.float32(level), 0.008)
            * inside(np.abs(space.x - np.float32(0.5)) - np.float32(0.045), 0.01)
            * np.float32(0.1)
        )
    return np.asarray(total, np.float32)


def _rib_cage(space: Space, rng: Generator) -> Field:
    total = np.zeros(space.shape, np.float32)
    across = np.abs(space.x - np.float32(0.5))
    reach = inside(across - np.float32(0.345), 0.01) * inside(np.float32(0.03) - across, 0.01)
    for number in range(10):
        top = 0.14 + 0.068 * number + float(rng.normal(0, 0.004))
        back = (
            space.z
            - np.float32(top)
            - np.float32(0.5) * across
            + np.float32(1.9) * across**2 * np.float32(0.5 + 0.03 * number)
        )
        front = space.z - np.float32(top + 0.17) + np.float32(0.38) * across
        for line, strength in ((back, 1.0), (front, 0.45)):
            edge = np.asarray(np.abs(line) - np.float32(0.013), np.float32)
            total += (
                (_thick(edge, 0.012) * np.float32(0.5) + band(edge, 0.004) * np.float32(0.6))
                * reach
                * np.float32(strength)
            )
    for side in (-1, 1):
        clavicle = _capsule(space, (0.5 + side * 0.03, 0.2), (0.5 + side * 0.36, 0.12), 0.014)
        scapula = _capsule(space, (0.5 + side * 0.33, 0.2), (0.5 + side * 0.4, 0.45), 0.03)
        humerus = _capsule(space, (0.5 + side * 0.44, 0.16), (0.5 + side * 0.5, 0.6), 0.035)
        total += (
            _thick(clavicle, 0.014) * np.float32(1.0) + _thick(scapula, 0.03) * np.float32(0.5) + _thick(humerus, 0.03)
        )
    return total


def _chest_finding(space: Space, rng: Generator, finding: str, outlines: list[Field]) -> Field:
    side = int(rng.integers(2))
    lung = inside(outlines[side], 0.02)
    middle = 0.5 + (0.19 if side else -0.19)
    if finding == "pneumonia":
        at = (middle + float(rng.normal(0, 0.03)), float(rng.uniform(0.4, 0.62)))
        cloud = space.blob(
            rng, at, (float(rng.uniform(0.09, 0.13)), float(rng.uniform(0.08, 0.13))), rough=0.25, sharp=0.8
        )
        patchy = np.clip(0.8 + 0.35 * space.fractal(rng, 0.06), 0.2, 1.6)
        return np.asarray(inside(cloud, 0.05) * lung * patchy * np.float32(0.75), np.float32)
    if finding == "effusion":
        level = np.float32(rng.uniform(0.5, 0.62)) + np.float32(0.7) * (
            np.float32(0.33) - np.abs(space.x - np.float32(0.5))
        )
        fluid = inside(np.asarray(level - space.z, np.float32), 0.03)
        wide = inside(space.blob(rng, (middle, 0.6), (0.17, 0.3), rough=0.02), 0.02)
        return np.asarray(fluid * np.maximum(lung, wide * (space.z > 0.6)) * np.float32(0.62), np.float32)
    return np.zeros(space.shape, np.float32)


def _hand(broken: bool) -> Callable[[Space, Generator], Field]:
    def draw(space: Space, rng: Generator) -> Field:
        wrist, spread = (0.5, 0.78), float(rng.uniform(0.85, 1.15))
        flesh = _capsule(space, (0.5, 1.2), (0.5, 0.75), 0.12)
        palm = space.blob(rng, (0.49, 0.64), (0.155, 0.17), rough=0.03)
        flesh = np.minimum(flesh, palm)
        bones = np.zeros(space.shape, np.float32)
        fracture = int(rng.integers(1, 5)) if broken else -1
        for number, (turn, lengths) in enumerate(_FINGERS):
            turn = turn * spread + float(rng.normal(0, 0.02))
            flesh, bones = _finger(
                space, rng, flesh, bones, wrist, turn, lengths, thumb=number == 0, broken=number == fracture
            )
        for _ in range(8):
            at = (float(rng.uniform(0.42, 0.58)), float(rng.uniform(0.765, 0.83)))
            part, near = space.window((at[0] - 0.06, at[1] - 0.06, at[0] + 0.06, at[1] + 0.06))
            carpal = near.blob(rng, at, (0.03, 0.026), rough=0.12)
            bone = _thick(carpal, 0.03) * np.float32(0.5) + band(carpal, 0.006) * np.float32(0.3)
            bones[part] = np.maximum(bones[part], bone)
        _add_bone(bones, space, (0.46, 0.88), (0.45, 1.25), 0.048)
        _add_bone(bones, space, (0.575, 0.885), (0.585, 1.25), 0.033)
        texture = 1 + np.float32(0.06) * space.noise(rng, 0.012, 0.012)
        return np.asarray(
            _thick(flesh, 0.06) * np.float32(0.55) + bones * texture * np.float32(0.95) + 0.02, np.float32
        )

    return draw


# Each finger: its direction (radians from straight up) and the share of its length at each joint.
_FINGERS = (
    (-0.85, (0.11, 0.23, 0.33, 0.40)),
    (-0.27, (0.07, 0.31, 0.44, 0.525, 0.585)),
    (-0.06, (0.06, 0.31, 0.465, 0.565, 0.63)),
    (0.14, (0.07, 0.29, 0.43, 0.525, 0.59)),
    (0.36, (0.09, 0.275, 0.38, 0.45, 0.505)),
)


def _finger(
    space: Space,
    rng: Generator,
    flesh: Field,
    bones: Field,
    wrist: Place,
    turn: float,
    joints: tuple[float, ...],
    *,
    thumb: bool,
    broken: bool,
) -> tuple[Field, Field]:
    def at(far: float) -> Place:
        return wrist[0] + far * math.sin(turn), wrist[1] - far * math.cos(turn)

    radius = 0.02 if not thumb else 0.022
    flesh = np.minimum(flesh, _capsule(space, at(joints[1] * (0.5 if thumb else 0.9)), at(joints[-1] + 0.015), 0.038))
    for number, (start, end) in enumerate(itertools.pairwise(joints)):
        size = radius * (1.0 - 0.14 * number)
        if broken and number == 1:
            middle, shift = (start + end) / 2, float(rng.choice([-1, 1]) * rng.uniform(0.012, 0.022))
            across = (shift * math.cos(turn), shift * math.sin(turn))
            tip = at(end - size)
            _add_bone(bones, space, at(start + size), at(middle - 0.008), size)
            moved, near = (tip[0] + across[0] * 2, tip[1] + across[1] * 2), at(middle + 0.008)
            _add_bone(bones, space, (near[0] + across[0], near[1] + across[1]), moved, size)
        else:
            _add_bone(bones, space, at(start + size), at(end - size), size)
    return flesh, bones


XRAY_SCENES: dict[str, Callable[[Space, Generator], Field]] = {
    "chest/normal": _chest("normal"),
    "chest/pneumonia": _chest("pneumonia"),
    "chest/effusion": _chest("effusion"),
    "hand/normal": _hand(False),
    "hand/fracture": _hand(True),
}
"""X-ray scenes by name and what draws them."""
