"""Cut an image into regions that stand out, at several thresholds, and describe each by a row of numbers.

A mark over bright tissue hangs together with it at one threshold and stands alone at the next, so every threshold
adds its own regions and a later step keeps the best of those that overlap (as the extremal regions of scene text:
Neumann and Matas, CVPR 2012).
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.classical.response import Response, detail_planes
from radrefine.records import Mask

# Planes that are cut, and the grey levels above the surroundings at which they are.
_CUTS: Final[tuple[tuple[str, int], ...]] = (
    ("thin", 22),
    ("thin", 40),
    ("thin", 68),
    ("thin", 110),
    ("thick", 60),
    ("joined", 32),
)
JOINED_LAYERS: Final = tuple(number for number, (name, _) in enumerate(_CUTS) if name == "joined")
"""Indices of the cuts whose regions hold the gaps between strokes."""

_LEAST_PIXELS: Final = 4
_MOST_EXTENT: Final = 0.8

MEANS: Final = (
    "value",
    "thin",
    "lateral",
    "axial",
    "sharpness",
    "darkest_near",
    "surroundings",
    "texture",
    "saturation",
    "in_field",
    "edge_lateral",
    "edge_axial",
)
FEATURES: Final = (
    *("log_area", "log_width", "log_height", "fill", "outline"),
    *(f"mean_{name}" for name in MEANS),
    *("spread", "thin_share", "lateral_share", "level", "thick", "joined"),
    *("brightest", "middle", "value_share", "left", "top", "right", "bottom", "log_unit"),
)
"""Names of the columns of `Regions.features`."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions of one image, those of all thresholds one after the other.

    Attributes:
        features: (N, F) float32, columns as in `FEATURES`.
        boxes: (N, 5) int32: x, y, width, height and pixels.
        places: (N, 2) int32: index of the threshold and label in the plane of that threshold.
        labels: Per threshold the (H, W) plane of labels, int32 or uint16.
    """

    features: NDArray[np.float32]
    boxes: NDArray[np.int32]
    places: NDArray[np.int32]
    labels: tuple[NDArray, ...]

    def is_joined(self, number: int) -> bool:
        """Tell whether the gaps between the strokes of a region are filled."""
        return _CUTS[int(self.places[number, 0])][0] == "joined"

    def __len__(self) -> int:
        return len(self.boxes)

    def part(self, number: int) -> tuple[slice, slice, Mask]:
        """Return rows, columns and the (h, w) bool mask of a region in its bounding box."""
        x, y, width, height, _ = (int(value) for value in self.boxes[number])
        rows, columns = slice(y, y + height), slice(x, x + width)
        layer, label = self.places[number]
        return rows, columns, np.asarray(self.labels[layer][rows, columns] == label)


def find_regions(response: Response, field: Mask) -> Regions:
    """Find and describe the regions that stand out.

    Args:
        response: See `measure_response`.
        field: (H, W) bool, the scanned field.

    Returns:
        All regions of at least four pixels that do not span the image.
    """
    counts = np.cumsum(cv2.calcHist([response.value], [0], None, [256], [0, 256]).ravel())
    brightest, middle = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.997, 0.5))
    # One row of bytes per pixel: the sums of a region then read each pixel once.
    planes = cv2.merge(detail_planes(response, field)).reshape(field.size, -1)
    features, boxes, places, labels = [], [], [], []
    for number, (name, level) in enumerate(_CUTS):
        plane = getattr(response, name)
        standing = cv2.threshold(plane, level - 1, 1, cv2.THRESH_BINARY)[1]
        _, label, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
            standing, 8, cv2.CV_16U if plane.size < 2**18 else cv2.CV_32S, cv2.CCL_SPAGHETTI
        )
        labels.append(label)
        kept = _wanted(stats, plane.shape)
        if not len(kept):
            continue
        pixels, stats = stats[1:, 4], stats[kept]
        means, spread = (rows[kept - 1] for rows in _means(planes, label, standing, pixels))
        cut = (level, name == "thick", name == "joined", brightest, middle)
        whole = [np.full(len(kept), value, np.float32) for value in cut]
        value, thin, lateral, axial = means[:, 1:5].T
        columns = [
            *_shape_columns(stats),
            *means.T,
            spread,
            thin / np.maximum(value, 1),
            (lateral - axial) / (lateral + axial + 1),
            *whole,
            value / max(brightest, 1),
            *_place_columns(stats, plane.shape),
            np.full(len(kept), np.log(response.unit), np.float32),
        ]
        features.append(np.stack(columns, axis=1))
        boxes.append(stats)
        places.append(np.stack([np.full(len(kept), number), kept], axis=1))
    if not features:
        return Regions(
            np.zeros((0, len(FEATURES)), np.float32), np.zeros((0, 5), np.int32), np.zeros((0, 2), np.int32), ()
        )
    return Regions(
        np.concatenate(features).astype(np.float32),
        np.concatenate(boxes).astype(np.int32),
        np.concatenate(places).astype(np.int32),
        tuple(labels),
    )


def _wanted(stats: NDArray, shape: tuple[int, ...]) -> NDArray[np.int64]:
    small = (stats[:, 2] <= _MOST_EXTENT * shape[1]) & (stats[:, 3] <= _MOST_EXTENT * shape[0])
    wanted = small & (stats[:, 4] >= _LEAST_PIXELS)
    wanted[0] = False
    return np.flatnonzero(wanted)


def _means(
    planes: NDArray, label: NDArray, standing: NDArray, pixels: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return per region the share of its outline and the means of the planes, and the spread of its values."""
    edge = standing - cv2.erode(standing, np.ones((3, 3), np.uint8))
    inside = np.flatnonzero(standing.view(bool))
    owners = label.ravel()[inside]
    # Short numbers are sorted by their digits, which is far faster.
    inside = inside[np.argsort(owners.astype(np.uint16) if len(pixels) < 2**16 else owners, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(pixels)[:-1]])
    rows = planes.take(inside, axis=0)
    outline = np.add.reduceat(edge.ravel().take(inside), starts, dtype=np.int32) / pixels
    means = np.add.reduceat(rows, starts, axis=0, dtype=np.int32) / pixels[:, None]
    squares = np.add.reduceat(np.square(rows[:, 0], dtype=np.int32), starts) / pixels
    spread = np.sqrt(np.maximum(squares - means[:, 0] ** 2, 0))
    return np.concatenate([outline[:, None], means], axis=1).astype(np.float32), spread.astype(np.float32)


def _shape_columns(stats: NDArray) -> list[NDArray]:
    width, height, pixels = (stats[:, column].astype(np.float32) for column in (2, 3, 4))
    return [np.log(pixels), np.log(width), np.log(height), pixels / (width * height)]


def _place_columns(stats: NDArray, shape: tuple[int, ...]) -> list[NDArray]:
    left, top = stats[:, 0], stats[:, 1]
    right, bottom = shape[1] - left - stats[:, 2], shape[0] - top - stats[:, 3]
    return [np.log1p(distance.clip(0)) for distance in (left, top, right, bottom)]
