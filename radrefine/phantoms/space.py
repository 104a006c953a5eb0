"""Where things are in a phantom: coordinates, smooth noise, contour lines and irregular blobs."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""A quantity at each sample of the grid, (rows, columns) float32."""

_HARMONICS = np.arange(2, 9)


@dataclass(frozen=True, slots=True)
class Space:
    """Coordinates of a grid of samples, in units of the picture's height.

    Attributes:
        x: Across, 0 at the left edge of the picture.
        z: Down (depth in ultrasound), 0 at its top edge.
    """

    x: Field
    z: Field

    @classmethod
    def flat(cls, height: int, width: int) -> "Space":
        """Return the coordinates of the pixels of a (height, width) picture."""
        z, x = np.mgrid[0:height, 0:width].astype(np.float32)
        return cls((x + 0.5) / np.float32(height), (z + 0.5) / np.float32(height))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        rows, columns = self.x.shape
        return rows, columns

    @property
    def width(self) -> float:
        """Width of the picture in units of its height."""
        return float(self.x.max())

    def window(self, box: tuple[float, float, float, float]) -> tuple[tuple[slice, slice], "Space"]:
        """Return the part of the grid around x0, z0, x1, z1: its rows and columns, and its coordinates."""
        step, x, z = 8, self.x[::8, ::8], self.z[::8, ::8]
        margin = 1.5 * step / max(1, self.shape[0])
        within = (x > box[0] - margin) & (x < box[2] + margin) & (z > box[1] - margin) & (z < box[3] + margin)
        rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
        if not len(rows):
            return (slice(0, 0), slice(0, 0)), Space(self.x[:0, :0], self.z[:0, :0])
        part = (
            slice(max(0, int(rows[0]) * step - step), int(rows[-1]) * step + 2 * step),
            slice(max(0, int(columns[0]) * step - step), int(columns[-1]) * step + 2 * step),
        )
        return part, Space(self.x[part], self.z[part])

    def noise(
        self, rng: np.random.Generator, cell_x: float, cell_z: float, x: Field | None = None, z: Field | None = None
    ) -> Field:
        """Return smooth noise of mean 0 and standard deviation near 1, with grains of cell_x by cell_z.

        Args:
            rng: Source of the noise.
            cell_x: Grain across, in units of the picture's height.
            cell_z: Grain down.
            x: Coordinates to use instead of the grid's own, such as ones that follow bent layers.
            z: The same, down.
        """
        x, z = self.x if x is None else x, self.z if z is None else z
        u, v = x / np.float32(cell_x), z / np.float32(cell_z)
        left, top = float(u.min()) - 2, float(v.min()) - 2
        size = (int(v.max() - top) + 4, int(u.max() - left) + 4)
        lattice = rng.standard_normal(size, np.float32)
        out = cv2.remap(lattice, u - np.float32(left), v - np.float32(top), cv2.INTER_CUBIC)
        return np.asarray(out * np.float32(1.35), np.float32)

    def fractal(self, rng: np.random.Generator, cell: float, octaves: int = 3) -> Field:
        """Return noise with detail at several scales, the coarsest of size `cell`."""
        total = np.zeros(self.shape, np.float32)
        for octave in range(octaves):
            total += self.noise(rng, cell / 2**octave, cell / 2**octave) * np.float32(0.6**octave)
        return total * np.float32(0.8)

    def blob(
        self,
        rng: np.random.Generator,
        centre: tuple[float, float],
        axes: tuple[float, float],
        *,
        angle: float = 0.0,
        rough: float = 0.05,
        sharp: float = 1.0,
    ) -> Field:
        """Return the signed distance (negative inside) to an ellipse with an irregular outline.

        Args:
            rng: Source of the outline's irregularity.
            centre: x, z of the centre.
            axes: Half axes along and across `angle`.
            angle: Turn, radians.
            rough: Relative depth of the irregularity.
            sharp: How slowly higher harmonics fade; 1 is smooth, towards 0 jagged.
        """
        dx, dz = self.x - np.float32(centre[0]), self.z - np.float32(centre[1])
        along = (dx * math.cos(angle) + dz * math.sin(angle)) / np.float32(axes[0])
        across = (-dx * math.sin(angle) + dz * math.cos(angle)) / np.float32(axes[1])
        radius, theta = cv2.cartToPolar(along, across)
        if rough > 0:
            radius = radius / (1 + np.float32(rough) * self._outline(rng, np.asarray(theta, np.float32), sharp))
        return np.asarray((radius - 1) * min(axes), np.float32)

    @staticmethod
    def _outline(rng: np.random.Generator, theta: Field, sharp: float) -> Field:
        turns = np.linspace(0, 2 * math.pi, 721)
        weights = rng.standard_normal(len(_HARMONICS)) / _HARMONICS**sharp
        phases = rng.uniform(0, 2 * math.pi, len(_HARMONICS))
        curve = (weights[:, None] * np.cos(_HARMONICS[:, None] * turns + phases[:, None])).sum(axis=0)
        return curve.astype(np.float32)[np.minimum(theta * np.float32(360 / math.pi), 720).astype(np.intp)]


def inside(distance: Field, soft: float = 0.004) -> Field:
    """Turn a signed distance into a membership 0-1 with an edge `soft` wide."""
    return np.asarray(np.clip(0.5 - distance / np.float32(2 * soft), 0, 1), np.float32)


def band(distance: Field, width: float) -> Field:
    """Return 1 on the zero line of `distance`, falling to 0 over `width`."""
    return np.asarray(np.exp(-((distance / np.float32(width)) ** 2)), np.float32)


def contour(noise: Field, width: float) -> Field:
    """Return 1 on the zero lines of `noise`, falling to 0 over about `width` samples, whatever its slope there."""
    slope = np.abs(cv2.Sobel(noise, cv2.CV_32F, 1, 0, scale=0.125)) + np.abs(
        cv2.Sobel(noise, cv2.CV_32F, 0, 1, scale=0.125)
    )
    distance = noise / np.asarray(slope + np.float32(0.01), np.float32)
    return np.asarray(np.exp(-((distance / np.float32(width)) ** 2)), np.float32)


def blurred(values: Field, sigma: float) -> Field:
    """Blur `values` by a Gaussian of `sigma` px."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def mix(first: Field, second: Field | float, weight: Field) -> Field:
    """Return `first` where `weight` is 0 and `second` where it is 1."""
    return np.asarray(first + (second - first) * weight, np.float32)
