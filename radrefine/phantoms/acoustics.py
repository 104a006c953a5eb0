"""From tissue to an ultrasound picture: scatterers, beam, envelope, attenuation, log compression, scan conversion.

Speckle is not painted on: each sample holds a circular complex Gaussian scatterer whose strength is the tissue's
echogenicity, and the beam's point spread function sums their echoes coherently. The envelope of that sum has the
Rayleigh statistics, grain and depth dependence of speckle (Wagner et al., IEEE Trans. Sonics Ultrason. 30, 1983).
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from radrefine.phantoms.space import Field, Space
from radrefine.records import Image


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe and its settings.

    Attributes:
        geometry: "linear", "convex" or "phased".
        axial: Sigma of the pulse, in samples.
        lateral: Sigma of the beam at its focus, in lines.
        focus: Depth of the focus, 0-1.
        looks: Pictures averaged by spatial compounding; 1 gives full speckle.
        dynamic_range: Decibels between black and white.
        gain: Decibels added to all echoes.
        noise: Level of the electronic noise at the surface, dB.
        tgc: How much the noise rises with depth, dB.
        half_angle: Half of the sector's opening, radians.
        curve: Radius of a convex probe's face relative to the depth of the deepest echo.
        reach: How much larger the sector is than the picture shows; 1 just fits.
    """

    geometry: str = "linear"
    axial: float = 0.8
    lateral: float = 1.7
    focus: float = 0.4
    looks: int = 2
    dynamic_range: float = 58.0
    gain: float = 0.0
    noise: float = -45.0
    tgc: float = 14.0
    half_angle: float = 0.6
    curve: float = 0.26
    reach: float = 1.0


@dataclass(slots=True)
class Tissue:
    """What the beam meets at each sample.

    Attributes:
        space: Where the samples are.
        echo: Echogenicity, dB; 0 is average tissue.
        loss: Attenuation beyond what the time gain compensation restores, dB per picture height; negative behind
            fluid.
        glint: Amplitude of mirror-like reflections, 0 and more; 1 is as bright as average tissue.
    """

    space: Space
    echo: Field
    loss: Field = field(init=False)
    glint: Field = field(init=False)

    def __post_init__(self) -> None:
        self.loss = np.zeros(self.space.shape, np.float32)
        self.glint = np.zeros(self.space.shape, np.float32)


@dataclass(frozen=True, slots=True)
class Fan:
    """How the beams of a sector lie in the picture, in units of its height.

    Attributes:
        apex: z of the point where the beams meet; negative above the picture.
        near: Radius of the probe's face.
        far: Radius of the deepest echo.
        half_angle: Half of the opening, radians.
        centre: x of the middle beam.
    """

    apex: float
    near: float
    far: float
    half_angle: float
    centre: float


def random_probe(rng: np.random.Generator, geometry: str) -> Probe:
    """Draw a probe of `geometry` with plausible settings."""
    return Probe(
        geometry=geometry,
        axial=float(rng.uniform(0.8, 1.35)),
        lateral=float(rng.uniform(1.6, 3.0)),
        focus=float(rng.uniform(0.25, 0.6)),
        looks=int(rng.choice([1, 2, 3, 5], p=[0.25, 0.25, 0.25, 0.25])),
        dynamic_range=float(rng.uniform(50, 66)),
        gain=float(rng.normal(2, 3)),
        noise=float(rng.uniform(-52, -38)),
        tgc=float(rng.uniform(8, 20)),
        half_angle=float(rng.uniform(0.42, 0.75) if geometry == "convex" else rng.uniform(0.6, 0.78)),
        curve=float(rng.uniform(0.12, 0.42)),
        reach=float(rng.uniform(0.9, 1.3) if geometry == "convex" else rng.uniform(0.9, 1.05)),
    )


def fan_of(probe: Probe, width: float) -> Fan:
    """Lay the beams of a convex or phased `probe` into a picture `width` times as wide as high."""
    sine = math.sin(probe.half_angle)
    # A convex field is wider than most pictures show: its flanks are cut off.
    far = min((0.5 if probe.geometry == "phased" else 0.64) * width / sine, 1.35) * 0.99 * probe.reach
    near = 0.03 if probe.geometry == "phased" else probe.curve * far
    # The face of a convex probe sags: its ends lie near * cos(half_angle) below the apex.
    apex = 0.01 - near * math.cos(probe.half_angle)
    if apex + far > 0.995 * max(1.0, probe.reach):
        far = 0.995 * max(1.0, probe.reach) - apex
    return Fan(apex, near, far, probe.half_angle, width / 2)


def beam_space(probe: Probe, height: int, width: int) -> Space:
    """Return where the samples of each beam lie; rows are depth, columns are beams."""
    if probe.geometry == "linear":
        return Space.flat(height, width)
    fan = fan_of(probe, width / height)
    rows = round(height * (fan.far - fan.near))
    lines = round(height * min(1.4 * fan.half_angle * fan.far, 1.0))
    radius = np.linspace(fan.near, fan.far, rows, dtype=np.float32)[:, None]
    angle = np.linspace(-fan.half_angle, fan.half_angle, lines, dtype=np.float32)[None]
    x = fan.centre + radius * np.sin(angle)
    z = fan.apex + radius * np.cos(angle)
    return Space(np.asarray(x, np.float32), np.asarray(z, np.float32))


