"""Fill holes with what continues the tissue: a smooth surface along its layers, with speckle like that beside them."""

import zlib
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from radrefine.areas import grown, window
from radrefine.records import Image, Mask

# What the fill depends on lies within so many px of the holes: tissue, nearer than `_NEAR`, but not the rim of marks.
_MARGIN: Final = 24
_NEAR: Final = 20
_RIM: Final = 3
# Tissue changes at least by this much from pixel to pixel, grey levels, and less along than across its layers by no
# more than this factor.
_LEAST_CHANGE: Final = 0.7
_MOST_LAYERED: Final = 10.0
# How much the surface is held taut beside being held even, so that it does not overshoot in wide holes.
_TENSION: Final = 0.05
# Speckle is given this share of its strength beside the hole: all of it looks truer still and is further from what lay
# under the mark, pixel by pixel (`tests/benchmarks/detector.py fills`).
STRENGTH: Final = 0.5
# Where less tissue than this lies near a pixel, its spread is not trusted and taken for less.
_LEAST_SHARE: Final = 0.02
# The mean magnitude of a normal deviate is its standard deviation over this.
_MEAN_TO_DEVIATION: Final = float(np.sqrt(np.pi / 2))

_CROSS: Final = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_Values = NDArray[np.float64]


def fill_texture(image: Image, mask: Mask, strength: float = STRENGTH) -> Image:
    """Fill holes with a surface that bends as the tissue around them does.

    The smoothest fill is the biharmonic surface (Damelin and Hoang, 2018), whose bending, its Laplacian, is least. Of
    all pictures with the statistics of such surfaces it is the likeliest, and smoother than any of them. To draw one
    of the others, the Laplacian aimed at is not zero but noise (Papandreou and Yuille, NIPS 2010), here as strong as
    the Laplacian of the tissue near each pixel. Tissue lies in layers: the Laplacian weighs changes along the rows and
    along the columns by how rare they are around the holes.

    All depends on the picture outside the holes alone, the noise too, so that the same holes are filled the same again.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        mask: (H, W) bool, True = fill; not all of it.
        strength: Of the speckle, 0 (none) to 1 (as beside the holes).

    Returns:
        A new image of the same shape, equal to `image` outside `mask`.
    """
    filled = image.copy()
    if not mask.any():
        return filled
    part = window(cv2.boundingRect(mask.view(np.uint8)), _MARGIN)
    hole = np.ascontiguousarray(mask[part])
    seen = filled.reshape(*mask.shape, -1)[part]
    known = seen * ~hole[..., None]
    if (known == known[..., :1]).all():  # grey in three channels is solved once
        known = np.ascontiguousarray(known[..., :1])
    seen[hole] = _solve(known, hole, strength)
    return filled


def _solve(known: Image, hole: Mask, strength: float) -> NDArray[np.uint8]:
    """Return the (N, C) values of the N pixels of the hole in an (H, W, C) image that is 0 there."""
    tissue = ~grown(hole, _RIM)
    weights = _rarity_of_changes(known, tissue & grown(hole, _NEAR))
    ring, bending, own = _bending(hole, weights)
    bent = _laplacian(known, weights)
    # Least squares ask for the bending's transpose, and tension for the own rows of the hole beside.
    least_bending = bending.T
    pull = least_bending.copy()
    pull.data[own] += _TENSION
    wanted = pull @ -bent[ring]
    if strength:
        noise = np.random.default_rng(zlib.crc32(known.data)).standard_normal((bending.shape[0], 1))
        wanted += least_bending @ (strength * noise * _deviation(bent, tissue)[ring])
    # Symmetric and positive definite, since there are known pixels around every hole: no pivots are needed.
    factors = splu(
        (pull @ bending).tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return np.clip(np.rint(factors.solve(wanted)), 0, 255).astype(np.uint8)


def _rarity_of_changes(image: Image, where: Mask) -> tuple[float, float]:
    """Return the weights of changes along the rows and along the columns, the larger 1: the rarer, the more they weigh.

    Args:
        image: (H, W, C).
        where: (H, W) bool, pixels to learn it from.
    """
    grey = image.sum(axis=2, dtype=np.int64)
    scale = image.shape[2] ** 2
    along = _mean_square(grey[:, 1:] - grey[:, :-1], where[:, 1:] & where[:, :-1]) / scale + _LEAST_CHANGE**2
    down = _mean_square(grey[1:] - grey[:-1], where[1:] & where[:-1]) / scale + _LEAST_CHANGE**2
    least = max(min(along, down), max(along, down) / _MOST_LAYERED)
    return min(1.0, least / along), min(1.0, least / down)


def _mean_square(changes: NDArray[np.int64], where: Mask) -> float:
    # Whole numbers add up to the same on every processor, and so do pictures.
    return int(np.square(changes[where]).sum()) / max(1, int(np.count_nonzero(where)))


def _bending(hole: Mask, weights: tuple[float, float]) -> tuple[Mask, sparse.csc_matrix, NDArray[np.bool_]]:
    """Return the pixels whose Laplacian depends on the hole, and the matrix from the hole's values to those Laplacians.

    Args:
        hole: (H, W) bool, N pixels.
        weights: Of changes along the rows and along the columns.

    Returns:
        (H, W) bool with R pixels: the hole and its neighbours above, below, left and right; (R, N); and which of its
        entries say what a pixel's value does to its own Laplacian.
    """
    ring = np.asarray(cv2.dilate(hole.view(np.uint8), _CROSS).view(np.bool_))
    numbers = np.full((hole.shape[0] + 2, hole.shape[1] + 2), -1, np.int32)  # beyond the border there is nothing
    numbers[1:-1, 1:-1][ring] = np.arange(np.count_nonzero(ring), dtype=np.int32)
    places = np.flatnonzero(cv2.copyMakeBorder(hole.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0))
    along, down = weights
    wide = numbers.shape[1]
    # Above, left, own, right, below: in the order of the ring's pixels.
    columns = numbers.ravel()[places[:, None] + np.array([-wide, -1, 0, 1, wide])]
    inside = columns >= 0
    values = inside * np.array([-down, -along, 0, -along, -down])
    values[:, 2] = -values.sum(axis=1)
    own = np.zeros(inside.shape, bool)
    own[:, 2] = True
    ends = np.concatenate([[0], inside.sum(axis=1).cumsum()])
    shape = np.count_nonzero(ring), len(places)
    return ring, sparse.csc_matrix((values[inside], columns[inside], ends), shape=shape), own[inside]


def _laplacian(image: Image, weights: tuple[float, float]) -> _Values:
    """Return the (H, W, C) Laplacian, without what would reach beyond the border."""
    along, down = weights
    kernel = np.array([[0, -down, 0], [-along, 2 * (along + down), -along], [0, -down, 0]])
    bent = cv2.filter2D(image, cv2.CV_64F, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float64).reshape(image.shape)


def _deviation(laplacian: _Values, tissue: Mask) -> _Values:
    """Return the (H, W, C) spread of the Laplacian of the tissue near each pixel, 0 where there is none."""
    side = (_NEAR + 1, _NEAR + 1)
    share = cv2.boxFilter(tissue.astype(np.float64), -1, side)[..., None]
    total = cv2.boxFilter(np.abs(laplacian) * tissue[..., None], -1, side).reshape(laplacian.shape)
    return _MEAN_TO_DEVIATION * total / np.maximum(share, _LEAST_SHARE)
