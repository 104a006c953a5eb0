"""Fill holes with what continues the tissue: a smooth surface along its layers, with speckle like that beside them."""

import zlib
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solveh_banded
from scipy.sparse.csgraph import reverse_cuthill_mckee

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
    places = _places(hole)
    bent = _laplacian(known, weights)
    wanted = -_TENSION * bent[hole]
    if strength:
        ring = np.asarray(cv2.dilate(hole.view(np.uint8), _CROSS).view(np.bool_))
        deviation = _deviation(bent, tissue, ring)
        noise = np.random.default_rng(zlib.crc32(known.data)).standard_normal((len(deviation), 1))
        bent[ring] -= strength * noise * deviation
    wanted -= _bending_back(bent, places, weights)
    values = _solve_definite(_least_bending(hole, places, weights), wanted)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


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


class _Places(NamedTuple):
    """Where the N pixels of a hole lie, (N,) each.

    Attributes:
        rows: Rows.
        columns: Columns.
        beside: How many neighbours each has in its row, 1 at the border of the picture and 2 within.
        above: And in its column.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    beside: NDArray[np.intp]
    above: NDArray[np.intp]

    def own(self, weights: tuple[float, float]) -> _Values:
        """Return (N,), what the value of each pixel does to its own Laplacian."""
        along, down = weights
        return np.asarray(along * self.beside + down * self.above)


def _places(hole: Mask) -> _Places:
    height, width = hole.shape
    rows, columns = np.divmod(np.flatnonzero(hole), width)
    beside = 2 - (columns == 0) - (columns == width - 1).astype(np.intp)
    above = 2 - (rows == 0) - (rows == height - 1).astype(np.intp)
    return _Places(rows, columns, beside, above)


def _least_bending(hole: Mask, places: _Places, weights: tuple[float, float]) -> sparse.csr_matrix:
    """Return the (N, N) matrix of the equations for the N pixels of a hole whose solution bends least.

    With B the matrix from the values of the hole to all Laplacians that depend on them, and O to its own, it is
    B' B + tension O: 13 entries a row, for pixels at most two steps apart.

    Args:
        hole: (H, W) bool, N pixels.
        places: Where they lie.
        weights: Of changes along the rows and along the columns.
    """
    along, down = weights
    count = len(places.rows)
    numbers = np.full((hole.shape[0] + 4, hole.shape[1] + 4), -1, np.int32)  # beyond the border there is nothing
    numbers[2:-2, 2:-2][hole] = np.arange(count, dtype=np.int32)
    wide = numbers.shape[1]
    steps = np.array([-2 * wide, -wide - 1, -wide, 1 - wide, -2, -1, 0, 1, 2, wide - 1, wide, wide + 1, 2 * wide])
    others = numbers.ravel()[((places.rows + 2) * wide + places.columns + 2)[:, None] + steps]
    own = places.own(weights)
    # Two steps, straight or around a corner, two ways; then one step, which both pixels' own Laplacians weigh.
    far, deep, corner = along**2, down**2, 2 * along * down
    two = np.array([deep, corner, 0, corner, far, 0, 0, 0, far, corner, 0, corner, deep])
    one = np.array([0, 0, down, 0, 0, along, 0, along, 0, 0, down, 0, 0])
    values = two - one * (own[:, None] + own[others] + _TENSION)
    values[:, len(steps) // 2] = own**2 + far * places.beside + deep * places.above + _TENSION * own
    held = others >= 0
    ends = np.concatenate([[0], held.sum(axis=1).cumsum()], dtype=np.int32)
    return sparse.csr_matrix((values[held], others[held], ends), shape=(count, count))


def _bending_back(laplacian: _Values, places: _Places, weights: tuple[float, float]) -> _Values:
    """Return (N, C), B' of `_least_bending` applied to (H, W, C) Laplacians."""
    along, down = weights
    padded = cv2.copyMakeBorder(laplacian, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    flat, wide = padded.reshape(-1, laplacian.shape[2]), padded.shape[1]
    at = (places.rows + 1) * wide + places.columns + 1
    rows, columns = flat[at - 1] + flat[at + 1], flat[at - wide] + flat[at + wide]
    return np.asarray(places.own(weights)[:, None] * flat[at] - along * rows - down * columns)


def _solve_definite(equations: sparse.csr_matrix, wanted: _Values) -> _Values:
    """Solve symmetric and positive definite equations, which these are: there are known pixels around every hole.

    Marks are thin. Numbered from one end of a stroke to the other, pixels that share an equation lie close to each
    other (Cuthill and McKee, 1969), and a matrix whose entries lie along its diagonal is soon factored.
    """
    order = reverse_cuthill_mckee(equations, symmetric_mode=True)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=order.dtype)
    rows, columns = np.repeat(rank, np.diff(equations.indptr)), rank[equations.indices]
    upper = columns >= rows
    rows, columns = rows[upper], columns[upper]
    reach = int((columns - rows).max())
    bands = np.zeros((reach + 1, len(order)), order="F")
    bands[reach + rows - columns, columns] = equations.data[upper]
    values = np.empty_like(wanted)
    values[order] = solveh_banded(bands, wanted[order], overwrite_ab=True, overwrite_b=True, check_finite=False)
    return values


def _laplacian(image: Image, weights: tuple[float, float]) -> _Values:
    """Return the (H, W, C) Laplacian, without what would reach beyond the border."""
    along, down = weights
    kernel = np.array([[0, -down, 0], [-along, 2 * (along + down), -along], [0, -down, 0]])
    bent = cv2.filter2D(image, cv2.CV_64F, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float64).reshape(image.shape)


def _deviation(laplacian: _Values, tissue: Mask, where: Mask) -> _Values:
    """Return (N, C), the spread of (H, W, C) Laplacians of the tissue near each of N pixels, 0 where there is none."""
    side = (_NEAR + 1, _NEAR + 1)
    share = cv2.boxFilter(tissue.astype(np.float64), -1, side)[where][:, None]
    total = cv2.boxFilter(np.abs(laplacian) * tissue[..., None], -1, side).reshape(laplacian.shape)[where]
    return _MEAN_TO_DEVIATION * total / np.maximum(share, _LEAST_SHARE)