def scan(tissue: Tissue, probe: Probe, rng: np.random.Generator, height: int, width: int) -> Image:
    """Image `tissue` with `probe`.

    Args:
        tissue: On the grid of `beam_space(probe, height, width)`.
        probe: The probe.
        rng: Source of scatterers and noise.
        height: Height of the picture, px.
        width: Width of the picture, px.

    Returns:
        (height, width) uint8; black outside the sector.
    """
    level = _decibels(tissue, probe, rng) + np.float32(probe.gain)
    grey = (level + np.float32(0.47 * probe.dynamic_range)) / np.float32(probe.dynamic_range)
    grey = np.clip(grey, 0, 1)
    grey = grey * grey * (np.float32(1.3) - np.float32(0.3) * grey) * np.float32(0.45) + grey * np.float32(0.55)
    if probe.geometry != "linear":
        grey = _scan_converted(grey, probe, height, width)
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _decibels(tissue: Tissue, probe: Probe, rng: np.random.Generator) -> Field:
    rows = tissue.space.shape[0]
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    amplitude = np.power(np.float32(10), tissue.echo / np.float32(20))
    through = np.cumsum(tissue.loss, axis=0, dtype=np.float32) / np.float32(rows)
    # A shadow's edge is as soft as the beam is wide.
    through = np.asarray(cv2.GaussianBlur(through, (0, 0), sigmaX=max(0.8, probe.lateral * 0.8), sigmaY=0.5))
    power = np.zeros(tissue.space.shape, np.float32)
    glint = _glints(tissue.glint, probe, rng)
    for _ in range(probe.looks):
        echoes = _echoes(amplitude, probe, rng, depth)
        echoes[..., 0] += glint
        power += np.square(echoes).sum(axis=2)
    power *= np.power(np.float32(10), -through / np.float32(10)) / np.float32(probe.looks)
    floor = np.power(np.float32(10), (np.float32(probe.noise) + np.float32(probe.tgc) * depth) / np.float32(10))
    grain = cv2.GaussianBlur(rng.standard_exponential(tissue.space.shape, np.float32), (0, 0), 0.6)
    return np.asarray(10 * np.log10(power + floor * grain + np.float32(1e-8)), np.float32)


def _echoes(amplitude: Field, probe: Probe, rng: np.random.Generator, depth: Field) -> Field:
    """Sum scatterers over the beam: narrow at the focus, wider above and below; unit power in average tissue."""
    scatterers = rng.standard_normal((*amplitude.shape, 2), np.float32) * amplitude[..., None]
    widening = 1.5 if probe.geometry == "linear" else 1.2
    narrow = _beam(scatterers, probe.axial, probe.lateral)
    wide = _beam(scatterers, probe.axial * 1.15, probe.lateral * (1 + widening))
    away = np.clip(np.abs(depth - np.float32(probe.focus)) / np.float32(0.7), 0, 1)[..., None] ** np.float32(1.5)
    blended = narrow * (1 - away) + wide * away
    return np.asarray(blended / np.sqrt((1 - away) ** 2 + away**2 + away * (1 - away)), np.float32)


def _beam(scatterers: Field, axial: float, lateral: float) -> Field:
    # Blurring white noise by a Gaussian leaves 1 / (4 pi sigma_x sigma_y) of its power.
    kept = math.sqrt(4 * math.pi * axial * lateral)
    blurred = cv2.GaussianBlur(scatterers, (0, 0), sigmaX=lateral, sigmaY=axial)
    return np.asarray(blurred * np.float32(kept / math.sqrt(2)), np.float32)


def _glints(glint: Field, probe: Probe, rng: np.random.Generator) -> Field:
    if not glint.any():
        return glint
    # A reflector is rough: its echo breaks up along its length.
    rough = cv2.GaussianBlur(rng.standard_normal(glint.shape, np.float32), (0, 0), sigmaX=6, sigmaY=1.5)
    rough = np.clip(1 + rough * np.float32(6), 0.15, 2.2)
    return np.asarray(cv2.GaussianBlur(glint * rough, (0, 0), sigmaX=probe.lateral * 0.7, sigmaY=probe.axial * 0.8))


def _scan_converted(grey: Field, probe: Probe, height: int, width: int) -> Field:
    picture, fan = Space.flat(height, width), fan_of(probe, width / height)
    dx, dz = picture.x - np.float32(fan.centre), picture.z - np.float32(fan.apex)
    radius, angle = np.sqrt(dx * dx + dz * dz), np.arctan2(dx, dz)
    rows, lines = grey.shape
    row = (radius - np.float32(fan.near)) / np.float32(fan.far - fan.near) * (rows - 1)
    line = (angle / np.float32(fan.half_angle) + 1) / 2 * (lines - 1)
    out = cv2.remap(grey, line.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(out, np.float32)
